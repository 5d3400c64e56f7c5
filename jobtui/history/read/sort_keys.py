"""Sort keys of jobs, and sorting of many keys and ids.

`KeyBound` compares doubles by their bytes: the first page of 1,000,000 sorted jobs takes 70 ms instead of 95.
Doubles of one sign are ordered like their bytes, negative ones in reverse. A mask has a 0 or 1 for each number.

`sort_rows` and `merge_ranks` sort a bucket at a time: one call for a million values would hold up all threads.

A `SortKey` is a number for each job, from its record or from a segment's columns. Values that repeat (spaces,
commands, statuses, reasons) are ranked among all that the segments have, and the job's id is added to the
rank: no two sealed jobs have the same number, and jobs of one value are in the order of their ids. A recent
job may have a value that no segment has. Its number then lies between those of the neighbors, and `tiebreak`
orders the jobs that share such a number.
"""

from __future__ import annotations

import math
import operator
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, compress, pairwise, product
from operator import eq, gt, itemgetter
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from jobtui.history.format.index import (
    CODE_OF,
    NUMBER_COLUMNS,
    STALE,
    STATUSES,
    TEXT_COLUMNS,
    CodedColumn,
    Columns,
    cluster_of,
)
from jobtui.history.format.segment import Segment
from jobtui.history.read.query import Sort
from jobtui.history.work_steps import Yielder
from jobtui.model import Job

_SIZE: Final = 8
_COMPARED_BYTES: Final = 3
"""The bytes that are compared with a bound: they differ for most numbers."""
_NEGATIVE: Final = 0x80
"""The sign bit in the first byte of a double."""


class KeyBound:
    """A number that others are compared with."""

    def __init__(self, value: float, *, above: bool) -> None:
        """Create a bound. `above`: numbers above it lie beyond it; otherwise those below it."""
        self._value = value
        self._digits = struct.pack(">d", value)
        negative = self._digits[0] >= _NEGATIVE
        self._beyond = [
            _table(digit, above is not negative, signed=not negative and not position)
            for position, digit in enumerate(self._digits)
        ]
        self._same = [bytes(each == digit for each in range(256)) for digit in self._digits]

    def may_be_beyond(self, numbers: array[float]) -> bytes:
        """Return a mask: 1 for each number beyond the bound, and for some near or equal."""
        if self._value == 0:  # there are two zeros
            return bytes([1]) * len(numbers)
        beyond, level = self._compare(numbers, _COMPARED_BYTES)
        return (beyond | level).to_bytes(len(numbers), "little")

    def is_beyond(self, numbers: array[float]) -> bytes:
        """Return a mask: 1 for each number beyond the bound; if that is zero, the other zero may count too."""
        return self._compare(numbers, _SIZE)[0].to_bytes(len(numbers), "little")

    def is_met_by(self, numbers: array[float]) -> bytes:
        """Return a mask: 1 for each number that equals the bound."""
        return self._compare(numbers, _SIZE)[1].to_bytes(len(numbers), "little")

    def _compare(self, numbers: array[float], size: int) -> tuple[int, int]:
        """Return which numbers are beyond the bound by their first bytes, and which share them."""
        data, beyond, level = numbers.tobytes(), 0, _number(bytes([1]) * len(numbers))
        for position in range(size):
            digits = _digits(data, position)
            beyond |= level & _number(digits.translate(self._beyond[position]))
            level &= _number(digits.translate(self._same[position]))
        return beyond, level


def may_reach(numbers: array[float], value: float) -> bool:
    """Return whether one of the numbers may be as large as a positive value."""
    lower = bytes([*range(struct.pack(">d", value)[0]), *range(_NEGATIVE, 256)])
    return bool(_digits(numbers.tobytes(), 0).translate(None, lower))


def _table(limit: int, larger: bool, *, signed: bool) -> bytes:
    """Return a mask of the bytes that mean "beyond": larger or smaller ones than `limit`."""

    def passes(digit: int) -> bool:
        if signed and digit >= _NEGATIVE:
            return not larger
        return digit > limit if larger else digit < limit

    return bytes(map(passes, range(256)))


def _digits(data: bytes, position: int) -> bytes:
    """Return one byte of each double; position 0 is the most significant one."""
    return data[_SIZE - 1 - position if sys.byteorder == "little" else position :: _SIZE]


def _number(mask: bytes) -> int:
    return int.from_bytes(mask, "little")


T = TypeVar("T")

SAMPLE: Final = 64
"""One in this many values is used to learn how they are distributed."""
BUCKET: Final = 4096
"""The approximate number of values that are sorted in one call."""
MAX_GROUP: Final = 4 * BUCKET
"""The most rows of several segments that are sorted in one call, so that fewer parts are cut into buckets."""


