"""`jobtui serve` on a cluster: the connection in its log, and a password that it cannot prompt for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import Cluster
from tests.support.nebula_product import NebulaCommand
from tests.support.waiting import eventually

LOG = "serve.log"
WORD = "s3cr3t-Passw0rd"


@pytest.fixture
def graphd() -> Iterator[GraphdDouble]:
    with GraphdDouble(Cluster()) as graphd:
        yield graphd


@pytest.fixture
def jobtui(tmp_path: Path, graphd: GraphdDouble) -> NebulaCommand:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    jobtui = NebulaCommand(tmp_path, graphd)
    jobtui.environment["XDG_RUNTIME_DIR"] = str(runtime)
    return jobtui


def test_log_has_each_connection_change_once(
    jobtui: NebulaCommand, graphd: GraphdDouble, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file, jobtui.started("serve", stderr=file) as process:

        def lines() -> list[str]:
            return [line.partition(" ")[2] for line in log.read_text().splitlines()]

        eventually(lambda: f"Connected to the cluster at 127.0.0.1:{graphd.port}" in lines())
        graphd.down()
        eventually(lambda: any(line.startswith("No connection to the cluster: ") for line in lines()))
        graphd.up()
        eventually(lambda: sum(line.startswith("Connected to the cluster") for line in lines()) == 2)
        assert sum(line.startswith("No connection") for line in lines()) <= 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "Traceback" not in log.read_text()


def test_refused_login_is_in_its_log_with_the_reason(jobtui: NebulaCommand, tmp_path: Path) -> None:
    jobtui.environment["JOBTUI_NEBULA_PASSWORD"] = WORD
    log = tmp_path / "log"
    with log.open("wb") as file, jobtui.started("serve", stderr=file) as process:
        eventually(lambda: "Not connected to the cluster" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "graphd refused the login of 'root': Invalid password" in log.read_text()
    assert WORD not in log.read_text()


def test_background_server_reports_a_missing_password(tmp_path: Path) -> None:
    with GraphdDouble(Cluster()) as graphd:
        ended = NebulaCommand(tmp_path, graphd, password=None)("serve", "--background")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == (
            "jobtui: no password: the environment variable JOBTUI_NEBULA_PASSWORD is not set; "
            "a server in the background cannot ask for it: set it, or store it in the keyring\n"
        )
        assert not graphd.connections
    assert not [*tmp_path.rglob(LOG)]


def test_background_server_shows_no_password(
    jobtui: NebulaCommand, graphd: GraphdDouble, tmp_path: Path
) -> None:
    graphd.cluster.users["root"] = jobtui.environment["JOBTUI_NEBULA_PASSWORD"] = WORD
    ended = jobtui("serve", "--background")
    assert ended.returncode == 0
    process = int(ended.stderr.split("as process ")[1].split()[0])
    try:
        (log,) = tmp_path.rglob(LOG)
        eventually(lambda: "Connected to the cluster" in log.read_text())
        words = Path(f"/proc/{process}/cmdline")
        assert not words.exists() or WORD.encode() not in words.read_bytes()
    finally:
        os.kill(process, signal.SIGTERM)
    eventually(lambda: "Ended" in log.read_text())
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and WORD.encode() in file.read_bytes()]


def test_jobs_ended_before_the_start_are_not_logged(
    jobtui: NebulaCommand, graphd: GraphdDouble, tmp_path: Path
) -> None:
    cluster = graphd.cluster
    cluster.ended_job("nba")
    log = tmp_path / "log"
    with log.open("wb") as file, jobtui.started("serve", stderr=file) as process:
        eventually(lambda: "Connected to the cluster" in log.read_text())
        cluster.submit("nba", "COMPACT")
        eventually(lambda: "(compact nba) started" in log.read_text())
        cluster.metad_away = True
        eventually(lambda: "The cluster gives no usable answer since" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "flush nba" not in log.read_text()
