"""How far the running tasks are, and what they began with: posted as it comes, put into the snapshots shown.

Neither is journaled: what a task began with is written with its end.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from jobtui.model import Job, Stats, Status


class Seen(msgspec.Struct, frozen=True):
    """How far a task is (0..1, None: unknown), and what its host held when the work began, once it has told."""

    fraction: float | None = None
    before: Stats | None = None


_NOTHING = Seen()


class TaskProgress:
    """What is known by job and task. Noted in the engine's loop, read by any thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Seen] = {}

    def note(self, job_id: int, task: int, fraction: float | None, before: Stats | None = None) -> None:
        """The task is so far (None: unknown); a `before` of None leaves what was told."""
        known = self._known.get((job_id, task), _NOTHING)
        self._known[job_id, task] = Seen(fraction, before or known.before)

    def forget(self, job_id: int, task: int) -> Seen:
        """What was known of the task, and let go of it."""
        return self._known.pop((job_id, task), _NOTHING)

    def put_into(self, job: Job) -> Job:
        """The job with what is known of its running tasks."""
        if job.status is not Status.RUNNING or not self._known:
            return job
        tasks = []
        for task in job.tasks:
            seen = self._known.get((job.id, task.number)) if task.status is Status.RUNNING else None
            tasks.append(task if seen is None else replace(task, progress=seen.fraction, before=seen.before))
        return replace(job, tasks=tuple(tasks))
