"""Sealed jobs in the order of their ids, computed as far as they are asked for, from either end.

The ids never change once computed: they are of the segments as they were.
"""

from __future__ import annotations

import re
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import compress
from typing import Any, Final, Protocol

from jobtui.history.format.segment import Segment
from jobtui.history.query import Query
from jobtui.history.read.filters import match_segment
from jobtui.history.steps import Yielder
from jobtui.model import Job

_FIRST_GUESS: Final = 256


_ONE: Final = re.compile(b"\x01")


_SPARSE: Final = 8


_MAX_WIDTH: Final = 8
"""Segments that are looked through in one go at most: enough to be quick, and no long time at once."""


class OrderedIds(Protocol):
    """Ids of sealed jobs in order: by a key first, then by id."""

    def key(self, job: Job) -> float:
        """Return the key of a recent job among these."""
        ...

    def tiebreak(self, job: Job) -> Any:
        """Return what orders recent jobs that have the same key, before their ids do."""
        ...

    def count(self) -> int:
        """Return how many there are. Raises OSError."""
        ...

    def head(self, count: int, *, descending: bool) -> Sequence[int]:
        """At least the first `count` ids from that end, or all that there are. Raises OSError."""
        ...

    def count_before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        """Return how many of `first(count)` come before a job that is not among them. Raises OSError."""
        ...

    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        """Return how many of all come before a job. Raises OSError."""
        ...

    def is_ready(self, count: int, *, descending: bool) -> bool:
        """Return whether `first(count)` is there without long work."""
        ...

    def prepare(self) -> None:
        """Do all work that is left. Raises OSError."""
        ...


class IdOrder:
    """The ids that a query finds, in their own order."""

    def __init__(self, query: Query, segments: Sequence[Segment], known: int | None) -> None:
        self._known = known
        self._down = IdScan(partial(match_segment, query), segments, descending=True)
        self._up = IdScan(partial(match_segment, query), segments, descending=False)

    def key(self, job: Job) -> float:
        """See Answer: they are ordered by their ids alone."""
        return 0.0

    def tiebreak(self, job: Job) -> None:
        """See Answer."""
        return

    def count(self) -> int:
        """See Answer."""
        for each in (self._down, self._up):
            if each.complete:
                return len(each.ids)
        if self._known is not None:
            return self._known
        return len(self._down.reach(None))

    def head(self, count: int, *, descending: bool) -> Sequence[int]:
        """See Answer."""
        near, far = (self._down, self._up) if descending else (self._up, self._down)
        if far.complete and not near.complete:
            near.take_all(far.ids[::-1])
        return near.reach(count)

    def count_before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        """See Answer."""
        ids = self.head(count, descending=descending)
        if descending:
            return bisect_left(ids, -job_id, key=int.__neg__)
        return bisect_left(ids, job_id)

    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        """See Answer."""
        count = _FIRST_GUESS
        while True:
            ids = self.head(count, descending=descending)
            if len(ids) < count or (ids[-1] < job_id if descending else ids[-1] > job_id):
                return self.count_before(key, job_id, count, descending=descending)
            count = 2 * len(ids)

    def is_ready(self, count: int, *, descending: bool) -> bool:
        """See Answer."""
        near, far = (self._down, self._up) if descending else (self._up, self._down)
        return near.complete or far.complete or len(near.ids) >= count

    def prepare(self) -> None:
        """See Answer."""
        self._down.reach(None)
        self.head(0, descending=False)


class IdScan:
    """Ids from one end, a stretch of them at a time: wide at first only where the ids lie far apart.

    `chosen` tells which of a segment's jobs are meant: a byte of 1 for each of them, of 0 for the others.
    """

    def __init__(
        self, chosen: Callable[[Segment], bytes], segments: Sequence[Segment], *, descending: bool
    ) -> None:
        self.ids: array[int] = array("Q")
        self.complete = False
        self._chosen, self._segments, self._descending = chosen, segments, descending
        self._bounds = list(_id_ranges(segments, descending))
        self._taken = 0
        self._masks: dict[str, bytes] = {}
        self._mutex = threading.Lock()

    def reach(self, count: int | None) -> array[int]:
        """Return the ids so far, of which there are `count` (None: all) unless there are no more.

        Raises OSError.
        """
        turns = Yielder()
        while not self.complete and (count is None or len(self.ids) < count):
            turns.yield_gil()
            with self._mutex:
                if self._taken == len(self._bounds):
                    self.complete = True
                    self._masks = {}
                else:
                    self.ids.extend(self._between(*self._bounds[self._taken]))
                    self._taken += 1
        return self.ids

    def take_all(self, ids: array[int]) -> None:
        """Set all ids, in their order."""
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
                    found += [ids[start + place.start()] for place in _ONE.finditer(chosen)]
                else:
                    found += compress(ids[start:stop], chosen)
        found.sort(reverse=self._descending)
        return found

    def _mask(self, segment: Segment) -> bytes:
        if segment.name not in self._masks:
            self._masks[segment.name] = self._chosen(segment)
        return self._masks[segment.name]


def _id_ranges(segments: Sequence[Segment], descending: bool) -> Iterator[tuple[int, int]]:
    """Stretches of ids (above the first, through the second), each of twice as many segments as the last."""
    ends = sorted({segment.entry.last for segment in segments}, reverse=descending)
    start, width = 0, 1
    while start < len(ends):
        following = start + width
        if descending:
            yield (ends[following] if following < len(ends) else 0), ends[start]
        else:
            yield (ends[start - 1] if start else 0), ends[min(following, len(ends)) - 1]
        start, width = following, min(width * 2, _MAX_WIDTH)
