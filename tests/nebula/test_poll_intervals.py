"""How often a cluster is asked for its jobs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState, Status, Task
from jobtui.storage.base import ClusterJob, Host, Space
from jobtui.storage.nebula import ngql
from jobtui.storage.nebula.poller import (
    BATCH,
    COST_SECONDS,
    ERROR_SECONDS,
    IDLE_LISTS,
    IDLE_SECONDS,
    JobPoller,
    UpdateKind,
)
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import PatientClock, job_manager, run
from tests.support.nebula_cluster import Cluster
from tests.support.scripted_manager import START, ScriptedManager
from tests.support.update_reader import UpdateReader


def test_expensive_space_is_listed_rarely_its_jobs_polled() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1)
        manager.on_list = lambda: clock.advance(2)  # a list takes 2 seconds
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.batch()
        manager.asked.clear()
        await reader.silence(60)
        assert 1 <= manager.asked.count("jobs nba") <= 60 / (2 + COST_SECONDS)
        assert manager.asked.count("show nba 1") > 20
        await reader.close()

    run(test())


def test_many_queued_jobs_do_not_cause_constant_polling() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        for job_id in range(1, 2 * BATCH):
            manager.put("nba", job_id, Status.QUEUE)
        manager.put("nba", 2 * BATCH, Status.RUNNING)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        for _ in range(2):
            await reader.batch()
        manager.asked.clear()
        await reader.silence(5)
        assert len(manager.asked) <= 6 * (BATCH + 2)
        assert manager.asked.count(f"show nba {2 * BATCH}") >= 4
        await reader.close()

    run(test())


def test_request_is_followed_by_a_poll_at_once() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        follower = JobPoller(manager, interval=1000.0, clock=clock)
        reader = UpdateReader(follower, clock)
        await reader.silence(10)
        began = clock.steady()
        assert await manager.submit("flush", "nba") == 1
        follower.poll_soon()
        assert await reader.updates() == [("nba", 1, Status.RUNNING, UpdateKind.FIRST)]
        assert clock.steady() - began < 1000
        await reader.close()

    run(test())


def test_one_slow_list_does_not_postpone_the_next() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.batch()
        await reader.silence(10)
        hung = iter([38])  # as metad did once
        manager.on_list = lambda: clock.advance(next(hung, 0))
        await reader.silence(60)
        began = clock.steady()
        manager.put("nba", 2)
        assert await reader.updates() == [("nba", 2, Status.RUNNING, UpdateKind.FIRST)]
        assert clock.steady() - began <= 2
        await reader.close()

    run(test())


def test_all_spaces_are_listed_at_once_after_an_outage() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager([f"s{n}" for n in range(40)]), PatientClock()
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.silence(30)
        manager.errors[""] = StorageError(ErrorCode.UNREACHABLE, "", "", "RPC failure in MetaClient")
        await reader.silence(60)
        manager.put("s39", 1)
        del manager.errors[""]
        began = clock.steady()
        assert await reader.updates() == [("s39", 1, Status.RUNNING, UpdateKind.FIRST)]
        assert clock.steady() - began <= 2
        await reader.close()

    run(test())


class Failing:
    """A cluster of 20 spaces; the lists of some fail after some seconds."""

    def __init__(self, *names: str, code: ErrorCode, seconds: float = 0) -> None:
        self.manager, self.clock = ScriptedManager([f"s{n}" for n in range(20)]), PatientClock()
        self.names = {*names}
        self.complaints: list[str] = []
        self.tries: list[float] = []  # the times at which failing lists began
        self._error = StorageError(code, "", "", "memory is exceeded")
        self._seconds = seconds
        self._list = self.manager.list_jobs
        self.manager.list_jobs = self._fail  # type: ignore[method-assign]  # replaced for these tests
        poller = JobPoller(self.manager, on_error=self._complain, clock=self.clock)
        self.reader = UpdateReader(poller, self.clock)

    async def _fail(self, space: str, known: str) -> tuple[tuple[ClusterJob, ...] | None, str]:
        if space not in self.names:
            return await self._list(space, known)
        self.tries.append(self.clock.steady())
        self.clock.advance(self._seconds)
        raise self._error

    def _complain(self, error: StorageError) -> None:
        self.complaints.append(error.detail)

    @property
    def pauses(self) -> list[float]:
        """The seconds from the end of each failure to the next try."""
        return [later - begin - self._seconds for begin, later in pairwise(self.tries)]

    async def seconds_to_see(self, space: str, job: int) -> float:
        """Put a job into a space, and return the time until it is reported."""
        began = self.clock.steady()
        self.manager.put(space, job)
        assert await self.reader.updates() == [(space, job, Status.RUNNING, UpdateKind.FIRST)]
        return self.clock.steady() - began


@pytest.mark.parametrize("code", [ErrorCode.REJECTED, ErrorCode.UNREACHABLE])
@pytest.mark.parametrize("seconds", [0, 4, 40])
def test_failing_list_is_tried_less_often_others_as_usual(seconds: float, code: ErrorCode) -> None:
    async def test() -> None:
        cluster = Failing("s3", code=code, seconds=seconds)
        await cluster.reader.silence(200)
        lists = sum(asked.startswith("jobs") for asked in cluster.manager.asked)
        assert lists <= (cluster.clock.steady() - 1000 + IDLE_SECONDS) * IDLE_LISTS
        assert cluster.complaints == ["memory is exceeded"]
        # the poller may have just begun another round
        steps = (2, 4, 8, 16, ERROR_SECONDS, ERROR_SECONDS)
        assert all(step <= pause <= step + 2 for step, pause in zip(steps, cluster.pauses, strict=False)), (
            cluster.pauses
        )
        assert await cluster.seconds_to_see("s19", 1) <= IDLE_SECONDS + seconds
        cluster.names.clear()
        assert await cluster.seconds_to_see("s3", 2) <= ERROR_SECONDS + 2
        await cluster.reader.close()

    run(test())


def test_list_that_failed_once_is_repeated_soon() -> None:
    async def test() -> None:
        cluster = Failing("s3", code=ErrorCode.REJECTED, seconds=4)
        await cluster.reader.silence(1)
        cluster.names.clear()
        assert await cluster.seconds_to_see("s3", 1) <= 4
        await cluster.reader.close()

    run(test())


def test_two_failing_lists_do_not_keep_the_others_waiting() -> None:
    async def test() -> None:
        cluster = Failing("s0", "s1", code=ErrorCode.UNREACHABLE, seconds=3)
        await cluster.reader.silence(60)
        assert await cluster.seconds_to_see("s2", 1) <= IDLE_SECONDS + 2 * 3
        await cluster.reader.close()

    run(test())


def test_unlisted_space_that_times_out_delays_no_other() -> None:
    async def test() -> None:
        cluster = Failing("s0", code=ErrorCode.TIMEOUT, seconds=3)
        cluster.names.clear()
        await cluster.reader.silence(10)
        cluster.names.add("s0")
        del cluster.manager.there["s0"]
        await cluster.reader.silence(60)
        assert await cluster.seconds_to_see("s2", 1) <= IDLE_SECONDS + 2 * 3
        assert cluster.pauses[:3] == sorted(cluster.pauses[:3])
        await cluster.reader.close()

    run(test())


def test_list_that_times_out_is_paced_over_reconnects() -> None:
    async def test() -> None:
        cluster = Failing("s0", code=ErrorCode.TIMEOUT)
        layout = cluster.manager.layout

        async def layout_after_loss() -> tuple[tuple[Space, ...], tuple[Host, ...]]:
            if len(cluster.tries) > len(lost):  # the list took 30 seconds and the connection with it
                lost.append(cluster.clock.steady())
                cluster.clock.advance(30)
                loop = asyncio.get_running_loop()
                loop.call_soon(cluster.manager.set_connection, ConnectionState.LOST)
                loop.call_later(0.01, cluster.manager.set_connection, ConnectionState.CONNECTED)
                raise StorageError(ErrorCode.UNREACHABLE, "", "", "no connection to the cluster")
            return await layout()

        lost: list[float] = []
        cluster.manager.layout = layout_after_loss  # type: ignore[method-assign]  # replaced for this test
        await cluster.reader.silence(300)
        assert len(cluster.tries) <= 8
        assert await cluster.seconds_to_see("s19", 1) <= 30 + IDLE_SECONDS
        await cluster.reader.close()

    run(test())


def test_job_that_cannot_be_shown_does_not_keep_others_waiting() -> None:
    async def test() -> None:
        cluster = Failing(code=ErrorCode.UNREACHABLE)
        manager, show = cluster.manager, cluster.manager.show

        async def fail(space: str, job: int) -> ClusterJob:
            if space == "s0":
                manager.asked.append("show s0")
                raise StorageError(ErrorCode.UNREACHABLE, "", space, "RPC failure in MetaClient")
            return await show(space, job)

        manager.show = fail  # type: ignore[method-assign]  # replaced for this test
        manager.put("s0", 1)
        manager.put("s1", 2)
        assert await cluster.reader.updates() == [("s1", 2, Status.RUNNING, UpdateKind.FIRST)]
        manager.asked.clear()
        await cluster.reader.silence(100)
        assert manager.asked.count("show s1 2") >= 90
        assert 1 <= manager.asked.count("show s0") <= 8
        assert cluster.complaints == ["RPC failure in MetaClient"]
        manager.show = show  # type: ignore[method-assign]  # as it was
        assert await cluster.reader.updates() == [("s0", 1, Status.RUNNING, UpdateKind.FIRST)]
        await cluster.reader.close()

    run(test())


def test_list_of_spaces_that_was_refused_once_is_repeated_soon() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        manager.errors[""] = StorageError(ErrorCode.REJECTED, "", "", "memory is exceeded")
        await reader.silence(1)
        del manager.errors[""]
        began = clock.steady()
        manager.put("nba", 1)
        assert await reader.updates() == [("nba", 1, Status.RUNNING, UpdateKind.FIRST)]
        assert clock.steady() - began <= 3
        manager.errors[""] = StorageError(ErrorCode.REJECTED, "", "", "memory is exceeded")
        manager.asked.clear()
        await reader.silence(300)
        assert len(manager.asked) <= 5 + 5 + 300 / ERROR_SECONDS
        await reader.close()

    run(test())


def test_idle_spaces_share_a_few_lists_a_second() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager([f"s{n}" for n in range(20)]), PatientClock()
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.silence(30)
        manager.asked.clear()
        await reader.silence(100)
        lists = [asked for asked in manager.asked if asked.startswith("jobs")]
        assert len(lists) <= (100 + IDLE_SECONDS) * IDLE_LISTS
        manager.put("s7", 1)
        began = clock.steady()
        assert await reader.updates() == [("s7", 1, Status.RUNNING, UpdateKind.FIRST)]
        assert clock.steady() - began <= IDLE_SECONDS
        manager.asked.clear()
        await reader.silence(10)
        assert manager.asked.count("jobs s7") >= 9  # it is busy now
        await reader.close()

    run(test())


def test_failed_job_is_polled_until_its_tasks_end() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1, Status.FAILED)
        running = Task(0, "10.0.0.5", Status.RUNNING, start=START)
        manager.change("nba", 1, tasks=(running,))
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        (first,) = await reader.batch()
        assert first.job.tasks == (running,)
        await reader.silence(30)
        later = START + timedelta(seconds=17)
        done = replace(running, status=Status.FINISHED, stop=later)
        manager.change("nba", 1, tasks=(done,), stop=later)
        (second,) = await reader.batch()
        assert (second.kind, second.job.stop) == (UpdateKind.AFTER_END, later)
        manager.asked.clear()
        await reader.silence(30)
        assert "show nba 1" not in manager.asked
        await reader.close()

    run(test())


def test_forgotten_failed_job_is_no_longer_polled() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1, Status.FAILED)
        manager.change("nba", 1, tasks=(Task(0, "10.0.0.5", Status.RUNNING, start=START),))
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.batch()
        del manager.there["nba"][1]
        (gone,) = await reader.batch()
        assert (gone.job.status, gone.kind) == (Status.FAILED, UpdateKind.AFTER_END)
        assert [(task.status, task.detached) for task in gone.job.tasks or ()] == [(Status.STOPPED, True)]
        await reader.close()

    run(test())


def test_unchanged_list_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        cluster, clock = Cluster(), PatientClock()
        for _ in range(30):
            cluster.ended_job("nba")
        decoded: list[int] = []
        parse = ngql.parse_jobs

        def counted(table: ngql.NgqlTable, since: int = 0) -> tuple[ClusterJob, ...]:
            decoded.append(len(table.rows))
            return parse(table, since)

        monkeypatch.setattr(ngql, "parse_jobs", counted)

        def lists() -> int:
            return sum(statement.endswith("SHOW JOBS") for statement in cluster.statements)

        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, clock=clock) as manager:
                reader = UpdateReader(JobPoller(manager, clock=clock), clock)

                async def listed_again() -> None:
                    before = lists()
                    while lists() < before + 2:  # the first of them may have been under way
                        await reader.silence(1)

                await reader.batch()
                await listed_again()
                assert decoded == [30]
                job = cluster.submit("nba", "COMPACT")
                assert await reader.updates() == [("nba", job, Status.RUNNING, UpdateKind.FIRST)]
                await listed_again()
                assert decoded == [30, 31]
                graphd.drop_clients()  # a new connection knows the list, too
                await listed_again()
                cluster.finish(job)
                assert await reader.updates() == [("nba", job, Status.FINISHED, UpdateKind.CHANGED)]
                await listed_again()
                assert decoded == [30, 31, 31]
                assert len(await manager.jobs("nba")) == 31
                await reader.close()

    run(test())


def test_space_missing_for_a_moment_is_read_again() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(("nba", "other")), PatientClock()
        manager.put("nba", 1)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.batch()
        kept = manager.there.pop("nba")
        manager.errors["nba"] = StorageError(ErrorCode.MISSING, "", "nba", "SpaceNotFound: SpaceName `nba`")
        (gone,) = await reader.batch()
        assert gone.job.status is Status.FAILED
        manager.there["nba"] = kept  # the same list
        del manager.errors["nba"]
        assert await reader.updates() == [("nba", 1, Status.RUNNING, UpdateKind.FIRST)]
        await reader.close()

    run(test())


def test_job_of_a_space_that_is_not_listed_once_is_not_lost() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1)
        show, layout, restarting = manager.show, manager.layout, ["show", "layout"]

        async def break_once(space: str, job: int) -> ClusterJob:
            if "show" in restarting:
                restarting.remove("show")
                raise StorageError(ErrorCode.UNREACHABLE, "", space, "RPC failure in MetaClient")
            return await show(space, job)

        async def hide_once() -> tuple[tuple[Space, ...], tuple[Host, ...]]:
            spaces, hosts = await layout()
            if restarting == ["layout"]:
                restarting.clear()
                return (), hosts
            return spaces, hosts

        manager.show, manager.layout = break_once, hide_once  # type: ignore[method-assign]  # for this test
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        assert await reader.updates() == [("nba", 1, Status.RUNNING, UpdateKind.FIRST)]
        assert not restarting
        await reader.close()

    run(test())


def test_unshown_job_is_shown_later_from_an_equal_list() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1)
        show, refused = manager.show, [1]

        async def refuse_once(space: str, job: int) -> ClusterJob:
            if refused:
                refused.clear()
                raise StorageError(ErrorCode.REJECTED, "", space, "memory is exceeded")
            return await show(space, job)

        manager.show = refuse_once  # type: ignore[method-assign]  # replaced for this test
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        assert await reader.updates() == [("nba", 1, Status.RUNNING, UpdateKind.FIRST)]
        await reader.close()

    run(test())
