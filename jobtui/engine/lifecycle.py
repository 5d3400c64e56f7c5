"""The transitions of a job, as pure functions from the job before to the job after.

The rules:
    a job ends when its last task has; any failed task makes it failed, with the first failure's reason;
    else all finished makes it finished; else it is stopped.
    a stop leaves a running job `running` and *stopping* until its last task has ended; tasks that have not
    started are stopped at once;
    a pause is a mark: a paused job keeps its status; its running tasks are queued again after their step;
    a failed attempt that may be repeated returns its task to the queue as well;
    a deferral delays one queued task, whose host cannot work now, and no other task; the task is never forced,
    and fails without having begun once its host has been down for too long;
    ended is final: these functions refuse to change an ended job or task.
A job's times never go backwards, even if the wall clock did: each is at least the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from jobtui.engine.job_log import working_seconds
from jobtui.errors import ErrorCode
from jobtui.formatting import format_duration, format_local_time, to_local
from jobtui.model import (
    ENDED,
    INTERRUPTED_CODE,
    NO_OPTIONS,
    NOT_NEEDED,
    Deferral,
    EventKind,
    FailurePolicy,
    Job,
    JobCommand,
    JobEvent,
    JobOptions,
    SpaceStats,
    Status,
    StepPosition,
    Task,
)

LEFT_BEHIND = "jobtui ended while it ran"
INTERRUPTED = f"interrupted: {LEFT_BEHIND}"
NOT_BEGUN = "not begun when the job was stopped"
_MAX_NAMED = 3
RETRYABLE_CODES = frozenset(
    {ErrorCode.DISK_FULL, ErrorCode.LOCKED, ErrorCode.UNREACHABLE, ErrorCode.HOST_DIED, ErrorCode.TIMEOUT}
)
"""The codes of failures that may be temporary, after which an attempt may be repeated."""


class IllegalTransition(Exception):
    """A change that the model forbids: a defect of the caller, never a mistake of the user."""


class TaskOutcome(msgspec.Struct, frozen=True):
    """The outcome of a task; `took` is in seconds, `progress` from 0 to 1, None if it is unknown."""

    status: Status
    took: float | None = None
    progress: float | None = None
    before: SpaceStats | None = None
    after: SpaceStats | None = None
    reason: str = ""
    code: str = ""
    detached: bool = False
    steps: StepPosition | None = None


class Recovered(msgspec.Struct, frozen=True):
    """The job that a new one runs again, and the position of each host from which it continues."""

    job: int
    positions: Mapping[str, StepPosition] = {}


def new_job(
    job_id: int,
    command: str,
    space: str,
    hosts: Sequence[str],
    now: datetime,
    *,
    options: JobOptions = NO_OPTIONS,
    recovered: Recovered | None = None,
    requested_by: str = "",
    schedule: str = "",
) -> Job:
    """Return a new job in the queue, with a task for each host, in the hosts' order."""
    positions = {} if recovered is None else recovered.positions
    reason = _describe_recovery(recovered)
    return Job(
        id=job_id,
        command=command,
        space=space,
        submitted=now,
        recovered_from=None if recovered is None else recovered.job,
        options=options,
        requested_by=requested_by,
        schedule=schedule,
        tasks=tuple(
            Task(number=number, host=host, steps=positions.get(host)) for number, host in enumerate(hosts)
        ),
        events=(JobEvent(at=now, kind=EventKind.SUBMITTED, status=Status.QUEUE, reason=reason),),
    )


def _describe_recovery(recovered: Recovered | None) -> str:
    if recovered is None:
        return ""
    continued = [f"{host} {describe_continuation(steps)}" for host, steps in recovered.positions.items()]
    return "; ".join([f"recovered from job {recovered.job}", *continued])


def describe_continuation(steps: StepPosition) -> str:
    """Return `from step 18 of 64`, or `from step 18` if the number of steps is not known."""
    return f"from step {steps.done + 1}" + (f" of {steps.total}" if steps.total else "")


def recovered_hosts(job: Job, space_hosts: Sequence[str], *, failed_only: bool) -> tuple[str, ...]:
    """Return the hosts that run a job again: those that it had and the space still has.

    Args:
        failed_only: Omit the hosts that finished.
    """
    finished = {task.host for task in job.tasks if task.status is Status.FINISHED}
    had = [task.host for task in job.tasks] if job.options.hosts else space_hosts
    return tuple(host for host in had if host in space_hosts and not (failed_only and host in finished))


