"""How the end of a watched job is told."""

from __future__ import annotations

from jobtui.model import Job, Status
from jobtui.tui import units
from jobtui.tui.glyphs import GLYPH

_SEVERITY = {Status.FINISHED: "information", Status.FAILED: "error", Status.STOPPED: "warning"}


def ending(job: Job) -> tuple[str, str]:
    """What to say of a job that has ended, and how grave it is."""
    took = f" after {units.span(job.took)}" if job.took is not None else ""
    given = job.reclaimed
    back = f", {units.size(given)} given back" if job.status is Status.FINISHED and given and given > 0 else ""
    reason = f": {job.reason}" if job.reason else ""
    text = f"{GLYPH[job.status]} job {job.id} {job.label} {job.status.value}{took}{back}{reason}"
    return text, _SEVERITY.get(job.status, "information")
