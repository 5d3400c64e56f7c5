"""What is painted after a change: the whole change, and nothing that it has nothing to do with."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual._compositor import ChopsUpdate
from textual.geometry import Region
from textual.strip import Strip

from jobtui.tui.textual_ext.render import QuantizedScrollBar
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


def test_a_move_of_the_cursor_asks_the_header_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            await shown.execute("ADMIN FLUSH nba;" * 3)
            await shown.pilot.pause()
            asked: list[object] = []
            paint = Header.render_lines

            def noted(header: Header, crop: Any) -> Any:
                asked.append(crop)
                return paint(header, crop)

            before = shown.cursor
            monkeypatch.setattr(Header, "render_lines", noted)
            await shown.press("down")
            await shown.until(lambda: shown.cursor != before)
            assert asked == []

    asyncio.run(run())


def test_scrollbar_is_unchanged_a_page_on_in_a_million_rows() -> None:
    class PlacedColumn(QuantizedScrollBar):
        size = property(lambda self: self.tall)  # type: ignore[assignment]  # a property in place of a reactive value

    bar = PlacedColumn.__new__(PlacedColumn)
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
