"""Sealed jobs in the order of their ids or of a sort key, computed as they are needed.

The ids never change once computed: they are a snapshot of the segments.
"""

from __future__ import annotations

import functools
import re
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, compress
from operator import and_
from typing import Any, Final, Protocol

from typing_extensions import override

from jobtui.history.format.index import CodedColumn
from jobtui.history.format.segment import Segment
from jobtui.history.read.query import Query, combine_masks, match_segment, match_values
from jobtui.history.read.sort_keys import SAMPLE, KeyBound, KeyedIds, merge_ranks, sort_key, sort_rows
from jobtui.history.work_steps import Yielder
from jobtui.model import Job

_FIRST_GUESS: Final = 256
_ONE: Final = re.compile(b"\x01")
_SPARSE: Final = 8
"""If fewer than one in this many bytes of a mask are 1, they are searched for instead of visited in turn."""
_MAX_WIDTH: Final = 8
"""The most segments searched in one step: enough to be fast, and short enough for other threads."""
_MAX_RANKED_HEAD: Final = 16384
"""The longest head that is searched for rank by rank."""
_MIN_HEAD: Final = 512
"""The smallest number of ids from which a first page is chosen."""


class OrderedIds(Protocol):
    """Ids of sealed jobs in order: by a key first, then by id."""

    def key(self, job: Job) -> float:
        """Return the key of a recent job among these."""
        ...

    def tiebreak(self, job: Job) -> Any:
        """Return the value that orders recent jobs with the same key, before their ids do."""
        ...

    def count(self) -> int:
        """Return the number of ids. Raises OSError."""
        ...

    def head(self, count: int, *, descending: bool) -> Sequence[int]:
        """Return at least the first `count` ids from that end, or all. Raises OSError."""
        ...

    def count_before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        """Return how many ids of `head(count)` come before a job that is not among them.

        Raises OSError.
        """
        ...

    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        """Return how many of all ids come before a job. Raises OSError."""
        ...

    def is_ready(self, count: int, *, descending: bool) -> bool:
        """Return whether `head(count)` returns quickly."""
        ...

    def prepare(self) -> None:
        """Do all remaining work. Raises OSError."""
        ...


class IdOrder(OrderedIds):
    """The ids that a query finds, in their own order; the key of each job is 0."""

    def __init__(self, query: Query, segments: Sequence[Segment], known: int | None) -> None:
        self._known = known
        self._down = IdScan(partial(match_segment, query), segments, descending=True)
        self._up = IdScan(partial(match_segment, query), segments, descending=False)

    @override
    def key(self, job: Job) -> float:
        return 0.0

    @override
    def tiebreak(self, job: Job) -> None:
        return

    @override
    def count(self) -> int:
        for each in (self._down, self._up):
            if each.complete:
                return len(each.ids)
        if self._known is not None:
            return self._known
        return len(self._down.reach(None))

    @override
    def head(self, count: int, *, descending: bool) -> Sequence[int]:
        near, far = (self._down, self._up) if descending else (self._up, self._down)
        if far.complete and not near.complete:
            near.take_all(far.ids[::-1])
        return near.reach(count)

    @override
    def count_before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        ids = self.head(count, descending=descending)
        if descending:
            return bisect_left(ids, -job_id, key=int.__neg__)
        return bisect_left(ids, job_id)

    @override
    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        count = _FIRST_GUESS
        while True:
            ids = self.head(count, descending=descending)
            if len(ids) < count or (ids[-1] < job_id if descending else ids[-1] > job_id):
                return self.count_before(key, job_id, count, descending=descending)
            count = 2 * len(ids)

    @override
    def is_ready(self, count: int, *, descending: bool) -> bool:
        near, far = (self._down, self._up) if descending else (self._up, self._down)
        return near.complete or far.complete or len(near.ids) >= count

    @override
    def prepare(self) -> None:
        self._down.reach(None)
        self.head(0, descending=False)


