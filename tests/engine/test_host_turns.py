"""The turns of a job's hosts, repeated attempts, and the requester and reason of a job."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtui.engine.client import Session
from jobtui.errors import ErrorCode
from jobtui.model import EventKind, Level, SpaceStats, Status
from tests.support.engines import WAIT, Bench, open_bench
from tests.support.scripted import ScriptedStorage

SPACES = {"nba": ("h0", "h1", "h2"), "solo": ("h3",)}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
        yield bench


class TestRetry:
    def test_retries_double_their_wait_within_one_job(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo WITH retry = 2, retry_wait = 10 s")
        bench.storage.operation("solo", "h3").fail(ErrorCode.DISK_FULL, "no room")
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        bench.advance(10)
        bench.storage.operation("solo", "h3", 1).fail(ErrorCode.DISK_FULL, "no room")
        again = (2, Status.QUEUE)
        bench.events.wait_for(lambda: (bench.job(1).tasks[0].attempts, bench.job(1).tasks[0].status) == again)
        bench.advance(10)
        bench.settle()
        assert len(bench.storage.begun) == 2
        bench.advance(10)
        bench.storage.operation("solo", "h3", 2).fail(ErrorCode.DISK_FULL, "no room")
        job = bench.events.until(1, Status.FAILED)
        retried = [event.reason for event in job.events if event.kind is EventKind.RETRIED]
        assert retried == ["no room; attempt 2 in 0:10", "no room; attempt 3 in 0:20"]

    @pytest.mark.parametrize("code", [ErrorCode.CORRUPT, ErrorCode.REJECTED, ErrorCode.UNSUPPORTED])
    def test_permanent_failures_are_not_retried(self, bench: Bench, code: ErrorCode) -> None:
        bench.execute("ADMIN COMPACT solo WITH retry = 2")
        bench.storage.operation("solo", "h3").fail(code, "no")
        assert bench.events.until(1, Status.FAILED).tasks[0].attempts == 1


class TestRolling:
    def test_one_host_at_a_time_with_a_wait(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT nba WITH rolling = 1, wait = 5 min")
        bench.storage.operation("nba", "h0").finish()
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.FINISHED)
        bench.settle()
        assert len(bench.storage.begun) == 1
        bench.advance(300)
        bench.storage.operation("nba", "h1")
        assert len(bench.storage.begun) == 2

    def test_on_failure_stop(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT nba WITH rolling = 1, on_failure = stop")
        bench.storage.operation("nba", "h0").fail()
        job = bench.events.until(1, Status.FAILED)
        assert [task.status for task in job.tasks] == [Status.FAILED, Status.STOPPED, Status.STOPPED]
        assert job.tasks[1].reason == "not begun, because h0 failed (on_failure = stop)"

    @pytest.mark.parametrize("option", ["", ", on_failure = continue"])
    def test_on_failure_continue(self, bench: Bench, option: str) -> None:
        bench.execute(f"ADMIN COMPACT nba WITH rolling = 1{option}")
        bench.storage.operation("nba", "h0").fail()
        bench.storage.operation("nba", "h1").finish()
        bench.storage.operation("nba", "h2").finish()
        job = bench.events.until(1, Status.FAILED)
        assert [task.status for task in job.tasks] == [Status.FAILED, Status.FINISHED, Status.FINISHED]

    def test_on_failure_stop_lets_a_host_try_again_first(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT nba WITH wait = 1 min, retry = 1, retry_wait = 10 s, on_failure = stop")
        bench.storage.operation("nba", "h0").fail(ErrorCode.DISK_FULL, "no room")
        bench.events.wait_for(lambda: bench.job(1).tasks[0].not_before is not None)
        assert [task.status for task in bench.job(1).tasks] == [Status.QUEUE] * 3
        bench.advance(10)
        bench.storage.operation("nba", "h0", 1).fail(ErrorCode.DISK_FULL, "no room")
        job = bench.events.until(1, Status.FAILED)
        assert [task.status for task in job.tasks] == [Status.FAILED, Status.STOPPED, Status.STOPPED]
        assert len(bench.storage.begun) == 2

    def test_order_goes_before_leaders_on_a_cluster(self, tmp_path: Path) -> None:
        storage = ScriptedStorage(dict(SPACES))
        storage.is_space_admin = False
        storage.leaders = {"h0": 9, "h1": 0, "h2": 3}
        storage.sizes = {
            host: SpaceStats(levels=(Level(1, size),)) for host, size in (("h0", 10), ("h1", 3000), ("h2", 200))
        }
        with open_bench(tmp_path, storage) as bench:
            bench.execute("ADMIN COMPACT nba WITH rolling = 1, order = smallest")
            assert [task.host for task in bench.job(1).tasks] == ["h0", "h2", "h1"]

    def test_hosts_are_not_asked_for_a_job_without_turns(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that does not answer would delay the job of all others."""
        storage = ScriptedStorage(dict(SPACES))
        storage.is_space_admin = False
        with open_bench(tmp_path, storage) as bench:
            bench.rows("ADMIN FLUSH solo")
            monkeypatch.setattr(storage, "hosts", lambda: pytest.fail("the hosts are asked"))
            assert bench.rows("ADMIN COMPACT nba; ADMIN FLUSH nba") == [("3",)]

    def test_leaders_come_last_on_a_cluster(self, tmp_path: Path) -> None:
        storage = ScriptedStorage(dict(SPACES))
        storage.is_space_admin = False
        storage.leaders = {"h0": 9, "h1": 0, "h2": 3}
        with open_bench(tmp_path, storage) as bench:
            bench.execute("ADMIN COMPACT nba WITH rolling = 1; ADMIN COMPACT nba ON h0, h1")
            assert [task.host for task in bench.job(1).tasks] == ["h1", "h2", "h0"]
            assert [task.host for task in bench.job(2).tasks] == ["h0", "h1"]

    @pytest.mark.parametrize(("order", "hosts"), [("largest", "h1 h2 h0"), ("smallest", "h0 h2 h1")])
    def test_order_is_that_of_the_sizes(self, tmp_path: Path, order: str, hosts: str) -> None:
        storage = ScriptedStorage(dict(SPACES))
        storage.sizes = {
            host: SpaceStats(levels=(Level(1, size),)) for host, size in (("h0", 10), ("h1", 3000), ("h2", 200))
        }
        with open_bench(tmp_path, storage) as bench:
            bench.execute(f"ADMIN COMPACT nba WITH rolling = 1, order = {order}")
            for host in hosts.split():
                storage.operation("nba", host).finish()
            bench.events.until(1, Status.FINISHED)
            assert [operation.host for operation in storage.begun] == hosts.split()

    def test_on_selects_hosts(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT nba ON h2, h0")
        assert [task.host for task in bench.job(1).tasks] == ["h2", "h0"]
        assert (
            bench.refusal("ADMIN COMPACT nba ON h9") == "Space 'nba' is not on host 'h9'; it is on h0, h1, h2"
        )


def test_job_records_requester_and_because(bench: Bench) -> None:
    bench.execute('ADMIN COMPACT solo WITH because = "after the purge"')
    job = bench.job(1)
    assert job.options.because == "after the purge"
    assert job.requested_by.endswith(", script")
    (row, _) = bench.execute("SHOW JOB 1").results[0].rows
    assert row.values["because"] == "after the purge"
    assert row.values["requested_by"] == job.requested_by
    bench.execute('STOP JOB 1 WITH because = "wrong space"')
    assert [e.reason for e in bench.job(1).events if e.kind is EventKind.STOP_ASKED] == ["wrong space"]


def test_user_is_looked_up_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory server may need seconds for an answer."""
    bench.execute("ADMIN FLUSH solo")
    monkeypatch.delattr(pwd, "getpwuid")
    bench.execute("ADMIN FLUSH solo")
    assert bench.job(2).requested_by == bench.job(1).requested_by


def test_json_has_each_kind_of_requester(bench: Bench) -> None:
    """A process that connects is in test_socket.py, a cluster in test_cluster_jobs.py."""
    bench.execute('ADMIN FLUSH solo; CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH solo; RUN SCHEDULE s')
    bench.engine.execute("ADMIN FLUSH solo", Session(kind="dashboard")).result(WAIT)
    found = []
    for number in (1, 2, 3):
        (row, _) = bench.execute(f"SHOW JOB {number}").results[0].rows
        found.append((row.values["requested_by"], row.values["schedule"]))
    me = f"{pwd.getpwuid(os.geteuid()).pw_name}@{os.uname().nodename}"
    assert found == [(f"{me}, script", ""), (f"{me}, schedule", "s"), (f"{me}, dashboard", "")]
