"""The recent activity of spaces: their newest jobs, for cards, curves and the usual time of a job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import msgspec

from jobtui.engine.client import Client
from jobtui.history import StoreError
from jobtui.history.read.query import Bound, Query
from jobtui.model import Job, Status

RECENT_JOBS = 40  # of one space
MIN_MEASURED = 2  # jobs whose sizes are shown as a curve
_JOBS_FOR_ALL = 1000  # the newest, in which most spaces are found with one query
_MAX_QUERIES = 50  # for spaces that are not: each searches the whole history
_MIN_RUNS = 2  # runs from which a usual time is shown
_MAX_RUNS = 10
_MAX_USUAL = 500  # usual times that are kept


class SpaceActivity(msgspec.Struct, frozen=True):
    """The newest jobs of a space, the newest first."""

    jobs: tuple[Job, ...] = ()

    @property
    def last_ended(self) -> Job | None:
        """The newest job that has ended."""
        return next((job for job in self.jobs if job.status.ended), None)

    @property
    def measured(self) -> tuple[Job, ...]:
        """The finished jobs whose sizes before and after are known for each host, the oldest first."""
        return tuple(job for job in reversed(self.jobs) if size_after(job) is not None)

    @property
    def reclaimed(self) -> int | None:
        """The bytes that these jobs freed, None if no job's are known."""
        known = [freed for job in self.jobs if (freed := job.reclaimed_by_compaction) is not None]
        return sum(known) if known else None


def size_after(job: Job) -> int | None:
    """Return the bytes of the space at the end of a finished job, None if unknown."""
    sizes = [task.after.bytes for task in job.tasks if task.after is not None]
    return sum(sizes) if sizes and job.status is Status.FINISHED and len(sizes) == len(job.tasks) else None


def fetch_activity(client: Client, spaces: Iterable[str]) -> dict[str, SpaceActivity]:
    """Return the newest jobs of each space. It reads the disk; for a background thread.

    Raises StoreError.
    """
    history = client.history
    found: dict[str, list[Job]] = {space: [] for space in spaces}
    for job in history.query(Query(descending=True)).page(0, _JOBS_FOR_ALL):
        if job.space in found and len(found[job.space]) < RECENT_JOBS:
            found[job.space].append(job)
    missing = [space for space, jobs in found.items() if not jobs and any(history.counts(space).values())]
    for space in missing[:_MAX_QUERIES]:
        found[space] = recent_jobs(client, space)
    return {space: SpaceActivity(tuple(jobs)) for space, jobs in found.items()}


def recent_jobs(client: Client, space: str, before: int | None = None) -> list[Job]:
    """Return the newest jobs of a space, the newest first. For a background thread.

    Raises StoreError.

    `before`: only those with a lower id.
    """
    bounds = () if before is None else (Bound("id", 0, before - 1),)
    query = Query(spaces=frozenset({space}), bounds=bounds, descending=True)
    return client.history.query(query).page(0, RECENT_JOBS)


class ActivityCache:
    """The newest jobs of spaces, read in the background, one space at a time."""

    def __init__(self, client: Client, on_change: Callable[[], object]) -> None:
        """Create the cache. `on_change` is called on a thread of the cache after each answer."""
        self._client = client
        self._on_change = on_change
        self._is_pending = False
        self._known: dict[str, tuple[object, SpaceActivity]] = {}

    def request(self, space: str) -> None:
        """Read the newest jobs of a space, unless nothing has changed, or a request is under way."""
        counts = tuple(self._client.history.counts(space).values())
        if self._is_pending or (space in self._known and self._known[space][0] == counts):
            return
        self._is_pending = True
        _in_thread(lambda: self._read(space, counts))

    def get(self, space: str) -> SpaceActivity:
        """Return the newest jobs of a space as they are known; none if they were not read."""
        return self._known[space][1] if space in self._known else SpaceActivity()

    def _read(self, space: str, counts: object) -> None:
        jobs: list[Job] = []
        try:
            jobs = recent_jobs(self._client, space)
        except (StoreError, OSError):
            pass  # the tables show the error of the disk
        finally:
            self._known = {**self._known, space: (counts, SpaceActivity(tuple(jobs)))}
            self._is_pending = False
        self._on_change()


class UsualTimes:
    """The usual times of jobs, from earlier jobs of their kind; read in the background, one at a time."""

    def __init__(self, client: Client, on_change: Callable[[], object]) -> None:
        """Create the cache. `on_change` is called on a thread of the cache after each answer."""
        self._client = client
        self._on_change = on_change
        self._is_pending = False
        self._known: dict[int, float | None] = {}

    def request(self, job: Job) -> None:
        """Read the jobs before this one, unless its usual time is known or a request is under way."""
        if not self._is_pending and job.id not in self._known:
            self._is_pending = True
            _in_thread(lambda: self._read(job))

    def get(self, job_id: int) -> float | None:
        """Return the usual time of a job in seconds, None if it is not known."""
        return self._known.get(job_id)

    def _read(self, job: Job) -> None:
        usual = None
        try:
            usual = usual_seconds(job, recent_jobs(self._client, job.space, before=job.id))
        except (StoreError, OSError):
            pass  # the tables show the error of the disk
        finally:
            self._known = {**(self._known if len(self._known) < _MAX_USUAL else {}), job.id: usual}
            self._is_pending = False
        self._on_change()


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="jobtui-recent-jobs", daemon=True).start()


def usual_seconds(job: Job, jobs: Sequence[Job]) -> float | None:
    """Return how long a job like this one usually takes: the median of earlier ones.

    Args:
        job: The job.
        jobs: Jobs of its space, the newest first.
    """
    took = [
        earlier.took
        for earlier in jobs
        if earlier.id < job.id
        and earlier.command == job.command
        and earlier.status is Status.FINISHED
        and earlier.took is not None
        and _is_comparable(earlier, job)
    ]
    if len(took) < _MIN_RUNS:
        return None
    from statistics import median  # late: 2 ms of a start

    return median(took[:_MAX_RUNS])


def _is_comparable(earlier: Job, job: Job) -> bool:
    """Return whether an earlier job did such work, on the same hosts, families and keys."""
    one, other = earlier.options, job.options
    return (
        [task.host for task in earlier.tasks] == [task.host for task in job.tasks]
        and (one.families, one.from_key, one.to_key) == (other.families, other.from_key, other.to_key)
        and earlier.not_needed < len(earlier.tasks)
    )
