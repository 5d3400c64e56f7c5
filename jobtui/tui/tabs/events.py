"""The Events tab: all events of a job, and the jobs that it recovered or was recovered as."""

from __future__ import annotations

from collections.abc import Sequence

from jobtui.formatting import format_ids, format_local_time, format_time_of_day, single_cells
from jobtui.model import ClusterRef, EventKind, Job, JobEvent
from jobtui.tui.text.spans import STATUS_ROLE, Line, TextRole, wrap


def events(job: Job, recovered_as: Sequence[int], width: int) -> list[Line]:
    """Return a line for each event with its time, oldest first; then the lineage and the job's cluster."""
    lines: list[Line] = [_day(job)]
    hosts = {task.number: task.host for task in job.tasks}
    for event in job.events:
        lines.extend(_event(event, hosts, width))
    if job.recovered_from is not None:
        lines.append(((f" recovered from job {job.recovered_from}", TextRole.ACCENT),))
    if recovered_as:
        word = "job" if len(recovered_as) == 1 else "jobs"
        lines.append(((f" recovered as {word} {format_ids(list(recovered_as))}", TextRole.ACCENT),))
    if job.origin is not None:
        lines.append(((f" {_home(job.origin, ended=job.status.ended)}", TextRole.MUTED),))
    return lines


def _home(origin: ClusterRef, *, ended: bool) -> str:
    where = f"space {origin.space} on cluster {origin.cluster}"
    if origin.id:
        return f"job {origin.id} of {where}"
    return f"asked of {where}: its id there is not known{'' if ended else ' yet'}"


def _day(job: Job) -> Line:
    return ((f" submitted {format_local_time(job.submitted)}", TextRole.MUTED),)


def _event(event: JobEvent, hosts: dict[int, str], width: int) -> list[Line]:
    what, role = _words(event, hosts)
    head = f" {format_time_of_day(event.at)}  "
    texts = wrap(f"{single_cells(what)}: {event.reason}" if event.reason else what, width - len(head) - 1)
    return [
        ((head if row == 0 else " " * len(head), TextRole.MUTED), (text, role))
        for row, text in enumerate(texts)
    ]


def _words(event: JobEvent, hosts: dict[int, str]) -> tuple[str, TextRole]:
    role = STATUS_ROLE[event.status] if event.status is not None else TextRole.PLAIN
    status = event.status.value if event.status is not None else ""
    task = f"task {event.task} on {hosts.get(event.task, '?')}" if event.task is not None else "job"
    match event.kind:
        case EventKind.SUBMITTED:
            return "submitted", role
        case EventKind.STARTED:
            return "started", role
        case EventKind.TASK_STARTED:
            return f"{task} started", role
        case EventKind.TASK_ENDED | EventKind.ENDED:
            return f"{task} {status}", role
        case EventKind.DEFERRED:
            return f"{task} deferred", TextRole.WARNING
        case EventKind.STOP_ASKED:
            return "stop requested", TextRole.WARNING
        case EventKind.INTERRUPTED:
            return "interrupted", TextRole.FAILED
        case EventKind.SLOW | EventKind.NOT_NOTIFIED:
            return event.kind.value, TextRole.WARNING
        case EventKind.NOTIFIED:
            return "notified", TextRole.PLAIN
        case _:
            return "note", role
