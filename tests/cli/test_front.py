import os
import signal
import sys
from types import SimpleNamespace

import pytest

from jobtui.cli import _open_the_dashboard
from jobtui.cli.commands import foreground


@pytest.mark.parametrize(
    ("words", "opens"),
    [
        ("", True),
        ("--data-dir x", True),
        ("--data-dir=x --profile y", True),
        ("--nebula 10.0.0.1 -u root --tls system", True),
        ("-e SHOW", False),
        ("serve", False),
        ("--data-dir x serve", False),
        ("--data-dir=x serve", False),
        ("--demo", False),
        ("--version", False),
        ("--profile --help", False),
    ],
)
def test_only_what_leads_to_the_dashboard_is_stepped_behind_for_at_a_glance(words: str, opens: bool) -> None:
    assert _open_the_dashboard(words.split()) is opens


def test_who_is_not_a_person_at_a_terminal_is_not_stepped_behind_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground.os, "isatty", lambda descriptor: descriptor == 0)
    monkeypatch.setattr(foreground, "step_behind", lambda: pytest.fail("a process was started"))
    foreground.step_behind_early()


def test_who_is_behind_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    here = foreground.ForegroundProcess(1)
    monkeypatch.setattr(foreground, "_front", here)
    monkeypatch.setattr(foreground.os, "fork", lambda: pytest.fail("a process was started"))
    assert foreground.fork_behind_foreground() is here


def test_a_process_that_ended_just_as_it_was_to_go_on_is_told_of_as_ended(
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
        (signal.SIGHUP, 0x80, False),  # of a terminal that is gone only the first process is told
    ],
)
def test_what_a_terminal_sends_to_all_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch, number: int, code: int, for_all: bool
) -> None:
    told = SimpleNamespace(si_signo=number, si_code=code)
    monkeypatch.setattr(foreground.signal, "sigwaitinfo", lambda _: told)
    assert foreground._receive() == (number, for_all)
