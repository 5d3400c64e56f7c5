"""Sealed jobs ordered by a column: the first page at once, all of them when that is asked for.

A million values are never sorted in one call, which would keep every other thread from running: the
values of each segment are sorted, then cut at the same places into buckets, and the buckets are sorted.
"""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise
from operator import eq, gt
from typing import Final

from jobtui.history.answers import ById
from jobtui.history.doubles import Bound
from jobtui.history.filters import mask
from jobtui.history.measures import measure
from jobtui.history.query import Query, Sort
from jobtui.history.segment import Segment
from jobtui.model import Job

_SAMPLE: Final = 64
"""Of how many values one is looked at to learn how they are spread."""
_BUCKET: Final = 16384
"""Values that are sorted in one call, more or less."""
_SPARSE: Final = 8
_ONE: Final = re.compile(b"\x01")
_AHEAD: Final = 512
"""How many ids a first page is chosen from at least."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Keys and ids, side by side."""

    keys: array[float]
    ids: array[int]


class ByKey:
    """The ids that a query finds, ordered by a number that each job has."""

    def __init__(self, query: Query, segments: Sequence[Segment], known: int | None) -> None:
        self._query, self._segments, self._known = query, segments, known
        self._measure = measure(query.sort, segments)
        self._rows: list[_Rows] | None = None
        self._all: _Rows | None = None
        self._heads: dict[bool, _Rows] = {}

    def key(self, job: Job) -> float:
        """See Answer."""
        return self._measure.of_job(job)

    def count(self) -> int:
        """See Answer."""
        if self._all is not None:
            return len(self._all.ids)
        if self._known is None:
            self._known = sum(mask(self._query, segment).count(1) for segment in self._segments)
        return self._known

    def first(self, count: int, *, descending: bool) -> Sequence[int]:
        """See Answer."""
        head = self._head_of(count, descending)
        if head is not None:
            return head.ids
        ids = self._sorted().ids
        return ids[: -count - 1 : -1] if descending else ids

    def before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        """See Answer."""
        head = self._head_of(count, descending)
        if head is None:
            rank = _rank(self._sorted(), key, job_id)
            return len(self._sorted().ids) - rank if descending else rank
        return _rank_downwards(head, key, job_id) if descending else _rank(head, key, job_id)

    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        """See Answer."""
        head = self._heads.get(descending)
        if self._all is None and head is not None and head.ids and _beyond(key, head.keys[-1], descending):
            return self.before(key, job_id, 0, descending=descending)
        rows = self._sorted()
        rank = _rank(rows, key, job_id)
        if not descending:
            return rank
        there = rank < len(rows.ids) and rows.ids[rank] == job_id
        return len(rows.ids) - rank - there

    def ready(self, count: int, *, descending: bool) -> bool:
        """See Answer."""
        head = self._heads.get(descending)
        return self._all is not None or (head is not None and len(head.ids) >= count)

    def prepare(self) -> None:
        """See Answer."""
        self._sorted()

    def _head_of(self, count: int, descending: bool) -> _Rows | None:
        """The first rows from that end, where that is quicker than to sort all; None where it is not."""
        if self._all is not None:
            return None
        head = self._heads.get(descending)
        if head is None or len(head.ids) < count:
            head = self._by_rank(count, descending) or self._by_bound(count, descending)
            if head is not None:
                self._heads[descending] = head
        return head

    def _by_rank(self, count: int, descending: bool) -> _Rows | None:
        parts = self._measure.parts(replace(self._query, sort=Sort.ID), descending=descending)
        if parts is None or count > _BUCKET:
            return None
        head = _Rows(array("d"), array("Q"))
        for rank, query in parts:
            ids = ById(query, self._segments, None).first(count, descending=descending)
            head.ids.extend(ids)
            head.keys.extend(rank + job_id for job_id in ids)
            if len(head.ids) >= count:
                break
        return head

    def _by_bound(self, count: int, descending: bool) -> _Rows | None:
        """The first rows, found by a bound that a sample gives."""
        loaded = self._loaded()
        sample = sorted((key for rows in loaded for key in rows.keys[::_SAMPLE]), reverse=descending)
        place = max(count, _AHEAD) * 2 // _SAMPLE + 8
        if place >= len(sample) // 4:
            return None
        found = list(_beyond_bound(loaded, sample[place], descending))
        if len(found) < count:
            found += _at_bound(loaded, sample[place], count, descending)
        found.sort(reverse=descending)
        return _Rows(array("d", [key for key, _ in found]), array("Q", [job_id for _, job_id in found]))

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

    def _sorted(self) -> _Rows:
        if self._all is None:
            self._all = _all_sorted(self._loaded())
            self._rows, self._heads = None, {}
        return self._all


