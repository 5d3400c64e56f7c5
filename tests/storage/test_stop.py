"""A stop is real: the work ends, the data is intact, and the next operation works."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from jobtui.storage.base import CompactionRequest
from jobtui.storage.local.worker import operations
from jobtui.storage.local.worker.database import Database
from jobtui.storage.local.worker.openers import OwnOpener
from jobtui.storage.local.worker.operations import Cancellation
from jobtui.storage.local.worker.options import SharedOptions, WriteLimits
from jobtui.storage.local.worker.pairs import write_pairs
from jobtui.storage.local.worker.stats import sum_property
from tests.support.interleavings import Meeting, Steps, expect, meet_everywhere
from tests.support.storage import (
    Watched,
    compact,
    dumped,
    flush,
    layer_pairs,
    layered,
    layers,
    moving_compact,
    space_at,
    storage_at,
)


def test_stopped_compact_keeps_all_data_and_next_one_works(tmp_path):
    async def run():
        async with layered(tmp_path, 3, 4, rate=8 << 20) as (storage, held):
            pid = storage.worker("h1", adopted=False).pid
            for _ in range(3):
                watched = Watched()
                compacting = await moving_compact(storage, watched)
                watched.cancel.set()
                outcome = await compacting
                assert outcome.stopped
                assert not outcome.detached
                assert outcome.before.files == outcome.after.files == 3
            assert storage.worker("h1", adopted=False).pid == pid
            outcome = await compact(storage)
            assert not outcome.stopped
            assert outcome.after.files == 1
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_stopped_compact_that_only_moved_a_file_is_stopped(tmp_path):
    async def run():
        async with layered(tmp_path, 1, 3, rate=1 << 20) as (storage, held):
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            watched.cancel.set()
            assert (await compacting).stopped
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_stop_during_slow_work_needs_no_kill(tmp_path):
    notices: list[str] = []

    async def run():
        async with layered(tmp_path, 2, 2, rate=64 << 20) as (_, held):
            pass
        async with storage_at(tmp_path, notices=notices, rate=200_000) as storage:
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            pid = storage.worker("h1", adopted=False).pid
            watched.cancel.set()
            assert (await compacting).stopped
            assert storage.worker("h1", adopted=False).pid == pid
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())
    assert notices == []


def test_stop_before_the_start_needs_no_worker(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await storage.close()
            for work in (flush, compact):
                watched = Watched()
                watched.cancel.set()
                assert (await work(storage, watched=watched)).stopped
            assert storage.worker("h1", adopted=False).pid is None

    asyncio.run(run())


def test_stop_right_after_start_accounts_for_every_file(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            held = await layers(storage, 2, 0.5)
            for turn in range(20):
                watched = Watched()
                compacting = asyncio.ensure_future(
                    storage.compact("nba", "h1", CompactionRequest(), watched, watched.control)
                )
                for _ in range(turn):
                    await asyncio.sleep(0.002)  # each turn the stop comes a little later; any moment is right
                watched.cancel.set()
                outcome = await compacting
                if not outcome.stopped:
                    assert outcome.after.files == 1
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_stopped_flush_loses_nothing(tmp_path):
    async def run():
        async with space_at(tmp_path, rate=1 << 20) as storage:
            pairs = [(b"key%06d" % number, os.urandom(1000)) for number in range(4000)]
            await storage.load("nba", pairs)
            watched = Watched()
            flushing = asyncio.ensure_future(storage.flush("nba", "h1", watched, watched.control))
            await watched.reported.wait()
            watched.cancel.set()
            await flushing
            assert await dumped(storage) == pairs
            assert (await storage.stats("nba", "h1")).bytes + (
                await storage.stats("nba", "h1")
            ).memtable > 4_000_000

    asyncio.run(run())


def test_unresponsive_worker_is_killed_and_restarted(tmp_path, monkeypatch):
    monkeypatch.setattr("jobtui.storage.local.supervisor.GRACE_SECONDS", 0.2)

    async def run():
        async with layered(tmp_path, 2, 4, rate=8 << 20) as (storage, held):
            worker = storage.worker("h1", adopted=False)
            pid = worker.pid
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            os.kill(pid, signal.SIGSTOP)
            watched.cancel.set()
            assert (await compacting).stopped
            assert not exists(pid)
            outcome = await compact(storage)
            assert outcome.after.files == 1
            assert worker.pid != pid
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_canceled_caller_stops_its_work(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 3, rate=4 << 20) as (storage, held):
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            compacting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await compacting
            assert (await flush(storage)).after.files == 2
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_closing_ends_running_work(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 2, rate=2 << 20) as (storage, _):
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            pid = storage.worker("h1", adopted=False).pid
            await storage.close()
            assert not exists(pid)
            assert (await compacting).stopped

    asyncio.run(run())


def test_early_stop_takes_effect_exactly_once():
    struck: list[str] = []
    halt = Cancellation()
    halt.request()
    assert halt.is_requested
    assert not halt.interrupted
    with halt.on_cancel(lambda: struck.append("first")):
        assert struck == ["first"]
        halt.request()
    with halt.on_cancel(lambda: struck.append("second")):
        pass
    assert struck == ["first"]


class TestStopAtAnyInstruction:
    """At any instruction of another thread, a stop takes effect once, not after the block."""

    def test_two_requests(self):
        def scenario(meeting: Meeting) -> Steps:
            halt, struck = watched_cancellation(meeting), list[str]()
            block = halt.on_cancel(lambda: struck.append("struck"))
            block.__enter__()

            def check() -> None:
                block.__exit__(None, None, None)
                assert struck == ["struck"]

            return halt.request, halt.request, check

        meet_everywhere(scenario, Cancellation.request, Cancellation._interrupt)

    def test_request_while_a_block_begins_late(self):
        def scenario(meeting: Meeting) -> Steps:
            halt, struck = watched_cancellation(meeting), list[str]()
            halt.request()
            block = halt.on_cancel(lambda: struck.append("struck"))
            return block.__enter__, halt.request, lambda: expect(struck, ["struck"])

        meet_everywhere(scenario, Cancellation.on_cancel, Cancellation._interrupt)

    @pytest.mark.parametrize("is_first", [True, False])
    def test_request_while_a_block_begins(self, is_first: bool):
        def scenario(meeting: Meeting) -> Steps:
            halt, struck = watched_cancellation(meeting), list[str]()
            block = halt.on_cancel(lambda: struck.append("struck"))
            calls = (halt.request, block.__enter__) if is_first else (block.__enter__, halt.request)
            return *calls, lambda: expect(struck, ["struck"])

        meet_everywhere(scenario, Cancellation.on_cancel, Cancellation.request, Cancellation._interrupt)

    @pytest.mark.parametrize("is_first", [True, False])
    def test_request_while_a_block_ends(self, is_first: bool):
        def scenario(meeting: Meeting) -> Steps:
            halt, log = watched_cancellation(meeting), list[str]()
            block = halt.on_cancel(lambda: log.append("struck"))
            block.__enter__()

            def leave() -> None:
                block.__exit__(None, None, None)
                log.append("left")

            calls = (halt.request, leave) if is_first else (leave, halt.request)
            return *calls, lambda: expect(log[-1], "left")

        meet_everywhere(scenario, Cancellation.on_cancel, Cancellation.request, Cancellation._interrupt)


def watched_cancellation(meeting: Meeting) -> Cancellation:
    halt = Cancellation()
    halt._lock = meeting.lock()
    return halt


def test_late_stop_has_no_effect():
    struck: list[str] = []
    halt = Cancellation()
    with halt.on_cancel(lambda: struck.append("struck")):
        pass
    halt.request()
    assert struck == []
    assert not halt.interrupted


def test_stop_does_not_wait_for_a_flush_under_way(tmp_path):
    under_way: list[int] = []

    class Watching(operations.Flush):
        def _attempt(self, handle):
            answer = super()._attempt(handle)
            under_way.append(sum_property(handle, "num-immutable-mem-table"))
            return answer

    opener = OwnOpener(tmp_path / "db", SharedOptions(WriteLimits(rate=20_000)))
    opener.create()
    database, halt = Database(opener), Cancellation()
    write_pairs(database, layer_pairs(1, 0.04), sync=False)

    def stop_at_first_write(progress):
        if progress.before is None:
            halt.request()

    assert Watching(database, halt, stop_at_first_write).run().stopped
    assert under_way == [1]
    database.close()


def test_flush_that_was_stopped_before_starts_nothing(tmp_path, monkeypatch):
    started: list[bool] = []
    monkeypatch.setattr(operations, "flush_families", lambda _, *, wait: started.append(wait))
    opener = OwnOpener(tmp_path / "db", SharedOptions())
    opener.create()
    database, halt = Database(opener), Cancellation()
    write_pairs(database, [(b"key", b"value")], sync=False)
    halt.request()
    assert operations.flush(database, halt, lambda _: None).stopped
    assert started == []
    database.close()


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
