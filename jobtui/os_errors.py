"""The system's errors as text, with the limit that was reached and how to raise it.

A limit of the process is easily mistaken for a failing disk: "File too large" is `ulimit -f`, and "No space
left on device" is also the error of a file system without free inodes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from pathlib import Path
from typing import Final

_LIMITS: Final = {
    errno.EMFILE: (resource.RLIMIT_NOFILE, "a process may have {} files open here", "-n"),
    errno.EFBIG: (resource.RLIMIT_FSIZE, "a file may have {} bytes here", "-f"),
    errno.EAGAIN: (resource.RLIMIT_NPROC, "a user may have {} processes and threads here", "-u"),
    errno.ENOMEM: (resource.RLIMIT_AS, "a process may have {} bytes of memory here", "-v"),
}
_DATA_LIMIT: Final = (resource.RLIMIT_DATA, "a process may have {} bytes of data in memory here", "-d")
_NO_THREAD: Final = "can't start new thread"
"""The text of Python's RuntimeError if the system returns EAGAIN or ENOMEM."""
_NOT_MAPPED: Final = "failed to map segment"  # of a shared library, with which an import fails
NO_INODES: Final = "the file system has no free inodes (df -i shows it)"
NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
"""The errors of flock on a file system without locks."""


def describe_os_error(error: OSError, path: Path | None = None) -> str:
    """Return the reason, and the setting to change if it is a limit.

    Args:
        error: The error.
        path: The file that was written, if known.
    """
    words = error.strerror or str(error)
    match error.errno:
        case errno.ENOSPC:
            return words if has_inodes(path) else f"{words}: {NO_INODES}"
        case errno.EDQUOT:
            return f"{words} (quota -s shows it)"
        case errno.ENFILE:
            return f"{words}: the system's limit, fs.file-max, is reached"
    limit = describe_limit(error.errno)
    return f"{words}: {limit}" if limit else words


def describe_limit(number: int | None) -> str:
    """Return the limit of this process that causes an error number, "" if there is none."""
    if number not in _LIMITS:
        return ""
    for which, words, option in (_LIMITS[number], *((_DATA_LIMIT,) if number == errno.ENOMEM else ())):
        allowed, _ = resource.getrlimit(which)
        if allowed != resource.RLIM_INFINITY:
            return f"{words.format(f'{allowed:,}')}; raise that limit (ulimit {option})"
    return ""


def explain_shortage(error: Exception) -> str:
    """Return the text for an error caused by this process's environment, "" for any other.

    Threads, memory, open files or disk space ran out, or the clock is out of range.
    """
    if isinstance(error, OSError) and error.errno in {*_LIMITS, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}:
        where = f"{error.filename}: " if error.filename else ""
        return where + describe_os_error(error, Path(os.fsdecode(error.filename)) if error.filename else None)
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        limits = [describe_limit(number) for number in (errno.EAGAIN, errno.ENOMEM)]
        return "; ".join(filter(None, ("no more threads can be started", *limits)))
    if isinstance(error, OverflowError) and "timestamp" in str(error):
        return "the system's clock is wrong: its year is beyond 2262, which Python cannot read; set it (date)"
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and _NOT_MAPPED in str(error)):
        return "; ".join(filter(None, ("there is not enough memory", describe_limit(errno.ENOMEM))))
    return ""


def has_inodes(path: Path | None) -> bool:
    """Return whether the file system of a path, which may not exist yet, has free inodes."""
    for place in (path, *path.absolute().parents) if path is not None else ():
        with contextlib.suppress(OSError):
            disk = os.statvfs(place)
            return not disk.f_files or disk.f_favail > 0
    return True


def bare_reason(error: Exception) -> str:
    """Return the bare reason of an error: `Connection refused`, `certificate has expired`."""
    # late: they take 9 ms to import, and only an error of a connection needs them
    import socket
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
