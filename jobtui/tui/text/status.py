"""What is said under the header while something is wrong: why nothing can be written, no connection, damage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobtui.formatting import (
    format_bytes,
    format_count,
    format_duration,
    format_ids,
    format_local_time,
    format_percent,
)
from jobtui.model import ConnectionState, ConnectionStatus, Job, Status, Task
from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.keymap import Keymap
from jobtui.tui.text.spans import STATUS_INK, Line, Span, TextRole


def alarm(context: Context, link_told: datetime) -> tuple[str, str]:
    """The gravest of them: its kind, and in words with what to do; both "" while all is well.

    Whoever has read one wants to see no other of its kind: words that count seconds are not another alarm.
    `link_told` is when the connection to the cluster was last told of.
    """
    desk = context.desk
    if desk.write_error:
        return desk.write_error, desk.write_error
    if desk.connection is not None:
        key = context.keymap.shown(BY_ID["retry"])
        said = link_alarm(desk.connection, link_told, context.now(), key)
        if said:
            return f"link {desk.connection.state.value}", said
    damage = _damage(context)
    return damage, damage


def _damage(context: Context) -> str:
    notes = context.desk.history.notes
    if not notes:
        return ""
    others = sorted({job for note in notes[1:] for job in note.jobs}.difference(notes[0].jobs))
    whose = f", of job {format_ids(others)}" if others else ""
    more = f" (and {len(notes) - 1} more{whose})" if len(notes) > 1 else ""
    return f"The history was damaged: {notes[0]}{more}. jobtui history verify tells all of it"


# ---- merged from jobtui.tui.first_steps: ----
# What an empty table says: to a newcomer how to get to a first job, to everyone why nothing is there.
# from this width on each step is told with what it does
_ROOMY = 90


def first_steps(context: Context, archived: bool, width: int) -> tuple[Line, ...]:
    """For a history without jobs, or an empty archive; in few words where `width` asks for it."""
    keys = context.keymap
    if archived:
        return (
            (("  Nothing is archived.", TextRole.MUTED),),
            (),
            (
                ("  In the jobs, ", TextRole.MUTED),
                (keys.shown(BY_ID["archive"]), TextRole.KEY),
                (" archives.", TextRole.MUTED),
            ),
        )
    if not context.desk.writable:
        return ((("  No jobs yet. This profile is open for reading only.", TextRole.MUTED),),)
    bar, compact = keys.shown(BY_ID["bar"]), keys.shown(BY_ID["help"])
    overview, linked = context.places.overview, context.desk.connection is not None
    if linked and overview is None and not context.places.trouble:
        return ((("  Asking the cluster; a moment …", TextRole.MUTED),),)
    spaces = (
        [look.space.name for look in overview.spaces]
        if overview is not None
        else list(context.desk.space_names())
    )
    hint: tuple[Line, ...] = (
        ((("  " + context.settings.hint, TextRole.ACCENT),), ()) if context.settings.hint else ()
    )
    steps: list[tuple[str, str, str]] = []
    if not spaces and context.settings.demo:
        return ((("  The demo's spaces are being filled; a moment …", TextRole.MUTED),),)
    if not spaces and linked:
        steps.append(("SHOW SPACES", "the cluster's", ", once it is connected"))
        space = "nba"
    elif not spaces:
        steps.append(("CREATE SPACE demo", "makes a space", " on every host"))
        steps.append(('CREATE SPACE mine AT "/my/rocksdb"', "or adopts a database", " of RocksDB"))
        space = "demo"
    else:
        space = spaces[0]
    if context.space is None:
        steps.append((f"USE {space}", "chooses the space", ""))
    steps.append(("ADMIN FLUSH", "a first job", ": its memtables go to disk"))
    steps.append(("ADMIN COMPACT", "a second one", ": its files are merged"))
    wide = max(len(text) for text, _, _ in steps) + 3
    roomy = width >= _ROOMY
    # the cluster's own come when it has told them
    none = "No jobs are known here yet." if linked else "No jobs yet."
    return (
        ((f"  {none} A first one in a minute:", TextRole.STRONG),),
        (),
        *hint,
        (
            ("  ", TextRole.PLAIN),
            (f"{bar:<3}", TextRole.KEY),
            ("goes to the command bar below. Type there, with enter:", TextRole.PLAIN),
        ),
        (),
        *(
            (
                ("     ", TextRole.PLAIN),
                (f"{text:<{wide}}", TextRole.ACCENT),
                (what + more * roomy, TextRole.MUTED),
            )
            for text, what, more in steps
        ),
        (),
        (
            ("  ", TextRole.PLAIN),
            ("esc", TextRole.KEY),
            (" comes back here.  ", TextRole.PLAIN),
            (compact, TextRole.KEY),
            (" shows the keys.", TextRole.PLAIN),
        ),
    )


def nothing_found(text: str, keys: Keymap) -> tuple[Line, ...]:
    """For a filter that lets nothing through."""
    return (
        (("  No job passes the filter ", TextRole.MUTED), (text, TextRole.ACCENT)),
        (),
        (
            ("  esc", TextRole.KEY),
            (" takes it away, ", TextRole.MUTED),
            (keys.shown(BY_ID["filter"]), TextRole.KEY),
            (" changes it.", TextRole.MUTED),
        ),
    )


# ---- merged from jobtui.tui.terminal: ----
# The signs that stand for statuses and progress: each carries its meaning without any colour.
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


def status_piece(job: Job) -> Span:
    """A job's status as its glyph and word: `▶ running`, or `◼ stopping 2/3` while a stop is under way."""
    if job.stopping and job.status is Status.RUNNING:
        return f"{STOPPING} stopping {job.ended_tasks}/{len(job.tasks)}", TextRole.WARNING
    return f"{GLYPH[job.status]} {job.status.value}", STATUS_INK[job.status]


