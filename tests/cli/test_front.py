import os
import signal
import sys
from types import SimpleNamespace

import pytest

from jobtui.cli.commands import foreground


def test_a_process_behind_does_not_fork_again(monkeypatch: pytest.MonkeyPatch) -> None:
    here = foreground.ForegroundProcess(1)
    monkeypatch.setattr(foreground, "_front", here)
    monkeypatch.setattr(foreground.os, "fork", lambda: pytest.fail("a process was started"))
    assert foreground.fork_behind_foreground() is here


def test_a_process_that_ended_while_continued_has_its_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreground.signal, "signal", lambda *_: None)
    monkeypatch.setattr(foreground, "_receive", lambda: (signal.SIGCONT, False))
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "raise SystemExit(3)"], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert os.waitstatus_to_exitcode(foreground._supervise(pid)) == 3


@pytest.mark.parametrize(
    ("number", "code", "for_all"),
    [
        (signal.SIGINT, 0x80, True),
        (signal.SIGWINCH, 0x80, True),
        (signal.SIGINT, 0, False),
        (signal.SIGWINCH, 0, False),
        (signal.SIGHUP, 0x80, False),  # only the session's leader receives it from a terminal that is gone
    ],
)
def test_signals_a_terminal_sends_to_the_group_are_not_forwarded(
    monkeypatch: pytest.MonkeyPatch, number: int, code: int, for_all: bool
) -> None:
    told = SimpleNamespace(si_signo=number, si_code=code)
    monkeypatch.setattr(foreground.signal, "sigwaitinfo", lambda _: told)
    assert foreground._receive() == (number, for_all)
