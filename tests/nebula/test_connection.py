"""The connection to graphd: established, lost, reestablished, refused; and the reports of its state."""

from __future__ import annotations

import asyncio
import sys

import pytest

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState
from jobtui.storage.nebula.job_manager import GraphdJobManager
from jobtui.storage.nebula.reconnector import Reconnector
from tests.support.graphd_double import Fault, GraphdDouble
from tests.support.nebula import (
    SESSIONS,
    ConnectionLog,
    PatientClock,
    failure,
    job_manager,
    run,
    settings_for,
)
from tests.support.nebula_cluster import Cluster


def reported_waits(log: ConnectionLog) -> list[float]:
    return [link.retry_in for link in log.links if link.retry_in is not None]


def test_it_is_connecting_and_then_connected() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                log = ConnectionLog(manager)
                assert log.states == [ConnectionState.CONNECTING]
                await manager.ready()
                link = await log.until(ConnectionState.CONNECTED)
                assert link.address == f"127.0.0.1:{graphd.port}"
                assert link.since.tzinfo is not None
            assert log.states[-1] is ConnectionState.CLOSED

    run(test())


def test_missing_graphd_is_lost_and_retried_with_backoff() -> None:
    async def test() -> None:
        clock = PatientClock()
        with GraphdDouble(Cluster()) as graphd:
            graphd.down()
            async with job_manager(graphd, clock=clock) as manager:
                log = ConnectionLog(manager)
                error = await failure(manager.ready())
                assert error.code is ErrorCode.UNREACHABLE
                assert "Connection refused" in error.detail
                lost = log.links[-1]
                assert (lost.state, lost.retry_in, lost.since) == (ConnectionState.LOST, 1.0, clock.now())
                began = clock.now()
                await clock.let_pass(log.wait_for(lambda: len(reported_waits(log)) == 8))
                assert reported_waits(log) == [1, 2, 4, 8, 15, 30, 30, 30]
                assert {link.since for link in log.links if link.state is ConnectionState.LOST} == {began}
                graphd.up()
                await clock.let_pass(log.until(ConnectionState.CONNECTED))
                assert [space.name for space in await manager.spaces()] == ["nba"]

    run(test())


def test_lost_connection_fails_at_once_and_sends_nothing() -> None:
    async def test() -> None:
        clock = PatientClock()
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd, clock=clock) as manager:
                await manager.ready()
                graphd.down()
                assert (await failure(manager.jobs("nba"))).code is ErrorCode.UNREACHABLE
                assert manager.link.state is ConnectionState.LOST
                sent = len(graphd.cluster.statements)
                local = manager.link.since.astimezone().strftime("%H:%M:%S")
                for call in (manager.jobs("nba"), manager.submit("flush", "nba"), manager.spaces()):
                    error = await failure(call)
                    assert error.code is ErrorCode.UNREACHABLE
                    assert error.detail.startswith(f"no connection to the cluster since {local}: ")
                    assert not error.outcome_unknown
                assert len(graphd.cluster.statements) == sent

    run(test())


def test_reconnect_can_be_requested_at_once() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            graphd.down()
            async with job_manager(graphd, clock=PatientClock()) as manager:
                log = ConnectionLog(manager)
                await failure(manager.ready())
                graphd.up()
                manager.retry_now()
                await log.until(ConnectionState.CONNECTED)

    run(test())


def test_one_of_three_graphds_down_is_no_obstacle() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as one, GraphdDouble(cluster) as two, GraphdDouble(cluster) as three:
            one.down()
            async with job_manager(one, two, three) as manager:
                await manager.ready()
                assert manager.link.address == f"127.0.0.1:{two.port}"
                assert await manager.submit("flush", "nba") == 1

    run(test())


def test_query_fails_over_to_another_graphd() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as one, GraphdDouble(cluster) as two:
            async with job_manager(one, two) as manager:
                log = ConnectionLog(manager)
                assert await manager.jobs("nba") == ()
                one.down()
                assert await manager.jobs("nba") == ()
                assert [space.name for space in await manager.spaces()] == ["nba"]
                assert await manager.submit("flush", "nba") == 1
                assert ConnectionState.LOST not in log.states
                assert manager.link.address == f"127.0.0.1:{two.port}"
        assert len(cluster.logins) == SESSIONS  # the session is the cluster's: it lives on

    run(test())


def test_slow_graphd_blocks_neither_loop_nor_commands() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                await manager.ready()
                graphd.faults.append(Fault.HANG)
                look = asyncio.ensure_future(manager.jobs("nba"))
                await asyncio.to_thread(graphd.hanging.wait)
                assert await manager.submit("flush", "nba") == 1
                assert not look.done()
                graphd.go_on()
                assert await look == ()

    run(test())


def test_slow_query_is_reported_until_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobtui.storage.nebula.job_manager.SLOW_ANSWER_SECONDS", 0.01)

    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                await manager.ready()
                log = ConnectionLog(manager)
                graphd.faults.append(Fault.HANG)
                call = asyncio.ensure_future(manager.jobs("nba"))
                await log.wait_for(lambda: log.links[-1].detail)
                assert log.links[-1].detail.startswith("no answer since ")
                assert log.links[-1].state is ConnectionState.CONNECTED
                # the next query must not count as slow, however busy this machine is
                monkeypatch.setattr("jobtui.storage.nebula.job_manager.SLOW_ANSWER_SECONDS", 60.0)
                assert len(await manager.spaces()) == 1  # it waits for no list, and ends no warning about one
                assert manager.link.detail.startswith("no answer since ")
                graphd.go_on()
                await call
                await log.wait_for(lambda: not log.links[-1].detail)
                assert (log.links[-1].state, log.links[-1].address) == (
                    ConnectionState.CONNECTED,
                    f"127.0.0.1:{graphd.port}",
                )

    run(test())


