"""Sealed jobs in a query's order, worked out as far as is asked for, from either end.

An answer never changes: it is of the segments as they were. Recent jobs are no part of it (see view.py).
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

from jobtui.history.format.damage import readable
from jobtui.history.format.segment import Segment
from jobtui.history.query import Query
from jobtui.history.read.filters import mask
from jobtui.history.steps import Yielder
from jobtui.model import Job

_FEW: Final = 256
_ONE: Final = re.compile(b"\x01")
_SPARSE: Final = 8
_WIDEST: Final = 8
"""Segments that are looked through in one go at most: enough to be quick, and no long time at once."""


class OrderedIds(Protocol):
    """Ids of sealed jobs in order: by a key first, then by id."""

    def key(self, job: Job) -> float:
        """The key of a recent job among these."""
        ...

    def among(self, job: Job) -> Any:
        """What orders recent jobs that have the same key, before their ids do."""
        ...

    def count(self) -> int:
        """How many there are. Raises OSError."""
        ...

    def first(self, count: int, *, descending: bool) -> Sequence[int]:
        """At least the first `count` ids from that end, or all that there are. Raises OSError."""
        ...

    def before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        """How many of `first(count)` come before a job that is not among them. Raises OSError."""
        ...

    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        """How many of all come before a job. Raises OSError."""
        ...

    def ready(self, count: int, *, descending: bool) -> bool:
        """Whether `first(count)` is there without long work."""
        ...

    def prepare(self) -> None:
        """Do all work that is left. Raises OSError."""
        ...


class IdOrder:
    """The ids that a query finds, in their own order."""

    def __init__(self, query: Query, segments: Sequence[Segment], known: int | None) -> None:
        self._known = known
        self._down = IdScan(partial(mask, query), segments, descending=True)
        self._up = IdScan(partial(mask, query), segments, descending=False)

    def key(self, job: Job) -> float:
        """See Answer: they are ordered by their ids alone."""
        return 0.0

    def among(self, job: Job) -> None:
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

    def first(self, count: int, *, descending: bool) -> Sequence[int]:
        """See Answer."""
        near, far = (self._down, self._up) if descending else (self._up, self._down)
        if far.complete and not near.complete:
            near.take_all(far.ids[::-1])
        return near.reach(count)

    def before(self, key: float, job_id: int, count: int, *, descending: bool) -> int:
        """See Answer."""
        ids = self.first(count, descending=descending)
        if descending:
            return bisect_left(ids, -job_id, key=int.__neg__)
        return bisect_left(ids, job_id)

    def rank(self, key: float, job_id: int, *, descending: bool) -> int:
        """See Answer."""
        count = _FEW
        while True:
            ids = self.first(count, descending=descending)
            if len(ids) < count or (ids[-1] < job_id if descending else ids[-1] > job_id):
                return self.before(key, job_id, count, descending=descending)
            count = 2 * len(ids)

    def ready(self, count: int, *, descending: bool) -> bool:
        """See Answer."""
        near, far = (self._down, self._up) if descending else (self._up, self._down)
        return near.complete or far.complete or len(near.ids) >= count

    def prepare(self) -> None:
        """See Answer."""
        self._down.reach(None)
        self.first(0, descending=False)


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
        self._bounds = list(_bounds(segments, descending))
        self._taken = 0
        self._masks: dict[str, bytes] = {}
        self._mutex = threading.Lock()

    def reach(self, count: int | None) -> array[int]:
        """The ids so far, of which there are `count` (None: all) unless there are no more. Raises OSError."""
        turns = Yielder()
        while not self.complete and (count is None or len(self.ids) < count):
            turns.give()
            with self._mutex:
                if self._taken == len(self._bounds):
                    self.complete = True
                    self._masks = {}
                else:
                    self.ids.extend(self._between(*self._bounds[self._taken]))
                    self._taken += 1
        return self.ids

    def take_all(self, ids: array[int]) -> None:
        """These are all ids, in this order."""
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


def _bounds(segments: Sequence[Segment], descending: bool) -> Iterator[tuple[int, int]]:
    """Stretches of ids (above the first, through the second), each of twice as many segments as the last."""
    ends = sorted({segment.entry.last for segment in segments}, reverse=descending)
    start, width = 0, 1
    while start < len(ends):
        following = start + width
        if descending:
            yield (ends[following] if following < len(ends) else 0), ends[start]
        else:
            yield (ends[start - 1] if start else 0), ends[min(following, len(ends)) - 1]
        start, width = following, min(width * 2, _WIDEST)


# ---- merged from jobtui.history.view: ----
# The answer to a query: ids in order, and the jobs of a page when they are asked for.
Entry = tuple[float, Any, int]
"""What a job is ordered by: a key, what tells recent jobs of the same key apart, its id."""


class View:
    """The jobs that a query found, of one moment, in its order: places from 0 to its length.

    The first pages from either end of an unsorted view cost next to nothing; `ready` says whether a place
    is to be had so, and `prepare` does all the work that is left, for a thread that has the time. A page is
    read with the newest version of each job. Everything here raises StoreError where the disk fails, and
    may be called from any thread.
    """

    def __init__(
        self,
        answer: OrderedIds,
        recent: Sequence[Job],
        descending: bool,
        read: Callable[[int], Job | None],
    ) -> None:
        self._answer, self._descending, self._read = answer, descending, read
        self._entries: dict[int, Entry] = {job.id: self._entry_of(job) for job in recent}
        self._recent = sorted(self._entries.values(), reverse=descending)

    def __len__(self) -> int:
        with readable():
            return self._answer.count() + len(self._recent)

    def ids(self, start: int, stop: int) -> list[int]:
        """The ids at the places from `start` to before `stop`."""
        length = len(self)
        start, stop = max(0, start), min(stop, length)
        if start >= stop:
            return []
        if start + stop > length:
            return self._ids(length - stop, length - start, not self._descending)[::-1]
        return self._ids(start, stop, self._descending)

    def page(self, start: int, count: int) -> list[Job]:
        """Up to `count` jobs from place `start`; one that was archived meanwhile is left out."""
        with readable():
            found = map(self._read, self.ids(start, start + count))
            return [job for job in found if job is not None]

    def index_of(self, job_id: int) -> int | None:
        """The job's place, None where it is not in the view."""
        with readable():
            entry = self._entry(job_id)
            if entry is None:
                return None
            before = self._answer.rank(entry[0], job_id, descending=self._descending)
            among = bisect_left(self._recent, True, key=lambda each: self._passes(each, entry))
            recent = among < len(self._recent) and self._recent[among] == entry
            sealed = self._answer.first(before + 1, descending=self._descending)[before : before + 1]
            return before + among if recent or list(sealed) == [job_id] else None

    def ready(self, start: int, stop: int) -> bool:
        """Whether the places from `start` to before `stop` can be read without long work."""
        length = len(self)
        if start + stop > length:
            return self._answer.ready(min(length - start, length), descending=not self._descending)
        return self._answer.ready(min(stop, length), descending=self._descending)

    def prepare(self) -> None:
        """Do all work that is left, so that every place is ready."""
        with readable():
            self._answer.prepare()

    def _entry(self, job_id: int) -> Entry | None:
        entry = self._entries.get(job_id)
        if entry is not None:
            return entry
        job = self._read(job_id)
        return self._entry_of(job) if job is not None else None

    def _entry_of(self, job: Job) -> Entry:
        return self._answer.key(job), self._answer.among(job), job.id

    def _passes(self, entry: Entry, other: Entry) -> bool:
        return entry <= other if self._descending else entry >= other

    def _ids(self, start: int, stop: int, descending: bool) -> list[int]:
        with readable():
            sealed = self._answer.first(stop, descending=descending)
            recent = self._recent if descending == self._descending else self._recent[::-1]

            def place(i: int) -> int:
                key, _, job_id = recent[i]
                return i + self._answer.before(key, job_id, stop, descending=descending)

            first = bisect_left(range(len(recent)), start, key=place)
            end = bisect_left(range(len(recent)), stop, first, key=place)
            found = list(sealed[start - first : stop - end])
            for i in range(first, end):
                found.insert(place(i) - start, recent[i][2])
            return found
