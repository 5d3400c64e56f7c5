"""The overview: the text and the order of the cards, and the keys."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.engine.client import Client, ExecuteResult, Failure, SpaceOverview
from jobtui.errors import ErrorCode
from jobtui.formatting import DateOrder
from jobtui.history import StoreError
from jobtui.model import ClusterRef, Job, Level, SpaceStats, Status, Task
from jobtui.storage.base import CompactionFigures, FamilyFigures, Host, LevelFigures, Space
from jobtui.tui.data.caches import SpaceActivity, StatementAnswered, fetch_activity, usual_seconds
from jobtui.tui.text.space_card import Attention, SpaceCard, card_lines
from jobtui.tui.text.spans import TextRole, line_width, plain
from jobtui.tui.views import overview
from jobtui.tui.views.overview import OverviewView
from tests.support.dashboards import DashboardBench, dashboard_bench
from tests.support.scripted import ScriptedStorage

NOW = datetime(2019, 12, 17, 17, 0, tzinfo=UTC)
GIB = 1 << 30
LOW = Host("h1", True, size=GIB, free=GIB)
ROOMY = Host("h1", True, size=GIB, free=500 * GIB)


def job(number: int, status: Status = Status.FINISHED, *, command: str = "compact", took: float = 60.0) -> Job:
    sizes = SpaceStats((Level(4, 3 * GIB),)), SpaceStats((Level(1, 2 * GIB + number),))
    done = status is Status.FINISHED
    task = Task(0, "h1", status, before=sizes[0], after=sizes[1] if done else None)
    start = NOW - timedelta(hours=1)
    stop = NOW if status.ended else None
    return Job(number, command, "nba", start, status, start, stop, took if stop else None, tasks=(task,))


def card(*jobs: Job, active: tuple[Job, ...] = (), verdict: str = "", host: Host | None = ROOMY) -> SpaceCard:
    look = SpaceOverview(Space("nba", ("h1",)), 3 * GIB, 0, 40 << 20)
    return SpaceCard(look, SpaceActivity(jobs), active, verdict, host)


def text_of(shown: SpaceCard, width: int = 38) -> str:
    return "\n".join(map(plain, card_lines(shown, width, NOW, DateOrder.MONTH_FIRST, selected=False)))


FAILED = replace(job(3, Status.FAILED), reason="no space left on device")
RUNNING = job(4, Status.RUNNING)
HALF = Task(0, "h1", Status.RUNNING, progress=0.5)


class TestCard:
    @pytest.mark.parametrize(
        ("shown", "attention", "label", "role"),
        [
            (card(job(1)), Attention.NOTHING, "", TextRole.RULE),
            (card(FAILED, job(1)), Attention.FAILED, "✖ last job failed", TextRole.FAILED),
            (card(job(4), FAILED), Attention.NOTHING, "", TextRole.RULE),
            (card(job(1), host=LOW), Attention.LOW_DISK, "▼ low disk", TextRole.WARNING),
            (card(job(1), verdict="compact"), Attention.COMPACT, "▲ compact", TextRole.WARNING),
            (card(job(1), verdict="flush"), Attention.FLUSH, "▲ flush", TextRole.ACCENT),
            (card(RUNNING, job(1), active=(RUNNING,)), Attention.RUNNING, "▶ running", TextRole.RUNNING),
            (card(RUNNING, active=(RUNNING,), verdict="compact"), Attention.RUNNING, "", TextRole.RUNNING),
            (card(RUNNING, FAILED, active=(RUNNING,), host=LOW), Attention.FAILED, "", TextRole.FAILED),
        ],
    )
    def test_attention(self, shown: SpaceCard, attention: Attention, label: str, role: TextRole) -> None:
        assert shown.attention is attention
        lines = card_lines(shown, 38, NOW, DateOrder.MONTH_FIRST, selected=False)
        assert label in plain(lines[0])
        assert lines[-1][0][1] is role

    def test_texts_of_a_card(self) -> None:
        text = text_of(card(FAILED, job(2), job(1), verdict="compact"), 60)
        for words in (
            "─ nba ─",
            "3 GiB, 40 MiB to compact, 1 host",
            "500 GiB free on h1",
            "compact ✖ failed",
            "no space left on device",
            "advice: compact",
        ):
            assert words in text
        assert "no advice: a host has no figures" in text_of(card(job(1), verdict="unknown"))
        assert "size ▄▄  2 GiB reclaimed" in text_of(card(job(2), job(1)))
        assert "1 GiB reclaimed" in text_of(card(job(2), job(1, command="flush")))
        assert "│ 3 GiB, 40 MiB to compact        │" in text_of(card(job(1)), 35)
        busy = card(active=(replace(RUNNING, tasks=(HALF,)), job(5, Status.QUEUE)))
        assert "▶ compact 50%  ◷ 1 queued" in text_of(busy)

    def test_job_of_a_cluster_has_no_percentage(self) -> None:
        tasks = (replace(HALF, status=Status.FINISHED), replace(HALF, number=1, progress=None))
        shown = replace(RUNNING, origin=ClusterRef("prod", "nba", 41), tasks=tasks)
        assert "▶ compact 1/2 hosts" in text_of(card(active=(shown,)))
        text = text_of(card(active=(replace(shown, tasks=tasks[1:]),)))
        assert "▶ compact" in text
        assert "%" not in text

    def test_paused_job_is_painted_as_in_the_table(self) -> None:
        paused = card(active=(replace(RUNNING, paused=True),))
        lines = card_lines(paused, 38, NOW, DateOrder.MONTH_FIRST, selected=False)
        assert [role for line in lines for text, role in line if "‖" in text] == [TextRole.WARNING]

    @pytest.mark.parametrize(("verdict", "below"), [("fine", ""), ("compact", "advice: compact")])
    def test_long_reason_uses_the_empty_lines(self, verdict: str, below: str) -> None:
        reason = "another program has the database open (its LOCK is held)"
        lines = text_of(card(replace(FAILED, reason=reason), verdict=verdict)).split("\n")
        inside = [line.strip("│ ") for line in lines[4:7]]
        assert inside[:2] == ["another program has the database", "open (its LOCK is held)"]
        assert inside[2] == below

    def test_long_reason_has_two_lines_if_the_rest_fits_into_one(self) -> None:
        reason = "another program has the database open (its LOCK is held)"
        busy = card(replace(FAILED, reason=reason), active=(RUNNING,), verdict="compact")
        inside = [line.strip("│ ") for line in text_of(busy).split("\n")[4:7]]
        assert inside[1:] == ["open (its LOCK is held)", "▶ compact  advice: compact"]

    def test_path_keeps_its_end(self) -> None:
        shown = card(host=replace(ROOMY, name="/srv/databases/of/the/shop/orders"))
        assert "500 GiB free on …/the/shop/orders" in text_of(shown)

    @pytest.mark.parametrize("width", [20, 28, 38, 60, 119])
    def test_all_lines_are_as_wide_as_the_card(self, width: int) -> None:
        shown = card(FAILED, job(2), job(1), active=(RUNNING,), verdict="compact")
        long = replace(shown, space=replace(shown.space, space=Space("x" * 60, ("h1",))))
        for each in (shown, long):
            lines = card_lines(each, width, NOW, DateOrder.MONTH_FIRST, selected=True)
            assert {line_width(line) for line in lines} == {width}


class TestUsualTime:
    def test_median_of_the_earlier_runs(self) -> None:
        jobs = [
            job(9, took=500.0),
            job(4, took=60.0),
            job(3, Status.FAILED),
            job(2, took=50.0),
            job(1, took=90.0),
        ]
        assert usual_seconds(job(9), jobs) == 60.0
        assert usual_seconds(job(4), jobs) == 70.0
        assert usual_seconds(job(2), jobs) is None

    def test_other_work_does_not_count(self) -> None:
        other = replace(job(2), options=replace(job(2).options, families=("meta",)))
        jobs = [job(3), other, job(1, command="flush")]
        assert usual_seconds(job(9), jobs) is None


class RoomyStorage(ScriptedStorage):
    """Hosts with much free disk."""

    async def hosts(self) -> tuple[Host, ...]:
        return tuple(replace(host, free=500 * GIB) for host in await super().hosts())


async def fail(shown: DashboardBench, space: str) -> None:
    await shown.execute(f"ADMIN FLUSH {space}")
    operation = await asyncio.to_thread(shown.bench.storage.operation, space, f"{space}-host")
    operation.fail(ErrorCode.DISK_FULL, "no space left on device")
    await shown.until(lambda: shown.bench.engine.history.counts(space)[Status.FAILED])


class TestDashboard:
    def test_most_urgent_first_and_enter_opens_it(self, tmp_path: Path) -> None:
        async def run() -> None:
            spaces = {name: [f"{name}-host"] for name in ("alpha", "beta", "gamma")}
            storage = RoomyStorage(spaces)
            levels = (LevelFigures(20, 900 << 20, 1000, 900), LevelFigures(0, 0, 0, 0))
            family = FamilyFigures("default", levels, live=90 << 20, live_share=0.1)
            storage.measured["beta-host"] = CompactionFigures((family,), free=100 * GIB, disk=200 * GIB)
            async with dashboard_bench(tmp_path, storage=storage, size=(120, 36)) as shown:
                await fail(shown, "gamma")
                await shown.press("7")
                await shown.shows("› overview", "▸ gamma", "✖ last job failed", "▲ compact")
                row = shown.row("gamma")
                assert row.index("gamma") < row.index("beta") < row.index("alpha")
                await shown.press("right")
                await shown.shows("▸ beta")
                await shown.press("left", "enter")
                await shown.shows("space:gamma", "✖ failed")
                await shown.press("escape")
                await shown.shows("› overview", "▸ gamma")
                await shown.press("C")
                await shown.shows("Compact")

        asyncio.run(run())

    def test_missing_space_has_no_recommendation(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, size=(120, 36)) as shown:
                await shown.press("7")
                await shown.shows("› overview")
                view, verdicts = shown.dashboard.view, shown.app.context.verdicts
                assert isinstance(view, OverviewView)
                verdicts["gone"] = "compact"
                failure = Failure("SHOW ADVICE", "the storage does not answer", 1, 1)
                view.on_statement_answered(StatementAnswered(ExecuteResult(failure=failure), failure.message))
                assert verdicts["gone"] == "compact"
                view._query.request()
                await shown.until(lambda: "nba" in verdicts and "gone" not in verdicts)

        asyncio.run(run())

    @pytest.mark.parametrize(("count", "side_by_side"), [(3, 2), (9, 3)])
    def test_few_cards_are_as_wide_as_their_names(self, tmp_path: Path, count: int, side_by_side: int) -> None:
        async def run() -> None:
            spaces = {f"recommendation_features_v{number}": ["h1"] for number in range(count)}
            async with dashboard_bench(tmp_path, spaces, size=(120, 36)) as shown:
                await shown.press("7")
                title = "▸ recommendation_features_v0 " if count == 3 else "▸ recommendation_fe"
                await shown.until(
                    lambda: (
                        "▼ low disk" in (row := shown.row(title))
                        and row.count("recommendation") == side_by_side
                    )
                )

        asyncio.run(run())

    def test_narrow_terminal_scrolls(self, tmp_path: Path) -> None:
        async def run() -> None:
            spaces = {f"space{number}": ["h1"] for number in range(6)}
            async with dashboard_bench(tmp_path, spaces, size=(60, 16), auto=True) as shown:
                await shown.press("7")
                await shown.shows("▸ space0")
                await shown.press("end")
                await shown.shows("▸ space5")
                assert "─ space0 " not in shown.screen
                await shown.press("k")
                await shown.shows("▸ space4")

        asyncio.run(run())

    def test_no_space(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {}, size=(100, 30)) as shown:
                await shown.press("7")
                await shown.shows("There is no space yet")
                await shown.press("enter", "C", "down")
                assert "jobs of the space" not in shown.screen

        asyncio.run(run())

    @pytest.mark.parametrize("error", [None, StoreError("The history cannot be read: Input/output error")])
    def test_jobs_are_read_again_only_after_a_change(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
    ) -> None:
        reads: list[list[str]] = []

        def read(client: Client, spaces: list[str]) -> dict[str, SpaceActivity]:
            reads.append(spaces)
            if error is not None:
                raise error
            return fetch_activity(client, spaces)

        monkeypatch.setattr(overview, "fetch_activity", read)

        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": ["local0"]}, auto=True) as shown:
                await shown.press("7")
                await shown.shows("no job has ended")
                await shown.until(lambda: reads == [["nba"]])
                for _ in range(3):
                    shown.dashboard.view.on_overview()
                    await shown.pilot.pause()
                assert reads == [["nba"]]
                shown.bench.execute("ADMIN FLUSH nba")
                await shown.until(lambda: shown.bench.job(1).status.ended)
                shown.dashboard.tick()
                await shown.until(lambda: len(reads) > 1)

        asyncio.run(run())