def _rank(rows: _Rows, key: float, job_id: int) -> int:
    return bisect_left(rows.ids, job_id, bisect_left(rows.keys, key), bisect_right(rows.keys, key))


def _rank_downwards(rows: _Rows, key: float, job_id: int) -> int:
    low = bisect_left(rows.keys, -key, key=float.__neg__)
    high = bisect_right(rows.keys, -key, key=float.__neg__)
    return bisect_left(rows.ids, -job_id, low, high, key=int.__neg__)


def _beyond(key: float, bound: float, descending: bool) -> bool:
    return key > bound if descending else key < bound


def _beyond_bound(loaded: Sequence[_Rows], value: float, descending: bool) -> Iterator[tuple[float, int]]:
    """All rows whose keys come before that one."""
    bound = Bound(value, above=descending)
    for rows in loaded:
        chosen = bound.may_be_beyond(rows.keys)
        if chosen.count(1) * _SPARSE >= len(chosen):
            chosen = bytes(map(gt, chosen, bound.is_met_by(rows.keys)))
        for place in _places(chosen):
            if _beyond(rows.keys[place], value, descending):
                yield rows.keys[place], rows.ids[place]


def _at_bound(
    loaded: Sequence[_Rows], value: float, count: int, descending: bool
) -> Iterator[tuple[float, int]]:
    """The first rows that have that key: as many of each segment as may be among the first."""
    bound = Bound(value, above=descending)
    for rows in loaded:
        ids = array(rows.ids.typecode, compress(rows.ids, bound.is_met_by(rows.keys)))
        for job_id in ids[-count:] if descending else ids[:count]:
            yield value, job_id


def _places(chosen: bytes) -> Iterable[int]:
    if chosen.count(1) * _SPARSE < len(chosen):
        return [place.start() for place in _ONE.finditer(chosen)]
    return compress(range(len(chosen)), chosen)


def _all_sorted(loaded: Sequence[_Rows]) -> _Rows:
    parts = [_by_key(rows) for rows in loaded]
    sample = sorted(key for rows in parts for key in rows.keys[::_SAMPLE])
    bounds = sample[_BUCKET // _SAMPLE :: _BUCKET // _SAMPLE]
    # a key that fills more than one bucket has one to itself, between it and the number that follows it
    tied = {key for key, following in pairwise(bounds) if key == following}
    cuts = sorted({*bounds, *(math.nextafter(key, math.inf) for key in tied)})
    places = [[0, *(bisect_left(rows.keys, cut) for cut in cuts), len(rows.keys)] for rows in parts]
    keys, ids = array("d"), array("Q")
    for bucket, bound in enumerate([-math.inf, *cuts]):
        pieces = [
            _Rows(part.keys[place[bucket] : place[bucket + 1]], part.ids[place[bucket] : place[bucket + 1]])
            for part, place in zip(parts, places, strict=True)
        ]
        for done in _merged_ids(pieces) if bound in tied else [_by_key_and_id(_joined(pieces))]:
            keys.extend(done.keys)
            ids.extend(array("Q", done.ids))
    return _Rows(keys, ids)


def _joined(pieces: Sequence[_Rows]) -> _Rows:
    rows = _Rows(array("d"), array("Q"))
    for piece in pieces:
        rows.keys.extend(piece.keys)
        rows.ids.extend(array("Q", piece.ids))
    return rows


def _merged_ids(pieces: Sequence[_Rows]) -> Iterator[_Rows]:
    """Rows that all have the same key, by their ids, some at a time; each piece is in that order."""
    sample = sorted(job_id for piece in pieces for job_id in piece.ids[::_SAMPLE])
    above = -1
    for through in [*sample[_BUCKET // _SAMPLE :: _BUCKET // _SAMPLE], math.inf]:
        found: list[int] = []
        for piece in pieces:
            found += piece.ids[bisect_right(piece.ids, above) : bisect_right(piece.ids, through)]
        found.sort()
        if found:
            key = next(piece.keys[0] for piece in pieces if piece.keys)
            yield _Rows(array("d", [key]) * len(found), array("Q", found))
            above = found[-1]


def _by_key(rows: _Rows) -> _Rows:
    """By key; where keys are the same, in the order in which they are."""
    return _reordered(rows, sorted(range(len(rows.ids)), key=rows.keys.__getitem__))


def _by_key_and_id(rows: _Rows) -> _Rows:
    done = _by_key(rows)
    if not any(map(eq, done.keys, done.keys[1:])):
        return done
    return _by_key(_reordered(rows, sorted(range(len(rows.ids)), key=rows.ids.__getitem__)))


def _reordered(rows: _Rows, order: Sequence[int]) -> _Rows:
    return _Rows(
        array("d", map(rows.keys.__getitem__, order)),
        array(rows.ids.typecode, map(rows.ids.__getitem__, order)),
    )
