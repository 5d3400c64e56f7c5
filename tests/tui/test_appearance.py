"""The dashboard's appearance, kept as text: five sizes, the terminal's own colors, no colors.

`JOBTUI_APPEARANCE=write` writes the pictures again; check them before a commit.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from rich.style import Style

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.errors import ErrorCode
from jobtui.model import Level, SpaceStats
from tests.support.dashboards import HOSTS, DashboardBench, dashboard_bench

PICTURES = Path(__file__).parent / "appearance"
COLD = ("cold0", "cold1")
FULL = "no space left on device (needs 1.1 GiB, 240 MiB free)"
GIB, MIB = 1 << 30, 1 << 20
BEFORE = SpaceStats(
    levels=(Level(6, 300 * MIB), Level(0, 0), Level(4, 800 * MIB)), memtable=3 * MIB, entries=1204112
)
AFTER = SpaceStats(levels=(Level(0, 0), Level(0, 0), Level(3, 612 * MIB)), entries=1010112)


async def a_busy_desk(shown: DashboardBench) -> None:
    """Jobs in every status, one of them half way."""
    bench, storage = shown.bench, shown.bench.storage
    bench.execute("ADMIN FLUSH nba; ADMIN COMPACT test2")
    for host in HOSTS:
        storage.operation("nba", host).finish(BEFORE, AFTER)
    storage.operation("test2", "cold0").fail(ErrorCode.DISK_FULL, FULL)
    storage.operation("test2", "cold1").finish(BEFORE, AFTER)
    await shown.until(lambda: bench.engine.history.counts()["failed"] == 1)
    bench.clock.advance(42)
    bench.execute("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN COMPACT test2")
    stopped = [storage.operation("test2", host, 1) for host in COLD]
    bench.execute("STOP JOB 5")
    await shown.shows("stopping 0/2")
    for operation in stopped:
        operation.stop()
    await shown.until(lambda: bench.engine.history.counts()["stopped"] == 1)
    bench.clock.advance(30)
    storage.operation("nba", "local0", 1).progress(0.54, 88.0 * MIB)
    storage.operation("nba", "local1", 1).finish(BEFORE, AFTER)
    storage.operation("nba", "local2", 1).progress(0.2, 44.0 * MIB)
    await shown.until(lambda: task_ended(shown))
    shown.app.clear_notifications()
    shown.dashboard.jobs.list.table.go_to_key(3)
    shown.dashboard.tick()
    await shown.until(lambda: "─ job 3 " in shown.screen and shown.bench.job(3).tasks[1].status.ended)
    await shown.until(lambda: "54%" in shown.detail and "✔" in shown.detail)


def task_ended(shown: DashboardBench) -> bool:
    return shown.bench.job(3).tasks[1].status.ended


def kept(name: str, seen: str) -> None:
    """Compare with what is kept under that name."""
    path = PICTURES / f"{name}.txt"
    if os.environ.get("JOBTUI_APPEARANCE") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(seen + "\n", encoding="utf-8")
    assert seen + "\n" == path.read_text(encoding="utf-8")


def styled(shown: DashboardBench) -> str:
    """The screen as it is written to the terminal: each run of a style after the style's name."""
    lines = []
    for strip in shown.app.screen._compositor.render_strips():
        runs: list[tuple[str, str]] = []
        for segment in strip:
            name = named(segment.style or Style())
            if runs and runs[-1][0] == name:
                runs[-1] = name, runs[-1][1] + segment.text
            else:
                runs.append((name, segment.text))
        lines.append("".join(f"{{{name}}}{text}" for name, text in runs).rstrip())
    return "\n".join(lines)


def named(style: Style) -> str:
    marks = [word for word in ("bold", "dim", "underline", "reverse") if getattr(style, word)]
    for color in (style.color, style.bgcolor):
        if color is not None and not color.is_default:
            marks.append(color.name)
    return " ".join(marks)


@pytest.fixture(autouse=True)
def at_greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local times and the name of the user are the same everywhere."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(Session, "requested_by", property(lambda _session: "anna@db1, script"))


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 36), (170, 45), (200, 50)])
def test_five_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": HOSTS, "test2": COLD}, size=size) as shown:
            await a_busy_desk(shown)
            kept(f"{size[0]}x{size[1]}", shown.screen)

    asyncio.run(run())


def test_own_colors_of_the_terminal(tmp_path: Path) -> None:
    async def run() -> None:
        settings = TuiSettings(theme="ansi")
        async with dashboard_bench(
            tmp_path, {"nba": HOSTS, "test2": COLD}, size=(80, 24), settings=settings
        ) as shown:
            await a_busy_desk(shown)
            seen = styled(shown)
            assert "#" not in seen
            kept("ansi", seen)

    asyncio.run(run())


def test_without_colors_signs_show_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": HOSTS, "test2": COLD}, size=(80, 24)) as shown:
            await a_busy_desk(shown)
            kept("no-color", styled(shown))

    asyncio.run(run())


