"""Ctrl+c, SIGTERM and kill -9 while a job runs: the outcome of the job, and the data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import CommandLine, new_job
from tests.support.waiting import eventually


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_stops_the_job_honestly_first(slow: CommandLine, sent: signal.Signals) -> None:
    with slow.started("-e", "ADMIN COMPACT nba") as process:
        eventually(lambda: slow.is_running(1))
        os.killpg(process.pid, sent)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + sent
    assert out.decode() == new_job(1)
    assert err.decode().startswith(
        "Stopping job 1; a second ctrl+c exits immediately\nJob 1 (compact nba) stopped"
    )
    job, *tasks = slow.rows("SHOW JOB 1")
    assert job["Status"] == "stopped"
    assert {task["Status"] for task in tasks} == {"stopped"}
    assert len(slow.done("dump", "nba").splitlines()) == 10_000


def test_interrupt_leaves_jobs_of_others_in_the_queue(slow: CommandLine) -> None:
    slow.done("--detach", "-e", "ADMIN COMPACT nba; ADMIN COMPACT nba")
    with slow.started("-e", "ADMIN COMPACT nba") as process:
        eventually(lambda: slow.is_running(1))
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().startswith(
        "Stopping job 3; job 1 (compact nba), queued before, runs here and is stopped too; "
    )
    assert [row["Status"] for row in slow.rows("SHOW JOBS")] == ["stopped", "queue", "stopped"]


def test_killed_run_is_reported_at_next_start_and_recoverable(slow: CommandLine) -> None:
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


def test_second_interrupt_exits_without_waiting_for_the_stop(slow: CommandLine) -> None:
    with slow.started("-e", "ADMIN COMPACT nba") as process:
        eventually(lambda: slow.is_running(1))
        eventually(lambda: started_workers(process.pid))
        for worker in started_workers(process.pid):
            os.kill(worker, signal.SIGSTOP)  # it receives no stop
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline() == b"Stopping job 1; a second ctrl+c exits immediately\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"Left at once: the next start marks jobs that still ran as failed\n"


def test_interrupt_during_worker_start_ends_dump_silently(slow: CommandLine) -> None:
    with slow.started("dump", "nba", stdout=subprocess.DEVNULL) as process:
        eventually(lambda: workers_of(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert (process.wait(60), process.stderr.read()) == (130, b"")


AMID_AN_IMPORT = """
import os, signal, sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupted())
from jobtui.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["jobtui.cli.main", "jobtui.language", "jobtui.engine.engine"])
def test_interrupt_before_any_work_ends_silently(nba: CommandLine, module: str) -> None:
    words = [
        sys.executable,
        "-c",
        AMID_AN_IMPORT.format(module=module),
        *nba.words("-e", "ADMIN FLUSH nba")[3:],
    ]
    ended = subprocess.run(
        words, env=nba.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")
    assert nba.rows("SHOW JOBS") == []


def workers_of(pid: int) -> set[int]:
    children = (task / "children" for task in Path(f"/proc/{pid}/task").iterdir())
    return {int(child) for listed in children for child in listed.read_text().split()}


def started_workers(pid: int) -> set[int]:
    """Return the workers that run their own program; one suspended before that would hold up its parent."""
    program = Path(f"/proc/{pid}/cmdline").read_bytes()
    return {worker for worker in workers_of(pid) if Path(f"/proc/{worker}/cmdline").read_bytes() != program}