def task_status_piece(task: Task, stopping: bool) -> Span:
    """A task's status; a task still at work in a job that is being stopped is `◼ stopping`."""
    if task.status is Status.RUNNING and stopping:
        return f"{STOPPING} stopping", TextRole.WARNING
    if task.detached:
        return f"{GLYPH[task.status]} detached", TextRole.WARNING
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
        return ((" " * (width + 5), TextRole.MUTED),)
    if fraction is None:
        if status.ended:
            return (("–".rjust(width + 5), TextRole.MUTED),)
        return (("▒" * width, ink), ("   … ", TextRole.MUTED))
    return (
        (bar(fraction, width), ink),
        (f" {format_percent(fraction)}", TextRole.PLAIN if not status.ended else TextRole.MUTED),
    )


# ---- merged from jobtui.tui.linking: ----
# How it stands with the connection to a cluster, in words: a few for the header, a sentence for the alarm.
_INKS = {
    ConnectionState.CONNECTING: TextRole.WARNING,
    ConnectionState.CONNECTED: TextRole.FINISHED,
    ConnectionState.LOST: TextRole.FAILED,
    ConnectionState.REFUSED: TextRole.FAILED,
    ConnectionState.CLOSED: TextRole.MUTED,
}
_GLYPHS = {
    ConnectionState.CONNECTING: "◌",
    ConnectionState.CONNECTED: "●",
    ConnectionState.LOST: "✖",
    ConnectionState.REFUSED: "✖",
    ConnectionState.CLOSED: "○",
}


def link_piece(link: ConnectionStatus) -> Span:
    """`● 10.0.0.5:9669`, `◌ connecting`, `✖ lost`; `◌ 10.0.0.5:9669` where it does not answer."""
    words = link.address if link.state is ConnectionState.CONNECTED and link.address else link.state.value
    if link.state is ConnectionState.CONNECTED and link.detail:
        return f"{_GLYPHS[ConnectionState.CONNECTING]} {words}", _INKS[ConnectionState.CONNECTING]
    return f"{_GLYPHS[link.state]} {words}", _INKS[link.state]


def link_alarm(link: ConnectionStatus, told: datetime, now: datetime, retry_key: str) -> str:
    """What to say of a connection that is not there; "" while it is, or is just being made.

    `told` is when the link was told, which its `retry_in` counts from.
    """
    if link.state is ConnectionState.CONNECTED and link.detail:
        return f"{link.detail[0].upper()}{link.detail[1:]}: what is shown may be from before"
    reason = f": {link.detail}" if link.detail else ""
    if link.state is ConnectionState.REFUSED:
        return f"Not connected{reason}. {retry_key} tries again"
    if link.state is not ConnectionState.LOST:
        return ""
    if link.retry_in is None:
        again = "connecting again"
    else:
        left = max(0, round(link.retry_in - (now - told).total_seconds()))
        again = f"tries again in {left} s, {retry_key} does now"
    return f"No connection since {format_local_time(link.since)}{reason}. {again[0].upper()}{again[1:]}"


# ---- merged from jobtui.tui.watching: ----
# How the end of a watched job is told.
# the worst first
_SEVERITY = {Status.FAILED: "error", Status.STOPPED: "warning", Status.FINISHED: "information"}


def endings(jobs: Sequence[Job]) -> tuple[str, str]:
    """What to say of jobs that have ended together, and how grave the worst of it is."""
    if len(jobs) == 1:
        return ending(jobs[0])
    by_status = {status: [job.id for job in jobs if job.status is status] for status in _SEVERITY}
    parts = [
        f"{GLYPH[status]} {format_ids(sorted(ids))} {status.value}" for status, ids in by_status.items() if ids
    ]
    worst = [severity for status, severity in _SEVERITY.items() if by_status[status]]
    return f"{format_count(len(jobs), 'job')} ended: {', '.join(parts)}", worst[0]


def ending(job: Job) -> tuple[str, str]:
    """What to say of a job that has ended, and how grave it is."""
    took = f" after {format_duration(job.took)}" if job.took is not None else ""
    given = job.reclaimed
    back = (
        f", {format_bytes(given)} given back" if job.status is Status.FINISHED and given and given > 0 else ""
    )
    reason = f": {job.reason}" if job.reason else ""
    text = f"{GLYPH[job.status]} job {job.id} {job.label} {job.status.value}{took}{back}{reason}"
    return text, _SEVERITY.get(job.status, "information")
