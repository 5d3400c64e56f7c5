"""Logins to graphd, and sessions that it ends: refused, awaited, replaced."""

from __future__ import annotations

import pytest

from jobtui.errors import ErrorCode
from jobtui.model import ConnectionState
from jobtui.storage.nebula.session import TYPED_PASSWORD
from jobtui.storage.nebula.settings import EnvironmentPassword, LiteralPassword, Secret
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import SESSIONS, ConnectionLog, PatientClock, failure, job_manager, run
from tests.support.nebula_cluster import Cluster


def test_wrong_password_is_refused_once_and_is_not_tried_again() -> None:
    async def test() -> None:
        clock = PatientClock()
        cluster = Cluster()
        with GraphdDouble(cluster) as one, GraphdDouble(cluster) as two:
            async with job_manager(one, two, clock=clock, password=LiteralPassword(Secret("wrong"))) as manager:
                error = await failure(manager.ready())
                assert error.code is ErrorCode.ACCESS
                assert error.detail == f"graphd refused the login of 'root': Invalid password; {TYPED_PASSWORD}"
                assert manager.link.state is ConnectionState.REFUSED
                for call in (manager.jobs("nba"), manager.submit("flush", "nba")):
                    assert (await failure(call)).code is ErrorCode.ACCESS
                clock.advance(3600)
                assert cluster.logins == ["root"]
                assert not clock.sleepers

    run(test())


def test_stored_password_can_be_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            monkeypatch.setenv("PROD_PASSWORD", "typo")
            async with job_manager(graphd, password=EnvironmentPassword("PROD_PASSWORD")) as manager:
                error = await failure(manager.ready())
                assert error.detail == "graphd refused the login of 'root': Invalid password"

    run(test())


def test_refused_login_leaves_no_connection_or_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        cluster = Cluster()
        monkeypatch.setenv("SECRET", "wrong")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, password=EnvironmentPassword("SECRET")) as manager:
                for _ in range(20):
                    await failure(manager.ready())
                    manager.retry_now()
                await failure(manager.ready())
                assert (cluster.logins, cluster.sessions) == (["root"] * 21, {})
                monkeypatch.setenv("SECRET", "nebula")
                manager.retry_now()
                await manager.ready()
                assert graphd.connections == 22
                graphd.wait_until_alone(but=1)
                assert (graphd.clients, len(cluster.sessions)) == (1, 1)

    run(test())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("E_BAD_USERNAME_PASSWORD", "Meta Service not ready"),
        ("E_TOO_MANY_CONNECTIONS", "Too many connections in the cluster"),
        ("E_SESSION_INVALID", "Create Session failed: Too many sessions created from 10.0.0.9 by user root"),
    ],
)
def test_graphd_that_is_not_ready_for_a_login_is_waited_for(code: str, words: str) -> None:
    async def test() -> None:
        clock = PatientClock()
        cluster = Cluster()
        cluster.login_errors = (code, words)
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, clock=clock) as manager:
                log = ConnectionLog(manager)
                error = await failure(manager.ready())
                assert error.code is ErrorCode.UNREACHABLE
                assert words in error.detail
                assert manager.link.state is ConnectionState.LOST
                cluster.login_errors = None
                await clock.let_pass(log.until(ConnectionState.CONNECTED))

    run(test())


def test_locked_account_is_refused_with_the_clusters_message() -> None:
    async def test() -> None:
        cluster = Cluster()
        words = "5 times consecutive incorrect passwords has been input, user name: root has been locked, "
        cluster.login_errors = ("E_BAD_USERNAME_PASSWORD", words + "try again in 300 seconds")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, clock=PatientClock()) as manager:
                assert "try again in 300 seconds" in (await failure(manager.ready())).detail
                assert manager.link.state is ConnectionState.REFUSED

    run(test())


def test_expired_session_is_replaced_transparently() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                log = ConnectionLog(manager)
                await manager.jobs("nba")
                await manager.submit("flush", "nba")
                cluster.expire_sessions()
                assert [job.id for job in await manager.jobs("nba")] == [1]
                assert await manager.submit("compact", "nba") == 2
                assert ConnectionState.LOST not in log.states
        assert len(cluster.logins) == SESSIONS + 2  # those of lists and commands were used again
        assert sum("SUBMIT JOB COMPACT" in text for text in cluster.statements) == 1

    run(test())


def test_expired_session_with_changed_password_is_refused() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                await manager.jobs("nba")
                cluster.users["root"] = "changed"
                cluster.expire_sessions()
                error = await failure(manager.jobs("nba"))
                assert (error.code, manager.link.state) == (ErrorCode.ACCESS, ConnectionState.REFUSED)
                assert not error.outcome_unknown

    run(test())


@pytest.mark.parametrize("is_known", [True, False])
def test_graphd_killed_and_restarted_costs_one_login_at_most(is_known: bool) -> None:
    """The stock client's session fails with "Unknown client type" from then on; jobtui's continues.

    A session belongs to the cluster: its id is used again over a new connection, and replaced only if graphd
    does not know it. Each command is sent once.
    """

    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                assert await manager.jobs("nba") == ()
                assert await manager.submit("flush", "nba") == 1
                logins = len(cluster.logins)
                for number in (2, 3):
                    cluster.finish(number - 1)
                    graphd.down()
                    if not is_known:
                        cluster.expire_sessions()
                    graphd.up()
                    assert await manager.submit("flush", "nba") == number
                    assert len(await manager.jobs("nba")) == number
                assert manager.link.state is ConnectionState.CONNECTED
                assert sum("SUBMIT" in text for text in cluster.statements) == 3
                assert len(cluster.logins) - logins == (0 if is_known else 2 * 2)  # of two sessions, twice

    run(test())
