"""A mirrored job's life as pure functions: the job as it was goes in, the job as it is now comes out.

A mirrored job follows its cluster: the laws of queueing, recovery and interruption (lifecycle.py) are not
its. A look may come late, so that a job goes from the queue to its end in one step; what happened in
between is in its events. Ended is final here too: what runs again on the cluster is another job of ours.
A job's and its tasks' times are the cluster's own, unclamped; an event's never run backwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec.structs import replace

from jobtui.engine.lifecycle import IllegalTransition, clamp_time
from jobtui.model import ClusterRef, EventKind, Job, JobEvent, Status, Task
from jobtui.storage.base import ClusterJob

LEFT_BEHIND = "its job ended without it; the host may go on"
UNFOLLOWED = "this profile no longer works on the cluster {}: what became of the job there is not known"
REPLACED = "the cluster now has another job under this one's id: what became of it is not known"
RAN_AGAIN = "the cluster ran it again before it told how this run ended"


def request(
    job_id: int, command: str, origin: ClusterRef, now: datetime, recovered_from: int | None = None
) -> Job:
    """A job that the cluster is about to be asked for; its origin's id is 0 where it will have a new one."""
    what = "asked" if recovered_from is None else f"asked to run job {recovered_from} again"
    reason = f"the cluster {origin.cluster} is {what}"
    return Job(
        id=job_id,
        command=command,
        space=origin.space,
        submitted=now,
        recovered_from=recovered_from,
        origin=origin,
        events=(JobEvent(at=now, kind=EventKind.SUBMITTED, status=Status.QUEUE, reason=reason),),
    )


def accept(job: Job, cluster_id: int, now: datetime) -> Job:
    """The job, now that the cluster has told its id."""
    if job.origin is None:
        raise IllegalTransition(f"job {job.id} is no cluster's")
    text = f"job {cluster_id} of space {job.origin.space} on cluster {job.origin.cluster}"
    return add_note(replace(job, origin=replace(job.origin, id=cluster_id)), text, now)


def discover(
    job_id: int, origin: ClusterRef, told: ClusterJob, now: datetime, recovered_from: int | None = None
) -> Job:
    """A job that others submitted, or ran again, as it is when it is first seen."""
    submitted = min(told.start or now, now)
    again = "" if recovered_from is None else f"; job {recovered_from} runs again"
    reason = f"job {origin.id} of space {origin.space} on cluster {origin.cluster}{again}"
    job = Job(
        id=job_id,
        command=told.command,
        space=origin.space,
        submitted=submitted,
        recovered_from=recovered_from,
        origin=origin,
        events=(JobEvent(at=submitted, kind=EventKind.SUBMITTED, status=Status.QUEUE, reason=reason),),
    )
    return apply_update(job, told, now)


def apply_update(job: Job, told: ClusterJob, now: datetime) -> Job:
    """The job as the cluster now tells it; one that runs does not go back into the queue."""
    if job.status.ended:
        raise IllegalTransition(f"job {job.id} has ended")
    status = told.status if told.status is not Status.QUEUE else job.status
    tasks = tuple(_settled(task, status) for task in told.tasks or job.tasks)
    start = told.start or job.start
    stop = (told.stop or now) if status.ended else None
    after = replace(
        job,
        status=status,
        start=start,
        stop=stop,
        took=_seconds(start, told.stop) if status.ended else None,
        reason=told.reason if status.ended else "",
        stopping=job.stopping and not status.ended,
        tasks=tasks,
    )
    events = list(job.events)
    for event in _between(job, after, now):
        last = events[-1].at if events else event.at
        events.append(replace(event, at=max(event.at, last)))
    return replace(after, events=tuple(events))


def superseded_reason(job: Job, told: ClusterJob) -> str:
    """Why the cluster's job of that id is no longer the run that this job, not ended, has followed; or ""."""
    if told.command != job.command:
        return REPLACED  # the cluster was set up anew and counts from one again
    return RAN_AGAIN if _runs_anew(job, told) else ""


