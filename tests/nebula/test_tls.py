"""TLS with graphd: correct settings, and each kind of wrong ones."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from jobtui.errors import ErrorCode
from jobtui.model import ConnectionState
from jobtui.storage.nebula.settings import Tls
from tests.support.clock import FakeClock
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import failure, job_manager, run
from tests.support.nebula_cluster import Cluster

PEM = Path(__file__).parent / "tls"


def server(*, asks_for_a_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM / "graphd.pem")
    if asks_for_a_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(PEM / "ca.pem")
    return context


@pytest.mark.parametrize("name", ["", "graphd.test"])
def test_trusted_graphd_is_spoken_to_over_tls(name: str) -> None:
    async def test() -> None:
        with GraphdDouble(Cluster(), tls=server()) as graphd:
            async with job_manager(graphd, tls=Tls(ca=PEM / "ca.pem", server_name=name)) as manager:
                assert await manager.submit("flush", "nba") == 1
                assert len(await manager.jobs("nba")) == 1

    run(test())


def test_graphd_that_requests_a_certificate_gets_ours() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster(), tls=server(asks_for_a_certificate=True)) as graphd:
            tls = Tls(ca=PEM / "ca.pem", certificate=PEM / "jobtui.pem")
            async with job_manager(graphd, tls=tls) as manager:
                assert len(await manager.spaces()) == 1

    run(test())


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        (Tls(ca=PEM / "stranger.pem"), "is not trusted"),
        (Tls(), "is not trusted"),
        (Tls(ca=PEM / "ca.pem", server_name="other.test"), "is not trusted: Hostname mismatch"),
        (Tls(ca=PEM / "nowhere.pem"), "nowhere.pem cannot be used"),
    ],
)
def test_untrusted_certificate_is_refused_without_retry(tls: Tls, words: str) -> None:
    async def test() -> None:
        with GraphdDouble(Cluster(), tls=server()) as graphd:
            async with job_manager(graphd, tls=tls, clock=FakeClock()) as manager:
                error = await failure(manager.ready())
                assert (error.code, manager.link.state) == (ErrorCode.ACCESS, ConnectionState.REFUSED)
                assert words in error.detail
                assert graphd.cluster.logins == []

    run(test())


@pytest.mark.parametrize(
    ("graphd_speaks_tls", "tls", "words"),
    [
        (True, None, "or it may require TLS"),
        (False, Tls(ca=PEM / "ca.pem"), "TLS: the handshake failed; graphd may not use TLS"),
    ],
)
def test_tls_on_only_one_side_is_lost_with_a_hint(graphd_speaks_tls: bool, tls: Tls | None, words: str) -> None:
    async def test() -> None:
        with GraphdDouble(Cluster(), tls=server() if graphd_speaks_tls else None) as graphd:
            async with job_manager(graphd, tls=tls, clock=FakeClock(), connect_timeout=1.0) as manager:
                error = await failure(manager.ready())
                assert (error.code, manager.link.state) == (ErrorCode.UNREACHABLE, ConnectionState.LOST)
                assert words in error.detail

    run(test())


def test_missing_client_certificate_is_reported() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster(), tls=server(asks_for_a_certificate=True)) as graphd:
            async with job_manager(graphd, tls=Tls(ca=PEM / "ca.pem"), clock=FakeClock()) as manager:
                error = await failure(manager.ready())
                assert manager.link.state is ConnectionState.LOST
                assert error.detail

    run(test())