class KeyedIds(msgspec.Struct, frozen=True, gc=False):
    """Rows: keys, and the id that belongs to each."""

    keys: array[float]
    ids: array[int]


def sort_distinct(parts: Sequence[Sequence[T]]) -> list[T]:
    """Return all values of the parts in order, each once."""
    known: set[Any] = set()
    yielder = Yielder()
    for part in parts:
        known.update(part)
        yielder.yield_gil()
    if len(known) <= BUCKET:
        return sorted(known)
    values = list(known)
    bounds = sorted(values[::SAMPLE])[BUCKET // SAMPLE :: BUCKET // SAMPLE]
    buckets: list[list[Any]] = [[] for _ in range(len(bounds) + 1)]
    for value in values:
        buckets[bisect_right(bounds, value)].append(value)
    found: list[T] = []
    for bucket in buckets:
        found += sorted(bucket)
        yielder.yield_gil()
    return found


def sort_rows(loaded: Sequence[KeyedIds]) -> KeyedIds:
    """Return all rows by key, then by id. The ids of each part must rise.

    The rows of some parts at a time are sorted; then these are cut into buckets at the same keys.
    """
    yielder = Yielder()
    parts = []
    for rows in _grouped(loaded):
        parts.append(_by_key(rows))
        yielder.yield_gil()
    sample = sorted(chain.from_iterable(rows.keys[::SAMPLE] for rows in parts))
    bounds = sample[BUCKET // SAMPLE :: BUCKET // SAMPLE]
    # a key that fills more than one bucket gets a bucket of its own, up to the next larger number
    tied = {key for key, following in pairwise(bounds) if key == following}
    cuts = sorted({*bounds, *(math.nextafter(key, math.inf) for key in tied)})
    positions = [[0, *(bisect_left(rows.keys, cut) for cut in cuts), len(rows.keys)] for rows in parts]
    keys, ids = array("d"), array("Q")
    for bucket, bound in enumerate([-math.inf, *cuts]):
        pieces = [
            KeyedIds(part.keys[ends[bucket] : ends[bucket + 1]], part.ids[ends[bucket] : ends[bucket + 1]])
            for part, ends in zip(parts, positions, strict=True)
        ]
        if bound not in tied:
            done = _by_key_and_id(_joined(pieces))
            keys.extend(done.keys)
            ids.extend(done.ids)
            yielder.yield_gil()
            continue
        for some in _merged([piece.ids for piece in pieces]):
            keys.extend(array("d", [bound]) * len(some))
            ids.extend(some)
            yielder.yield_gil()
    return KeyedIds(keys, ids)


def merge_ranks(pieces: Mapping[float, Sequence[array[int]]]) -> KeyedIds:
    """Return all rows by rank, then by id, for few ranks. The ids of each piece must rise.

    The key of a row is its rank plus its id.
    """
    yielder = Yielder()
    keys, ids = array("d"), array("Q")
    for rank in sorted(pieces):
        for some in _merged(pieces[rank]):
            keys.extend(array("d", map(rank.__add__, some)))
            ids.extend(some)
            yielder.yield_gil()
    return KeyedIds(keys, ids)


def _grouped(loaded: Sequence[KeyedIds]) -> Iterator[KeyedIds]:
    """Yield the rows of as many parts together as can be sorted in one call, with rising ids."""
    group: list[KeyedIds] = []
    for rows in sorted((rows for rows in loaded if rows.ids), key=lambda rows: rows.ids[0]):
        if group and sum(len(each.ids) for each in group) + len(rows.ids) > MAX_GROUP:
            yield _joined_by_id(group)
            group = []
        group.append(rows)
    if group:
        yield _joined_by_id(group)


def _joined_by_id(group: Sequence[KeyedIds]) -> KeyedIds:
    is_rising = all(before.ids[-1] < following.ids[0] for before, following in pairwise(group))
    return _joined(group) if is_rising else _by_id(_joined(group))


def _joined(pieces: Sequence[KeyedIds]) -> KeyedIds:
    rows = KeyedIds(array("d"), array("Q"))
    for piece in pieces:
        rows.keys.extend(piece.keys)
        rows.ids.extend(piece.ids if piece.ids.typecode == "Q" else array("Q", piece.ids))
    return rows


def _merged(pieces: Sequence[array[int]]) -> Iterator[array[int]]:
    """Yield all ids in order, some at a time. Each piece must be in order."""
    pieces = sorted(filter(len, pieces), key=itemgetter(0))
    if all(before[-1] < following[0] for before, following in pairwise(pieces)):
        joined = array("Q")
        for piece in pieces:
            joined.extend(piece)
        yield from (joined[at : at + BUCKET] for at in range(0, len(joined), BUCKET))
        return
    sample = sorted(job_id for piece in pieces for job_id in piece[::SAMPLE])
    above = -1
    for through in [*sample[BUCKET // SAMPLE :: BUCKET // SAMPLE], math.inf]:
        found: list[int] = []
        for piece in pieces:
            found += piece[bisect_right(piece, above) : bisect_right(piece, through)]
        found.sort()
        if found:
            yield array("Q", found)
            above = found[-1]


def _by_key(rows: KeyedIds) -> KeyedIds:
    """Return the rows by key; rows with the same key keep their order."""
    keys = rows.keys.tolist()  # an array would create a number object at each access
    return _reordered(rows, keys, sorted(range(len(keys)), key=keys.__getitem__))


def _by_key_and_id(rows: KeyedIds) -> KeyedIds:
    done = _by_key(rows)
    keys = done.keys.tolist()  # as above
    ties = [*map(eq, keys, keys[1:])]
    if True not in ties or not any(compress(map(gt, done.ids, done.ids[1:]), ties)):
        return done
    return _by_key(_by_id(rows))


def _by_id(rows: KeyedIds) -> KeyedIds:
    return _reordered(rows, rows.keys, sorted(range(len(rows.ids)), key=rows.ids.__getitem__))


def _reordered(rows: KeyedIds, keys: Sequence[float], positions: Sequence[int]) -> KeyedIds:
    """Return the rows, which have these keys, in another order."""
    if len(positions) < 2:
        return rows
    chosen = itemgetter(*positions)
    return KeyedIds(array("d", chosen(keys)), array(rows.ids.typecode, chosen(rows.ids)))


_MAX_RANKS: Final = 128
"""The most values that are searched for one by one."""
_CODES: Final = 256
_ORIGIN: Final = "origin"
_MAX_ORIGIN: Final = float(1 << 40)
"""Larger numbers of other jobs count as equal."""


class SortKey(Protocol):
    """A number for each job."""

    def of_segment(self, segment: Segment) -> array[float]:
        """Return the numbers of a segment's jobs, in their order. Raises OSError."""
        ...

    def of_job(self, job: Job) -> float:
        """Return the number of a job, on the same scale."""
        ...

    def tiebreak(self, job: Job) -> Any:
        """Return the value that orders recent jobs with the same number."""
        ...

    def ranks(self) -> Sequence[float] | None:
        """Return the ranks in rising order if many jobs share a rank, otherwise None.

        The number of a job is then the sum of its rank and its id.
        """
        ...

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        """Return the ranks of a segment's jobs if there are ranks. Raises OSError."""
        ...


def sort_key(sort: Sort, segments: Sequence[Segment]) -> SortKey:
    """Return the key of a sort. Raises OSError."""
    if sort in _RANKED:
        return _RANKED[sort](segments)
    return _NumberKey("tasks" if sort is Sort.HOSTS else sort.value)


class _NumberKey:
    """A column of numbers."""

    def __init__(self, name: str) -> None:
        self._name = name

    def of_segment(self, segment: Segment) -> array[float]:
        return segment.numbers(self._name)

    def of_job(self, job: Job) -> float:
        return NUMBER_COLUMNS[self._name](job)

    def tiebreak(self, job: Job) -> None:
        return None

    def ranks(self) -> None:
        return None

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        raise NotImplementedError


class _RankScale(Generic[T]):
    """The ranks of values: the known ones have the even ranks, and others lie between them."""

    def __init__(self, values: Sequence[T], width: float) -> None:
        self.values: Sequence[Any] = values
        self.width = width
        self._known: dict[Any, float] = {value: 2 * position * width for position, value in enumerate(values)}

    def rank(self, value: T) -> float:
        known = self._known.get(value)
        return known if known is not None else (2 * bisect_left(self.values, value) - 1) * self.width

    def knows(self, rank: float) -> bool:
        return rank / self.width % 2 == 0

    def ranks(self) -> list[float]:
        return [*self._known.values()]

    def of_column(self, values: Iterable[T], codes: array[int]) -> CodedColumn[float]:
        """Return a column of known values as a column of their ranks."""
        return CodedColumn(tuple(map(self._known.__getitem__, values)), codes)


class _RankedKey(Generic[T]):
    """A repeating value, then the id."""

    def __init__(self, values: Sequence[T], segments: Sequence[Segment]) -> None:
        last = max((segment.entry.last for segment in segments), default=0)
        self.scale = _RankScale(values, float(1 << last.bit_length()))

    def of_segment(self, segment: Segment) -> array[float]:
        return array("d", map(operator.add, _each(self.ranked(segment)), segment.columns.ids))

    def of_job(self, job: Job) -> float:
        rank = self.scale.rank(self.tiebreak(job))
        return rank + min(job.id, self.scale.width - 1) if self.scale.knows(rank) else rank

    def ranks(self) -> Sequence[float] | None:
        return self.scale.ranks() if len(self.scale.values) <= _MAX_RANKS else None

    def tiebreak(self, job: Job) -> T:
        """Return the job's value."""
        raise NotImplementedError

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        """Return the ranks of a segment's jobs."""
        raise NotImplementedError


class _StatusKey(_RankedKey[int]):
    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(range(len(STATUSES)), segments)

    def tiebreak(self, job: Job) -> int:
        return CODE_OF[job.status]

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        table = self.scale.ranks()
        gone = [math.inf] * (STALE + 1 - len(table))
        return CodedColumn((*table, *gone), array("B", segment.columns.statuses))


class _SpaceKey(_RankedKey[str]):
    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(sort_distinct([segment.columns.spaces.values for segment in segments]), segments)

    def tiebreak(self, job: Job) -> str:
        return job.space

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        return self.scale.of_column(segment.columns.spaces.values, segment.columns.spaces.codes)


class _CommandKey(_RankedKey[tuple[str, str]]):
    """The command, then the space, as a job is labeled."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(sort_distinct([_labels(segment.columns) for segment in segments]), segments)

    def tiebreak(self, job: Job) -> tuple[str, str]:
        return job.command, job.space

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        columns = segment.columns
        width = len(columns.spaces.values)
        starts = [width * position for position in range(len(columns.commands.values))]
        positions = map(operator.add, map(starts.__getitem__, columns.commands.codes), columns.spaces.codes)
        few = width * len(starts) <= _CODES
        return self.scale.of_column(_labels(columns), array("B" if few else "I", positions))


def _labels(columns: Columns) -> list[tuple[str, str]]:
    return list(product(columns.commands.values, columns.spaces.values))


class _TextKey(_RankedKey[str]):
    """A column of texts."""

    def __init__(self, name: str, segments: Sequence[Segment]) -> None:
        self._value = TEXT_COLUMNS[name]
        self._columns = {segment: segment.texts(name) for segment in segments}
        super().__init__(sort_distinct([column.values for column in self._columns.values()]), segments)

    def tiebreak(self, job: Job) -> str:
        return self._value(job)

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        column = self._columns[segment]
        return self.scale.of_column(column.values, column.codes)


class _OriginKey:
    """The job that it was recovered from, or its cluster and its number there, as in Sort."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._columns = {segment: segment.texts("cluster") for segment in segments}
        self._scale = _RankScale(
            sort_distinct([column.values for column in self._columns.values()]), _MAX_ORIGIN
        )

    def of_segment(self, segment: Segment) -> array[float]:
        column = self._columns[segment]
        ranks = self._scale.of_column(column.values, column.codes)
        numbers = segment.numbers(_ORIGIN)
        if may_reach(numbers, _MAX_ORIGIN):
            numbers = array("d", map(_bounded, numbers))
        return numbers if not any(ranks.values) else array("d", map(operator.add, _each(ranks), numbers))

    def of_job(self, job: Job) -> float:
        rank = self._scale.rank(cluster_of(job))
        return rank + _bounded(NUMBER_COLUMNS[_ORIGIN](job)) if self._scale.knows(rank) else rank

    def tiebreak(self, job: Job) -> tuple[str, float]:
        return cluster_of(job), _bounded(NUMBER_COLUMNS[_ORIGIN](job))

    def ranks(self) -> None:
        return None

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        raise NotImplementedError


def _each(ranks: CodedColumn[float]) -> Iterable[float]:
    return map(ranks.values.__getitem__, ranks.codes)


_bounded = partial(min, _MAX_ORIGIN - 1)


_RANKED: Final[dict[Sort, Callable[[Sequence[Segment]], SortKey]]] = {
    Sort.STATUS: _StatusKey,
    Sort.SPACE: _SpaceKey,
    Sort.COMMAND: _CommandKey,
    Sort.REASON: partial(_TextKey, "reason"),
    Sort.REQUESTER: partial(_TextKey, "requester"),
    Sort.BECAUSE: partial(_TextKey, "because"),
    Sort.ORIGIN: _OriginKey,
}
