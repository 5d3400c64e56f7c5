"""The signs that stand for statuses and progress: each carries its meaning without any colour."""

from __future__ import annotations

from jobtui.model import Job, Status, Task
from jobtui.tui.lines import STATUS_INK, Ink, Line, Piece
from jobtui.tui.units import percent

GLYPH = {
    Status.QUEUE: "◷",
    Status.RUNNING: "▶",
    Status.FINISHED: "✔",
    Status.FAILED: "✖",
    Status.STOPPED: "■",
}
STOPPING = "◼"
MARKED = "●"
WATCHED = "◉"
_DONE, _REST = "▇", "░"


def status_piece(job: Job) -> Piece:
    """A job's status as its glyph and word: `▶ running`, or `◼ stopping 2/3` while a stop is under way."""
    if job.stopping and job.status is Status.RUNNING:
        return f"{STOPPING} stopping {job.ended_tasks}/{len(job.tasks)}", Ink.WARNING
    return f"{GLYPH[job.status]} {job.status.value}", STATUS_INK[job.status]


def task_status_piece(task: Task, stopping: bool) -> Piece:
    """A task's status; a task still at work in a job that is being stopped is `◼ stopping`."""
    if task.status is Status.RUNNING and stopping:
        return f"{STOPPING} stopping", Ink.WARNING
    if task.detached:
        return f"{GLYPH[task.status]} detached", Ink.WARNING
    return f"{GLYPH[task.status]} {task.status.value}", STATUS_INK[task.status]


def bar(fraction: float, width: int) -> str:
    """A bar of exactly `width` cells; full only where nothing is left."""
    fraction = max(0.0, min(1.0, fraction))
    done = width if fraction >= 1 else min(width - 1, int(fraction * width + 0.5))
    return _DONE * done + _REST * (width - done)


def progress(fraction: float | None, status: Status, width: int = 10) -> Line:
    """A bar and its percentage (` 68%`) in `width` + 5 cells; blank where nothing has begun, `–` where it
    ended and nobody knows how far it had come."""
    ink = STATUS_INK[status]
    if status is Status.QUEUE:
        return ((" " * (width + 5), Ink.MUTED),)
    if fraction is None:
        if status.ended:
            return (("–".rjust(width + 5), Ink.MUTED),)
        return (("▒" * width, ink), ("   … ", Ink.MUTED))
    return (
        (bar(fraction, width), ink),
        (f" {percent(fraction)}", Ink.PLAIN if not status.ended else Ink.MUTED),
    )
