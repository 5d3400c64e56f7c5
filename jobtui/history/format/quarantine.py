"""Damaged bytes are never thrown away: they are copied here, and a note says what they were."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import DECODE_ERRORS
from jobtui.history.format.codec import framed, lines
from jobtui.history.format.damage import DamageNote
from jobtui.history.format.disk import Disk

DIRECTORY: Final = "quarantine"
NOTES: Final = "NOTES.jsonl"
KEPT: Final = 1000
"""Notes that are remembered at least, the newest; a few more may lie there."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(DamageNote).decode
_ID: Final = re.compile(rb'(?:"put":\{"id"|[0-9a-f]{8}","id"|"set"):(\d{1,19})')


def jobs_in(data: bytes) -> tuple[int, ...]:
    """Job ids that can still be made out in damaged bytes."""
    return tuple(sorted({int(found) for found in _ID.findall(data[:4096])}))


def remembered(disk: Disk, directory: Path) -> tuple[DamageNote, ...]:
    """What was noted in this history by all who wrote it lately, the oldest first. Raises OSError."""
    found = []
    for line in _written(disk, directory)[0]:
        with contextlib.suppress(*DECODE_ERRORS):  # it is of a format that is not known here
            found.append(_decode(line))
    return tuple(found[-KEPT:])


def _written(disk: Disk, directory: Path) -> tuple[list[bytes], bool]:
    """The whole lines of the notes that are remembered, and whether there is nothing else with them."""
    try:
        data = disk.read_whole(directory / DIRECTORY / NOTES)
    except (FileNotFoundError, NotADirectoryError):
        return [], False
    found = list(lines(data))
    return [line for _, line, whole in found if whole], all(whole for _, _, whole in found)


def free(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that is not taken."""
    return next(each for turn in count() if (each := f"{name}.{turn}" if turn else name) not in taken)


class Quarantine:
    """Keeps copies of damaged bytes where the history may be written, and the notes either way."""

    def __init__(self, disk: Disk, directory: Path, *, write: bool) -> None:
        self.above, self.writes = directory, write
        self._disk, self._directory = disk, directory / DIRECTORY
        self.notes: tuple[DamageNote, ...] = ()
        self._one_at_a_time = threading.Lock()
        self._together, self._can_append = False, False
        self._to_remember: list[DamageNote] = []
        self._remembered: dict[bytes, None] | None = None

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

    def put_away(self, file: str, what: str) -> None:
        """Move a whole file of the history here, and note that. Raises OSError."""
        self._make()
        name = free(Path(file).name, self._disk.names(self._directory))
        self._disk.rename(self.above / file, self._directory / name)
        note = DamageNote(file, None, (), what, f"{DIRECTORY}/{name}")
        self.notes = (*self.notes, note)
        self.remember(note)

    def mention(self, file: str, what: str) -> None:
        """Note what is no damage: it is told while this history is open, and not remembered."""
        note = DamageNote(file, None, (), what)
        if note not in self.notes:
            self.notes = (*self.notes, note)

    def remember(self, note: DamageNote) -> None:
        """Write a note down for who asks later, where that works; what was told once is mended soon."""
        if self.writes:
            with self._one_at_a_time:
                self._to_remember.append(note)
                if not self._together:
                    self._write_down()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write down at the end, at once, what is to be remembered."""
        self._together = True
        try:
            yield
        finally:
            with self._one_at_a_time:
                self._together = False
                self._write_down()

    def _write_down(self) -> None:
        notes, self._to_remember = self._to_remember, []
        if not notes:
            return
        with contextlib.suppress(OSError):
            if self._remembered is None:
                written, self._can_append = _written(self._disk, self.above)
                self._remembered = dict.fromkeys(line + b"\n" for line in written)
            known, self._remembered = self._remembered, None
            told = dict.fromkeys(framed(_encode(note)) for note in notes)
            fresh = [line for line in told if line not in known]
            if fresh:
                known |= dict.fromkeys(fresh)
                shared = self._disk.is_shared(self._directory / NOTES)
                if not self._can_append or shared or len(known) > 2 * KEPT:
                    known = dict.fromkeys(list(known)[-KEPT:])
                    self._make()
                    self._disk.put(self._directory / NOTES, b"".join(known))
                    self._can_append = True
                else:
                    self._append(b"".join(fresh))
            self._remembered = known

    def _append(self, data: bytes) -> None:
        file = self._disk.open_to_write(self._directory / NOTES)
        try:
            self._disk.write(file, data, self._disk.size(file))
            self._disk.sync(file)
        finally:
            self._disk.close(file)

    def add_anyway(
        self, file: str, byte: int | None, what: str, data: bytes, jobs: tuple[int, ...] = ()
    ) -> None:
        """The same for damage that stays where it is: without a copy where none can be made."""
        try:
            self.add(file, byte, what, data, jobs)
        except OSError:
            self.add(file, byte, what, jobs=jobs or jobs_in(data))

    def _make(self) -> None:
        if not self._disk.is_directory(self._directory):
            self._disk.make_directory(self._directory)
            self._disk.sync_directory(self._directory.parent)

    def _holds(self, name: str, data: bytes) -> bool:
        with contextlib.suppress(OSError):  # what cannot be read is not what is kept now
            return self._disk.read_whole(self._directory / name) == data
        return False

    def _keep(self, file: str, byte: int | None, data: bytes) -> str:
        self._make()
        taken = set(self._disk.names(self._directory))
        stem = file.replace("/", "-") + (f".{byte}" if byte is not None else "")
        for number in range(len(taken) + 1):
            name = f"{stem}.{number}" if number else stem
            if name not in taken:
                self._disk.put(self._directory / name, data)
                break
            if self._holds(name, data):
                break
        return f"{DIRECTORY}/{name}"
