"""The data that the dashboard fetches on request: statements, stats, samples, jobs.

A cache fetches in the background and keeps the newest answer, which it returns at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future

import msgspec
from textual.message import Message

from jobtui.engine.client import Client, ExecuteResult, Overview, Session
from jobtui.engine.samples import JobSamples
from jobtui.history import StoreError
from jobtui.history.read.query import Bound, Query
from jobtui.model import Job, SpaceStats, Status

RECENT_JOBS = 40  # of one space
MIN_MEASURED = 2  # jobs whose sizes are shown as a curve
_JOBS_FOR_ALL = 1000  # the newest, in which most spaces are found with one query
_MAX_QUERIES = 50  # for the other spaces: each searches the whole history
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
        """The finished jobs whose sizes are known for each host, the oldest first."""
        return tuple(job for job in reversed(self.jobs) if size_after(job) is not None)

    @property
    def reclaimed(self) -> int | None:
        """The bytes that these jobs freed, None if they are known of no job."""
        known = [freed for job in self.jobs if (freed := job.reclaimed_by_compaction) is not None]
        return sum(known) if known else None


def size_after(job: Job) -> int | None:
    """Return the bytes of the space at the end of a finished job, None if unknown."""
    sizes = [task.after.bytes for task in job.tasks if task.after is not None]
    return sum(sizes) if sizes and job.status is Status.FINISHED and len(sizes) == len(job.tasks) else None


def fetch_activity(client: Client, spaces: Iterable[str]) -> dict[str, SpaceActivity]:
    """Return the newest jobs of each space. For a background thread. Raises StoreError."""
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
    """Return a space's newest jobs, the newest first. It reads the disk. Raises StoreError.

    `before`: only jobs with a lower id.
    """
    bounds = () if before is None else (Bound("id", 0, before - 1),)
    query = Query(spaces=frozenset({space}), bounds=bounds, descending=True)
    return client.history.query(query).page(0, RECENT_JOBS)


class ActivityCache:
    """The newest jobs of spaces, fetched on request, one space at a time."""

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
    """The usual times of jobs, computed on request, one at a time, from earlier jobs."""

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
    """Return whether an earlier job did the same work: on equal hosts, families and keys."""
    one, other = earlier.options, job.options
    return (
        [task.host for task in earlier.tasks] == [task.host for task in job.tasks]
        and (one.families, one.from_key, one.to_key) == (other.families, other.from_key, other.to_key)
        and earlier.not_needed < len(earlier.tasks)
    )


class StatementAnswered(Message):
    """The result of a StatementQuery, or why it failed; posted from the engine's thread."""

    def __init__(self, result: ExecuteResult | None, problem: str) -> None:
        super().__init__()
        self.result, self.problem = result, problem


class StatementQuery:
    """A statement that only reads, executed on request, one request at a time.

    It has a session of its own: texts of one session run one after the other, and a measurement, which waits
    for all hosts, must not delay a STOP JOB of the user.
    """

    def __init__(self, client: Client, text: str, post: Callable[[StatementAnswered], object]) -> None:
        """Create the query. `post` is called on the engine's thread with each answer."""
        self._client, self._text, self._session = client, text, Session(kind="dashboard")
        self._post = post
        self._is_pending = False

    def request(self) -> bool:
        """Execute the statement, unless a request is under way; return whether it was requested."""
        if self._is_pending:
            return False
        self._is_pending = True
        self._client.execute(self._text, self._session).add_done_callback(self._receive)
        return True

    def _receive(self, done: Future[ExecuteResult]) -> None:
        self._is_pending = False
        if done.cancelled():
            self._post(StatementAnswered(None, "not answered"))
        elif (error := done.exception()) is not None:
            self._post(StatementAnswered(None, str(error)))
        else:
            failure = done.result().failure
            self._post(StatementAnswered(done.result(), failure.message if failure is not None else ""))


StatsTarget = tuple[str, str]
"""A space and a host."""


