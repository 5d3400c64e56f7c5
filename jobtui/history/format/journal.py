"""The journal that is written: one file, appended to, each append on disk before it counts.

Blanks are written ahead, so that an append overwrites: the file's size need not be synced with it, and
there is room left for a while on a disk that has become full.
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
from jobtui.history.format.codec import HEAD, SCHEMA, Delta, Entry, decode_entry, framed, lines, unknown_field
from jobtui.history.format.disk import Disk, is_full
from jobtui.history.format.manifest import refuse_newer
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.state import State
from jobtui.model import Job

END: Final = b" \n"
"""What a journal ends with at all times, so that one that was cut off can be told from a whole one."""
_START: Final = "journal-"
_NAME: Final = re.compile(r"journal-(\d{8,})\.jsonl")


def journal_name(number: int) -> str:
    """The file of the journal with that number."""
    return f"journal-{number:08d}.jsonl"


def journals(disk: Disk, directory: Path) -> list[tuple[int, Path]]:
    """The journals that there are, by rising number."""
    return journals_among(directory, disk.names(directory))


def journals_among(directory: Path, names: Iterable[str]) -> list[tuple[int, Path]]:
    """The same, where it is known what names the directory holds."""
    numbered_names = ((journal_number(name), name) for name in names)
    return sorted((number, directory / name) for number, name in numbered_names if number is not None)


def journal_number(name: str) -> int | None:
    """The number of the journal whose file has that name, None where it is no journal."""
    match = _NAME.fullmatch(name) if name.startswith(_START) else None
    return int(match[1]) if match else None


def numbered(changes: Sequence[bytes], last: int) -> list[bytes]:
    """The framed lines of a batch: changes (`{…}`) that share one sync, numbered on from `last`."""
    span = b'"of":[%d,%d],' % (last + 1, last + len(changes))
    return [
        framed(b'{"n":%d,%b%b' % (number, span, change[1:])) for number, change in enumerate(changes, last + 1)
    ]


class Journal:
    """An open journal; `end` is where the next line goes, and up to `capacity` blanks are on disk."""

    def __init__(self, disk: Disk, directory: Path, number: int, file: int, end: int, blanks: int) -> None:
        self.number, self.end, self.capacity = number, end, end
        self.path = directory / journal_name(number)
        self._place = str(self.path)
        self._directory = str(directory)
        self._disk, self._file, self._blanks = disk, file, blanks
        self._in_doubt = 0
        self._whereabouts: tuple[str, int, int] | None = None

    @classmethod
    def create(cls, disk: Disk, directory: Path, number: int, lines: Sequence[bytes], blanks: int) -> Journal:
        """A new journal that begins with `lines`, durably. Raises OSError, and then there is none."""
        data = b"".join(lines)
        end = len(data)
        path = directory / journal_name(number)
        file = disk.create(path)
        ahead = END.rjust(max(blanks, len(END)))
        try:
            disk.write(file, data + END, 0)
            try:
                disk.write(file, ahead, end)
            except OSError as error:
                if not is_full(error):
                    raise
                disk.truncate(file, end + len(END))
                ahead = END
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

    def make_room(self, size: int) -> bool:
        """Have `size` bytes of blanks ahead, and half a stretch of them in reserve; True if some were written.

        Raises OSError, after which those that were there are there still.
        """
        if self.end + size + len(END) + self._blanks // 2 <= self.capacity:
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
    def room(self) -> int:
        """How many bytes fit into the blanks that are there, of which the last ones stay."""
        return max(0, self.capacity - self.end - len(END))

    def append(self, data: bytes) -> None:
        """Write and sync. Raises OSError, after which nothing may be appended to this journal any more.

        A file that was deleted, moved away or whose disk was taken away still takes every byte, and nobody
        would find them again: that is an error, too.
        """
        try:
            self._disk.write(self._file, data, self.end)
            self._disk.sync_data(self._file)
            self._see_that_it_is_there()
        except OSError:
            self._in_doubt = len(data)
            raise
        self.end += len(data)

    def take_back(self) -> None:
        """Have nobody find what could not be appended and was refused, as far as that is in our power.

        The bytes may be on disk, or be read from memory as if they were. Blanks in their place need no sync:
        whichever of them survive, the commit is not whole.
        """
        if self._in_doubt:
            with contextlib.suppress(OSError):
                self._disk.write(self._file, b" " * (self._in_doubt - 1) + b"\n", self.end)

    def _see_that_it_is_there(self) -> None:
        seen = self._disk.whereabouts(self._file, self._directory)
        if seen is None or seen != self._whereabouts:
            # what was seen before the look at the file itself: a change since then shows the next time
            self._whereabouts = seen
            if not self._disk.is_at(self._file, self._place):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._place)

    def cut(self) -> None:
        """Take the blanks off the end, but the last one. Raises OSError."""
        self._disk.write(self._file, END, self.end)
        self._disk.truncate(self._file, self.end + len(END))
        self._disk.sync(self._file)
        self.capacity = self.end + len(END)

    def close(self) -> None:
        """Let go of the file."""
        self._disk.close(self._file)


# ---- merged from jobtui.history.replay: ----
# Reading journals back: what was acknowledged is applied, and nothing else.
#
# An incomplete last batch was never acknowledged (or it is still being written): it does not count. Damage
# before a later batch was acknowledged: what can't be read is named, the rest is applied.
#
UNFINISHED: Final = "an unfinished change at the end was cut off"
"""Nobody was told that this change was made."""
_BEGINNING: Final = b'"n":'
_NAMED: Final = 20
"""Numbers of missing changes that are named one by one."""


class ReplayPosition(msgspec.Struct):
    """How far a history's journals have been read.

    `seq` is the last change read, `offset` where the current journal goes on, `schema` its records'
    format. `usable`: all journals were, and none had a torn end. `durable` bounds what a reader beside a
    writer may take (None: no bound), and up to `acknowledged` all is known to have been on disk.
    """

    seq: int
    journal: int = 0
    offset: int = 0
    schema: int = 0
    usable: bool = True
    durable: int | None = None
    acknowledged: int = 0


class Replay:
    """Applies journals to a state, in order, and notes what is wrong with them."""

    def __init__(
        self, state: State, quarantine: Quarantine, reading: ReplayPosition, *, to_write: bool
    ) -> None:
        self.state, self.reading, self.file = state, reading, ""
        self.quarantine, self._to_write = quarantine, to_write

    def begin(self, number: int, file: str) -> None:
        """Turn to the next journal."""
        self.reading.journal, self.reading.offset = number, 0
        self.file = file

    def take(self, data: bytes, *, final: bool) -> None:
        """Apply what follows the place that was read last. Raises OSError and StoreTooNew.

        `final`: nobody writes this journal any more, so what is incomplete stays so and is noted. After an
        error nothing of it is shown, and it can't be gone on with: it must be read again from the beginning.
        """
        taking = _BatchReader(self)
        rest = taking.all_of(data)
        taking.show()
        if final and rest:
            self.quarantine.add(self.file, self.reading.offset, UNFINISHED, b"\n".join(rest))
            self.reading.usable = False

    def entry(self, offset: int, line: bytes) -> Entry:
        """What a whole line says. Raises StoreTooNew."""
        try:
            entry = decode_entry(line, self.reading.schema)
        except DECODE_ERRORS as error:
            raise self.too_new(f"{error}, byte {self.reading.offset + offset}") from None
        if entry.journal:
            refuse_newer(entry.schema)
            self.reading.schema = entry.schema
        elif entry.put is not None and self._to_write and self.reading.schema == SCHEMA:
            name = unknown_field(line, entry.put)
            if name is not None:
                raise self.too_new(f"field {name!r} of job {entry.put.id}")
        return entry

    def too_new(self, what: str) -> StoreTooNew:
        """The refusal of a journal that holds what is not known here."""
        return StoreTooNew(
            f"{self.file} holds what this jobtui does not know ({what}): update jobtui; nothing was changed"
        )


class _BatchReader:
    """A stretch of one journal, taken up batch by batch; what they come to is shown at once, at the end."""

    def __init__(self, replay: Replay) -> None:
        self._replay, self._reading, self._state = replay, replay.reading, replay.state
        self._folds: dict[int, Delta] = {}
        self._batch: list[Entry] = []
        self._since: list[tuple[int, bytes, bool]] = []
        self._from, self._stale, self._alone = self._reading.offset, False, False

    def all_of(self, data: bytes) -> list[bytes]:
        """Take up what counts of the stretch; returns the lines after that."""
        bound, read = self._reading.durable, self._replay.entry
        for offset, line, whole in lines(data):
            if not (whole and line.startswith(_BEGINNING, HEAD)):  # whole, but of another file: a foreign line
                self._since.append((offset, line, False))
                continue
            entry = read(offset + self._from - self._reading.offset, line)
            first, last = entry.of
            if bound is not None and last > bound:
                break
            if self._batch and entry.of != self._batch[-1].of:
                # another batch was begun: this one had been acknowledged, though not all of it can be read
                self._close_batch()
            self._batch.append(entry)
            self._since.append((offset, line, whole))
            if entry.n == last and len(self._batch) == last - first + 1:
                self._close_batch()
        if self._batch and self._was_acknowledged():
            self._close_batch()
        return [line for _, line, _ in self._since]

    def show(self) -> None:
        """Have all that was taken up be seen, or nothing."""
        state = self._state
        jobs = [self._made(job_id, fold) for job_id, fold in self._folds.items()]
        for job in jobs:
            if self._alone or job.id not in state.recent:
                state.sealed(job.id)  # so that nothing is left to be read while others wait
        with state.mutex:
            if self._alone:
                state.forget_recent()
            for job in jobs:
                state.show(job)

    def _was_acknowledged(self) -> bool:
        """Whether the last batch is known to have been on disk, though not all of it is there now."""
        return self._batch[-1].of[1] <= self._reading.acknowledged

    def _close_batch(self) -> None:
        """The batch that was read counts, and so does the damage before its end."""
        batch, since = self._batch, self._since
        last = len(since) - 1
        if len(since) != len(batch):  # or else all of them are whole, as nearly always
            last = max(place for place, (_, _, whole) in enumerate(since) if whole)
        if len(batch) > 1:
            batch.sort(key=lambda entry: entry.n)  # lines may have been moved about
        if self._begin(batch[0]):
            if len(since) != len(batch):
                self._note_damage(since[:last])
            for entry in batch:
                self._apply(entry)
        offset, line, _ = since[last]
        self._reading.offset = self._from + offset + len(line) + 1
        self._since = since[last + 1 :]
        self._batch = []

    def _note_damage(self, lines: list[tuple[int, bytes, bool]]) -> None:
        for start, damaged, whole in lines:
            if not whole:
                what = "a change can't be read"
                self._replay.quarantine.add(self._replay.file, self._from + start, what, damaged)

    def _begin(self, first: Entry) -> bool:
        """Whether what begins so counts: a journal that a failed rotation left does not."""
        reading = self._reading
        if first.base:
            self._folds, self._alone = {}, True
            reading.seq = first.n - 1
        elif self._stale or (reading.offset == 0 and _is_stale(first, reading)):
            self._stale, reading.usable = True, False
        elif reading.seq < 0:
            reading.seq = first.n - 1
        return not self._stale

    def _apply(self, entry: Entry) -> None:
        number, reading = entry.n, self._reading
        expected = reading.seq + 1
        if number != expected:
            if number < expected:
                self._replay.quarantine.add(self._replay.file, None, f"change {number} is there more than once")
                return
            self._miss(expected, number)
        reading.seq = number
        if entry.set:
            self._fold(entry)
        elif entry.put is not None:
            self._folds[entry.put.id] = Delta(entry.put)
        else:
            self._state.next_id = max(self._state.next_id, entry.next_id)

    def _fold(self, entry: Entry) -> None:
        fold = self._folds.get(entry.set)
        if fold is None and (before := self._before(entry.set)) is not None:
            fold = self._folds[entry.set] = Delta(before)
        try:
            if fold is None:
                raise IndexError
            fold.add(entry)
        except IndexError:
            what = f"change {entry.n} to job {entry.set} can't be applied: what it changes is missing"
            self._replay.quarantine.add(self._replay.file, None, what, jobs=(entry.set,))
            self._state.next_id = max(self._state.next_id, entry.set + 1)

    def _before(self, job_id: int) -> Job | None:
        """The version that was there before the stretch; beside a journal that stands alone, a sealed one."""
        try:
            return self._state.newest_sealed(job_id) if self._alone else self._state.newest(job_id)
        except FileNotFoundError:
            if self._reading.durable is not None:
                raise  # a writer at work has just archived it
            return self._state.remains(job_id)

    def _made(self, job_id: int, fold: Delta) -> Job:
        try:
            return fold.made()
        except KeyError as error:
            raise self._replay.too_new(f"field {error} of job {job_id}") from None
        except DECODE_ERRORS as error:
            raise self._replay.too_new(f"{error}, in job {job_id}") from None

    def _miss(self, expected: int, number: int) -> None:
        missing = ", ".join(str(each) for each in range(expected, min(number, expected + _NAMED)))
        more = f" and {number - expected - _NAMED} more" if number - expected > _NAMED else ""
        what = f"acknowledged changes are missing: {missing}{more}"
        self._replay.quarantine.add(self._replay.file, None, what)
        self._state.next_id += number - expected


def _is_stale(first: Entry, reading: ReplayPosition) -> bool:
    """Whether a journal is what a failed rotation left: the one before it went on beyond where it begins."""
    return first.n <= reading.seq
