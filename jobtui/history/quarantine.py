"""Damaged bytes are never thrown away: they are copied here, and a note says what they were."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from jobtui.history.errors import DamageNote
from jobtui.history.io import Disk

DIRECTORY: Final = "quarantine"
_ID: Final = re.compile(rb'(?:"put":\{"id"|[0-9a-f]{8}","id"|"set"):(\d{1,19})')


def jobs_in(data: bytes) -> tuple[int, ...]:
    """Job ids that can still be made out in damaged bytes."""
    return tuple(sorted({int(found) for found in _ID.findall(data[:4096])}))


class Quarantine:
    """Keeps copies of damaged bytes where the history may be written, and the notes either way."""

    def __init__(self, disk: Disk, directory: Path, *, write: bool) -> None:
        self.above, self.writes = directory, write
        self._disk, self._directory = disk, directory / DIRECTORY
        self.notes: tuple[DamageNote, ...] = ()

    def add(
        self, file: str, byte: int | None, what: str, data: bytes = b"", jobs: tuple[int, ...] = ()
    ) -> None:
        """Note damage, and keep `data`; a damage that is noted already is not noted again. Raises OSError."""
        if any(note.file == file and note.byte == byte and note.what == what for note in self.notes):
            return
        kept = self._keep(file, byte, data) if data and self.writes else ""
        self.notes = (*self.notes, DamageNote(file, byte, jobs or jobs_in(data), what, kept))

    def add_anyway(self, file: str, byte: int, what: str, data: bytes, jobs: tuple[int, ...] = ()) -> None:
        """The same for damage that stays where it is: without a copy where none can be made."""
        try:
            self.add(file, byte, what, data, jobs)
        except OSError:
            self.add(file, byte, what, jobs=jobs or jobs_in(data))

    def _keep(self, file: str, byte: int | None, data: bytes) -> str:
        if not self._disk.is_directory(self._directory):
            self._disk.make_directory(self._directory)
            self._disk.sync_directory(self._directory.parent)
        taken = set(self._disk.names(self._directory))
        stem = file.replace("/", "-") + (f".{byte}" if byte is not None else "")
        for number in range(len(taken) + 1):
            name = f"{stem}.{number}" if number else stem
            if name not in taken:
                self._disk.put(self._directory / name, data)
                break
            if self._disk.read_whole(self._directory / name) == data:
                break
        return f"{DIRECTORY}/{name}"
