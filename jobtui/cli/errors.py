"""The exit statuses, and the errors and signals that lead to them.

0    done
1    a statement or a command failed, or the profile or the output could not be used
2    usage, settings or syntax: nothing was run
3    a job failed or was stopped
130  interrupted by ctrl+c; the jobs were stopped first. Another signal n: 128 + n
"""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Exit(enum.IntEnum):
    """The exit statuses of jobtui."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    JOB_FAILED = 3
    INTERRUPTED = 130


SIGNAL_STATUS = 128
"""The exit status of a process that signal n ended is 128 + n, as in a shell."""


class SignalInterrupt(KeyboardInterrupt):
    """A signal that asks the process to end; the exit status is 128 plus its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class CommandError(Exception):
    """A command that cannot be run: a message for the user, and the exit status."""

    def __init__(self, message: str, status: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.status = status


def profile_error(error: Exception) -> CommandError:
    """Return the error of a profile that cannot be opened."""
    return CommandError(f"{error}; jobtui doctor shows what to do")


class UsageError(CommandError):
    """An error in the arguments or settings of a command; nothing was run."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.USAGE)


class NoHome(UsageError):
    """The user has no home directory, and the options name no directory for the data."""


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def exit_interrupted(*_: object) -> None:
    """Exit at once with the status of an interrupt, printing nothing: the early handler of SIGINT."""
    os._exit(SIGNAL_STATUS + signal.SIGINT)


@contextmanager
def hold_signals() -> Iterator[list[signal.Signals]]:
    """Until the block ends, collect the signals that arrive in the list that is yielded.

    An engine runs queued jobs as soon as it is open: from then on, one signal must not end the process. A
    second one does, since the user does not want to wait. An ignored signal stays ignored.
    """
    received: list[signal.Signals] = []

    def hold(number: int, _frame: object) -> None:
        if number != signal.SIGHUP and not is_hangup(received):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        received.append(signal.Signals(number))

    before = {
        number: signal.signal(number, hold)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_hangup(received: Sequence[signal.Signals]) -> bool:
    """Return whether only SIGHUP has been received so far.

    One hang-up sends several: the kernel to the session's leader and to the foreground process group, the
    shell to its jobs, and a foreground process to its background process.
    """
    return all(number is signal.SIGHUP for number in received)
