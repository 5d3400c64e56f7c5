"""Spaces (2) and hosts (3)."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobtui.model import Job, Status, Task
from jobtui.storage.base import CompactionFigures, Host
from jobtui.tui.data.inventory_rows import SPACE_COLUMNS, NamedRows, host_rows, job_counts, row_filter
from jobtui.tui.text.spans import TextRole, plain
from jobtui.tui.widgets.base import LinesView
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import PlacedColumn
from tests.support.dashboards import HOSTS, dashboard_bench

SPACES = {"nba": HOSTS, "test2": ["cold0"]}


@pytest.mark.parametrize(("width", "shown"), [(22, "▶ 1  ◷ 2  ✔ 4  ✖ 1"), (14, "▶1 ◷2 ✔4 ✖1")])
def test_counts_of_jobs_are_written_closer_rather_than_cut(width: int, shown: str) -> None:
    counts = {Status.RUNNING: 1, Status.QUEUE: 2, Status.FINISHED: 4, Status.FAILED: 1}
    rows = NamedRows()
    rows.show([("nba", {"jobs": job_counts(counts)})])
    assert [plain(cell) for cell in rows.cells(0, [PlacedColumn(SPACE_COLUMNS[-1], 5, 0, width)])] == [shown]


def test_paused_jobs_are_counted_on_their_own() -> None:
    now = datetime(2019, 12, 17, 17, 21, tzinfo=UTC)
    paused = Job(7, "compact", "nba", now, Status.RUNNING, tasks=(Task(0, "h1"),), paused=True)
    pausing = Job(8, "compact", "nba", now, Status.RUNNING, tasks=(Task(0, "h1", Status.RUNNING),), paused=True)
    counts = {Status.RUNNING: 2, Status.QUEUE: 3}
    assert plain(job_counts(counts, [paused, pausing])) == "▶ 1  ‖ 1  ◷ 3"


def test_counts_of_jobs_have_one_form_in_all_rows() -> None:
    many = {Status.RUNNING: 1, Status.QUEUE: 2, Status.FINISHED: 4}
    rows = NamedRows()
    rows.show([("nba", {"jobs": job_counts(many)}), ("test2", {"jobs": job_counts({Status.FINISHED: 1})})])
    column = PlacedColumn(SPACE_COLUMNS[-1], 5, 0, 12)
    assert [plain(rows.cells(row, [column])[0]) for row in range(2)] == ["▶1 ◷2 ✔4", "✔1"]
    few = rows.token(1)
    rows.show([("nba", {"jobs": job_counts({})}), ("test2", {"jobs": job_counts({Status.FINISHED: 1})})])
    assert plain(rows.cells(1, [column])[0]) == "✔ 1"
    assert rows.token(1) != few  # it is painted again


def test_spaces_show_their_contents_and_open_their_jobs(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True, size=(110, 40)) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN COMPACT test2")
            await shown.shows("✔ 2")
            await shown.press("2")
            await shown.shows("› spaces", "nba", "test2", "11.7 KiB", "space nba", "local2")
            await shown.press("down")
            await shown.shows("space test2", "cold0")
            await shown.press("enter")
            await shown.shows("/ space:test2", "1 of 2", "compact test2")

    asyncio.run(run())


def test_detail_gets_the_room_that_few_rows_leave(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, size=(110, 40)) as shown:
            await shown.press("2")
            await shown.shows("› spaces", "space nba")
            table = shown.dashboard.query_one(".table-view Table", Table)
            body = shown.dashboard.query_one(".table-view LinesView", LinesView)
            await shown.until(lambda: table.size.height == len(SPACES) + 2)
            assert body.size.height > 25

    asyncio.run(run())


def test_space_is_chosen_flushed_and_compacted_from_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await shown.press("2")
            await shown.shows("space nba")
            await shown.press("u")
            await shown.shows("local[nba]>", "nba  in use")
            await shown.press("F")
            await shown.shows("✔ 1")
            await shown.press("C")
            await shown.shows("Compact nba?")
            await shown.press("y")
            await shown.shows("✔ 2")

    asyncio.run(run())


def test_recommendation_is_a_badge_until_a_job_ends(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            shown.bench.storage.measured["local1"] = CompactionFigures(size=100, live=10, l0_files=1)
            await shown.press("5")
            await shown.shows("› advice", "compact", "unknown")
            await shown.shows("enter edit statement")
            await shown.press("2")
            await shown.shows("› spaces", "nba  compact", "test2 ")
            await shown.press("C")
            await shown.shows("Compact nba?")
            await shown.press("y")
            await shown.shows("✔ 1")
            await shown.shows_no_more("nba  compact")
            shown.bench.storage.measured["local1"] = CompactionFigures(size=100, live=100, l0_files=1)
            await shown.press("5")  # the advice from before the job is not shown any longer
            await shown.shows("› advice", "fine")

    asyncio.run(run())


def test_dropping_a_space_warns_that_it_cannot_be_undone(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES) as shown:
            await shown.press("2")
            await shown.shows("space nba")
            await shown.press("D")
            await shown.shows("Drop this space?", "cannot be undone", "Cancel")
            await shown.press("n")
            await shown.shows_no_more("Drop this space?")
            assert "nba" in shown.bench.storage.catalog
            await shown.press("D")
            await shown.shows("Drop this space?")
            await shown.press("y")
            await shown.shows("space test2")
            assert "nba" not in shown.bench.storage.catalog

    asyncio.run(run())


def test_prompt_no_longer_has_a_space_that_was_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES) as shown:
            await shown.press("2", "u")
            await shown.shows("local[nba]>", "nba  in use")
            await shown.press("D")
            await shown.shows("Drop this space?")
            await shown.press("y")
            await shown.shows("local[]>", "space test2")

    asyncio.run(run())


def test_spaces_and_hosts_are_sorted_by_key(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["a", "b"], "srq": ["a"]}, auto=True) as shown:

            def order() -> list[object]:
                table = shown.dashboard.view.focus_target
                assert isinstance(table, Table)
                return [table.rows.key_at(index) for index in range(len(table.rows))]

            await shown.press("2")
            await shown.until(lambda: shown.dashboard.view.title == "spaces" and order() == ["nba", "srq"])
            await shown.press("o")
            await shown.until(lambda: order() == ["srq", "nba"])
            await shown.press("greater_than_sign")
            await shown.shows("Hosts▼")
            assert order() == ["nba", "srq"]
            await shown.press("less_than_sign")
            await shown.shows("Name▲")
            await shown.press("3", "o")
            await shown.until(lambda: order() == ["b", "a"])

    asyncio.run(run())


def test_n_writes_a_create_space_in_the_bar(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES) as shown:
            await shown.press("2")
            await shown.shows("space nba")
            await shown.press("n")
            await shown.shows("CREATE SPACE")
            assert shown.dashboard.console.bar.is_typing

    asyncio.run(run())


def test_hosts_show_whether_they_answer_and_their_spaces(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True, size=(110, 40)) as shown:
            await shown.press("3")
            await shown.shows("› hosts", "local0", "✔ online", "954 MiB", "host cold0")
            await shown.press("C")
            await shown.shows("Compact test2?")
            await shown.press("escape")
            shown.bench.storage.down["local1"] = "no route to host"
            shown.app.context.overview_cache.request()

            def patience_ends() -> bool:
                shown.bench.clock.advance(4)
                return "✖ offline" in shown.screen and "no route to host" in shown.screen

            await shown.until(patience_ends)

    asyncio.run(run())


def test_esc_returns_from_spaces_to_the_jobs(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES) as shown:
            await shown.press("3")
            await shown.shows("› hosts")
            await shown.press("escape")
            await shown.until(lambda: shown.dashboard.jobs.list.table.has_focus)

    asyncio.run(run())


PATHS = [f"/srv/databases/of/some/program/that/was/here/before/rdb {number}" for number in (1, 2, 3)]
ADOPTED = {f"a{number}": [path] for number, path in enumerate(PATHS, 1)}


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 35)])
def test_hosts_that_are_paths_can_be_distinguished(tmp_path: Path, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, ADOPTED, size=size) as shown:
            await shown.press("3")
            await shown.shows("/rdb 1", "/rdb 2", "/rdb 3")
            if size[0] >= 120:
                await shown.shows(*PATHS)
            await shown.press("2")
            await shown.shows("rdb 1")
            await shown.press("1")
            await shown.execute("ADMIN FLUSH a1")
            shown.bench.storage.operation("a1", PATHS[0]).fail(detail="the disk says no")
            await shown.shows("✖ failed")
            await shown.until(lambda: "/rdb 1" in shown.detail)
            assert "the disk says no" in shown.detail
            if size[0] >= 120:
                await shown.until(lambda: "the disk says" in shown.row(" flush a1"))
            await shown.press("right_square_bracket")
            await shown.until(lambda: "rdb 1 " in shown.detail and "╌" in shown.detail)
            await shown.press("right_square_bracket", "right_square_bracket")
            await shown.until(lambda: "rdb 1 " in shown.detail and "memtable" in shown.detail)

    asyncio.run(run())


class TestFilter:
    """The tables of spaces, hosts, advice and schedules are filtered by what their rows show."""

    def test_words_columns_and_negation(self) -> None:
        cells = {"name": ((("Dallas west"), TextRole.STRONG),), "status": (("down", TextRole.FAILED),)}
        for text in (
            "",
            "dal",
            "DOWN",
            "status:down dallas",
            '"dallas west"',
            "!up",
            "!status:up",
            "a:b !a:b",
            "!",
        ):
            assert row_filter(text)(cells) is (text != "a:b !a:b"), text
        for text in ("up", "!down", "name:down", '"west dallas"', "dallas up", "x:y"):
            assert not row_filter(text)(cells), text

    def test_is_typed_kept_and_dropped(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": HOSTS, "nhl": HOSTS, "Dallas": ["cold0"]}) as shown:
                await shown.press("2")
                await shown.shows("Dallas", "nba", "nhl", "/ filter")
                await shown.press("slash")
                await shown.type("n")
                await shown.shows("2 of 3")
                # the view of this key has it
                assert len(shown.dashboard.view.rows) == 2  # type: ignore[attr-defined]
                await shown.type("ba")
                await shown.shows("1 of 3", "space nba")
                await shown.press("enter")
                await shown.shows("/ nba", "esc drop filter")
                await shown.press("3", "slash")
                await shown.type("status:on !cold")
                await shown.shows("3 of 4")
                await shown.press("enter", "2")
                await shown.shows("/ nba")
                await shown.press("escape")
                await shown.shows("Dallas", "nhl")
                await shown.press("slash")
                await shown.type("zzz")
                await shown.shows("None of the 3 passes the filter zzz")

        asyncio.run(run())

    def test_schedules_and_advice(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": HOSTS, "Dallas": ["cold0"]}, auto=True) as shown:
                for name in ("nightly", "weekly"):
                    shown.bench.execute(f'CREATE SCHEDULE {name} AT "@daily" DO ADMIN FLUSH nba')
                shown.bench.execute("PAUSE SCHEDULE weekly")
                await shown.press("6")
                await shown.shows("nightly", "weekly")
                await shown.press("slash")
                await shown.type("state:paused")
                await shown.shows("1 of 2", "schedule weekly")
                await shown.press("enter", "5")
                await shown.shows("› advice", "Dallas")
                await shown.press("slash")
                await shown.type("!dallas")
                await shown.shows("1 of 2", "space nba")

        asyncio.run(run())


def test_key_scrolls_the_pane_below_the_table(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(
            tmp_path, {"nba": [f"h{number}" for number in range(20)]}, size=(60, 16)
        ) as shown:
            await shown.press("2")
            await shown.shows("space nba")
            body = shown.dashboard.query_one(".table-view LinesView", LinesView)
            await shown.until(lambda: len(body.lines) > 20)
            await shown.press("shift+down", "shift+down")
            await shown.until(lambda: body.scroll_offset.y == 6)
            await shown.press("shift+up")
            await shown.until(lambda: body.scroll_offset.y == 3)
            assert shown.dashboard.view.space_in_view() == "nba"

    asyncio.run(run())


def test_host_shows_the_jobs_that_it_works_on() -> None:
    now = datetime(2019, 12, 17, 17, 21, tzinfo=UTC)
    tasks = (Task(0, "h1", Status.RUNNING, progress=0.25), Task(1, "h2", Status.QUEUE))
    jobs = [Job(number, "compact", "nba", now, Status.RUNNING, tasks=tasks) for number in (7, 8)]
    hosts = [Host("h1", up=True), Host("h2", up=True)]
    shown = {name: plain(cells["work"]) for name, cells in host_rows(hosts, "name", False, jobs[:1])}
    assert shown == {"h1": "job 7  compact nba  25%", "h2": ""}
    ((_, cells), _) = host_rows(hosts, "name", False, jobs)
    assert plain(cells["work"]).endswith("  and 1 more")


def test_host_shows_the_cause_of_its_failure_without_its_path() -> None:
    ((_, cells),) = host_rows([Host("/db/orders", up=False, detail="/db/orders: not there")], "name", False)
    assert cells["detail"][0][0] == "not there"
