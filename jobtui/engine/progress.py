"""The progress of running tasks: published as it comes, and shown in the snapshots of jobs.

It is not committed to the history. What a host held when a task began is written with the task's end.
"""

from __future__ import annotations

import asyncio

import msgspec
from msgspec.structs import replace

from jobtui.engine.lifecycle import TaskOutcome
from jobtui.model import Job, SpaceStats, Status
from jobtui.storage.base import OperationControl, TaskResult

DETACHED = "no longer waiting; the host goes on"


class LiveProgress(msgspec.Struct, frozen=True):
    """The progress of one task.

    `fraction`: 0 to 1, None if it is not known; `before`: what its host held when the work began, None
    until the host has reported that.
    """

    fraction: float | None = None
    before: SpaceStats | None = None


_NOTHING = LiveProgress()


class ProgressTracker:
    """The progress of every running task. The engine's loop changes it; any thread may read it."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], LiveProgress] = {}

    def update(self, job_id: int, task: int, fraction: float | None, before: SpaceStats | None = None) -> None:
        """Set how far a task is (None: not known); a `before` of None keeps the earlier one."""
        known = self._known.get((job_id, task), _NOTHING)
        self._known[job_id, task] = LiveProgress(fraction, before or known.before)

    def pop(self, job_id: int, task: int) -> LiveProgress:
        """Remove a task, and return what was known of it."""
        return self._known.pop((job_id, task), _NOTHING)

    def apply_to(self, job: Job) -> Job:
        """Return the job with the progress of its running tasks."""
        if job.status is not Status.RUNNING or not self._known:
            return job
        tasks = []
        for task in job.tasks:
            live = self._known.get((job.id, task.number)) if task.status is Status.RUNNING else None
            tasks.append(task if live is None else replace(task, progress=live.fraction, before=live.before))
        return replace(job, tasks=tuple(tasks))


class RunningTask(msgspec.Struct):
    """One task under way on a host; the times are the steady clock's."""

    job: int
    task: int
    host: str
    control: OperationControl = msgspec.field(default_factory=OperationControl)
    started_at: float = 0.0
    last_sign: float = 0.0
    released: asyncio.Future[None] | None = None  # done when the host has ended work that is not waited for
    recorded: bool = False  # its end has been written, though the host may go on


def outcome_of(outcome: TaskResult) -> TaskOutcome:
    """Return how a task ended whose storage returned `outcome`."""
    if not outcome.stopped and not outcome.detached:
        return TaskOutcome(Status.FINISHED, before=outcome.before, after=outcome.after, reason=outcome.note)
    reason = DETACHED if outcome.detached else ""
    return TaskOutcome(
        Status.STOPPED, before=outcome.before, after=outcome.after, reason=reason, detached=outcome.detached
    )
