"""Flush, compact, load, dump and stats on real databases."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from datetime import UTC, datetime

import pytest

from jobtui.errors import ErrorCode
from jobtui.model import Level, SpaceStats
from jobtui.storage.base import CompactionRequest, Placement
from jobtui.storage.local.worker import database as worker_database
from jobtui.storage.local.worker import progress
from jobtui.storage.local.worker.compaction import unmoved_files
from jobtui.storage.local.worker.database import MAX_LOG_LINES, LogTail
from jobtui.storage.local.worker.progress import expected_reads
from tests.support.storage import (
    Watched,
    compact,
    dumped,
    failure_of,
    flush,
    layer_pairs,
    layered,
    layers,
    moving_compact,
    space_at,
    storage_at,
)

THREE = {"h1": None, "h2": None, "h3": None}


@pytest.fixture
def in_berlin(monkeypatch):
    with monkeypatch.context() as own:
        own.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def test_flush_empties_the_memtable_into_a_file(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await storage.load("nba", layer_pairs(0, 1))
            before = await storage.stats("nba", "h1")
            assert before.memtable > 1_000_000
            assert before.files == 0
            outcome = await flush(storage)
            assert outcome.before == before
            assert (outcome.after.memtable, outcome.after.files) == (0, 1)
            assert not outcome.stopped
            again = await flush(storage)
            assert again.after.files == 1

    asyncio.run(run())


def test_compact_leaves_one_level_and_every_last_value(tmp_path):
    async def run():
        async with space_at(tmp_path, THREE) as storage:
            held = await layers(storage, 3, 2)
            await storage.load("nba", [(key, None) for key in list(held)[::2]])
            outcomes = await asyncio.gather(*(compact(storage, host) for host in THREE))
            for outcome in outcomes:
                assert outcome.before.files == 4
                assert len([level for level in outcome.after.levels if level.files]) == 1
                assert outcome.after.bytes < outcome.before.bytes / 3
            assert await dumped(storage) == sorted((key, held[key]) for key in list(held)[1::2])

    asyncio.run(run())


def test_progress_rises_to_below_one_and_carries_a_rate(tmp_path):
    async def run():
        async with layered(tmp_path, 3, 4, rate=8 << 20) as (storage, _):
            watched = Watched()
            await storage.compact("nba", "h1", CompactionRequest(), watched, watched.control)
            fractions = watched.fractions
            assert fractions == sorted(fractions)
            assert len(set(fractions)) > 2
            assert fractions[0] >= 0
            assert fractions[-1] <= 0.99
            assert any(rate and rate > 0 for rate in watched.rates)

    asyncio.run(run())


def test_progress_rises_if_all_data_is_in_the_block_cache(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 4, rate=4 << 20) as (storage, _):
            await dumped(storage)
            watched = Watched()
            await storage.compact("nba", "h1", CompactionRequest(), watched, watched.control)
            fractions = watched.fractions
            assert fractions == sorted(fractions)
            assert len(set(fractions)) > 3
            assert fractions[-1] <= 0.99

    asyncio.run(run())


def test_progress_rises_with_few_keys_and_long_values(tmp_path):
    async def run():
        async with layered(tmp_path, 1, 0.9, rate=1 << 20) as (storage, held):
            assert len(held) < 1_000
            watched = Watched()
            await storage.compact("nba", "h1", CompactionRequest(), watched, watched.control)
            assert watched.fractions == sorted(watched.fractions)
            assert len(set(watched.fractions)) > 2
            assert watched.fractions[-1] <= 0.99

    asyncio.run(run())


def test_stats_before_the_work_are_reported_once(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            await layers(storage, 2, 0.1)
            for work in (flush, compact):
                watched = Watched()
                outcome = await work(storage, watched=watched)
                assert watched.before == [outcome.before]

    asyncio.run(run())


def test_compacted_and_empty_databases_can_be_compacted(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            assert (await compact(storage)).after == SpaceStats(levels=(), memtable=0, entries=0, pending=0)
            await layers(storage, 2, 0.5)
            first = await compact(storage)
            second = await compact(storage)
            assert second.before == first.after
            assert second.after.files == 1

    asyncio.run(run())


def test_stats_of_another_space_answer_while_a_compact_runs(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 3, rate=256 << 10) as (storage, _):
            await storage.create_space("test2", Placement())
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            assert (await storage.stats("test2", "h1")).files == 0
            assert (await storage.stats("nba", "h1")).files >= 2
            assert await dumped(storage, "test2") == []
            assert len(await dumped(storage)) == 3000
            assert not compacting.done()
            watched.cancel.set()
            assert (await compacting).stopped

    asyncio.run(run())


def test_writing_continues_during_a_compact(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 3, rate=4 << 20) as (storage, held):
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            for layer in range(5, 8):
                more = [(b"new" + key, value) for key, value in layer_pairs(layer, 0.3)]
                held.update(more)
                await storage.load("nba", more)
            outcome = await compacting
            assert not outcome.stopped
            assert await dumped(storage) == sorted(held.items())

    asyncio.run(run())


def test_overwritten_pairs_are_dumped_in_key_order(tmp_path):
    rng = random.Random(7)
    model: dict[bytes, bytes] = {}

    async def run():
        async with space_at(tmp_path, THREE) as storage:
            for _ in range(6):
                pairs = [
                    (
                        rng.randbytes(rng.randrange(1, 4)),
                        rng.randbytes(40) if rng.random() < 0.7 else None,
                    )
                    for _ in range(8000)
                ]
                for key, value in pairs:
                    if value is None:
                        model.pop(key, None)
                    else:
                        model[key] = value
                await storage.load("nba", pairs)
            await flush(storage, "h2")
            assert await dumped(storage) == sorted(model.items())
            for host in THREE:
                assert (await storage.stats("nba", host)).entries

    asyncio.run(run())


def test_any_bytes_can_be_keys_and_values(tmp_path):
    pairs = [
        (b"", b"empty key"),
        (b"\x00", b""),
        (b"\xff" * 300, b"\x00\n\r\xff"),
        ("ключ".encode(), "значение".encode()),
        (b"large", bytes(5 << 20)),
    ]

    async def run():
        async with space_at(tmp_path) as storage:
            await storage.load("nba", pairs)
            assert await dumped(storage) == sorted(pairs)
            await storage.load("nba", [])

    asyncio.run(run())


def test_pair_too_long_is_refused_and_earlier_ones_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("jobtui.storage.local.backend.MAX_PAIR_BYTES", 1000)

    async def run():
        async with space_at(tmp_path) as storage:
            error = await failure_of(storage.load("nba", [(b"key", bytes(998))]))
            assert error.code is ErrorCode.REJECTED
            assert "too long" in error.detail
            await storage.load("nba", [(b"key", bytes(997))])
            assert await dumped(storage) == [(b"key", bytes(997))]

    asyncio.run(run())


def test_loaded_pairs_survive_a_kill_and_an_exit(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            first = layer_pairs(0, 0.2)
            await storage.load("nba", first)
            worker = storage.worker("h1", adopted=False)
            os.kill(worker.pid, signal.SIGKILL)
            assert (await failure_of(storage.stats("nba", "h1"))).code is ErrorCode.HOST_DIED
            second = [(b"more" + key, value) for key, value in first]
            await storage.load("nba", second)
        async with storage_at(tmp_path) as storage:
            assert await dumped(storage) == sorted(first + second)

    asyncio.run(run())


def test_unread_dump_delays_nothing(tmp_path):
    async def run():
        async with space_at(tmp_path, THREE) as storage:
            await layers(storage, 2, 3)
            pairs = storage.dump("nba")
            first = await anext(pairs)
            assert first[0] == b"key00000000"
            await pairs.aclose()
            await compact(storage, "h1")
            await storage.drop_space("nba")

    asyncio.run(run())


def test_dump_continues_after_a_stop_reopened_the_database(tmp_path):
    async def run():
        async with layered(tmp_path, 2, 3, rate=256 << 10) as (storage, held):
            pairs = storage.dump("nba")
            read = [await anext(pairs)]
            watched = Watched()
            compacting = await moving_compact(storage, watched)
            watched.cancel.set()
            assert (await compacting).stopped
            read += [pair async for pair in pairs]
            assert read == sorted(held.items())

    asyncio.run(run())


def test_missing_space_is_reported(tmp_path):
    async def run():
        async with space_at(tmp_path) as storage:
            for work in (
                storage.stats("nope", "h1"),
                storage.stats("nba", "h9"),
                flush(storage, space="nope"),
                compact(storage, host="h9"),
                storage.load("nope", [(b"k", b"v")]),
                dumped(storage, "nope"),
                storage.drop_space("nope"),
            ):
                assert (await failure_of(work)).code is ErrorCode.MISSING

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sizes", "reads"),
    [((), 0), ((5,), 5), ((0, 0, 7), 7), ((5, 0, 0, 10), 15), ((5, 10, 0, 100), 15 + 115)],
)
def test_expected_reads_carry_each_level_into_the_next(sizes, reads):
    assert expected_reads(SpaceStats(levels=tuple(Level(1 if size else 0, size) for size in sizes))) == reads


@pytest.mark.parametrize(
    ("before", "after", "levelled", "left"),
    [
        ({"a": 0, "b": 0}, {"c": 6}, True, []),
        ({"a": 0, "b": 0}, {"a": 0, "b": 0}, True, ["a", "b"]),
        ({"a": 0, "b": 6}, {"b": 6, "c": 0}, True, []),
        ({"a": 0}, {"a": 6}, True, []),
        ({"a": 0, "b": 5, "c": 6}, {"b": 5, "c": 6}, True, ["b"]),
        ({"a": 0}, {"a": 0, "b": 0}, False, []),
        ({"a": 0, "b": 0}, {}, True, []),
    ],
)
def test_old_file_above_the_last_level_is_unmoved(before, after, levelled, left):
    assert unmoved_files(before, after, levelled) == left


class TestLog:
    """What RocksDB logs while an operation works."""

    def test_of_a_flush_and_a_compact_is_reported(self, tmp_path):
        async def run():
            async with space_at(tmp_path) as storage:
                await layers(storage, 2, 0.2)
                await storage.load("nba", layer_pairs(2, 0.2))
                watched = Watched()
                await flush(storage, watched=watched)
                assert any("Manual flush start" in line for line in watched.log)
                watched = Watched()
                await compact(storage, watched=watched)
                assert any(
                    re.match(r"\d\d:\d\d:\d\d .*Compacting .* files to L6", line) for line in watched.log
                )
                assert not any("Manual flush start" in line and "EVENT_LOG" in line for line in watched.log)
                assert len(watched.log) <= MAX_LOG_LINES

        asyncio.run(run())

    def test_is_bounded_and_without_dumped_options(self, tmp_path):
        class Logged:
            log = tmp_path / "LOG"

        tail = LogTail(Logged())
        assert tail.read() == ()
        stamp = "9026/11/28-21:44:43.257234 140360644818624"
        dump = f"{stamp} [db/column_family.cc:629] --------------- Options for column family [default]:\n"
        lines = "".join(f"{stamp} [db/job.cc:1] line {number} {'x' * 999}\n" for number in range(999))
        end = f"{stamp} [WARN] [db/job.cc:1] a \x1b[31mwarning\n  index_type: 0\n{stamp} EVENT_LOG_v1 {{}}\n"
        Logged.log.write_text(dump + lines + end)
        found = tail.read()
        assert len(found) == MAX_LOG_LINES
        assert found[-1].startswith("21:44:43 WARN a ")
        assert "\x1b" not in found[-1]
        assert max(map(len, found)) <= 400
        assert LogTail(Logged()).read() == ()

    def test_of_a_new_file_is_read_from_its_start(self, tmp_path):
        class Logged:
            log = tmp_path / "LOG"

        line = "9026/11/28-21:44:43.257234 1403 [db/job.cc:1] {}\n"
        Logged.log.write_text(line.format("old") * 9)
        tail = LogTail(Logged())
        Logged.log.rename(tmp_path / "LOG.old.1")
        Logged.log.write_text(line.format("new"))
        assert tail.read() == ("21:44:43 new",)

    def test_late_lines_of_an_earlier_job_are_left_out(self, tmp_path):
        class Logged:
            log = tmp_path / "LOG"

        Logged.log.touch()
        tail = LogTail(Logged())
        Logged.log.write_text(
            "2019/12/17-09:21:30.123456 1403 [db/job.cc:1] Manual compaction starting\n"
            "9026/11/28-21:44:43.257234 1403 [db/job.cc:1] Manual flush start\n"
        )
        assert tail.read() == ("21:44:43 Manual flush start",)

    @pytest.mark.parametrize(
        ("began", "ended", "line", "is_shown"),
        [
            ("00:40", "01:11", "02:10", True),  # began at 02:40, before clocks go back, and written after
            ("00:40", "01:11", "02:50", True),
            ("00:40", "00:50", "02:45", True),  # all before they go back
            ("00:40", "00:50", "02:39", False),
            ("01:20", "01:30", "02:25", True),  # all after they went back
            ("01:20", "01:30", "02:19", False),
        ],
    )
    def test_lines_of_the_hour_that_occurs_twice_are_kept(
        self, tmp_path, monkeypatch, in_berlin, began, ended, line, is_shown
    ):
        class Logged:
            log = tmp_path / "LOG"

        class Clock(datetime):
            time_of_day = began

            @classmethod
            def now(cls, tz=None):
                assert tz is UTC
                return datetime.fromisoformat(f"2025-10-26T{cls.time_of_day}:00+00:00")

        monkeypatch.setattr(worker_database, "datetime", Clock)
        Logged.log.touch()
        tail = LogTail(Logged())
        Logged.log.write_text(f"2025/10/26-{line}:00.123456 1403 [db/job.cc:1] Manual flush start\n")
        Clock.time_of_day = ended
        assert tail.read() == ((f"{line}:00 Manual flush start",) if is_shown else ())

    def test_line_without_a_date_is_shown(self, tmp_path):
        class Logged:
            log = tmp_path / "LOG"

        Logged.log.touch()
        tail = LogTail(Logged())
        Logged.log.write_text("2025/99/99-99:99:99.123456 1403 [db/job.cc:1] what\n")
        assert tail.read() == ("99:99:99 what",)


class TestProgressEstimator:
    def reports(self, monkeypatch, counts):
        """Return the reports of an operation that has counted this many bytes at these times."""
        now, found = [0.0], []
        monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
        estimator = progress.ProgressEstimator(lambda: counts[now[0]], 1000, found.append)
        for at in counts:
            now[0] = at
            estimator.update()
        return [(one.fraction, one.rate) for one in found]

    def test_first_bytes_are_reported_at_once(self, monkeypatch):
        assert self.reports(monkeypatch, {0.01: 0, 0.02: 100}) == [(0.1, None)]

    def test_later_ones_at_the_next_tick(self, monkeypatch):
        counts = {0.02: 100, 0.05: 200, 0.1: 300, 0.125: 500, 0.2: 600}
        assert self.reports(monkeypatch, counts) == [(0.1, None), (0.5, 4000.0)]
