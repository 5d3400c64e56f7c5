"""How far the running tasks are: posted as it comes, never journaled, and put into the snapshots shown."""

from __future__ import annotations

from msgspec.structs import replace

from jobtui.model import Job, Status


class TaskProgress:
    """Fractions by job and task. Noted in the engine's loop, read by any thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], float | None] = {}

    def note(self, job_id: int, task: int, fraction: float | None) -> None:
        """The task is so far (None: unknown)."""
        self._known[job_id, task] = fraction

    def forget(self, job_id: int, task: int) -> float | None:
        """How far the task had come, and let go of it."""
        return self._known.pop((job_id, task), None)

    def put_into(self, job: Job) -> Job:
        """The job with its running tasks' progress."""
        if job.status is not Status.RUNNING or not self._known:
            return job
        tasks = []
        for task in job.tasks:
            known = task.status is Status.RUNNING and (job.id, task.number) in self._known
            tasks.append(replace(task, progress=self._known[job.id, task.number]) if known else task)
        return replace(job, tasks=tuple(tasks))