def unfinished_positions(job: Job, hosts: Sequence[str]) -> dict[str, StepPosition]:
    """Return the positions, by host, from which a job on `hosts` can continue an unfinished compaction."""
    if job.status is Status.FINISHED or job.command != JobCommand.COMPACT:
        return {}
    begun = [task for task in job.tasks if task.status is not Status.FINISHED and task.host in hosts]
    return {task.host: task.steps for task in begun if task.steps is not None and task.steps.done}


def describe_continuations(jobs: Sequence[Job]) -> str:
    """Return the steps from which recovered jobs continue as text, "" if all jobs start over."""
    found = [
        f"Job {job.id} continues job {job.recovered_from} on {task.host} {describe_continuation(task.steps)}"
        for job in jobs
        for task in job.tasks
        if task.steps is not None
    ]
    more = [f"and {len(found) - _MAX_NAMED} more hosts"] if len(found) > _MAX_NAMED else []
    return "; ".join([*found[:_MAX_NAMED], *more])


def start_tasks(job: Job, tasks: Iterable[int], now: datetime) -> Job:
    """Return the job with these tasks running; a queued job becomes running."""
    at = clamp_time(job, now)
    status, start = job.status, job.start
    started, events = list(job.tasks), list(job.events)
    if status is Status.QUEUE:
        status, start = Status.RUNNING, at
        events.append(JobEvent(at=at, kind=EventKind.STARTED, status=Status.RUNNING))
    for number in tasks:
        task = started[number]
        begun, attempts = task.start or at, task.attempts + 1
        started[number] = _with_status(
            task, Status.RUNNING, start=begun, attempts=attempts, not_before=None, deferred=None
        )
        events.append(JobEvent(at=at, kind=EventKind.TASK_STARTED, task=number, status=Status.RUNNING))
    return replace(job, status=status, start=start, tasks=tuple(started), events=tuple(events))


def defer_task(job: Job, number: int, deferral: Deferral, now: datetime) -> Job:
    """Return the job with a queued task deferred after the others, because its host cannot work now.

    A deferral for the same reason as the one before keeps that one's time, and is not logged again.
    """
    task = job.tasks[number]
    if task.status is not Status.QUEUE:
        raise IllegalTransition(f"task {job.id}-{number} is not in the queue")
    if task.deferred is not None and task.deferred.reason == deferral.reason:
        return job
    reason = ": ".join(filter(None, (deferral.reason, deferral.detail)))
    event = JobEvent(
        at=clamp_time(job, now), kind=EventKind.DEFERRED, task=number, status=Status.QUEUE, reason=reason
    )
    return _with_task(job, replace(task, deferred=deferral), event)


def takes_turns(options: JobOptions) -> bool:
    """Return whether the hosts of a job take turns, so that others can go before one that is down."""
    return options.rolling is not None or bool(options.wait)


def describe_deferral(deferral: Deferral) -> str:
    """Return `deferred: host h2 is down since 14:02`."""
    return f"deferred: {deferral.reason} since {to_local(deferral.since):%H:%M}"


def describe_deferrals(job: Job) -> str:
    """Return a text about the deferred tasks of the job with the reasons, "" if none is deferred."""
    held = [describe_deferral(task.deferred) for task in job.tasks if task.deferred is not None]
    if not held:
        return ""
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    return f"Job {job.id} {held[0]}{more}; it is retried automatically"


def request_stop(
    job: Job, now: datetime, took: float | None = None, because: str = "", requested_by: str = ""
) -> Job:
    """Return the job with a stop requested: tasks in the queue are stopped; if none runs, so is the job."""
    if job.status.ended:
        raise IllegalTransition(f"job {job.id} has ended")
    at = clamp_time(job, now)
    event = JobEvent(at=at, kind=EventKind.STOP_ASKED, reason=because, requested_by=requested_by)
    job = replace(job, stopping=True, paused=False, events=(*job.events, event))
    return _end_with_last_task(_stop_queued_tasks(job, at, NOT_BEGUN), at, took)


def _stop_queued_tasks(job: Job, at: datetime, reason: str) -> Job:
    for task in job.tasks:
        if task.status is Status.QUEUE:
            held = reason if task.start is None else ""
            task = _with_status(task, Status.STOPPED, stop=at, not_before=None, deferred=None, reason=held)
            job = _with_task(job, task)
    return job


def pause(job: Job, now: datetime, because: str = "", requested_by: str = "") -> Job:
    """Return the job paused: none of its tasks starts; those that run are asked to end after their step."""
    if job.status.ended or job.stopping or job.paused:
        raise IllegalTransition(f"job {job.id} cannot be paused")
    return _with_request(replace(job, paused=True), EventKind.PAUSED, now, because, requested_by)


def resume(job: Job, now: datetime, because: str = "", requested_by: str = "") -> Job:
    """Return a paused job that may continue."""
    if not job.paused:
        raise IllegalTransition(f"job {job.id} is not paused")
    return _with_request(replace(job, paused=False), EventKind.RESUMED, now, because, requested_by)


