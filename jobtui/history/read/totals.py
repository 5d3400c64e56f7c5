"""The totals of all jobs for metrics: numbers, reclaimed bytes, last ends.

A segment never changes, except that a newer version of one of its jobs is recorded elsewhere. So its totals are
computed once and kept until then: of ten million jobs only those of new segments are read again.
"""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from itertools import compress
from typing import Final
from weakref import WeakKeyDictionary

import msgspec

from jobtui.history.format.archive import Archives
from jobtui.history.format.index import CODE_OF, EPOCH, STALE, STATUSES
from jobtui.history.format.segment import Segment
from jobtui.history.format.state import State
from jobtui.model import Job, Status

_IS_CURRENT: Final = bytes(code != STALE for code in range(256))
_RESULTS: Final = (Status.FINISHED, Status.FAILED)
_IS_RESULT: Final = bytes(code in {CODE_OF[status] for status in _RESULTS} for code in range(256))


class JobTotals(msgspec.Struct):
    """The totals of some jobs.

    Attributes:
        counts: The number of jobs by command and status.
        reclaimed: The bytes that jobs reclaimed, by space. A job whose files grew counts as 0.
        last_ends: When the last job that finished or failed ended, by space, command and status.
    """

    counts: Counter[tuple[str, Status]] = msgspec.field(default_factory=Counter)
    reclaimed: Counter[str] = msgspec.field(default_factory=Counter)
    last_ends: dict[tuple[str, str, Status], datetime] = msgspec.field(default_factory=dict)

    def add(self, other: JobTotals, *, archived: bool = False) -> None:
        """Add the totals of other jobs; archived jobs are not counted."""
        if not archived:
            self.counts.update(other.counts)
        self.reclaimed.update(other.reclaimed)
        for key, stop in other.last_ends.items():
            self.last_ends[key] = max(stop, self.last_ends.get(key, stop))

    def add_job(self, job: Job) -> None:
        """Add one job."""
        self.counts[job.command, job.status] += 1
        self.reclaimed[job.space] += max(0, job.reclaimed_by_compaction or 0)
        if job.status in _RESULTS and job.stop is not None:
            key = job.space, job.command, job.status
            self.last_ends[key] = max(job.stop, self.last_ends.get(key, job.stop))


class TotalsReader:
    """The reader of the totals, which keeps those of each segment. Any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: WeakKeyDictionary[Segment, tuple[int, JobTotals]] = WeakKeyDictionary()

    def read(self, state: State, archives: Archives) -> JobTotals:
        """Return the totals now. Raises OSError."""
        with self._mutex:
            for segment in (*state.segments, *archives.all_segments(state.manifest)):
                self._segment_totals(segment)
            found = JobTotals()
            # a job that moves between the recent ones and a segment must count once: a total that drops for a
            # moment would be read as a restart from zero. What takes long was done before the lock was taken
            with state.mutex:
                for job in state.recent.values():
                    found.add_job(job)
                for segment in state.segments:
                    found.add(self._segment_totals(segment))
                for segment in archives.all_segments(state.manifest):
                    found.add(self._segment_totals(segment), archived=True)
        return found

    def _segment_totals(self, segment: Segment) -> JobTotals:
        superseded = segment.columns.statuses.count(STALE)
        known = self._known.get(segment)
        if known is None or known[0] != superseded:
            known = self._known[segment] = superseded, _totals_of(segment)
        return known[1]


def _totals_of(segment: Segment) -> JobTotals:
    """Return the totals of a segment's current rows.

    The loops handle codes and numbers alone: with enums and texts they took five times as long.
    """
    columns = segment.columns
    statuses, commands, spaces = columns.statuses, columns.commands, columns.spaces
    totals = JobTotals()
    for (command, status), count in Counter(zip(commands.codes, statuses, strict=True)).items():
        if status != STALE:
            totals.counts[commands.values[command], STATUSES[status]] += count
    reclaimed = [0.0] * len(spaces.values)
    is_current = statuses.translate(_IS_CURRENT)
    values = zip(spaces.codes, segment.numbers("reclaimed"), strict=True)
    for space, freed in compress(values, is_current):
        if freed > 0:
            reclaimed[space] += freed
    totals.reclaimed = Counter(
        {space: int(freed) for space, freed in zip(spaces.values, reclaimed, strict=True) if freed}
    )
    stops: dict[tuple[int, int, int], float] = {}
    ends = zip(spaces.codes, commands.codes, statuses, segment.numbers("stop"), strict=True)
    for space, command, code, stop in compress(ends, statuses.translate(_IS_RESULT)):
        row = space, command, code
        if stop > stops.get(row, 0.0):
            stops[row] = stop
    for (space, command, code), stop in stops.items():
        key = spaces.values[space], commands.values[command], STATUSES[code]
        totals.last_ends[key] = EPOCH + timedelta(microseconds=stop)
    return totals