def style_of(shown: DashboardBench, text: str, row: str = "") -> str:
    """How the first cell of a text is painted, on the lowest row with that text and the text `row`."""
    for strip in reversed(shown.app.screen._compositor.render_strips()):
        if text in strip.text and row in strip.text:
            at = strip.text.index(text)
            return named([segment.style or Style() for segment in strip for _ in segment.text][at])
    return "not shown"


class TestOwnColorsOfTheTerminal:
    """What a terminal of 16 colors can show as it is meant."""

    SETTINGS = TuiSettings(theme="ansi")

    def test_cursor_and_suggestion_differ_from_the_typed_text(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, size=(80, 24), settings=self.SETTINGS) as shown:
                await shown.press("slash")
                await shown.type("sta")
                await shown.until(lambda: style_of(shown, "tus:") == "dim reverse")  # it blinks
                assert style_of(shown, "us:") == "dim"
                await shown.press("escape", "colon")
                await shown.type("ADMIN CO")
                await shown.until(lambda: style_of(shown, "MPACT").endswith("reverse"))
                assert style_of(shown, "PACT") == "dim"

        asyncio.run(run())

    def test_selected_text_is_in_reverse(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, size=(80, 24), settings=self.SETTINGS) as shown:
                await shown.press("6", "n")
                await shown.until(lambda: style_of(shown, "nightly", row="Name ") == "reverse")

        asyncio.run(run())

    def test_alarm_is_not_red_on_red(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(LocalClient, "write_error", property(lambda _client: "The disk is full"))

        async def run() -> None:
            async with dashboard_bench(tmp_path, size=(80, 24), settings=self.SETTINGS) as shown:
                await shown.shows("The disk is full")
                alarm = shown.app.screen.query_one("#alarm")
                text = next(iter(alarm.render_line(0)))
                assert named(text.style or Style()) == "bold reverse color(9)"

        asyncio.run(run())


class TestThemeColors:
    """What Textual paints in colors of its own, which can be too dim, is in the theme's."""

    def test_suggestion_and_palette(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, size=(80, 24), settings=TuiSettings(theme="light")) as shown:
                colors = shown.app.current_theme.variables
                await shown.press("slash")
                await shown.type("sta")
                await shown.shows("status:")
                panel = shown.app.current_theme.panel
                assert style_of(shown, "us:") == f"{colors['muted']} {panel}"
                await shown.press("escape", "ctrl+p")
                await shown.shows("▸ Open")
                await shown.until(lambda: style_of(shown, "Open what is").endswith(f" {colors['cursor']}"))

        asyncio.run(run())


class TestProfileColor:
    """The profile's name on its color, in the header and before what one types."""

    @staticmethod
    def names(shown: DashboardBench) -> list[Style]:
        """How the name is painted, from the top down."""
        strips = shown.app.screen._compositor.render_strips()
        return [
            segment.style for line in strips for segment in line if segment.text == " local " and segment.style
        ]

    @pytest.mark.parametrize("size", [(80, 24), (60, 16), (120, 36)])
    def test_is_behind_the_name(self, tmp_path: Path, size: tuple[int, int]) -> None:
        async def run() -> None:
            settings = TuiSettings(profile_color="red")
            async with dashboard_bench(tmp_path, size=size, settings=settings) as shown:
                header, bar = self.names(shown)
                for style in (header, bar):
                    assert style.bgcolor is not None
                    assert style.color is not None
                    assert style.bgcolor.get_truecolor().hex == "#af0000"
                    assert style.color.get_truecolor().hex == "#ffffff"
                await shown.press("T")
                assert self.names(shown)[0].bgcolor == header.bgcolor

        asyncio.run(run())

    def test_without_colors_is_in_reverse(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")

        async def run() -> None:
            async with dashboard_bench(
                tmp_path, size=(80, 24), settings=TuiSettings(profile_color="red")
            ) as shown:
                assert [style.reverse for style in self.names(shown)] == [True, True]

        asyncio.run(run())


def test_too_small_terminal_is_reported(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(20, 6)) as shown:
            await shown.shows("too small: 20x6")
            await shown.pilot.resize_terminal(300, 100)
            await shown.shows("No jobs yet")
            assert "too small" not in shown.screen

    asyncio.run(run())


def test_too_small_terminal_shows_only_a_text_until_it_grows(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(80, 24)) as shown:
            await shown.execute("USE nba")
            await shown.press("colon")
            await shown.type("SHO")
            await shown.shows("done", "SHOW")
            await shown.pilot.resize_terminal(30, 8)
            await shown.shows("too small: 30x8")
            await shown.until(lambda: len([row for row in shown.screen.split("\n") if row.strip()]) == 1)
            await shown.pilot.resize_terminal(80, 24)
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            await shown.type("W HOSTS")
            await shown.shows("SHOW HOSTS")

    asyncio.run(run())
