"""Compactions in steps: the disk that they take, their time, and what a pause and a stop cost.

The data is levelled, or has a tenth of it again in level 0. RocksDB merges level 0 in one piece, so that
its bytes are the least extra disk of any compaction.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import statistics
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

from benchmarks.compact import bare_compaction
from benchmarks.figures import Outcome, Run, at_most, figure, once
from jobtui.model import Status, Task
from jobtui.storage.base import (
    STEP_BYTES,
    CompactionRequest,
    OperationControl,
    OperationProgress,
    Placement,
    TaskResult,
)
from jobtui.storage.local.backend import LocalStorage
from jobtui.tui.tabs.tasks import remaining_seconds

_HOST, _SPACE = "h1", "nba"
_VALUE = 1000
_BATCH = 5000
_TICK = 0.01


class _Measured(msgspec.Struct, frozen=True):
    """A compaction: bytes before and at most during it, its seconds and steps.

    `bare`: the seconds of one bare call. `loop`: those of a bare call for each step, None if level 0 holds
    files: jobtui plans again before each step, and so merges nothing twice that level 0 was merged into.
    """

    data: int
    peak: int
    ours: float
    bare: float
    loop: float | None
    steps: int


@figure("compact in steps: extra disk ÷ data, levelled, at most", goal=at_most(0.2))
def disk_levelled(run: Run) -> Outcome:
    """The most bytes of the directory during the work, less those before it."""
    return _disk(_measured_levelled(run))


@figure("compact in steps: extra disk ÷ data, a tenth in level 0, at most")
def disk_with_level_0(run: Run) -> Outcome:
    """The same; RocksDB merges level 0 and what it overlaps in the next level at once."""
    measured = _measured_with_level_0(run)
    return msgspec.structs.replace(_disk(measured), limit="level 0 and all that it overlaps is one merge")


@figure("compact in steps ÷ compact_range, bare, levelled", goal=at_most(1.1))
def time_levelled(run: Run) -> Outcome:
    """Each on a copy of the same data, in turn."""
    return _time(_measured_levelled(run))


@figure("compact in steps ÷ compact_range, bare, a tenth in level 0", goal=at_most(1.1))
def time_with_level_0(run: Run) -> Outcome:
    """The same."""
    return _time(_measured_with_level_0(run))


@figure(
    "PAUSE of a compact at full speed until the host is idle, at most ÷ a bare step",
    goal=at_most(2),
    absolute=at_most(2),
)
def pause(run: Run) -> Outcome:
    """From the request at any moment to the result."""
    first = _measured_levelled(run)[0]
    step = first.bare * min(1.0, STEP_BYTES / first.data)
    times = [took for took, _ in _ended(run, lambda control: control.pause.set())]
    note = f"slowest {max(times):.2f} s; a step of a bare one {step:.2f} s"
    outcome = Outcome.worst_of([took / step for took in times], note, "1× for a pause as a step begins")
    return msgspec.structs.replace(outcome, absolute=max(times))


@figure("work lost by a stop ÷ a step, at most", goal=at_most(1))
def lost(run: Run) -> Outcome:
    """The bytes that the worker read, less those of the finished steps."""
    ended = _ended(run, lambda control: control.cancel.set())
    return Outcome.worst_of([in_vain / STEP_BYTES for _, in_vain in ended])


@figure("time left, as shown after a quarter of the work: largest error ÷ the time left", goal=at_most(1))
def time_left(run: Run) -> Outcome:
    """Compacts of different sizes, lengths of values, rates and amounts in level 0."""
    errors = []
    for size, with_level_0, value, rate in _SHAPES[:3] if run.quick else _SHAPES:
        copy = _copy(_filled(run, size, with_level_0=with_level_0, value=value), run)
        shown, left = asyncio.run(_shown_and_left(copy, rate))
        shutil.rmtree(copy)
        errors.append(abs(shown - left) / left)
    each = ", ".join(f"{error:.2f}" for error in errors)
    return Outcome.worst_of(errors, f"median {statistics.median(errors):.2f} of {len(errors)} shapes: {each}")


# megabytes, whether a tenth is in level 0, bytes of a value, bytes a second (None: as fast as it can)
_SHAPES: tuple[tuple[int, bool, int, int | None], ...] = (
    (500, False, 1000, None),
    (500, True, 1000, None),
    (500, False, 1000, 80 << 20),
    (500, True, 1000, 80 << 20),
    (200, False, 100, None),
    (200, False, 100, 30 << 20),
    (500, False, 20_000, None),
    (250, False, 1000, 40 << 20),
    (250, True, 20_000, 40 << 20),
    (1000, False, 1000, 150 << 20),
)


async def _shown_and_left(root: Path, rate: int | None) -> tuple[float, float]:
    """Return the time left that is shown after a quarter of the work, and the time that was left."""
    shown: list[tuple[float, float]] = []
    task = Task(0, _HOST, Status.RUNNING)
    begin = time.perf_counter()

    def look(progress: OperationProgress) -> None:
        nonlocal task
        task = replace(task, progress=progress.fraction, before=task.before or progress.before)
        if not shown and (progress.fraction or 0) >= 0.25:
            estimate = remaining_seconds(task, progress.rate, time.perf_counter() - begin)
            if estimate is not None:
                shown.append((time.perf_counter(), estimate))

    async with _storage(root) as storage:
        begin = time.perf_counter()
        await storage.compact(_SPACE, _HOST, CompactionRequest(), look, OperationControl(rate))
    (at, estimate) = shown[0]
    return estimate, time.perf_counter() - at


@once
def _measured_levelled(run: Run) -> list[_Measured]:
    return _measure_all(run, with_level_0=False)


@once
def _measured_with_level_0(run: Run) -> list[_Measured]:
    return _measure_all(run, with_level_0=True)


def _measure_all(run: Run, *, with_level_0: bool) -> list[_Measured]:
    """Measure each size in several rounds, as the disk spreads single ones from 0.8 to 1.3."""
    sizes, rounds = ((500,), 1) if run.quick else ((500, 1000), 4)
    return [
        _measure(run, size, with_level_0=with_level_0, bare_first=number % 2 == 0)
        for number in range(rounds)
        for size in sizes
    ]


def _disk(all_measured: list[_Measured]) -> Outcome:
    return Outcome.worst_of([(one.peak - one.data) / one.data for one in all_measured], _note(all_measured))


def _time(all_measured: list[_Measured]) -> Outcome:
    loops = [one.loop / one.bare for one in all_measured if one.loop is not None]
    limit = f"{statistics.median(loops):.2f}×: a bare call for each step" if loops else ""
    return Outcome.of([one.ours / one.bare for one in all_measured], _note(all_measured), limit)


def _note(all_measured: list[_Measured]) -> str:
    return "; ".join(
        f"{one.data >> 20} MiB in {one.steps} steps, {(one.peak - one.data) >> 20} MiB more, "
        f"{one.ours:.2f} s, bare {one.bare:.2f} s"
        + (f", bare in steps {one.loop:.2f} s" if one.loop is not None else "")
        for one in all_measured
    )


def _measure(run: Run, size: int, *, with_level_0: bool, bare_first: bool) -> _Measured:
    root = _filled(run, size, with_level_0=with_level_0)
    bare, loop = 0.0, None
    if bare_first:
        bare = _time_bare(root, run)
    if not with_level_0:
        loop = _time_bare(root, run, in_steps=True)
    copy = _copy(root, run)
    data = _size(_database(copy))
    with _peak(_database(copy)) as peak:
        took, result = asyncio.run(_compact(copy))
    shutil.rmtree(copy)
    bare = bare or _time_bare(root, run)
    return _Measured(data, max(peak), took, bare, loop, result.steps.total if result.steps is not None else 0)


def _time_bare(root: Path, run: Run, *, in_steps: bool = False) -> float:
    copy = _copy(root, run)
    with _peak(_database(copy)):  # measuring the directory takes time from both
        seconds, _ = bare_compaction([[str(_database(copy))]], in_steps=in_steps)
    shutil.rmtree(copy)
    return seconds


def _ended(run: Run, end: Callable[[OperationControl], None]) -> list[tuple[float, int]]:
    """Seconds from the request to the result, and the bytes read in vain, at several moments of the work."""
    root = _filled(run, 500, with_level_0=False)
    found = []
    for turn in range(3 if run.quick else 12):
        copy = _copy(root, run)
        found.append(asyncio.run(_end_early(copy, end, after=0.15 + turn * 0.13 % 0.6)))
        shutil.rmtree(copy)
    return found


async def _end_early(root: Path, end: Callable[[OperationControl], None], *, after: float) -> tuple[float, int]:
    control, moved = OperationControl(), asyncio.Event()

    def look(progress: OperationProgress) -> None:
        if progress.fraction:
            moved.set()

    async with _storage(root) as storage:
        pid = storage.worker(_HOST, adopted=False).pid
        assert pid is not None
        was = _bytes_read(pid)
        working = asyncio.ensure_future(storage.compact(_SPACE, _HOST, CompactionRequest(), look, control))
        await moved.wait()
        await asyncio.sleep(after)
        begin = time.perf_counter()
        end(control)
        result = await working
        took = time.perf_counter() - begin
        finished = result.steps.read if result.steps is not None else 0
        return took, _bytes_read(pid) - was - finished


async def _compact(root: Path) -> tuple[float, TaskResult]:
    async with _storage(root) as storage:
        begin = time.perf_counter()
        result = await storage.compact(_SPACE, _HOST, CompactionRequest(), lambda _: None, OperationControl())
        return time.perf_counter() - begin, result


def _filled(run: Run, size: int, *, with_level_0: bool, value: int = _VALUE) -> Path:
    """A storage with this many megabytes in values of this many bytes, made once."""
    root = run.place / f"steps-{size}-{with_level_0}-{value}"
    if not root.exists():
        asyncio.run(_fill(root, size, with_level_0=with_level_0, value=value))
    return root


async def _fill(root: Path, size: int, *, with_level_0: bool, value: int) -> None:
    rng = random.Random(size)
    async with _storage(root) as storage:
        await storage.create_space(_SPACE, Placement())

        async def load(count: int) -> None:
            for start in range(0, count, _BATCH):
                batch = min(_BATCH, count - start)
                keys = [b"%012d" % rng.randrange(10**12) for _ in range(batch)]
                await storage.load(_SPACE, [(key, rng.randbytes(value)) for key in keys])

        await load(size * 1_000_000 // value)
        await storage.compact(_SPACE, _HOST, CompactionRequest(), lambda _: None, OperationControl())
        if with_level_0:
            await load(size * 1_000_000 // value // 10)
            await storage.flush(_SPACE, _HOST, lambda _: None, OperationControl())


@asynccontextmanager
async def _storage(root: Path) -> AsyncIterator[LocalStorage]:
    storage = LocalStorage(root, {_HOST: None})
    await storage.start()
    try:
        if await storage.spaces():
            await storage.stats(_SPACE, _HOST)
        yield storage
    finally:
        await storage.close()


@contextmanager
def _peak(directory: Path) -> Iterator[list[int]]:
    """Within the block, measure the directory's size again and again."""
    sizes = [_size(directory)]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_TICK):
            sizes.append(_size(directory))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def _size(directory: Path) -> int:
    size = 0
    for entry in os.scandir(directory):
        try:
            size += entry.stat().st_size
        except FileNotFoundError:
            continue  # a file that was merged this moment
    return size


def _bytes_read(pid: int) -> int:
    """The bytes that the process has read, from the disk or from memory."""
    return int(Path(f"/proc/{pid}/io").read_text().partition("rchar: ")[2].split()[0])


def _copy(root: Path, run: Run) -> Path:
    to = run.directory("copy") / "storage"
    shutil.copytree(root, to)
    for path in to.rglob("*.sst"):
        path.read_bytes()
    os.sync()
    return to


def _database(root: Path) -> Path:
    return root / _HOST / _SPACE
