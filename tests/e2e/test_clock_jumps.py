"""Jumps of the system's clock by hours, with and without running jobs (Debian: `g++`)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobtui.history import History, Query
from jobtui.model import Job, Status
from tests.support.commands import CommandLine
from tests.support.homes import moved_in, with_pairs
from tests.support.waiting import eventually

SOURCE = Path(__file__).parents[1] / "support" / "clock_offset.cc"
HOUR = 3600


class Clock:
    """The clock of the processes that a command starts; the steady clock is left alone."""

    def __init__(self, jobtui: CommandLine) -> None:
        self._file = jobtui.home / "clock"
        self.set(0)
        jobtui.environment |= {"LD_PRELOAD": str(_library(jobtui.home)), "CLOCK_OFFSET_FILE": str(self._file)}

    def set(self, hours: int) -> None:
        """Set the clock to so many hours after the real one, also for processes at work."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{hours * HOUR}\n")
        draft.rename(self._file)


def _library(directory: Path) -> Path:
    compiler = shutil.which("g++")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the clock of a process can be set on Linux only, with a library that g++ compiles")
    library = directory / "clock_offset.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return library


@pytest.fixture
def jobtui(tmp_path: Path) -> CommandLine:
    home = with_pairs(tmp_path / "made", count=1_000)
    return moved_in(tmp_path / "home", home, "[profiles.local]\ncompact_rate = 300_000\n")


@pytest.fixture
def clock(jobtui: CommandLine) -> Clock:
    return Clock(jobtui)


def jobs_of(jobtui: CommandLine) -> list[Job]:
    history = History.open(jobtui.profile.history, write=False)
    try:
        view = history.query(Query())
        return sorted(view.page(0, len(view)), key=lambda job: job.id)
    finally:
        history.close()


@pytest.mark.parametrize("jumps", [(5,), (-7, 5), (24 * 400,)], ids=["forward", "to and fro", "a year"])
def test_running_job_takes_as_long_as_it_takes(
    jobtui: CommandLine, clock: Clock, jumps: tuple[int, int]
) -> None:
    with jobtui.started("serve") as process:
        eventually(lambda: jobtui("-e", "SHOW HOSTS").returncode == 0)
        jobtui.done("-e", "ADMIN COMPACT nba; ADMIN FLUSH nba", "--detach")
        eventually(lambda: jobtui.is_running(1))
        for hours in jumps:
            clock.set(hours)
            assert jobtui.is_running(1)
        eventually(lambda: all(job.status.ended for job in jobs_of(jobtui)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    jobs = jobs_of(jobtui)
    assert [(job.id, job.status) for job in jobs] == [(1, Status.FINISHED), (2, Status.FINISHED)]
    for job in jobs:
        assert 0 <= job.took < HOUR / 6
        assert job.start is not None
        assert job.stop is not None
        assert job.submitted <= job.start <= job.stop
    assert jobtui("history", "verify").returncode == 0


def test_stop_and_recovery_after_the_clock_was_set_back(jobtui: CommandLine, clock: Clock) -> None:
    """RocksDB's rate limiter waits for a time of the system's clock, now hours away."""
    with jobtui.started("serve") as process:
        eventually(lambda: jobtui("-e", "SHOW HOSTS").returncode == 0)
        jobtui.done("-e", "ADMIN COMPACT nba", "--detach")
        eventually(lambda: jobtui.is_running(1))
        clock.set(-7)
        jobtui.done("-e", "STOP JOB 1")
        eventually(lambda: not jobtui.is_running(1))
        jobtui("-e", "RECOVER JOB 1")
        eventually(lambda: all(job.status.ended for job in jobs_of(jobtui)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    stopped, recovered = jobs_of(jobtui)
    assert (stopped.status, recovered.status) == (Status.STOPPED, Status.FINISHED)
    assert 0 <= stopped.took < HOUR / 6
    assert len(jobtui.done("dump", "nba").splitlines()) == 1_000


@pytest.mark.parametrize("hours", [5, -5])
def test_owner_killed_before_the_jump_is_replaced(jobtui: CommandLine, clock: Clock, hours: int) -> None:
    with jobtui.started("serve") as process:
        eventually(lambda: jobtui("-e", "SHOW HOSTS").returncode == 0)
        jobtui.done("-e", "ADMIN COMPACT nba", "--detach")
        eventually(lambda: jobtui.is_running(1))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    clock.set(hours)
    assert "Job 1 was interrupted" in jobtui("-e", "ADMIN FLUSH nba").stderr
    interrupted, flushed = jobs_of(jobtui)
    assert interrupted.status is Status.FAILED
    assert "interrupted" in interrupted.reason
    assert interrupted.start is not None
    assert interrupted.stop is not None
    assert 0 <= (interrupted.stop - interrupted.start).total_seconds() < HOUR
    assert (flushed.id, flushed.status) == (2, Status.FINISHED)
    assert [row["Job Id"] for row in jobtui.rows("SHOW JOBS")] == [1, 2]
    assert jobtui("history", "verify").returncode == 0
