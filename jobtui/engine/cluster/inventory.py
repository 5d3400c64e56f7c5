"""The spaces and hosts of a cluster that manages its jobs itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import SpaceStats
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
