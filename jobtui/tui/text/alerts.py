"""Texts about what is wrong (shown under the header) and about jobs that have ended (shown as toasts)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobtui.formatting import (
    format_bytes,
    format_count,
    format_duration,
    format_ids,
    format_local_time,
)
from jobtui.model import ConnectionState, ConnectionStatus, Job, Status
from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.text.status import GLYPH


def current_alarm(context: Context, status_time: datetime) -> tuple[str, str]:
    """Return the kind and the text of the most serious problem; both "" if there is none.

    An alarm that the user dismissed stays hidden while its kind is the same: a text that counts seconds is not
    another alarm.

    Args:
        context: The dashboard's client and clock.
        status_time: When the status of the connection was last received.
    """
    desk = context.desk
    if desk.write_error:
        return desk.write_error, desk.write_error
    if desk.connection is not None:
        key = context.keymap.shown(BY_ID["retry"])
        text = connection_alarm(desk.connection, status_time, context.now(), key)
        if text:
            return f"link {desk.connection.state.value}", text
    damage = _damage(context)
    return damage, damage


def _damage(context: Context) -> str:
    notes = context.desk.history.notes
    if not notes:
        return ""
    others = sorted({job for note in notes[1:] for job in note.jobs}.difference(notes[0].jobs))
    other_jobs = f", of job {format_ids(others)}" if others else ""
    more = f" (and {len(notes) - 1} more{other_jobs})" if len(notes) > 1 else ""
    return f"The history was damaged: {notes[0]}{more}. jobtui history verify reports all of it"


def connection_alarm(status: ConnectionStatus, received: datetime, now: datetime, retry_key: str) -> str:
    """Return what is wrong with a connection; "" if it works, or is being made.

    Args:
        status: The status of the connection.
        received: When it was received, which its `retry_in` counts from.
        now: The time now.
        retry_key: The key that connects at once.
    """
    if status.state is ConnectionState.CONNECTED and status.detail:
        return f"{status.detail[0].upper()}{status.detail[1:]}: what is shown may be from before"
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
    return f"No connection since {format_local_time(status.since)}{reason}. {again[0].upper()}{again[1:]}"


# the most severe first
_SEVERITY = {Status.FAILED: "error", Status.STOPPED: "warning", Status.FINISHED: "information"}


def describe_ends(jobs: Sequence[Job]) -> tuple[str, str]:
    """Return a text about jobs that have ended at the same time, and the worst severity among them."""
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
    is_smaller = job.status is Status.FINISHED and job.reclaimed is not None and job.reclaimed > 0
    reclaimed = f", {format_bytes(job.reclaimed)} reclaimed" if is_smaller else ""
    reason = f": {job.reason}" if job.reason else ""
    text = f"{GLYPH[job.status]} job {job.id} {job.label} {job.status.value}{took}{reclaimed}{reason}"
    return text, _SEVERITY.get(job.status, "information")
