"""The conversion of error messages of RocksDB and the system into a code and a reason for the user.

The functions depend only on the text, and on the limits and free inodes of the system.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path

import msgspec

from jobtui.errors import ErrorCode
from jobtui.formatting import format_bytes, printable_line
from jobtui.os_errors import NO_INODES, describe_limit, explain_shortage, has_inodes


class WorkerError(Exception):
    """A failure with its code and its reason for the user; the storage adds the host and the space."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class DiskSpace(msgspec.Struct, frozen=True):
    """The bytes that the work needs and the bytes that are free, None if unknown."""

    needed: int | None
    free: int | None


# the first pattern that matches determines the code
_PATTERNS: tuple[tuple[str, ErrorCode], ...] = (
    (r"No space left|Compaction too large|Disk quota exceeded|NoSpace", ErrorCode.DISK_FULL),
    (r"lock hold by current process|While lock file", ErrorCode.LOCKED),
    (r"Permission denied|Read-only file system|Operation not permitted", ErrorCode.ACCESS),
    # RocksDB reports a missing file that the MANIFEST names as a corruption, too
    (r"No such file or directory: While open a file", ErrorCode.MISSING),
    (r"Corruption|checksum mismatch|truncated record|bad magic", ErrorCode.CORRUPT),
    (r"No such file or directory|does not exist|NotFound", ErrorCode.MISSING),
    (
        r"Not implemented|not supported|Could not find option|Unrecognized option|comparator"
        r"|merge_operator is not|Column families not opened|unknown (?:checksum|compression)"
        r"|^Invalid argument: ",  # at the start only: in system errors it follows a file's name
        ErrorCode.UNSUPPORTED,
    ),
)

_REASONS = {
    ErrorCode.DISK_FULL: "the disk is full",
    ErrorCode.LOCKED: "another program has the database open",
    ErrorCode.ACCESS: "jobtui may not write there",
    ErrorCode.CORRUPT: "data on disk is corrupt",
    ErrorCode.MISSING: "a file of the database is not there",
    ErrorCode.UNSUPPORTED: "jobtui's RocksDB cannot read or write this database",
    ErrorCode.IO: "the disk or the file system failed",
}

_QUOTA = "Disk quota exceeded"  # in messages of RocksDB and of the system
_QUOTA_REASON = "the quota of its user or directory is used up (quota -s shows a user's)"
_LIMITS = {"Too many open files": errno.EMFILE, "File too large": errno.EFBIG}

_RUST_ERRNO = re.compile(r"\(os error (\d+)\)$")  # in rocksdict's own errors, which have no errno
_ERRNO = {
    errno.ENOSPC: ErrorCode.DISK_FULL,
    errno.EDQUOT: ErrorCode.DISK_FULL,
    errno.EACCES: ErrorCode.ACCESS,
    errno.EPERM: ErrorCode.ACCESS,
    errno.EROFS: ErrorCode.ACCESS,
    errno.ENOENT: ErrorCode.MISSING,
    errno.ENOTDIR: ErrorCode.MISSING,
}


def classify(message: str) -> ErrorCode:
    """Return the code of a message of RocksDB, `io` if no pattern matches."""
    return next((code for sign, code in _PATTERNS if re.search(sign, message, re.IGNORECASE)), ErrorCode.IO)


def rocksdb_error(message: str, where: str, room: DiskSpace | None = None) -> WorkerError:
    """Return the error for a message of RocksDB: directory, reason, sizes, and the message."""
    code = classify(message)
    if code is ErrorCode.LOCKED:
        return locked_error(where)  # the message has only the path of the file again, and how long ago
    limit = next((number for sign, number in _LIMITS.items() if sign in message), None)
    plain = describe_limit(limit) or _full_reason(code, where, message)
    return WorkerError(
        code, f"{_describe(code, where, room, plain or None)} (RocksDB: {printable_line(message)})"
    )


def system_error(error: OSError, where: str, room: DiskSpace | None = None) -> WorkerError:
    """Return the error for a system error."""
    message, number = error.strerror or str(error), error.errno
    if number is None and (found := _RUST_ERRNO.search(message)):
        message, number = message[: found.start()].strip(), int(found[1])
    code = _ERRNO.get(number or 0, ErrorCode.IO)
    plain = (
        "it is not there"
        if code is ErrorCode.MISSING
        else describe_limit(number) or _full_reason(code, where, message)
    )
    return WorkerError(code, f"{_describe(code, where, room, plain or None)} ({printable_line(message)})")


def disk_full_error(where: str, needed: int, free: int) -> WorkerError:
    """Return the error for a lack of disk space that is found before the work begins."""
    return WorkerError(
        ErrorCode.DISK_FULL,
        _describe(ErrorCode.DISK_FULL, where, DiskSpace(needed, free), "there is not enough room"),
    )


def locked_error(where: str) -> WorkerError:
    """Return the error for a database that another program has open."""
    return WorkerError(ErrorCode.LOCKED, f"{where}: {_REASONS[ErrorCode.LOCKED]} (its LOCK is held)")


def defect_error(error: Exception, where: str = "") -> WorkerError:
    """Return the error for an exception of Python: a lack of memory or threads, or a defect."""
    defect = f"this is a defect of jobtui: {type(error).__name__}: {error}"
    text = printable_line(explain_shortage(error) or defect)
    return WorkerError(ErrorCode.IO, f"{where}: {text}" if where else text)


def missing_error(where: str, what: str) -> WorkerError:
    """Return the error for a missing file or database that is found before the work begins."""
    return WorkerError(ErrorCode.MISSING, f"{where}: {what}")


def _full_reason(code: ErrorCode, where: str, message: str) -> str:
    """Return why a disk is full that has free space: a quota or a lack of inodes; else ""."""
    if _QUOTA in message:
        return _QUOTA_REASON
    if code is ErrorCode.DISK_FULL and not has_inodes(Path(where)):
        return NO_INODES
    return ""


def _describe(code: ErrorCode, where: str, room: DiskSpace | None, plain: str | None = None) -> str:
    text = f"{where}: {plain or _REASONS[code]}"
    if code is ErrorCode.DISK_FULL and room is not None and plain != _QUOTA_REASON:
        numbers = [
            f"{format_bytes(size)} {word}"
            for size, word in ((room.needed, "needed"), (room.free, "free"))
            if size is not None
        ]
        if numbers:
            text += f": {', '.join(numbers)}"
    return text
