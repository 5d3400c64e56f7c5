"""."""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class StoreError(Exception):
    """The history can't do what it was asked; the text says why and what to do."""


class StoreLocked(StoreError):
    """Another process has the history open for writing; `pid` is None where it left no name."""

    def __init__(self, pid: int | None) -> None:
        owner = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"The history is open for writing in {owner}")
        self.pid = pid


class StoreTooNew(StoreError):
    """The history holds what only a newer jobtui understands. It was left as it is."""


class StoreFull(StoreError):
    """There is no room on the disk. Nothing was written; the next commit may succeed."""


class StoreFailed(StoreError):
    """The disk failed in a way that can't be mended by trying again: read-only from now on."""


class ErrorCode(enum.StrEnum):
    """Why a storage could not do what it was asked; see the module's docstring."""

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
    """A storage's failure: its code, the host and space it concerns ("" for none), and the plain reason.

    `maybe_done`: what was asked for was sent and its answer lost. It may have been done all the same, and
    is not sent again: only a look can tell.
    """

    def __init__(
        self, code: ErrorCode, host: str, space: str, detail: str, *, maybe_done: bool = False
    ) -> None:
        super().__init__(detail)
        self.code, self.host, self.space, self.detail = code, host, space, detail
        self.maybe_done = maybe_done


# msgspec reports most faults with its own errors, but text that is no UTF-8 and objects nested too deeply
# (from about 1,000 levels) with the interpreter's
DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
