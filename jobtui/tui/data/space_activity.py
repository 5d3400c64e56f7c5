"""What happened in spaces lately: their newest jobs, for cards, curves and the usual time of a job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from jobtui.engine.client import Client
from jobtui.history.read.query import Query
from jobtui.model import Job, Status

RECENT_JOBS = 40  # of one space
_JOBS_FOR_ALL = 1000  # the newest, in which most spaces are found with one query
_MOST_QUERIES = 50  # for spaces that are not: each looks through the whole history
_LEAST_RUNS = 2  # of which a usual time is told
_MOST_RUNS = 10


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
        known = [job.reclaimed for job in self.jobs if job.reclaimed is not None]
        return sum(known) if known else None


def size_after(job: Job) -> int | None:
    """Return the bytes of the space on all hosts of a finished job at its end, None if they are not known."""
    sizes = [task.after.bytes for task in job.tasks if task.after is not None]
    return sum(sizes) if sizes and job.status is Status.FINISHED and len(sizes) == len(job.tasks) else None


def fetch_activity(client: Client, spaces: Iterable[str]) -> dict[str, SpaceActivity]:
    """Return the newest jobs of each space. It reads the disk; for a background thread. Raises StoreError."""
    history = client.history
    found: dict[str, list[Job]] = {space: [] for space in spaces}
    for job in history.query(Query(descending=True)).page(0, _JOBS_FOR_ALL):
        if job.space in found and len(found[job.space]) < RECENT_JOBS:
            found[job.space].append(job)
    missing = [space for space, jobs in found.items() if not jobs and any(history.counts(space).values())]
    for space in missing[:_MOST_QUERIES]:
        found[space] = recent_jobs(client, space)
    return {space: SpaceActivity(tuple(jobs)) for space, jobs in found.items()}


def recent_jobs(client: Client, space: str) -> list[Job]:
    """Return the newest jobs of a space, the newest first. For a background thread. Raises StoreError."""
    query = Query(spaces=frozenset({space}), descending=True)
    return client.history.query(query).page(0, RECENT_JOBS)


def usual_seconds(job: Job, jobs: Sequence[Job]) -> float | None:
    """Return how long a job like this one usually takes: the median of the earlier ones that have finished.

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
    return median(took[:_MOST_RUNS]) if len(took) >= _LEAST_RUNS else None


def _is_comparable(earlier: Job, job: Job) -> bool:
    """Return whether an earlier job did such work, on the same hosts, families and keys."""
    one, other = earlier.options, job.options
    return (
        [task.host for task in earlier.tasks] == [task.host for task in job.tasks]
        and (one.families, one.from_key, one.to_key) == (other.families, other.from_key, other.to_key)
        and earlier.not_needed < len(earlier.tasks)
    )
