"""Texts about problems, ended jobs and empty tables, and the lines of questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime

from jobtui.engine.client import ExecuteResult
from jobtui.formatting import (
    DateOrder,
    format_bytes,
    format_count,
    format_duration,
    format_ids,
    format_recent_time,
)
from jobtui.history import describe_damage
from jobtui.language.identifiers import is_name, quote_name
from jobtui.language.results import Row
from jobtui.model import ConnectionState, ConnectionStatus, Job, Status
from jobtui.tui.commands import BY_ID, KeyCommand, KeyScope
from jobtui.tui.context import Context
from jobtui.tui.keymap import find_command
from jobtui.tui.text.spans import (
    GLYPH,
    Line,
    TextRole,
    cause_of,
    continuation_of,
    status_span,
    unbroken,
    width_of,
    wrapped,
)


def describe_no_effect(
    key: str, scopes: Sequence[KeyScope], context: Context, why_unavailable: Callable[[KeyCommand], str]
) -> str:
    """Return `s (stop) has no effect here: archived jobs have ended`, "" for an unknown key.

    Args:
        key: The key.
        scopes: The scopes whose keys work now.
        context: The state of the dashboard.
        why_unavailable: Returns why a command of these scopes cannot be run.
    """
    command = find_command(key, scopes, context.keymap)
    if command is None:
        return ""
    if command.where not in scopes:
        why = f"it is a key of {command.where}"
    elif command.id == "retry":
        why = "this profile has no cluster"
    elif not context.client.writable:
        why = "the profile is read only"
    else:
        why = why_unavailable(command)
    return f"{context.keymap.shown(command)} ({command.title}) has no effect here: {why}"


def current_alarm(context: Context, status_time: datetime) -> tuple[str, str]:
    """Return the kind and the text of the most serious problem; both "" if there is none.

    An alarm that the user dismissed stays hidden while its kind is the same: a text that counts seconds is not
    another alarm.

    Args:
        context: The dashboard's client and clock.
        status_time: When the status of the connection was last received.
    """
    client = context.client
    if client.write_error:
        return client.write_error, client.write_error
    if client.connection is not None:
        key = context.keymap.shown(BY_ID["retry"])
        order = context.settings.date_order
        text = connection_alarm(client.connection, status_time, context.now(), key, order)
        if text:
            return f"link {client.connection.state.value}", text
    damage = describe_damage(client.history.notes)
    return damage, damage


def connection_alarm(
    status: ConnectionStatus, received: datetime, now: datetime, retry_key: str, order: DateOrder
) -> str:
    """Return what is wrong with a connection; "" if it works, or is being made.

    Args:
        status: The status of the connection.
        received: When it was received, which its `retry_in` counts from.
        now: The time now.
        retry_key: The key that connects at once.
        order: The order of day, month and year.
    """
    if status.state is ConnectionState.CONNECTED and status.detail:
        return f"{status.detail[0].upper()}{status.detail[1:]}: the screen may be out of date"
    reason = f": {status.detail}" if status.detail else ""
    if status.state is ConnectionState.REFUSED:
        return f"Not connected{reason}. {retry_key} tries again"
    if status.state is not ConnectionState.LOST:
        return ""
    if status.retry_in is None:
        again = "connecting again"
    else:
        left = max(0, round(status.retry_in - (now - received).total_seconds()))
        again = f"tries again in {left} s, {retry_key} does now"
    since = format_recent_time(status.since, now, order)
    return f"No connection since {since}{reason}. {again[0].upper()}{again[1:]}"


# the most severe first
_SEVERITY = {Status.FAILED: "error", Status.STOPPED: "warning", Status.FINISHED: "information"}


def describe_ends(jobs: Sequence[Job]) -> tuple[str, str]:
    """Return a text about jobs that ended at the same time, and their worst severity."""
    if len(jobs) == 1:
        return describe_end(jobs[0])
    by_status = {status: [job.id for job in jobs if job.status is status] for status in _SEVERITY}
    parts = [
        f"{GLYPH[status]} {format_ids(sorted(ids))} {status.value}" for status, ids in by_status.items() if ids
    ]
    worst = [severity for status, severity in _SEVERITY.items() if by_status[status]]
    return f"{format_count(len(jobs), 'job')} ended: {', '.join(parts)}", worst[0]


def describe_end(job: Job) -> tuple[str, str]:
    """Return a text about a job that has ended, and its severity."""
    took = f" after {format_duration(job.took)}" if job.took is not None else ""
    freed = job.reclaimed_by_compaction if job.status is Status.FINISHED else None
    reclaimed = f", {format_bytes(freed)} reclaimed" if freed is not None and freed > 0 else ""
    reason = f": {cause_of(job)}" if job.reason else ""
    text = f"{GLYPH[job.status]} job {job.id} {job.label} {job.status.value}{took}{reclaimed}{reason}"
    return text, _SEVERITY.get(job.status, "information")


# from this width on, each step has an explanation
_EXPLAINED_FROM = 90
# from this width on, the sentences are whole
_WHOLE_FROM = 68


def first_steps(context: Context, archived: bool, width: int, height: int) -> tuple[Line, ...]:
    """Return the text for an empty history or archive, shorter in a small terminal."""
    lines = _first_steps(context, archived, width)
    return lines if len(lines) <= height else tuple(line for line in lines if line)


def _first_steps(context: Context, archived: bool, width: int) -> tuple[Line, ...]:
    keys = context.keymap
    if archived:
        return (
            (("  Nothing is archived.", TextRole.MUTED),),
            (),
            (
                ("  In the jobs (", TextRole.MUTED),
                (keys.shown(BY_ID["show_jobs"]), TextRole.KEY),
                ("), ", TextRole.MUTED),
                (keys.shown(BY_ID["archive"]), TextRole.KEY),
                (" archives jobs that have ended.", TextRole.MUTED),
            ),
        )
    if context.client.write_error:
        return (
            (("  No job can start now:", TextRole.STRONG),),
            *wrapped(((f"  {context.client.write_error}", TextRole.FAILED),), max(20, width - 2), hang=2),
        )
    if not context.client.writable:
        return ((("  No jobs yet. This profile is open for reading only.", TextRole.MUTED),),)
    bar, compact = keys.shown(BY_ID["bar"]), keys.shown(BY_ID["help"])
    overview, linked = context.overview_cache.overview, context.client.connection is not None
    if linked and overview is None and not context.overview_cache.problem:
        return ((("  Waiting for the cluster …", TextRole.MUTED),),)
    spaces = (
        [entry.space.name for entry in overview.spaces]
        if overview is not None
        else list(context.client.space_names())
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
        steps.append(("CREATE SPACE demo", "creates a space", " on every host"))
        adopts = "or adopts a database" if width >= _WHOLE_FROM else "or adopts one"
        steps.append(('CREATE SPACE mine AT "/my/rocksdb"', adopts, " of RocksDB"))
        space = "demo"
    else:
        # a cluster can have spaces that no statement can name
        space = next((quote_name(name) for name in spaces if is_name(name)), "")
    if context.space is None and space:
        steps.append((f"USE {space}", "chooses the space", ""))
    steps.append(("ADMIN FLUSH", "a first job", ": its memtables go to disk"))
    steps.append(("ADMIN COMPACT", "a second one", ": its files are merged"))
    wide = max(len(text) for text, _, _ in steps) + 3
    is_explained, is_whole = width >= _EXPLAINED_FROM, width >= _WHOLE_FROM
    # the cluster's jobs are added once the cluster has listed them
    none = "No jobs are known here yet." if linked else "No jobs yet."
    return (
        ((f"  {none} To run a first one:", TextRole.STRONG),),
        (),
        *hint,
        (
            ("  ", TextRole.PLAIN),
            (f"{bar:<3}", TextRole.KEY),
            (
                "moves to the command bar below. Type there, each with enter:"
                if is_whole
                else "moves to the command bar. Type, each with enter:",
                TextRole.PLAIN,
            ),
        ),
        (),
        *(
            (
                ("     ", TextRole.PLAIN),
                (f"{text:<{wide}}", TextRole.ACCENT),
                (what + more * is_explained, TextRole.MUTED),
            )
            for text, what, more in steps
        ),
        (),
        (
            ("  ", TextRole.PLAIN),
            (f"{keys.shown(BY_ID['show_advice']):<3}", TextRole.KEY),
            (
                "shows which spaces need a job" + ", and what it would give back" * is_whole + ".",
                TextRole.PLAIN,
            ),
        ),
        (
            ("  ", TextRole.PLAIN),
            ("esc", TextRole.KEY),
            (" returns to this table.  ", TextRole.PLAIN),
            (compact, TextRole.KEY),
            (" shows the keys.", TextRole.PLAIN),
        ),
    )


def describe_no_space(context: Context) -> str:
    """Return the text for a profile without spaces, with the statement that creates one."""
    can_create = context.client.writable and context.client.connection is None
    return f"There is no space yet{': CREATE SPACE creates one' if can_create else ''}"


def nothing_found(text: str) -> tuple[Line, ...]:
    """Return the text for a filter that no job passes."""
    return (
        (("  No job matches the filter ", TextRole.MUTED), (text, TextRole.ACCENT)),
        (),
        # no other key: until the filter is done, a key types a character
        (("  esc", TextRole.KEY), (" removes it.", TextRole.MUTED)),
    )


_MAX_LABEL = 60
_DIALOG_CELLS = 54
"""The cells of a dialog's line in a terminal of 60 columns."""
_STATUS_CELLS = 10


