"""Pausing and resuming jobs by a key, and changing their write limit."""

from __future__ import annotations

import asyncio
from pathlib import Path

from jobtui.model import Status, StepPosition
from tests.support.dashboards import stage


class TestPauseKey:
    def test_pauses_then_resumes(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with stage(tmp_path, {"nba": ["local0"]}) as shown:
                await shown.say("ADMIN COMPACT nba")
                operation = shown.behind.storage.operation("nba", "local0")
                operation.progress(0.3, steps=StepPosition(17, 64))
                await shown.press("P")
                await shown.until(operation.control.pause.is_set)
                await shown.shows("‖ pausing 17/64")
                operation.pause(StepPosition(18, 64))
                await shown.shows("paused 18/64")
                await shown.press("P")
                await shown.until(lambda: shown.behind.job(1).tasks[0].status is Status.RUNNING)
                assert not shown.behind.job(1).paused

        asyncio.run(run())

    def test_says_why_it_has_no_effect(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with stage(tmp_path, {"nba": ["local0"]}) as shown:
                await shown.say("ADMIN FLUSH nba")
                shown.behind.storage.operation("nba", "local0").finish()
                await shown.shows("✔ finished")
                await shown.press("P")
                await shown.shows("Nothing to pause: job 1 (already ended)")

        asyncio.run(run())


def test_recovery_says_where_it_continues(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.say("ADMIN COMPACT nba")
            operation = shown.behind.storage.operation("nba", "local0")
            operation.progress(0.3, steps=StepPosition(6, 10))
            await shown.until(lambda: shown.behind.job(1).tasks[0].steps is not None)
            await shown.say("STOP JOB 1")
            operation.stop()
            await shown.shows("r continues it after step 6 of 10")
            await shown.press("r")
            await shown.shows("continues after step 6 of 10")

    asyncio.run(run())


def test_rate_keys_in_the_detail(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.say("ADMIN COMPACT nba WITH rate = 8 MiB")
            operation = shown.behind.storage.operation("nba", "local0")
            await shown.press("enter", "plus")
            await shown.until(lambda: operation.control.rate == 16 << 20)
            await shown.press("minus", "minus")
            await shown.until(lambda: operation.control.rate == 4 << 20)

    asyncio.run(run())
