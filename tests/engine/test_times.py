"""Times and durations while the system clock is changed."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobtui.history import Query, Sort
from jobtui.model import Status
from tests.support.clock import FakeClock
from tests.support.engines import WAIT, Bench, open_bench
from tests.support.scripted import ScriptedStorage


def test_durations_come_from_the_steady_clock(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo")
    operation = three.storage.operation("solo", "far")
    three.advance(90)
    three.clock.set_back(3600)
    operation.finish()
    job = three.events.until(1, Status.FINISHED)
    assert (job.took, job.tasks[0].took) == (90, 90)
    assert job.stop == job.start


@pytest.mark.parametrize("jump", [18_000, -18_000])
def test_jump_while_one_of_several_hosts_works_is_no_part_of_it(three: Bench, jump: int) -> None:
    three.execute("ADMIN COMPACT nba ON local0, local1 WITH rolling = 1, wait = 10 s")
    first = three.storage.operation("nba", "local0")
    three.advance(30)
    first.finish()
    three.events.wait_for(lambda: three.job(1).tasks[0].status is Status.FINISHED)
    three.settle()
    three.advance(10)
    second = three.storage.operation("nba", "local1")
    three.clock.set_back(-jump)
    three.advance(60)
    second.finish()
    job = three.events.until(1, Status.FINISHED)
    assert job.took == 90


def test_repeated_hour_gives_no_negative_duration_or_reorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        # 02:50 in summer; an hour later it is 02:50 again
        clock = FakeClock(datetime(2026, 10, 25, 0, 50, tzinfo=UTC))
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)}), clock=clock) as bench:
            bench.execute("ADMIN FLUSH solo")
            first = bench.storage.operation("solo", "far")
            clock.advance(1200)
            first.finish()
            bench.engine.wait_idle().result(WAIT)
            bench.execute("ADMIN COMPACT solo")
            bench.storage.operation("solo", "far", 1).finish()
            bench.engine.wait_idle().result(WAIT)
            assert bench.rows("SHOW JOBS") == [
                ("1", "flush solo", "finished", "10/25/26 02:50:00", "10/25/26 02:10:00"),
                ("2", "compact solo", "finished", "10/25/26 02:10:00", "10/25/26 02:10:00"),
            ]
            assert bench.job(1).took == 1200
            by_start = bench.engine.history.query(Query(sort=Sort.START)).ids(0, 9)
            assert list(by_start) == [1, 2]
            assert len(bench.engine.history.query(Query(since=datetime(2026, 10, 25, 1, 5, tzinfo=UTC)))) == 1
    finally:
        monkeypatch.undo()
        time.tzset()


def test_utc_times_keep_their_order_if_the_clock_goes_back(three: Bench, tmp_path: Path) -> None:
    for _ in range(3):
        three.execute("ADMIN FLUSH solo")
        three.clock.set_back(3600)  # as an hour of daylight saving, or a clock that was put right
    for turn in range(3):
        three.storage.operation("solo", "far", turn).finish()
        three.advance(1)
    three.engine.wait_idle().result(WAIT)
    rows = three.rows("SHOW JOBS")
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert all((three.job(int(row[0])).took or 0) >= 0 for row in rows)
    (journal,) = (tmp_path / "history").glob("journal-*.jsonl")
    times = re.findall(r'"(?:submitted|start|stop|at)":"([^"]+)"', journal.read_text())
    assert times
    assert all(time.endswith("Z") for time in times)
