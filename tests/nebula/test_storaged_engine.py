"""Our own engine's jobs on a NebulaGraph cluster, from the statement to the storage host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobtui.engine.client import Session
from jobtui.engine.deferrals import RECHECK
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.model import ConnectionState, Status
from jobtui.storage.nebula.settings import Address, ClusterSettings, RunMode
from jobtui.storage.nebula.storaged import StoragedRunner
from tests.support.clock import FakeClock
from tests.support.engines import EventLog
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import WAIT, settings_for
from tests.support.nebula_cluster import Cluster
from tests.support.storaged_double import StoragedDouble

HOST = "127.0.0.1"


@contextmanager
def engine_on(root: Path, storaged: StoragedDouble) -> Iterator[LocalClient]:
    with GraphdDouble(Cluster({"nba": [HOST]})) as graphd:
        settings = settings_for(graphd, run=RunMode.STORAGED, storaged_port=storaged.port)
        engine = LocalClient.open(Profile("prod", root), storage=StoragedRunner(settings))
        try:
            yield engine
        finally:
            engine.close()


def execute(engine: LocalClient, text: str) -> None:
    answer = engine.execute(text, Session()).result(WAIT)
    assert answer.failure is None


def test_job_has_the_outcome_of_its_storaged(tmp_path: Path) -> None:
    with StoragedDouble({"nba"}) as storaged, engine_on(tmp_path, storaged) as engine:
        execute(engine, "ADMIN COMPACT nba")
        (finished,) = engine.wait_ended([1]).result(WAIT)
        storaged.body = "Compact failed! error=-3"
        execute(engine, "RECOVER JOB; ADMIN COMPACT nba")
        (failed,) = engine.wait_ended([2]).result(WAIT)
    assert (finished.status, finished.tasks[0].host) == (Status.FINISHED, HOST)
    assert (failed.status, failed.reason) == (Status.FAILED, f"{HOST}: Compact failed! error=-3")
    assert (failed.tasks[0].code, failed.tasks[0].reason) == ("rejected", "Compact failed! error=-3")


def test_stopped_job_is_detached_and_the_next_one_waits(tmp_path: Path) -> None:
    with StoragedDouble({"nba"}) as storaged, engine_on(tmp_path, storaged) as engine:
        storaged.hangs = True
        execute(engine, "ADMIN COMPACT nba")
        storaged.wait_for_a_call()
        execute(engine, "STOP JOB 1; ADMIN FLUSH nba")
        (stopped,) = engine.wait_ended([1]).result(WAIT)
        assert (stopped.status, stopped.tasks[0].detached) == (Status.STOPPED, True)
        assert stopped.tasks[0].reason == "no longer waiting; the host continues"
        assert storaged.asked == [("nba", "compact")]
        storaged.go_on()
        (flushed,) = engine.wait_ended([2]).result(WAIT)
    assert flushed.status is Status.FINISHED
    assert storaged.asked == [("nba", "compact"), ("nba", "flush")]


def test_engine_opens_without_graphd_and_learns_spaces_later(tmp_path: Path) -> None:
    with StoragedDouble({"nba"}) as storaged, GraphdDouble(Cluster({"nba": [HOST]})) as graphd:
        graphd.down()
        settings = settings_for(graphd, run=RunMode.STORAGED, storaged_port=storaged.port)
        engine = LocalClient.open(Profile("prod", tmp_path), storage=StoragedRunner(settings))
        events = EventLog(engine)
        events.wait_for(
            lambda: engine.connection is not None and engine.connection.state is ConnectionState.LOST
        )
        refused = engine.execute("ADMIN FLUSH nba", Session()).result(WAIT).failure
        assert refused is not None
        assert "Connection refused" in refused.message
        graphd.up()
        engine.reconnect()
        events.wait_for(
            lambda: engine.connection is not None and engine.connection.state is ConnectionState.CONNECTED
        )
        execute(engine, "ADMIN FLUSH nba")
        (job,) = engine.wait_ended([1]).result(WAIT)
        assert (job.status, engine.space_names()) == (Status.FINISHED, ("nba",))
        engine.close()


def test_complete_settings_need_no_connection(tmp_path: Path) -> None:
    settings = ClusterSettings(run=RunMode.STORAGED, spaces={"nba": (HOST,)})
    engine = LocalClient.open(Profile("prod", tmp_path, cluster=settings))
    assert (engine.connection, engine.space_names()) == (None, ("nba",))
    engine.close()


def test_stalled_or_down_host_is_deferred_until_it_can_work(tmp_path: Path) -> None:
    clock = FakeClock()
    again = RECHECK.total_seconds()
    with StoragedDouble({"nba"}) as second:
        port = second.port
        second.engines["nba"] = [{"rocksdb.is-write-stopped": "1"}]
        settings = ClusterSettings(
            addresses=(Address(HOST, 1),),
            run=RunMode.STORAGED,
            spaces={"nba": ("h1", "h2")},
            storaged={"h1": Address(HOST, second.port), "h2": Address(HOST, second.port)},
        )
        engine = LocalClient.open(Profile("prod", tmp_path), storage=StoragedRunner(settings), clock=clock)
        events = EventLog(engine)

        def reasons() -> set[str]:
            job = engine.job(1)
            assert job is not None
            return {task.deferred.reason for task in job.tasks if task.deferred is not None}

        execute(engine, "ADMIN COMPACT nba WITH rolling = 2")
        events.wait_for(lambda: reasons() == {"writes on h1 are stalled", "writes on h2 are stalled"})
        assert second.asked == []
    clock.wait_for_sleep(again)
    clock.advance(again)
    events.wait_for(lambda: reasons() == {"host h1 is down", "host h2 is down"})
    with StoragedDouble({"nba"}, port=port) as second:
        clock.wait_for_sleep(again)
        clock.advance(again)
        (job,) = engine.wait_ended([1]).result(WAIT)
        engine.close()
    assert job.status is Status.FINISHED
    assert second.asked == [("nba", "compact")] * 2


def test_advice_and_explain_with_run_storaged(tmp_path: Path) -> None:
    levels = "Level Files Size(MB)\n-----\n  0        9        9\n"
    figures = {
        "total-sst-files-size": 9 << 20,
        "estimate-live-data-size": 4 << 20,
        "estimate-pending-compaction-bytes": 7 << 20,
        "levelstats": levels,
    }
    with StoragedDouble({"nba"}) as storaged, engine_on(tmp_path, storaged) as engine:
        storaged.engines["nba"] = [{f"rocksdb.{name}": str(value) for name, value in figures.items()}]
        texts = ("SHOW ADVICE", "EXPLAIN ADMIN COMPACT nba")
        (advice,), (explained,) = (
            engine.execute(text, Session()).result(WAIT).results[-1].rows for text in texts
        )
        assert storaged.asked == []
    assert advice.cells[:8] == ("nba", HOST, "compact", "≈ 5 MiB", "", "9", "7 MiB", "0 B")
    assert advice.values["reason"] == "≈ 5 MiB of 9 MiB would be given back (a guess)"
    assert explained.values["Action"] == "compact"
    assert (explained.values["Rewrites"], explained.values["Gives Back"]) == (9 << 20, 5 << 20)


def test_hosts_with_the_most_leaders_come_last(tmp_path: Path) -> None:
    # h1 leads the parts of two spaces
    cluster = Cluster({"nba": ["h1", "h2"], "test2": ["h1"]})
    with StoragedDouble({"nba"}) as first, StoragedDouble({"nba"}) as second, GraphdDouble(cluster) as graphd:
        addresses = {"h1": Address(HOST, first.port), "h2": Address(HOST, second.port)}
        runner = StoragedRunner(settings_for(graphd, run=RunMode.STORAGED, storaged=addresses))
        engine = LocalClient.open(Profile("prod", tmp_path), storage=runner)
        try:
            hosts = engine.fetch_overview().result(WAIT).hosts
            second.hangs = True
            execute(engine, "ADMIN COMPACT nba WITH rolling = 1")
            second.wait_for_a_call()
            assert first.asked == []
            second.go_on()
            (job,) = engine.wait_ended([1]).result(WAIT)
        finally:
            engine.close()
    assert {host.name: host.leaders for host in hosts} == {"h1": 20, "h2": 10}
    assert job.status is Status.FINISHED
    assert first.asked == second.asked == [("nba", "compact")]
    ended = {task.host: task.stop for task in job.tasks}
    assert ended["h2"] <= ended["h1"]
