"""Keys that arrive at once, as over a slow line: each is processed before the next."""

import asyncio
from pathlib import Path

import pytest
from textual import events

from jobtui.tui.app import DashboardApp
from jobtui.tui.screens.dashboard import Dashboard
from jobtui.tui.widgets.command_input import CommandInput
from tests.support.dashboards import DashboardBench, dashboard_bench

NAMES = {
    " ": "space",
    ":": "colon",
    ";": "semicolon",
    "\x15": "ctrl+u",
    "\r": "enter",
    "\t": "tab",
    "/": "slash",
}


def at_once(shown: DashboardBench, keys: str) -> None:
    """All of them before the screen has a moment to look at the first."""
    for character in keys:
        name = NAMES.get(character, character)
        shown.app.post_message(events.Key(name, character))


async def bar(shown: DashboardBench) -> CommandInput:
    await shown.press("colon")
    await shown.until(lambda: shown.dashboard.console.bar.is_typing)
    return shown.dashboard.query_one(CommandInput)


def test_leftover_text_is_cleared_before_the_next_is_sent(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            await bar(shown)
            await shown.type("left over")
            await shown.press("escape", "escape")
            await shown.until(lambda: not shown.dashboard.console.bar.is_typing)
            at_once(shown, ":\x15ADMIN FLUSH nba\r")
            await shown.until(lambda: "job 1: " in shown.transcript)
            await shown.shows("✔ 1")
            assert "left over" not in shown.transcript

    asyncio.run(run())


def test_burst_with_enter_is_sent_despite_list_or_error(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            await bar(shown)
            await shown.type("SHOW ")
            await shown.until(lambda: shown.dashboard.console.completions.is_open)
            at_once(shown, "JBO\rx\x15ADMIN FLUSH nba\rSHOW JOBS\r")
            await shown.until(lambda: "syntax error at 1:6" in shown.transcript)
            await shown.until(lambda: "job 1: " in shown.transcript)
            await shown.until(lambda: "Stop Time" in shown.transcript)

    asyncio.run(run())


def test_tab_sent_with_letters_completes_their_word(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            typist = await bar(shown)
            await shown.until(lambda: typist.has_focus)
            for before in ("", "SH"):
                await shown.type(before)
                await shown.pilot.pause()
                at_once(shown, "SHO\t"[len(before) :])
                await shown.until(lambda: typist.text == "SHOW ")
                await shown.press("ctrl+u")

    asyncio.run(run())


def test_enter_with_a_letter_ignores_outdated_candidates(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            typist = await bar(shown)
            await shown.type("SHOW JOB")
            await shown.until(lambda: shown.dashboard.console.completions.is_open)
            await shown.press("down")
            at_once(shown, "S\r")
            await shown.until(lambda: "SHOW JOBS" in shown.transcript)
            assert typist.text == ""

    asyncio.run(run())


def test_down_sent_with_letters_steps_through_candidates(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            typist = await bar(shown)
            at_once(shown, "SHO")
            shown.app.post_message(events.Key("down", None))
            at_once(shown, "\r")
            await shown.until(lambda: typist.text == "SHOW ")

    asyncio.run(run())


def test_mark_is_made_before_the_move_that_follows_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("; ".join(["ADMIN FLUSH nba"] * 5))
            await shown.shows("✔ 5")
            await shown.press("home")
            at_once(shown, "j jj k")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows.marks) == 2)
            assert sorted(shown.dashboard.jobs.list.rows.marks) == [1, 4]

    asyncio.run(run())


def test_filter_sent_at_once_is_corrected_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["a"], "srq": ["a"]}, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH srq")
            await shown.shows("✔ 2")
            at_once(shown, "/nba\x15srq\r:SHOW HOSTS\r")
            await shown.until(lambda: shown.dashboard.jobs.list.filter_text == "srq")
            await shown.shows("1 of 2")
            await shown.until(lambda: "SHOW HOSTS" in shown.transcript)

    asyncio.run(run())


def test_filter_sent_in_one_go_is_text_not_commands(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.shows("✔ 2")
            at_once(shown, "/flush\r/recover")
            await shown.until(lambda: shown.dashboard.jobs.list.filter_text == "flushrecover")
            await shown.shows("0 of 2")
            assert shown.row("✔ 2")

    asyncio.run(run())


def test_text_after_a_filter_sent_at_once_extends_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            at_once(shown, "/flush")
            await shown.until(lambda: shown.dashboard.jobs.list.filter_text == "flush")
            await shown.type("es")
            await shown.until(lambda: shown.dashboard.jobs.list.filter_text == "flushes")
            await shown.press("enter", "slash")
            await shown.until(lambda: shown.dashboard.jobs.is_typing)
            await shown.type("x")
            await shown.until(lambda: shown.dashboard.jobs.list.filter_text == "flushesx")

    asyncio.run(run())


def test_keys_sent_after_leaving_the_bar_reach_the_filter(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            await bar(shown)
            shown.app.post_message(events.Key("escape", "\x1b"))
            at_once(shown, "/recover")
            await shown.until(lambda: shown.dashboard.jobs.list.filter_text == "recover")
            await shown.pilot.pause()
            assert shown.dashboard.jobs.is_typing

    asyncio.run(run())


def test_ctrl_c_discards_text_sent_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            for start in (":", "/"):
                at_once(shown, f"{start}abc")
                shown.app.post_message(events.Key("ctrl+c", "\x03"))
                if start == ":":
                    await shown.until(lambda: shown.dashboard.console.bar.is_typing)
                    assert shown.dashboard.query_one(CommandInput).text == ""
                    shown.app.post_message(events.Key("ctrl+c", "\x03"))
                await shown.until(lambda: shown.dashboard.focused is shown.dashboard.view.focus_target)
                assert not shown.dashboard.is_typing
                assert shown.dashboard.jobs.list.filter_text == ""
            assert shown.app.is_running

    asyncio.run(run())


def test_thousands_of_characters_typed_at_once_are_one_change(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            typist = await bar(shown)
            changes: list[str] = []
            put = typist.replace
            # replaced for this test
            typist.replace = lambda text, *span, **kept: changes.append(text) or put(text, *span, **kept)  # type: ignore[method-assign,func-returns-value]
            text = "SHOW JOBS; " * 300
            at_once(shown, text)
            await shown.until(lambda: typist.text == text)
            assert len(changes) < 30

    asyncio.run(run())


def test_long_text_is_analyzed_at_a_pause(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            typist = await bar(shown)
            await shown.paste("SHOW JOBS; " * 60 + "SHOW JBO ")
            await shown.until(lambda: typist.text.endswith("JBO "))
            await shown.until(lambda: "did you mean JOB" in shown.screen.split("\n")[-1])
            await shown.type("x")
            assert typist._analysis_timer is not None

    asyncio.run(run())


def test_refocused_window_continues_where_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            typist = await bar(shown)
            await shown.type("SHOW ")
            shown.app.post_message(events.AppBlur())
            await shown.until(lambda: shown.dashboard.focused is None)
            at_once(shown, "JOBS")
            await shown.until(lambda: typist.text == "SHOW JOBS")

    asyncio.run(run())


def test_esc_and_a_letter_soon_after_it_are_two_keys(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            await bar(shown)
            shown.app.post_message(events.Key("alt+t", "\x1bt"))
            await shown.until(lambda: not shown.dashboard.console.bar.is_typing)
            await shown.shows("Nothing was run here yet")

    asyncio.run(run())


def test_keys_before_the_first_frame_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ":SHOW HOSTS; SHOW SPACES"

    def typed_ahead(app: DashboardApp) -> None:
        for character in text:
            app.post_message(events.Key(NAMES.get(character, character), character))
        app.post_message(events.Key("ctrl+j", "\n"))

    composed = Dashboard.compose

    def compose(dashboard: Dashboard) -> object:
        typed_ahead(dashboard.app)
        return composed(dashboard)

    monkeypatch.setattr(Dashboard, "compose", compose)

    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            await shown.until(lambda: text[1:] in shown.transcript)
            assert shown.dashboard.view is shown.dashboard.jobs
            assert shown.app.theme == "dark"

    asyncio.run(run())


def test_question_gets_an_answer_typed_with_its_key(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, obey=True) as shown:
            await shown.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.until(lambda: shown.cursor == 2)
            at_once(shown, "sy")
            await shown.shows("■ 1")
            at_once(shown, "bn")
            await shown.press("2")
            await shown.shows("spaces")
            at_once(shown, "Cy")
            await shown.shows("◷ 1 queued")
            assert shown.app.screen is shown.dashboard

    asyncio.run(run())
