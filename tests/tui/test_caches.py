"""What the dashboard shows of earlier jobs: the usual time of a job, and a space over its last jobs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.model import Level, SpaceStats
from jobtui.tui.data import caches
from jobtui.tui.data.caches import fetch_activity, recent_jobs, size_after
from jobtui.tui.tabs.chart import space_chart_lines
from jobtui.tui.text.spans import line_width, plain
from tests.support.dashboards import DashboardBench, dashboard_bench
from tests.support.engines import open_bench
from tests.support.scripted import ScriptedStorage

MIB = 1 << 20


def holding(mebibytes: int) -> SpaceStats:
    return SpaceStats((Level(1, mebibytes * MIB),))


async def compact(shown: DashboardBench, seconds: float, before: int, after: int, nth: int) -> None:
    """Run a compaction of nba that takes so long, with the sizes in MiB."""
    await shown.execute("ADMIN COMPACT nba")
    operation = await asyncio.to_thread(shown.bench.storage.operation, "nba", "h1", nth)
    shown.bench.clock.advance(seconds)
    operation.finish(holding(before), holding(after))
    await shown.until(lambda: not shown.bench.engine.active_jobs())


class TestDashboard:
    def test_usual_time_and_space_over_its_jobs(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": ["h1"], "idle": ["h1"]}, size=(120, 40)) as shown:
                detail = shown.dashboard.jobs.detail
                for nth, seconds in enumerate((2400, 2460, 2520)):
                    await compact(shown, seconds, 40 + nth, 30 + nth, nth)
                await shown.shows("job 3 ·")
                detail.tick()
                await shown.shows("ran 42:00, usually 40:30")
                await shown.execute("ADMIN COMPACT nba")
                await asyncio.to_thread(shown.bench.storage.operation, "nba", "h1", 3)
                shown.bench.clock.advance(3120)
                await shown.shows("job 4 ·")
                detail.tick()
                await shown.shows("runs for 52:00, usually 41:00")
                await shown.press("home", "2", "end")
                await shown.shows("space nba")
                shown.dashboard.view.tick()
                await shown.shows(
                    "last 3 jobs: size", "32 MiB, 30 MiB reclaimed", "Size after the job", "job 3"
                )
                await shown.press("home")
                await shown.shows("space idle")
                shown.dashboard.view.tick()
                await shown.shows_no_more("Size after the job")

        asyncio.run(run())


class TestQueries:
    def test_newest_jobs_of_each_space(self, tmp_path: Path) -> None:
        spaces = {"alpha": ["h1"], "beta": ["h2"], "gamma": ["h3"]}
        with open_bench(tmp_path, ScriptedStorage(spaces, auto=True)) as bench:
            bench.execute("ADMIN FLUSH alpha; " + "; ".join(["ADMIN COMPACT beta"] * 45))
            bench.engine.wait_idle().result(20)
        client = ReadOnlyClient.open(Profile("local", tmp_path))
        try:
            found = fetch_activity(client, spaces)
            assert [job.id for job in found["alpha"].jobs] == [1]
            assert [job.id for job in found["beta"].jobs] == list(range(46, 6, -1))
            assert found["gamma"].jobs == ()
            assert [job.id for job in recent_jobs(client, "beta", before=5)] == [4, 3, 2]
            measured = found["beta"].measured
            assert [job.id for job in measured] == list(range(7, 47))
            assert size_after(measured[0]) == 1500
            assert found["beta"].reclaimed == 40 * 2500
        finally:
            client.close()

    def test_space_that_only_has_old_jobs_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(caches, "_JOBS_FOR_ALL", 20)
        with open_bench(tmp_path, ScriptedStorage({"alpha": ["h1"], "beta": ["h2"]}, auto=True)) as bench:
            bench.execute("ADMIN FLUSH alpha; " + "; ".join(["ADMIN FLUSH beta"] * 30))
            bench.engine.wait_idle().result(20)
            assert [job.id for job in fetch_activity(bench.engine, ["alpha"])["alpha"].jobs] == [1]


class TestSpaceChart:
    def test_growth_is_below_zero(self) -> None:
        lines = space_chart_lines([3, 5, 9], [10, 20, 30], [5 * MIB, -9 * MIB, MIB], 118)
        assert {line_width(line) <= 118 for line in lines} == {True}
        text = "\n".join(map(plain, lines))
        assert "-10.4 MiB" in text
        assert "job 3" in text
        assert "job 9" in text

    @pytest.mark.parametrize(
        ("figures", "ends"),
        [
            ([-2 * MIB] * 3, ["0 B", "-2 MiB"]),
            ([2 * MIB] * 3, ["2 MiB", "0 B"]),
            ([0] * 3, ["1 B", "0 B"]),
            ([-2 * MIB, -2 * MIB + 1], ["-1.98 MiB", "-2.02 MiB"]),
        ],
    )
    def test_ends_of_the_axis_differ(self, figures: list[int], ends: list[str]) -> None:
        lines = space_chart_lines(range(len(figures)), [1] * len(figures), figures, 50)
        axis = [plain(line).split("┤")[0].strip() for line in lines if "┤" in plain(line)]
        assert axis[-2:] == ends

    def test_narrow(self) -> None:
        for width in (20, 40, 70):
            assert max(map(line_width, space_chart_lines([1, 2], [1, 2], [1, 2], width))) <= width
