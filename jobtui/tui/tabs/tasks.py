"""The Tasks tab: the progress and the result of each storage host."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from jobtui.engine.job_log import task_seconds
from jobtui.engine.lifecycle import describe_deferral
from jobtui.formatting import (
    format_bytes,
    format_change,
    format_duration,
    format_percent,
    format_rate,
    format_remaining,
    to_local,
)
from jobtui.model import SHARED_ADDRESS, Deferral, EventKind, Job, Status, Task
from jobtui.tui.text.spans import (
    Line,
    Span,
    TextRole,
    cut,
    fit,
    fit_host,
    jobs_at_work,
    line_width,
    progress_line,
    task_status_span,
    width_of,
    wrap,
)

# seconds in which a host that reports its progress begins to: it opens a database first
_FIRST_REPORT = 3.0
# an estimate from less progress than this would be meaningless
MIN_PROGRESS = 0.02
_STATUS = 10
_MAX_HOST = 24
# cells to the right of a task that are enough for its reason; with fewer, the reason is below the task
_MIN_REASON = 40
_MAX_REASON_LINES = 1000
_BARS = (20, 16, 12, 8, 6, 4)
_PERCENT = 5

Rates = Mapping[tuple[int, int], float | None]


class TaskSort(enum.StrEnum):
    """The criteria to sort tasks by; by status, failed tasks come first and running ones next."""

    STATUS = "status"
    HOST = "host"
    SIZE = "size"
    TOOK = "took"
    RECLAIMED = "reclaimed"

    def neighbor(self, by: int) -> TaskSort:
        """Return the sort `by` positions further on, wrapping around at the end."""
        sorts = list(TaskSort)
        return sorts[(sorts.index(self) + by) % len(sorts)]


_URGENCY = (Status.FAILED, Status.RUNNING, Status.STOPPED, Status.QUEUE, Status.FINISHED)


def sort_tasks(job: Job, by: TaskSort) -> list[Task]:
    """Return the job's tasks in an order: the largest numbers first, unknown ones last."""
    keys: Mapping[TaskSort, Callable[[Task], object]] = {
        TaskSort.STATUS: lambda task: _URGENCY.index(task.status),
        TaskSort.HOST: lambda task: task.host,
        TaskSort.SIZE: lambda task: -task.before.bytes if task.before is not None else 1,
        TaskSort.TOOK: lambda task: -task.took if task.took is not None else 1,
        TaskSort.RECLAIMED: lambda task: (task.reclaimed is None, -(task.reclaimed or 0)),
    }
    return sorted(job.tasks, key=keys[by])  # type: ignore[arg-type]


class TaskLines(msgspec.Struct, frozen=True):
    """The lines of the tasks, with each task's number, first line and last line."""

    lines: list[Line]
    positions: tuple[tuple[int, int, int], ...] = ()


class TaskFigure(enum.Enum):
    """The figures that a task can be described by."""

    STEPS = "steps"
    BYTES = "bytes"
    RATE = "rate"
    TIME = "time"


# from this width on, the sizes before and after are aligned in columns
_ALIGNED_FROM = 72
# cells kept for a figure while a task runs, so that nothing jumps as it changes
_WHILE_RUNNING = {TaskFigure.STEPS: 10, TaskFigure.BYTES: 17, TaskFigure.RATE: 9, TaskFigure.TIME: 9}

Figures = Mapping[TaskFigure, Span]


class TaskLayout(msgspec.Struct, frozen=True):
    """The layout of all tasks: the form of the status, the cells of the bar, the figures."""

    has_words: bool
    bar: int
    gap: int
    widths: Mapping[TaskFigure, int]
    percent: int = _PERCENT

    @property
    def cells(self) -> int:
        """The width of a task after its host."""
        figures = sum(self.widths.values()) + self.gap * len(self.widths)
        return (_STATUS if self.has_words else 1) + 2 + self.bar + self.percent + figures


