"""Damaged bytes are never thrown away: they are copied here, and a note says what they were."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Final

import msgspec

from jobtui.history.errors import DamageNote
from jobtui.history.framing import framed, lines
from jobtui.history.io import Disk

DIRECTORY: Final = "quarantine"
NOTES: Final = "NOTES.jsonl"
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(DamageNote).decode
_ID: Final = re.compile(rb'(?:"put":\{"id"|[0-9a-f]{8}","id"|"set"):(\d{1,19})')


def jobs_in(data: bytes) -> tuple[int, ...]:
    """Job ids that can still be made out in damaged bytes."""
    return tuple(sorted({int(found) for found in _ID.findall(data[:4096])}))


def remembered(disk: Disk, directory: Path) -> tuple[DamageNote, ...]:
    """What was noted in this history by all who wrote it so far. Raises OSError."""
    try:
        data = disk.read_whole(directory / DIRECTORY / NOTES)
    except FileNotFoundError:
        return ()
    return tuple(_decode(line) for _, line, whole in lines(data) if whole)


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
        note = DamageNote(file, byte, jobs or jobs_in(data), what, kept)
        self.notes = (*self.notes, note)
        self.remember(note)

    def remember(self, note: DamageNote) -> None:
        """Write a note down for who asks later, where that works; what was told once is mended soon."""
        if self.writes:
            with contextlib.suppress(OSError):
                known = remembered(self._disk, self.above)
                if note not in known:
                    self._make()
                    lines = (framed(_encode(each)) for each in (*known, note))
                    self._disk.put(self._directory / NOTES, b"".join(lines))

    def add_anyway(self, file: str, byte: int, what: str, data: bytes, jobs: tuple[int, ...] = ()) -> None:
        """The same for damage that stays where it is: without a copy where none can be made."""
        try:
            self.add(file, byte, what, data, jobs)
        except OSError:
            self.add(file, byte, what, jobs=jobs or jobs_in(data))

    def _make(self) -> None:
        if not self._disk.is_directory(self._directory):
            self._disk.make_directory(self._directory)
            self._disk.sync_directory(self._directory.parent)

    def _keep(self, file: str, byte: int | None, data: bytes) -> str:
        self._make()
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