def test_query_that_waits_for_its_turn_is_not_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[float] = []
    monkeypatch.setattr("jobtui.storage.nebula.job_manager.SLOW_ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(Reconnector, "on_slow_answer", lambda reconnector, seconds: late.append(seconds))

    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                await manager.ready()
                graphd.faults.append(Fault.HANG)
                first = asyncio.ensure_future(manager.jobs("nba"))
                await asyncio.to_thread(graphd.hanging.wait)
                second = asyncio.ensure_future(manager.jobs("nba"))
                later = asyncio.Event()
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_later(0.01, later.set)  # after any timer of the second's
                await later.wait()
                assert late == [0.01]
                graphd.go_on()
                await asyncio.gather(first, second)

    run(test())


@pytest.mark.parametrize("word", ["SHOW SPACES", "SHOW HOSTS", "SHOW JOBS"])
def test_graphd_restart_between_queries_of_a_poll_is_unnoticed(word: str) -> None:
    async def test() -> None:
        cluster = Cluster()
        job = cluster.submit("nba", "COMPACT")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                await manager.ready()
                log = ConnectionLog(manager)
                graphd.fault_of[word] = Fault.DROP_BEFORE
                spaces, hosts = await manager.layout()
                listed = await manager.jobs("nba")
                assert ([one.name for one in spaces], len(hosts), [one.id for one in listed]) == (
                    ["nba"],
                    1,
                    [job],
                )
                assert log.states == [ConnectionState.CONNECTED]
                assert len(cluster.logins) == 2  # lists have their own session; a session is the cluster's

    run(test())


def test_answer_that_does_not_come_in_time_is_a_timeout() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd, answer_timeout=0.3, clock=PatientClock()) as manager:
                await manager.ready()
                graphd.faults += [Fault.HANG, Fault.HANG]
                error = await failure(manager.jobs("nba"))
                assert (error.code, error.detail) == (ErrorCode.TIMEOUT, "graphd did not answer in time")
                assert (manager.link.state, manager.link.detail) == (ConnectionState.LOST, error.detail)

    run(test())


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.GARBAGE])
def test_query_with_a_lost_answer_is_repeated(fault: Fault) -> None:
    async def test() -> None:
        cluster = Cluster()
        cluster.ended_job("nba")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                log = ConnectionLog(manager)
                await manager.ready()
                graphd.faults.append(fault)
                assert [job.id for job in await manager.jobs("nba")] == [1]
                assert ConnectionState.LOST not in log.states

    run(test())


def test_graphd_that_sends_garbage_is_lost_with_a_reason() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd, clock=PatientClock()) as manager:
                await manager.ready()
                graphd.faults += [Fault.GARBAGE] * 2
                error = await failure(manager.jobs("nba"))
                assert error.code is ErrorCode.UNREACHABLE
                assert "cannot be decoded" in error.detail

    run(test())


def test_new_metad_leader_is_awaited_and_queried() -> None:
    async def test() -> None:
        clock = PatientClock()
        cluster = Cluster()
        cluster.ended_job("nba")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, clock=clock) as manager:
                await manager.ready()
                cluster.leaderless = 1
                look = asyncio.ensure_future(manager.jobs("nba"))
                assert [job.id for job in await clock.let_pass(look)] == [1]
                cluster.leaderless = 2
                look = asyncio.ensure_future(manager.jobs("nba"))
                error = await failure(clock.let_pass(look))
                assert (error.code, error.detail) == (ErrorCode.UNREACHABLE, "LeaderChanged: Leader changed!")
                assert manager.link.state is ConnectionState.CONNECTED

    run(test())


def test_graphd_of_another_version_is_refused() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            graphd.greetings = (b"4.0.0",)
            async with job_manager(graphd) as manager:
                error = await failure(manager.ready())
                assert (error.code, manager.link.state) == (ErrorCode.UNSUPPORTED, ConnectionState.REFUSED)
                assert "does not accept this client" in error.detail
                assert graphd.cluster.logins == []

    run(test())


def test_close_logs_out_and_disconnects() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                await manager.jobs("nba")
                await manager.submit("flush", "nba")
                assert len(graphd.cluster.sessions) == SESSIONS
            await asyncio.to_thread(graphd.wait_until_alone)
            assert graphd.cluster.sessions == {}
            assert (await failure(manager.jobs("nba"))).code is ErrorCode.UNREACHABLE

    run(test())


def test_closing_does_not_wait_for_a_missing_answer() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                await manager.ready()
                graphd.faults.append(Fault.HANG)
                look = asyncio.ensure_future(manager.jobs("nba"))
                await asyncio.to_thread(graphd.hanging.wait)
            assert (await failure(look)).code is ErrorCode.UNREACHABLE

    run(test())


def test_missing_client_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setitem(sys.modules, "jobtui.storage.nebula.thrift", None)
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                error = await failure(manager.ready())
                assert (error.code, manager.link.state) == (ErrorCode.UNSUPPORTED, ConnectionState.REFUSED)
                assert "pip install 'jobtui[nebula]'" in error.detail

    run(test())


def test_unstarted_job_manager_fails_at_once() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd, pytest.raises(StorageError, match="is connecting"):
            await GraphdJobManager(settings_for(graphd)).jobs("nba")

    run(test())
