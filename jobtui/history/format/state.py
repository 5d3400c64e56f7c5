"""The state of the history in memory.

Only the newest versions that are not in a segment are records (`recent`: the live jobs, and those that ended
since the last seal); all others are in columns. The mutex is held briefly, and never during a file operation.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import msgspec

from jobtui.errors import StoreTooNew
from jobtui.history.format.archive import Archives
from jobtui.history.format.codec import unknown_field
from jobtui.history.format.index import CODE_OF
from jobtui.history.format.manifest import Manifest
from jobtui.history.format.segment import Segment
from jobtui.model import Job, Status

StatusCounts = Counter[tuple[str, Status]]


def flatten_counts(counts: Mapping[str, Mapping[str, int]]) -> StatusCounts:
    """Return a manifest's counts in the form of `StatusCounts`."""
    return Counter({(space, Status(status)): n for space, each in counts.items() for status, n in each.items()})


def nest_counts(tally: StatusCounts) -> dict[str, dict[str, int]]:
    """Return counts in the form of a manifest, by space and status, without zeros."""
    result: dict[str, dict[str, int]] = {}
    for (space, status), count in tally.items():
        if count:
            result.setdefault(space, {})[str(status)] = count
    return result


class SupersededRecord(msgspec.Struct, frozen=True):
    """A sealed record with a newer version in the journal; it counts by space and status."""

    segment: Segment
    space: str
    status: Status


class State:
    """Segments, recent jobs and counts. Only the writer changes it; any thread may read it.

    Attributes:
        recent: The newest versions that are not sealed, by id.
        live: The queued and running jobs among them.
        superseded: The sealed records that these replace.
        counts: The number of jobs by space and status, without the archived ones.
        sealed_version: A number that rises whenever the sealed jobs change; queries share results by it.
        restated_in: The number of the last journal that restates (or may restate) all recent jobs.
    """

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self.manifest = Manifest()
        self.segments: tuple[Segment, ...] = ()
        self.recent: dict[int, Job] = {}
        self.live: dict[int, Job] = {}
        self.superseded: dict[int, SupersededRecord] = {}
        self.counts: StatusCounts = Counter()
        self.next_id = 1
        self.last_id = 0
        self.sealed_version = 0
        self.restated_in = 0
        self._last_sealed = 0

    def apply_manifest(self, manifest: Manifest, segments: tuple[Segment, ...]) -> None:
        """Set the sealed part from a manifest."""
        with self.mutex:
            self.manifest, self.segments = manifest, segments
            self._last_sealed = max((segment.entry.last for segment in segments), default=0)
            sealed = (*(entry.last for entry in manifest.archives), self._last_sealed)
            self.last_id = max(self.last_id, *sealed)
            self.next_id = max(self.next_id, manifest.next_id, self.last_id + 1)
            self.sealed_version += 1

    def reset_counts(self) -> None:
        """Reset the counts to those of the manifest."""
        with self.mutex:
            self.counts = flatten_counts(self.manifest.counts)

    def forget_recent(self) -> None:
        """Discard all jobs that are not sealed: the next journal restates them."""
        with self.mutex:
            for job_id, replaced in self.superseded.items():
                replaced.segment.unhide(job_id, replaced.status)
            self.recent, self.live, self.superseded = {}, {}, {}
            self.reset_counts()

    def get(self, job_id: int) -> Job | None:
        """Return the job's newest version, None if there is none or it is archived.

        Raises OSError.
        """
        job = self.recent.get(job_id)
        if job is not None or (found := self.find_sealed(job_id)) is None:
            return job
        segment, row = found
        return segment.job(row)

    def get_sealed(self, job_id: int) -> Job | None:
        """Return the job's newest sealed version, even if a journal has a newer one.

        Raises OSError.
        """
        for segment in reversed(self.segments):
            if (row := segment.sealed_row_of(job_id)) is not None:
                return segment.job(row)
        return None

    def salvage(self, job_id: int) -> Job | None:
        """Return the job's newest version; if its segment is gone, the index's fields.

        Raises OSError.
        """
        job = self.recent.get(job_id)
        if job is not None or (found := self.find_sealed(job_id)) is None:
            return job
        segment, row = found
        return segment.salvage(row)

    def get_for_update(self, job_id: int) -> Job | None:
        """Return the job's newest version if it is sealed, to change it.

        Raises OSError and StoreTooNew.
        """
        found = self.find_sealed(job_id)
        if found is None:
            return None
        segment, row = found
        job = segment.job(row)
        name = unknown_field(segment.line(row), job)
        if name is not None:
            raise StoreTooNew(f"Job {job_id} has a field {name!r} that this jobtui does not know: update it")
        return job

    def find_sealed(self, job_id: int) -> tuple[Segment, int] | None:
        """Return the segment and the row of the job if its newest version is sealed.

        Raises OSError.
        """
        if job_id > self._last_sealed:
            return None
        for segment in reversed(self.segments):
            if segment.entry.first <= job_id <= segment.entry.last:
                row = segment.row_of(job_id)
                if row is not None:
                    return segment, row
        return None

    def publish(self, job: Job) -> None:
        """Set the job's newest version, which is on disk. Raises OSError."""
        before = self.recent.get(job.id)
        if before is None and job.id <= self._last_sealed and (found := self.find_sealed(job.id)) is not None:
            segment, row = found
            sealed = segment.space_and_status(row)
            with self.mutex:
                segment.hide(job.id)
                self.superseded[job.id] = SupersededRecord(segment, *sealed)
                self.counts[sealed] -= 1
                self.sealed_version += 1
        with self.mutex:
            if before is not None:
                self.counts[before.space, before.status] -= 1
            self.counts[job.space, job.status] += 1
            self.recent[job.id] = job
            if job.status.ended:
                self.live.pop(job.id, None)
            else:
                self.live[job.id] = job
            self.last_id = max(self.last_id, job.id)
            self.next_id = max(self.next_id, self.last_id + 1)

    def mark_sealed(self, jobs: Iterable[Job], segment: Segment, journal: int) -> None:
        """Note that a segment has these versions, and journals before `journal` no longer do.

        Those that are still the newest are discarded here, unless a later journal restates them after a failed
        sync: then they stay, because an opening would find them there.
        """
        is_restated = self.restated_in > journal
        for job in jobs:
            self.superseded.pop(job.id, None)
            if self.recent.get(job.id) is job and not is_restated:
                del self.recent[job.id]
            else:
                segment.hide(job.id)
                self.superseded[job.id] = SupersededRecord(segment, job.space, job.status)

    def drop_recent(self, job_id: int) -> None:
        """Discard a journal's version of a job that is archived."""
        with self.mutex:
            job = self.recent.pop(job_id)
            self.live.pop(job_id, None)
            self.counts[job.space, job.status] -= 1


