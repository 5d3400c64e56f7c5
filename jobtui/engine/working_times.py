"""The seconds in which a job or a task was at work or paused, from the events in the job's log."""

from __future__ import annotations

from datetime import datetime

from jobtui.model import EventKind, Job, Status

ENDS_OF_WORK = frozenset({EventKind.TASK_ENDED, EventKind.RETRIED, EventKind.PAUSED})
"""The events after which a host no longer works, if they are about a task."""
_ENDS_OF_PAUSE = frozenset({EventKind.RESUMED, EventKind.STOP_ASKED})
_ENDS_OF_JOB = frozenset({EventKind.ENDED, EventKind.INTERRUPTED})


def working_seconds(job: Job, now: datetime) -> float:
    """Return the seconds until now in which at least one task of the job was at work, by the wall clock."""
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
    """Return the seconds in which a task was at work, and those in which the job was paused and none was."""
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
