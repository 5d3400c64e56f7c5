"""Questions that are answered in haste."""

import asyncio
from pathlib import Path

import pytest
from textual import events

from jobtui.tui.screens.dialog import Choice, Question
from jobtui.tui.screens.help import HelpScreen
from jobtui.tui.text.spans import Line, TextRole, line_width, plain
from jobtui.tui.widgets.base import LinesView
from tests.support.dashboards import dashboard_bench


def test_second_answer_in_the_same_go_ends_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            given: list[str | None] = []
            choices = [Choice("i", "id", "1"), Choice("r", "row", "2")]
            first, second = (Question[str](title, (), choices) for title in ("First", "Second"))
            for question in (first, second):
                await shown.app.push_screen(question, given.append)
            for key in "ir":
                second.post_message(events.Key(key, key))
            await shown.until(lambda: given)
            await shown.pilot.pause()
            assert given == ["1"]
            assert shown.app.screen is first
            await shown.app.push_screen(HelpScreen((), shown.app.context.keymap))
            first.dismiss("2")
            assert given == ["1"]
            assert isinstance(shown.app.screen, HelpScreen)
            await shown.press("question_mark", "enter")
            await shown.until(lambda: shown.app.screen is shown.dashboard)
            assert given == ["1", "1"]

    asyncio.run(run())


def test_question_is_paged_before_it_is_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            question = Question[str]("Which?", (), [Choice("i", "id", "1")])
            shown.app.push_screen(question)
            question.action_page(1)
            await shown.shows("Which?", "id")

    asyncio.run(run())


def test_question_names_the_way_out_and_marks_its_cursor(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            choices = [Choice("f", "only on 1 host", True), Choice("a", "on all 3 hosts", False)]
            shown.app.push_screen(Question[bool]("Run job 1 again?", (), choices))
            await shown.shows("esc closes", "▸ f     only on 1 host")
            await shown.press("down")
            await shown.shows("▸ a     on all 3 hosts")
            assert "▸ f" not in shown.screen

    asyncio.run(run())


def test_only_list_entries_have_a_hanging_indent(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(80, 24)) as shown:
            words = " ".join(["word"] * 20)
            lines: list[Line] = [
                ((words, TextRole.PLAIN),),
                (("h1  ", TextRole.STRONG), (words, TextRole.MUTED)),
            ]
            shown.app.push_screen(Question[str]("Which?", lines, [Choice("i", "id", "1")]))
            await shown.shows("Which?", "h1  word")
            prose, more_prose, entry, more_of_entry = shown.app.screen.query_one(LinesView).lines[2:]
            assert [plain(line)[:4] for line in (prose, more_prose, entry)] == ["word", "word", "h1  "]
            assert plain(more_of_entry).startswith("  word")

    asyncio.run(run())


def test_keys_have_a_narrow_column_in_a_narrow_help(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["h1"]}, size=(60, 16), auto=True) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.press("question_mark")
            await shown.shows("s       Stop the marked jobs", " help ", " esc closes ")
            text = "\n".join(plain(line) for line in shown.app.screen.query_one(LinesView).lines)
            assert "  enter   Open what is under the cursor" in text
            assert "shift" not in text
            assert "⇧↑ K    Mark a range upwards" in text
            assert "Free disk" in text
            assert "┤ ┬" in text

    asyncio.run(run())


def test_question_closed_before_it_opens_does_not_appear(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            for screen in (
                Question[str]("Which?", (), [Choice("i", "id", "1")]),
                HelpScreen((), shown.app.context.keymap),
            ):
                shown.app.push_screen(screen)
                shown.app.pop_screen()
                await shown.pilot.pause()
            await shown.press("2")
            await shown.shows("› spaces")

    asyncio.run(run())


def test_text_of_a_question_does_not_touch_the_scrollbar(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(60, 16)) as shown:
            lines: list[Line] = [((f"{number} " + "x" * 200, TextRole.PLAIN),) for number in range(20)]
            shown.app.push_screen(Question[str]("Which?", lines, [Choice("i", "id", "1")]))
            await shown.shows("Which?", "xxxxxxxx")
            view = shown.app.screen.query_one(LinesView)
            await shown.until(lambda: view.show_vertical_scrollbar)
            assert max(map(line_width, view.lines)) < view.inner_width

    asyncio.run(run())


@pytest.mark.parametrize("size", [(80, 24), (60, 16)])
def test_palette_names_the_way_out(tmp_path: Path, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=size) as shown:
            await shown.press("ctrl+p")
            await shown.shows("▸ ", " esc closes ")

    asyncio.run(run())
