"""The spaces and hosts of a cluster that manages its jobs itself, and which jobs wait for a host.

A NebulaGraph cluster keeps a job running while one of its hosts is away, for hours if need be: it ends the job,
and begins the next one of the space, only when the host is back and reports. It says so nowhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import NoReturn

from jobtui.errors import ErrorCode, StorageError
from jobtui.formatting import format_local_time
from jobtui.model import Job, SpaceStats, Status
from jobtui.storage.base import (
    Capabilities,
    ClusterJobManager,
    CompactionRequest,
    Host,
    OperationControl,
    Pair,
    Placement,
    ProgressCallback,
    Space,
    TaskResult,
)


class ClusterInventory:
    """Adapts a cluster's spaces and hosts to the interface that the engine uses for any storage.

    The cluster runs its tasks itself: every other operation is refused as unsupported.
    """

    def __init__(self, job_manager: ClusterJobManager) -> None:
        self._job_manager = job_manager

    @property
    def capabilities(self) -> Capabilities:
        """What the cluster can do."""
        return self._job_manager.capabilities

    async def start(self) -> None:
        """Connect in the background."""
        await self._job_manager.start()

    async def close(self) -> None:
        """End the connection."""
        await self._job_manager.close()

    async def spaces(self) -> tuple[Space, ...]:
        """Return the spaces. Raises StorageError."""
        return await self._job_manager.spaces()

    async def hosts(self) -> tuple[Host, ...]:
        """Return the storage hosts. Raises StorageError."""
        return await self._job_manager.hosts()

    async def stats(self, space: str, host: str) -> SpaceStats:
        """Refuse: a cluster does not report it."""
        _refuse(space, "the cluster does not report how large a space is on a host")

    async def flush(
        self, space: str, host: str, progress: ProgressCallback, control: OperationControl
    ) -> TaskResult:
        """Refuse: the cluster runs its tasks itself."""
        _refuse(space, "the cluster runs its tasks itself")

    async def compact(
        self,
        space: str,
        host: str,
        request: CompactionRequest,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        """Refuse: the cluster runs its tasks itself."""
        _refuse(space, "the cluster runs its tasks itself")

    async def create_space(self, name: str, placement: Placement) -> Space:
        """Refuse: spaces are created on embedded storage only."""
        _refuse(name, "CREATE SPACE is for embedded storage only")

    async def drop_space(self, name: str) -> None:
        """Refuse: spaces are dropped on embedded storage only."""
        _refuse(name, "DROP SPACE is for embedded storage only")

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """Refuse: pairs are loaded into embedded storage only."""
        _refuse(space, "loading pairs is for embedded storage only")

    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """Refuse: pairs are dumped from embedded storage only."""
        _refuse(space, "dumping pairs is for embedded storage only")
        yield b"", b""


def _refuse(space: str, why: str) -> NoReturn:
    raise StorageError(ErrorCode.UNSUPPORTED, "", space, why)


class HostOutages:
    """The hosts that are offline; `since` has the time when each was first seen so."""

    def __init__(self) -> None:
        self.since: dict[str, datetime] = {}
        self._known: frozenset[str] | None = None

    def update(self, hosts: Iterable[Host], now: datetime) -> list[str]:
        """Take over the hosts as they were just listed, and return what changed, in words."""
        offline = [host.name for host in hosts if not host.up]
        changed = (
            []
            if self._known is None
            else [f"Host {name} is offline" for name in offline if name in self._known]
        )
        changed += [f"Host {name} is back" for name in self.since if name not in offline]
        self.since = {name: self.since.get(name, now) for name in offline}
        self._known = frozenset(host.name for host in hosts if host.up)
        return changed

    def reasons(self, jobs: Sequence[Job], spaces: Iterable[Space]) -> dict[int, str]:
        """Return, by id, why jobs do not move. `jobs` are those under way."""
        held = {space.name: space.hosts for space in spaces}
        reasons: dict[int, str] = {}
        blocking: dict[str, Job] = {}
        for job in jobs:
            away = [name for name in held.get(job.space, ()) if name in self.since and _waits_for(job, name)]
            if job.status is Status.RUNNING and away:
                reasons[job.id] = self._reason(job, away)
                blocking[job.space] = job
        for job in jobs:
            if job.status is Status.QUEUE and job.space in blocking:
                reasons[job.id] = (
                    f"waits for job {blocking[job.space].id}, which waits for a host that is offline"
                )
        return reasons

    def _reason(self, job: Job, away: Sequence[str]) -> str:
        begin = f"waits for {', '.join(away)}, offline since "
        if job.reason.startswith(begin):
            return job.reason  # another process saw it first
        since = format_local_time(min(self.since[name] for name in away))
        return f"{begin}{since}: the cluster goes on with this space only when the host is back"


def _waits_for(job: Job, host: str) -> bool:
    address = host.rpartition(":")[0] or host
    return any(task.host in (host, address) and not task.status.ended for task in job.tasks)