def explain_pause(job: Job, now: datetime, reason: str, requested_by: str = "") -> Job:
    """Return a paused job with a new reason why it is paused, or what continues it."""
    if not job.paused:
        raise IllegalTransition(f"job {job.id} is not paused")
    return _with_request(job, EventKind.STILL_PAUSED, now, reason, requested_by)


def record_rate(job: Job, now: datetime, limit: str, requested_by: str = "") -> Job:
    """Return a job with the record of a new write limit."""
    return _with_request(job, EventKind.RATE_SET, now, limit, requested_by)


def _with_request(job: Job, kind: EventKind, now: datetime, reason: str, requested_by: str) -> Job:
    event = JobEvent(at=clamp_time(job, now), kind=kind, reason=reason, requested_by=requested_by)
    return replace(job, events=(*job.events, event))


def record_steps(job: Job, positions: Mapping[int, StepPosition]) -> Job:
    """Return the job with the finished steps of its running tasks, by task number."""
    for number, steps in positions.items():
        if job.tasks[number].status is Status.RUNNING:
            job = _with_task(job, replace(job.tasks[number], steps=steps))
    return job


def requeue_task(
    job: Job, number: int, end: TaskOutcome, now: datetime, *, retry_after: float | None = None
) -> Job:
    """Return the job with a running task back in the queue, paused or to be tried again.

    Args:
        end: The task's progress, and the reason.
        retry_after: Seconds until the next attempt, after a failure; None for a pause.
    """
    task = job.tasks[number]
    if task.status is not Status.RUNNING:
        raise IllegalTransition(f"task {job.id}-{number} is not running")
    at = clamp_time(job, now)
    steps = end.steps or task.steps
    done = "" if steps is None else f"after step {steps.done} of {steps.total}"
    kind, reason = EventKind.PAUSED, end.reason or done
    if retry_after is not None:
        again = f"attempt {task.attempts + 1} in {format_duration(retry_after)}"
        kind, reason = EventKind.RETRIED, f"{end.reason}; {again}"
    task = replace(
        task,
        status=Status.QUEUE,
        took=_sum_seconds(task.took, end.took),
        progress=end.progress,
        before=task.before or end.before,
        steps=steps,
        not_before=None if retry_after is None else at + timedelta(seconds=retry_after),
    )
    event = JobEvent(at=at, kind=kind, task=number, status=Status.QUEUE, reason=reason)
    return _with_task(job, task, event)


def retry_delay(job: Job, number: int, code: str) -> float | None:
    """Return the seconds until a failed task is tried again, None if it is not."""
    attempts = job.tasks[number].attempts
    if code not in RETRYABLE_CODES or attempts > job.options.retry or job.stopping:
        return None
    return retry_wait(job.options, attempts)


def retry_wait(options: JobOptions, attempts: int) -> float:
    """Return the seconds between the last of this many failed attempts on a host and the next."""
    return options.retry_wait * 2.0 ** min(max(0, attempts - 1), 60)  # 2.0 ** 1024 would raise an error


def _sum_seconds(first: float | None, second: float | None) -> float | None:
    return second if first is None else round(first + (second or 0.0), 3)


def finish_task(job: Job, number: int, end: TaskOutcome, now: datetime, took: float | None = None) -> Job:
    """Return the job with that task ended; with its last task, the job ends, after `took` seconds."""
    at = clamp_time(job, now)
    task = job.tasks[number]
    progress = 1.0 if end.status is Status.FINISHED else end.progress
    task = _with_status(
        task,
        end.status,
        stop=at,
        took=_sum_seconds(task.took, end.took),
        progress=progress,
        before=task.before or end.before,
        after=end.after,
        steps=end.steps or task.steps,
        reason=end.reason,
        code=end.code,
        detached=end.detached,
        deferred=None,
    )
    event = JobEvent(at=at, kind=EventKind.TASK_ENDED, task=number, status=end.status, reason=end.reason)
    job = _with_task(job, task, event)
    if end.status is Status.FAILED and job.options.on_failure is FailurePolicy.STOP:
        job = _stop_queued_tasks(job, at, f"not begun, because {task.host} failed (on_failure = stop)")
    return _end_with_last_task(job, at, took)


def count_open_tasks(jobs: Iterable[Job]) -> int:
    """Return the number of the jobs' tasks that have not ended."""
    return sum(not task.status.ended for job in jobs for task in job.tasks)


def is_held(job: Job) -> bool:
    """Return whether a job is paused and none of its tasks is at work."""
    return job.paused and not any(task.status is Status.RUNNING for task in job.tasks)


