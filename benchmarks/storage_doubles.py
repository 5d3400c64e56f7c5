"""Simulated storages: one answers at once, one reports progress as often as a benchmark requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Level, SpaceStats
from jobtui.storage.base import (
    CompactionFigures,
    CompactionRequest,
    Host,
    OperationControl,
    OperationProgress,
    Pair,
    Placement,
    ProgressCallback,
    Space,
    TaskResult,
)

HOSTS = ("local0", "local1", "local2")
STATS = SpaceStats(levels=(Level(4, 4 << 20),), memtable=0, entries=100, pending=4 << 20)


class InstantStorage:
    """A storage whose tasks end as they begin."""

    is_space_admin = False

    def __init__(self, spaces: Mapping[str, Sequence[str]]) -> None:
        self._spaces = tuple(Space(name, tuple(hosts)) for name, hosts in sorted(spaces.items()))

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def spaces(self) -> tuple[Space, ...]:
        return self._spaces

    async def hosts(self) -> tuple[Host, ...]:
        names = dict.fromkeys(host for space in self._spaces for host in space.hosts)
        return tuple(Host(name, True, "", 1, 4000, 10**9) for name in names)

    async def stats(self, space: str, host: str) -> SpaceStats:
        return STATS

    async def find_outage(self, space: str, host: str) -> str:
        return ""

    def can_stall(self, space: str, host: str) -> bool:
        return False

    async def find_stall(self, space: str, host: str) -> str:
        return ""

    async def figures(
        self, space: str, host: str, request: CompactionRequest | None = None
    ) -> CompactionFigures:
        return CompactionFigures()

    async def flush(
        self, space: str, host: str, progress: ProgressCallback, control: OperationControl
    ) -> TaskResult:
        return await self.operate(space, host, progress)

    async def compact(
        self,
        space: str,
        host: str,
        request: CompactionRequest,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        return await self.operate(space, host, progress)

    async def operate(self, space: str, host: str, progress: ProgressCallback) -> TaskResult:
        return TaskResult(STATS, STATS)

    async def create_space(self, name: str, placement: Placement) -> Space:
        raise _unable(name)

    async def drop_space(self, name: str) -> None:
        raise _unable(name)

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        raise _unable(space)

    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        raise _unable(space)
        yield b"", b""


class StormyStorage(InstantStorage):
    """A storage whose tasks run until they are finished by name, and report when the benchmark wants it.

    `at_rest` is the progress of all tasks at the end of a storm.
    """

    at_rest = 0.77

    def __init__(self, spaces: Mapping[str, Sequence[str]]) -> None:
        super().__init__(spaces)
        self._tasks: dict[tuple[str, str], tuple[ProgressCallback, asyncio.Future[TaskResult]]] = {}
        self._turn = 0

    async def operate(self, space: str, host: str, progress: ProgressCallback) -> TaskResult:
        end: asyncio.Future[TaskResult] = asyncio.get_running_loop().create_future()
        self._tasks[space, host] = progress, end
        progress(OperationProgress(0.0))
        try:
            return await end
        finally:
            del self._tasks[space, host]

    @property
    def running(self) -> int:
        """The number of running tasks."""
        return len(self._tasks)

    def report(self, count: int) -> None:
        """Have `count` tasks report their progress, in turn."""
        reports = [progress for progress, _ in self._tasks.values()]
        for _ in range(count if reports else 0):
            self._turn += 1
            place, step = self._turn % len(reports), self._turn // len(reports)
            reports[place](OperationProgress(step % 70 / 100, 1e6))

    def rest(self) -> None:
        """Have every task report its last progress."""
        for progress, _ in self._tasks.values():
            progress(OperationProgress(self.at_rest, 1e6))

    def finish(self, space: str) -> None:
        """End the tasks of a space."""
        for (name, _), (_, end) in list(self._tasks.items()):
            if name == space and not end.done():
                end.set_result(TaskResult(STATS, STATS))


def _unable(space: str) -> StorageError:
    return StorageError(ErrorCode.UNSUPPORTED, "", space, "this storage is a double")
