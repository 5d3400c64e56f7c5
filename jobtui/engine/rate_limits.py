"""The write limits that are in force: the profile's, those of jobs' statements, and those of SET RATE."""

from __future__ import annotations

from msgspec.structs import replace

from jobtui.model import Job, JobCommand

UNLIMITED = 0
"""The limit that SET RATE OFF sets, in bytes a second."""
OF_PROFILE = "compact_rate of the profile"
OF_STATEMENT = "rate of the statement"


def is_limitable(job: Job) -> bool:
    """Return whether a job can have a write limit of its own: an active compaction of this process."""
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
        """The limit that SET RATE set for all jobs; None if it set none, `UNLIMITED` if it lifted it."""
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
        """Return the job with the limit that is in force and its source, if it is an active compaction."""
        if not is_limitable(job):
            return job
        found = self._of_job.get(job.id, self._of_all)
        if found is None and job.options.rate is not None:
            found = job.options.rate, OF_STATEMENT
        if found is None and self._profile_rate is not None:
            found = self._profile_rate, OF_PROFILE
        return job if found is None else replace(job, write_limit=found[0], limited_by=found[1])
