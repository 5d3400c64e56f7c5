"""The setting `confirm`: each action on a job or a space asks in the same way, and acts on what is visible."""

import asyncio
from pathlib import Path

import pytest

from jobtui.config.settings import Confirm, TuiSettings
from jobtui.engine.local import LocalClient
from jobtui.model import Status
from jobtui.tui.textual_ext.palette import RegistryCommands
from tests.support.dashboards import DashboardBench, dashboard_bench

SPACES = {"nba": ["local0"]}
ASKED = {"s": "Stop 1 job?", "r": "Run 1 job again?", "b": "Archive 1 job?", "C": "Compact nba?"}
TITLES = {"s": "Stop", "r": "Recover", "b": "Archive", "C": "Compact"}
BULK = TuiSettings(confirm=Confirm.BULK)


async def one_job(shown: DashboardBench, key: str) -> None:
    """A job under the cursor that the key can act on."""
    shown.bench.execute("ADMIN COMPACT nba")
    if key == "s":
        await shown.shows("▶ running")
    else:
        shown.bench.storage.operation("nba", "local0").finish()
        await shown.shows("✔ finished")
    await shown.press("home")


def from_palette(shown: DashboardBench, key: str) -> None:
    entries = {title: run for title, _, run in RegistryCommands(shown.dashboard)._entries()}
    entries[TITLES[key]]()


@pytest.mark.parametrize("palette", [False, True], ids=["key", "palette"])
@pytest.mark.parametrize("key", list(ASKED))
class TestOneJob:
    def test_stop_always_asks_and_no_does_nothing(self, tmp_path: Path, key: str, palette: bool) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES) as shown:
                await one_job(shown, key)
                before = shown.transcript
                from_palette(shown, key) if palette else await shown.press(key)
                await shown.shows(ASKED[key], "Cancel")
                await shown.press("enter")
                await shown.shows_no_more(ASKED[key])
                assert shown.transcript == before
                assert sum(shown.bench.engine.history.counts().values()) == 1

        asyncio.run(run())

    def test_bulk_does_not_ask(self, tmp_path: Path, key: str, palette: bool) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, obey=True, settings=BULK) as shown:
                await one_job(shown, key)
                from_palette(shown, key) if palette else await shown.press(key)
                await shown.until(lambda: shown.transcript)
                assert shown.app.screen is shown.dashboard

        asyncio.run(run())


class TestSight:
    def test_hidden_marks_are_confirmed(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(
                tmp_path, {"nba": ["a"], "srq": ["b"]}, obey=True, settings=BULK
            ) as shown:
                shown.bench.execute("ADMIN COMPACT nba; ADMIN COMPACT srq")
                await shown.shows("▶ 2 running")
                await shown.press("end", "space", "slash")
                await shown.paste("space:srq")
                await shown.press("enter")
                await shown.shows("1 of 2")
                await shown.press("s")
                await shown.shows("Stop 1 job?", "job 1", "The filter hides 1 marked job")
                await shown.press("n")
                assert shown.bench.job(1).status is Status.RUNNING

        asyncio.run(run())

    def test_full_detail_acts_on_its_job_despite_marks(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(
                tmp_path, {"nba": ["a"], "srq": ["b"]}, obey=True, settings=BULK
            ) as shown:
                shown.bench.execute("ADMIN COMPACT nba; ADMIN COMPACT srq")
                await shown.shows("▶ 2 running")
                await shown.press("home", "space", "end", "enter")
                await shown.shows("jobs › job 1")
                await shown.press("s")
                await shown.until(lambda: shown.bench.job(1).status is Status.STOPPED)
                assert shown.bench.job(2).status is Status.RUNNING

        asyncio.run(run())

    def test_nothing_is_acted_on_where_the_terminal_is_too_small(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, obey=True, settings=BULK) as shown:
                await one_job(shown, "s")
                await shown.pilot.resize_terminal(30, 8)
                await shown.shows("too small")
                await shown.press("s", "a", "C", "2", "D", "y")
                await shown.pilot.resize_terminal(100, 30)
                await shown.shows("▶ running", "Command")
                assert not shown.dashboard.jobs.list.rows.marks
                assert shown.transcript == ""

        asyncio.run(run())


def test_report_names_only_the_jobs_that_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["a"], "test2": ["b"]}) as shown:
            await shown.execute("ADMIN FLUSH nba; ADMIN FLUSH test2")
            await shown.shows("▶ 2")
            shown.bench.storage.operation("nba", "a").fail()
            await shown.shows("✖ 1")
            shown.dashboard.jobs.list.rows.marks.add([1, 2])
            monkeypatch.setattr(LocalClient, "active_jobs", lambda _: ())  # as if job 2 had ended, too
            await shown.press("r")
            await shown.shows("Run 2 jobs again?")
            await shown.press("y")
            await shown.shows("job 3 runs job 1 again", "could not run again")

    asyncio.run(run())
