"""storaged's counters during work on hosts, and after a compact that is reported as done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.model import Status
from jobtui.storage.nebula.properties import PROPERTIES
from jobtui.storage.nebula.settings import Address, ClusterSettings, RunMode
from jobtui.storage.nebula.storaged import StoragedRunner
from jobtui.tui.widgets.tab_strip import Tab
from tests.support.dashboards import DashboardBench, showing
from tests.support.engines import EventLog
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import run
from tests.support.nebula_cluster import Cluster
from tests.support.nebula_product import ClusterBench, HastyClock, working_on
from tests.support.storaged_double import StoragedDouble, detached_compact

HOST = "127.0.0.1"
DOUBT = "3 files at level 0 after it: data was written meanwhile, or it was not compacted"


def figures(level0: int, *, size: int = 9 << 20, compactions: int = 0) -> dict[str, str]:
    """The properties of one data directory."""
    levels = f"Level Files Size(MB)\n-----\n  0        {level0}        1\n  1        1        8\n"
    values = (size, 2048, 5022, 0, size, compactions, 0, levels)
    return {name: str(value) for name, value in zip(PROPERTIES, values, strict=True)}


@pytest.fixture
def storaged() -> Iterator[StoragedDouble]:
    with StoragedDouble({"nba"}) as storaged:
        yield storaged


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster({"nba": ["h", "down"]})
    cluster.now = datetime.now(UTC).replace(microsecond=0)
    return cluster


@pytest.fixture
def prod(cluster: Cluster, storaged: StoragedDouble, tmp_path: Path) -> Iterator[ClusterBench]:
    addresses = {"h": Address(HOST, storaged.port)}
    with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path, storaged=addresses) as bench:
        bench.caught_up()
        yield bench


def runner_on(storaged: StoragedDouble) -> StoragedRunner:
    return StoragedRunner(
        ClusterSettings(run=RunMode.STORAGED, storaged_port=storaged.port, spaces={"nba": (HOST,)})
    )


@asynccontextmanager
async def on_screen(engine: LocalClient, root: Path) -> AsyncIterator[DashboardBench]:
    settings = TuiSettings(state_dir=root / "dashboard")
    async with showing(engine, settings=settings, size=(120, 40), clock=HastyClock()) as shown:
        yield shown


async def until_ticks(shown: DashboardBench, condition: Callable[[], bool]) -> None:
    """Wait for what the next tick shows, without waiting for the next second."""

    def tick() -> bool:
        shown.dashboard.tick()
        return condition()

    await shown.until(tick)


class TestClusterJob:
    @pytest.mark.parametrize(
        ("command", "level0", "doubt"),
        [("COMPACT", 3, DOUBT), ("COMPACT", 2, ""), ("COMPACT", 0, ""), ("FLUSH", 3, "")],
    )
    def test_success_is_verified(
        self,
        prod: ClusterBench,
        cluster: Cluster,
        storaged: StoragedDouble,
        command: str,
        level0: int,
        doubt: str,
    ) -> None:
        storaged.engines["nba"] = [figures(3)]
        prod.execute(f"ADMIN {command} nba")
        prod.events.until(1, Status.RUNNING)
        storaged.engines["nba"] = [figures(level0, size=4 << 20)]
        cluster.finish(1, host="h")
        prod.events.wait_for(lambda: prod.job(1).tasks[0].after is not None)
        cluster.finish(1)  # a later update of the job keeps what was found
        (verified, other) = prod.events.until(1, Status.FINISHED).tasks
        assert (verified.status, verified.reason, verified.reclaimed) == (Status.FINISHED, doubt, 5 << 20)
        assert other.reason == ""
        (_, row, _) = prod.execute("SHOW JOB 1").results[-1].rows
        assert row.values["reason"] == doubt

    def test_task_of_a_failed_job_is_verified_when_it_ends(
        self, prod: ClusterBench, cluster: Cluster, storaged: StoragedDouble
    ) -> None:
        storaged.engines["nba"] = [figures(3)]
        prod.execute("ADMIN COMPACT nba")
        prod.events.until(1, Status.RUNNING)
        cluster.restart_metad()
        prod.rows("STOP JOB 1")  # which metad accepts, since it has forgotten the job
        prod.events.until(1, Status.STOPPED)
        cluster.finish(1)
        prod.events.until(1, Status.FINISHED)
        assert prod.job(1).tasks[0].reason == DOUBT

    def test_host_that_works_on_is_shown(
        self, prod: ClusterBench, cluster: Cluster, storaged: StoragedDouble, tmp_path: Path
    ) -> None:
        async def test() -> None:
            async with on_screen(prod.engine, tmp_path) as shown:
                storaged.engines["nba"] = [figures(3, compactions=1), figures(0)]
                cluster.kill("down")
                cluster.submit("nba", "COMPACT")
                await shown.shows("✖ failed", "the host h is still compacting (1 compaction)")
                shown.dashboard.jobs.detail.choose(Tab.STORAGE)
                await shown.until(lambda: "data dir 2" in shown.detail)
                rows = [line.split() for line in shown.detail.splitlines()]
                assert ["compacting", "1"] in [row[:1] + row[-1:] for row in rows if row]
                shown.dashboard.jobs.detail.choose(Tab.TASKS)
                await shown.until(lambda: "still compacting" in shown.detail)
                storaged.engines["nba"] = [figures(0), figures(0)]
                cluster.finish(1)
                await until_ticks(shown, lambda: "still compacting" not in shown.detail)

        run(test())


class TestDetachedJob:
    @pytest.mark.parametrize(
        ("level0", "body", "outcome"),
        [(0, None, ""), (3, None, DOUBT), (0, "Compact failed! error=-3", "Compact failed! error=-3")],
    )
    def test_its_outcome_is_known_when_the_host_ends(
        self, storaged: StoragedDouble, level0: int, body: str | None, outcome: str
    ) -> None:
        async def test() -> None:
            storaged.engines["nba"] = [figures(3)]
            runner = runner_on(storaged)
            released = (await detached_compact(runner, storaged)).released
            assert released is not None
            storaged.body = body
            storaged.engines["nba"] = [figures(level0)]
            storaged.go_on()
            assert await released == outcome
            await runner.close()

        run(test())

    def test_closing_reports_no_failure_of_the_host(self, storaged: StoragedDouble) -> None:
        async def test() -> None:
            runner = runner_on(storaged)
            released = (await detached_compact(runner, storaged)).released
            assert released is not None
            await runner.close()
            await asyncio.wait([released])
            assert released.cancelled()

        run(test())

    def test_host_that_works_on_is_shown_and_its_end_reported(
        self, storaged: StoragedDouble, tmp_path: Path
    ) -> None:
        async def test() -> None:
            storaged.engines["nba"] = [figures(3, compactions=1)]
            storaged.hangs = True
            async with on_screen(engine, tmp_path) as shown:
                engine.execute("ADMIN COMPACT nba", Session())
                await asyncio.to_thread(storaged.wait_for_a_call)
                engine.execute("STOP JOB 1", Session())
                await shown.shows(f"the host {HOST} is still compacting (1 compaction)")
                shown.dashboard.jobs.detail.choose(Tab.STORAGE)
                await shown.until(lambda: "compacting" in shown.detail)
                storaged.engines["nba"] = [figures(3)]
                storaged.go_on()
                await until_ticks(shown, lambda: "compacting" not in shown.detail)
            text = f"Host {HOST} has ended the detached work of job 1 (compact nba): {DOUBT}"
            await asyncio.to_thread(events.wait_for, lambda: text in events.notices)

        engine = LocalClient.open(Profile("prod", tmp_path), storage=runner_on(storaged), clock=HastyClock())
        events = EventLog(engine)
        try:
            run(test())
        finally:
            engine.close()
