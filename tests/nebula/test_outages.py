"""Parts of a cluster that are away for hours, or answer only with failures, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from jobtui.cli.commands import run as run_command
from jobtui.cli.wait import engine_waiter
from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Result
from jobtui.errors import StorageError
from jobtui.formatting import format_local_time
from jobtui.language import parse
from jobtui.model import ConnectionState, EventKind, Status
from jobtui.storage.nebula.poller import SPACES_SECONDS
from tests.support.clock import FakeClock
from tests.support.dashboards import showing
from tests.support.engines import WAIT
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import run
from tests.support.nebula_cluster import Cluster
from tests.support.nebula_product import HASTE, ClusterBench, HastyClock, Hours, working_on

AWAY, UP = "10.0.0.5", "10.0.0.6"
HOURS = 30 * 3600


@pytest.fixture
def cluster() -> Cluster:
    return Cluster({"nba": [AWAY, UP]})


@pytest.fixture
def hours(cluster: Cluster) -> Hours:
    return Hours(cluster)


def show_job(prod: ClusterBench, number: int) -> Result:
    answer = prod.execute(f"SHOW JOB {number}")
    assert answer.failure is None
    return answer.results[-1]


class TestStoraged:
    def test_away_for_hours(self, graphd: GraphdDouble, cluster: Cluster, hours: Hours, tmp_path: Path) -> None:
        with working_on(graphd, root=tmp_path, clock=hours.clock) as prod:
            prod.caught_up()
            prod.execute("ADMIN COMPACT nba; ADMIN FLUSH nba")
            prod.events.until(1, Status.RUNNING)
            cluster.kill(AWAY)
            cluster.finish(1)
            hours.advance(SPACES_SECONDS)
            since = format_local_time(hours.clock.now())
            prod.events.wait_for(lambda: prod.job(1).reason and prod.job(2).reason)
            hours.advance(HOURS)
            begin, count = hours.passed, len(cluster.statements)
            for _ in range(20):
                hours.poll()
            assert len(cluster.statements) - count <= hours.most_statements(since=begin)
            waits = f"waits for {AWAY}, offline since {since}: the cluster continues with this space only"
            first, second = show_job(prod, 1), show_job(prod, 2)
            assert first.notice == f"Job 1 (compact nba) {waits} when the host is back"
            assert [row.cells[2] for row in first.rows] == ["running", "running", "finished"]
            assert second.notice == (
                "Job 2 (flush nba) waits for job 1, which waits for a host that is offline"
            )
            cluster.restart(AWAY)
            hours.poll()
            job, flush = prod.events.until(1, Status.FAILED), prod.events.until(2, Status.FAILED)
            assert show_job(prod, 1).notice == "Job 1 (compact nba) failed: E_TASK_EXECUTION_FAILED"
        assert (job.stop, job.took) == (cluster.spaces["nba"].jobs[1].stop, job.tasks[0].took)
        assert job.took is not None
        assert job.took > HOURS
        assert [(task.status, task.reason) for task in job.tasks] == [
            (Status.FAILED, "E_TASK_EXECUTION_FAILED"),
            (Status.FINISHED, ""),
        ]
        assert job.tasks[1].took == 0.0
        notes = [event.reason for event in job.events if event.kind is EventKind.NOTE]
        assert sum(note.startswith("waits for") for note in notes) == 1
        assert flush.reason == "E_RPC_FAILURE"  # it began before the host was ready
        assert flush.start == job.stop

    def test_away_since_before_the_start(
        self, graphd: GraphdDouble, cluster: Cluster, hours: Hours, tmp_path: Path
    ) -> None:
        cluster.submit("nba", "COMPACT")
        cluster.kill(AWAY)
        first = hours.clock.now()
        with working_on(graphd, root=tmp_path, clock=hours.clock) as prod:
            prod.caught_up()
            notice = show_job(prod, 1).notice
        assert f"offline since {format_local_time(first)} or earlier: " in notice
        later = FakeClock(first + timedelta(days=1))
        with working_on(graphd, root=tmp_path / "other", clock=later) as prod:
            prod.caught_up()
            assert "12/18/19" in show_job(prod, 1).notice
        with working_on(graphd, root=tmp_path, clock=later) as prod:  # as it was recorded
            assert prod.engine.wait_connected(WAIT, caught_up=False, jobs=(1,)).result(WAIT)
            assert show_job(prod, 1).notice == notice

    def test_text_that_names_a_job_explains_its_wait(
        self, graphd: GraphdDouble, cluster: Cluster, hours: Hours, tmp_path: Path
    ) -> None:
        cluster.submit("nba", "COMPACT")
        with working_on(graphd, root=tmp_path, clock=hours.clock) as prod:
            prod.caught_up()
        cluster.kill(AWAY)
        with working_on(graphd, root=tmp_path, clock=hours.clock) as prod:
            assert prod.engine.wait_connected(WAIT, caught_up=False, jobs=(1,)).result(WAIT)
            assert f"waits for {AWAY}, offline since" in show_job(prod, 1).notice


METAD = "RPC failure in MetaClient"


class TestMetad:
    def test_away_at_the_start(self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path) -> None:
        cluster.submit("nba", "COMPACT")
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
        cluster.metad_away, graphd.metad_timeout = True, 0.2
        with working_on(graphd, root=tmp_path) as prod:
            words = rf"^no connection to the cluster since [\d:]+: graphd .*: Create session failed: {METAD}$"
            with pytest.raises(StorageError, match=words):
                prod.engine.wait_connected(WAIT * HASTE, caught_up=True).result(WAIT)
            assert [row[2] for row in prod.rows("SHOW JOBS")] == ["running"]
            assert METAD in prod.refusal("ADMIN FLUSH nba")
            cluster.finish(1)
            cluster.metad_away = False
            prod.events.until(1, Status.FINISHED)  # without a request to connect again
            assert prod.rows("ADMIN FLUSH nba") == [("2",)]

    def test_away_while_a_text_waits_for_the_lists(
        self,
        graphd: GraphdDouble,
        cluster: Cluster,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        log_in = cluster.log_in

        def log_in_at_the_last_moment(user: str, password: str) -> int:
            session = log_in(user, password)
            cluster.metad_away = True
            return session

        monkeypatch.setattr(cluster, "log_in", log_in_at_the_last_moment)
        monkeypatch.setattr(run_command, "CLUSTER_SECONDS", 2.0)
        with working_on(graphd, root=tmp_path) as prod:
            prod.events.wait_for(lambda: METAD in detail(prod))
            with engine_waiter(prod.engine, quiet=True) as waiter:
                run_command._await_cluster(prod.engine, waiter, parse("SHOW JOBS"))
            assert (
                f"The cluster has not reported all its jobs within 2 s: {detail(prod)}\n"
            ) in capsys.readouterr().err

    def test_away_while_the_dashboard_is_open(
        self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path
    ) -> None:
        async def test(prod: ClusterBench) -> None:
            settings = TuiSettings(state_dir=tmp_path / "dashboard")
            clock = HastyClock()
            async with showing(prod.engine, settings=settings, size=(120, 36), clock=clock) as shown:
                await shown.shows(f"● 127.0.0.1:{graphd.port}")
                graphd.metad_timeout = WAIT  # until `go_on`
                cluster.metad_away = True
                assert await asyncio.to_thread(graphd.hanging.wait, WAIT)
                await shown.press("colon")
                await shown.until(lambda: shown.dashboard.console.bar.is_typing)
                await shown.press("escape")
                graphd.go_on()
                await shown.shows("No usable answer since", f"(metad is away: {METAD})", "may be out of date")
                cluster.submit("nba", "STATS")
                cluster.metad_away = False
                await shown.shows(f"● 127.0.0.1:{graphd.port}", "stats nba")
                await shown.shows_no_more("No usable answer")

        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            run(test(prod))
            links = [prod.engine.connection]
        assert links[0] is not None
        assert links[0].state is ConnectionState.CONNECTED


def detail(prod: ClusterBench) -> str:
    connection = prod.engine.connection
    return "" if connection is None else connection.detail
