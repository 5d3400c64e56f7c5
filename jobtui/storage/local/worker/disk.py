"""What the file system says of a directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TABLE = re.compile(r"\d+\.(?:sst|ldb)")


def free_bytes(path: Path) -> int | None:
    """Bytes that may still be written on the path's disk, None where it can't be told."""
    try:
        status = os.statvfs(path)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def table_files(path: Path) -> set[str]:
    """Names of the SST files in a database's directory. Raises OSError."""
    return {entry.name for entry in os.scandir(path) if _TABLE.fullmatch(entry.name)}


def bytes_of_others(path: Path, known: set[str]) -> int:
    """Bytes in the SST files of a database's directory that are not `known`; 0 where it can't be read."""
    size = 0
    try:
        for entry in os.scandir(path):
            if entry.name not in known and _TABLE.fullmatch(entry.name):
                size += entry.stat().st_size
    except OSError:
        return 0  # a file, or all of them, went this moment
    return size


def wal_bytes(path: Path) -> int:
    """Bytes in a database's write-ahead logs. Raises OSError."""
    return sum(entry.stat().st_size for entry in os.scandir(path) if entry.name.endswith(".log"))