class IdScan:
    """Ids from one end, found in ranges: one segment first, then twice as many each time."""

    def __init__(
        self, chosen: Callable[[Segment], bytes], segments: Sequence[Segment], *, descending: bool
    ) -> None:
        """Create the scan.

        Args:
            chosen: Returns a byte for each record of a segment: 1 if its id is wanted, otherwise 0.
            segments: The segments.
            descending: Whether to begin with the highest id.
        """
        self.ids: array[int] = array("Q")
        self.complete = False
        self._chosen, self._segments, self._descending = chosen, segments, descending
        self._bounds = list(_id_ranges(segments, descending))
        self._taken = 0
        # not by name: a copy of an archive has segments of the same names
        self._masks: dict[Segment, bytes] = {}
        self._mutex = threading.Lock()

    def reach(self, count: int | None) -> array[int]:
        """Return at least `count` ids (None: all), fewer only if there are no more.

        Raises OSError.
        """
        yielder = Yielder()
        while not self.complete and (count is None or len(self.ids) < count):
            yielder.yield_gil()
            with self._mutex:
                if self._taken == len(self._bounds):
                    self.complete = True
                    self._masks = {}
                else:
                    self.ids.extend(self._between(*self._bounds[self._taken]))
                    self._taken += 1
        return self.ids

    def take_all(self, ids: array[int]) -> None:
        """Set all ids, which another scan has found."""
        with self._mutex:
            self.ids, self.complete = ids, True

    def _between(self, above: int, through: int) -> list[int]:
        found: list[int] = []
        for segment in self._segments:
            if segment.entry.first <= through and segment.entry.last > above:
                ids = segment.columns.ids
                start, stop = bisect_right(ids, above), bisect_right(ids, through)
                chosen = self._mask(segment)[start:stop]
                if chosen.count(1) * _SPARSE < len(chosen):
                    found += [ids[start + match.start()] for match in _ONE.finditer(chosen)]
                else:
                    found += compress(ids[start:stop], chosen)
        found.sort(reverse=self._descending)
        return found

    def _mask(self, segment: Segment) -> bytes:
        if segment not in self._masks:
            self._masks[segment] = self._chosen(segment)
        return self._masks[segment]