_RECOVERABLE = (Status.FAILED, Status.STOPPED)


def recovered_as(state: State, archives: Archives, job_id: int) -> list[int]:
    """Return the ids of the jobs that recovered this one, in order. Raises OSError."""
    found = {job.id for job in _recent_jobs(state) if job.recovered_from == job_id}
    for segment in (*state.segments, *archives.all_segments(state.manifest)):
        if segment.entry.last > job_id:
            columns = segment.columns
            first, last = bisect_left(columns.recovered, job_id), bisect_right(columns.recovered, job_id)
            found.update(columns.recoverers[first:last])
    return sorted(found)


def known_recoveries(state: State, archives: Archives, ids: Collection[int]) -> dict[int, int]:
    """Return the newest recovery of each of these jobs, without reading from the disk.

    A segment that is not in memory yet is skipped: a screen needs the result for each page of rows.
    """
    found = {job.recovered_from: job.id for job in _recent_jobs(state) if job.recovered_from in ids}
    for segment in (*state.segments, *archives.opened):
        if segment.is_loaded:
            columns = segment.columns
            for job_id in ids:
                last = bisect_right(columns.recovered, job_id)
                if last and columns.recovered[last - 1] == job_id:
                    found[job_id] = max(columns.recoverers[last - 1], found.get(job_id, 0))
    return {old: new for old, new in found.items() if old is not None}


def unrecovered(state: State, archives: Archives, space: str | None) -> list[int]:
    """Return the ids of failed and stopped jobs that no job, archived or not, recovered.

    Raises OSError.
    """
    recent = _recent_jobs(state)
    recovered = {job.recovered_from for job in recent}
    found = {job.id for job in recent if job.status in _RECOVERABLE and (space is None or job.space == space)}
    codes = {CODE_OF[status] for status in _RECOVERABLE}
    for segment in state.segments:
        columns = segment.columns
        recovered.update(columns.recovered)
        wanted = None if space is None else _code_of_value(columns.spaces.values, space)
        found.update(
            job_id
            for job_id, status, code in zip(columns.ids, columns.statuses, columns.spaces.codes, strict=True)
            if status in codes and (wanted is None or code == wanted)
        )
    for segment in archives.all_segments(state.manifest):
        recovered.update(segment.columns.recovered)
    return sorted(found - recovered)


def _code_of_value(values: tuple[str, ...], value: str) -> int:
    return values.index(value) if value in values else -1


def _recent_jobs(state: State) -> tuple[Job, ...]:
    with state.mutex:
        return tuple(state.recent.values())
