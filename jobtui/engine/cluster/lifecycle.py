"""The transitions of a cluster's job, as pure functions from the job before to the job after.

Such a job follows its cluster, so the rules of queueing, recovery and interruption (engine/lifecycle.py) do not
apply. If it is polled late, it goes from the queue to its end in one step, and its events contain the statuses
in between. A later run on the cluster is another job of ours. An ended job changes only by `amend`: a cluster
ends a job before its hosts have finished, and may report another end later. The times of a job and of its tasks
are the cluster's own, not adjusted; those of its events never go backwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from msgspec.structs import replace

from jobtui.engine.job_log import STOP_REFUSED
from jobtui.engine.lifecycle import IllegalTransition, clamp_time
from jobtui.formatting import format_local_time
from jobtui.model import (
    DELIVERIES,
    NO_OPTIONS,
    SHARED_ADDRESS,
    ClusterRef,
    EventKind,
    Job,
    JobEvent,
    JobOptions,
    Status,
    Task,
)
from jobtui.storage.base import ClusterJob

LEFT_BEHIND = "its job ended without it; the host may continue"
UNFOLLOWED = "this profile is no longer connected to cluster '{}': the job's outcome there is not known"
REPLACED = "the cluster now has another job under this one's id: its outcome is not known"
INDISTINGUISHABLE = "cannot be distinguished: the cluster names no port"
RAN_AGAIN = "the cluster ran it again before it reported how this run ended"


def new_request(
    job_id: int,
    command: str,
    origin: ClusterRef,
    now: datetime,
    recovered_from: int | None = None,
    *,
    because: str = "",
    requested_by: str = "",
    schedule: str = "",
) -> Job:
    """Return a job that is about to be requested; its origin's id is 0 if the cluster will give it one."""
    what = "asked" if recovered_from is None else f"asked to run job {recovered_from} again"
    reason = f"the cluster {origin.cluster} is {what}"
    return Job(
        id=job_id,
        command=command,
        space=origin.space,
        submitted=now,
        recovered_from=recovered_from,
        origin=origin,
        options=JobOptions(because=because) if because else NO_OPTIONS,
        requested_by=requested_by,
        schedule=schedule,
        events=(JobEvent(at=now, kind=EventKind.SUBMITTED, status=Status.QUEUE, reason=reason),),
    )


def accept(job: Job, cluster_id: int, now: datetime) -> Job:
    """Return the job with the id that the cluster gave it."""
    if job.origin is None:
        raise IllegalTransition(f"job {job.id} does not belong to a cluster")
    text = f"job {cluster_id} of space {job.origin.space} on cluster {job.origin.cluster}"
    return add_note(replace(job, origin=replace(job.origin, id=cluster_id)), text, now)


def discover(
    job_id: int,
    origin: ClusterRef,
    found: ClusterJob,
    now: datetime,
    recovered_from: int | None = None,
    *,
    since: datetime | None = None,
) -> Job:
    """Return a job that another user submitted or ran again, as the cluster first lists it.

    `since`: when the cluster did not list it yet, None if unknown. Its start may be hours before, if the
    cluster's clock is behind.
    """
    submitted = min(max(found.start or now, since or datetime.min.replace(tzinfo=UTC)), now)
    again = "" if recovered_from is None else f"; job {recovered_from} runs again"
    reason = f"job {origin.id} of space {origin.space} on cluster {origin.cluster}{again}"
    job = Job(
        id=job_id,
        command=found.command,
        space=origin.space,
        submitted=submitted,
        recovered_from=recovered_from,
        origin=origin,
        requested_by=f"cluster {origin.cluster}",
        events=(JobEvent(at=submitted, kind=EventKind.SUBMITTED, status=Status.QUEUE, reason=reason),),
    )
    return apply_update(job, found, now)


def apply_update(job: Job, found: ClusterJob, now: datetime) -> Job:
    """Return the job as the cluster now lists it; a running one does not go back into the queue."""
    if job.status.ended:
        raise IllegalTransition(f"job {job.id} has ended")
    status = found.status if found.status is not Status.QUEUE else job.status
    start = found.start or job.start
    stop = (found.stop or now) if status.ended else None
    after = replace(
        job,
        status=status,
        start=start,
        stop=stop,
        took=_seconds(start, found.stop) if status.ended else None,
        reason=found.reason if status.ended else job.reason if status is job.status else "",
        stopping=job.stopping and not status.ended,
        tasks=_with_tasks(job, found),
    )
    return _add_events(after, _between(job, after, now))


