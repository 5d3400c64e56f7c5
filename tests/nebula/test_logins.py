"""Logins to graphd, and sessions that it ends: refused, awaited, replaced."""

from __future__ import annotations

import pytest

from jobtui.errors import ErrorCode
from jobtui.model import ConnectionState
from jobtui.storage.nebula.session import TYPED_PASSWORD
from jobtui.storage.nebula.settings import FromEnvironment, LiteralPassword, Secret
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import SESSIONS, ConnectionLog, PatientClock, failure, mirrored, run
from tests.support.nebula_cluster import Cluster


def test_wrong_password_is_refused_once_and_is_not_tried_again() -> None:
    async def test() -> None:
        clock = PatientClock()
        cluster = Cluster()
        with GraphdDouble(cluster) as one, GraphdDouble(cluster) as two:
            async with mirrored(one, two, clock=clock, password=LiteralPassword(Secret("wrong"))) as mirror:
                error = await failure(mirror.ready())
                assert error.code is ErrorCode.ACCESS
                assert error.detail == f"graphd refused the login of 'root': Invalid password; {TYPED_PASSWORD}"
                assert mirror.link.state is ConnectionState.REFUSED
                for call in (mirror.jobs("nba"), mirror.submit("flush", "nba")):
                    assert (await failure(call)).code is ErrorCode.ACCESS
                clock.advance(3600)
                assert cluster.logins == ["root"]
                assert not clock.sleepers

    run(test())


def test_stored_password_can_be_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            monkeypatch.setenv("PROD_PASSWORD", "typo")
            async with mirrored(graphd, password=FromEnvironment("PROD_PASSWORD")) as mirror:
                error = await failure(mirror.ready())
                assert error.detail == "graphd refused the login of 'root': Invalid password"

    run(test())


def test_refused_login_leaves_no_connection_or_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        cluster = Cluster()
        monkeypatch.setenv("SECRET", "wrong")
        with GraphdDouble(cluster) as graphd:
            async with mirrored(graphd, password=FromEnvironment("SECRET")) as mirror:
                for _ in range(20):
                    await failure(mirror.ready())
                    mirror.retry_now()
                await failure(mirror.ready())
                assert (cluster.logins, cluster.sessions) == (["root"] * 21, {})
                monkeypatch.setenv("SECRET", "nebula")
                mirror.retry_now()
                await mirror.ready()
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
            async with mirrored(graphd, clock=clock) as mirror:
                log = ConnectionLog(mirror)
                error = await failure(mirror.ready())
                assert error.code is ErrorCode.UNREACHABLE
                assert words in error.detail
                assert mirror.link.state is ConnectionState.LOST
                cluster.login_errors = None
                await clock.let_pass(log.until(ConnectionState.CONNECTED))

    run(test())


def test_locked_account_is_refused_with_the_clusters_message() -> None:
    async def test() -> None:
        cluster = Cluster()
        words = "5 times consecutive incorrect passwords has been input, user name: root has been locked, "
        cluster.login_errors = ("E_BAD_USERNAME_PASSWORD", words + "try again in 300 seconds")
        with GraphdDouble(cluster) as graphd:
            async with mirrored(graphd, clock=PatientClock()) as mirror:
                assert "try again in 300 seconds" in (await failure(mirror.ready())).detail
                assert mirror.link.state is ConnectionState.REFUSED

    run(test())


def test_expired_session_is_replaced_transparently() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with mirrored(graphd) as mirror:
                log = ConnectionLog(mirror)
                await mirror.jobs("nba")
                await mirror.submit("flush", "nba")
                cluster.expire_sessions()
                assert [job.id for job in await mirror.jobs("nba")] == [1]
                assert await mirror.submit("compact", "nba") == 2
                assert ConnectionState.LOST not in log.states
        assert len(cluster.logins) == SESSIONS + 2  # those of lists and commands were used again
        assert sum("SUBMIT JOB COMPACT" in text for text in cluster.statements) == 1

    run(test())


def test_expired_session_with_changed_password_is_refused() -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            async with mirrored(graphd) as mirror:
                await mirror.jobs("nba")
                cluster.users["root"] = "changed"
                cluster.expire_sessions()
                error = await failure(mirror.jobs("nba"))
                assert (error.code, mirror.link.state) == (ErrorCode.ACCESS, ConnectionState.REFUSED)
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
            async with mirrored(graphd) as mirror:
                assert await mirror.jobs("nba") == ()
                assert await mirror.submit("flush", "nba") == 1
                logins = len(cluster.logins)
                for number in (2, 3):
                    cluster.finish(number - 1)
                    graphd.down()
                    if not is_known:
                        cluster.expire_sessions()
                    graphd.up()
                    assert await mirror.submit("flush", "nba") == number
                    assert len(await mirror.jobs("nba")) == number
                assert mirror.link.state is ConnectionState.CONNECTED
                assert sum("SUBMIT" in text for text in cluster.statements) == 3
                assert len(cluster.logins) - logins == (0 if is_known else 2 * 2)  # of two sessions, twice

    run(test())