def job_lines(jobs: Mapping[int, Job | None], *, with_continuation: bool = False) -> list[Line]:
    """Return a line for each job in a dialog, with the statuses in a column.

    Args:
        jobs: The jobs by their ids; None for one that cannot be read.
        with_continuation: Whether to show where a recovery of each would continue.
    """
    labels = {job_id: "" if job is None else job.label[:_MAX_LABEL] for job_id, job in jobs.items()}
    names = {job_id: f"job {job_id}" for job_id in jobs}
    size = max(map(len, names.values()), default=0)
    # no wider than what leaves the status in the same line of a narrow dialog
    room = _DIALOG_CELLS - size - _STATUS_CELLS - 4
    column = min(room, max(map(width_of, labels.values()), default=0))
    lines: list[Line] = []
    for job_id, job in jobs.items():
        name = (f"{names[job_id]:<{size}}  ", TextRole.STRONG)
        if job is None:
            lines.append((name,))
            continue
        status, role = status_span(job)
        after = continuation_of(job) if with_continuation else ""
        label = labels[job_id] + " " * max(0, column - width_of(labels[job_id]))
        lines.append(
            (
                name,
                (f"{label}  ", TextRole.PLAIN),
                (unbroken(status), role),
                *(((f"  continues {after}", TextRole.MUTED),) if after else ()),
            )
        )
    return lines


