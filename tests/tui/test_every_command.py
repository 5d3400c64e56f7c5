"""Every command of the registry, from the keyboard: its key, pressed where it works, reaches its action."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual import events
from textual.command import CommandList, Hits
from textual.widget import Widget

from jobtui.engine.local import LocalClient
from jobtui.model import ConnectionState, ConnectionStatus
from jobtui.tui.commands import KeyScope, commands
from jobtui.tui.textual_ext.palette import Palette, RegistryCommands
from tests.support.clock import FakeClock
from tests.support.dashboards import DashboardBench, dashboard_bench


async def at_the_table(shown: DashboardBench) -> None:
    shown.dashboard.jobs.list.table.focus()


async def in_the_detail(shown: DashboardBench) -> None:
    await shown.press("tab")
    await shown.until(lambda: shown.dashboard.jobs.detail.body.has_focus)


async def in_the_spaces(shown: DashboardBench) -> None:
    await shown.press("2")
    await shown.shows("› spaces")


async def in_the_advice(shown: DashboardBench) -> None:
    await shown.press("5")
    await shown.shows("› advice")


async def in_the_hosts(shown: DashboardBench) -> None:
    await shown.press("3")
    await shown.shows("› hosts")


async def in_the_schedules(shown: DashboardBench) -> None:
    await shown.press("6")
    await shown.shows("› schedules")


async def in_the_log(shown: DashboardBench) -> None:
    await shown.press("l")
    await shown.shows("› log")


async def in_the_overview(shown: DashboardBench) -> None:
    await shown.press("7")
    await shown.shows("› overview")


async def in_the_bar(shown: DashboardBench) -> None:
    await shown.press("colon")
    await shown.until(lambda: shown.dashboard.console.bar.is_typing)


async def in_the_filter(shown: DashboardBench) -> None:
    await shown.press("slash")
    await shown.until(lambda: shown.dashboard.view.is_typing)


WAYS: dict[KeyScope, Callable[[DashboardBench], Awaitable[None]]] = {
    KeyScope.DASHBOARD: at_the_table,
    KeyScope.TABLE: at_the_table,
    KeyScope.JOBS: at_the_table,
    KeyScope.DETAIL: in_the_detail,
    KeyScope.SPACES: in_the_spaces,
    KeyScope.HOSTS: in_the_hosts,
    KeyScope.ADVICE: in_the_advice,
    KeyScope.SCHEDULES: in_the_schedules,
    KeyScope.LOG: in_the_log,
    KeyScope.OVERVIEW: in_the_overview,
    KeyScope.BAR: in_the_bar,
    KeyScope.FILTER: in_the_filter,
}


@pytest.mark.parametrize("where", list(KeyScope))
def test_every_key_reaches_its_action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: KeyScope) -> None:
    if where is KeyScope.DASHBOARD:
        # a cluster's client: only there is something to connect to
        link = ConnectionStatus(ConnectionState.CONNECTED, FakeClock().now())
        monkeypatch.setattr(LocalClient, "connection", property(lambda self: link))

    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.shows("✔ 2")
            await WAYS[where](shown)
            received: list[str] = []
            for command in commands(where):
                name = command.action.partition("(")[0]
                setattr(
                    shown.dashboard.widget_of(where),
                    f"action_{name}",
                    lambda *_, name=name: received.append(name),
                )
            for command in commands(where):
                for key in command.keys.split(","):
                    received.clear()
                    await shown.press(key)
                    assert received == [command.action.partition("(")[0]], (command.id, key)

    asyncio.run(run())


def test_every_named_action_exists(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            for where, go in WAYS.items():
                await shown.press("1")
                await go(shown)
                owner: Widget = shown.dashboard.widget_of(where)
                for command in commands(where):
                    assert hasattr(owner, f"action_{command.action.partition('(')[0]}"), command.id
                await shown.press("escape", "escape")

    asyncio.run(run())


def test_palette_runs_commands_themes_and_columns(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            titles = {title for title, _, _ in RegistryCommands(shown.dashboard)._entries()}
            assert {"Stop", "Recover", "Help", "Spaces", "Theme: light", "Sort by Status"} <= titles
            await shown.press("ctrl+p")
            await shown.type("theme light")
            await shown.until(lambda: "Theme: light" in shown.screen)
            await shown.press("down", "enter")
            await shown.until(lambda: shown.app.theme == "light")

    asyncio.run(run())


def test_palette_marks_its_entry_without_colors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    def underlined_text(shown: DashboardBench) -> str:
        strips = shown.app.screen._compositor.render_strips()
        return "".join(part.text for line in strips for part in line if part.style and part.style.underline)

    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            await shown.press("ctrl+p")
            await shown.until(lambda: "▸ Open" in shown.screen)
            assert "Open what is under the cursor" in underlined_text(shown)
            await shown.press("down")
            await shown.until(lambda: "▸ Open" not in shown.screen)
            assert "Open what is under the cursor" not in underlined_text(shown)

    asyncio.run(run())


@pytest.mark.parametrize("twice", ["\x1b", "\r", "click"])
def test_two_closing_keys_at_once_close_the_palette_once(tmp_path: Path, twice: str) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            turned: list[str] = []
            shown.app.set_theme = turned.append  # type: ignore[method-assign]  # replaced for this test
            await shown.press("ctrl+p")
            await shown.type("theme light")
            await shown.until(lambda: "Theme: light" in shown.screen)
            await shown.press("down")
            palette = shown.app.screen
            for _ in range(3):
                if twice == "click":
                    at = {"x": 0, "y": 0, "screen_x": 0, "screen_y": 0, "button": 1, "style": None}
                    flags = {"delta_x": 0, "delta_y": 0, "shift": False, "meta": False, "ctrl": False}
                    palette.post_message(events.Click(palette, **at, **flags))
                else:
                    shown.app.post_message(events.Key({"\r": "enter", "\x1b": "escape"}[twice], twice))
            await shown.until(lambda: shown.app.screen is shown.dashboard)
            await shown.press("2")
            await shown.shows("› spaces")
            assert turned == (["light"] if twice == "\r" else [])

    asyncio.run(run())


def test_palette_may_be_left_during_its_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def leave(self: RegistryCommands, query: str) -> Hits:
        palette = self.screen.app.screen
        assert isinstance(palette, Palette)
        palette._show_busy = True  # as after half a second of search
        await palette.query_one(CommandList).remove()
        for hit in ():
            yield hit

    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.press("ctrl+p")
            await shown.until(lambda: isinstance(shown.app.screen, Palette) and "▸" in shown.screen)
            monkeypatch.setattr(RegistryCommands, "search", leave)
            await shown.press("s")
            await shown.until(lambda: not shown.app.screen.query(CommandList))
            await shown.app.workers.wait_for_complete()
            await shown.press("escape")
            await shown.until(lambda: shown.app.screen is shown.dashboard)

    asyncio.run(run())


def test_palette_without_room_has_no_pages(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(60, 16)) as shown:
            await shown.press("ctrl+p")
            await shown.until(lambda: isinstance(shown.app.screen, Palette))
            await shown.pilot.resize_terminal(60, 3)
            await shown.press("pageup", "pagedown", "down", "pageup", "escape")
            await shown.until(lambda: shown.app.screen is shown.dashboard)

    asyncio.run(run())


def test_help_shows_the_keys_of_the_current_view(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(100, 60)) as shown:
            await shown.press("question_mark")
            await shown.shows("Jobs", "Stop the marked jobs", "mark all", "filter")
            await shown.press("escape")
            await shown.press("2")
            await shown.shows("› spaces")
            await shown.press("question_mark")
            await shown.shows("Spaces", "Choose the space for the command bar")
            await shown.press("end")
            await shown.shows("Statements", "BACKUP JOB")
            assert "Stop the marked jobs" not in shown.screen

    asyncio.run(run())
