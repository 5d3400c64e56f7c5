"""Which queued jobs an engine may run: the run policy, and the spaces that jobs were submitted to."""

from __future__ import annotations

import enum

from jobtui.model import Job, Status


class RunPolicy(enum.Enum):
    """Which queued jobs an engine runs: all, those of spaces that jobs were submitted to in it, or none."""

    ALL = "all"
    SUBMITTED = "submitted"
    NONE = "none"


class JobAdmission:
    """The policy of one engine; only its loop may change it."""

    def __init__(self, policy: RunPolicy) -> None:
        self.policy = policy
        self._submitted: set[str] = set()

    def may_run(self, job: Job) -> bool:
        """Return whether this process may run the job, which is queued or running."""
        if job.origin is not None:
            return False  # its cluster runs it
        if job.status is Status.RUNNING or self.policy is RunPolicy.ALL:
            return True
        return self.policy is RunPolicy.SUBMITTED and job.space in self._submitted

    def note_submitted(self, space: str) -> None:
        """Admit the jobs of a space from now on under SUBMITTED: a job was submitted to it here."""
        self._submitted.add(space)

    def admit_submitted(self) -> None:
        """Run what is submitted from now on, also if nothing was to run before."""
        if self.policy is RunPolicy.NONE:
            self.policy = RunPolicy.SUBMITTED
