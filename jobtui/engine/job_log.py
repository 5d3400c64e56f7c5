"""A job's log: who requested its changes and why, and how long it worked."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobtui.formatting import to_local
from jobtui.model import EventKind, Job, JobEvent, Status

ENDS_OF_WORK = frozenset({EventKind.TASK_ENDED, EventKind.RETRIED, EventKind.PAUSED})
"""The events after which a host no longer works, if they are about a task."""
_ENDS_OF_PAUSE = frozenset({EventKind.RESUMED, EventKind.STOP_ASKED})
_ENDS_OF_JOB = frozenset({EventKind.ENDED, EventKind.INTERRUPTED})
_OF_PAUSE = frozenset({EventKind.PAUSED, EventKind.STILL_PAUSED})
_SCHEDULE = "schedule "
STOP_REFUSED = "the cluster was asked to stop it"
"""The beginning of the note that a cluster has refused to stop its job, or did not answer."""


def describe_requester(requested_by: str) -> str:
    """Return `anna@db1 (dashboard)` for `anna@db1, dashboard`."""
    user, comma, source = requested_by.partition(", ")
    return f"{user} ({source})" if comma else requested_by


def last_pause(job: Job) -> JobEvent | None:
    """Return the event that says why a paused job is paused; None if the job is not paused."""
    return _last(job, _OF_PAUSE) if job.paused and not job.status.ended else None


def last_stop(job: Job) -> JobEvent | None:
    """Return the last request to stop a stopping or stopped job, None if there is none."""
    if not (job.stopping or job.status is Status.STOPPED):
        return None
    for event in reversed(job.events):
        if event.kind is EventKind.STOP_ASKED:
            return event
        if event.reason.startswith(STOP_REFUSED):
            return None  # another client of the cluster has stopped it later
    return None


def describe_pause(job: Job) -> str:
    """Return `paused by anna@db1 (dashboard): wrong night`, "" without a known request."""
    request = describe_request(last_pause(job))
    return f"paused{request}" if request else ""


def describe_stop(job: Job) -> str:
    """Return `stopped by anna@db1 (script): wrong space`, "" without a known request."""
    request = describe_request(last_stop(job))
    return f"{'stopped' if job.status.ended else 'stop requested'}{request}" if request else ""


def describe_request(event: JobEvent | None) -> str:
    """Return the text after the verb, ` by anna@db1 (script): wrong space`, as far as known."""
    if event is None:
        return ""
    who, why = event.requested_by, event.reason
    if event.kind is EventKind.STILL_PAUSED or (why and is_by_schedule(event)):
        # the user who dropped a schedule did not pause its job, and a schedule's reason says more than its name
        who = ""
    return (f" by {describe_requester(who)}" if who else "") + (f": {why}" if why else "")


def is_by_schedule(event: JobEvent) -> bool:
    """Return whether a schedule made the request."""
    return event.requested_by.startswith(_SCHEDULE)


def is_paused_by_user(job: Job) -> bool:
    """Return whether a user paused the job; False if a schedule did or it is not recorded."""
    pause = _last(job, frozenset({EventKind.PAUSED})) if job.paused else None
    return pause is not None and bool(pause.requested_by) and not is_by_schedule(pause)


def describe_window_end(job_id: int, end: datetime, start: datetime | None, now: datetime) -> str:
    """Return why a schedule pauses its job: `its window ended at 05:00; continues Mon 23:00`."""
    return f"its window ended at {to_local(end):%H:%M}; {describe_next_run(job_id, start, now)}"


def describe_next_run(job_id: int, start: datetime | None, now: datetime) -> str:
    """Return what continues a job that the end of its window paused: `continues Mon 23:00`."""
    if start is None:
        return f"RESUME JOB {job_id} continues it"
    # neutral about the order of day and month, which each dashboard sets
    is_this_week = start - now < timedelta(days=6)
    return f"continues {to_local(start):{'%a %H:%M' if is_this_week else '%Y-%m-%d %H:%M'}}"


def last_requests(job: Job) -> dict[str, str]:
    """Return the requester and the reason of the pause and the stop, "" without one."""
    held, stop = last_pause(job), last_stop(job)
    pause = None if held is None else _last(job, frozenset({EventKind.PAUSED}))
    return {
        "paused_by": "" if pause is None else pause.requested_by,
        "paused_reason": "" if held is None else held.reason,
        "stopped_by": "" if stop is None else stop.requested_by,
        "stopped_reason": "" if stop is None else stop.reason,
    }


def all_requests(job: Job) -> list[dict[str, str]]:
    """Return all requests to stop, pause, resume or limit the job, oldest first, for JSON."""
    return [
        {
            "at": to_local(event.at).isoformat(),
            "event": event.kind.value,
            "requested_by": event.requested_by,
            "reason": event.reason,
        }
        for event in job.events
        if event.requested_by
    ]


def _last(job: Job, kinds: frozenset[EventKind]) -> JobEvent | None:
    found = (event for event in reversed(job.events) if event.kind in kinds and event.task is None)
    return next(found, None)


def working_seconds(job: Job, now: datetime) -> float:
    """Return the seconds in which a task of the job was at work, by the wall clock."""
    return _count_seconds(job, now)[0]


def task_seconds(job: Job, number: int, now: datetime) -> float | None:
    """Return the seconds in which a task was at work by the wall clock; None before its start."""
    task = job.tasks[number]
    if task.status is not Status.RUNNING or task.start is None:
        return task.took
    starts = (
        event.at
        for event in reversed(job.events)
        if event.task == number and event.kind is EventKind.TASK_STARTED
    )
    # a cluster reports the start of a task, and no events
    return (task.took or 0.0) + max(0.0, (now - next(starts, task.start)).total_seconds())


def paused_seconds(job: Job, now: datetime) -> float:
    """Return the seconds in which the job was paused with no task at work, by the wall clock."""
    return _count_seconds(job, now)[1]


def _count_seconds(job: Job, now: datetime) -> tuple[float, float]:
    """Return the seconds with a task at work, and the paused seconds without one."""
    running: set[int | None] = set()
    is_paused = False
    working, paused, last = 0.0, 0.0, job.submitted
    for event in job.events:
        if running:
            working += (event.at - last).total_seconds()
        elif is_paused:
            paused += (event.at - last).total_seconds()
        last = event.at
        if event.kind is EventKind.TASK_STARTED:
            running.add(event.task)
        elif event.kind in ENDS_OF_WORK and event.task is not None:
            running.discard(event.task)
        elif event.kind is EventKind.PAUSED:
            is_paused = True
        elif event.kind in _ENDS_OF_PAUSE:
            is_paused = False
        elif event.kind in _ENDS_OF_JOB:
            running, is_paused = set(), False
    left = max(0.0, (now - last).total_seconds())
    if running:
        working += left
    elif is_paused:
        paused += left
    return working, paused
