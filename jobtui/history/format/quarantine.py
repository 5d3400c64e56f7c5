"""The health of a history, notes about damage, and copies of the damaged bytes.

Copies are never deleted.
"""

from __future__ import annotations

import contextlib
import enum
import re
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import DECODE_ERRORS, StoreError
from jobtui.formatting import format_ids
from jobtui.history.format.codec import frame_line, split_lines
from jobtui.history.format.disk import Disk

_MAX_NAMED: Final = 20
"""The number of ids, or runs of ids, that are listed."""


class Health(enum.Enum):
    """Whether a history accepts changes: yes, not while the disk is full, or never again."""

    OK = "ok"
    FULL = "full"
    READ_ONLY = "read-only"


class DamageNote(msgspec.Struct, frozen=True):
    """A note about bytes on disk that are not as they were written.

    Attributes:
        file: The file, relative to the history's directory.
        byte: The offset in the file, None for the whole file.
        jobs: The known ids of the jobs concerned.
        what: What is wrong.
        kept: The file with a copy of the damaged bytes, relative to the history's directory; "" if there is
            none.
    """

    file: str
    byte: int | None
    jobs: tuple[int, ...]
    what: str
    kept: str = ""

    def __str__(self) -> str:
        place = self.file if self.byte is None else f"{self.file}, byte {self.byte}"
        kept = f" (kept in {self.kept})" if self.kept else ""
        return f"{place}: {self.what}{_of_jobs(self.jobs)}{kept}"


def _of_jobs(ids: Sequence[int]) -> str:
    if not ids:
        return ""
    return f", of {'job' if len(ids) == 1 else 'jobs'} {format_ids(ids, _MAX_NAMED)}"


def describe_damage(notes: Sequence[DamageNote]) -> str:
    """Return the damage in a sentence, with what to do next, "" if there is none."""
    if not notes:
        return ""
    others = sorted({job for note in notes[1:] for job in note.jobs}.difference(notes[0].jobs))
    more = f" (and {len(notes) - 1} more{_of_jobs(others)})" if len(notes) > 1 else ""
    return f"The history was damaged: {notes[0]}{more}. jobtui history verify reports all of it"


@contextmanager
def convert_read_errors() -> Iterator[None]:
    """Raise a StoreError for an error of the system while the history is read."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StoreError(f"The history cannot be read: {where}{error.strerror or error}") from error
    except RecursionError as error:
        raise StoreError("The history cannot be read: its content is nested too deeply") from error


QUARANTINE_DIRECTORY: Final = "quarantine"
NOTES_NAME: Final = "NOTES.jsonl"
MAX_NOTES: Final = 1000
"""The number of newest notes that are kept; the file may have up to twice as many."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(DamageNote).decode
_ID: Final = rb'(?:"put":\{"id"|[0-9a-f]{8}","id"|"set"):(\d{1,19})'


def job_ids_in(data: bytes) -> tuple[int, ...]:
    """Return the job ids that can still be read in damaged bytes."""
    return tuple(sorted({int(found) for found in re.findall(_ID, data[:4096])}))


def read_notes(disk: Disk, directory: Path) -> tuple[DamageNote, ...]:
    """Return the notes of the latest writers of this history, the oldest first.

    Raises OSError.
    """
    found = []
    for line in _read_note_lines(disk, directory)[0]:
        with contextlib.suppress(*DECODE_ERRORS):  # it has a format that this version does not know
            found.append(_decode(line))
    return tuple(found[-MAX_NOTES:])


def _read_note_lines(disk: Disk, directory: Path) -> tuple[list[bytes], bool]:
    """Return the intact lines of the stored notes, and whether the file has nothing else."""
    try:
        data = disk.read_file(directory / QUARANTINE_DIRECTORY / NOTES_NAME)
    except (FileNotFoundError, NotADirectoryError):
        return [], False
    found = list(split_lines(data))
    return [line for _, line, whole in found if whole], all(whole for _, _, whole in found)


def unused_name(name: str, taken: Collection[str]) -> str:
    """Return the name, or the name with the first number that is not taken."""
    return next(each for turn in count() if (each := f"{name}.{turn}" if turn else name) not in taken)


