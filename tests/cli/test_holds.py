"""What a waiting command prints of jobs that are paused or wait for disk space."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.cli.wait import HoldReporter, JobWaiter, receive_into
from jobtui.engine import lifecycle
from jobtui.model import JobChanged, Status, TaskProgressed
from tests.support.engines import open_bench
from tests.support.scripted import ScriptedStorage

NOW = datetime(2026, 11, 28, tzinfo=UTC)
JOB = lifecycle.start_tasks(lifecycle.new_job(3, "compact", "nba", ["h0"], NOW), [0], NOW)


def waiting(text: str) -> TaskProgressed:
    return TaskProgressed(replace(JOB, tasks=(replace(JOB.tasks[0], waiting=text),)), 0)


def test_pause_is_reported_once_each_time() -> None:
    holds = HoldReporter()
    paused = JobChanged(lifecycle.pause(JOB, NOW), JOB.status)
    lines = [holds.describe(message) for message in (paused, paused, JobChanged(JOB, JOB.status), paused)]
    text = "Job 3 (compact nba) is paused: RESUME JOB 3 continues it"
    assert lines == [text, "", "", text]


def test_pause_names_the_requester_and_the_reason() -> None:
    paused = lifecycle.pause(JOB, NOW, "", "anna@db1, dashboard")
    with_reason = lifecycle.pause(JOB, NOW, "lunch", "anna@db1, dashboard")
    by_schedule = lifecycle.pause(
        JOB, NOW, "its window ended at 05:00; continues Mon 23:00", "schedule nightly"
    )
    lines = [HoldReporter().describe(JobChanged(job, JOB.status)) for job in (paused, with_reason, by_schedule)]
    begin = "Job 3 (compact nba) is paused"
    assert lines == [
        f"{begin} by anna@db1 (dashboard): RESUME JOB 3 continues it",
        f"{begin} by anna@db1 (dashboard): lunch; RESUME JOB 3 continues it",
        f"{begin}: its window ended at 05:00; continues Mon 23:00",
    ]


def test_pause_of_a_dropped_schedule_is_explained_once() -> None:
    paused = lifecycle.pause(JOB, NOW, "its window ended at 05:00; continues Mon 23:00", "schedule nightly")
    reason = "schedule 'nightly' was dropped; RESUME JOB 3 continues it"
    dropped = lifecycle.explain_pause(paused, NOW, reason, "anna@db1, dashboard")
    line = HoldReporter().describe(JobChanged(dropped, JOB.status))
    assert line == f"Job 3 (compact nba) is paused: {reason}"


def test_wait_for_a_paused_job_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h0",)}, obey=True)) as bench:
        bench.execute("ADMIN COMPACT nba")
        operation = bench.storage.operation("nba", "h0")
        bench.execute("PAUSE JOB 1; ADMIN COMPACT nba")
        operation.pause()
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        waiter = JobWaiter(bench.engine)
        lines: list[str] = []

        def stop(line: str) -> None:
            lines.append(line)
            bench.engine.execute("STOP JOB 2", bench.session)

        monkeypatch.setattr(waiter, "print", stop)
        with receive_into(waiter, bench.engine):
            waiter.wait_ended((2,))
    assert lines == ["Job 2 (compact nba) waits for job 1, which is paused: RESUME JOB 1 continues it"]


def test_wait_for_disk_is_reported_once_until_it_ends() -> None:
    holds = HoldReporter()
    texts = ["3.1 GiB free, reserve 5 GiB", "3.2 GiB free, reserve 5 GiB", "", "1 GiB free, reserve 5 GiB"]
    lines = [holds.describe(waiting(text)) for text in texts]
    begin = "Job 3 (compact nba) waits on h0: "
    assert lines == [begin + texts[0], "", "", begin + texts[3]]


def test_wait_for_a_host_that_is_offline_is_reported_once() -> None:
    holds = HoldReporter()
    reasons = ["waits for h1, offline since 12/17/19 17:21:30"] * 2 + ["", "waits for job 2"]
    versions = [replace(JOB, reason=reason) for reason in reasons]
    ended = replace(JOB, status=Status.FAILED, reason="E_RPC_FAILURE")
    lines = [holds.describe(JobChanged(job, job.status)) for job in [*versions, ended]]
    begin = "Job 3 (compact nba) "
    assert lines == [begin + reasons[0], "", "", begin + reasons[3], ""]
