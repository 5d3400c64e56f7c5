"""A password is used to log in, and appears nowhere."""

from __future__ import annotations

import logging

import pytest

from jobtui.errors import ErrorCode
from jobtui.model import ConnectionState
from jobtui.storage.nebula.settings import EnvironmentPassword, LiteralPassword, Secret
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import ConnectionLog, PatientClock, failure, job_manager, run
from tests.support.nebula_cluster import Cluster


def test_missing_password_is_refused_before_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.delenv("SECRET", raising=False)
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd, password=EnvironmentPassword("SECRET")) as manager:
                error = await failure(manager.ready())
                assert (error.code, manager.link.state) == (ErrorCode.ACCESS, ConnectionState.REFUSED)
                assert "SECRET is not set" in error.detail
                assert graphd.cluster.logins == []

    run(test())


def test_password_shows_in_no_error_no_link_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    password = "s3cr3t-Passw0rd"

    async def test() -> list[str]:
        texts: list[str] = []
        cluster = Cluster()
        with GraphdDouble(cluster) as graphd:
            for refusal in (None, ("E_BAD_USERNAME_PASSWORD", f"Invalid password {password}")):
                cluster.login_errors = refusal
                cluster.users["root"] = "nebula" if refusal is None else password
                async with job_manager(
                    graphd, password=LiteralPassword(Secret(password)), clock=PatientClock()
                ) as manager:
                    links = ConnectionLog(manager)
                    error: BaseException | None = await failure(manager.ready())
                    texts += [repr(link) for link in links.links]
                    while error is not None:
                        texts += [repr(error), str(error), repr(vars(error))]
                        error = error.__cause__ or error.__context__
        return texts

    with caplog.at_level(logging.DEBUG):
        texts = run(test())
    assert texts
    for text in [*texts, caplog.text]:
        assert password not in text


def test_password_that_is_no_text_shows_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setenv("SECRET", "s3cr3t\udcff")
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(
                graphd, password=EnvironmentPassword("SECRET"), clock=PatientClock()
            ) as manager:
                assert "s3cr3t" not in repr(vars(await failure(manager.ready())))

    run(test())
