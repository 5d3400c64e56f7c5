"""Pausing and resuming jobs by a key, and changing their write limit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from jobtui.engine.client import Session
from jobtui.formatting import to_local
from jobtui.model import Status, StepPosition
from jobtui.tui.tabs.summary import next_action
from tests.support.dashboards import dashboard_bench
from tests.support.made_jobs import submitted
from tests.support.made_schedules import pass_to
from tests.support.scripted import ScriptedStorage


class TestPauseKey:
    def test_pauses_then_resumes(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
                await shown.execute("ADMIN COMPACT nba")
                operation = shown.bench.storage.operation("nba", "local0")
                operation.progress(0.3, steps=StepPosition(17, 64))
                await shown.press("P")
                await shown.until(operation.control.pause.is_set)
                await shown.shows("‖ pausing 17/64")
                operation.pause(StepPosition(18, 64))
                await shown.shows("paused 18/64")
                await shown.press("P")
                await shown.until(lambda: shown.bench.job(1).tasks[0].status is Status.RUNNING)
                assert not shown.bench.job(1).paused

        asyncio.run(run())

    def test_key_explains_why_it_has_no_effect(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
                await shown.execute("ADMIN FLUSH nba")
                shown.bench.storage.operation("nba", "local0").finish()
                await shown.shows("✔ finished")
                await shown.press("P")
                await shown.shows("Nothing to pause: job 1 (already ended)")

        asyncio.run(run())


def test_pause_of_a_schedule_is_explained_in_row_and_detail(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute('CREATE SCHEDULE nightly AT "0 18 * * *" UNTIL "23:00" DO ADMIN COMPACT nba')
            pass_to(shown.bench, 38 * 60 + 30)
            operation = shown.bench.storage.operation("nba", "local0")
            operation.progress(0.3, steps=StepPosition(17, 64))
            pass_to(shown.bench, 5 * 3600)
            await shown.until(operation.control.pause.is_set)
            operation.pause(StepPosition(18, 64))
            reason = "its window ended at 23:00; continues Wed 18:00"
            await shown.shows("‖ paused 18/64", reason)
            assert reason in shown.row("‖ paused")
            await shown.press("enter")
            await shown.until(lambda: f"paused: {reason}" in shown.detail)

    asyncio.run(run())


@pytest.mark.parametrize("status", [Status.QUEUE, Status.RUNNING])
def test_next_action_for_a_paused_job_is_to_resume_it(status: Status) -> None:
    job = replace(submitted(1, Random(1)), status=status, paused=True)
    assert next_action(job, (), ("s", "r", "P")) == ("P", "resumes it")


def test_pause_and_stop_name_their_requester(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, size=(140, 30)) as shown:
            who = Session(kind="dashboard").requested_by.replace(", dashboard", " (dashboard)")
            await shown.execute("ADMIN COMPACT nba")
            operation = shown.bench.storage.operation("nba", "local0")
            await shown.press("P")
            await shown.until(operation.control.pause.is_set)
            operation.pause()
            await shown.shows("‖ paused")
            await shown.until(lambda: f"by {who}" in shown.row("‖ paused"))
            await shown.press("s")
            await shown.shows("Stop 1 job?")
            await shown.press("y")
            await shown.until(lambda: f", by {who}" in shown.row("■ stopped"))
            await shown.press("enter")
            await shown.until(lambda: f"stopped by {who}" in shown.detail)
            await shown.press("right_square_bracket", "right_square_bracket")
            await shown.press("right_square_bracket", "right_square_bracket")
            await shown.until(
                lambda: f"job paused by {who}" in shown.detail and f"stop requested by {who}" in shown.detail
            )

    asyncio.run(run())


def test_running_row_shows_step_and_what_the_next_one_needs(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0", "local1"]}) as shown:
            await shown.execute("ADMIN COMPACT nba WITH rolling = 1")
            operation = shown.bench.storage.operation("nba", "local0")
            operation.progress(0.25, steps=StepPosition(17, 64), room_needed=300 << 20)
            await shown.shows("17/64")
            assert "17/64" in shown.row("▶ running")
            await shown.press("enter")
            await shown.shows("next step needs 300 MiB", "step 17/64")
            operation.progress(0.3)  # what is not reported again has not changed
            await shown.until(lambda: "30%" in shown.detail)
            assert "next step needs 300 MiB" in shown.detail
            values = shown.bench.execute("SHOW JOB 1").results[0].rows[1].values
            assert values["room_needed"] == 300 << 20
            operation.progress(0.9, steps=StepPosition(64, 64))
            await shown.until(lambda: "next step needs" not in shown.detail)
            operation.finish()
            await shown.until(lambda: shown.bench.job(1).tasks[0].status is Status.FINISHED)
            assert shown.bench.job(1).tasks[0].room_needed is None

    asyncio.run(run())


def test_task_that_waits_for_disk_is_shown_as_paused(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute("ADMIN COMPACT nba")
            operation = shown.bench.storage.operation("nba", "local0")
            operation.progress(0.25, steps=StepPosition(17, 64), waiting="3.1 GiB free, reserve 5 GiB")
            await shown.shows("paused: 3.1 GiB free, reserve 5 GiB")
            assert "paused: 3.1 GiB free, reserve 5 GiB" in shown.row("▶ running")
            await shown.press("enter")
            await shown.until(lambda: "paused: 3.1 GiB free, reserve 5 GiB  step 17/64" in shown.detail)
            operation.progress(0.26)
            await shown.shows_no_more("paused:")

    asyncio.run(run())


def test_deferred_host_is_shown_in_the_row_and_in_the_detail(tmp_path: Path) -> None:
    async def run() -> None:
        storage = ScriptedStorage({"nba": ["local0", "local1"]})
        storage.outages["local0"] = "no storaged at local0"
        async with dashboard_bench(tmp_path, storage=storage) as shown:
            await shown.execute("ADMIN COMPACT nba WITH rolling = 1")
            operation = storage.operation("nba", "local1")
            since = f"{to_local(shown.bench.clock.now()):%H:%M}"
            deferred = f"deferred: host local0 is down since {since}"
            await shown.press("enter")
            await shown.until(lambda: f"{deferred}: no storaged at local0" in shown.detail)
            operation.finish()
            await shown.press("escape")
            await shown.until(lambda: deferred in shown.row("▶ running"))

    asyncio.run(run())


def test_recovery_shows_where_it_continues(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute("ADMIN COMPACT nba")
            operation = shown.bench.storage.operation("nba", "local0")
            operation.progress(0.3, steps=StepPosition(6, 10))
            await shown.until(lambda: shown.bench.job(1).tasks[0].steps is not None)
            await shown.execute("STOP JOB 1")
            operation.stop()
            await shown.shows("r continues it after step 6 of 10")
            await shown.press("r")
            await shown.shows("continues after step 6 of 10")

    asyncio.run(run())


def test_rate_keys_in_the_detail(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute("ADMIN COMPACT nba WITH rate = 8 MiB")
            operation = shown.bench.storage.operation("nba", "local0")
            await shown.press("enter", "plus")
            await shown.until(lambda: operation.control.rate == 16 << 20)
            await shown.press("minus", "minus")
            await shown.until(lambda: operation.control.rate == 4 << 20)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("elsewhere", "key", "limit"),
    [
        ("SET RATE 2 MiB", "plus", 4 << 20),
        ("SET RATE 2 MiB FOR JOB 1", "minus", 1 << 20),
        ("SET RATE OFF", "minus", 64 << 20),
    ],
)
def test_rate_keys_begin_at_the_limit_that_another_client_set(
    tmp_path: Path, elsewhere: str, key: str, limit: int
) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute("ADMIN COMPACT nba WITH rate = 8 MiB")
            operation = shown.bench.storage.operation("nba", "local0")
            await shown.press("enter", "minus")
            await shown.until(lambda: operation.control.rate == 4 << 20)
            assert shown.bench.execute(elsewhere).failure is None
            await shown.press(key)
            await shown.until(lambda: operation.control.rate == limit)

    asyncio.run(run())


def test_detail_shows_the_limit_in_force_and_who_set_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, size=(140, 30)) as shown:
            await shown.execute("ADMIN COMPACT nba WITH rate = 8 MiB")
            await shown.press("enter")
            await shown.shows("with rate = 8 MiB")
            assert "write limit" not in shown.detail
            who = shown.bench.session.requested_by.partition(",")[0]
            shown.bench.execute("SET RATE 2 MiB")
            await shown.shows(f"write limit 2 MiB/s per host, set by {who} (script, for all jobs)")
            await shown.press("plus")
            await shown.shows(f"write limit 4 MiB/s per host, set by {who} (dashboard)")
            shown.bench.execute("SET RATE OFF")
            await shown.shows(f"write limit lifted by {who} (script, for all jobs)")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("statement", "key", "message"),
    [
        ("ADMIN COMPACT nba", "plus", "no write limit to raise"),
        ("ADMIN COMPACT nba WITH rate = 10 KiB", "minus", "keeps its write limit of 10 KiB/s"),
    ],
)
def test_rate_keys_never_change_a_limit_the_wrong_way(
    tmp_path: Path, statement: str, key: str, message: str
) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute(statement)
            before = shown.bench.storage.operation("nba", "local0").control.rate
            await shown.press("enter", key)
            await shown.shows(message)
            assert shown.bench.storage.operation("nba", "local0").control.rate == before

    asyncio.run(run())
