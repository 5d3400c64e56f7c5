"""The scheduler: which jobs may run, and a pure function that decides which tasks start next.

The rules: one running job per space, first come first served; spaces run in parallel, up to a limit; a job's
tasks run in parallel, one operation per host. A host that hangs delays only the tasks that need it: a job that
waits for a busy host, or whose running tasks have been unresponsive for long, does not count against the limit,
and a queued job whose hosts are all busy is skipped.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable

import msgspec

from jobtui.model import Job, Status


class Start(msgspec.Struct, frozen=True):
    """Tasks to start now, each on a free host; the job itself starts with them if it was queued."""

    job: int
    tasks: tuple[int, ...]


def decide(
    running: Iterable[Job],
    heads: Iterable[Job],
    busy: Collection[str],
    unresponsive: Collection[int],
    limit: int,
    hosts: Collection[str] | None = None,
) -> list[Start]:
    """Return the tasks to start now, by job.

    Args:
        running: The running jobs.
        heads: For each space without a running job, the oldest queued job that may run.
        busy: The hosts with an operation, or for which one is about to start.
        unresponsive: The running jobs that have reported no progress for long.
        limit: How many jobs may run at once.
        hosts: All hosts, if they are known: once each is busy, the other jobs need not be checked.
    """
    taken = set(busy)
    everything = None if hosts is None else len(taken.union(hosts))
    starts = []
    at_work = 0
    for job in sorted(running, key=_age):
        begun = any(task.status is Status.RUNNING for task in job.tasks)
        tasks = () if job.stopping else _startable(job, taken)
        if tasks:
            starts.append(Start(job.id, tasks))
        at_work += bool(tasks) or (begun and job.id not in unresponsive)
    for job in sorted(heads, key=_age):
        if at_work >= limit or len(taken) == everything:
            break
        tasks = _startable(job, taken)
        if tasks:
            starts.append(Start(job.id, tasks))
            at_work += 1
    return starts


def _age(job: Job) -> int:
    return job.id


def _startable(job: Job, taken: set[str]) -> tuple[int, ...]:
    tasks = []
    for task in job.tasks:
        if task.status is Status.QUEUE and task.host not in taken:
            taken.add(task.host)
            tasks.append(task.number)
    return tuple(tasks)


class RunPolicy(enum.Enum):
    """Which queued jobs an engine runs: all, those of spaces that jobs were submitted to in it, or none."""

    ALL = "all"
    SUBMITTED = "submitted"
    NONE = "none"


class JobAdmission:
    """The policy of one engine; only its loop may change it."""

    def __init__(self, policy: RunPolicy) -> None:
        self.policy = policy
        self._submitted: set[str] = set()

    def may_run(self, job: Job) -> bool:
        """Return whether this process may run the job, which is queued or running."""
        if job.origin is not None:
            return False  # its cluster runs it
        if job.status is Status.RUNNING or self.policy is RunPolicy.ALL:
            return True
        return self.policy is RunPolicy.SUBMITTED and job.space in self._submitted

    def note_submitted(self, space: str) -> None:
        """Admit the jobs of a space from now on under SUBMITTED: a job was submitted to it here."""
        self._submitted.add(space)

    def admit_submitted(self) -> None:
        """Run what is submitted from now on, also if nothing was to run before."""
        if self.policy is RunPolicy.NONE:
            self.policy = RunPolicy.SUBMITTED
