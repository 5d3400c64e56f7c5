"""The Tasks tab: what each storage host is at, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from jobtui.model import Job, Status, Task
from jobtui.tui import units
from jobtui.tui.glyphs import progress, task_status_piece
from jobtui.tui.lines import Ink, Line, Piece, cut
from jobtui.tui.text import fit, width_of, wrap

# an estimate from less than this says nothing
_LEAST_PROGRESS = 0.02
_STATUS = 12
_MOST_HOST = 24

Rates = Mapping[tuple[int, int], float | None]


def tasks(job: Job, rates: Rates, width: int, now: datetime) -> list[Line]:
    """A line a task; a reason takes as many as it needs. `rates`: bytes a second by job and task."""
    if not job.tasks:
        return [((" no tasks yet", Ink.MUTED),)]
    names = [f"{job.id}-{task.number}" for task in job.tasks]
    id_width = max(map(len, names))
    host_width = min(_MOST_HOST, max(width_of(task.host) for task in job.tasks), max(6, width // 4))
    lines: list[Line] = []
    for name, task in zip(names, job.tasks, strict=True):
        head: Line = (
            (f" {name:<{id_width}}  ", Ink.PLAIN),
            (fit(task.host, host_width) + "  ", Ink.PLAIN),
            _padded(task_status_piece(task, job.stopping), _STATUS),
            ("  ", Ink.PLAIN),
        )
        indent = 1 + id_width + 2 + host_width + 2 + _STATUS + 2
        lines.extend(_task(job, task, head, indent, rates.get((job.id, task.number)), width, now))
    if job.reason and not any(task.reason and job.reason.endswith(task.reason) for task in job.tasks):
        lines.append(())
        lines.extend(((f" {text}", Ink.WARNING),) for text in wrap(job.reason, width - 2))
    return lines


def _task(
    job: Job, task: Task, head: Line, indent: int, rate: float | None, width: int, now: datetime
) -> list[Line]:
    room = width - indent - 1
    if task.reason:
        shown = wrap(task.reason, max(room, 12))
        ink = Ink.FAILED if task.status is Status.FAILED else Ink.WARNING
        first = cut((*head, (shown[0], ink)), width)
        return [first, *(((" " * indent, Ink.PLAIN), (text, ink)) for text in shown[1:])]
    if task.status is Status.QUEUE:
        waits = "" if job.status is Status.QUEUE else "waits for its host"
        return [cut((*head, (waits, Ink.MUTED)), width)]
    bar_width = max(4, min(20, room // 4))
    parts: list[Piece] = list(progress(_fraction(task), task.status, bar_width))
    room -= bar_width + 5
    for piece in _figures(task, rate, now):
        size = max(width_of(piece[0]), _FIGURE_WIDTHS.get(piece[1], 0))
        if room < width_of(piece[0]) + 3:
            break
        parts += [("   ", Ink.PLAIN), (fit(piece[0], min(size, room - 3)), piece[1])]
        room -= size + 3
    return [cut((*head, *parts), width)]


def _figures(task: Task, rate: float | None, now: datetime) -> list[Piece]:
    figures: list[Piece] = []
    if task.before is not None:
        after = "…" if task.after is None else units.size(task.after.bytes)
        figures.append((f"{units.size(task.before.bytes)} → {after}", Ink.PLAIN))
    if task.status is Status.RUNNING:
        if rate is not None:
            figures.append((units.rate(rate), Ink.ACCENT))
        estimate = remaining(task, rate, now)
        if estimate is not None:
            figures.append((units.left(estimate), Ink.MUTED))
        elif task.start is not None:
            figures.append((f"for {units.duration((now - task.start).total_seconds())}", Ink.MUTED))
    elif task.took is not None:
        figures.append((f"in {units.span(task.took)}", Ink.MUTED))
    return figures


# figures of one kind stand under each other
_FIGURE_WIDTHS = {Ink.PLAIN: 19, Ink.ACCENT: 11}


def remaining(task: Task, rate: float | None, now: datetime) -> float | None:
    """Seconds that a running task will still take, by its rate where its bytes are known, else by the time
    that it took so far; None where nothing can be said."""
    done = task.progress
    if done is None or done < _LEAST_PROGRESS:
        return None
    if rate and task.before is not None and task.before.bytes:
        return task.before.bytes * (1 - done) / rate
    if task.start is None:
        return None
    return (now - task.start).total_seconds() * (1 - done) / done


def _fraction(task: Task) -> float | None:
    return 1.0 if task.status is Status.FINISHED else task.progress


def _padded(piece: Piece, width: int) -> Piece:
    return fit(piece[0], width), piece[1]
