"""The view of the advice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobtui.engine.advisor import EXPLAIN
from jobtui.engine.client import ExecuteResult
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.errors import ErrorCode, StorageError
from jobtui.language.results import Result, Row
from jobtui.model import Status
from jobtui.storage.base import CompactionFigures, CompactionRequest, FamilyFigures, LevelFigures
from jobtui.tui.text.notices import explained_lines
from jobtui.tui.text.spans import plain
from jobtui.tui.views.advice import _by_space, _host_lines, _space_rows, advised_statement, share_bar
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import Sorting
from tests.support.dashboards import DashboardBench, dashboard_bench, showing
from tests.support.scripted import ScriptedStorage


def row(space: str, host: str, verdict: str, gain: int | None, deletions: float = 0.0) -> Row:
    values = {"Space": space, "Host": host, "Verdict": verdict, "Gives Back": gain, "size": 100, "flushed": 0}
    return Row((), {**values, "Deletions": deletions, "L0 Files": 1, "In Memory": 0})


HOSTS = _by_space([row("a", "h1", "fine", 0), row("b", "h1", "fine", 5), row("b", "h2", "compact", 60, 0.3)])


def text(cells: object) -> str:
    return "".join(part for part, _ in cells)


class TestRows:
    def test_space_shows_its_worst_host(self) -> None:
        rows = dict(_space_rows(HOSTS, Sorting("gain", True)))
        assert text(rows["b"]["verdict"]) == "compact"
        assert text(rows["b"]["gain"]) == "≈ 65 B"
        assert text(rows["b"]["deletions"]) == "▇▇▇░░░░░░░  30%"

    def test_order(self) -> None:
        assert [name for name, _ in _space_rows(HOSTS, Sorting("gain", True))] == ["b", "a"]
        assert [name for name, _ in _space_rows(HOSTS, Sorting("verdict", True))] == ["b", "a"]
        assert [name for name, _ in _space_rows(HOSTS, Sorting("space", False))] == ["a", "b"]

    def test_bars(self) -> None:
        assert share_bar(None) == "              –"
        assert share_bar(0.0) == "░░░░░░░░░░   0%"
        assert share_bar(1.0) == "▇▇▇▇▇▇▇▇▇▇ 100%"
        assert share_bar(0.66) == "▇▇▇▇▇▇▇░░░  66%"


class TestStatement:
    def test_all_hosts_are_not_named(self) -> None:
        hosts = [row("a", host, "compact", 60).values for host in ("h1", "h2")]
        assert advised_statement(hosts) == "ADMIN COMPACT a"

    def test_names_are_quoted(self) -> None:
        hosts = [
            row("my b", host, verdict, 60).values for host, verdict in (("/x ON y", "flush"), ("h2", "fine"))
        ]
        assert advised_statement(hosts) == "ADMIN FLUSH `my b` ON `/x ON y`"

    def test_addresses_are_written_in_quotes(self) -> None:
        hosts = [row("a", "10.0.0.5:9779", "compact", 60).values, row("a", "h", "fine", 0).values]
        assert advised_statement(hosts) == 'ADMIN COMPACT a ON "10.0.0.5:9779"'

    def test_compaction_comes_before_a_flush(self) -> None:
        verdicts = {"h1": "flush", "h2": "compact", "h3": "compact", "h4": "unknown"}
        hosts = [row("a", host, verdict, 60).values for host, verdict in verdicts.items()]
        assert advised_statement(hosts) == "ADMIN COMPACT a ON h2, h3"

    def test_names_that_no_statement_can_hold(self) -> None:
        hosts = [row("a", "h\n5", "compact", 60).values, row("a", "h", "fine", 0).values]
        assert advised_statement(hosts) == "ADMIN COMPACT a IF NEEDED"
        assert advised_statement([row("a\nb", "h", "compact", 60).values]) == ""

    def test_nothing_is_needed(self) -> None:
        assert advised_statement([row("a", "h1", "fine", 0).values]) == ""


class TestConfirmation:
    def test_shows_what_explain_knows(self) -> None:
        figures = ("≈ 9 MiB", "≈ 5 MiB", "64 GiB", "≈ 2 MiB", "≈ 3.0 s")

        def lines(action: str, note: str, took: float | None, figures: tuple[str, ...] = figures) -> list[str]:
            cells = ("h1", action, "1", *figures, note)
            result = Result("EXPLAIN …", EXPLAIN, (Row(cells, {"last_took": took}),))
            explained: Future[ExecuteResult] = Future()
            explained.set_result(ExecuteResult((result,)))
            return [plain(line) for line in explained_lines(explained)]

        known = "h1  rewrites ≈ 9 MiB, needs ≈ 5 MiB of 64 GiB free, gives back ≈ 2 MiB, ≈ 3.0 s"
        assert lines("compact", "", 2.8) == [f"{known} (last time 2.8 s)"]
        assert lines("compact", "it would fail", None) == [f"{known}; it would fail"]
        assert lines("refused", "no such family", None) == ["h1  no such family"]
        assert lines("compact", "", None, ("", "", "64 GiB", "", "≈ 3.0 s")) == ["h1  ≈ 3.0 s"]
        assert lines("compact", "", None, ("",) * 5) == ["h1  no figures known"]

    def test_names_four_of_fifty_hosts_and_a_shared_note_once(self) -> None:
        def lines(
            notes: Sequence[str], action: str = "compact", known: Mapping[str, object] | None = None
        ) -> list[str]:
            rows = tuple(
                Row((f"h{number}", action, "1", "≈ 9 MiB", "", "", "", "", note), known or {})
                for number, note in enumerate(notes, 1)
            )
            explained: Future[ExecuteResult] = Future()
            explained.set_result(ExecuteResult((Result("EXPLAIN …", EXPLAIN, rows),)))
            return [plain(line) for line in explained_lines(explained)]

        hosts = [f"h{number}  rewrites ≈ 9 MiB" for number in range(1, 5)]
        assert lines([""] * 50) == [*hosts, "and 46 more hosts"]
        assert lines([""] * 50, known={"Rewrites": 1 << 30, "Gives Back": None})[-1] == (
            "and 46 more hosts; in all: rewrites ≈ 50 GiB"
        )
        assert lines(["a guess"] * 50) == [*hosts, "and 46 more hosts", "on every host: a guess"]
        assert lines(["a guess"] * 4 + [""]) == [*(f"{host}; a guess" for host in hosts), "and 1 more host"]
        mixed = lines(["a guess; no earlier run", "a guess"])
        assert mixed == [f"{hosts[0]}; no earlier run", hosts[1], "on every host: a guess"]
        assert lines(["not needed"] * 2, "skip") == ["h1  not needed", "h2  not needed"]

    @pytest.mark.parametrize("width", [88, 116])
    def test_no_word_of_a_long_line_is_cut_off(self, tmp_path: Path, width: int) -> None:
        async def run() -> None:
            storage = ScriptedStorage({"nba": ("h1",)})
            level = LevelFigures(1, 100 << 20, 1000, 0)
            family = FamilyFigures("default", (level,), live_share=0.5, key_bytes=16, value_bytes=100)
            storage.measured["h1"] = CompactionFigures(
                (family,), memtable=0, pending=0, free=9 << 30, disk=9 << 30
            )
            async with dashboard_bench(tmp_path, storage=storage, size=(width, 30)) as shown:
                await shown.press("5")
                await shown.shows("compact")
                await shown.press("C")
                await shown.shows("Compact nba?", "rewrites ≈ 100 MiB")
                text = " ".join(line.strip(" │\n") for line in shown.screen.splitlines() if "│" in line)
                assert "the time is a guess: no earlier run on this host, 50 MiB/s assumed" in text

        asyncio.run(run())


class TestHosts:
    ROWS = tuple(
        {
            "Host": host,
            "Verdict": "compact",
            "reason": "≈ 60 MiB of 100 MiB would be given back",
            "Deletions": deletions,
            "L0 Files": files,
            "In Memory": memory,
        }
        for host, deletions, files, memory in (("h1", 0.34, 6, 3 << 20), ("h2", 0.05, 12, None))
    )

    def lines(self, width: int) -> list[str]:
        times = ["never compacted by jobtui"] * len(self.ROWS)
        return [plain(line) for line in _host_lines(self.ROWS, times, width)]

    def test_wide_terminal_has_the_figures_of_each_host(self) -> None:
        first, second = self.lines(170)
        assert first.endswith("jobtui  34% deletions   6 L0 files  3 MiB in memory")
        assert second.endswith("jobtui   5% deletions  12 L0 files")

    def test_narrow_terminal_has_no_figures(self) -> None:
        assert len(self.lines(100)) == 2
        assert not any("deletions" in line for width in (60, 100) for line in self.lines(width))

    def test_figures_that_no_host_reports_are_left_out(self) -> None:
        rows = [dict(row, Deletions=None) for row in self.ROWS]
        (first, _) = [plain(line) for line in _host_lines(rows, ["never"] * 2, 170)]
        assert first.endswith("never   6 L0 files  3 MiB in memory")


def measured(live_share: float, memtable: int = 0) -> CompactionFigures:
    level = LevelFigures(1, 100 << 20, 1000, 0)
    family = FamilyFigures("default", (level,), live_share=live_share, key_bytes=16, value_bytes=100)
    return CompactionFigures((family,), memtable=memtable, pending=0, free=9 << 30, disk=9 << 30)


@asynccontextmanager
async def advice(root: Path) -> AsyncIterator[DashboardBench]:
    """Show the advice on four spaces; each task ends at once."""
    spaces = {"calm": ("good",), "full": ("busy",), "nba": ("bad", "good"), "old": ("bad",)}
    storage = ScriptedStorage(spaces, auto=True)
    storage.measured = {"bad": measured(0.4), "good": measured(1.0), "busy": measured(1.0, 80 << 20)}
    async with dashboard_bench(root, storage=storage, size=(110, 34)) as shown:
        await shown.press("5")
        await shown.shows("space nba", "≈ 60 MiB of 100 MiB would be given back")
        yield shown


async def move_to(shown: DashboardBench, space: str) -> None:
    for _ in range(4):
        if f"space {space}" in shown.screen:
            return
        await shown.press("down")
        await shown.pilot.pause()
    raise AssertionError(shown.screen)


class StalledFigures(ScriptedStorage):
    """A storage whose hosts do not answer while they are measured."""

    def __init__(self, spaces: dict[str, Sequence[str]]) -> None:
        super().__init__(spaces)
        # a reference to each: otherwise the statement that waits for it is garbage, and ends
        self.unanswered: list[asyncio.Future[CompactionFigures]] = []

    async def figures(
        self, space: str, host: str, request: CompactionRequest | None = None
    ) -> CompactionFigures:
        self.unanswered.append(asyncio.get_running_loop().create_future())
        return await self.unanswered[-1]


@pytest.mark.parametrize("view", ["5", "7"])
def test_measurement_that_takes_long_delays_no_other_statement(tmp_path: Path, view: str) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, storage=StalledFigures({"nba": ("h1",)})) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.shows("▶ running")
            await shown.press(view)
            await shown.shows({"5": "Measuring …", "7": "advice: not measured"}[view])
            await shown.press("1", "s")
            await shown.shows("Stop 1 job?")
            await shown.press("y")
            await shown.until(lambda: shown.bench.job(1).stopping)

    asyncio.run(run())


def test_typed_statement_that_takes_long_delays_no_key(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, storage=StalledFigures({"nba": ("h1",)})) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.shows("▶ running")
            await shown.press("colon")
            await shown.paste("SHOW ADVICE")
            await shown.press("enter", "escape", "s")
            await shown.shows("Stop 1 job?")
            await shown.press("y")
            await shown.until(lambda: shown.bench.job(1).stopping)

    asyncio.run(run())


def test_failed_measurement_is_reported_and_older_rows_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object) -> None:
        raise StorageError(ErrorCode.IO, "good", "nba", "the disk says no")

    async def run() -> None:
        async with advice(tmp_path) as shown:
            monkeypatch.setattr(ScriptedStorage, "spaces", refuses)
            await shown.press("u")
            await shown.shows("the disk says no", "≈ 60 MiB of 100 MiB would be given back")

    asyncio.run(run())


def test_compaction_does_not_wait_for_its_explanation(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, storage=StalledFigures({"nba": ("h1",)})) as shown:
            await shown.press("2")
            await shown.shows("space nba")
            await shown.press("C")
            await shown.shows("Compact nba?")
            await shown.press("y")
            await shown.shows("new job 1: compact nba")

    asyncio.run(run())


class TestKeys:
    def test_cursor_shows_the_hosts_of_its_space(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with advice(tmp_path) as shown:
                assert "  compact  ≈ 60 MiB of 100 MiB would be given back" in shown.row(" bad  ")
                assert "  fine     " in shown.row(" good  ")
                assert shown.row(" bad  ").find("never compacted") == shown.row(" good  ").find(
                    "never compacted"
                )
                await move_to(shown, "full")
                await shown.shows("80 MiB in memory")
                assert "  flush" in shown.row(" busy  ")
                assert shown.row(" bad  ") == ""

        asyncio.run(run())

    def test_footer_names_the_advised_command_after_a_measurement(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with advice(tmp_path) as shown:
                await move_to(shown, "full")
                await shown.shows("C flush")
                shown.bench.storage.measured["busy"] = measured(0.4)
                await shown.press("u")
                await shown.shows("C compact")

        asyncio.run(run())

    def test_keys_choose_the_order(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with advice(tmp_path) as shown:
                table = shown.dashboard.view.focus_target
                assert isinstance(table, Table)

                def order() -> list[object]:
                    return [table.rows.key_at(index) for index in range(len(table.rows))]

                assert "Gives Back▼" in shown.screen
                assert {*order()[:2]} == {"nba", "old"}
                await shown.press("o")
                await shown.until(lambda: {*order()[2:]} == {"nba", "old"})
                await shown.press("less_than_sign", "less_than_sign")
                await shown.shows("Space▲")
                assert order() == ["calm", "full", "nba", "old"]

        asyncio.run(run())

    def test_enter_only_puts_the_statement_into_the_bar(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with advice(tmp_path) as shown:
                await shown.press("enter")
                await shown.until(lambda: shown.dashboard.console.bar.is_typing)
                assert "> ADMIN COMPACT nba ON bad" in shown.screen
                assert shown.bench.storage.begun == []
                assert sum(shown.bench.engine.history.counts().values()) == 0

        asyncio.run(run())

    @pytest.mark.parametrize(
        ("space", "question", "statement", "started"),
        [
            ("nba", "Compact nba?", "ADMIN COMPACT nba ON bad", [("compact", "bad")]),
            ("old", "Compact old?", "", [("compact", "bad")]),
            ("full", "Flush full?", "", [("flush", "busy")]),
            ("calm", "Compact calm?", "", [("compact", "good")]),
        ],
    )
    def test_c_runs_the_advised_statement_after_a_confirmation(
        self, tmp_path: Path, space: str, question: str, statement: str, started: list[tuple[str, str]]
    ) -> None:
        async def run() -> None:
            async with advice(tmp_path) as shown:
                await move_to(shown, space)
                await shown.press("C")
                where = "on the hosts that need it" if statement else "on every host that holds it"
                await shown.shows(question, statement)
                assert where in " ".join(shown.screen.replace("│", " ").split())
                assert shown.bench.storage.begun == []
                await shown.press("y")
                await shown.until(lambda: shown.bench.storage.begun)
                shown.bench.events.until(1, Status.FINISHED)
                assert [(one.command, one.host) for one in shown.bench.storage.begun] == started

        asyncio.run(run())


class TestReader:
    def test_narrow_terminal_shows_the_whole_refusal(self, tmp_path: Path) -> None:
        async def run() -> None:
            reader = ReadOnlyClient.open(Profile("local", tmp_path, read_only=True))
            async with showing(reader, size=(80, 24)) as shown:
                await shown.press("5")
                await shown.shows("Only the jobtui that runs this profile", "or leave --read-only out")

        asyncio.run(run())
