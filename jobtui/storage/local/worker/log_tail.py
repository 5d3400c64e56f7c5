"""The end of RocksDB's log: the lines that it writes while a flush or compaction works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from jobtui.formatting import printable_line
from jobtui.storage.local.worker.database import Database

MOST_LINES: Final = 40
"""The lines of one task that are reported; the newest of more."""
_MOST_BYTES: Final = 256 << 10
_LONGEST_LINE: Final = 400
# the time, the thread, a level if it is not INFO, the place in RocksDB's source, and the text
_LINE: Final = re.compile(
    r"^\d{4}/\d\d/\d\d-(\d\d:\d\d:\d\d)\.\d+ \w+ (?:\[(\w+)\] )?\[[\w/.]+\.(?:cc|h):\d+\] (.*)$", re.MULTILINE
)
_DUMP: Final = "--- Options for column family"


class LogTail:
    """The lines that are added to the log of a database from now on; none if there is no log."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begin = _identify(database.log)

    def read(self) -> tuple[str, ...]:
        """Return the newest of the added lines, each with its time of day, without what RocksDB dumps."""
        path = self._database.log
        before, now = self._begin, _identify(path)
        if now is None:
            return ()
        # RocksDB begins a new file when it opens a database
        start = before[1] if before is not None and before[0] == now[0] else 0
        try:
            with open(path, "rb") as log:
                log.seek(max(start, now[1] - _MOST_BYTES))
                text = log.read(_MOST_BYTES).decode("utf-8", "replace")
        except OSError:
            return ()
        lines = [
            printable_line(" ".join(filter(None, found.groups())), _LONGEST_LINE)
            for found in _LINE.finditer(text)
            if _DUMP not in found[3]
        ]
        return tuple(lines[-MOST_LINES:])


def _identify(path: Path) -> tuple[tuple[int, int], int] | None:
    """Return the device and inode of the file, and its size in bytes; None if it cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino), found.st_size
