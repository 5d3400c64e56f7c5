"""The result of a query, and the query engine, which combines sealed and recent jobs.

The order of the sealed jobs is computed once for all results that use it; recent jobs are added to each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from msgspec.structs import replace

from jobtui.history.format.archive import Archives
from jobtui.history.format.quarantine import convert_read_errors
from jobtui.history.format.segment import Segment
from jobtui.history.format.state import State
from jobtui.history.read.ordered_ids import IdOrder, KeyOrder, OrderedIds
from jobtui.history.read.query import Query, Sort, can_use_counts, match_job
from jobtui.model import Job, Status

SortEntry = tuple[float, Any, int]
"""The value that a job is ordered by: a key, a tie-breaker for recent jobs, its id."""


class QueryResult:
    """The jobs that a query found at one moment, in its order.

    The first pages from either end are cheap if the jobs are in the order of their ids. `is_ready` returns
    whether a page is, and `prepare` does all remaining work, for a background thread. A page has the newest
    version of each job. Every method raises StoreError if the disk fails, and may be called from any thread.
    """

    def __init__(
        self,
        sealed: OrderedIds,
        recent: Sequence[Job],
        descending: bool,
        read: Callable[[int], Job | None],
    ) -> None:
        self._sealed, self._descending, self._read = sealed, descending, read
        self._entries: dict[int, SortEntry] = {job.id: self._entry_of(job) for job in recent}
        self._recent = sorted(self._entries.values(), reverse=descending)

    def __len__(self) -> int:
        with convert_read_errors():
            return self._sealed.count() + len(self._recent)

    def ids(self, start: int, stop: int) -> list[int]:
        """Return the ids at the positions from `start` to before `stop`."""
        length = len(self)
        start, stop = max(0, start), min(stop, length)
        if start >= stop:
            return []
        if start + stop > length:
            return self._ids(length - stop, length - start, not self._descending)[::-1]
        return self._ids(start, stop, self._descending)

    def page(self, start: int, count: int) -> list[Job]:
        """Return up to `count` jobs from position `start` on, without those archived meanwhile."""
        with convert_read_errors():
            found = map(self._read, self.ids(start, start + count))
            return [job for job in found if job is not None]

    def index_of(self, job_id: int) -> int | None:
        """Return the job's position, None if it is not in the result."""
        with convert_read_errors():
            entry = self._entry(job_id)
            if entry is None:
                return None
            before = self._sealed.rank(entry[0], job_id, descending=self._descending)
            among = bisect_left(self._recent, True, key=lambda each: self._is_at_or_after(each, entry))
            recent = among < len(self._recent) and self._recent[among] == entry
            sealed = self._sealed.head(before + 1, descending=self._descending)[before : before + 1]
            return before + among if recent or list(sealed) == [job_id] else None

    def is_ready(self, start: int, stop: int) -> bool:
        """Return whether the positions from `start` to before `stop` can be read without delay."""
        length = len(self)
        if start + stop > length:
            return self._sealed.is_ready(min(length - start, length), descending=not self._descending)
        return self._sealed.is_ready(min(stop, length), descending=self._descending)

    def prepare(self) -> None:
        """Do all remaining work, so that every position is ready."""
        with convert_read_errors():
            self._sealed.prepare()

    def _entry(self, job_id: int) -> SortEntry | None:
        entry = self._entries.get(job_id)
        if entry is not None:
            return entry
        job = self._read(job_id)
        return self._entry_of(job) if job is not None else None

    def _entry_of(self, job: Job) -> SortEntry:
        return self._sealed.key(job), self._sealed.tiebreak(job), job.id

    def _is_at_or_after(self, entry: SortEntry, other: SortEntry) -> bool:
        return entry <= other if self._descending else entry >= other

    def _ids(self, start: int, stop: int, descending: bool) -> list[int]:
        with convert_read_errors():
            sealed = self._sealed.head(stop, descending=descending)
            recent = self._recent if descending == self._descending else self._recent[::-1]

            def position(i: int) -> int:
                key, _, job_id = recent[i]
                return i + self._sealed.count_before(key, job_id, stop, descending=descending)

            first = bisect_left(range(len(recent)), start, key=position)
            end = bisect_left(range(len(recent)), stop, first, key=position)
            found = list(sealed[start - first : stop - end])
            for i in range(first, end):
                found.insert(position(i) - start, recent[i][2])
            return found


ReadJob = Callable[[int], Job | None]


class QueryEngine:
    """The query engine, which shares the order of sealed jobs between results in use."""

    def __init__(self, archives: Archives, get: ReadJob, get_archived: ReadJob) -> None:
        self._archives, self._get, self._get_archived = archives, get, get_archived
        self._orders: WeakValueDictionary[tuple[Query, State, int], OrderedIds] = WeakValueDictionary()

    def run(self, state: State, query: Query) -> QueryResult:
        """Return the result of a query at this moment. Raises OSError."""
        with state.mutex:
            segments, version, manifest = state.segments, state.sealed_version, state.manifest
            recent = () if query.archived else tuple(state.recent.values())
            tally = dict(state.counts)
        ascending = replace(query, descending=False)
        key = (ascending, state, version)
        order = self._orders.get(key)
        if order is None:
            if query.archived:
                segments = self._archives.all_segments(manifest)
                known = sum(map(_count_current, segments)) if ascending == _ALL_ARCHIVED else None
            else:
                known = _count_sealed(query, tally, recent) if can_use_counts(query) else None
            order = _order_of(ascending, segments, known)
            self._orders[key] = order
        found = recent if query == _ALL else tuple(filter(match_job(query), recent))
        return QueryResult(order, found, query.descending, self._get_archived if query.archived else self._get)


_ALL = Query()
_ALL_ARCHIVED = Query(archived=True)


def _count_current(segment: Segment) -> int:
    return segment.entry.count - len(segment.entry.stale)


def _order_of(query: Query, segments: Sequence[Segment], known: int | None) -> OrderedIds:
    if query.sort is Sort.ID:
        return IdOrder(query, segments, known)
    return KeyOrder(query, segments, known)


def _count_sealed(query: Query, tally: Mapping[tuple[str, Status], int], recent: Sequence[Job]) -> int:
    """Return the number of sealed jobs that match: the counts without the recent jobs."""
    wanted = match_job(query)
    spaces, statuses = query.spaces, query.statuses
    total = sum(
        count
        for (space, status), count in tally.items()
        if (not spaces or space in spaces)
        and (not statuses or status in statuses)
        and space not in query.not_spaces
        and status not in query.not_statuses
    )
    return total - sum(map(wanted, recent))
