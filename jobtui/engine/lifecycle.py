"""The transitions of a job, as pure functions from the job before to the job after.

The rules:
    a job ends when its last task has; any failed task makes it failed, with the first failure's reason;
    else all finished makes it finished; else it is stopped.
    a stop leaves a running job `running` and *stopping* until its last task has ended; tasks that have not
    started are stopped at once;
    ended is final: these functions refuse to change an ended job or task.
A job's times never go backwards, even if the wall clock did: each is at least the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from jobtui.formatting import format_local_time
from jobtui.model import INTERRUPTED_CODE, EventKind, Job, JobEvent, SpaceStats, Status, Task

LEFT_BEHIND = "jobtui ended while it ran"
INTERRUPTED = f"interrupted: {LEFT_BEHIND}"
NOT_BEGUN = "not begun when the job was stopped"


class IllegalTransition(Exception):
    """A change that the model forbids: a defect of the caller, never a mistake of the user."""


class TaskOutcome(msgspec.Struct, frozen=True):
    """How a task ended: `took` is in seconds, `progress` how far it was (0 to 1, None if not known)."""

    status: Status
    took: float | None = None
    progress: float | None = None
    before: SpaceStats | None = None
    after: SpaceStats | None = None
    reason: str = ""
    code: str = ""
    detached: bool = False


def new_job(
    job_id: int,
    command: str,
    space: str,
    hosts: Sequence[str],
    now: datetime,
    recovered_from: int | None = None,
) -> Job:
    """Return a new job in the queue, with a task for each host, in the hosts' order."""
    reason = "" if recovered_from is None else f"recovered from job {recovered_from}"
    return Job(
        id=job_id,
        command=command,
        space=space,
        submitted=now,
        recovered_from=recovered_from,
        tasks=tuple(Task(number=number, host=host) for number, host in enumerate(hosts)),
        events=(JobEvent(at=now, kind=EventKind.SUBMITTED, status=Status.QUEUE, reason=reason),),
    )


def start_tasks(job: Job, tasks: Iterable[int], now: datetime) -> Job:
    """Return the job with these of its tasks running; a queued job is running from now on."""
    at = clamp_time(job, now)
    if job.status is Status.QUEUE:
        event = JobEvent(at=at, kind=EventKind.STARTED, status=Status.RUNNING)
        job = replace(job, status=Status.RUNNING, start=at, events=(*job.events, event))
    for number in tasks:
        job = _with_task(job, _moved(job.tasks[number], Status.RUNNING, start=at))
        event = JobEvent(at=at, kind=EventKind.TASK_STARTED, task=number, status=Status.RUNNING)
        job = replace(job, events=(*job.events, event))
    return job


def request_stop(job: Job, now: datetime, took: float | None = None) -> Job:
    """Return the job with a stop requested: tasks in the queue are stopped; if none runs, so is the job."""
    if job.status.ended:
        raise IllegalTransition(f"job {job.id} has ended")
    at = clamp_time(job, now)
    event = JobEvent(at=at, kind=EventKind.STOP_ASKED)
    job = replace(job, stopping=True, events=(*job.events, event))
    for task in job.tasks:
        if task.status is Status.QUEUE:
            job = _with_task(job, _moved(task, Status.STOPPED, stop=at, reason=NOT_BEGUN))
    return _end_with_last_task(job, at, took)


def finish_task(job: Job, number: int, end: TaskOutcome, now: datetime, took: float | None = None) -> Job:
    """Return the job with that task ended; if it was the last, the job has ended, after `took` seconds."""
    at = clamp_time(job, now)
    task = job.tasks[number]
    progress = 1.0 if end.status is Status.FINISHED else end.progress
    task = _moved(
        task,
        end.status,
        stop=at,
        took=end.took,
        progress=progress,
        before=end.before or task.before,
        after=end.after,
        reason=end.reason,
        code=end.code,
        detached=end.detached,
    )
    kind = EventKind.TASK_ENDED
    event = JobEvent(at=at, kind=kind, task=number, status=end.status, reason=end.reason)
    job = replace(_with_task(job, task), events=(*job.events, event))
    return _end_with_last_task(job, at, took)


def interrupt(job: Job, now: datetime, until: datetime | None = None) -> Job:
    """Return a job found `running` at a start as failed, with its running tasks; the others are stopped.

    Args:
        job: as it was left behind.
        now: the time of its last sign of life.
        until: the time before which it was interrupted, if that is much later.
    """
    if job.status is not Status.RUNNING:
        raise IllegalTransition(f"job {job.id} was not running")
    at = clamp_time(job, now)
    reason = INTERRUPTED
    if until is not None:
        times = f"between {format_local_time(at)} and {format_local_time(until)}"
        reason = f"interrupted {times}: {LEFT_BEHIND}"
    for task in job.tasks:
        if task.status is Status.RUNNING:
            failed = _moved(task, Status.FAILED, stop=at, reason=reason, code=INTERRUPTED_CODE)
            job = _with_task(job, failed)
        elif task.status is Status.QUEUE:
            job = _with_task(job, _moved(task, Status.STOPPED, stop=at, reason=reason))
    event = JobEvent(at=at, kind=EventKind.INTERRUPTED, status=Status.FAILED, reason=LEFT_BEHIND)
    return replace(
        job, status=Status.FAILED, stop=at, reason=reason, stopping=False, events=(*job.events, event)
    )


def _end_with_last_task(job: Job, at: datetime, took: float | None) -> Job:
    if not all(task.status.ended for task in job.tasks):
        return job
    statuses = {task.status for task in job.tasks}
    if Status.FAILED in statuses:
        status, reason = Status.FAILED, _first_failure(job)
    elif statuses == {Status.FINISHED}:
        status, reason = Status.FINISHED, next((task.reason for task in job.tasks if task.reason), "")
    else:
        status, reason = Status.STOPPED, ""
    if not job.status.may_become(status):
        raise IllegalTransition(f"job {job.id}: {job.status} cannot become {status}")
    event = JobEvent(at=at, kind=EventKind.ENDED, status=status, reason=reason)
    took = took if job.start is not None else None
    return replace(
        job, status=status, stop=at, took=took, reason=reason, stopping=False, events=(*job.events, event)
    )


def _first_failure(job: Job) -> str:
    for event in job.events:
        if event.kind is EventKind.TASK_ENDED and event.status is Status.FAILED and event.task is not None:
            host = job.tasks[event.task].host
            # a long path in front would hide the cause if the line is cut
            return f"{event.reason}, at {host}" if host.startswith("/") else f"{host}: {event.reason}"
    return ""


def _moved(task: Task, status: Status, **fields: object) -> Task:
    if not task.status.may_become(status):
        raise IllegalTransition(f"task {task.number}: {task.status} cannot become {status}")
    return replace(task, status=status, **fields)


def _with_task(job: Job, task: Task) -> Job:
    tasks = list(job.tasks)
    tasks[task.number] = task
    return replace(job, tasks=tuple(tasks))


def clamp_time(job: Job, now: datetime) -> datetime:
    """Return now, or the time of the job's last event if the wall clock was set back behind that."""
    return max(now, job.events[-1].at) if job.events else max(now, job.submitted)
