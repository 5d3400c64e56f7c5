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

_PASSED_ON = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGCONT,
    signal.SIGWINCH,
    signal.SIGUSR2,
)
_RELEASED = signal.SIGUSR1
_HEARD = (*_PASSED_ON, _RELEASED, signal.SIGCHLD)


class Front:
    """The process in front, as the one behind it knows it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def release(self) -> None:
        """Have it end with status 0, and the shell go on, while this process stays."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, _RELEASED)


_front: Front | None = None


def step_behind_early() -> None:
    """Step behind where a person sits at both ends, before anything is imported.

    Each page that is there already is copied as the process behind writes to it: a tenth of a start, done
    after the imports.
    """
    if os.isatty(0) and os.isatty(1):
        step_behind()


def step_behind() -> Front:
    """Leave this process in front and go on in a new one, behind it. To be called before any thread starts.

    The process in front never returns from here: it ends as the one behind does, or once it is released.
    Whoever is behind already stays there.
    """
    global _front
    if _front is not None:
        return _front
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    front = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    behind = os.fork()
    if behind:
        _end_as(_stand_before(behind))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _front = Front(front)
    return _front


def _stand_before(behind: int) -> int:
    """Wait for the process behind; the answer is its wait status, or 0 where it was released."""
    for one in (signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT):
        signal.signal(one, lambda *_: None)  # a signal whose default is to be ignored may not be kept
    while True:
        received = signal.sigwait(_HEARD)
        if received is _RELEASED:
            return 0
        if received is signal.SIGCHLD:
            pid, status = os.waitpid(behind, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                os.kill(os.getpid(), signal.SIGSTOP)
            elif pid:
                return status
        elif received is not signal.SIGCONT or _is_stopped(behind):
            os.kill(behind, received)


def _is_stopped(behind: int) -> bool:
    """Whether it has not been continued already, as a shell does with all of a job."""
    return os.waitpid(behind, os.WNOHANG | os.WCONTINUED) == (0, 0)


def _end_as(status: int) -> None:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if not os.WIFSIGNALED(status) else 128 + os.WTERMSIG(status))
