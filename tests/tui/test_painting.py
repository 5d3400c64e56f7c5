"""The cells painted after a change: all that changed, and no others."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate
from textual.geometry import Region
from textual.strip import Strip

from jobtui.tui.app import DashboardApp
from jobtui.tui.terminal import OutputBudget
from jobtui.tui.text.spans import Line, TextRole, cut, width_of
from jobtui.tui.textual_ext.render import CroppedUpdate, QuantizedScrollBar
from jobtui.tui.widgets.base import changed_cells
from jobtui.tui.widgets.header import Header
from jobtui.tui.widgets.table import Table
from tests.support.dashboards import DashboardBench, dashboard_bench


def text_of(strip: Any) -> str:
    return "".join(segment.text for segment in strip)


def holes(shown: DashboardBench, update: ChopsUpdate) -> list[str]:
    """Where a part of the screen that is to be painted is not, or is not what the whole screen shows there."""
    whole = shown.app.screen._compositor.render_strips()
    wrong = []
    for y, begin, until in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if x < until and end > begin:
                seen = None if strip is None else text_of(strip)
                if seen != text_of(whole[y].crop(x, end)):
                    wrong.append(f"{x},{y}: {seen!r}")
    return wrong


@pytest.mark.parametrize("size", [(60, 16), (160, 40)])
def test_every_partial_update_paints_all_of_what_changed(tmp_path: Path, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=size, auto=True) as shown:
            wrong: list[str] = []
            partial = 0
            display = shown.app._display

            def checked(screen: Any, renderable: Any) -> None:
                nonlocal partial
                if isinstance(renderable, ChopsUpdate):
                    partial += 1
                    wrong.extend(holes(shown, renderable))
                display(screen, renderable)

            shown.app._display = checked  # type: ignore[method-assign]  # replaced for this test
            await shown.execute("ADMIN FLUSH nba;" * 12)
            for keys in (
                ["down", "down", "pagedown", "end", "home"],
                ["right_square_bracket", "space", "greater_than_sign", "o"],
                ["colon", "S", "H", "tab", "escape", "escape"],
                ["slash", "f", "l", "escape", "T", "2", "1"],
            ):
                await shown.press(*keys)
                await shown.pilot.pause()
            assert wrong == []
            assert partial > 10

    asyncio.run(run())


@pytest.mark.parametrize("keys", [(), ("enter",)], ids=["below the table", "whole screen"])
def test_progress_of_50_tasks_takes_few_bytes(tmp_path: Path, keys: tuple[str, ...]) -> None:
    hosts = [f"h{number:02}" for number in range(50)]

    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": hosts}, size=(100, 30)) as shown:
            await shown.execute("ADMIN COMPACT nba")
            await shown.shows("1 running")
            await shown.press(*keys)
            await shown.shows("0 of 50 hosts finished, 50 at work")
            operations = [shown.bench.storage.operation("nba", host) for host in hosts]
            written: list[int] = []
            display = shown.app._display

            def counted(screen: Any, renderable: Any) -> None:
                if isinstance(renderable, ChopsUpdate):
                    written.append(len(renderable.render_segments(shown.app.console).encode()))
                display(screen, renderable)

            async def second(number: int) -> None:
                """Let a second pass in which each host reports; all of it is painted at once."""
                shown.app.set_paused(True)
                shown.bench.clock.advance(1)
                for index, operation in enumerate(operations):
                    operation.progress(number / 100 + index / 1000, (20.0 + number) * (1 << 20))
                feed = shown.app._feed
                await shown.until(lambda: len(feed._batch.rates) == len(operations))
                shown.app.set_paused(False)
                shown.app._tick()
                await shown.shows(f"{20 + number} MiB/s")
                await shown.pilot.pause()

            await second(20)
            shown.app._display = counted  # type: ignore[method-assign]  # replaced for this test
            for number in range(21, 24):
                await second(number)
            assert 0 < sum(written) / 3 <= 5_000

    asyncio.run(run())


def test_progress_waits_for_the_tick_if_much_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick = DashboardApp._tick
    monkeypatch.setattr(DashboardApp, "_tick", lambda self: None)  # the timer's
    monkeypatch.setattr(OutputBudget, "allows", lambda self, now, written: False)

    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["h1"]}) as shown:
            await shown.execute("ADMIN COMPACT nba")
            operation = shown.bench.storage.operation("nba", "h1")
            await shown.shows("1 running")
            operation.progress(0.68, 1.0)
            await shown.until(lambda: shown.app._feed.pending_progress)
            await shown.pilot.pause()
            assert "68%" not in shown.screen
            tick(shown.app)
            await shown.shows("68%")
            # the last of a storm's changes does not wait
            for number in range(200):
                operation.progress(0.7 + number / 5_000, 1.0)
            await shown.shows("73%")
            # nor a change of status
            operation.progress(0.75, 1.0)
            operation.finish()
            await shown.shows("✔ 1")

    asyncio.run(run())


@pytest.mark.parametrize("text", ["ab图谱cd", "e\u0301图谱e\u0301d"])
def test_update_does_not_divide_a_wide_character(text: str) -> None:
    strip = Strip([Segment(text)])
    update = CroppedUpdate([{0: strip}], [(0, 3, 4)], [[strip.cell_length]])
    assert update.render_segments(Console()).endswith(text)


class TestChangedCells:
    LINES = (
        (("a host  ", TextRole.PLAIN), ("68%", TextRole.PLAIN), ("  12 MiB/s", TextRole.ACCENT)),
        (("a host  ", TextRole.PLAIN), ("69%", TextRole.PLAIN), ("  12 MiB/s", TextRole.ACCENT)),
        (("a host  ", TextRole.PLAIN), ("69%", TextRole.PLAIN), ("  9.5 MiB/s", TextRole.ACCENT)),
        (("a host  ", TextRole.PLAIN), ("100%", TextRole.PLAIN)),
        (("图谱  ", TextRole.PLAIN), ("谱", TextRole.PLAIN), ("x" * 20, TextRole.PLAIN)),
        (("图谱  ", TextRole.PLAIN), ("ab", TextRole.PLAIN), ("x" * 20, TextRole.PLAIN)),
        (("图谱  ", TextRole.PLAIN), ("ab", TextRole.FAILED), ("x" * 20, TextRole.PLAIN)),
        (),
    )

    @pytest.mark.parametrize("width", [1, 2, 7, 12, 20, 30])
    def test_no_other_cell_differs(self, width: int) -> None:
        for old in self.LINES:
            for new in self.LINES:
                first, end = changed_cells(old, new, width)
                before, after = cells_of(old, width), cells_of(new, width)
                assert before[:first] == after[:first]
                assert before[end:] == after[end:]

    def test_cells_are_those_of_the_figure(self) -> None:
        assert changed_cells(self.LINES[0], self.LINES[1], 40) == (8, 11)


def cells_of(line: Line, width: int) -> list[tuple[str, TextRole]]:
    """What a view shows of the line, a cell each; the second cell of a wide character is empty."""
    cells = []
    for text, role in cut(line, width):
        for character in text:
            cells += [(character, role), *[("", role)] * (width_of(character) - 1)]
    return [*cells, *[(" ", TextRole.PLAIN)] * (width - len(cells))]


def test_cursor_move_does_not_redraw_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            await shown.execute("ADMIN FLUSH nba;" * 3)
            await shown.pilot.pause()
            calls: list[object] = []
            paint = Header.render_lines

            def noted(header: Header, crop: Any) -> Any:
                calls.append(crop)
                return paint(header, crop)

            before = shown.cursor
            monkeypatch.setattr(Header, "render_lines", noted)
            await shown.press("down")
            await shown.until(lambda: shown.cursor != before)
            assert calls == []

    asyncio.run(run())


def test_scrollbar_is_unchanged_a_page_on_in_a_million_rows() -> None:
    class SizedScrollBar(QuantizedScrollBar):
        size = property(lambda self: self.tall)  # type: ignore[assignment]  # a property in place of a reactive value

    bar = SizedScrollBar.__new__(SizedScrollBar)
    QuantizedScrollBar.__init__(bar)
    bar.tall = type("Size", (), {"height": 40})  # type: ignore[attr-defined]  # of the view or double at hand
    bar.set_reactive(QuantizedScrollBar.window_virtual_size, 1_000_000)
    bar.set_reactive(QuantizedScrollBar.window_size, 40)
    assert bar.validate_position(500_000) == bar.validate_position(500_040)
    assert bar.validate_position(500_000) != bar.validate_position(505_000)
    assert bar.validate_position(999_960) == 999_960
    assert bar.validate_position(0) == 0
    bar.set_reactive(QuantizedScrollBar.window_virtual_size, 100)
    assert bar.validate_position(7) == 7


class TestFirstFrame:
    def test_columns_are_as_wide_as_their_cells(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        frames: list[list[str]] = []
        render_lines = Table.render_lines

        def recorded(table: Table, crop: Region) -> list[Strip]:
            strips = render_lines(table, crop)
            frames.append([text_of(strip) for strip in strips])
            return strips

        async def run() -> None:
            async with dashboard_bench(tmp_path, auto=True) as shown:
                await shown.execute(
                    "CREATE SPACE a_space_with_a_long_name;ADMIN FLUSH a_space_with_a_long_name"
                )
            monkeypatch.setattr(Table, "render_lines", recorded)
            async with dashboard_bench(tmp_path, auto=True) as shown:
                await shown.pilot.pause()

        asyncio.run(run())
        assert any("flush a_space_with_a_long_name" in line for line in frames[0])

    def test_columns_fit_a_long_row_that_a_taller_terminal_shows(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, size=(120, 10), auto=True) as shown:
                name = "a_space_with_a_long_name"
                await shown.execute(f"CREATE SPACE {name};ADMIN FLUSH {name}" + ";ADMIN FLUSH nba" * 10)
                await shown.press("home")
                await shown.pilot.resize_terminal(120, 36)
                await shown.shows(f"flush {name}")

        asyncio.run(run())