def amend(job: Job, found: ClusterJob, now: datetime) -> Job:
    """Return an ended job as the cluster reports it later; the same job if nothing has changed.

    Its hosts may have continued after its end, and the cluster may have revised the end itself: a job that was
    stopped while metad had no record of it may finish after all. The other end stays in the job as an event.
    """
    if not job.status.ended or not found.status.ended:
        raise IllegalTransition(f"job {job.id} has no later end")
    start, stop = found.start or job.start, found.stop or job.stop
    is_same_end = found.status is job.status
    if is_same_end and stop == job.stop and found.tasks and not job.tasks:
        return _with_details(job, found, now)
    after = replace(
        job,
        status=found.status,
        start=start,
        stop=stop,
        took=job.took if stop == job.stop and is_same_end else _seconds(start, stop),
        reason=found.reason or (job.reason if is_same_end else ""),
        tasks=_with_tasks(job, found),
    )
    if after == job:
        return job
    events = [event for event in _between(job, after, now) if event.task is not None]
    if not is_same_end:
        reason = (
            f"the cluster later reported that it {describe_job_end(after)}, not that it {describe_job_end(job)}"
        )
        events.append(JobEvent(at=now, kind=EventKind.NOTE, status=after.status, reason=reason))
    elif stop != job.stop and stop is not None:
        reason = f"the cluster later reported its end at {format_local_time(stop)}"
        events.append(JobEvent(at=now, kind=EventKind.NOTE, reason=reason))
    return _add_events(after, events)


def end_running_tasks(job: Job, reason: str, now: datetime) -> Job:
    """Return an ended job whose running tasks are marked as ended, since no update of them will follow."""
    if not job.status.ended:
        raise IllegalTransition(f"job {job.id} has not ended")
    tasks = tuple(_end_task(task, Status.STOPPED) for task in job.tasks)
    return job if tasks == job.tasks else add_note(replace(job, tasks=tasks), reason, now)


def explain_wait(job: Job, reason: str, now: datetime) -> Job:
    """Return a job under way with the reason why it makes no progress, "" if it does."""
    if job.status.ended or job.reason == reason:
        return job
    return add_note(replace(job, reason=reason), reason or "it no longer waits", now)


def note_shared_address(job: Job, hosts: Iterable[str], now: datetime) -> Job:
    """Return a job with a note, once, that tasks share an address: a cluster omits ports.

    Args:
        job: The job.
        hosts: The storage hosts; those that share an address are named with their ports.
        now: The time of the note.
    """
    counts = Counter(task.host for task in job.tasks)
    shared = sorted(address for address, count in counts.items() if count > 1)
    if not shared or any(event.reason.endswith(INDISTINGUISHABLE) for event in job.events):
        return job
    names = [
        ", ".join(host for host in hosts if host.startswith(f"{address}:")) or address for address in shared
    ]
    return add_note(job, f"{SHARED_ADDRESS} ({'; '.join(names)}) {INDISTINGUISHABLE}", now)


def describe_job_end(job: Job) -> str:
    """Return how a job ended, as a verb: `failed (E_RPC_FAILURE)`."""
    verb = end_verb(job.status)
    return f"{verb} ({job.reason})" if job.status is Status.FAILED and job.reason else verb


def end_verb(status: Status) -> str:
    """Return `failed`, `was stopped` or `finished`."""
    return {Status.FAILED: "failed", Status.STOPPED: "was stopped"}.get(status, "finished")


def superseded_reason(job: Job, found: ClusterJob) -> str:
    """Return why the cluster's job of that id is no longer the run that this job follows; "" if it is."""
    if found.command != job.command:
        return REPLACED  # the cluster was set up again, and its ids begin at 1
    return RAN_AGAIN if _runs_again(job, found) else ""