class StatsResult(msgspec.Struct, frozen=True):
    """The stats of a space on a host, or the reason why they could not be fetched."""

    stats: SpaceStats | None = None
    problem: str = ""


class StatsCache:
    """The newest stats of spaces on hosts, fetched on request, each one at a time."""

    def __init__(self, client: Client, on_change: Callable[[], object]) -> None:
        """Create the cache. `on_change` is called on the engine's thread after each answer."""
        self._client = client
        self._on_change = on_change
        self._requested: set[StatsTarget] = set()
        self._seen: Mapping[StatsTarget, StatsResult] = {}

    def request(self, space: str, host: str) -> None:
        """Fetch the stats again, unless a request is under way."""
        target = space, host
        if target not in self._requested:
            self._requested.add(target)
            self._client.fetch_stats(space, host).add_done_callback(lambda done: self._receive(target, done))

    def get(self, space: str, host: str) -> StatsResult:
        """Return the newest answer."""
        return self._seen.get((space, host), StatsResult())

    def clear(self) -> None:
        """Remove all answers."""
        self._seen = {}

    def _receive(self, target: StatsTarget, done: Future[SpaceStats]) -> None:
        self._requested.discard(target)
        if done.cancelled():
            result = StatsResult(problem="not answered")
        elif (error := done.exception()) is not None:
            result = StatsResult(problem=str(error))
        else:
            result = StatsResult(done.result())
        self._seen = {**self._seen, target: result}
        self._on_change()


class SamplesCache:
    """The newest samples of one job, fetched on request, one request at a time."""

    def __init__(self, client: Client, on_change: Callable[[], object]) -> None:
        """Create the cache. `on_change` is called on a thread of the client after each answer."""
        self._client = client
        self._on_change = on_change
        self._requested: tuple[int, Status] | None = None
        self._is_pending = False
        self._answer: tuple[int, JobSamples | None] | None = None

    def request(self, job: Job, *, again: bool = False) -> None:
        """Fetch the samples of a job if it or its status is another; with `again` in any case."""
        if not self._is_pending and (again or self._requested != (job.id, job.status)):
            self._requested, self._is_pending = (job.id, job.status), True
            self._client.fetch_samples(job.id).add_done_callback(lambda done: self._receive(job.id, done))

    def is_known(self, job_id: int) -> bool:
        """Return whether the samples of the job have been fetched."""
        return self._answer is not None and self._answer[0] == job_id

    def get(self, job_id: int) -> JobSamples | None:
        """Return the samples of the job, None if there are none or they have not been fetched."""
        return self._answer[1] if self._answer is not None and self._answer[0] == job_id else None

    def _receive(self, job_id: int, done: Future[JobSamples | None]) -> None:
        self._is_pending = False
        found = None if done.cancelled() or done.exception() is not None else done.result()
        # if the owner has exited, the last samples stay
        self._answer = job_id, found or self.get(job_id)
        self._on_change()


class OverviewCache:
    """The newest overview of spaces and hosts, fetched on request, one request at a time."""

    def __init__(self, client: Client, on_change: Callable[[], object]) -> None:
        """Create the cache. `on_change` is called on the engine's thread after each answer."""
        self._client = client
        self._on_change = on_change
        self._is_requested = False
        self.overview: Overview | None = None
        self.problem = ""

    def adopted(self, space: str) -> bool | None:
        """Return whether another program owns the space; None if that is not known."""
        if self.overview is None:
            return None
        return next((entry.space.adopted for entry in self.overview.spaces if entry.space.name == space), None)

    def request(self) -> None:
        """Fetch a new overview, unless a request is under way."""
        if not self._is_requested:
            self._is_requested = True
            self._client.fetch_overview().add_done_callback(self._receive)

    def _receive(self, done: Future[Overview]) -> None:
        # on the engine's thread
        self._is_requested = False
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self.problem = str(error)
        elif not done.cancelled():
            self.overview, self.problem = done.result(), ""
        self._on_change()
