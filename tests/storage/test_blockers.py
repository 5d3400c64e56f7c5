"""What is asked before an operation: whether the host is down, and whether RocksDB holds its writes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from jobtui.storage.base import Placement
from jobtui.storage.local.worker.database import ColumnFamily, DatabaseHandle
from jobtui.storage.local.worker.options import NO_LIMITS
from jobtui.storage.local.worker.stats import read_stall
from tests.support.adoptable import adoptable
from tests.support.storage import space_at, storage_at

RATE = 2048  # bytes a second, so that the compaction that would end the stall does not come through


@pytest.fixture
def anyio_backend():
    return "asyncio"


@contextmanager
def behind(path: Path, stop_at: int) -> Iterator[DatabaseHandle]:
    """A database with eight files in level 0, of which RocksDB wants at most two."""
    options = Options(raw_mode=True)
    options.set_disable_auto_compactions(True)
    database = Rdict(str(path), options)
    for _ in range(8):
        for number in range(20):
            database[b"key%d" % number] = os.urandom(400)
        database.flush()
    database.close()
    options = Options(raw_mode=True)
    options.set_level_zero_file_num_compaction_trigger(2)
    options.set_level_zero_slowdown_writes_trigger(3)
    options.set_level_zero_stop_writes_trigger(stop_at)
    options.set_ratelimiter(RATE, 100_000, 10)
    database = Rdict(str(path), options, column_families={"default": options})
    try:
        yield DatabaseHandle(database, (ColumnFamily("default", database),), options, NO_LIMITS)
    finally:
        database.cancel_all_background(False)
        with contextlib.suppress(Exception):  # "Shutdown in progress", in the midst of its compaction
            database.close()


class TestStall:
    def test_stopped(self, tmp_path):
        with behind(tmp_path / "db", 4) as handle:
            assert read_stall(handle) == "writes are stopped"

    def test_limited(self, tmp_path):
        with behind(tmp_path / "db", 40) as handle:
            assert read_stall(handle) == "writes are limited to 2 KiB/s"


@pytest.mark.anyio
class TestHost:
    async def test_nothing_is_started_or_opened(self, tmp_path):
        async with storage_at(tmp_path) as storage:
            await storage.create_space("nba", Placement())
        async with storage_at(tmp_path) as storage:
            assert (await storage.find_outage("nba", "h1"), await storage.find_stall("nba", "h1")) == ("", "")
            assert not storage._workers

    async def test_open_database_is_asked(self, tmp_path):
        async with space_at(tmp_path) as storage:
            await storage.stats("nba", "h1")
            assert await storage.find_stall("nba", "h1") == ""

    async def test_asked_only_while_pairs_are_loaded(self, tmp_path):
        async with space_at(tmp_path) as storage:
            assert not storage.can_stall("nba", "h1")
            loading = asyncio.ensure_future(storage.load("nba", [(b"key", b"value")] * 20_000))
            await asyncio.sleep(0)
            assert storage.can_stall("nba", "h1")
            await loading
            assert not storage.can_stall("nba", "h1")

    async def test_missing_directory(self, tmp_path):
        async with space_at(tmp_path) as storage:
            directory = storage.catalog.directories["h1"]
            directory.rename(tmp_path / "elsewhere")
            assert await storage.find_outage("nba", "h1") == f"{directory}: No such file or directory"
            (tmp_path / "elsewhere").rename(directory)
            assert await storage.find_outage("nba", "h1") == ""

    async def test_process_that_keeps_dying(self, tmp_path):
        async with space_at(tmp_path) as storage:
            worker = storage.worker("h1", adopted=False)
            while not worker.crash_reason:
                await storage.stats("nba", "h1")
                os.kill(worker.pid, signal.SIGKILL)
                with contextlib.suppress(Exception):
                    await storage.stats("nba", "h1")
            assert await storage.find_outage("nba", "h1")
            assert await storage.find_stall("nba", "h1") == ""

    async def test_adopted_database(self, tmp_path):
        directory = adoptable(tmp_path / "foreign")
        async with storage_at(tmp_path / "root", {}) as storage:
            await storage.create_space("chain", Placement(directories=(str(directory),)))
            assert await storage.find_outage("chain", str(directory)) == ""
            shutil.rmtree(directory)
            assert await storage.find_outage("chain", str(directory))
