"""Requests that change the cluster are sent at most once, and a lost answer is reported."""

from __future__ import annotations

import asyncio

import pytest

from jobtui.errors import ErrorCode
from jobtui.model import ConnectionState
from jobtui.storage.nebula.session import GraphdSession
from tests.support.clock import FakeClock
from tests.support.graphd_double import Fault, GraphdDouble
from tests.support.nebula import ConnectionLog, failure, job_manager, run, settings_for
from tests.support.nebula_cluster import Cluster
from tests.support.nebula_records import Rows


def submits(cluster: Cluster) -> int:
    return sum("SUBMIT" in text for text in cluster.statements)


@pytest.mark.parametrize(("fault", "jobs"), [(Fault.DROP_BEFORE, 0), (Fault.DROP_AFTER, 1), (Fault.GARBAGE, 1)])
def test_command_without_an_answer_is_not_repeated(fault: Fault, jobs: int) -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                await manager.ready()
                graphd.faults.append(fault)
                error = await failure(manager.submit("flush", "nba"))
                assert (error.code, error.outcome_unknown) == (ErrorCode.UNREACHABLE, True)
                assert error.detail.endswith("it may have been done all the same")
                assert submits(cluster) == len(await manager.jobs("nba")) == jobs
                assert manager.link.state is ConnectionState.CONNECTED
                assert await manager.submit("compact", "nba") == jobs + 1

    run(test())


def test_command_timeout_leaves_the_outcome_unknown() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, answer_timeout=0.3) as manager:
                await manager.ready()
                graphd.faults.append(Fault.HANG)
                error = await failure(manager.submit("flush", "nba"))
                assert (error.code, error.outcome_unknown) == (ErrorCode.TIMEOUT, True)
                assert submits(cluster) == 1
                assert [job.command for job in await manager.jobs("nba")] == ["flush"]

    run(test())


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.GARBAGE])
def test_stopping_and_recovering_are_orders_too(fault: Fault) -> None:
    async def test() -> None:
        cluster = Cluster()
        failed = cluster.ended_job("nba", "COMPACT", "FAILED")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                await manager.ready()
                for order in (lambda: manager.recover("nba", [failed]), lambda: manager.stop("nba", failed)):
                    graphd.faults.append(fault)
                    assert (await failure(order())).outcome_unknown
        assert sum("RECOVER" in text for text in cluster.statements) == 1
        assert sum("STOP" in text for text in cluster.statements) == 1

    run(test())


def test_graphd_restart_between_commands_is_unambiguous() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                assert await manager.submit("flush", "nba") == 1
                graphd.down()
                graphd.up()
                assert await manager.submit("compact", "nba") == 2
        assert submits(cluster) == 2

    run(test())


def test_order_that_reaches_no_graphd_was_not_sent() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, clock=FakeClock()) as manager:
                log = ConnectionLog(manager)
                await manager.ready()
                graphd.down()
                error = await failure(manager.submit("flush", "nba"))
                assert (error.code, error.outcome_unknown) == (ErrorCode.UNREACHABLE, False)
                assert "Connection refused" in error.detail
                await log.until(ConnectionState.LOST)
        assert submits(cluster) == 0

    run(test())


@pytest.mark.parametrize("code", ["leaderless", "loses_metad"])
def test_metad_failure_leaves_the_outcome_unknown(code: str) -> None:
    async def test() -> None:
        cluster = Cluster()
        setattr(cluster, code, 1)
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                error = await failure(manager.submit("flush", "nba"))
                assert (error.code, error.outcome_unknown) == (ErrorCode.UNREACHABLE, True)
                assert submits(cluster) == 1

    run(test())


def test_refusal_has_a_known_outcome() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                for call in (manager.stop("nba", 7), manager.submit("flush", "gone")):
                    assert not (await failure(call)).outcome_unknown

    run(test())


@pytest.mark.parametrize("answer", [Rows(["Id"], [[1]]), Rows(["New Job Id"], [[0]]), Rows(["New Job Id"], [])])
def test_order_whose_answer_cannot_be_read_was_carried_out(
    monkeypatch: pytest.MonkeyPatch, answer: Rows
) -> None:
    async def test() -> None:
        cluster = Cluster()
        submit = cluster._submit
        monkeypatch.setattr(cluster, "_submit", lambda *words: (submit(*words), answer)[1])
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                error = await failure(manager.submit("flush", "nba"))
                assert (error.code, error.outcome_unknown) == (ErrorCode.UNSUPPORTED, True)
                assert [job.id for job in await manager.jobs("nba")] == [1]

    run(test())


def test_request_canceled_before_its_turn_is_never_sent() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            session = GraphdSession(settings_for(graphd), "test")
            await session.connect()
            graphd.faults.append(Fault.HANG)
            before = asyncio.ensure_future(session.query("SHOW SPACES"))
            await asyncio.to_thread(graphd.hanging.wait)
            waiting = asyncio.ensure_future(session.execute("USE nba; SUBMIT JOB FLUSH"))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            graphd.go_on()
            await before
            await session.query("SHOW SPACES")
            await session.close()
        assert waiting.cancelled()
        assert submits(cluster) == 0

    run(test())