class Quarantine:
    """The notes about damage and, if the history may be written, copies of damaged bytes."""

    def __init__(self, disk: Disk, directory: Path, *, write: bool) -> None:
        self.history_directory, self.can_write = directory, write
        self._disk, self._directory = disk, directory / QUARANTINE_DIRECTORY
        self.notes: tuple[DamageNote, ...] = ()
        self._lock = threading.Lock()
        self._is_batching, self._can_append = False, False
        self._pending: list[DamageNote] = []
        self._on_disk: dict[bytes, None] | None = None

    def add(
        self, file: str, byte: int | None, what: str, data: bytes = b"", jobs: tuple[int, ...] = ()
    ) -> None:
        """Note damage and store a copy of `data`, unless it is noted already. Raises OSError."""
        if any(note.file == file and note.byte == byte and note.what == what for note in self.notes):
            return
        kept = self._store_copy(file, byte, data) if data and self.can_write else ""
        note = DamageNote(file, byte, jobs or job_ids_in(data), what, kept)
        self.notes = (*self.notes, note)
        self.remember(note)

    def move_in(self, file: str) -> None:
        """Move a file that the manifest does not name to the quarantine, with a note.

        Raises OSError.
        """
        self._make_directory()
        name = unused_name(Path(file).name, self._disk.list_names(self._directory))
        self._disk.rename(self.history_directory / file, self._directory / name)
        note = DamageNote(file, None, (), "the manifest does not name it", f"{QUARANTINE_DIRECTORY}/{name}")
        self.notes = (*self.notes, note)
        self.remember(note)

    def note(self, file: str, what: str) -> None:
        """Add a note that is not about damage; it is shown, and not stored."""
        note = DamageNote(file, None, (), what)
        if note not in self.notes:
            self.notes = (*self.notes, note)

    def remember(self, note: DamageNote) -> None:
        """Store a note for later readers (best effort)."""
        if self.can_write:
            with self._lock:
                self._pending.append(note)
                if not self._is_batching:
                    self._flush_pending()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Store the notes of the block together, at its end."""
        self._is_batching = True
        try:
            yield
        finally:
            with self._lock:
                self._is_batching = False
                self._flush_pending()

    def _flush_pending(self) -> None:
        notes, self._pending = self._pending, []
        if not notes:
            return
        with contextlib.suppress(OSError):
            if self._on_disk is None:
                written, self._can_append = _read_note_lines(self._disk, self.history_directory)
                self._on_disk = dict.fromkeys(line + b"\n" for line in written)
            # unknown while it is written: after an error the file is read again
            known, self._on_disk = self._on_disk, None
            lines = dict.fromkeys(frame_line(_encode(note)) for note in notes)
            fresh = [line for line in lines if line not in known]
            if fresh:
                known |= dict.fromkeys(fresh)
                shared = self._disk.has_second_name(self._directory / NOTES_NAME)
                if not self._can_append or shared or len(known) > 2 * MAX_NOTES:
                    known = dict.fromkeys(list(known)[-MAX_NOTES:])
                    self._make_directory()
                    self._disk.write_atomically(self._directory / NOTES_NAME, b"".join(known))
                    self._can_append = True
                else:
                    self._append(b"".join(fresh))
            self._on_disk = known

    def _append(self, data: bytes) -> None:
        file = self._disk.open_to_write(self._directory / NOTES_NAME)
        try:
            self._disk.write(file, data, self._disk.size(file))
            self._disk.sync(file)
        finally:
            self._disk.close(file)

    def add_in_place(
        self, file: str, byte: int | None, what: str, data: bytes, jobs: tuple[int, ...] = ()
    ) -> None:
        """Note damage that stays in its file, with a copy if one can be stored. Raises OSError."""
        try:
            self.add(file, byte, what, data, jobs)
        except OSError:
            self.add(file, byte, what, jobs=jobs or job_ids_in(data))

    def _make_directory(self) -> None:
        if not self._disk.is_directory(self._directory):
            self._disk.make_directory(self._directory)
            self._disk.sync_directory(self._directory.parent)

    def _holds(self, name: str, data: bytes) -> bool:
        with contextlib.suppress(OSError):  # a copy that cannot be read does not hold these bytes
            return self._disk.read_file(self._directory / name) == data
        return False

    def _store_copy(self, file: str, byte: int | None, data: bytes) -> str:
        self._make_directory()
        taken = set(self._disk.list_names(self._directory))
        stem = file.replace("/", "-") + (f".{byte}" if byte is not None else "")
        for number in range(len(taken) + 1):
            name = f"{stem}.{number}" if number else stem
            if name not in taken:
                self._disk.write_atomically(self._directory / name, data)
                break
            if self._holds(name, data):
                break
        return f"{QUARANTINE_DIRECTORY}/{name}"
