"""Embedded storages for tests, with real workers and real databases, as few as a test needs."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from jobtui.errors import StorageError
from jobtui.model import DiskReserve, SpaceStats, StepPosition
from jobtui.storage.base import (
    STEP_BYTES,
    CompactionRequest,
    OperationControl,
    OperationProgress,
    Pair,
    Placement,
    TaskResult,
)
from jobtui.storage.local.backend import NO_RESERVE, LocalStorage

ONE: Mapping[str, Path | None] = {"h1": None}
EVERYTHING = CompactionRequest()


@asynccontextmanager
async def storage_at(
    root: Path,
    hosts: Mapping[str, Path | None] = ONE,
    *,
    notices: list[str] | None = None,
    rate: int | None = None,
    step: int = STEP_BYTES,
    reserve: DiskReserve = NO_RESERVE,
) -> AsyncIterator[LocalStorage]:
    """Yield a started storage (of one host, h1), and close it at the end in any case."""
    received = notices if notices is not None else []
    storage = LocalStorage(
        root, hosts, compact_rate=rate, step_bytes=step, reserve=reserve, notice=received.append
    )
    await storage.start()
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def space_at(
    root: Path, hosts: Mapping[str, Path | None] = ONE, *, rate: int | None = None
) -> AsyncIterator[LocalStorage]:
    """Yield a started storage with an empty space `nba` on all its hosts."""
    async with storage_at(root, hosts, rate=rate) as storage:
        await storage.create_space("nba", Placement())
        yield storage


@asynccontextmanager
async def layered(
    root: Path, count: int, megabytes: float, *, rate: int, hosts: Mapping[str, Path | None] = ONE
) -> AsyncIterator[tuple[LocalStorage, dict[bytes, bytes]]]:
    """Yield a storage as `space_at` with a rate, filled at full speed before, and the pairs of `nba`."""
    async with space_at(root, hosts) as storage:
        held = await layers(storage, count, megabytes)
    async with storage_at(root, hosts, rate=rate) as storage:
        for host in hosts:
            await storage.stats("nba", host)
        yield storage, held


class Watched(msgspec.Struct):
    """The reports of an operation, and its `cancel`."""

    fractions: list[float | None] = []
    rates: list[float | None] = []
    steps: list[StepPosition] = []
    room_needed: list[int] = []
    waits: list[str] = []
    log: list[str] = []
    before: list[SpaceStats] = []
    control: OperationControl = msgspec.field(default_factory=OperationControl)
    reported: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    moved: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    on_progress: Callable[[OperationProgress], None] = lambda _: None

    @property
    def cancel(self) -> asyncio.Event:
        return self.control.cancel

    def __call__(self, progress: OperationProgress) -> None:
        if progress.log:
            self.log += progress.log
            return
        self.before += [] if progress.before is None else [progress.before]
        self.fractions.append(progress.fraction)
        self.rates.append(progress.rate)
        self.steps += [] if progress.steps is None else [progress.steps]
        self.room_needed += [] if progress.room_needed is None else [progress.room_needed]
        self.waits.append(progress.waiting)
        self.on_progress(progress)
        self.reported.set()
        if progress.fraction:
            self.moved.set()


async def moving_compact(storage: LocalStorage, watched: Watched) -> asyncio.Future[TaskResult]:
    """A compact of nba on h1 that has reported some progress."""
    compacting = asyncio.ensure_future(compact(storage, watched=watched))
    await watched.moved.wait()
    return compacting


def after_steps(count: int, act) -> Watched:
    """A watcher that acts once, when `count` steps are done."""
    watched = Watched()

    def look(progress) -> None:
        if progress.steps is not None and progress.steps.done == count:
            watched.on_progress = lambda _: None
            act(watched)

    watched.on_progress = look
    return watched


async def flush(
    storage: LocalStorage, host: str = "h1", space: str = "nba", watched: Watched | None = None
) -> TaskResult:
    watched = watched or Watched()
    return await storage.flush(space, host, watched, watched.control)


async def compact(
    storage: LocalStorage,
    host: str = "h1",
    space: str = "nba",
    watched: Watched | None = None,
    request: CompactionRequest = EVERYTHING,
) -> TaskResult:
    watched = watched or Watched()
    return await storage.compact(space, host, request, watched, watched.control)


async def failure_of(work) -> StorageError:
    """Return the StorageError that the work raises."""
    try:
        ended = await work
    except StorageError as error:
        return error
    raise AssertionError(f"it did not fail: {ended}")


async def layers(
    storage: LocalStorage, count: int = 3, megabytes: float = 1, space: str = "nba"
) -> dict[bytes, bytes]:
    """Load and flush the same keys `count` times with new values, and return the pairs."""
    held: dict[bytes, bytes] = {}
    for layer in range(count):
        pairs = layer_pairs(layer, megabytes)
        held.update(pairs)
        await storage.load(space, pairs)
        for one in await storage.spaces():
            if one.name == space:
                for host in one.hosts:
                    await flush(storage, host, space)
    return held


def layer_pairs(layer: int, megabytes: float) -> list[tuple[bytes, bytes]]:
    """Return pairs with incompressible values."""
    rng = random.Random(layer)
    return [(b"key%08d" % number, rng.randbytes(1000)) for number in range(int(megabytes * 1000))]


async def dumped(storage: LocalStorage, space: str = "nba") -> list[Pair]:
    return [pair async for pair in storage.dump(space)]


@contextmanager
def held_open(directory: Path) -> Iterator[None]:
    """Keep the database open in another program until the block ends."""
    code = (
        "import sys; from rocksdict import Rdict, Options; o = Options(raw_mode=True);"
        "db = Rdict(sys.argv[1], options=o, column_families={'default': o});"
        "print('open', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield
    finally:
        process.communicate(b"")
