"""The scheduler, a pure function that selects the next tasks, and the policy for jobs.

The rules:
    one running job per space, first come first served; spaces run in parallel, up to a limit of jobs;
    a job's tasks run in parallel, one operation per host; no task of a paused job starts;
    only a job at work counts against the limit: not one that waits for a busy host, for its next attempt, or
    for the wait between two hosts, nor one whose running tasks have been unresponsive for long. So a host that
    hangs delays only the tasks that need it, and a queued job whose hosts are all busy is skipped;
    the wait between two hosts (WITH wait) follows every attempt, a failed one too. The next attempt on the same
    host does not need to wait, nor does any host after one that the condition excluded;
    a deferred host, which is down or whose writes are stalled, lets the other hosts of its job go first;
    a wait that would end later than its length allows is over: the clock was set back after it began.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from jobtui.engine.job_log import ENDS_OF_WORK
from jobtui.engine.lifecycle import retry_wait
from jobtui.model import NOT_NEEDED, Job, Status

NO_DEFERRALS: Mapping[tuple[str, str], datetime] = {}
MAX_CLOCK_CORRECTION = timedelta(minutes=10)
"""How much longer a wait may last because the clock was set back. Corrections by NTP are much smaller."""


class Start(msgspec.Struct, frozen=True):
    """Tasks to start now, each on a free host; the job itself starts with them if it was queued."""

    job: int
    tasks: tuple[int, ...]


class Decision(msgspec.Struct, frozen=True):
    """The tasks to start now, and the next moment at which more may start without another event.

    `due` is None if there is no such moment.
    """

    starts: tuple[Start, ...] = ()
    due: datetime | None = None


def decide(
    running: Iterable[Job],
    heads: Iterable[Job],
    busy: Collection[str],
    unresponsive: Collection[int],
    limit: int,
    now: datetime,
    hosts: Collection[str] | None = None,
    deferred: Mapping[tuple[str, str], datetime] = NO_DEFERRALS,
) -> Decision:
    """Return the tasks to start now, by job.

    Args:
        running: The running jobs.
        heads: For each space without a running job, the oldest queued job that may run.
        busy: The hosts with an operation, or for which one is about to start.
        unresponsive: The running jobs that have reported no progress for long.
        limit: How many jobs may run at once.
        now: The time of the wall clock, which the waits between hosts and attempts are counted by.
        hosts: All hosts, if they are known: once each is busy, the other jobs need not be checked.
        deferred: When each deferred host is checked again, by space and host.
    """
    taken = set(busy)
    host_count = None if hosts is None else len(taken.union(hosts))
    starts = []
    dues = []
    at_work = 0
    for job in sorted(running, key=_age):
        begun = any(task.status is Status.RUNNING for task in job.tasks)
        tasks, due = _startable(job, taken, now, deferred)
        if tasks:
            starts.append(Start(job.id, tasks))
        if due is not None:
            dues.append(due)
        at_work += bool(tasks) or (begun and job.id not in unresponsive)
    for job in sorted(heads, key=_age):
        if at_work >= limit or len(taken) == host_count:
            break
        tasks, due = _startable(job, taken, now, deferred)
        if tasks:
            starts.append(Start(job.id, tasks))
            at_work += 1
        if due is not None:
            dues.append(due)
    return Decision(tuple(starts), min(dues, default=None))


def _age(job: Job) -> int:
    return job.id


def _startable(
    job: Job, taken: set[str], now: datetime, deferred: Mapping[tuple[str, str], datetime]
) -> tuple[tuple[int, ...], datetime | None]:
    """Return the tasks of a job that may start, and the time at which others may."""
    if job.stopping or job.paused:
        return (), None
    queued = [task for task in job.tasks if task.status is Status.QUEUE]
    if not queued:
        return (), None
    free = _free_slots(job)
    ends = _last_ends(job) if job.options.wait else ()
    tasks: list[int] = []
    dues: list[datetime] = []
    for task in queued:
        if task.host in taken:
            continue
        if len(tasks) == free:
            break
        again = deferred.get((job.space, task.host), now)
        if task.not_before is not None:
            again = max(again, _end_of_wait(task.not_before, retry_wait(job.options, task.attempts), now))
        for number, at in ends:
            if number != task.number:
                wait = job.options.wait
                again = max(again, _end_of_wait(at + timedelta(seconds=wait), wait, now))
        if again > now:
            dues.append(again)
            continue
        taken.add(task.host)
        tasks.append(task.number)
    return tuple(tasks), min(dues, default=None)


def _free_slots(job: Job) -> int:
    """Return how many more hosts of the job may work (rolling; with a wait, the hosts work one by one)."""
    options = job.options
    if not (options.rolling or options.wait):
        return len(job.tasks)
    return max(0, (options.rolling or 1) - sum(task.status is Status.RUNNING for task in job.tasks))


def _last_ends(job: Job) -> tuple[tuple[int, datetime], ...]:
    """Return the last two tasks whose work has ended or was interrupted, with the times.

    They are enough: a task waits for the last one that is not itself.
    """
    found: dict[int, datetime] = {}
    for event in reversed(job.events):
        if event.task is None or event.kind not in ENDS_OF_WORK or event.reason.startswith(NOT_NEEDED):
            continue
        found.setdefault(event.task, event.at)
        if len(found) == 2:
            break
    return tuple(found.items())


def _end_of_wait(until: datetime, longest: float, now: datetime) -> datetime:
    """Return when a wait of at most this many seconds is over: now if the time is wrong."""
    return now if until > now + timedelta(seconds=longest) + MAX_CLOCK_CORRECTION else until


class RunPolicy(enum.Enum):
    """The queued jobs that an engine runs: all, none, or those of spaces with a new job."""

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
            return False  # the cluster runs it
        # a running job without a running task was handed over by the last owner: it waits like a queued one
        if self.policy is RunPolicy.ALL or any(task.status is Status.RUNNING for task in job.tasks):
            return True
        return self.policy is RunPolicy.SUBMITTED and job.space in self._submitted

    def admit_space(self, space: str) -> None:
        """Admit the jobs of a space under SUBMITTED from now on, after a job was submitted to it here."""
        self._submitted.add(space)

    def admit_submitted(self) -> None:
        """Run the jobs that are submitted from now on, even if the policy was to run none."""
        if self.policy is RunPolicy.NONE:
            self.policy = RunPolicy.SUBMITTED
