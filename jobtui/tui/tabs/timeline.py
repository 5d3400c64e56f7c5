"""Two tabs about the course of a job: Timeline, its tasks on one axis, and Events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from jobtui.engine.job_log import describe_requester
from jobtui.engine.lifecycle import is_held
from jobtui.formatting import (
    DateOrder,
    format_date,
    format_duration,
    format_ids,
    format_recent_time,
    format_time_of_day,
    single_cells,
    to_local,
)
from jobtui.model import ClusterRef, EventKind, Job, JobEvent, Status, Task
from jobtui.tui.tabs.tasks import TaskLines, TaskSort, sort_tasks
from jobtui.tui.text.spans import (
    STATUS_ROLE,
    Line,
    Span,
    TextRole,
    cut,
    fit,
    fit_host,
    line_width,
    status_span,
    task_status_span,
    width_of,
    wrap,
)

_NOTE = 26  # cells of the times next to a bar; they get more if they need it
_MIN_BARS = 30  # cells: shorter bars cannot be compared
_WAIT = "╌"
_WORK = "▇"
# lower than the bars of the progress in the same lines
_WORK_BESIDE = "▄"
_GUTTER = 2  # cells: the glyph of a status, and a blank
_MIN_WAIT = 1.0
"""The shortest wait that is mentioned, in seconds: most tasks start at once."""


def timeline_lines(job: Job, width: int, now: datetime, order: DateOrder) -> list[Line]:
    """Return a bar for each task, from the submission to the end: `╌` waited, `▇` worked.

    Failed and running tasks come first, as in the tasks tab. Each row begins with the glyph of its status:
    without colors, the bars of a running and of a finished task look the same.
    """
    begin = job.submitted
    end = max(job.stop or now, begin)
    total = (end - begin).total_seconds()
    label = min(16, max(5, *(width_of(task.host) for task in job.tasks), 5)) if job.tasks else 5
    notes = [_note(job, job, now), *(_note(job, task, now) for task in job.tasks)]
    # a wider note is cut if the bars would have fewer cells
    note = min(max(_NOTE, 2 + max(map(len, notes))), max(_NOTE, width - label - _MIN_BARS))
    note = note if width - label - note >= _MIN_BARS else 0
    room = max(8, width - _GUTTER - label - note - 2)
    axis = _Axis(begin, total, room)
    scale = _scale(format_recent_time(begin, now, order), f"+{format_duration(total)}", room)
    lines: list[Line] = [((" " * (_GUTTER + label + 1), TextRole.PLAIN), scale)]
    whole = _bar(axis, job.start, job.stop, job.status, now, _note(job, job, now), note)
    lines.append((*_gutter(status_span(job)), (f"{fit('job', label)} ", TextRole.PLAIN), *whole))
    for task in sort_tasks(job, TaskSort.STATUS):
        bar = _bar(axis, task.start, task.stop, task.status, now, _note(job, task, now), note)
        name = (f"{fit_host(task.host, label)} ", TextRole.PLAIN)
        lines.append((*_gutter(task_status_span(task, job)), name, *bar))
    lines.append(())
    muted = TextRole.MUTED
    waits, works = (_WAIT, TextRole.QUEUE), (_WORK, STATUS_ROLE[job.status])
    lines.append(((" ", muted), waits, (" waits   ", muted), works, (" works", muted)))
    return [cut(line, width) for line in lines]


_MIN_BESIDE = 24
_GAP_BESIDE = 3


def add_timeline(
    head: Line, tasks: TaskLines, job: Job, width: int, now: datetime, order: DateOrder
) -> tuple[Line, TaskLines]:
    """Put each task's bar at the right of its line, and the axis at the right of `head`.

    Nothing is added without room, or if all bars are equal: all hosts work at once, for the same time.

    Args:
        head: The line above the tasks.
        tasks: The lines of the tasks.
        job: Their job.
        width: The cells of a line.
        now: The time until which a running task's bar extends.
        order: The order of day, month and year.

    Returns:
        The line above the tasks, and the lines of the tasks.
    """
    # the line of an ended task has the time in which it ran
    notes = {
        task.number: note.rpartition(" · ")[0] if task.status.ended else note
        for task in job.tasks
        for note in (_note(job, task, now),)
    }
    note_width = max(map(len, notes.values()), default=0)
    note_width += 2 if note_width else 0
    used = max(map(line_width, (head, *tasks.lines)))
    room = width - used - _GAP_BESIDE - note_width
    if room < _MIN_BESIDE or len(job.tasks) < 2:
        return head, tasks
    end = max(job.stop or now, job.submitted)
    axis = _Axis(job.submitted, (end - job.submitted).total_seconds(), room)
    bars = {
        task.number: _bar(
            axis, task.start, task.stop, task.status, now, notes[task.number], note_width, work=_WORK_BESIDE
        )
        for task in job.tasks
    }
    lengths = {tuple(len(text) for text, _ in bar) for bar in bars.values()}
    if len(lengths) == 1:
        return head, tasks  # equal bars would only take attention
    lines = list(tasks.lines)
    for number, first, _ in tasks.positions:
        lines[first] = (*_padded(lines[first], used + _GAP_BESIDE), *bars[number])
    scale, role = _scale(format_recent_time(axis.begin, now, order), f"+{format_duration(axis.total)}", room)
    return (*_padded(head, used + _GAP_BESIDE), (scale, role)), replace(tasks, lines=lines)


def _padded(line: Line, width: int) -> Line:
    return (*line, (" " * (width - line_width(line)), TextRole.PLAIN))


class _Axis:
    """The axis of the timeline, which maps times to cells."""

    def __init__(self, begin: datetime, total: float, room: int) -> None:
        self.begin, self.total, self.room = begin, total, room

    def cell(self, at: datetime) -> int:
        """Return the cell of a time."""
        if self.total <= 0:
            return 0
        part = (at - self.begin).total_seconds() / self.total
        return max(0, min(self.room, round(part * self.room)))


def _gutter(status: Span) -> Line:
    text, role = status
    return (text[0], role), (" " * (_GUTTER - 1), TextRole.PLAIN)


def _scale(left: str, right: str, room: int) -> Span:
    gap = room - len(left) - len(right)
    return f"{left}{' ' * gap}{right}" if gap > 0 else right.rjust(room), TextRole.MUTED


def _bar(
    axis: _Axis,
    start: datetime | None,
    stop: datetime | None,
    status: Status,
    now: datetime,
    note: str,
    note_width: int,
    work: str = _WORK,
) -> Line:
    first = axis.cell(start) if start is not None else axis.cell(stop or now)
    last = axis.cell(stop or now) if start is not None else first
    if start is not None and last == first:
        first, last = (first, last + 1) if first < axis.room else (first - 1, last)
    return (
        (_WAIT * first, TextRole.QUEUE),
        (work * (last - first), STATUS_ROLE[status]),
        (" " * (axis.room - last), TextRole.PLAIN),
        ("  " + fit(note, note_width - 2) if note_width else "", TextRole.MUTED),
    )


def _note(job: Job, part: Job | Task, now: datetime) -> str:
    """Return how long a job or a task waited and ran; in the present tense while it does."""
    start, stop = part.start, part.stop
    seconds = max(0.0, ((start or stop or now) - job.submitted).total_seconds())
    # the times of a job of a cluster are by its clock, which may be hours behind or ahead
    is_local = job.origin is None
    if start is None:
        return f"{'waits' if part.status is Status.QUEUE else 'waited'} {format_duration(seconds)}"
    took = part.took
    if took is None:
        begun = start if is_local or stop is not None else max(start, job.submitted)
        took = max(0.0, ((stop or now) - begun).total_seconds())
    runs = part.status is Status.RUNNING and not (part is job and is_held(job))
    ran = f"{'runs' if runs else 'ran'} {format_duration(took)}"
    return f"waited {format_duration(seconds)} · {ran}" if is_local and seconds >= _MIN_WAIT else ran


def event_lines(
    job: Job, recovered_as: Sequence[int], width: int, now: datetime, order: DateOrder
) -> list[Line]:
    """Return a line for each event, the oldest first; then the lineage and the cluster.

    What one of the events says already is not repeated.

    The events of another day than those above them are below its date; those of today need none.
    """
    day = to_local(job.submitted).date()
    lines: list[Line] = []
    if not job.events or day != to_local(now).date():
        lines.append(((f" submitted {format_recent_time(job.submitted, now, order)}", TextRole.MUTED),))
    hosts = {task.number: task.host for task in job.tasks}
    for event in job.events:
        if to_local(event.at).date() != day:
            day = to_local(event.at).date()
            lines.append(((f" {format_date(event.at, order)}", TextRole.MUTED),))
        lines.extend(_event(event, hosts, width))
    shown = {event.reason for event in job.events}
    if job.recovered_from is not None and (origin := f"recovered from job {job.recovered_from}") not in shown:
        lines.append(((f" {origin}", TextRole.ACCENT),))
    if recovered_as:
        word = "job" if len(recovered_as) == 1 else "jobs"
        lines.append(((f" recovered as {word} {format_ids(list(recovered_as))}", TextRole.ACCENT),))
    if job.origin is not None and (home := _home(job.origin, ended=job.status.ended)) not in shown:
        lines.append(((f" {home}", TextRole.MUTED),))
    return lines


def _home(origin: ClusterRef, *, ended: bool) -> str:
    where = f"space {origin.space} on cluster {origin.cluster}"
    if origin.id:
        return f"job {origin.id} of {where}"
    return f"requested in {where}: its id there is not known{'' if ended else ' yet'}"


def _event(event: JobEvent, hosts: dict[int, str], width: int) -> list[Line]:
    what, role = _describe_event(event, hosts)
    if event.requested_by:
        what += f" by {describe_requester(event.requested_by)}"
    head = f" {format_time_of_day(event.at)}  "
    texts = wrap(f"{single_cells(what)}: {event.reason}" if event.reason else what, width - len(head) - 1)
    return [
        ((head if row == 0 else " " * len(head), TextRole.MUTED), (text, role))
        for row, text in enumerate(texts)
    ]


def _describe_event(event: JobEvent, hosts: dict[int, str]) -> tuple[str, TextRole]:
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
        case EventKind.PAUSED:
            return f"{task} paused", TextRole.WARNING
        case EventKind.STILL_PAUSED:
            return "pause changed", TextRole.WARNING
        case EventKind.RATE_SET:
            return "write limit set", TextRole.PLAIN
        case EventKind.RESUMED:
            return f"{task} resumed", role
        case EventKind.RETRIED:
            return f"{task} failed", TextRole.WARNING
        case EventKind.NOTE:
            return "note", role
