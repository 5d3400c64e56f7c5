"""What of a cluster is no job: its spaces and hosts, under the face that the engine asks any storage by.

The work itself is the cluster's: asking for it here is a defect, and is refused like all that a cluster
can't do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

from jobtui.errors import Code, StorageError
from jobtui.model import Stats
from jobtui.storage.base import Capabilities, Host, JobMirror, Outcome, Pair, Placement, Report, Space


class MirrorPlaces:
    """A `TaskRunner` that runs no task: see the module."""

    def __init__(self, mirror: JobMirror) -> None:
        self._mirror = mirror

    @property
    def capabilities(self) -> Capabilities:
        """See `TaskRunner.capabilities`."""
        return self._mirror.capabilities

    async def start(self) -> None:
        """See `JobMirror.start`."""
        await self._mirror.start()

    async def close(self) -> None:
        """See `JobMirror.close`."""
        await self._mirror.close()

    async def spaces(self) -> tuple[Space, ...]:
        """See `JobMirror.spaces`."""
        return await self._mirror.spaces()

    async def hosts(self) -> tuple[Host, ...]:
        """See `JobMirror.hosts`."""
        return await self._mirror.hosts()

    async def stats(self, space: str, host: str) -> Stats:
        """Refused: a cluster does not tell."""
        _refuse(space, "the cluster does not tell how large a space is on a host")

    async def flush(self, space: str, host: str, progress: Report, cancel: asyncio.Event) -> Outcome:
        """Refused: the cluster runs its tasks itself."""
        _refuse(space, "the cluster runs its tasks itself")

    async def compact(self, space: str, host: str, progress: Report, cancel: asyncio.Event) -> Outcome:
        """Refused: the cluster runs its tasks itself."""
        _refuse(space, "the cluster runs its tasks itself")

    async def create_space(self, name: str, placement: Placement) -> Space:
        """Refused."""
        _refuse(name, "CREATE SPACE is for embedded storage only")

    async def drop_space(self, name: str) -> None:
        """Refused."""
        _refuse(name, "DROP SPACE is for embedded storage only")

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """Refused."""
        _refuse(space, "loading pairs is for embedded storage only")

    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """Refused."""
        _refuse(space, "dumping pairs is for embedded storage only")
        yield b"", b""


def _refuse(space: str, why: str) -> NoReturn:
    raise StorageError(Code.UNSUPPORTED, "", space, why)
