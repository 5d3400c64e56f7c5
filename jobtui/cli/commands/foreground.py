"""The foreground process that a shell waits for, and behind it the process that does the work.

A shell shows its prompt again when the process that it started ends. The jobs of a dashboard cannot move to
another process (its workers would end with it). So the dashboard runs behind a foreground process, which is
stopped, continued and ended with the dashboard, and which can exit while the jobs continue.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from typing import Any

from jobtui.cli.errors import exit_interrupted
from jobtui.terminal_io import write_within

_FORWARDED = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGCONT,
    signal.SIGWINCH,
)
_RELEASE = signal.SIGUSR1
_WAITED_FOR = (*_FORWARDED, _RELEASE, signal.SIGCHLD)
# a terminal sends these to the process behind as well
_SENT_TO_GROUP = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)
_SENT_BY_KERNEL = 0x80  # si_code
# keyboard protocol, colors, a cleared screen in case the alternate one cannot be left, the main screen, cursor,
# mouse, paste, focus, line wrap
_RESET = (
    b"\x1b[<u\x1b[0m\x1b[2J\x1b[H"
    b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?1004l\x1b[?7h"
)


class ForegroundProcess:
    """The process in front, as seen by the process behind it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    @property
    def is_gone(self) -> bool:
        """Whether the process was killed, so that the shell has the terminal again."""
        return os.getppid() != self._pid

    def release(self) -> None:
        """Make it exit with status 0, so that the shell continues while this process stays."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, _RELEASE)


_front: ForegroundProcess | None = None


def fork_behind_foreground() -> ForegroundProcess:
    """Leave this process in front and continue in a new one behind it; call it before any thread starts.

    The process in front never returns from here: it ends as the one behind does, or when it is released.
    A process that is behind already stays there. From here on ctrl+c has its default action, until a loop
    handles it.
    """
    global _front
    if _front is not None:
        return _front
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, exit_interrupted):
        # an exception during an import, or while C code creates a class, is reported as a defect or worse
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    front = os.getpid()
    settings = _terminal_settings()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    behind = os.fork()
    if behind:
        status = _supervise(behind)
        if os.WIFSIGNALED(status):
            _reset_terminal(settings)
        _exit_like(status)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _front = ForegroundProcess(front)
    return _front


def _supervise(behind: int) -> int:
    """Wait for the process behind and return its wait status, or 0 if this process is released."""
    for number in (signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT):
        # a blocked signal whose default action is to be ignored may be dropped instead of kept
        signal.signal(number, lambda *_: None)
    while True:
        received, was_sent_to_group = _receive()
        if received == _RELEASE:
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
                os.kill(behind, received)  # otherwise it runs again: a shell continues all processes of a job
            elif not os.WIFCONTINUED(status):
                return status
        elif not was_sent_to_group:
            os.kill(behind, received)


def _receive() -> tuple[int, bool]:
    """Wait for a signal; return it, and whether the process behind received it too."""
    if sys.platform == "darwin":
        return signal.sigwait(_WAITED_FOR), False
    info = signal.sigwaitinfo(_WAITED_FOR)
    return info.si_signo, info.si_signo in _SENT_TO_GROUP and info.si_code == _SENT_BY_KERNEL


def _terminal_settings() -> list[Any] | None:
    """Return the settings of the terminal, None if this process may not change them."""
    try:
        return termios.tcgetattr(0) if os.tcgetpgrp(0) == os.getpgrp() else None
    except (OSError, termios.error):
        return None


def _reset_terminal(settings: list[Any] | None) -> None:
    """Restore the terminal for a process that a signal ended before it could, if it had changed it."""
    if settings is None or _terminal_settings() in (None, settings):
        return
    with contextlib.suppress(OSError, termios.error):
        termios.tcsetattr(0, termios.TCSANOW, settings)
        write_within(1, _RESET)


def _exit_like(status: int) -> None:
    """End this process as the one with this wait status ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if not os.WIFSIGNALED(status) else 128 + os.WTERMSIG(status))