def describe_nothing_failed(job: Job, archived: bool) -> str:
    """Return why there is no failed job to go to from this one."""
    if archived:
        return "No other archived job failed" if job.status is Status.FAILED else "No archived job failed"
    return (
        "No other failed job is left to recover"
        if job.status is Status.FAILED
        else "No failed job is left to recover"
    )


_EXPLAINED = 4  # hosts whose estimate the confirmation shows
_WITHOUT_FIGURES = ("refused", "skip")  # actions of EXPLAIN whose note replaces the estimate


def explained_lines(asked: Future[ExecuteResult]) -> list[Line]:
    """Return the lines of EXPLAIN for a compaction, none before it answers."""
    if not asked.done() or asked.cancelled() or asked.exception() is not None:
        return []
    results = asked.result().results
    rows = results[-1].rows if results else ()
    notes = [[] if row.cells[1] in _WITHOUT_FIGURES else row.cells[-1].split("; ") for row in rows]
    shared: list[str] = []
    if len(rows) > 1:
        shared = [note for note in notes[0] if note and all(note in each for each in notes)]
    lines: list[Line] = []
    for row in rows[:_EXPLAINED]:
        host, action, _, *figures, note = row.cells
        # a figure and its unit stay together
        rewrites, room, free, gain, takes = map(unbroken, figures)
        room = f"{room} of {free} free" if room and free else room
        verb = "writes" if action == "flush" else "rewrites"
        known = ((verb, rewrites), ("needs", room), ("gives back", gain), ("", takes))
        text = ", ".join(f"{word} {figure}".strip() for word, figure in known if figure) or "no figures known"
        if isinstance(last := row.values.get("last_took"), float):
            text += f" (last time {unbroken(format_duration(last))})"
        if action in _WITHOUT_FIGURES:
            text = note or text
        else:
            text = "; ".join((text, *(part for part in note.split("; ") if part and part not in shared)))
        lines.append(((f"{host}  ", TextRole.STRONG), (text, TextRole.MUTED)))
    if (more := len(rows) - len(lines)) > 0:
        lines.append(((f"and {format_count(more, 'more host')}{_in_all(rows)}", TextRole.MUTED),))
    return [*lines, ((f"on every host: {'; '.join(shared)}", TextRole.MUTED),)] if shared else lines


def _in_all(rows: Sequence[Row]) -> str:
    """Return what is rewritten and given back on all hosts, "" if that is not known for each."""
    columns = (("rewrites", "Rewrites"), ("gives back", "Gives Back"))
    texts = []
    for word, column in columns:
        sizes = [size for row in rows if isinstance(size := row.values.get(column), int)]
        if len(sizes) == len(rows):
            texts.append(f"{word} ≈ {format_bytes(sum(sizes))}")
    return f"; in all: {', '.join(texts)}" if texts else ""