def abandon(job: Job, reason: str, now: datetime) -> Job:
    """A job that is followed no longer: stopped, as far as we know."""
    if job.status.ended:
        raise IllegalTransition(f"job {job.id} has ended")
    at = clamp_time(job, now)
    event = JobEvent(at=at, kind=EventKind.ENDED, status=Status.STOPPED, reason=reason)
    return replace(
        job,
        status=Status.STOPPED,
        stop=at,
        reason=reason,
        stopping=False,
        tasks=tuple(_settled(task, Status.STOPPED) for task in job.tasks),
        events=(*job.events, event),
    )


def detach(job: Job, now: datetime) -> Job:
    """A job of a cluster that its profile no longer works on."""
    cluster = "" if job.origin is None else job.origin.cluster
    return abandon(job, UNFOLLOWED.format(cluster), now)


def reject(job: Job, reason: str, now: datetime) -> Job:
    """A job that was asked for and never came to be: it has recovered nothing, and is no job there."""
    origin = None if job.origin is None else replace(job.origin, id=0)
    return replace(abandon(job, reason, now), origin=origin, recovered_from=None)


def request_stop(job: Job, now: datetime) -> Job:
    """The job with a stop about to be asked of its cluster."""
    event = JobEvent(at=clamp_time(job, now), kind=EventKind.STOP_ASKED)
    return replace(job, stopping=True, events=(*job.events, event))


def refuse_stop(job: Job, reason: str, now: datetime) -> Job:
    """The job with no stop under way: the cluster refused it, or nobody knows whether it heard of it."""
    return add_note(replace(job, stopping=False), reason, now)


def add_note(job: Job, text: str, now: datetime) -> Job:
    """The job with a remark among its events."""
    event = JobEvent(at=clamp_time(job, now), kind=EventKind.NOTE, reason=text)
    return replace(job, events=(*job.events, event))


def _runs_anew(job: Job, told: ClusterJob) -> bool:
    if job.status is not Status.RUNNING:
        return False
    return told.status is Status.QUEUE or (None not in (told.start, job.start) and told.start != job.start)


def _between(before: Job, after: Job, now: datetime) -> Iterator[JobEvent]:
    """What must have happened from one version to the other."""
    ended = after.status.ended
    began = before.start is None and after.start is not None
    if before.status is Status.QUEUE and (after.status is Status.RUNNING or (ended and began)):
        yield JobEvent(at=after.start or now, kind=EventKind.STARTED, status=Status.RUNNING)
    for task in after.tasks:
        was = _status_of(before, task)
        if was is Status.QUEUE and task.status is not Status.QUEUE and task.start is not None:
            kind = EventKind.TASK_STARTED
            yield JobEvent(at=task.start, kind=kind, task=task.number, status=Status.RUNNING)
        if task.status.ended and was is not task.status:
            kind = EventKind.TASK_ENDED
            at = task.stop or now
            yield JobEvent(at=at, kind=kind, task=task.number, status=task.status, reason=task.reason)
    if ended:
        at = after.stop or now
        yield JobEvent(at=at, kind=EventKind.ENDED, status=after.status, reason=after.reason)


def _status_of(job: Job, task: Task) -> Status:
    """What that task was before; a cluster may give it to another host, and then it is another."""
    known = job.tasks[task.number] if task.number < len(job.tasks) else None
    return known.status if known is not None and known.host == task.host else Status.QUEUE


def _settled(task: Task, job: Status) -> Task:
    """The task of a job of that status: none goes on in an ended job."""
    if not job.ended or task.status.ended:
        return task
    return replace(task, status=Status.STOPPED, reason=LEFT_BEHIND, detached=task.status is Status.RUNNING)


def _seconds(start: datetime | None, stop: datetime | None) -> float | None:
    return max((stop - start).total_seconds(), 0.0) if start is not None and stop is not None else None
