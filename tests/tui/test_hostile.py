"""Hostile text on screen in every pane, toast and dialog: nothing broken, nothing interpreted."""

import asyncio
from pathlib import Path

import pytest
from textual.widgets import Input

from jobtui.errors import ErrorCode
from jobtui.language import quote_name
from jobtui.storage.base import CompactionFigures, FamilyFigures, LevelFigures
from tests.support.dashboards import DashboardBench, dashboard_bench

# the first ones in the short form, all of them in the long one
IN_SHORT = 2
NAMES = [
    "[/nope]" + "\u202eb\u2066c" + "e" + "\u0301" * 500,
    "x" * 4000,
    "[red]x[/red]",
    "a\u202eb\u2066c",
    "图谱" * 200,
    "a b\u00a0c",
    "zero\u200bwidth",
    "'; DROP",
]
REASON = "\x1b[31mred\x1b]52;c;aGk=\x07[/nope]\u202e" + "y" * 10_000 + "\nsecond line\r\ttab \x00"


def is_clean(screen: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in screen)


async def look_everywhere(shown: DashboardBench) -> None:
    """Through every pane and dialog, each painted with the text in it."""
    for _ in range(5):
        await shown.press("right_square_bracket")
        assert is_clean(shown.screen)
    await shown.press("enter")
    await shown.shows("esc back")
    assert is_clean(shown.screen)
    await shown.press("escape")
    for key in ("y", "c", "question_mark", "b"):
        await shown.press(key)
        await shown.until(lambda: len(shown.app.screen_stack) == 2)
        await shown.pilot.pause()
        assert is_clean(shown.screen)
        await shown.press("escape")
        await shown.until(lambda: len(shown.app.screen_stack) == 1)
    for key in ("2", "3", "4", "1"):
        await shown.press(key)
        await shown.pilot.pause()
        assert is_clean(shown.screen)


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_hostile_name_and_reason_are_shown_escaped(tmp_path: Path, number: int, long: bool) -> None:
    name = NAMES[number]
    if number >= IN_SHORT and not long:
        pytest.skip("in the long form")

    async def run() -> None:
        async with dashboard_bench(tmp_path, {name: ["local0"]}) as shown:
            await shown.execute(f"USE {quote_name(name)}; ADMIN COMPACT {quote_name(name)}")
            await shown.until(lambda: shown.bench.storage.begun)
            shown.bench.storage.operation(name, "local0").fail(ErrorCode.IO, REASON)
            await shown.shows("✖ failed", "✖ 1")
            await shown.until(lambda: len(shown.app._notifications) > 0)
            assert is_clean(shown.screen)
            shown.app.clear_notifications()
            await look_everywhere(shown)
            await shown.press("r")
            await shown.shows("Run 1 job again?")
            assert is_clean(shown.screen)
            await shown.press("y")
            await shown.until(lambda: shown.bench.engine.job(2) is not None)
            await shown.press("q")
            await shown.shows("1 job queued or running")
            assert is_clean(shown.screen)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["a\nb", "a\tb\x1b[31m", "a.b", '\u202eb`"\\'])
def test_name_of_no_statement_disturbs_no_view(tmp_path: Path, name: str) -> None:
    level = LevelFigures(1, 100 << 20, 1000, 0)
    family = FamilyFigures("default", (level,), live_share=0.5, key_bytes=16, value_bytes=100)

    async def run() -> None:
        async with dashboard_bench(tmp_path, {name: ["local0", "local1"]}) as shown:
            figures = CompactionFigures((family,), memtable=0, pending=0, free=1000 << 20, disk=4000 << 20)
            shown.bench.storage.measured = {"local0": figures, "local1": figures}
            await shown.shows("To run a first one:")
            assert is_clean(shown.screen)
            await shown.press("5")
            await shown.shows("compact", "MiB")
            for key in ("7", "2", "3", "4"):
                await shown.press(key)
                await shown.pilot.pause()
                assert is_clean(shown.screen)
            await shown.press("6", "n")
            await shown.shows("New schedule", "Runs")
            assert is_clean(shown.screen)
            await shown.press("escape", "1", "slash")
            await shown.until(lambda: isinstance(shown.app.focused, Input))
            shown.app.focused.insert_text_at_cursor(f"space:{name[:2]}")
            await shown.pilot.pause()
            assert is_clean(shown.screen)

    asyncio.run(run())


def test_hostile_typed_text_is_shown_and_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.press("colon")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            await shown.paste("USE \x1b[31mred\u202e[/nope]\x07" + "é" * 150)
            await shown.shows("␛[31mred")
            assert is_clean(shown.screen)
            await shown.press("enter")
            await shown.until(lambda: "syntax error" in shown.transcript)
            assert is_clean(shown.screen)
            await shown.press("escape")
            await shown.press("slash")
            await shown.paste("[/nope] \x1b[31m space:\u202e")
            await shown.pilot.pause()
            await shown.press("enter")
            await shown.shows("No job")
            assert is_clean(shown.screen)

    asyncio.run(run())
