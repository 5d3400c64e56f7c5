"""The journal: one file that is appended to, and the replay of journals into a state.

Writing: each append is on disk before it counts. Blanks are written ahead, so that an append overwrites them:
the size of the file need not be synced, and some room is left on a disk that has become full.

Replaying: acknowledged changes are applied, and nothing else. An incomplete last batch was never acknowledged,
or is still being written: it does not count. If a complete batch follows damage, the damaged batch had been
acknowledged: its unreadable changes are noted, and the others are applied.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import DECODE_ERRORS, StoreTooNew
from jobtui.history.format.codec import (
    HEADER_SIZE,
    SCHEMA,
    Delta,
    JournalEntry,
    decode_entry,
    frame_line,
    split_lines,
    unknown_field,
)
from jobtui.history.format.disk import Disk, is_full
from jobtui.history.format.manifest import refuse_newer
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.state import State
from jobtui.model import Job

JOURNAL_END: Final = b" \n"
"""The last bytes of every journal; a truncated journal is recognized by their absence."""
_START: Final = "journal-"
_NAME: Final = re.compile(r"journal-(\d{8,})\.jsonl")


def journal_name(number: int) -> str:
    """Return the file name of the journal with that number."""
    return f"journal-{number:08d}.jsonl"


def list_journals(disk: Disk, directory: Path) -> list[tuple[int, Path]]:
    """Return the numbers and paths of the journals, by rising number."""
    return select_journals(directory, disk.list_names(directory))


def select_journals(directory: Path, names: Iterable[str]) -> list[tuple[int, Path]]:
    """Return the journals among these names of the directory, by rising number."""
    numbered_names = ((journal_number(name), name) for name in names)
    return sorted((number, directory / name) for number, name in numbered_names if number is not None)


def journal_number(name: str) -> int | None:
    """Return the number of the journal with this file name, None if it is not a journal."""
    # the prefix first: a history of ten million jobs has 8,000 names of segments
    match = _NAME.fullmatch(name) if name.startswith(_START) else None
    return int(match[1]) if match else None


def encode_batch(changes: Sequence[bytes], last: int) -> list[bytes]:
    """Return the framed lines of a batch of changes (`{…}`), numbered from `last` + 1."""
    span = b'"of":[%d,%d],' % (last + 1, last + len(changes))
    return [
        frame_line(b'{"n":%d,%b%b' % (number, span, change[1:]))
        for number, change in enumerate(changes, last + 1)
    ]


class Journal:
    """An open journal.

    `end` is the offset of the next line; from there to `capacity` blanks are on disk.
    """

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
        """Create a journal that begins with `lines`, durably. After an OSError there is none."""
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
        """Continue a journal whose writer closed it."""
        file = disk.open_to_write(directory / journal_name(number))
        journal = cls(disk, directory, number, file, end, blanks)
        journal.capacity = disk.size(file)
        return journal

    def reserve(self, size: int) -> bool:
        """Write blanks ahead unless `size` bytes and a reserve fit in; return whether it did.

        Raises OSError, after which the blanks from before are still there.
        """
        if self.end + size + len(JOURNAL_END) + self._blanks // 2 <= self.capacity:
            return False
        self.extend(size)
        return True

    def extend(self, size: int) -> None:
        """Append blanks for `size` bytes and a reserve, regardless of the blanks that are left.

        Raises OSError, after which the blanks from before are still there.
        """
        blanks = b" " * (self._blanks + size - 1) + b"\n"
        try:
            self._disk.write(self._file, blanks, self.capacity)
            self._disk.sync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.truncate(self._file, self.capacity)
            raise
        self.capacity += len(blanks)

    @property
    def reserved_bytes(self) -> int:
        """How many bytes fit into the blanks, without the journal's end."""
        return max(0, self.capacity - self.end - len(JOURNAL_END))

    def append(self, data: bytes) -> None:
        """Write and sync. Raises OSError, after which nothing may be appended to this journal.

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
        """Overwrite a failed append with blanks (best effort): no reader may see a commit in it.

        The bytes may be on disk, or be read from memory as if they were. Blanks in their place need no sync:
        even if only some of them reach the disk, the commit is incomplete.
        """
        if self._failed_bytes:
            with contextlib.suppress(OSError):
                self._disk.write(self._file, b" " * (self._failed_bytes - 1) + b"\n", self.end)

    def _check_location(self) -> None:
        seen = self._disk.location_stamp(self._file, self._directory)
        if seen is None or seen != self._location:
            # recorded before the file itself is checked: a later change is noticed at the next append
            self._location = seen
            if not self._disk.is_same_file(self._file, self._place):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._place)

    def trim(self) -> None:
        """Remove the blanks at the end except JOURNAL_END. Raises OSError."""
        self._disk.write(self._file, JOURNAL_END, self.end)
        self._disk.truncate(self._file, self.end + len(JOURNAL_END))
        self._disk.sync(self._file)
        self.capacity = self.end + len(JOURNAL_END)

    def close(self) -> None:
        """Close the file."""
        self._disk.close(self._file)


UNFINISHED_CHANGE: Final = "an unfinished change at the end was cut off"
"""The note about a change that was never acknowledged."""
_ENTRY_START: Final = b'"n":'
_MAX_NAMED: Final = 20
"""The number of missing changes whose numbers are listed."""


class ReplayPosition(msgspec.Struct):
    """The position up to which a history's journals have been read.

    Attributes:
        seq: The number of the last change that was read.
        journal: The number of the current journal.
        offset: Where the current journal continues.
        schema: The format of the current journal's records.
        usable: Whether the journals can be continued: none was stale, and none had an incomplete end.
        durable: The last change that a reader may show while a writer is at work, None for no limit.
        acknowledged: The last change that is known to have been on disk.
    """

    seq: int
    journal: int = 0
    offset: int = 0
    schema: int = 0
    usable: bool = True
    durable: int | None = None
    acknowledged: int = 0


class Replay:
    """A replay, which applies journals to a state in order, and notes their damage."""

    def __init__(
        self, state: State, quarantine: Quarantine, position: ReplayPosition, *, for_writing: bool
    ) -> None:
        self.state, self.position, self.file = state, position, ""
        self.quarantine, self._for_writing = quarantine, for_writing

    def start_journal(self, number: int, file: str) -> None:
        """Begin with the next journal."""
        self.position.journal, self.position.offset = number, 0
        self.file = file

    def apply(self, data: bytes, *, final: bool) -> None:
        """Apply the data that follows the position. Raises OSError and StoreTooNew.

        After an error nothing of it is shown, and the replay must begin again.

        Args:
            data: The bytes from the position to the end of the journal.
            final: Whether no process writes this journal any more; an incomplete batch is then noted.
        """
        reader = _BatchReader(self)
        rest = reader.read(data)
        reader.publish()
        if final and rest:
            self.quarantine.add(self.file, self.position.offset, UNFINISHED_CHANGE, b"\n".join(rest))
            self.position.usable = False

    def decode(self, offset: int, line: bytes) -> JournalEntry:
        """Return the entry of an intact line. Raises StoreTooNew."""
        try:
            entry = decode_entry(line, self.position.schema)
        except DECODE_ERRORS as error:
            raise self.too_new(f"{error}, byte {self.position.offset + offset}") from None
        if entry.journal:
            refuse_newer(entry.schema)
            self.position.schema = entry.schema
        elif entry.put is not None and self._for_writing and self.position.schema == SCHEMA:
            name = unknown_field(line, entry.put)
            if name is not None:
                raise self.too_new(f"field {name!r} of job {entry.put.id}")
        return entry

    def too_new(self, what: str) -> StoreTooNew:
        """Return the error of a journal with something that this version does not know."""
        return StoreTooNew(
            f"{self.file} has content that this jobtui does not know ({what}): "
            "update jobtui; nothing was changed"
        )


class _BatchReader:
    """A reader of one journal's data by batches, which publishes the jobs together at the end."""

    def __init__(self, replay: Replay) -> None:
        self._replay, self._position, self._state = replay, replay.position, replay.state
        self._deltas: dict[int, Delta] = {}
        self._batch: list[JournalEntry] = []
        self._pending_lines: list[tuple[int, bytes, bool]] = []
        self._start, self._is_stale_journal, self._is_base = self._position.offset, False, False

    def read(self, data: bytes) -> list[bytes]:
        """Read the complete batches, and return the lines after them."""
        bound, read = self._position.durable, self._replay.decode
        for offset, line, whole in split_lines(data):
            if not (whole and line.startswith(_ENTRY_START, HEADER_SIZE)):
                # damaged, or an intact line of another file
                self._pending_lines.append((offset, line, False))
                continue
            entry = read(offset + self._start - self._position.offset, line)
            first, last = entry.of
            if bound is not None and last > bound:
                break
            if self._batch and entry.of != self._batch[-1].of:
                # another batch follows: this one was acknowledged, although it cannot be read completely
                self._close_batch()
            self._batch.append(entry)
            self._pending_lines.append((offset, line, whole))
            if entry.n == last and len(self._batch) == last - first + 1:
                self._close_batch()
        if self._batch and self._was_acknowledged():
            self._close_batch()
        return [line for _, line, _ in self._pending_lines]

    def publish(self) -> None:
        """Publish all jobs that were read, or none. Raises OSError and StoreTooNew."""
        state = self._state
        jobs = [self._build(job_id, delta) for job_id, delta in self._deltas.items()]
        for job in jobs:
            if self._is_base or job.id not in state.recent:
                state.find_sealed(job.id)  # loads its segment now, not while the mutex is held
        with state.mutex:
            if self._is_base:
                state.forget_recent()
            for job in jobs:
                state.publish(job)

    def _was_acknowledged(self) -> bool:
        """Return whether the last batch is known to have been on disk as a whole."""
        return self._batch[-1].of[1] <= self._position.acknowledged

    def _close_batch(self) -> None:
        """Apply the batch that was read, and note the damage before its end."""
        batch, lines = self._batch, self._pending_lines
        last = len(lines) - 1
        if len(lines) != len(batch):  # otherwise all lines are intact, as nearly always
            last = max(place for place, (_, _, whole) in enumerate(lines) if whole)
        if len(batch) > 1:
            batch.sort(key=lambda entry: entry.n)  # damage may have moved lines
        if self._start_batch(batch[0]):
            if len(lines) != len(batch):
                self._note_damage(lines[:last])
            for entry in batch:
                self._apply(entry)
        offset, line, _ = lines[last]
        self._position.offset = self._start + offset + len(line) + 1
        self._pending_lines = lines[last + 1 :]
        self._batch = []

    def _note_damage(self, lines: list[tuple[int, bytes, bool]]) -> None:
        for start, damaged, whole in lines:
            if not whole:
                what = "a change cannot be read"
                self._replay.quarantine.add(self._replay.file, self._start + start, what, damaged)

    def _start_batch(self, first: JournalEntry) -> bool:
        """Return whether the batch counts; False in a journal that a failed rotation left behind."""
        position = self._position
        if first.base:
            self._deltas, self._is_base = {}, True
            position.seq = first.n - 1
        elif self._is_stale_journal or (position.offset == 0 and _is_stale(first, position)):
            self._is_stale_journal, position.usable = True, False
        elif position.seq < 0:
            position.seq = first.n - 1
        return not self._is_stale_journal

    def _apply(self, entry: JournalEntry) -> None:
        number, position = entry.n, self._position
        expected = position.seq + 1
        if number != expected:
            if number < expected:
                self._replay.quarantine.add(self._replay.file, None, f"change {number} occurs more than once")
                return
            self._note_missing(expected, number)
        position.seq = number
        if entry.set:
            self._add_delta(entry)
        elif entry.put is not None:
            self._deltas[entry.put.id] = Delta(entry.put)
        else:
            self._state.next_id = max(self._state.next_id, entry.next_id)

    def _add_delta(self, entry: JournalEntry) -> None:
        delta = self._deltas.get(entry.set)
        if delta is None and (before := self._base_version(entry.set)) is not None:
            delta = self._deltas[entry.set] = Delta(before)
        try:
            if delta is None:
                raise IndexError
            delta.add(entry)
        except IndexError:
            what = f"change {entry.n} to job {entry.set} cannot be applied: what it changes is missing"
            self._replay.quarantine.add(self._replay.file, None, what, jobs=(entry.set,))
            self._state.next_id = max(self._state.next_id, entry.set + 1)

    def _base_version(self, job_id: int) -> Job | None:
        """Return the version from before this data.

        If the journal restates all jobs, that is the sealed one.
        """
        try:
            return self._state.get_sealed(job_id) if self._is_base else self._state.get(job_id)
        except FileNotFoundError:
            if self._position.durable is not None:
                raise  # a writer at work has just archived it
            return self._state.salvage(job_id)

    def _build(self, job_id: int, delta: Delta) -> Job:
        try:
            return delta.apply()
        except KeyError as error:
            raise self._replay.too_new(f"field {error} of job {job_id}") from None
        except DECODE_ERRORS as error:
            raise self._replay.too_new(f"{error}, in job {job_id}") from None

    def _note_missing(self, expected: int, number: int) -> None:
        missing = ", ".join(str(each) for each in range(expected, min(number, expected + _MAX_NAMED)))
        more = f" and {number - expected - _MAX_NAMED} more" if number - expected > _MAX_NAMED else ""
        what = f"acknowledged changes are missing: {missing}{more}"
        self._replay.quarantine.add(self._replay.file, None, what)
        self._state.next_id += number - expected  # each of them may have been a new job


def _is_stale(first: JournalEntry, position: ReplayPosition) -> bool:
    """Return whether a failed rotation left this journal: the one before it has later changes."""
    return first.n <= position.seq
