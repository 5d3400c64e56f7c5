"""Sealed jobs ordered by a column: the first page at once, all of them when that is asked for.

A million values are never sorted in one call, which would keep every other thread from running: the
values of each segment are sorted, then cut at the same places into buckets, and the buckets are sorted.
"""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final, Generic, TypeVar

from jobtui.history.columns import NUMBERS, STATUSES, Columns
from jobtui.history.filters import mask
from jobtui.history.query import Query, Sort
from jobtui.history.segment import Segment
from jobtui.model import Job, Status

T = TypeVar("T")

_SAMPLE: Final = 64
"""Of how many values one is looked at to learn how they are spread."""
_BUCKET: Final = 16384
"""Values that are sorted in one call, more or less."""
_AHEAD: Final = 1024
"""Of how many ids a first page is chosen at least."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Keys and ids, side by side."""

    keys: array[float]
    ids: array[int]


class ByKey:
    """The ids that a query finds, ordered by a number that each job has."""

    def __init__(self, query: Query, segments: Sequence[Segment]) -> None:
        self._query, self._segments = query, segments
        self._measure = _measure(query.sort, segments)
        self._rows: list[_Rows] | None = None
        self._all: _Rows | None = None
        self._heads: dict[bool, _Rows] = {}

    def key(self, job: Job) -> float:
        """See Answer."""
        return self._measure.of_job(job)

    def count(self) -> int:
        """See Answer."""
        return sum(len(rows.ids) for rows in self._loaded())

    def first(self, count: int, *, descending: bool) -> Sequence[int]:
        """See Answer."""
        return self._first(count, descending).ids

    def before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        """See Answer."""
        rows = self._first(count, descending)
        if descending:
            low = bisect_left(rows.keys, -key, key=float.__neg__)
            high = bisect_right(rows.keys, -key, key=float.__neg__)
            return bisect_left(rows.ids, -job_id, low, high, key=int.__neg__)
        return bisect_left(rows.ids, job_id, bisect_left(rows.keys, key), bisect_right(rows.keys, key))

    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        """See Answer."""
        head = self._heads.get(descending)
        if head is None or not head.ids or not (key > head.keys[-1] if descending else key < head.keys[-1]):
            self._sorted(descending)
        return self.before(key, job_id, 0, descending=descending)

    def ready(self, count: int, *, descending: bool) -> bool:
        """See Answer."""
        return self._there(count, descending) is not None

    def prepare(self) -> None:
        """See Answer."""
        self._sorted(descending=False)
        self._sorted(descending=True)

    def _first(self, count: int, descending: bool) -> _Rows:
        there = self._there(count, descending)
        if there is None:
            there = self._head(count, descending)
        return there if there is not None else self._sorted(descending)

    def _there(self, count: int, descending: bool) -> _Rows | None:
        if self._all is not None:
            return self._sorted(descending)
        head = self._heads.get(descending)
        return head if head is not None and len(head.ids) >= count else None

    def _loaded(self) -> list[_Rows]:
        if self._rows is None:
            self._rows = [self._load(segment) for segment in self._segments]
        return self._rows

    def _load(self, segment: Segment) -> _Rows:
        keys, ids = self._measure.of_segment(segment), segment.columns.ids
        chosen = mask(self._query, segment)
        if 0 not in chosen:
            return _Rows(keys, ids)
        return _Rows(array("d", compress(keys, chosen)), array(ids.typecode, compress(ids, chosen)))

    def _head(self, count: int, descending: bool) -> _Rows | None:
        """The first of them, found by a bound that a sample gives; None where that would not be quicker."""
        loaded = self._loaded()
        wanted = max(count, _AHEAD)
        sample = sorted((key for rows in loaded for key in rows.keys[::_SAMPLE]), reverse=descending)
        place = wanted * 2 // _SAMPLE + 8
        if place >= len(sample) // 4:
            return None
        bound = sample[place]
        within = bound.__le__ if descending else bound.__ge__
        found: list[tuple[float, int]] = []
        for rows in loaded:
            chosen = bytes(map(within, rows.keys))
            found += zip(compress(rows.keys, chosen), compress(rows.ids, chosen), strict=True)
        if len(found) < count:
            return None
        found.sort(reverse=descending)
        head = _Rows(array("d", [key for key, _ in found]), array("Q", [job_id for _, job_id in found]))
        self._heads[descending] = head
        return head

    def _sorted(self, descending: bool) -> _Rows:
        if self._all is None:
            self._all = _sorted(self._loaded())
            self._heads = {False: self._all}
        if descending and True not in self._heads:
            self._heads[True] = _Rows(self._all.keys[::-1], self._all.ids[::-1])
        return self._heads[descending]


