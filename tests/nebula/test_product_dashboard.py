"""The dashboard on a graphd, in a terminal: connected, lost, slow, refused, and reconnected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.graphd_double import Fault, GraphdDouble
from tests.support.nebula_cluster import NOT_STOPPABLE, TWO_SPACES, Cluster
from tests.support.nebula_product import NebulaCommand
from tests.support.terminal import Terminal
from tests.support.waiting import eventually

WORD = "s3cr3t-Passw0rd"


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster(TWO_SPACES)
    cluster.users["root"] = WORD
    return cluster


@contextmanager
def on_screen(home: Path, graphd: GraphdDouble) -> Iterator[Terminal]:
    jobtui = NebulaCommand(home, graphd, password=WORD)
    with Terminal(jobtui.words(), columns=140, rows=30, environment=jobtui.environment, cwd=home) as terminal:
        terminal.shows(f"● 127.0.0.1:{graphd.port}", "2 hosts")
        words = Path(f"/proc/{terminal.process.pid}/cmdline")
        assert not words.exists() or WORD.encode() not in words.read_bytes()
        yield terminal
        assert WORD.encode() not in terminal.output
    assert not [file for file in home.rglob("*") if file.is_file() and WORD.encode() in file.read_bytes()]


def send(terminal: Terminal, text: str) -> None:
    """From the command bar, and leave it open."""
    terminal.press(":")
    terminal.shows("esc leave")
    terminal.paste(text)
    terminal.press("enter")


def test_own_and_other_jobs_progress_on_screen(tmp_path: Path, cluster: Cluster, graphd: GraphdDouble) -> None:
    with on_screen(tmp_path, graphd) as terminal:
        send(terminal, "USE nba; SUBMIT JOB COMPACT")
        terminal.shows("compact nba", "▶ running", "1 on 127")
        cluster.submit("test2", "STATS")
        terminal.shows("stats test2", "▶ 2 running")
        terminal.paste("STOP JOB 1")
        terminal.press("enter")
        terminal.shows("was not stopped; the cluster says", NOT_STOPPABLE[:40])
        cluster.finish(1, host="10.0.0.5", code="E_RPC_FAILURE")
        cluster.finish(1, host="10.0.0.6")
        terminal.shows("✖ failed", "E_RPC_FAILURE")
        terminal.paste("RECOVER JOB 1")
        terminal.press("enter")
        terminal.until(lambda _: cluster.status(1) == "RUNNING")
        cluster.finish(1)
        terminal.shows("✔ finished")
        terminal.paste("BACKUP JOB 1 1")
        terminal.press("enter")
        terminal.shows("Archived only in jobtui's history")


def test_lost_graphd_shows_since_when_and_next_attempt(
    tmp_path: Path, cluster: Cluster, graphd: GraphdDouble
) -> None:
    with on_screen(tmp_path, graphd) as terminal:
        send(terminal, "ADMIN FLUSH nba")
        terminal.shows("▶ running")
        graphd.down()
        terminal.shows("✖ lost", "No connection since", "Connection refused", "Tries again in", "▶ running")
        terminal.paste("ADMIN COMPACT nba")
        terminal.press("enter")
        terminal.shows("no connection to the cluster since")
        cluster.finish(1)
        graphd.up()
        terminal.shows(f"● 127.0.0.1:{graphd.port}", "✔ finished")
        assert "No connection since" not in terminal.text()
        assert sum("SUBMIT" in text for text in cluster.statements) == 1


def test_screen_does_not_wait_for_a_silent_graphd(
    tmp_path: Path, cluster: Cluster, graphd: GraphdDouble
) -> None:
    with on_screen(tmp_path, graphd) as terminal:
        graphd.fault_of["SUBMIT"] = Fault.HANG
        send(terminal, "ADMIN FLUSH nba")
        terminal.shows("flush nba", "◷ queue", "sent to 127")
        terminal.press("escape")
        cluster.submit("test2", "STATS")
        terminal.shows("stats test2", "▶ running")
        terminal.press("?")
        terminal.shows("Run the marked jobs")
        terminal.press("escape")
        graphd.go_on()
        terminal.shows("▶ 2 running")
        assert sum("SUBMIT" in text for text in cluster.statements) == 1


def test_changed_password_is_refused_once_until_a_retry(
    tmp_path: Path, cluster: Cluster, graphd: GraphdDouble
) -> None:
    with on_screen(tmp_path, graphd) as terminal:
        cluster.users["root"] = "another"
        cluster.expire_sessions()
        terminal.shows("✖ refused", "Not connected", "Invalid password", "R tries again")
        refused = len(cluster.logins)
        cluster.users["root"] = WORD
        terminal.press("R")
        terminal.shows(f"● 127.0.0.1:{graphd.port}")
        sessions = 3  # for lists of jobs, other queries and commands; each logs in once if it is needed
        assert refused < len(cluster.logins) <= refused + sessions
        terminal.press("q")
        assert terminal.ended() == 0
    eventually(lambda: cluster.sessions == {})