def is_interrupted(job: Job) -> bool:
    """Return whether a job found at a start was interrupted at work; other jobs continue."""
    return job.status is Status.RUNNING and any(task.status is Status.RUNNING for task in job.tasks)


def was_interrupted(job: Job) -> bool:
    """Return whether the job has failed because the jobtui that ran it died."""
    return job.status is Status.FAILED and any(task.code == INTERRUPTED_CODE for task in job.tasks)


def interrupt(job: Job, now: datetime, until: datetime | None = None) -> Job:
    """Return a job found at work at a start as failed, with its other tasks stopped.

    A paused job stays paused instead: its running tasks return to the queue with the steps that they finished.

    Args:
        job: The job as it was left behind.
        now: The time of its last sign of life.
        until: The latest time at which it may have been interrupted, if that is much later.
    """
    if job.status is not Status.RUNNING:
        raise IllegalTransition(f"job {job.id} was not running")
    at = clamp_time(job, now)
    reason = INTERRUPTED
    if until is not None:
        times = f"between {format_local_time(at)} and {format_local_time(until)}"
        reason = f"interrupted {times}: {LEFT_BEHIND}"
    if job.paused:
        for task in job.tasks:
            if task.status is Status.RUNNING:
                job = requeue_task(job, task.number, TaskOutcome(Status.QUEUE, reason=reason), at)
        return job
    for task in job.tasks:
        if task.status is Status.RUNNING:
            failed = _with_status(task, Status.FAILED, stop=at, reason=reason, code=INTERRUPTED_CODE)
            job = _with_task(job, failed)
        elif task.status is Status.QUEUE:
            job = _with_task(job, _with_status(task, Status.STOPPED, stop=at, deferred=None, reason=reason))
    event = JobEvent(at=at, kind=EventKind.INTERRUPTED, status=Status.FAILED, reason=LEFT_BEHIND)
    return replace(
        job, status=Status.FAILED, stop=at, reason=reason, stopping=False, events=(*job.events, event)
    )


def _end_with_last_task(job: Job, at: datetime, took: float | None) -> Job:
    statuses = {task.status for task in job.tasks}
    if not statuses <= ENDED:
        return job
    if Status.FAILED in statuses:
        status, reason = Status.FAILED, _first_failure(job)
    elif statuses == {Status.FINISHED}:
        status, reason = Status.FINISHED, _finished_reason(job)
    else:
        status, reason = Status.STOPPED, ""
    if not job.status.may_become(status):
        raise IllegalTransition(f"job {job.id}: {job.status} cannot become {status}")
    event = JobEvent(at=at, kind=EventKind.ENDED, status=status, reason=reason)
    if job.start is None:
        took = None
    elif took is None:  # it had another owner, whose steady clock is not known
        took = working_seconds(job, at)
    else:
        # while it was paused or waited between hosts. Only this is taken from the wall clock, which may have
        # jumped while it worked
        idle = (at - job.start).total_seconds() - working_seconds(job, at)
        took = min(took, max(0.0, took - idle))
    return replace(
        job,
        status=status,
        stop=at,
        took=None if took is None else round(took, 3),
        reason=reason,
        stopping=False,
        paused=False,
        events=(*job.events, event),
    )


def _finished_reason(job: Job) -> str:
    """Return the number of hosts that the condition excluded, otherwise the first remark of a task."""
    excluded = job.not_needed
    if excluded and len(job.tasks) > 1:
        return f"{NOT_NEEDED} on {excluded} of {len(job.tasks)} hosts"
    return next((task.reason for task in job.tasks if task.reason), "")


def _first_failure(job: Job) -> str:
    for event in job.events:
        if event.kind is EventKind.TASK_ENDED and event.status is Status.FAILED and event.task is not None:
            host = job.tasks[event.task].host
            # a long path in front would hide the cause if the line is cut
            return f"{event.reason}, at {host}" if host.startswith("/") else f"{host}: {event.reason}"
    return ""


def _with_status(task: Task, status: Status, **fields: object) -> Task:
    if not task.status.may_become(status):
        raise IllegalTransition(f"task {task.number}: {task.status} cannot become {status}")
    return replace(task, status=status, **fields)


def _with_task(job: Job, task: Task, *events: JobEvent) -> Job:
    """Return the job with a new version of a task, and with these events added."""
    tasks = list(job.tasks)
    tasks[task.number] = task
    return replace(job, tasks=tuple(tasks), events=(*job.events, *events))


def clamp_time(job: Job, now: datetime) -> datetime:
    """Return now, or the time of the job's last event if the wall clock was set back to before it."""
    return max(now, job.events[-1].at) if job.events else max(now, job.submitted)
