"""The totals of all jobs, for metrics: their numbers, the bytes that they reclaimed, and the last successes.

A segment never changes, except that a newer version of one of its jobs is recorded elsewhere. So its totals are
computed once and kept until then: of ten million jobs only those of new segments are read again.
"""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

import msgspec

from jobtui.history.format.archive import Archives
from jobtui.history.format.index import STALE, STATUSES
from jobtui.history.format.segment import Segment
from jobtui.history.format.state import State
from jobtui.model import Job, Status

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class JobTotals(msgspec.Struct):
    """The totals of some jobs.

    Attributes:
        counts: The number of jobs by command and status.
        reclaimed: The bytes that jobs gave back, by space. A job whose files grew counts as 0.
        successes: When the last finished job ended, by space and command.
    """

    counts: Counter[tuple[str, Status]] = msgspec.field(default_factory=Counter)
    reclaimed: Counter[str] = msgspec.field(default_factory=Counter)
    successes: dict[tuple[str, str], datetime] = msgspec.field(default_factory=dict)

    def add(self, other: JobTotals, *, archived: bool = False) -> None:
        """Add the totals of other jobs. Of archived ones the numbers do not count."""
        if not archived:
            self.counts.update(other.counts)
        self.reclaimed.update(other.reclaimed)
        for key, stop in other.successes.items():
            self.successes[key] = max(stop, self.successes.get(key, stop))

    def add_job(self, job: Job) -> None:
        """Add one job."""
        self.counts[job.command, job.status] += 1
        self.reclaimed[job.space] += max(0, job.reclaimed or 0)
        if job.status is Status.FINISHED and job.stop is not None:
            key = job.space, job.command
            self.successes[key] = max(job.stop, self.successes.get(key, job.stop))


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
    columns, totals = segment.columns, JobTotals()
    commands = [columns.commands.values[code] for code in columns.commands.codes]
    spaces = [columns.spaces.values[code] for code in columns.spaces.codes]
    stops: dict[tuple[str, str], float] = {}
    rows = zip(
        columns.statuses, commands, spaces, segment.numbers("reclaimed"), segment.numbers("stop"), strict=True
    )
    for code, command, space, reclaimed, stop in rows:
        if code == STALE:
            continue
        status = STATUSES[code]
        totals.counts[command, status] += 1
        if reclaimed > 0:
            totals.reclaimed[space] += int(reclaimed)
        if status is Status.FINISHED and stop > stops.get((space, command), 0.0):
            stops[space, command] = stop
    totals.successes = {key: _EPOCH + timedelta(microseconds=stop) for key, stop in stops.items()}
    return totals
