"""Statuses, progress and the connection as glyphs and short texts; none needs colors to be understood."""

from __future__ import annotations

from jobtui.formatting import (
    format_percent,
)
from jobtui.model import ConnectionState, ConnectionStatus, Job, Status, Task
from jobtui.tui.text.spans import STATUS_INK, Line, Span, TextRole

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


def status_span(job: Job) -> Span:
    """Return a job's status as glyph and word: `▶ running`, or `◼ stopping 2/3` during a stop."""
    if job.stopping and job.status is Status.RUNNING:
        return f"{STOPPING} stopping {job.ended_tasks}/{len(job.tasks)}", TextRole.WARNING
    return f"{GLYPH[job.status]} {job.status.value}", STATUS_INK[job.status]


def task_status_span(task: Task, stopping: bool) -> Span:
    """Return a task's status; `◼ stopping` if it still runs and its job is being stopped (`stopping`)."""
    if task.status is Status.RUNNING and stopping:
        return f"{STOPPING} stopping", TextRole.WARNING
    if task.detached:
        return f"{GLYPH[task.status]} detached", TextRole.WARNING
    return f"{GLYPH[task.status]} {task.status.value}", STATUS_INK[task.status]


def progress_bar(fraction: float, width: int) -> str:
    """Return a bar of exactly `width` cells; it is full only at 1."""
    fraction = max(0.0, min(1.0, fraction))
    done = width if fraction >= 1 else min(width - 1, int(fraction * width + 0.5))
    return _DONE * done + _REST * (width - done)


def progress_line(fraction: float | None, status: Status, width: int = 10) -> Line:
    """Return a bar and its percentage (` 68%`) in `width` + 5 cells.

    The line is blank for what is queued, and `–` for what ended with an unknown `fraction` (None).
    """
    role = STATUS_INK[status]
    if status is Status.QUEUE:
        return ((" " * (width + 5), TextRole.MUTED),)
    if fraction is None:
        if status.ended:
            return (("–".rjust(width + 5), TextRole.MUTED),)
        return (("▒" * width, role), ("   … ", TextRole.MUTED))
    return (
        (progress_bar(fraction, width), role),
        (f" {format_percent(fraction)}", TextRole.PLAIN if not status.ended else TextRole.MUTED),
    )


_CONNECTION_ROLES = {
    ConnectionState.CONNECTING: TextRole.WARNING,
    ConnectionState.CONNECTED: TextRole.FINISHED,
    ConnectionState.LOST: TextRole.FAILED,
    ConnectionState.REFUSED: TextRole.FAILED,
    ConnectionState.CLOSED: TextRole.MUTED,
}
_CONNECTION_GLYPHS = {
    ConnectionState.CONNECTING: "◌",
    ConnectionState.CONNECTED: "●",
    ConnectionState.LOST: "✖",
    ConnectionState.REFUSED: "✖",
    ConnectionState.CLOSED: "○",
}


def connection_span(status: ConnectionStatus) -> Span:
    """Return the state of the connection to a cluster: `● 10.0.0.5:9669`, `◌ connecting`, `✖ lost`.

    The address has the glyph of `connecting` while the cluster does not answer.
    """
    is_connected = status.state is ConnectionState.CONNECTED
    text = status.address if is_connected and status.address else status.state.value
    state = ConnectionState.CONNECTING if is_connected and status.detail else status.state
    return f"{_CONNECTION_GLYPHS[state]} {text}", _CONNECTION_ROLES[state]
