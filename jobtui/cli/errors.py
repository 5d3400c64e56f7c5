"""The exit statuses, and the errors that end a command with one of them and a message on stderr.

0    done
1    a statement failed, or the profile or the output could not be used
2    usage, settings or syntax: nothing was run
3    a job failed or was stopped
130  interrupted; the jobs were stopped first
"""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """The exit statuses of jobtui."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    JOB_FAILED = 3
    INTERRUPTED = 130


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
    """A command that was not understood or cannot be run; nothing was run."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.USAGE)


class NoHome(UsageError):
    """The user has no home directory, and the options name no directory for the data."""
