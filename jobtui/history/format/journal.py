"""The journal being written: one file, appended to, and each append is on disk before it counts.

Blanks are written ahead, so that an append overwrites them: the size of the file need not be synced, and
there is some room left on a disk that has become full.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from jobtui.history.format.codec import frame
from jobtui.history.format.disk import Disk, is_full

JOURNAL_END: Final = b" \n"
"""What a journal ends with at all times, so that one that was cut off can be told from a whole one."""
_START: Final = "journal-"
_NAME: Final = re.compile(r"journal-(\d{8,})\.jsonl")


def journal_name(number: int) -> str:
    """Return the file of the journal with that number."""
    return f"journal-{number:08d}.jsonl"


def list_journals(disk: Disk, directory: Path) -> list[tuple[int, Path]]:
    """Return the journals that there are, by rising number."""
    return select_journals(directory, disk.list_names(directory))


def select_journals(directory: Path, names: Iterable[str]) -> list[tuple[int, Path]]:
    """Return the same, where it is known what names the directory holds."""
    numbered_names = ((journal_number(name), name) for name in names)
    return sorted((number, directory / name) for number, name in numbered_names if number is not None)


def journal_number(name: str) -> int | None:
    """Return the number of the journal whose file has that name, None where it is no journal."""
    match = _NAME.fullmatch(name) if name.startswith(_START) else None
    return int(match[1]) if match else None


def encode_batch(changes: Sequence[bytes], last: int) -> list[bytes]:
    """Return the framed lines of a batch: changes (`{…}`) that share one sync, numbered on from `last`."""
    span = b'"of":[%d,%d],' % (last + 1, last + len(changes))
    return [
        frame(b'{"n":%d,%b%b' % (number, span, change[1:])) for number, change in enumerate(changes, last + 1)
    ]


class Journal:
    """An open journal; `end` is where the next line goes, and up to `capacity` blanks are on disk."""

    def __init__(self, disk: Disk, directory: Path, number: int, file: int, end: int, blanks: int) -> None:
        self.number, self.end, self.capacity = number, end, end
        self.path = directory / journal_name(number)
        self._place = str(self.path)
        self._directory = str(directory)
        self._disk, self._file, self._blanks = disk, file, blanks
        self._failed_bytes = 0
        self._location: tuple[str, int, int] | None = None

    @classmethod
    def create(cls, disk: Disk, directory: Path, number: int, lines: Sequence[bytes], blanks: int) -> Journal:
        """Return a new journal that begins with `lines`, durably. Raises OSError, and then there is none."""
        data = b"".join(lines)
        end = len(data)
        path = directory / journal_name(number)
        file = disk.create(path)
        ahead = JOURNAL_END.rjust(max(blanks, len(JOURNAL_END)))
        try:
            disk.write(file, data + JOURNAL_END, 0)
            try:
                disk.write(file, ahead, end)
            except OSError as error:
                if not is_full(error):
                    raise
                disk.truncate(file, end + len(JOURNAL_END))
                ahead = JOURNAL_END
            disk.sync(file)
            disk.sync_directory(directory)
        except OSError:
            disk.close(file)
            with contextlib.suppress(OSError):
                disk.remove(path)
            raise
        journal = cls(disk, directory, number, file, end, blanks)
        journal.capacity += len(ahead)
        return journal

    @classmethod
    def reopen(cls, disk: Disk, directory: Path, number: int, end: int, blanks: int) -> Journal:
        """Go on with a journal whose writer ended in peace."""
        file = disk.open_to_write(directory / journal_name(number))
        journal = cls(disk, directory, number, file, end, blanks)
        journal.capacity = disk.size(file)
        return journal

    def reserve(self, size: int) -> bool:
        """Have `size` bytes of blanks ahead, and half a stretch of them in reserve; True if some were written.

        Raises OSError, after which those that were there are there still.
        """
        if self.end + size + len(JOURNAL_END) + self._blanks // 2 <= self.capacity:
            return False
        stretch = b" " * (self._blanks + size - 1) + b"\n"
        try:
            self._disk.write(self._file, stretch, self.capacity)
            self._disk.sync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.truncate(self._file, self.capacity)
            raise
        self.capacity += len(stretch)
        return True

    @property
    def reserved_bytes(self) -> int:
        """How many bytes fit into the blanks that are there, of which the last ones stay."""
        return max(0, self.capacity - self.end - len(JOURNAL_END))

    def append(self, data: bytes) -> None:
        """Write and sync. Raises OSError, after which nothing may be appended to this journal any more.

        A file that was deleted or moved still accepts every byte, which would be lost: that is an error, too.
        """
        try:
            self._disk.write(self._file, data, self.end)
            self._disk.sync_data(self._file)
            self._check_location()
        except OSError:
            self._failed_bytes = len(data)
            raise
        self.end += len(data)

    def erase_failed_append(self) -> None:
        """Overwrite a failed append with blanks (best effort), so that no reader takes it for a commit.

        The bytes may be on disk, or be read from memory as if they were. Blanks in their place need no sync:
        whichever of them survive, the commit is not whole.
        """
        if self._failed_bytes:
            with contextlib.suppress(OSError):
                self._disk.write(self._file, b" " * (self._failed_bytes - 1) + b"\n", self.end)

    def _check_location(self) -> None:
        seen = self._disk.location_stamp(self._file, self._directory)
        if seen is None or seen != self._location:
            # what was seen before the look at the file itself: a change since then shows the next time
            self._location = seen
            if not self._disk.is_same_file(self._file, self._place):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._place)

    def trim(self) -> None:
        """Take the blanks off the end, but the last one. Raises OSError."""
        self._disk.write(self._file, JOURNAL_END, self.end)
        self._disk.truncate(self._file, self.end + len(JOURNAL_END))
        self._disk.sync(self._file)
        self.capacity = self.end + len(JOURNAL_END)

    def close(self) -> None:
        """Close the file."""
        self._disk.close(self._file)
