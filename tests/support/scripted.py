"""A storage that a test controls: each operation waits until the test ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Level, SpaceStats, StepPosition
from jobtui.storage.base import (
    CompactionFigures,
    CompactionRequest,
    Host,
    HostGauges,
    OperationControl,
    OperationProgress,
    Pair,
    Placement,
    ProgressCallback,
    Space,
    TaskResult,
)
from tests.support.waiting import PATIENCE, wait_on

FULL = SpaceStats(levels=(Level(4, 4000),), memtable=0, entries=100, pending=4000)
LEAN = SpaceStats(levels=(Level(0, 0), Level(1, 1500)), memtable=0, entries=60, pending=0)


@dataclass(eq=False)
class Operation:
    """A flush or compact requested from a host. Any thread may call its methods."""

    command: str
    space: str
    host: str
    report: ProgressCallback
    control: OperationControl
    loop: asyncio.AbstractEventLoop
    request: CompactionRequest | None = None
    end: asyncio.Future[TaskResult] = field(init=False)
    canceled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.end = self.loop.create_future()

    def finish(self, before: SpaceStats = FULL, after: SpaceStats = LEAN) -> None:
        self._settle(lambda: self.end.set_result(TaskResult(before, after)))

    def stop(self, before: SpaceStats = FULL) -> None:
        self._settle(lambda: self.end.set_result(TaskResult(before, None, stopped=True)))

    def pause(self, steps: StepPosition | None = None) -> None:
        """End after a step, as a pause requested."""
        self._settle(lambda: self.end.set_result(TaskResult(FULL, paused=True, steps=steps)))

    def detach(self) -> asyncio.Future[str]:
        """End as detached; the host is busy until the returned future is done (in the loop)."""
        settled: asyncio.Future[str] = self.loop.create_future()
        self._settle(lambda: self.end.set_result(TaskResult(stopped=True, detached=True, released=settled)))
        return settled

    def fail(self, code: ErrorCode = ErrorCode.IO, detail: str = "the disk says no") -> None:
        self._settle(lambda: self.end.set_exception(StorageError(code, self.host, self.space, detail)))

    def crash(self, error: Exception) -> None:
        """End with an exception that is no StorageError."""
        self._settle(lambda: self.end.set_exception(error))

    def progress(
        self,
        fraction: float | None,
        rate: float | None = None,
        before: SpaceStats | None = None,
        steps: StepPosition | None = None,
        waiting: str = "",
        gauges: HostGauges | None = None,
        log: tuple[str, ...] = (),
        room_needed: int | None = None,
    ) -> None:
        done: Future[None] = Future()

        def report() -> None:
            self.report(OperationProgress(fraction, rate, before, steps, room_needed, waiting, gauges, log))
            done.set_result(None)

        self.loop.call_soon_threadsafe(report)
        done.result(PATIENCE)

    def _settle(self, act: Callable[[], None]) -> None:
        def settle() -> None:
            if not self.end.done():
                act()

        self.loop.call_soon_threadsafe(settle)


class ScriptedStorage:
    """The storage of `spaces` (name → hosts). Operations wait for the test; `auto` ends them at once."""

    is_space_admin = True

    def __init__(self, spaces: dict[str, Sequence[str]], *, auto: bool = False, obey: bool = False) -> None:
        self.catalog = {name: Space(name, tuple(hosts)) for name, hosts in sorted(spaces.items())}
        self.auto = auto
        self.obey = obey
        self.begun: list[Operation] = []
        self.down: dict[str, str] = {}
        self.measured: dict[str, CompactionFigures] = {}
        self.now = FULL
        self.sizes: dict[str, SpaceStats] = {}
        self.outages: dict[str, str] = {}
        self.stalls: dict[str, str] = {}
        self.stall_checks = 0
        self.leaders: dict[str, int] = {}
        self._changed = threading.Condition()

    # ---- for the test

    def operation(self, space: str, host: str, nth: int = 0) -> Operation:
        """Wait for the nth operation on this space and host, and return it."""
        found = self.wait_for(lambda: [o for o in self.begun if (o.space, o.host) == (space, host)][nth:])
        return found[0]

    def wait_for(self, condition: Callable[[], list[Operation]]) -> list[Operation]:
        """Wait until the condition returns a true value, and return it."""
        with self._changed:
            found = wait_on(self._changed, condition)
            assert found, f"only these began: {self.begun}"
            return found

    def wait_for_stall_checks(self, count: int) -> None:
        """Wait until the hosts have been checked for stalls this many times."""
        with self._changed:
            assert wait_on(self._changed, lambda: self.stall_checks >= count), self.stall_checks

    @property
    def under_way(self) -> list[Operation]:
        return [operation for operation in self.begun if not operation.end.done()]

    # ---- TaskRunner

    async def start(self) -> None: ...

    async def close(self) -> None:
        for operation in self.under_way:
            operation.fail(ErrorCode.HOST_DIED, "closed")

    async def spaces(self) -> tuple[Space, ...]:
        return tuple(self.catalog.values())

    async def hosts(self) -> tuple[Host, ...]:
        names = dict.fromkeys(host for space in self.catalog.values() for host in space.hosts)
        return tuple(
            Host(
                name,
                name not in self.down,
                self.down.get(name, ""),
                1,
                self.sizes.get(name, FULL).bytes,
                self.measured.get(name, CompactionFigures()).free or 10**9,
                leaders=self.leaders.get(name),
            )
            for name in sorted(names)
        )

    async def stats(self, space: str, host: str) -> SpaceStats:
        if host in self.down:
            await asyncio.get_running_loop().create_future()
        return self.sizes.get(host, self.now)

    async def find_outage(self, space: str, host: str) -> str:
        return self.outages.get(host, "")

    def can_stall(self, space: str, host: str) -> bool:
        return host in self.stalls

    async def find_stall(self, space: str, host: str) -> str:
        with self._changed:
            self.stall_checks += 1
            self._changed.notify_all()
        return self.stalls.get(host, "")

    async def figures(
        self, space: str, host: str, request: CompactionRequest | None = None
    ) -> CompactionFigures:
        return self.measured.get(host, CompactionFigures())

    async def flush(
        self, space: str, host: str, progress: ProgressCallback, control: OperationControl
    ) -> TaskResult:
        return await self._operate("flush", space, host, progress, control)

    async def compact(
        self,
        space: str,
        host: str,
        request: CompactionRequest,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        return await self._operate("compact", space, host, progress, control, request)

    async def create_space(self, name: str, placement: Placement) -> Space:
        space = Space(name, placement.hosts or ("local0",))
        self.catalog[name] = space
        return space

    async def drop_space(self, name: str) -> None:
        del self.catalog[name]

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        raise StorageError(ErrorCode.UNSUPPORTED, "", space, "a scripted storage holds no pairs")

    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        raise StorageError(ErrorCode.UNSUPPORTED, "", space, "a scripted storage holds no pairs")
        yield b"", b""

    async def _operate(
        self,
        command: str,
        space: str,
        host: str,
        progress: ProgressCallback,
        control: OperationControl,
        request: CompactionRequest | None = None,
    ) -> TaskResult:
        loop = asyncio.get_running_loop()
        operation = Operation(command, space, host, progress, control, loop, request)
        watch = loop.create_task(self._watch(operation))
        with self._changed:
            self.begun.append(operation)
            self._changed.notify_all()
        if self.auto:
            operation.finish()
        try:
            return await operation.end
        finally:
            watch.cancel()

    async def _watch(self, operation: Operation) -> None:
        await operation.control.cancel.wait()
        operation.canceled.set()
        if self.obey:
            operation.stop()
