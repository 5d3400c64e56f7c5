"""The process that a shell waits for, and behind it the one that does the work.

A shell gives its prompt back when the process that it started ends. The work of a dashboard can't move to
another process (its workers would end with it), so the dashboard runs behind a process that does nothing
but stand there: it is stopped, continued and ended as the dashboard is, and it can leave while that goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios

TYPE_CHECKING = False  # typing's own costs a start something
if TYPE_CHECKING:
    from typing import Any

_PASSED_ON = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGCONT,
    signal.SIGWINCH,
)
_RELEASED = signal.SIGUSR1
_HEARD = (*_PASSED_ON, _RELEASED, signal.SIGCHLD)
# what a terminal sends, it sends to the process behind as well
_SENT_TO_ALL = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)
_BY_TERMINAL = 0x80  # si_code of what the kernel sends
# keyboard protocol, a screen that cannot be left, screen, cursor, mouse, paste, focus, line wrap
_GIVEN_BACK = (
    b"\x1b[<u\x1b[0m\x1b[2J\x1b[H"
    b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?1004l\x1b[?7h"
)


class ForegroundProcess:
    """The process in front, as the one behind it knows it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    @property
    def gone(self) -> bool:
        """Whether it ended without a word, killed: whoever waited for it has the terminal again."""
        return os.getppid() != self._pid

    def release(self) -> None:
        """Have it end with status 0, and the shell go on, while this process stays."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, _RELEASED)


_front: ForegroundProcess | None = None


def step_behind_early() -> None:
    """Step behind where a person sits at both ends, before anything is imported.

    Each page that is there already is copied as the process behind writes to it: a tenth of a start, done
    after the imports.
    """
    if os.isatty(0) and os.isatty(1):
        fork_behind_foreground()


def fork_behind_foreground() -> ForegroundProcess:
    """Leave this process in front and go on in a new one, behind it. To be called before any thread starts.

    The process in front never returns from here: it ends as the one behind does, or once it is released.
    Whoever is behind already stays there. From here on ctrl+c ends the process without a word of Python's,
    until there is a loop that hears of it.
    """
    global _front
    if _front is not None:
        return _front
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # an exception amid an import, or amid the making of a class in C, is told as a defect or worse
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    front = os.getpid()
    found = _terminal()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    behind = os.fork()
    if behind:
        status = _supervise(behind)
        if os.WIFSIGNALED(status):
            _give_back(found)
        _end_as(status)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _front = ForegroundProcess(front)
    return _front


def _supervise(behind: int) -> int:
    """Wait for the process behind; the answer is its wait status, or 0 where it was released."""
    for one in (signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT):
        signal.signal(one, lambda *_: None)  # a signal whose default is to be ignored may not be kept
    while True:
        received, is_for_all = _receive()
        if received == _RELEASED:
            return 0
        if received == signal.SIGCHLD:
            pid, status = os.waitpid(behind, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                os.kill(os.getpid(), signal.SIGSTOP)
            elif pid:
                return status
        elif received == signal.SIGCONT:
            pid, status = os.waitpid(behind, os.WNOHANG | os.WCONTINUED)
            if not pid:
                os.kill(behind, received)  # else it was continued already, as a shell does with all of a job
            elif not os.WIFCONTINUED(status):
                return status
        elif not is_for_all:
            os.kill(behind, received)


def _receive() -> tuple[int, bool]:
    """The next signal, and whether the process behind has had it too."""
    if sys.platform == "darwin":
        return signal.sigwait(_HEARD), False
    told = signal.sigwaitinfo(_HEARD)
    return told.si_signo, told.si_signo in _SENT_TO_ALL and told.si_code == _BY_TERMINAL


def _terminal() -> list[Any] | None:
    """How the terminal is set; None where it is not this process's to set."""
    try:
        return termios.tcgetattr(0) if os.tcgetpgrp(0) == os.getpgrp() else None
    except (OSError, termios.error):
        return None


def _give_back(found: list[Any] | None) -> None:
    """Do for a process that a signal ended what it would have done itself, had it taken the terminal."""
    if found is None or _terminal() in (None, found):
        return
    from jobtui.terminal_io import write_within

    with contextlib.suppress(OSError, termios.error):
        termios.tcsetattr(0, termios.TCSANOW, found)
        write_within(1, _GIVEN_BACK)


def _end_as(status: int) -> None:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if not os.WIFSIGNALED(status) else 128 + os.WTERMSIG(status))
