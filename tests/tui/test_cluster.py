"""The dashboard on a cluster: the origin of jobs, unknown values, and the first steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Session
from jobtui.model import ConnectionState, Status
from jobtui.storage.base import Host
from jobtui.tui.data.job_rows import job_cell
from jobtui.tui.tabs.storage import SIZES_UNKNOWN
from jobtui.tui.text.spans import TextRole
from tests.support.cluster_bench import ClusterBench, cluster_bench
from tests.support.dashboards import DashboardBench, showing
from tests.support.engines import WAIT
from tests.support.scripted_manager import ScriptedManager


@asynccontextmanager
async def on_a_cluster(
    root: Path, manager: ScriptedManager, size: tuple[int, int] = (140, 30)
) -> AsyncIterator[tuple[DashboardBench, ClusterBench]]:
    settings = TuiSettings(state_dir=root / "dashboard")
    with cluster_bench(root, manager) as prod:
        async with showing(prod.engine, settings=settings, size=size, clock=prod.clock, bench=prod) as shown:
            yield shown, prod


@pytest.mark.parametrize("size", [(140, 30), (120, 30), (200, 50)])
def test_jobs_of_others_are_shown_with_their_origin(tmp_path: Path, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager(("nba", "test2")), size) as (shown, prod):
            prod.cluster(lambda manager: manager.put("test2", 41, command="rebuild tag index"))
            await shown.shows("rebuild tag index test2")
            assert "From" in shown.row("Command")
            assert "41 on" in shown.row("▶ running")

    asyncio.run(run())


def test_jobs_of_others_are_found_by_their_requester(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager(("nba", "test2"))) as (shown, prod):
            assert prod.rows("ADMIN FLUSH nba")
            prod.cluster(lambda manager: manager.put("test2", 41, command="rebuild tag index"))
            await shown.shows("flush nba", "rebuild tag index test2")
            await shown.press("slash")
            await shown.type("by:cluster")
            await shown.shows("1 of 2", "rebuild tag index test2")
            await shown.shows_no_more("flush nba")
            await shown.press("home")
            await shown.type("!")
            await shown.shows("1 of 2", "flush nba")
            await shown.shows_no_more("rebuild tag index test2")

    asyncio.run(run())


def test_unknown_cluster_id_is_shown_as_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, prod):
            prod.cluster(lambda manager: manager.answers.clear())
            prod.engine.execute("ADMIN FLUSH nba", prod.session)
            await shown.shows("flush nba", "sent to prod")
            await shown.press("home", "left_square_bracket")
            await shown.until(lambda: "its id there is not known yet" in shown.detail)
            answer = prod.engine.execute("SHOW JOB 1", Session(None, tmp_path)).result(WAIT)
            (row,) = answer.results[0].rows
            assert row.values["origin"] == {"cluster": "prod", "space": "nba", "id": None}
            prod.cluster(lambda manager: manager.answers.set())
            await shown.shows("1 on prod")
            await shown.until(lambda: "job 1 of space nba on cluster prod" in shown.detail)

    asyncio.run(run())


def test_unanswered_text_is_shown_in_the_header(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, prod):
            prod.cluster(lambda manager: manager.answers.clear())
            await shown.press("colon")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            await shown.paste("ADMIN FLUSH nba")
            await shown.press("enter")
            await shown.shows("sent to prod")
            assert "waiting for" not in shown.screen
            prod.clock.advance(1)
            shown.dashboard.tick()
            await shown.shows("waiting for 1 answer")
            prod.cluster(lambda manager: manager.answers.set())
            await shown.shows_no_more("waiting for")
            await shown.until(lambda: "job 1: " in shown.transcript)

    asyncio.run(run())


def test_unanswered_statement_of_a_key_is_shown_in_the_header(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, prod):
            await shown.execute("USE nba")
            prod.cluster(lambda manager: manager.answers.clear())
            await shown.press("F")
            await shown.until(lambda: shown.app.context.unanswered)
            prod.clock.advance(1)
            shown.dashboard.tick()
            await shown.shows("waiting for 1 answer")
            prod.cluster(lambda manager: manager.answers.set())
            await shown.shows_no_more("waiting for")
            await shown.shows("new job 1: flush nba")

    asyncio.run(run())


def test_job_unknown_to_the_cluster_shows_no_id(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, prod):
            prod.cluster(lambda manager: manager.put("nba", 40, command="compact"))
            prod.events.until(1, Status.RUNNING)
            prod.execute("ADMIN COMPACT nba")  # the cluster has it already
            await shown.shows("■ stopped")
            assert "40 on prod" in shown.row("▶ running")
            assert "on prod" not in shown.row("■ stopped")
            assert "sent to" not in shown.row("■ stopped")

    asyncio.run(run())


def test_duration_is_unknown_without_an_end_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, prod):
            prod.cluster(lambda manager: manager.put("nba", 40, command="compact"))
            prod.events.until(1, Status.RUNNING)
            prod.clock.advance(3600)
            unknown = {"status": Status.FAILED, "reason": "PAUSED", "stop": None}
            prod.cluster(lambda manager: manager.change("nba", 40, **unknown))
            await shown.shows("✖ failed", "PAUSED")
            shown.dashboard.tick()
            assert job_cell(prod.job(1), "took", prod.clock.now(), 12) == (("", TextRole.PLAIN),)

    asyncio.run(run())


def test_missing_storage_figures_are_explained_in_a_line(tmp_path: Path) -> None:
    async def run() -> None:
        manager = ScriptedManager()
        manager.put("nba", 40)
        async with on_a_cluster(tmp_path, manager) as (shown, prod):
            prod.cluster(lambda manager: manager.set_connection(ConnectionState.LOST))
            await shown.shows("▶ running")
            await shown.press("home", *["right_square_bracket"] * 3)
            await shown.until(lambda: SIZES_UNKNOWN in shown.detail and "no sizes here" in shown.detail)

    asyncio.run(run())


def test_first_steps_of_a_cluster_omit_create_space(tmp_path: Path) -> None:
    async def run() -> None:
        manager = ScriptedManager()
        manager.set_connection(ConnectionState.LOST)
        async with on_a_cluster(tmp_path, manager) as (shown, prod):
            await shown.shows("SHOW SPACES")
            assert "CREATE SPACE" not in shown.screen
            prod.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED))
            await shown.shows("USE nba")
            await shown.shows_no_more("SHOW SPACES")

    asyncio.run(run())


def test_empty_table_text_waits_for_the_cluster(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, _):
            await shown.shows("No jobs are known here yet", "USE nba")
            cache = shown.app.context.overview_cache
            row, cache.overview = cache.overview, None
            shown.dashboard.on_overview()
            await shown.shows("Waiting for the cluster")
            assert "No jobs" not in shown.screen
            cache.overview = row
            shown.dashboard.on_overview()
            await shown.shows("No jobs are known here yet", "USE nba")

    asyncio.run(run())


def test_creating_and_dropping_spaces_is_not_offered(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, _):
            await shown.press("2")
            await shown.shows("› spaces", "C compact")
            assert "n new" not in shown.screen
            await shown.press("n")
            assert not shown.dashboard.console.bar.is_typing

    asyncio.run(run())


def test_saved_space_is_kept_until_the_cluster_answers(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager(("nba", "test2"))) as (shown, _):
            await shown.execute("USE test2")
            await shown.shows("space test2")
        manager = ScriptedManager(("nba", "test2"))
        manager.set_connection(ConnectionState.LOST)
        async with on_a_cluster(tmp_path, manager) as (shown, prod):
            await shown.shows("space test2")
            prod.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED))
            await shown.until(lambda: shown.app.context.overview_cache.overview is not None)
            await shown.shows("space test2")
        async with on_a_cluster(tmp_path, ScriptedManager(("nba",))) as (shown, _):
            await shown.shows("Space 'test2' no longer exists")
            await shown.shows_no_more("space test2 ")
            assert shown.app.context.session.space is None

    asyncio.run(run())


def test_pause_is_not_offered_for_a_job_that_the_cluster_runs(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, prod):
            prod.cluster(lambda manager: manager.put("nba", 1))
            await shown.shows("▶ running", "s stop")
            assert "pause job" not in shown.screen
            await shown.press("space")
            await shown.shows("s stop 1 marked")
            assert "pause job" not in shown.screen

    asyncio.run(run())


def test_long_command_is_cut_and_not_the_space(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager(("nba",)), (80, 24)) as (shown, prod):
            prod.cluster(lambda manager: manager.put("nba", 41, command="rebuild tag index"))
            await shown.shows("▶ running")
            assert " nba " in shown.row("▶ running")
            assert "…" in shown.row("▶ running").partition(" nba ")[0]

    asyncio.run(run())


def test_cluster_that_only_fails_is_not_shown_as_well(tmp_path: Path) -> None:
    async def run() -> None:
        address, reason = "10.0.0.1:9669", "no usable answer since 09:21:30 (metad is away: RPC failure)"
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, prod):
            prod.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED, address))
            await shown.shows(f"● {address}")
            prod.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED, address, reason))
            await shown.shows(
                f"◌ {address}", "No usable answer since 09:21:30", "metad is away", "may be out of date"
            )
            prod.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED, address))
            await shown.shows(f"● {address}")
            assert "usable answer" not in shown.screen

    asyncio.run(run())


def test_host_that_is_offline_is_in_the_header_and_on_the_job(tmp_path: Path) -> None:
    async def run() -> None:
        manager = ScriptedManager()
        manager.hosts_there["10.0.0.6"] = Host("10.0.0.6", True)
        async with on_a_cluster(tmp_path, manager, (120, 36)) as (shown, prod):
            prod.cluster(lambda manager: manager.put("nba", 41, command="compact"))
            await shown.shows("▶ running", "2 hosts")
            manager.hosts_there["10.0.0.5"] = Host("10.0.0.5", False)
            prod.seen()
            await shown.shows("1 of 2 hosts up", "waits for 10.0.0.5, offline since")

    asyncio.run(run())


def test_hosts_that_work_on_after_their_job_are_in_the_header(tmp_path: Path) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager(), (120, 36)) as (shown, prod):
            prod.cluster(lambda manager: manager.put("nba", 41, command="compact"))
            await shown.shows("▶ running")
            running = prod.manager.there["nba"][41].tasks

            def fail_early(manager: ScriptedManager) -> None:
                manager.put("nba", 41, Status.FAILED)
                manager.change("nba", 41, tasks=running)

            prod.cluster(fail_early)
            await shown.shows("1 host still at work", "✖ failed")
            prod.cluster(lambda manager: manager.put("nba", 41, Status.FAILED))
            prod.seen()
            await shown.shows_no_more("still at work")

    asyncio.run(run())


@pytest.mark.parametrize("hours", [-9, 0, 9])
def test_running_time_does_not_depend_on_the_cluster_s_clock(tmp_path: Path, hours: int) -> None:
    async def run() -> None:
        async with on_a_cluster(tmp_path, ScriptedManager()) as (shown, prod):
            there = prod.clock.now() + timedelta(hours=hours)
            put = prod.manager.put

            def put_there(space: str, job_id: int, status: Status = Status.RUNNING, command: str = "") -> None:
                put(space, job_id, status, command)
                (task,) = prod.manager.there[space][job_id].tasks or ()
                prod.manager.change(space, job_id, start=there, tasks=(replace(task, start=there),))

            prod.manager.put = put_there  # type: ignore[method-assign]  # replaced for this test
            prod.execute("ADMIN COMPACT nba")
            prod.events.until(1, Status.RUNNING)
            prod.clock.advance(65)
            shown.dashboard.tick()
            ran = "0.0 s" if hours > 0 else "1:05"  # of a start in the future, nothing is known
            await shown.until(lambda: f"runs for {ran}" in shown.detail)
            assert f"for {ran}" in shown.detail.partition("10.0.0.5")[2]
            assert "waited" not in shown.detail
            assert job_cell(prod.job(1), "took", prod.clock.now(), 12) == ((ran, TextRole.PLAIN),)

    asyncio.run(run())
