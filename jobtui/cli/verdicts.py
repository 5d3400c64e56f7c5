"""How jobs ended: in words on stderr, and as an exit status."""

from __future__ import annotations

from collections.abc import Sequence

from jobtui.cli.exits import Exit
from jobtui.cli.streams import complain
from jobtui.model import Job, Stats, Status
from jobtui.tui.units import duration, size


def judge(jobs: Sequence[Job], status: int, *, quiet: bool) -> int:
    """Say how each job ended, where `quiet` of those alone that did not finish.

    The answer is the exit status with them in it; `status` is what it was without.
    """
    lost = [job for job in jobs if job.status is not Status.FINISHED]
    for job in lost if quiet else jobs:
        complain(verdict(job))
    return Exit.JOB_FAILED if lost and status == Exit.DONE else status


def verdict(job: Job) -> str:
    """`Job 3 (compact nba) finished in 2.4 s, from 1.2 GiB to 612 MiB`; of another end its reason."""
    if job.status is Status.FINISHED:
        took = f" in {duration(job.took)}" if job.took is not None else ""
        note = f"; {job.reason}" if job.reason else ""
        return f"Job {job.id} ({job.label}) finished{took}{_worth(job)}{note}"
    ended = f"{job.status}" if job.status.ended else "did not end as it should"
    reason = job.reason or next((task.reason for task in job.tasks if task.detached), "")
    return f"Job {job.id} ({job.label}) {ended}{': ' if reason else ''}{reason}"


def _worth(job: Job) -> str:
    """What the job changed; "" where the storage does not tell."""
    measured = [
        (task.before, task.after) for task in job.tasks if task.before is not None and task.after is not None
    ]
    if not measured or len(measured) < len(job.tasks):
        return ""
    before, after = ([pair[side] for pair in measured] for side in (0, 1))
    if job.command == "flush":
        written = _in_memory(before) - _in_memory(after)
        return f", {size(written)} of memory written" if written > 0 else ""
    return f", from {size(_on_disk(before))} to {size(_on_disk(after))}"


def _on_disk(stats: Sequence[Stats]) -> int:
    return sum(one.bytes for one in stats)


def _in_memory(stats: Sequence[Stats]) -> int:
    return sum(one.memtable for one in stats)
