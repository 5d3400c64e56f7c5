"""The progress and the write limits of jobs, published with the snapshots of jobs.

Neither is committed to the history. The stats from before a task are written with the task's end.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from jobtui.model import Job, JobCommand, SpaceStats, Status, StepPosition, Task
from jobtui.storage.base import HostGauges, OperationProgress

# called with the id of a job, the number of a task of it, and what was measured on its host
GaugeListener = Callable[[int, int, HostGauges], None]


UNLIMITED = 0
"""The limit that SET RATE OFF sets, in bytes a second."""
OF_PROFILE = "compact_rate of the profile"
OF_STATEMENT = "rate of the statement"


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


def is_limitable(job: Job) -> bool:
    """Return whether a job can have its own write limit: an active embedded compaction."""
    return not job.status.ended and job.origin is None and job.command == JobCommand.COMPACT


class RateLimits:
    """The write limits of one owner's jobs, in bytes a second for each host.

    The engine's loop changes them; any thread may read them.
    """

    def __init__(self, profile_rate: int | None = None) -> None:
        self._profile_rate = profile_rate
        # a limit and who set it, for all jobs and for single ones
        self._of_all: tuple[int, str] | None = None
        self._of_job: dict[int, tuple[int, str]] = {}

    @property
    def rate(self) -> int | None:
        """The limit of SET RATE for all jobs; None if not set, `UNLIMITED` if it was lifted."""
        return None if self._of_all is None else self._of_all[0]

    def set_rate(self, rate: int, job_id: int | None, requested_by: str) -> None:
        """Set the limit of one job, or of all (None); `UNLIMITED` lifts it."""
        if job_id is None:
            self._of_all = rate, ", ".join(filter(None, (requested_by, "for all jobs")))
            self._of_job = {}
        else:
            self._of_job[job_id] = rate, requested_by

    def rate_of(self, job: Job) -> int | None:
        """Return the limit of a job's tasks, None for the profile's."""
        found = self._of_job.get(job.id, self._of_all)
        return job.options.rate if found is None else found[0]

    def forget(self, job_id: int) -> None:
        """Discard the limit of a job that has ended."""
        self._of_job.pop(job_id, None)

    def apply_to(self, job: Job) -> Job:
        """Return an active compaction with its limit and the source of that; others unchanged."""
        if not is_limitable(job):
            return job
        found = self._of_job.get(job.id, self._of_all)
        if found is None and job.options.rate is not None:
            found = job.options.rate, OF_STATEMENT
        if found is None and self._profile_rate is not None:
            found = self._profile_rate, OF_PROFILE
        return job if found is None else replace(job, write_limit=found[0], limited_by=found[1])


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
