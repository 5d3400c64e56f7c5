"""Ctrl+c, SIGTERM and kill -9 while a job runs: what becomes of it, and of the data."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.commands import CommandLine, new_job
from tests.support.waiting import eventually


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_job_honestly_first(slow: CommandLine, sent: signal.Signals) -> None:
    with slow.started("-e", "ADMIN COMPACT nba") as process:
        eventually(lambda: slow.is_running(1))
        os.killpg(process.pid, sent)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + sent
    assert out.decode() == new_job(1)
    assert err.decode().startswith("Stopping job 1; once more leaves at once\nJob 1 (compact nba) stopped")
    job, *tasks = slow.rows("SHOW JOB 1")
    assert job["Status"] == "stopped"
    assert {task["Status"] for task in tasks} == {"stopped"}
    assert len(slow.done("dump", "nba").splitlines()) == 10_000


def test_an_interrupt_leaves_jobs_of_others_in_the_queue(slow: CommandLine) -> None:
    slow.done("--detach", "-e", "ADMIN COMPACT nba; ADMIN COMPACT nba")
    with slow.started("-e", "ADMIN COMPACT nba") as process:
        eventually(lambda: slow.is_running(1))
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().startswith(
        "Stopping job 3; job 1 (compact nba), queued before, is at work here and is stopped too; "
    )
    assert [row["Status"] for row in slow.rows("SHOW JOBS")] == ["stopped", "queue", "stopped"]


def test_a_killed_run_is_told_at_the_next_start_and_can_be_recovered(slow: CommandLine) -> None:
    with slow.started("-e", "ADMIN COMPACT nba") as process:
        eventually(lambda: slow.is_running(1))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    slow.config.unlink()
    ended = slow("-e", "RECOVER JOB")
    assert (ended.returncode, ended.stdout) == (0, new_job(2))
    assert "interrupted: jobtui ended while it ran" in ended.stderr
    job = slow.rows("SHOW JOB 1")[0]
    assert (job["Status"], job["reason"]) == ("failed", "interrupted: jobtui ended while it ran")
    assert slow.rows("SHOW JOB 2")[0]["Status"] == "finished"
    assert len(slow.done("dump", "nba").splitlines()) == 10_000
