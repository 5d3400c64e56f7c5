"""The exit statuses, and the errors that end a run with one of them and a plain line on stderr.

0    done
1    a statement failed, or the profile or the output could not be used
2    usage, settings or syntax: nothing was run
3    a job failed or was stopped
130  interrupted; the jobs were stopped honestly first
"""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """See the module."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    JOB_FAILED = 3
    INTERRUPTED = 130


class CommandError(Exception):
    """The command can't be carried out: a plain text for a person, and the exit status."""

    def __init__(self, message: str, status: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.status = status


def profile_error(error: Exception) -> CommandError:
    """What to say where a profile can't be opened."""
    return CommandError(f"{error}; jobtui doctor tells what to do")


class UsageError(CommandError):
    """The command was not understood, or is not one that can be carried out; nothing was run."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.USAGE)


class NoHome(UsageError):
    """The user has no home directory, and none was named for the data."""
