"""A profile of the config whose jobs jobtui runs itself, host by host over HTTP."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import CommandLine
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import Cluster
from tests.support.storaged_double import StoragedDouble
from tests.support.terminal import Terminal

CONFIG = """
profile = "prod"
[profiles.prod]
cluster = "nebula"
run = "storaged"
password = "env:PROD_PASSWORD"
"""


@pytest.fixture
def storaged() -> Iterator[StoragedDouble]:
    with StoragedDouble({"nba"}) as storaged:
        yield storaged


@pytest.fixture
def graphd() -> Iterator[GraphdDouble]:
    with GraphdDouble(Cluster({"nba": ["127.0.0.1"]})) as graphd:
        yield graphd


def command(home: Path, *settings: str) -> CommandLine:
    jobtui = CommandLine(home, CONFIG + "\n".join(settings))
    jobtui.environment["PROD_PASSWORD"] = "nebula"
    return jobtui


@pytest.fixture
def jobtui(tmp_path: Path, graphd: GraphdDouble, storaged: StoragedDouble) -> CommandLine:
    return command(tmp_path, f'graphd = ["127.0.0.1:{graphd.port}"]', f"storaged_port = {storaged.port}")


def test_job_is_run_over_http_on_each_host_of_its_space(jobtui: CommandLine, storaged: StoragedDouble) -> None:
    assert jobtui.rows("USE nba; ADMIN COMPACT")[0]["New Job Id"] == 1
    assert storaged.asked == [("nba", "compact")]
    assert [(row["Command(Dest)"], row["Status"]) for row in jobtui.rows("SHOW JOB 1")] == [
        ("compact nba", "finished"),
        ("127.0.0.1", "finished"),
    ]


def test_host_without_an_address_is_no_host_that_is_down(tmp_path: Path) -> None:
    with GraphdDouble(Cluster({"nba": ["h:9779", "h:9789"]})) as graphd:
        jobtui = command(tmp_path, f'graphd = ["127.0.0.1:{graphd.port}"]')
        assert {row["Status"] for row in jobtui.rows("SHOW HOSTS")} == {"no address configured"}
        result = jobtui("doctor")
        assert 'storaged = { "h:9779" = "h:PORT", "h:9789" = "h:PORT" }' in result.stdout


def test_doctor_names_each_host_that_is_not_online(tmp_path: Path, storaged: StoragedDouble) -> None:
    hosts = ["h:9779", "h:9789", "h:9799", "down", "127.0.0.1"]
    cluster = Cluster({"nba": hosts})
    cluster.kill("h:9799")
    cluster.kill("down")
    with GraphdDouble(cluster) as graphd, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nothing listens at this port, and it stays reserved
        dead = f"127.0.0.1:{silent.getsockname()[1]}"
        addresses = f'{{ "h:9779" = "127.0.0.1:{storaged.port}" }}'
        jobtui = command(
            tmp_path,
            f'graphd = ["{dead}", "127.0.0.1:{graphd.port}"]',
            f"storaged_port = {storaged.port}",
            f"storaged = {addresses}",
        )
        result = jobtui("doctor")
    assert result.returncode == 0
    report = " ".join(result.stdout.split())
    assert f"127.0.0.1:{graphd.port} answers, 5 storage hosts" in report
    assert (
        "5 storage hosts; down: offline, says the cluster; h:9789: no address configured; "
        f"h:9799: offline, no address configured; 2 online; graphd {dead} does not answer: Connection refused "
        "start those that are offline, or wait for them; "
        'storaged = { "h:9789" = "h:PORT", "h:9799" = "h:PORT" } in the profile gives their HTTP ports'
    ) in report


def test_body_other_than_ok_is_the_reason(jobtui: CommandLine, storaged: StoragedDouble) -> None:
    storaged.body = "Compact failed! error=-3"
    ended = jobtui("-e", "ADMIN COMPACT nba")
    assert ended.returncode == 3
    assert ended.stderr == "Job 1 (compact nba) failed: 127.0.0.1: Compact failed! error=-3\n"
    storaged.body = None
    assert jobtui.rows("RECOVER JOB")[0]["New Job Id"] == 2
    assert jobtui.rows("SHOW JOB 2")[0]["recovered_from"] == 1


def test_ctrl_c_lets_the_host_finish_and_reports_it(jobtui: CommandLine, storaged: StoragedDouble) -> None:
    storaged.hangs = True
    with jobtui.started("-e", "ADMIN COMPACT nba") as process:
        storaged.wait_for_a_call()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    storaged.go_on()
    assert process.returncode == 130
    assert "Job 1 (compact nba) stopped: no longer waiting; the host continues" in err.decode()
    result = jobtui.rows("SHOW JOB 1")
    assert (result[0]["Status"], result[1]["Status"], result[1]["detached"]) == ("stopped", "stopped", True)


def test_stop_on_screen_reports_that_the_host_continues(jobtui: CommandLine, storaged: StoragedDouble) -> None:
    storaged.hangs = True
    with Terminal(jobtui.words(), environment=jobtui.environment, cwd=jobtui.home, may_fork=True) as terminal:
        terminal.shows("● 127.0.0.1")
        terminal.press(":")
        terminal.shows("esc leave")
        terminal.paste("ADMIN COMPACT nba")
        terminal.press("enter")
        storaged.wait_for_a_call()
        terminal.shows("▶ 1 running")
        terminal.paste("STOP JOB 1")
        terminal.press("enter")
        terminal.shows("■ stopped", "stop 1 jobs 1 tasks")
        terminal.press("escape")
        terminal.shows("detached", "the host continues")
        storaged.go_on()


def test_version_1_needs_no_graphd_and_no_password(tmp_path: Path, storaged: StoragedDouble) -> None:
    jobtui = command(tmp_path, f"storaged_port = {storaged.port}", 'spaces = { nba = ["127.0.0.1"] }')
    del jobtui.environment["PROD_PASSWORD"]
    jobtui.done("-e", "ADMIN FLUSH nba")
    assert storaged.asked == [("nba", "flush")]
    assert [row["Status"] for row in jobtui.rows("SHOW HOSTS")] == ["online"]


def test_new_jobs_are_refused_with_reason_without_graphd(
    jobtui: CommandLine, graphd: GraphdDouble, storaged: StoragedDouble
) -> None:
    graphd.down()
    ended = jobtui("-e", "ADMIN FLUSH nba")
    assert ended.returncode == 1
    assert "Connection refused" in ended.stderr
    assert storaged.asked == []
