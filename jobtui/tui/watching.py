"""How the end of a watched job is told."""

from __future__ import annotations

from collections.abc import Sequence

from jobtui.model import Job, Status
from jobtui.tui import units
from jobtui.tui.glyphs import GLYPH

# the worst first
_SEVERITY = {Status.FAILED: "error", Status.STOPPED: "warning", Status.FINISHED: "information"}


def endings(jobs: Sequence[Job]) -> tuple[str, str]:
    """What to say of jobs that have ended together, and how grave the worst of it is."""
    if len(jobs) == 1:
        return ending(jobs[0])
    by_status = {status: [job.id for job in jobs if job.status is status] for status in _SEVERITY}
    parts = [
        f"{GLYPH[status]} {units.ids(sorted(ids))} {status.value}" for status, ids in by_status.items() if ids
    ]
    worst = [severity for status, severity in _SEVERITY.items() if by_status[status]]
    return f"{units.many(len(jobs), 'job')} ended: {', '.join(parts)}", worst[0]


def ending(job: Job) -> tuple[str, str]:
    """What to say of a job that has ended, and how grave it is."""
    took = f" after {units.duration(job.took)}" if job.took is not None else ""
    given = job.reclaimed
    back = f", {units.size(given)} given back" if job.status is Status.FINISHED and given and given > 0 else ""
    reason = f": {job.reason}" if job.reason else ""
    text = f"{GLYPH[job.status]} job {job.id} {job.label} {job.status.value}{took}{back}{reason}"
    return text, _SEVERITY.get(job.status, "information")
