"""What of a job can be copied."""

from __future__ import annotations

from jobtui.model import Job, Status
from jobtui.tui import units


def copyable(job: Job) -> list[tuple[str, str, str]]:
    """A key, a title and the text for each thing worth copying; what a job lacks is left out."""
    offers = [
        ("i", "id", str(job.id)),
        ("r", "row", row_text(job)),
        ("s", "statement", f"SHOW JOB {job.id}"),
    ]
    reason = job.reason or next((task.reason for task in job.tasks if task.reason), "")
    if reason:
        offers.insert(2, ("e", "reason", reason))
    if job.status in (Status.FAILED, Status.STOPPED):
        offers.append(("c", "recovery", f"RECOVER JOB {job.id}"))
    return offers


def row_text(job: Job) -> str:
    """The job's row as text parted by tabs: what a spreadsheet takes."""
    return "\t".join(
        (
            str(job.id),
            job.label,
            job.status.value,
            units.moment(job.start),
            units.moment(job.stop),
            units.duration(job.took),
            job.reason,
        )
    )
