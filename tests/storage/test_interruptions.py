"""Compactions that are interrupted at random on a small disk that fills up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import DiskReserve, StepPosition
from jobtui.storage.base import CompactionRequest, Placement, TaskResult
from jobtui.storage.local.backend import LocalStorage
from tests.support.disks import fill_up, free_bytes
from tests.support.storage import Watched, compact, dumped, layer_pairs, storage_at
from tests.support.waiting import PATIENCE

STEP = 256 << 10
RESERVE = DiskReserve(bytes=4 << 20)
PAIRS = layer_pairs(0, 2)
# what ends a compaction, or changes it; the last four need a disk that has become too full meanwhile
EVENTS = ["stop", "kill", "pause", "rate", "nothing", "room", "stop full", "pause full", "kill full", "no byte"]
ATTEMPTS = 6
TWO_FAMILIES = """
import random, sys
from rocksdict import Options, Rdict

options = Options(raw_mode=True)
options.create_if_missing(True)
options.set_target_file_size_base(128 << 10)
database = Rdict(sys.argv[1], options=options, column_families={"default": options})
families = [database, *(database.create_column_family(name, options) for name in ("edges", "tags"))]
for family in families:
    rng = random.Random(1)
    for number in range(1000):
        family[b"key%08d" % number] = rng.randbytes(1000)
    family.flush(True)
    family.compact_range(None, None)
for family in families[1:]:
    family.close()
database.close()
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("seed", range(30 if metafunc.config.getoption("--long") else 2))


def test_parts_of_an_own_database(tmp_path, small_disk, seed):
    async def run() -> None:
        rng, disk = random.Random(seed), small_disk("24m")
        async with storage_at(tmp_path / "root", {"h1": disk / "h1"}, step=STEP) as storage:
            await storage.create_space("nba", Placement())
            await storage.load("nba", PAIRS)
            await compact(storage)
        cuts = sorted(rng.sample([key for key, _ in PAIRS], 2))
        requests = [CompactionRequest(from_key=cuts[0], to_key=cuts[1]), CompactionRequest(from_key=cuts[1])]
        async with storage_at(
            tmp_path / "root", {"h1": disk / "h1"}, step=STEP, reserve=RESERVE, rate=2 << 20
        ) as storage:
            for request in (*requests, CompactionRequest()):
                await Interruptions(storage, disk, "h1", "nba", rng).work(request)
            assert await dumped(storage) == PAIRS

    asyncio.run(run())


def test_families_of_an_adopted_database(tmp_path, small_disk, seed):
    rng, disk = random.Random(seed), small_disk("24m")
    database = disk / "theirs"
    subprocess.run([sys.executable, "-c", TWO_FAMILIES, database], check=True)

    async def run() -> None:
        async with storage_at(tmp_path / "root", step=STEP, reserve=RESERVE, rate=2 << 20) as storage:
            await storage.create_space("theirs", Placement(directories=(str(database),)))
            expected = await dumped(storage, "theirs")
            for families in (("edges",), ("default", "tags"), ()):
                request = CompactionRequest(families=families)
                await Interruptions(storage, disk, str(database), "theirs", rng).work(request)
            assert await dumped(storage, "theirs") == expected

    asyncio.run(run())


class Interruptions:
    """A compaction that is interrupted after random steps and continued, until it is complete."""

    def __init__(self, storage: LocalStorage, disk: Path, host: str, space: str, rng: random.Random) -> None:
        self._storage, self._disk, self._host, self._space, self._rng = storage, disk, host, space, rng
        self._stuff = disk / "stuff"

    async def work(self, request: CompactionRequest) -> None:
        position: StepPosition | None = None
        for event in [*self._rng.choices(EVENTS, k=ATTEMPTS), "nothing"]:
            watched = Watched()
            resumed = msgspec.structs.replace(request, resume=position)
            working = asyncio.ensure_future(compact(self._storage, self._host, self._space, watched, resumed))
            await self._interrupt(event, watched, working)
            self._stuff.unlink(missing_ok=True)
            outcome = await asyncio.wait_for(_ended(working), PATIENCE)
            if isinstance(outcome, StorageError):
                code = ErrorCode.DISK_FULL if event == "no byte" else ErrorCode.HOST_DIED
                assert (outcome.code, event) == (code, event)
                steps = watched.steps[-1:]
            else:
                assert event not in {"nothing", "room", "rate"} or not (outcome.stopped or outcome.paused)
                assert "started over" not in outcome.note
                steps = [outcome.steps] if outcome.steps is not None else []
            for found in steps:
                assert position is None or found.done >= position.done, "a finished step was lost"
                position = found if found.done else position
        assert position is not None
        assert position.done == position.total

    async def _interrupt(self, event: str, watched: Watched, working: asyncio.Future[TaskResult]) -> None:
        if not await self._until_step(watched, working, self._rng.randrange(3)):
            return
        if event == "rate":
            watched.control.set_rate(self._rng.choice([1 << 20, 8 << 20, 0]))
        elif event in ("room", "stop full", "pause full", "kill full"):
            await self._fill_to_the_reserve(watched, working)
        elif event == "no byte":
            self._suspended(lambda: fill_up(self._stuff))
            await self._until(watched, working, lambda: any(watched.waits))
        action = event.partition(" ")[0]
        if action == "stop":
            watched.control.cancel.set()
        elif action == "pause":
            watched.control.pause.set()
        elif action == "kill" and not working.done() and (pid := self._pid()) is not None:
            os.kill(pid, signal.SIGKILL)

    async def _fill_to_the_reserve(self, watched: Watched, working: asyncio.Future[TaskResult]) -> None:
        """Leave too little room for a step; the compaction waits, and does not take what is left."""
        self._suspended(lambda: self._stuff.write_bytes(bytes(max(0, free_bytes(self._disk) - RESERVE.bytes))))
        await self._until(watched, working, lambda: any(watched.waits))
        assert free_bytes(self._disk) >= RESERVE.bytes - 4 * STEP, "it used the reserve"

    def _suspended(self, act) -> None:
        """Act while the worker is suspended, or it would end while the disk is being filled."""
        pid = self._pid()
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
        act()
        if pid is not None:
            os.kill(pid, signal.SIGCONT)

    def _pid(self) -> int | None:
        return self._storage.worker(self._host, adopted=self._space != "nba").pid

    async def _until_step(self, watched: Watched, working: asyncio.Future[TaskResult], count: int) -> bool:
        return await self._until(watched, working, lambda: len({steps.done for steps in watched.steps}) > count)

    async def _until(self, watched: Watched, working: asyncio.Future[TaskResult], look) -> bool:
        """Wait until it is so; returns False if the compaction has ended before."""
        while not look() and not working.done():
            watched.reported.clear()
            reported = asyncio.ensure_future(watched.reported.wait())
            await asyncio.wait([working, reported], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            assert reported.done() or working.done()
            reported.cancel()
        return not working.done()


async def _ended(working: asyncio.Future[TaskResult]) -> TaskResult | StorageError:
    try:
        return await working
    except StorageError as error:
        return error
