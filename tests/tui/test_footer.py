"""The key line: which keys it has room for, in which view."""

import asyncio
from pathlib import Path

import pytest

from jobtui.tui.commands import BY_ID, COMMANDS, KeyScope, commands
from jobtui.tui.keymap import load_keymap
from jobtui.tui.text.spans import plain
from jobtui.tui.widgets.footer import key_line
from tests.support.dashboards import DashboardBench, dashboard_bench


def keys(shown: DashboardBench) -> str:
    """The key line."""
    return shown.screen.split("\n")[-1]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_key_line_keeps_the_essential_keys(width: int) -> None:
    text = plain(key_line(COMMANDS[:60], load_keymap({}), width, ("stop",)))
    assert "? help" in text
    assert ": command" in text
    assert "s stop" in text
    assert "esc back" in text
    assert len(text) <= width
    if width >= 60:
        assert "enter open" in text
        assert "q quit" in text
    if width >= 80:
        assert "/ filter" in text


@pytest.mark.parametrize(
    ("main", "shown"),
    [
        (("space_look", "space_compact"), " C compact  L look  ? help  esc back "),
        (("log_copy",), " y copy  : command  ? help  esc back "),
        (("schedule_new",), " n new  : command  ? help  esc back "),
    ],
)
def test_key_line_keeps_the_main_keys_of_a_view(main: tuple[str, ...], shown: str) -> None:
    commands = [BY_ID[name] for name in ("bar", "help", "back", "quit", "open", "space_flush", *main)]
    assert plain(key_line(commands, load_keymap({}), 40, main)) == shown


def test_way_out_of_the_bar_is_always_shown() -> None:
    line = plain(key_line(commands(KeyScope.BAR), load_keymap({}), 44))
    assert line == " enter run  tab complete  esc leave "


def test_archive_keeps_its_actions(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(80, 24), auto=True) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            await shown.execute("BACKUP JOB 1 1")
            await shown.press("4")
            wanted = ("r recover", "b restore", "? help", "esc back")
            for width in (80, 60, 44):
                await shown.pilot.resize_terminal(width, 16)
                await shown.until(lambda: all(key in keys(shown) for key in wanted))
            assert "Restore" in [title for title, *_ in shown.dashboard.palette_entries()]

    asyncio.run(run())


def test_detail_has_the_next_tab_rather_than_the_filter(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(60, 16), auto=True) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.until(lambda: "/ filter" in keys(shown) and "next tab" not in keys(shown))
            await shown.press("enter")
            await shown.until(lambda: "] next tab" in keys(shown) and "filter" not in keys(shown))

    asyncio.run(run())


def test_has_the_look_key_only_for_adopted_spaces(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(80, 24)) as shown:
            await shown.execute("ADMIN FLUSH nba")
            # replaced for this test
            shown.dashboard.context.overview_cache.adopted = lambda space: True  # type: ignore[method-assign]
            await shown.press("home")
            assert "L look" not in shown.screen
            await shown.press(*["right_square_bracket"] * 3)
            await shown.shows("L look", "L reads its files")
            for view, key in (("2", "n new"), ("3", "C compact")):
                await shown.press(view)
                await shown.shows("L look", key, "L reads its files")

    asyncio.run(run())
