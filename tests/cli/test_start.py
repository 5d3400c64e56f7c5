import sys

import pytest

from jobtui.cli.main import SWITCH_SECONDS, start


def test_a_busy_thread_keeps_the_others_waiting_only_for_a_moment() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(10 * SWITCH_SECONDS)
    try:
        assert start(["--version"]) == 0
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    finally:
        sys.setswitchinterval(before)
