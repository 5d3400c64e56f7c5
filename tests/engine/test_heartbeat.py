"""The last heartbeat of interrupted jobs."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobtui.engine import heartbeat, lifecycle
from jobtui.engine.heartbeat import Heartbeat, Interruption, find_interruption
from jobtui.formatting import format_local_time
from jobtui.model import Job, Status
from tests.support.clock import FakeClock
from tests.support.engines import open_bench
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import eventually

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPACES = {"solo": ("far",)}


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def running() -> Job:
    return lifecycle.start_tasks(lifecycle.new_job(1, "compact", "nba", ["a"], START), [0], START)


class TestInterruption:
    @pytest.mark.parametrize(
        ("beat", "now", "booted", "at", "until"),
        [
            (3600, 9000, None, 3600, None),  # killed
            (3600, 9000, -500, 3600, None),  # killed, on a machine that was started long before
            (3600, 9000, 3700, 3600, 3700),  # the power was lost, and the last beats with it
            (3600, 9000, 3603, 3600, None),  # the same, within a few seconds
            (None, 9000, None, 0, 9000),  # nothing was written
            (None, 9000, 700, 0, 700),
            (None, 4, None, 0, None),
            (-3600, 9000, None, 0, 9000),  # of an earlier run: this one could not write
            (-1, 9000, None, 0, None),  # killed soon after an event
            (3600, 1800, None, 1800, None),  # the clock was set back since
            (3600, -1800, None, 0, None),  # behind the job's own events
            (3600, 1800, 1700, 1800, None),
        ],
    )
    def test_time(
        self, beat: float | None, now: float, booted: float | None, at: float, until: float | None
    ) -> None:
        found = find_interruption(
            running(),
            None if beat is None else after(beat),
            after(now),
            None if booted is None else after(booted),
        )
        assert found == Interruption(after(at), None if until is None else after(until))

    def test_reason_names_a_long_gap(self) -> None:
        job = lifecycle.interrupt(running(), after(60), after(120))
        times = f"{format_local_time(after(60))} and {format_local_time(after(120))}"
        assert job.reason == f"interrupted between {times}: jobtui ended while it ran"
        assert (job.stop, job.tasks[0].stop, job.tasks[0].reason) == (after(60), after(60), job.reason)


class TestFile:
    def test_invalid_time_is_none(self, tmp_path: Path) -> None:
        beats = Heartbeat(tmp_path, FakeClock(), lambda: False)
        assert beats.last() is None
        for text in ("", "never", "2026-01-02", "2026-01-02T03:04:05", "\0" * 30):
            (tmp_path / heartbeat.FILE).write_text(text)
            assert beats.last() is None

    def test_fifo_or_a_link_is_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text(START.isoformat())
        beats = Heartbeat(tmp_path, FakeClock(), lambda: False)
        beats._path.symlink_to(tmp_path / "elsewhere")
        assert beats.last() is None
        beats._path.unlink()
        os.mkfifo(beats._path)
        assert beats.last() is None

    def test_nothing_is_written_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text("theirs")
        beats = Heartbeat(tmp_path, FakeClock(), lambda: True)
        beats._path.symlink_to(tmp_path / "elsewhere")
        beats._write(START)
        assert (tmp_path / "elsewhere").read_text() == "theirs"
        assert beats.last() == START
        assert beats._path.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)


@pytest.mark.usefixtures("fast")
class TestEngine:
    def test_beats_while_a_job_runs_only(self, tmp_path: Path) -> None:
        clock = FakeClock()
        with open_bench(tmp_path, ScriptedStorage(SPACES), clock=clock) as bench:
            beats = bench.engine.engine.heartbeat
            assert beats.last() is None
            bench.execute("ADMIN COMPACT solo")
            operation = bench.storage.operation("solo", "far")
            eventually(lambda: beats.last() == clock.now())
            clock.advance(60)
            eventually(lambda: beats.last() == clock.now())
            operation.finish()
            bench.events.until(1, Status.FINISHED)
            eventually(lambda: not beats._is_beating)

    def test_interrupted_job_ends_at_its_last_beat(self, tmp_path: Path) -> None:
        clock = FakeClock()
        with open_bench(tmp_path, ScriptedStorage(SPACES), clock=clock) as bench:
            bench.execute("ADMIN COMPACT solo")
            bench.storage.operation("solo", "far")
            clock.advance(600)
            eventually(lambda: bench.engine.engine.heartbeat.last() == clock.now())
            last = clock.now()
        clock.advance(86_400)
        with open_bench(tmp_path, ScriptedStorage(SPACES), clock=clock) as bench:
            job = bench.job(1)
            assert (job.status, job.stop, job.reason) == (Status.FAILED, last, lifecycle.INTERRUPTED)

    def test_missing_heartbeat_is_in_the_reason(self, tmp_path: Path) -> None:
        clock = FakeClock()
        with open_bench(tmp_path, ScriptedStorage(SPACES), clock=clock) as bench:
            bench.execute("ADMIN COMPACT solo")
            bench.storage.operation("solo", "far")
            started = bench.job(1).start
            eventually(lambda: bench.engine.engine.heartbeat.last() is not None)
            path = bench.engine.engine.heartbeat._path
        path.unlink()
        clock.advance(86_400)
        with open_bench(tmp_path, ScriptedStorage(SPACES), clock=clock) as bench:
            job = bench.job(1)
            assert job.stop == started
            assert job.reason.startswith("interrupted between 12/17/19 ")
