"""A worker that has done thousands of jobs holds no more than one that has done a few."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from jobtui.storage.local import protocol as p
from jobtui.storage.local.worker import pairs
from jobtui.storage.local.worker import server as serve
from jobtui.storage.local.worker.openers import OwnOpener
from jobtui.storage.local.worker.options import SharedOptions
from jobtui.storage.local.worker.server import WorkerServer
from tests.support.storage import compact, flush, space_at

PAIRS = tuple((b"key%d" % number, bytes(100)) for number in range(10))
ROUNDS = 30
BLOCKS = 120  # 40 to 95 are the interpreter's own; two objects left by each order make 150 more
CACHED = 16 << 10  # bytes: what one tiny database may have in the cache
GROWTH = 256  # KiB in 4,000 rounds: with a leak of 280 bytes for each compaction it is 1,100


class Orders:
    """The requests of `rounds` rounds of load, flush, compaction and measurement, each sent after the reply."""

    def __init__(self, rounds: int) -> None:
        reading, self.answers = os.pipe()
        self._words = os.fdopen(reading, "rb")
        self._numbers = itertools.count(1)
        self._rounds = rounds
        self.blocks: list[int] = []

    def __iter__(self) -> Iterator[bytes]:
        self._words.readline()
        yield from self._done(p.CreateDatabase("nba"))
        for number in range(self._rounds):
            yield from self._done(p.WritePairs("nba", PAIRS, True))
            for order in (
                p.FlushDatabase("nba"),
                p.CompactDatabase("nba"),
                p.ReadStats("nba"),
                p.ReadPairs("nba", number),
            ):
                yield from self._done(order)
            gc.collect()
            self.blocks.append(sys.getallocatedblocks())
        yield from self._done(p.QuitWorker())

    def _done(self, order: p.WorkerCommand) -> Iterator[bytes]:
        number = next(self._numbers)
        yield msgspec.json.encode(p.WorkerRequest(number, order)) + b"\n"
        if isinstance(order, p.QuitWorker):
            return
        while True:
            answer = msgspec.json.decode(self._words.readline(), type=p.WorkerResponse)
            if answer.number == number and not isinstance(answer.reply, p.ProgressReply):
                assert not isinstance(answer.reply, p.FailureReply), answer
                return


def test_finished_work_leaves_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "THREADS", 1)  # each allocates a little when it is first used
    shared = SharedOptions()

    def keep(directory: str, create: bool) -> OwnOpener:
        opener = OwnOpener(tmp_path / directory, shared)
        if create:
            opener.create()
        return opener

    threads = threading.active_count()
    orders = Orders(ROUNDS)
    server = WorkerServer(keep, orders.answers, shared.empty_cache)
    server.run(orders)
    assert shared.cache.get_usage() < CACHED
    assert not server._operations
    pairs.read_pairs(server._database("nba"), 1_000)
    assert shared.cache.get_usage() > 500  # the cache has its room again
    assert not server._database("nba")._state.cursors
    # the lowest of each half: what a round leaves for a moment does not count
    first, last = min(orders.blocks[ROUNDS // 3 : ROUNDS // 2]), min(orders.blocks[ROUNDS // 2 :])
    assert last - first < BLOCKS
    server._threads.shutdown()
    assert threading.active_count() <= threads


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the process through /proc")
def test_memory_is_flat_over_thousands_of_jobs(tmp_path: Path, long: bool) -> None:
    if not long:
        pytest.skip("takes some minutes: --long")

    async def run() -> None:
        async with space_at(tmp_path) as storage:
            held = 0
            for number in range(5_000):
                await storage.load("nba", PAIRS)
                await flush(storage)
                await compact(storage)
                if number == 1_000:
                    held = anonymous(storage.worker("h1", adopted=False).pid)
            assert anonymous(storage.worker("h1", adopted=False).pid) < held + GROWTH

    asyncio.run(run())


def anonymous(pid: int) -> int:
    """KiB of memory that the process has for itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0])
