"""The progress of running tasks: published as it arrives, and part of the snapshots of jobs.

It is not committed to the history. The stats from before a task are written with the task's end.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from jobtui.engine.rate_limits import RateLimits
from jobtui.model import Job, SpaceStats, Status, StepPosition, Task
from jobtui.storage.base import HostGauges, OperationProgress

# called with the id of a job, the number of a task of it, and what was measured on its host
GaugeListener = Callable[[int, int, HostGauges], None]


class LiveProgress(msgspec.Struct, frozen=True):
    """The progress of one task.

    Attributes:
        fraction: 0 to 1, None if it is not known.
        before: The stats of its host when the work began, None until the host has reported them.
        steps: The finished steps, None until one has been reported.
        waiting: Why it is waiting, "" if it is not.
        room_needed: The bytes of disk that the current or next step needs, None until they have been reported.
    """

    fraction: float | None = None
    before: SpaceStats | None = None
    steps: StepPosition | None = None
    waiting: str = ""
    room_needed: int | None = None


_NOTHING = LiveProgress()


class ProgressTracker:
    """The progress of every running task.

    The engine's loop changes it; any thread may read it.
    """

    def __init__(self, limits: RateLimits, on_gauges: GaugeListener = lambda job, task, gauges: None) -> None:
        self._limits = limits
        self._on_gauges = on_gauges
        self._known: dict[tuple[int, int], LiveProgress] = {}

    def update(self, job_id: int, task: int, progress: OperationProgress) -> None:
        """Update the progress of a task; values that are not reported stay unchanged."""
        if progress.gauges is not None:
            self._on_gauges(job_id, task, progress.gauges)
        known = self._known.get((job_id, task), _NOTHING)
        self._known[job_id, task] = LiveProgress(
            progress.fraction,
            progress.before or known.before,
            progress.steps or known.steps,
            progress.waiting,
            known.room_needed if progress.room_needed is None else progress.room_needed,
        )

    def pop(self, job_id: int, task: int) -> LiveProgress:
        """Remove a task, and return its last progress."""
        return self._known.pop((job_id, task), _NOTHING)

    def apply_to(self, job: Job) -> Job:
        """Return the job with the progress of its running tasks, and with its write limit."""
        job = self._limits.apply_to(job)
        if job.status is not Status.RUNNING or not self._known:
            return job
        tasks = []
        for task in job.tasks:
            live = self._known.get((job.id, task.number)) if task.status is Status.RUNNING else None
            tasks.append(task if live is None else _with_progress(task, live))
        return replace(job, tasks=tuple(tasks))


def _with_progress(task: Task, live: LiveProgress) -> Task:
    return replace(
        task,
        progress=live.fraction,
        before=task.before or live.before,
        steps=live.steps or task.steps,
        waiting=live.waiting,
        room_needed=live.room_needed,
    )
