"""The detail of a job: its tabs, the whole screen, beside and below."""

import asyncio
from pathlib import Path

from jobtui.model import Level, SpaceStats
from jobtui.storage.base import Space
from tests.support.dashboards import HOSTS, Stage, stage
from tests.support.scripted import ScriptedStorage

BEFORE = SpaceStats(
    levels=(Level(4, 40 << 20), Level(0, 0), Level(9, 600 << 20)), memtable=3 << 20, entries=1200, pending=9
)
AFTER = SpaceStats(levels=(Level(0, 0), Level(0, 0), Level(2, 300 << 20)), entries=1000)


async def a_compacted_job(shown: Stage) -> None:
    await shown.say("ADMIN COMPACT nba")
    for host in HOSTS:
        operation = shown.behind.storage.operation("nba", host)
        shown.behind.clock.advance(5)
        operation.finish(BEFORE, AFTER)
        await shown.until(lambda host=host: task_ended(shown, host))
    await shown.shows("✔ 1")


def task_ended(shown: Stage, host: str) -> bool:
    return next(task for task in shown.behind.job(1).tasks if task.host == host).status.ended


def test_the_tabs_tell_tasks_timeline_storage_and_events(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path, size=(110, 60)) as shown:
            await a_compacted_job(shown)
            await shown.until(lambda: "640 MiB → 300 MiB" in shown.detail)
            await shown.press("right_square_bracket")
            await shown.until(lambda: "waited 0.0 s · ran 5.0 s" in shown.detail and "▇" in shown.detail)
            assert "ran 0:15" in shown.detail
            await shown.press("right_square_bracket")
            await shown.until(lambda: "before" in shown.detail and "now" in shown.detail)
            await shown.until(lambda: "4 files    40 MiB" in shown.detail)
            await shown.press("right_square_bracket")
            await shown.until(lambda: "task 2 on local2 finished" in shown.detail)
            await shown.press("left_square_bracket", "left_square_bracket", "left_square_bracket")
            await shown.until(lambda: "640 MiB → 300 MiB" in shown.detail)

    asyncio.run(run())


def test_enter_fills_the_screen_with_the_detail_and_esc_leads_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path) as shown:
            await a_compacted_job(shown)
            await shown.press("enter")
            await shown.shows("jobs › job 1 · compact nba")
            assert "Command" not in shown.screen
            await shown.press("right")
            await shown.until(lambda: "waited" in shown.detail)
            await shown.press("escape")
            await shown.shows("Command", "compact nba")

    asyncio.run(run())


def test_the_detail_stands_beside_the_table_where_there_is_room_and_below_it_else(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path, size=(190, 40)) as shown:
            await a_compacted_job(shown)
            assert "job 1 ·" in shown.row("Command")
            await shown.pilot.resize_terminal(90, 40)
            await shown.until(lambda: "job 1 ·" not in shown.row("Command"))
            assert "job 1 ·" in shown.screen

    asyncio.run(run())


def test_lineage_is_told_in_both_directions(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path, {"nba": ["local0"]}, size=(100, 40)) as shown:
            await shown.say("ADMIN COMPACT nba")
            shown.behind.storage.operation("nba", "local0").fail(detail="no luck")
            await shown.shows("✖ 1")
            shown.behind.say("RECOVER JOB 1")
            await shown.press("left_square_bracket")
            await shown.until(lambda: "recovered as job 2" in shown.detail)
            await shown.press("home")
            await shown.until(lambda: "recovered from job 1" in shown.detail)

    asyncio.run(run())


def test_a_queued_job_says_what_it_waits_for(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path, {"nba": ["local0"]}) as shown:
            shown.behind.say("ADMIN COMPACT nba; ADMIN FLUSH nba")
            await shown.shows("◷ queue")
            await shown.press("home")
            await shown.until(lambda: "waits for job 1" in shown.detail)

    asyncio.run(run())


def test_a_queued_job_says_whose_work_keeps_its_hosts(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path, {"nba": ["local0"], "geo": ["local0"]}) as shown:
            shown.behind.say("ADMIN COMPACT nba; ADMIN FLUSH geo")
            await shown.shows("◷ queue")
            await shown.press("home")
            await shown.until(lambda: "waits for its hosts, which work on job 1" in shown.detail)
            shown.behind.storage.operation("nba", "local0").finish()
            await shown.until(lambda: "waits for" not in shown.detail)

    asyncio.run(run())


def test_an_adopted_space_is_looked_into_only_when_asked(tmp_path: Path) -> None:
    class Counting(ScriptedStorage):
        looks = 0

        async def stats(self, space: str, host: str) -> SpaceStats:
            self.looks += 1
            return await super().stats(space, host)

    async def run() -> None:
        storage = Counting({"chain": ["local0"]}, auto=True)
        storage.catalogue["chain"] = Space("chain", ("local0",), adopted=True)
        async with stage(tmp_path, storage=storage, size=(100, 40)) as shown:
            await shown.say("ADMIN FLUSH chain")
            await shown.shows("✔ 1")
            await shown.press("right_square_bracket", "right_square_bracket")
            await shown.until(lambda: "opening it writes there" in shown.detail)
            assert storage.looks == 0
            await shown.press("L")
            await shown.until(lambda: "now" in shown.detail)
            assert storage.looks == 1

    asyncio.run(run())
