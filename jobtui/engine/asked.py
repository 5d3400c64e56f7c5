"""An order to a cluster while it is under way, and what it came to. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from jobtui.model import Job
from jobtui.storage.nebula import Sighting


@dataclass(slots=True, eq=False)
class Asked:
    """A job that the cluster was asked for. `newest`: the highest id that it listed for the space before.

    `twin`: our job that equals it and was under way then, None for none.
    """

    job: int
    space: str
    command: str
    newest: int
    twin: int | None

    def may_have_made(self, sighting: Sighting) -> bool:
        """Whether this may be the order's job."""
        job = sighting.job
        return (sighting.space, job.command) == (self.space, self.command) and job.id > self.newest


@dataclass(frozen=True, slots=True)
class Ordered:
    """What an order came to: our jobs, and a remark for a person."""

    jobs: tuple[Job, ...]
    notice: str = ""
