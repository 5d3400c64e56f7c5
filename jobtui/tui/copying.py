"""What of a job can be copied."""

from __future__ import annotations

from jobtui.language import unparse
from jobtui.language.ast import Submit
from jobtui.model import Command, Job, Status
from jobtui.tui import units


def copyable(job: Job) -> list[tuple[str, str, str]]:
    """A key, a title and the text for each thing worth copying; what a job lacks is left out."""
    offers = [("i", "id", str(job.id)), ("r", "row", row_text(job))]
    statement = statement_of(job)
    if statement:
        offers.append(("s", "statement", statement))
    reason = job.reason or next((task.reason for task in job.tasks if task.reason), "")
    if reason:
        offers.insert(2, ("e", "reason", reason))
    if job.status in (Status.FAILED, Status.STOPPED):
        offers.append(("c", "recovery", f"RECOVER JOB {job.id}"))
    return offers


def statement_of(job: Job) -> str:
    """Return the statement that makes such a job, `ADMIN COMPACT nba`; "" if the language has none."""
    if job.command not in set(Command):
        return ""  # a cluster has jobs of other kinds
    try:
        return unparse(Submit(job.command, job.space))
    except ValueError:
        return ""  # no statement can hold the name


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