def abandon(job: Job, reason: str, now: datetime) -> Job:
    """Return the job as stopped, since it is not followed any longer."""
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
        tasks=tuple(_end_task(task, Status.STOPPED) for task in job.tasks),
        events=(*job.events, event),
    )


def detach(job: Job, now: datetime) -> Job:
    """Return the job of a cluster that the profile is not connected to any longer, as stopped."""
    cluster = "" if job.origin is None else job.origin.cluster
    return abandon(job, UNFOLLOWED.format(cluster), now)


def reject(job: Job, reason: str, now: datetime) -> Job:
    """Return a job whose request was refused, as stopped: it does not exist on the cluster."""
    origin = None if job.origin is None else replace(job.origin, id=0)
    return replace(abandon(job, reason, now), origin=origin, recovered_from=None)


def request_stop(job: Job, now: datetime, because: str = "", requested_by: str = "") -> Job:
    """Return the job with a stop that is about to be requested from its cluster."""
    event = JobEvent(
        at=clamp_time(job, now), kind=EventKind.STOP_ASKED, reason=because, requested_by=requested_by
    )
    return replace(job, stopping=True, events=(*job.events, event))


def refuse_stop(job: Job, reason: str, now: datetime) -> Job:
    """Return the job without a stop: the cluster refused it, or may not have received the request."""
    return add_note(replace(job, stopping=False), reason, now)


def add_note(job: Job, text: str, now: datetime) -> Job:
    """Return the job with a note among its events."""
    event = JobEvent(at=clamp_time(job, now), kind=EventKind.NOTE, reason=text)
    return replace(job, events=(*job.events, event))


def _with_details(job: Job, found: ClusterJob, now: datetime) -> Job:
    """Return an ended job, known only from a list so far, with its tasks and with its events in order."""
    first, *others = job.events
    listed = replace(job, status=Status.QUEUE, start=None, stop=None, events=(first,))
    shown = apply_update(listed, found, now)
    kept = [event for event in others if event.kind in {EventKind.NOTE, EventKind.STOP_ASKED, *DELIVERIES}]
    stops = [event for event in kept if _is_about_stop(event)]
    in_order = sorted((*shown.events[1:], *stops), key=lambda event: event.at)
    notes = (event for event in kept if not _is_about_stop(event))
    return _add_events(replace(shown, events=(first,)), (*in_order, *notes))


def _is_about_stop(event: JobEvent) -> bool:
    return event.kind is EventKind.STOP_ASKED or event.reason.startswith(STOP_REFUSED)


def _add_events(job: Job, new: Iterable[JobEvent]) -> Job:
    events = list(job.events)
    for event in new:
        last = events[-1].at if events else event.at
        events.append(replace(event, at=max(event.at, last)))
    return replace(job, events=tuple(events))


def _with_tasks(job: Job, found: ClusterJob) -> tuple[Task, ...]:
    """Return the tasks as the cluster lists them, with the fields that only jobtui records."""
    if not found.tasks:
        return tuple(_end_task(task, found.status) for task in job.tasks)
    known = dict(enumerate(job.tasks))
    return tuple(
        replace(task, before=before.before, after=before.after)
        if (before := known.get(task.number)) is not None and before.host == task.host
        else task
        for task in found.tasks
    )


def _runs_again(job: Job, found: ClusterJob) -> bool:
    if job.status is not Status.RUNNING:
        return False
    return found.status is Status.QUEUE or (None not in (found.start, job.start) and found.start != job.start)


def _between(before: Job, after: Job, now: datetime) -> Iterator[JobEvent]:
    """Yield the events that must have happened between two versions."""
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
    """Return the previous status of a task; on another host, it is another task."""
    known = job.tasks[task.number] if task.number < len(job.tasks) else None
    return known.status if known is not None and known.host == task.host else Status.QUEUE


def _end_task(task: Task, job_status: Status) -> Task:
    """Return the task of a job with that status: in an ended job no task continues."""
    if not job_status.ended or task.status.ended:
        return task
    return replace(task, status=Status.STOPPED, reason=LEFT_BEHIND, detached=task.status is Status.RUNNING)


def _seconds(start: datetime | None, stop: datetime | None) -> float | None:
    return max((stop - start).total_seconds(), 0.0) if start is not None and stop is not None else None
