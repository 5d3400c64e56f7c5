import sys

import pytest

from jobtui.cli.main import SWITCH_SECONDS, main


def test_busy_thread_delays_others_by_a_short_interval() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(10 * SWITCH_SECONDS)
    try:
        assert main(["--version"]) == 0
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    finally:
        sys.setswitchinterval(before)
