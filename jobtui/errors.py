"""The errors that one layer raises and another catches.

    StoreError              the history cannot be read or written
    ├── StoreLocked         … another process has it open for writing
    ├── StoreTooNew         … it needs a newer jobtui
    ├── StoreFull           … the disk is full; a later commit may succeed
    └── StoreFailed         … the disk failed for good; the history is read-only from now on
    StorageError            a storage backend failed; its `code` is an `ErrorCode`
    StatementRefused        a statement was parsed and cannot be executed
    OwnerUnavailable        the process that owns the profile does not answer as it should
    ├── OwnerTimeout        … it accepts connections and does not answer
    ├── OwnerRejected       … it refuses this client
    ├── OwnerUntrusted      … another user listens at its address
    └── RequestNotAccepted  … it has not read the request, which can be sent again
    OwnerUnreachable        this process can neither own the profile nor talk to its owner
    ProbeFailed             the storage probe of `jobtui doctor` failed
    HomeError               the user has no home directory

Two more are defined in their packages, whose records they hold: `language.errors.StatementError` (a text that
is not a statement, with the mistake's position) and `config.loader.ConfigError` (a file's problems, by line).

The text of each error is complete: the reason and what the user can do. It is shown as it is.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class StoreError(Exception):
    """A failure of the history."""


class StoreLocked(StoreError):
    """A history that another process has open for writing.

    `pid` is that process, None if its lock file does not name it.
    """

    def __init__(self, pid: int | None) -> None:
        owner = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"The history is open for writing in {owner}")
        self.pid = pid


class StoreTooNew(StoreError):
    """A history with records that only a newer jobtui understands. It is left unchanged."""


class StoreFull(StoreError):
    """A full disk. Nothing was written, and a later commit may succeed."""


class StoreFailed(StoreError):
    """A failure of the disk that a retry cannot repair. The history is read-only from now on."""


class ErrorCode(enum.StrEnum):
    """The reason for a StorageError."""

    MISSING = "missing"
    LOCKED = "locked"
    ACCESS = "access"
    DISK_FULL = "disk_full"
    CORRUPT = "corrupt"
    IO = "io"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    HOST_DIED = "host_died"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"


class StorageError(Exception):
    """A failure of a storage backend.

    Attributes:
        code: The kind of failure.
        host: The storage host that it concerns, "" if there is none.
        space: The space that it concerns, "" if there is none.
        detail: The reason in plain words.
        outcome_unknown: The request was sent and its answer was lost, so it may have been carried out. It is
            not sent again; only a query can show what happened.
    """

    def __init__(
        self, code: ErrorCode, host: str, space: str, detail: str, *, outcome_unknown: bool = False
    ) -> None:
        super().__init__(detail)
        self.code, self.host, self.space, self.detail = code, host, space, detail
        self.outcome_unknown = outcome_unknown


class StatementRefused(Exception):
    """A statement that was parsed and cannot be executed.

    The text has the reason and a correction.
    """


class OwnerUnavailable(Exception):
    """A profile's owner that does not answer, or not as a jobtui of this version would."""


class OwnerTimeout(OwnerUnavailable):
    """An owner that is there and does not answer in time: it is suspended, or stuck."""


class OwnerRejected(OwnerUnavailable):
    """An owner that answers and refuses this client. The text is the reason."""


class OwnerUntrusted(OwnerUnavailable):
    """A process of another user that listens at the owner's address. Nothing was sent to it."""


class RequestNotAccepted(OwnerUnavailable):
    """A request that the owner has not read. Nothing was done, and it can be sent again."""


class OwnerUnreachable(Exception):
    """A profile that another process owns and that this process cannot use through it."""


class ProbeFailed(Exception):
    """A failure of the probe that creates, flushes and compacts a space to test the storage."""


class HomeError(Exception):
    """A user without a home directory, so that there are no default paths."""


DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The exceptions that decoding bytes of unknown origin can raise.

msgspec has errors of its own for most faults, but raises the interpreter's for text that is not UTF-8 and for
objects that are nested too deeply (from about 1,000 levels).
"""
