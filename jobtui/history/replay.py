"""Reading journals back: what was acknowledged is applied, and nothing else.

An incomplete last batch was never acknowledged (or it is still being written): it does not count. Damage
before a later batch was acknowledged: what can't be read is named, the rest is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from jobtui.history.errors import StoreTooNew
from jobtui.history.framing import lines
from jobtui.history.manifest import refuse_newer
from jobtui.history.quarantine import Quarantine
from jobtui.history.records import SCHEMA, Entry, Fold, decode_entry, unknown_field
from jobtui.history.state import State

_NAMED = 20


@dataclass(slots=True)
class Reading:
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


_Found = tuple[int, bytes, Entry | None]
"""A line of a journal: where it starts, its bytes, and what it says if it is whole."""


class Replay:
    """Applies journals to a state, in order, and notes what is wrong with them."""

    def __init__(self, state: State, quarantine: Quarantine, reading: Reading, *, to_write: bool) -> None:
        self.state, self.reading, self.file = state, reading, ""
        self._quarantine, self._to_write = quarantine, to_write

    def begin(self, number: int, file: str) -> None:
        """Turn to the next journal."""
        self.reading.journal, self.reading.offset = number, 0
        self.file = file

    def take(self, data: bytes, *, final: bool) -> None:
        """Apply what follows the place that was read last. Raises OSError and StoreTooNew.

        `final`: nobody writes this journal any more, so what is incomplete stays so and is noted.
        """
        reading = self.reading
        found: list[_Found] = []
        for offset, line, whole in lines(data):
            found.append((offset, line, self._entry(offset, line) if whole else None))
        kept = found[: _through(found, self._end([entry for _, _, entry in found if entry is not None]))]
        if kept:
            self._apply_all(kept)
            offset, line, _ = kept[-1]
            reading.offset += offset + len(line) + 1
        rest = found[len(kept) :]
        if final and rest:
            tail = b"\n".join(line for _, line, _ in rest)
            self._quarantine.add(self.file, reading.offset, "an unfinished change at the end was cut off", tail)
            reading.usable = False

    def _entry(self, offset: int, line: bytes) -> Entry:
        try:
            entry = decode_entry(line, self.reading.schema)
        except msgspec.ValidationError as error:
            raise self._too_new(offset, str(error)) from None
        if entry.journal:
            refuse_newer(entry.schema)
            self.reading.schema = entry.schema
        elif entry.put is not None and self._to_write and self.reading.schema == SCHEMA:
            name = unknown_field(line, entry.put)
            if name is not None:
                raise self._too_new(offset, f"a field {name!r} of job {entry.put.id}")
        return entry

    def _too_new(self, offset: int, what: str) -> StoreTooNew:
        place = f"{self.file}, byte {self.reading.offset + offset}"
        what = f"{place} holds what this jobtui does not know ({what}): update jobtui; nothing was changed"
        return StoreTooNew(what)

    def _end(self, entries: list[Entry]) -> int:
        """The number before which entries count: no last batch that never was whole, none out of bounds."""
        end = _incomplete_end(entries)
        if entries and entries[-1].of[1] <= self.reading.acknowledged:
            end = entries[-1].of[1] + 1
        if self.reading.durable is not None:
            end = min([end, *(entry.of[0] for entry in entries if entry.of[1] > self.reading.durable)])
        return end

    def _apply_all(self, found: Sequence[_Found]) -> None:
        reading, base = self.reading, self.reading.offset
        first = next(entry for _, _, entry in found if entry is not None)
        if first.base:
            reading.seq = first.n - 1
        elif _is_stale(first, reading):
            reading.usable = False
            return
        elif reading.seq < 0:
            reading.seq = first.n - 1
        for offset, line, entry in found:
            if entry is None:
                self._quarantine.add(self.file, base + offset, "a change can't be read", line)
        with self.state.mutex:
            if first.base:
                self.state.forget_recent()
            self._apply_each([entry for _, _, entry in found if entry is not None])

    def _apply_each(self, entries: Sequence[Entry]) -> None:
        folds: dict[int, Fold] = {}
        for entry in entries:
            if entry.n != self.reading.seq + 1:
                self._lost(self.reading.seq + 1, entry.n)
            self.reading.seq = entry.n
            if entry.set:
                self._fold(entry, folds)
            elif entry.put is not None:
                folds[entry.put.id] = Fold(entry.put)
            else:
                self.state.next_id = max(self.state.next_id, entry.next_id)
        for fold in folds.values():
            self.state.show(fold.made())

    def _fold(self, entry: Entry, folds: dict[int, Fold]) -> None:
        fold = folds.get(entry.set)
        if fold is None and (before := self.state.newest(entry.set)) is not None:
            fold = folds[entry.set] = Fold(before)
        try:
            if fold is None:
                raise LookupError
            fold.add(entry)
        except LookupError:
            what = f"change {entry.n} to job {entry.set} can't be applied: what it changes is missing"
            self._quarantine.add(self.file, None, what, jobs=(entry.set,))
            self.state.next_id = max(self.state.next_id, entry.set + 1)

    def _lost(self, expected: int, number: int) -> None:
        missing = ", ".join(str(each) for each in range(expected, min(number, expected + _NAMED)))
        more = f" and {number - expected - _NAMED} more" if number - expected > _NAMED else ""
        self._quarantine.add(self.file, None, f"acknowledged changes are missing: {missing}{more}")
        self.state.next_id += number - expected


def _is_stale(first: Entry, reading: Reading) -> bool:
    """Whether a journal is what a failed rotation left: the one before it went on beyond where it begins."""
    return reading.offset == 0 and first.n <= reading.seq


def _through(found: Sequence[_Found], end: int) -> int:
    """How many of the lines there are up to the last one that counts."""
    for count in range(len(found), 0, -1):
        entry = found[count - 1][2]
        if entry is not None and entry.n < end:
            return count
    return 0


def _incomplete_end(entries: list[Entry]) -> int:
    """The number from which the entries belong to an incomplete last batch; one past the last if none does."""
    if not entries:
        return 0
    first, last = entries[-1].of
    present = sum(1 for entry in entries if entry.of == (first, last))
    return first if present < last - first + 1 else last + 1
