"""Random jobs, the same for the same seed, for tests and benchmarks of the history."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec

from jobtui.model import EventKind, Job, JobEvent, Level, SpaceStats, Status, Task

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
SPACES = ("nba", "test2", "图谱", "a b", "été")
HOSTS = ("local0", "local1", "192.168.8.5", "host-Ä")
REASONS = (
    "no space left on device (needs 1.1 GiB, 240 MiB free)",
    "[/nope] the host's process ended",
    "interrupted: jobtui ended while it ran",
    'a "quoted" \\ reason\nof two lines {"crc":"00000000",',
)

replace = msgspec.structs.replace


def at(seconds: float) -> datetime:
    """Return the moment this many seconds after the first."""
    return EPOCH + timedelta(seconds=seconds)


def submitted(job_id: int, rng: random.Random, spaces: tuple[str, ...] = SPACES) -> Job:
    """Return a new queued job."""
    when = at(job_id * 7)
    return Job(
        id=job_id,
        command=rng.choice(("flush", "compact")),
        space=rng.choice(spaces),
        submitted=when,
        recovered_from=rng.randrange(1, job_id) if job_id > 3 and rng.random() < 0.1 else None,
        tasks=tuple(Task(number, host) for number, host in enumerate(rng.sample(HOSTS, rng.randint(1, 3)))),
        events=(JobEvent(when, EventKind.SUBMITTED),),
    )


def moved_on(job: Job, rng: random.Random) -> Job:
    """Return the job one step closer to its end; an ended job gets a remark."""
    when = at(job.id * 7 + len(job.events) * 1.5)
    if job.status is Status.QUEUE and rng.random() < 0.9:
        events = (*job.events, JobEvent(when, EventKind.STARTED))
        return replace(job, status=Status.RUNNING, start=when, events=events)
    if job.status is Status.QUEUE:
        return _ended(job, Status.STOPPED, when, rng)
    if job.status.ended:
        return replace(job, events=(*job.events, JobEvent(when, EventKind.NOTE, reason=rng.choice(REASONS))))
    for index, task in enumerate(job.tasks):
        if not task.status.ended:
            return _task_on(job, index, when, rng)
    statuses = {task.status for task in job.tasks}
    worst = next(each for each in (Status.FAILED, Status.STOPPED, Status.FINISHED) if each in statuses)
    return _ended(job, worst, when, rng)


def ended(job_id: int, rng: random.Random, spaces: tuple[str, ...] = SPACES) -> Job:
    """Return a job that has ended."""
    job = submitted(job_id, rng, spaces)
    while not job.status.ended:
        job = moved_on(job, rng)
    return job


def _task_on(job: Job, index: int, when: datetime, rng: random.Random) -> Job:
    task = job.tasks[index]
    if task.status is Status.QUEUE:
        task = replace(task, status=Status.RUNNING, start=when, before=_stats(rng))
        event = JobEvent(when, EventKind.TASK_STARTED, task=task.number)
    else:
        status = rng.choice((Status.FINISHED,) * 6 + (Status.FAILED, Status.STOPPED))
        reason = rng.choice(REASONS) if status is Status.FAILED else ""
        done = 1.0 if status is Status.FINISHED else round(rng.random(), 3)
        task = replace(
            task, status=status, stop=when, took=1.5, progress=done, after=_stats(rng), reason=reason
        )
        event = JobEvent(when, EventKind.TASK_ENDED, task=task.number, status=status, reason=reason)
    tasks = (*job.tasks[:index], task, *job.tasks[index + 1 :])
    return replace(job, tasks=tasks, events=(*job.events, event))


def _ended(job: Job, status: Status, when: datetime, rng: random.Random) -> Job:
    took = (when - job.start).total_seconds() if job.start is not None else None
    reason = rng.choice(REASONS) if status is Status.FAILED else ""
    events = (*job.events, JobEvent(when, EventKind.ENDED, status=status, reason=reason))
    return replace(job, status=status, stop=when, took=took, reason=reason, events=events)


def _stats(rng: random.Random) -> SpaceStats:
    levels = tuple(Level(rng.randrange(9), rng.randrange(1 << 30)) for _ in range(rng.randint(1, 3)))
    return SpaceStats(levels=levels, memtable=rng.randrange(1 << 20), entries=rng.randrange(1 << 20))