def _id_ranges(segments: Sequence[Segment], descending: bool) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids, each over twice as many segments as the one before."""
    ends = sorted({segment.entry.last for segment in segments}, reverse=descending)
    start, width = 0, 1
    while start < len(ends):
        following = start + width
        if descending:
            yield (ends[following] if following < len(ends) else 0), ends[start]
        else:
            yield (ends[start - 1] if start else 0), ends[min(following, len(ends)) - 1]
        start, width = following, min(width * 2, _MAX_WIDTH)


def trim_heap() -> None:
    """Return the free memory inside the heap to the system; does nothing without glibc.

    By itself glibc returns only what is free at the end of its heap. After sorts of 1,000,000 jobs by four
    columns the process has 52 MB with this, and 66 to 90 MB without; it takes milliseconds.
    """
    _malloc_trim()(0)


@functools.cache
def _malloc_trim() -> Callable[[int], object]:
    import ctypes  # late: 5 ms, only for a sort of all jobs

    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return int
    return trim


class KeyOrder(OrderedIds):
    """The ids that a query finds, ordered by a number that each job has."""

    def __init__(self, query: Query, segments: Sequence[Segment], known: int | None) -> None:
        self._query, self._segments, self._known = query, segments, known
        self._key = sort_key(query.sort, segments)
        self._rows: list[KeyedIds] | None = None
        self._all: KeyedIds | None = None
        self._heads: dict[bool, KeyedIds] = {}
        self._columns: dict[Segment, CodedColumn[float]] = {}

    @override
    def key(self, job: Job) -> float:
        return self._key.of_job(job)

    @override
    def tiebreak(self, job: Job) -> Any:
        return self._key.tiebreak(job)

    @override
    def count(self) -> int:
        if self._all is not None:
            return len(self._all.ids)
        if self._known is None:
            self._known = sum(len(rows.ids) for rows in self._loaded())
        return self._known

    @override
    def head(self, count: int, *, descending: bool) -> Sequence[int]:
        head = self._head_of(count, descending)
        if head is not None:
            return head.ids
        ids = self._sorted().ids
        return ids[: -count - 1 : -1] if descending else ids

    @override
    def count_before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        head = self._head_of(count, descending)
        if head is None:
            rank = _rank(self._sorted(), key, job_id)
            return len(self._sorted().ids) - rank if descending else rank
        return _rank_downwards(head, key, job_id) if descending else _rank(head, key, job_id)

    @override
    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        head = self._heads.get(descending)
        if self._all is None and head is not None and head.ids and _beyond(key, head.keys[-1], descending):
            return self.count_before(key, job_id, 0, descending=descending)
        rows = self._sorted()
        rank = _rank(rows, key, job_id)
        if not descending:
            return rank
        there = rank < len(rows.ids) and rows.ids[rank] == job_id
        return len(rows.ids) - rank - there

    @override
    def is_ready(self, count: int, *, descending: bool) -> bool:
        head = self._heads.get(descending)
        return self._all is not None or (head is not None and len(head.ids) >= count)

    @override
    def prepare(self) -> None:
        self._sorted()

    def _head_of(self, count: int, descending: bool) -> KeyedIds | None:
        """Return the first rows from that end; None if it is not faster than sorting all."""
        if self._all is not None:
            return None
        head = self._heads.get(descending)
        if head is None or len(head.ids) < count:
            head = self._by_rank(count, descending) or self._by_bound(count, descending)
            if head is not None:
                self._heads[descending] = head
        return head

    def _by_rank(self, count: int, descending: bool) -> KeyedIds | None:
        filtered = self._query != Query(sort=self._query.sort, archived=self._query.archived)
        ranks = self._key.ranks() if not filtered and count <= _MAX_RANKED_HEAD else None
        if ranks is None:
            return None
        head = KeyedIds(array("d"), array("Q"))
        for rank in reversed(ranks) if descending else ranks:
            chosen = partial(self._of_rank, rank)
            ids = IdScan(chosen, self._segments, descending=descending).reach(count)
            head.ids.extend(ids)
            head.keys.extend(rank + job_id for job_id in ids)
            if len(head.ids) >= count:
                break
        return head

    def _of_rank(self, rank: float, segment: Segment) -> bytes:
        column = self._ranked(segment)
        if rank not in column.values:  # a rare value is in few segments
            return bytes(len(column.codes))
        found = match_values(column, rank.__eq__)
        return combine_masks([match_segment(self._query, segment), found], and_) if 1 in found else found

    def _ranked(self, segment: Segment) -> CodedColumn[float]:
        column = self._columns.get(segment)
        if column is None:
            column = self._columns[segment] = self._key.ranked(segment)
        return column

    def _by_bound(self, count: int, descending: bool) -> KeyedIds | None:
        """Return the first rows, found by a bound that a sample gives."""
        loaded = self._loaded()
        sample = sorted(chain.from_iterable(rows.keys[::SAMPLE] for rows in loaded), reverse=descending)
        index = max(count, _MIN_HEAD) * 2 // SAMPLE + 8
        if index >= len(sample) // 4:
            return None
        shared = sample.count(sample[index]) * _SPARSE > len(sample)
        beyond = _parts_beyond(loaded, sample[index], descending) if shared else loaded
        found = list(_rows_beyond(beyond, sample[index], descending))
        if len(found) < count:
            found += _rows_at(loaded, sample[index], count, descending)
        found.sort(reverse=descending)
        return KeyedIds(array("d", [key for key, _ in found]), array("Q", [job_id for _, job_id in found]))

    def _loaded(self) -> list[KeyedIds]:
        if self._rows is None:
            rows, yielder = [], Yielder()
            for segment in self._segments:
                rows.append(self._load(segment))
                yielder.yield_gil()
            self._rows = rows
        return self._rows

    def _load(self, segment: Segment) -> KeyedIds:
        keys, ids = self._key.of_segment(segment), segment.columns.ids
        chosen = match_segment(self._query, segment)
        if 0 not in chosen:
            return KeyedIds(keys, ids)
        return KeyedIds(array("d", compress(keys, chosen)), array(ids.typecode, compress(ids, chosen)))

    def _sorted(self) -> KeyedIds:
        if self._all is None:
            self._all = sort_rows(self._loaded()) if self._key.ranks() is None else self._all_ranked()
            self._rows, self._heads, self._columns = None, {}, {}
            trim_heap()
        return self._all

    def _all_ranked(self) -> KeyedIds:
        pieces: dict[float, list[array[int]]] = {}
        yielder = Yielder()
        for segment in self._segments:
            for rank, ids in _by_rank(
                self._ranked(segment), segment.columns.ids, match_segment(self._query, segment)
            ):
                pieces.setdefault(rank, []).append(ids)
            yielder.yield_gil()
        return merge_ranks(pieces)


def _by_rank(column: CodedColumn[float], ids: array[int], chosen: bytes) -> Iterator[tuple[float, array[int]]]:
    """Yield the ids of each rank, in their order."""
    codes = column.codes
    rows = sorted(_positions(chosen) if 0 in chosen else range(len(ids)), key=codes.__getitem__)
    ordered = array("Q", map(ids.__getitem__, rows))
    in_order = array(codes.typecode, map(codes.__getitem__, rows))
    start = 0
    while start < len(ordered):
        code = in_order[start]
        end = bisect_right(in_order, code, start)
        yield column.values[code], ordered[start:end]
        start = end


def _rank(rows: KeyedIds, key: float, job_id: int) -> int:
    return bisect_left(rows.ids, job_id, bisect_left(rows.keys, key), bisect_right(rows.keys, key))


def _rank_downwards(rows: KeyedIds, key: float, job_id: int) -> int:
    low = bisect_left(rows.keys, -key, key=float.__neg__)
    high = bisect_right(rows.keys, -key, key=float.__neg__)
    return bisect_left(rows.ids, -job_id, low, high, key=int.__neg__)


def _beyond(key: float, bound: float, descending: bool) -> bool:
    return key > bound if descending else key < bound


def _parts_beyond(loaded: Sequence[KeyedIds], value: float, descending: bool) -> list[KeyedIds]:
    """Return the parts with keys before that one, for a key that most rows have."""
    same = array("d", [value]).tobytes()
    outermost = max if descending else min
    yielder = Yielder()
    found = []
    for rows in loaded:
        yielder.yield_gil()
        if rows.keys.tobytes() != same * len(rows.keys) and _beyond(outermost(rows.keys), value, descending):
            found.append(rows)
    return found


def _rows_beyond(loaded: Sequence[KeyedIds], value: float, descending: bool) -> Iterator[tuple[float, int]]:
    """Yield all rows whose keys come before that one."""
    bound = KeyBound(value, above=descending)
    yielder = Yielder()
    for rows in loaded:
        yielder.yield_gil()
        chosen = bound.may_be_beyond(rows.keys)
        if chosen.count(1) * _SPARSE >= len(chosen):
            # times of a few days have the same first bytes: all 1,000,000 rows would be compared one by one
            chosen = bound.is_beyond(rows.keys)
        for row in _positions(chosen):
            if _beyond(rows.keys[row], value, descending):
                yield rows.keys[row], rows.ids[row]


def _rows_at(loaded: Sequence[KeyedIds], value: float, count: int, descending: bool) -> list[tuple[float, int]]:
    """Return the first rows with that key."""
    bound = KeyBound(value, above=descending)
    end = -1 if descending else 0
    found: list[int] = []
    parts = sorted((rows for rows in loaded if rows.ids), key=lambda rows: rows.ids[end], reverse=descending)
    for rows in parts:
        if len(found) >= count and _beyond(found[count - 1], rows.ids[end], descending):
            break  # no part from here on has an id that comes before these
        ids = array(rows.ids.typecode, compress(rows.ids, bound.is_met_by(rows.keys)))
        found += ids[-count:] if descending else ids[:count]
        found.sort(reverse=descending)
    # each segment added at most that many ids, so those after them may be incomplete
    return [(value, job_id) for job_id in found[:count]]


def _positions(chosen: bytes) -> Iterable[int]:
    if chosen.count(1) * _SPARSE < len(chosen):
        return [match.start() for match in _ONE.finditer(chosen)]
    return compress(range(len(chosen)), chosen)
