"""The interface by which statements act on jobs, whether this process runs the tasks or a cluster does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from jobtui.model import Job
from jobtui.storage.base import Space


class SubmittedJobs(msgspec.Struct, frozen=True):
    """The jobs that a request made, in order, and what the user should know of it ("": nothing)."""

    jobs: tuple[Job, ...]
    notice: str = ""


class StopCount(msgspec.Struct, frozen=True):
    """The number of jobs that were asked to stop, and of their tasks that had not ended."""

    jobs: int
    tasks: int


class JobControl(Protocol):
    """What can be done with jobs; for the engine's loop alone.

    `Dispatcher` implements it for storage whose tasks this process runs, `ClusterRequests` for a cluster
    that manages its jobs itself. Each method raises StatementRefused with the reason if the request is not
    possible, StoreError if the history's disk did not take the change, and StorageError if the storage is
    not reachable. A request that raises has changed nothing, unless the text says otherwise.
    """

    @property
    def outlives_engine(self) -> bool:
        """Whether running jobs continue when this process ends."""
        ...

    async def take_over(self) -> None:
        """Decide at the start what becomes of the jobs that the previous owner left behind."""
        ...

    async def submit(self, command: str, space: Space) -> SubmittedJobs:
        """Create a job that runs `command` on every host of `space`."""
        ...

    async def stop(self, ids: Sequence[int]) -> StopCount:
        """Stop these jobs."""
        ...

    async def recover(self, ids: Sequence[int]) -> SubmittedJobs:
        """Run these ended jobs again, each as a new job."""
        ...

    async def recover_all(self, space: str | None) -> SubmittedJobs:
        """Run all failed and stopped jobs again that were not recovered yet; of `space`, or of all (None)."""
        ...