def _sorted(loaded: Sequence[_Rows]) -> _Rows:
    parts = [_sorted_rows(rows) for rows in loaded]
    sample = sorted(key for rows in parts for key in rows.keys[::_SAMPLE])
    bounds = sorted(set(sample[_BUCKET // _SAMPLE :: _BUCKET // _SAMPLE]))
    cuts = [[0, *(bisect_left(rows.keys, bound) for bound in bounds), len(rows.keys)] for rows in parts]
    keys, ids = array("d"), array("Q")
    for bucket in range(len(bounds) + 1):
        rows = _Rows(array("d"), array("Q"))
        for part, cut in zip(parts, cuts, strict=True):
            rows.keys.extend(part.keys[cut[bucket] : cut[bucket + 1]])
            rows.ids.extend(array("Q", part.ids[cut[bucket] : cut[bucket + 1]]))
        done = _sorted_rows(rows)
        keys.extend(done.keys)
        ids.extend(done.ids)
    return _Rows(keys, ids)


def _sorted_rows(rows: _Rows) -> _Rows:
    """By key, and by id where keys are the same: the second sort keeps the order of the first."""
    order = sorted(range(len(rows.ids)), key=rows.ids.__getitem__)
    order.sort(key=rows.keys.__getitem__)
    return _Rows(
        array("d", map(rows.keys.__getitem__, order)),
        array(rows.ids.typecode, map(rows.ids.__getitem__, order)),
    )


# ---- what jobs are measured by


@dataclass(frozen=True, slots=True)
class _Measure:
    of_segment: Callable[[Segment], array[float]]
    of_job: Callable[[Job], float]


def _measure(sort: Sort, segments: Sequence[Segment]) -> _Measure:
    if sort.value in NUMBERS:
        return _Measure(lambda segment: segment.numbers(sort.value), NUMBERS[sort.value])
    if sort is Sort.STATUS:
        return _Ranks(STATUSES, segments, lambda job: job.status, _statuses).measure()
    if sort is Sort.SPACE:
        names = sorted({name for segment in segments for name in segment.columns.spaces.values})
        return _Ranks(names, segments, lambda job: job.space, _spaces).measure()
    labels = sorted({label for segment in segments for label in _label_values(segment.columns)})
    return _Ranks(labels, segments, lambda job: (job.command, job.space), _labels).measure()


class _Ranks(Generic[T]):
    """Keys for values that repeat: the value's rank among all, and within it the id."""

    def __init__(
        self,
        values: Sequence[T],
        segments: Sequence[Segment],
        of_job: Callable[[Job], T],
        of_columns: Callable[[Columns, Mapping[T, float]], Iterable[float]],
    ) -> None:
        last = max((segment.entry.last for segment in segments), default=0)
        self._width = float(1 << last.bit_length())
        self._values: Sequence[Any] = values
        self._of_job, self._of_columns = of_job, of_columns
        self._ranks = {value: 2 * place * self._width for place, value in enumerate(values)}

    def measure(self) -> _Measure:
        return _Measure(self._of_segment, self._of_one)

    def _of_segment(self, segment: Segment) -> array[float]:
        columns = segment.columns
        return array("d", map(operator.add, self._of_columns(columns, self._ranks), columns.ids))

    def _of_one(self, job: Job) -> float:
        value = self._of_job(job)
        rank = self._ranks.get(value)
        if rank is None:
            rank = (2 * bisect_left(self._values, value) - 1) * self._width
        return rank + min(job.id, self._width - 1)


def _statuses(columns: Columns, ranks: Mapping[Status, float]) -> Iterable[float]:
    return map([*(ranks[status] for status in STATUSES), *([0.0] * 256)].__getitem__, columns.statuses)


def _spaces(columns: Columns, ranks: Mapping[str, float]) -> Iterable[float]:
    return map([ranks[name] for name in columns.spaces.values].__getitem__, columns.spaces.codes)


def _labels(columns: Columns, ranks: Mapping[tuple[str, str], float]) -> Iterable[float]:
    width = len(columns.spaces.values)
    table = [ranks[label] for label in _label_values(columns)]
    starts = [width * place for place in range(len(columns.commands.values))]
    places = map(operator.add, map(starts.__getitem__, columns.commands.codes), columns.spaces.codes)
    return map(table.__getitem__, places)


def _label_values(columns: Columns) -> list[tuple[str, str]]:
    return [(command, space) for command in columns.commands.values for space in columns.spaces.values]
