"""Hosts that are down, or whose writes are stalled, when their turn comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from jobtui.engine import lifecycle
from jobtui.engine.deferrals import CHECK_SECONDS, MAX_DOWN, RECHECK
from jobtui.engine.scheduler import Start, decide
from jobtui.errors import ErrorCode
from jobtui.formatting import to_local
from jobtui.model import EventKind, JobOptions, Status
from tests.engine.test_schedule import T0, queued
from tests.support.engines import Bench, open_bench
from tests.support.scripted import ScriptedStorage

DOWN = "no storaged at h1:19779: Connection refused"
STALLED = "writes are stopped"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h0", "h1", "h2")})) as bench:
        yield bench


def deferral(bench: Bench, task: int) -> str:
    """Wait until the task is deferred; return why."""
    bench.events.wait_for(lambda: bench.job(1).tasks[task].deferred is not None)
    found = bench.job(1).tasks[task].deferred
    assert found is not None
    return found.reason


def recheck(bench: Bench, seconds: float = RECHECK.total_seconds()) -> None:
    """Move the clock once the engine waits until it asks again; not while it asks, which is limited in time."""
    bench.clock.wait_for_sleep(RECHECK.total_seconds())
    bench.advance(seconds)


class TestScheduler:
    rolling = JobOptions(rolling=1)

    def test_next_host_goes_first(self) -> None:
        job = msgspec.structs.replace(queued(1, "a", "b"), options=self.rolling)
        later = T0 + timedelta(seconds=9)
        decision = decide([], [job], set(), set(), 4, T0, deferred={("space1", "a"): later})
        assert decision.starts == (Start(1, (1,)),)
        assert decision.due == later

    def test_only_the_deferred_host_remains(self) -> None:
        later = T0 + timedelta(seconds=9)
        held = {("space1", "a"): later}
        assert decide([], [queued(1, "a")], set(), set(), 4, T0, deferred=held).due == later
        assert decide([], [queued(1, "a")], set(), set(), 4, later, deferred=held).starts == (Start(1, (0,)),)

    def test_other_space_on_the_host_is_checked_itself(self) -> None:
        held = {("space1", "a"): T0 + timedelta(seconds=9)}
        starts = decide([], [queued(1, "a"), queued(2, "a")], set(), set(), 4, T0, deferred=held).starts
        assert starts == (Start(2, (0,)),)

    def test_deferred_job_does_not_count_against_the_limit(self) -> None:
        held = {("space1", "a"): T0 + timedelta(seconds=9)}
        starts = decide([], [queued(1, "a"), queued(2, "b")], set(), set(), 1, T0, deferred=held).starts
        assert starts == (Start(2, (0,)),)


class TestDown:
    def test_other_hosts_go_first_and_host_is_retried(self, bench: Bench) -> None:
        bench.storage.outages["h1"] = DOWN
        bench.execute("ADMIN COMPACT nba WITH rolling = 1")
        bench.storage.operation("nba", "h0").finish()
        bench.storage.operation("nba", "h2").finish()
        assert deferral(bench, 1) == "host h1 is down"
        recheck(bench)
        del bench.storage.outages["h1"]
        recheck(bench)
        bench.storage.operation("nba", "h1").finish()
        job = bench.events.until(1, Status.FINISHED)
        assert job.tasks[1].deferred is None
        assert [event.kind for event in job.events].count(EventKind.DEFERRED) == 1

    def test_show_job_and_json_say_so(self, bench: Bench) -> None:
        bench.storage.outages["h0"] = bench.storage.outages["h1"] = DOWN
        bench.execute("ADMIN COMPACT nba WITH rolling = 1, wait = 5 min")
        since = f"{to_local(bench.clock.now()):%H:%M}"
        deferral(bench, 1)
        result = bench.execute("SHOW JOB 1").results[0]
        text = f"deferred: host h0 is down since {since}"
        assert result.notice == f"Job 1 {text} and 1 more; it is retried automatically"
        assert result.rows[1].values["deferred"] == text
        assert str(result.rows[1].values["deferred_since"]).startswith("2019-12-17T")

    def test_since_stays_while_the_reason_does(self, bench: Bench) -> None:
        bench.storage.outages["h1"] = DOWN
        bench.execute("ADMIN COMPACT nba ON h1 WITH rolling = 1")
        deferral(bench, 0)
        began = bench.clock.now()
        # a second more: another sleep of the engine ends after two intervals
        recheck(bench, RECHECK.total_seconds() + 1)
        bench.storage.wait_for_stall_checks(2)
        bench.storage.stalls["h1"] = STALLED
        recheck(bench)
        bench.events.wait_for(lambda: deferral(bench, 0) == "writes on h1 are stalled")
        events = [event for event in bench.job(1).events if event.kind is EventKind.DEFERRED]
        assert [event.at - began for event in events] == [timedelta(0), 2 * RECHECK + timedelta(seconds=1)]

    def test_hosts_without_turns_fail_at_once(self, bench: Bench) -> None:
        bench.storage.outages["h1"] = DOWN
        bench.execute("ADMIN COMPACT nba ON h1")
        bench.storage.operation("nba", "h1").fail(ErrorCode.UNREACHABLE)
        assert bench.events.until(1, Status.FAILED).tasks[0].attempts == 1

    def test_checked_hosts_without_turns_fail_at_once(self, bench: Bench) -> None:
        bench.storage.outages["h1"], bench.storage.stalls["h1"] = DOWN, ""
        bench.execute("ADMIN COMPACT nba ON h1")
        bench.storage.operation("nba", "h1").fail(ErrorCode.UNREACHABLE)
        bench.events.until(1, Status.FAILED)

    def test_host_that_does_not_answer_gets_its_task(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def find_stall(_space: str, _host: str) -> str:
            return await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(bench.storage, "find_stall", find_stall)
        bench.execute("ADMIN COMPACT nba ON h1 WITH rolling = 1")
        bench.clock.wait_for_sleep(CHECK_SECONDS)
        bench.clock.advance(CHECK_SECONDS)
        bench.storage.operation("nba", "h1").finish()
        bench.events.until(1, Status.FINISHED)

    def test_deferral_ends_in_failure_and_is_never_forced(self, bench: Bench) -> None:
        bench.storage.outages["h1"] = DOWN
        bench.execute("ADMIN COMPACT nba WITH rolling = 1; ADMIN FLUSH nba ON h1")
        bench.storage.operation("nba", "h0").finish()
        bench.storage.operation("nba", "h2").finish()
        deferral(bench, 1)
        recheck(bench, MAX_DOWN.total_seconds() + 1)
        job = bench.events.until(1, Status.FAILED)
        task, why = job.tasks[1], f"not begun, because the host was down for more than 12 h: {DOWN}"
        assert (task.status, task.reason, task.code) == (Status.FAILED, why, ErrorCode.UNREACHABLE)
        assert (task.attempts, task.start, task.deferred) == (0, None, None)
        assert job.reason == f"h1: {why}"
        recheck(bench)  # of the host, for the next job
        bench.storage.operation("nba", "h1").finish()
        assert bench.events.until(2, Status.FINISHED).command == "flush"
        assert [event.kind for event in job.events if event.task == 1] == [
            EventKind.DEFERRED,
            EventKind.TASK_ENDED,
        ]

    def test_job_that_never_started_ends_with_its_last_host(self, bench: Bench) -> None:
        bench.storage.outages["h1"] = DOWN
        bench.execute("ADMIN COMPACT nba ON h1 WITH rolling = 1")
        deferral(bench, 0)
        recheck(bench, MAX_DOWN.total_seconds() + 1)
        job = bench.events.until(1, Status.FAILED)
        assert (job.start, job.took) == (None, None)

    def test_stop_ends_it(self, bench: Bench) -> None:
        bench.storage.outages["h1"] = DOWN
        bench.execute("ADMIN COMPACT nba ON h1 WITH rolling = 1")
        deferral(bench, 0)
        bench.execute("STOP JOB 1")
        assert bench.events.until(1, Status.STOPPED).tasks[0].deferred is None

    def test_survives_the_owner(self, tmp_path: Path) -> None:
        storage = ScriptedStorage({"nba": ("h1",)})
        storage.outages["h1"] = DOWN
        with open_bench(tmp_path, storage) as first:
            first.execute("ADMIN COMPACT nba WITH rolling = 1")
            deferral(first, 0)
            since = first.job(1).tasks[0].deferred
        with open_bench(tmp_path, ScriptedStorage({"nba": ("h1",)}), clock=first.clock) as second:
            assert second.job(1).tasks[0].deferred in (since, None)
            second.storage.operation("nba", "h1").finish()
            second.events.until(1, Status.FINISHED)


class TestStalled:
    def test_never_forced_even_without_turns(self, bench: Bench) -> None:
        bench.storage.stalls["h1"] = STALLED
        bench.execute("ADMIN COMPACT nba")
        bench.storage.operation("nba", "h0").finish()
        bench.storage.operation("nba", "h2").finish()
        assert deferral(bench, 1) == "writes on h1 are stalled"
        recheck(bench, MAX_DOWN.total_seconds() + 1)
        bench.clock.wait_for_sleep(RECHECK.total_seconds())  # it was asked again
        del bench.storage.stalls["h1"]
        recheck(bench)
        bench.storage.operation("nba", "h1").finish()
        bench.events.until(1, Status.FINISHED)


def test_clock_set_back_does_not_prolong_it(bench: Bench) -> None:
    bench.storage.stalls["h1"] = STALLED
    bench.execute("ADMIN COMPACT nba ON h1")
    deferral(bench, 0)
    bench.clock.set_back(86_400)
    del bench.storage.stalls["h1"]
    recheck(bench)
    bench.storage.operation("nba", "h1").finish()
    bench.events.until(1, Status.FINISHED)


def test_only_queued_tasks_are_deferred() -> None:
    job = lifecycle.start_tasks(queued(1, "a"), (0,), T0)
    with pytest.raises(lifecycle.IllegalTransition):
        lifecycle.defer_task(job, 0, lifecycle.Deferral("host a is down", T0), T0)
