"""Wrong TLS settings in a profile: the command line and the dashboard."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import CommandLine
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import Cluster
from tests.support.terminal import Terminal

PEM = Path(__file__).parent / "tls"
TRUSTED = f'tls = {{ ca = "{PEM}/ca.pem" }}'
WAYS = ("we alone", "graphd alone", "an untrusted certificate")
STRANGERS = f'tls = {{ ca = "{PEM}/stranger.pem" }}'


@contextmanager
def a_graphd(*, speaks_tls: bool) -> Iterator[GraphdDouble]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM / "graphd.pem")
    with GraphdDouble(Cluster(auto=True), tls=context if speaks_tls else None) as graphd:
        yield graphd


def profile_on(home: Path, graphd: GraphdDouble, tls: str) -> CommandLine:
    text = (
        f'profile = "prod"\n[profiles.prod]\ncluster = "nebula"\ngraphd = ["127.0.0.1:{graphd.port}"]\n{tls}\n'
    )
    jobtui = CommandLine(home, text)
    jobtui.environment["JOBTUI_NEBULA_PASSWORD"] = "nebula"
    return jobtui


def test_profile_with_the_right_authority_works(tmp_path: Path) -> None:
    with a_graphd(speaks_tls=True) as graphd:
        assert profile_on(tmp_path, graphd, TRUSTED).rows("ADMIN FLUSH nba")[0]["New Job Id"] == 1


@pytest.mark.parametrize(
    ("speaks_tls", "tls", "words"),
    [
        (False, TRUSTED, "TLS: the handshake failed; graphd may not use TLS"),
        (True, "", "it may not be a graphd of 3.x, or it may require TLS"),
        (True, STRANGERS, "TLS: graphd's certificate is not trusted"),
    ],
    ids=WAYS,
)
def test_text_is_refused_in_one_line_and_connections_close(
    tmp_path: Path, speaks_tls: bool, tls: str, words: str
) -> None:
    with a_graphd(speaks_tls=speaks_tls) as graphd:
        ended = profile_on(tmp_path, graphd, tls)("-e", "ADMIN FLUSH nba")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert words in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        graphd.wait_until_alone()
        assert graphd.cluster.logins == []


@pytest.mark.parametrize(
    ("speaks_tls", "tls", "texts"),
    [
        (False, TRUSTED, ("✖ lost", "No connection since", "TLS: the handshake", "now")),
        (True, "", ("✖ lost", "No connection since", "require TLS", "now")),
        (True, STRANGERS, ("✖ refused", "Not connected", "not trusted", "R tries again")),
    ],
    ids=WAYS,
)
def test_dashboard_opens_and_shows_the_error(
    tmp_path: Path, speaks_tls: bool, tls: str, texts: tuple[str, ...]
) -> None:
    with a_graphd(speaks_tls=speaks_tls) as graphd:
        jobtui = profile_on(tmp_path, graphd, tls)
        with Terminal(jobtui.words(), environment=jobtui.environment, cwd=tmp_path, may_fork=True) as terminal:
            screen = terminal.shows(*texts)
            assert "Traceback" not in screen
            terminal.press("q")
            assert terminal.ended() == 0
            assert terminal.is_given_back()
        graphd.wait_until_alone()