def task_lines(
    job: Job,
    rates: Rates,
    width: int,
    now: datetime,
    sort: TaskSort = TaskSort.STATUS,
    active: Collection[Job] = (),
) -> TaskLines:
    """Return a line for each task, with its reason in as many lines as it needs.

    `rates`: bytes a second by job and task. `active`: the jobs that a task may wait for.
    """
    if not job.tasks:
        return TaskLines([((" no tasks yet", TextRole.MUTED),)])
    tasks = sort_tasks(job, sort)
    names = [f"{job.id}-{task.number}" for task in tasks]
    id_width = max(map(len, names))
    host_width = min(_MAX_HOST, max(width_of(task.host) for task in tasks), max(6, width // 4))
    shown = [_figures(job, task, rates.get((job.id, task.number)), now, width) for task in tasks]
    layout = _layout(job, shown, width - id_width - host_width - 5, now)
    lines: list[Line] = []
    positions: list[tuple[int, int, int]] = []
    at_work = jobs_at_work(active)
    for name, task, figures in zip(names, tasks, shown, strict=True):
        head: Line = (
            (f" {name:<{id_width}}  ", TextRole.PLAIN),
            (fit_host(task.host, host_width) + "  ", TextRole.PLAIN),
            _status(job, task, layout.has_words),
            ("  ", TextRole.PLAIN),
        )
        first = len(lines)
        lines.extend(_task(job, task, head, figures, layout, width, at_work.get(task.host)))
        positions.append((task.number, first, len(lines) - 1))
    lines.extend(((f" {text}", TextRole.MUTED),) for text in _shared_addresses(job, width))
    return TaskLines(lines, tuple(positions))


def _shared_addresses(job: Job, width: int) -> list[str]:
    """Return notes about tasks of a cluster whose hosts have the same address."""
    if job.has_distinct_hosts:
        return []
    notes = [event.reason for event in job.events if event.kind is EventKind.NOTE]
    return [text for note in notes if note.startswith(SHARED_ADDRESS) for text in wrap(note, width - 2, 3)]


def _status(job: Job, task: Task, has_words: bool) -> Span:
    text, role = task_status_span(task, job)
    return (fit(text, _STATUS) if has_words else text[0]), role


def is_progress_unknown(job: Job, now: datetime) -> bool:
    """Return whether the job works and none of its hosts reports its progress, as in clusters."""
    running = [task for task in job.tasks if task.status is Status.RUNNING]
    if not running or any(task.progress is not None for task in running):
        return False
    if job.origin is not None:
        return True
    return any((task_seconds(job, task.number, now) or 0.0) >= _FIRST_REPORT for task in running)


def _layout(job: Job, shown: Sequence[Figures], room: int, now: datetime) -> TaskLayout:
    """Return the richest layout that fits in `room` cells after the host.

    It is the same for all tasks, so that their figures are aligned.
    """
    running = any(task.status is Status.RUNNING for task in job.tasks)
    widths: dict[TaskFigure, int] = {}
    for figure in TaskFigure:
        sizes = [width_of(figures[figure][0]) for figures in shown if figure in figures]
        if sizes:
            widths[figure] = max(*sizes, _WHILE_RUNNING[figure] if running else 0)
    needs_words = job.stopping or any(task.detached for task in job.tasks)
    layouts = list(_layouts(widths, needs_words))
    if is_progress_unknown(job, now):
        layouts = [replace(layout, bar=0, percent=0) for layout in layouts if layout.bar in (0, _BARS[0])]
    elif all(task.status.ended for task in job.tasks):
        # an ended task has no bar, and a percentage only if it did not finish
        percent = _PERCENT if any(task.status is not Status.FINISHED for task in job.tasks) else 0
        layouts = [replace(layout, bar=0, percent=percent) for layout in layouts if layout.bar in (0, _BARS[0])]
    return next((layout for layout in layouts if layout.cells <= room), layouts[-1])


def _layouts(widths: Mapping[TaskFigure, int], needs_words: bool) -> Iterator[TaskLayout]:
    """Yield layouts from rich to poor: without bar, then rate, word of the status, time."""
    without_rate = _without(widths, TaskFigure.RATE)
    bytes_alone = _without(_without(without_rate, TaskFigure.TIME), TaskFigure.STEPS)
    for has_words, kept in (
        (True, widths),
        (True, without_rate),
        (needs_words, widths),
        (needs_words, without_rate),
        (True, bytes_alone),
    ):
        for bar in _BARS:
            yield TaskLayout(has_words, bar, 3, kept)
            yield TaskLayout(has_words, bar, 2, kept)
    yield TaskLayout(True, 0, 2, bytes_alone)
    yield TaskLayout(needs_words, 0, 2, bytes_alone)
    yield TaskLayout(needs_words, 0, 2, {})


def _without(widths: Mapping[TaskFigure, int], left_out: TaskFigure) -> Mapping[TaskFigure, int]:
    return {figure: width for figure, width in widths.items() if figure is not left_out}


def _task(
    job: Job, task: Task, head: Line, figures: Figures, layout: TaskLayout, width: int, busy_with: int | None
) -> list[Line]:
    role = TextRole.FAILED if task.status is Status.FAILED else TextRole.WARNING
    if task.reason and width - line_width(head) - 1 >= _MIN_REASON:
        return _explained(head, task.reason, role, width)
    if task.status is Status.QUEUE:
        if task.deferred is not None and not job.paused:
            return _explained(head, _deferral_text(task.deferred), TextRole.WARNING, width)
        waits = "" if job.status is Status.QUEUE else _waiting_text(job, task, busy_with)
        return _explained(head, waits, TextRole.MUTED, width)
    if task.waiting and task.status is Status.RUNNING:
        steps = f"  {figures[TaskFigure.STEPS][0]}" if TaskFigure.STEPS in figures else ""
        return _explained(head, f"paused: {task.waiting}{steps}", TextRole.WARNING, width)
    parts: list[Span] = list(_progress(task, layout))
    for figure, size in layout.widths.items():
        text, figure_role = figures.get(figure, ("", TextRole.PLAIN))
        parts += [(" " * layout.gap, TextRole.PLAIN), (fit(text, size), figure_role)]
    return [cut((*head, *parts), width), *(_below(task.reason, role, width) if task.reason else ())]


def _explained(head: Line, text: str, role: TextRole, width: int) -> list[Line]:
    """Return a task with a text next to it, or below it if little width is left."""
    indent = line_width(head)
    room = width - indent - 1
    if width_of(text) > room and room < _MIN_REASON:
        return [cut(head, width), *_below(text, role, width)]
    first, *rest = wrap(text, room, _MAX_REASON_LINES)
    return [(*head, (first, role)), *(((" " * indent, TextRole.PLAIN), (text, role)) for text in rest)]


def _below(text: str, role: TextRole, width: int) -> list[Line]:
    return [((f"    {each}", role),) for each in wrap(text, width - 5, _MAX_REASON_LINES)]


def _deferral_text(deferral: Deferral) -> str:
    return ": ".join(filter(None, (describe_deferral(deferral), deferral.detail)))


def _waiting_text(job: Job, task: Task, busy_with: int | None) -> str:
    """Return why a task of a running job is queued; `busy_with`: the job on its host."""
    steps = "" if task.steps is None else f" after step {task.steps.done} of {task.steps.total}"
    if job.paused:
        return f"paused{steps}" if task.start is not None else "waits, because the job is paused"
    if task.not_before is not None:
        at = to_local(task.not_before)
        return f"attempt {task.attempts + 1} at {at:%H:%M:%S}: {_last_failure(job, task)}"
    if task.start is not None:
        return f"continues{steps}"
    if job.options.rolling or job.options.wait:
        return "waits for its turn"
    # its host may just have been released, or be busy with a task of this job that has the same address
    return "waits for its host" if busy_with in (None, job.id) else f"waits for job {busy_with}"


def _last_failure(job: Job, task: Task) -> str:
    events = [event for event in job.events if event.task == task.number]
    retried = [event.reason for event in events if event.kind is EventKind.RETRIED]
    return retried[-1].rpartition("; ")[0] if retried else ""


def _progress(task: Task, layout: TaskLayout) -> Line:
    if not layout.percent:
        return ()
    if not task.status.ended:
        return progress_line(_fraction(task), task.status, layout.bar)
    blank = " " * (layout.bar + layout.percent)
    if task.status is Status.FINISHED or task.progress is None or layout.percent < _PERCENT:
        return ((blank, TextRole.PLAIN),)
    return ((format_percent(task.progress).rjust(len(blank)), TextRole.MUTED),)


def _figures(job: Job, task: Task, rate: float | None, now: datetime, width: int) -> Figures:
    figures: dict[TaskFigure, Span] = {}
    if task.steps is not None and task.steps.total > 1 and not task.status.ended:
        figures[TaskFigure.STEPS] = f"step {task.steps.done}/{task.steps.total}", TextRole.PLAIN
    if task.before is not None:
        before, after, pad = task.before.bytes, task.after, 8 if width >= _ALIGNED_FROM else 0
        sizes = f"{format_bytes(before):>{pad}} → …"
        if after is not None:
            sizes = format_change(before, after.bytes, 2 * pad + 3)
        figures[TaskFigure.BYTES] = sizes, TextRole.PLAIN
    if task.status is Status.RUNNING:
        if rate is not None:
            figures[TaskFigure.RATE] = format_rate(rate), TextRole.ACCENT
        worked = task_seconds(job, task.number, now)
        estimate = estimate_task_seconds(job, task, rate, now)
        if estimate is not None:
            figures[TaskFigure.TIME] = format_remaining(estimate), TextRole.MUTED
        elif worked is not None:
            figures[TaskFigure.TIME] = f"for {format_duration(worked)}", TextRole.MUTED
    elif task.took is not None:
        figures[TaskFigure.TIME] = f"in {format_duration(task.took)}", TextRole.MUTED
    return figures


def remaining_seconds(task: Task, rate: float | None, worked: float | None) -> float | None:
    """Return an estimate of the seconds that a running task will still take, or None.

    It is based on the rate if the number of bytes is known, otherwise on the `worked` seconds: those until now
    without pauses and waits, None if they are not known.
    """
    done = task.progress
    if done is None or done < MIN_PROGRESS:
        return None
    if rate and task.before is not None and task.before.bytes:
        return task.before.bytes * (1 - done) / rate
    return None if worked is None else worked * (1 - done) / done


def estimate_task_seconds(job: Job, task: Task, rate: float | None, now: datetime) -> float | None:
    """Estimate the seconds that a running task still needs; None if that is not known yet."""
    worked = None if continues_steps(job, task) else task_seconds(job, task.number, now)
    return remaining_seconds(task, rate, worked)


def continues_steps(job: Job, task: Task) -> bool:
    """Return whether a task may have steps that another job finished.

    Its progress then includes work whose time is not known here: an estimate from it would be far too low.
    """
    return job.recovered_from is not None and task.steps is not None


def _fraction(task: Task) -> float | None:
    return 1.0 if task.status is Status.FINISHED else task.progress
