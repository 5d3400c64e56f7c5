"""The command bar: completion, ghost text, the caret under an error, its history."""

import asyncio
from pathlib import Path

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import ExecuteResult
from jobtui.language.results import Result, Row
from jobtui.tui.text.spans import CURSOR, plain
from jobtui.tui.widgets.command_input import CommandInput
from jobtui.tui.widgets.console import answer_lines
from tests.support.dashboards import DashboardBench, dashboard_bench


async def typing(shown: DashboardBench) -> CommandInput:
    await shown.press("colon")
    await shown.until(lambda: shown.dashboard.console.bar.is_typing)
    return shown.dashboard.query_one(CommandInput)


def test_continuations_are_listed_and_tab_completes(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            typist = await typing(shown)
            await shown.type("ad")
            await shown.until(
                lambda: shown.dashboard.console.completions.is_open and typist.suggestion == "min"
            )
            await shown.press("tab")
            await shown.until(lambda: typist.text == "admin ")
            await shown.shows("flush", "compact")
            await shown.type("com")
            await shown.press("tab")
            await shown.until(lambda: typist.text == "admin compact ")
            await shown.until(lambda: shown.dashboard.console.completions.best is not None)
            await shown.press("tab", "enter")
            await shown.shows("compact nba", "▶ running")

    asyncio.run(run())


def test_list_shows_that_there_are_more(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await typing(shown)
            await shown.paste("ADMIN COMPACT nba WITH ")
            await shown.until(lambda: shown.dashboard.console.completions.is_open)

            def last_line() -> str:
                completions = shown.dashboard.console.completions
                return completions.render_line(completions.size.height - 1).text

            await shown.until(lambda: last_line() == "│family     ↓")
            await shown.press("up")
            await shown.until(lambda: last_line().startswith(CURSOR) and last_line().endswith("│"))
            assert shown.dashboard.console.completions.render_line(0).text.endswith("↑")

    asyncio.run(run())


def test_diagnostic_fits_again_after_a_resize(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(120, 30)) as shown:
            await typing(shown)
            await shown.paste("SHOW JBO 3")
            await shown.shows("^^^ expected JOB", "mean JOB?", " esc leave")
            await shown.pilot.resize_terminal(60, 16)
            await shown.shows_no_more("^^^ expected JOB")
            await shown.shows("did you mean JOB?")

    asyncio.run(run())


def test_completion_offers_jobs_that_the_statement_can_act_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN COMPACT nba")
            shown.bench.storage.operation("nba", "local0").fail()
            await shown.shows("✖ 1", "▶ 1 running")
            await typing(shown)
            await shown.type("stop job ")
            await shown.shows("2  running compact nba")
            assert "failed flush nba" not in shown.row(" 1 ")
            await shown.press("ctrl+u")
            await shown.type("recover job ")
            await shown.shows("1     failed flush nba")

    asyncio.run(run())


def test_arrows_step_through_candidates_and_enter_inserts(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["a"], "nbb": ["a"], "nbc": ["a"]}) as shown:
            typist = await typing(shown)
            await shown.type("use ")
            await shown.shows("nba", "nbb", "nbc")
            await shown.press("down", "down", "enter")
            await shown.until(lambda: typist.text == "use nbb ")
            await shown.press("enter")
            await shown.shows("local[nbb]>")

    asyncio.run(run())


def test_right_accepts_the_suggestion(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            typist = await typing(shown)
            await shown.type("sho")
            await shown.until(lambda: typist.suggestion == "w")
            await shown.press("right")
            await shown.until(lambda: typist.text == "show")

    asyncio.run(run())


def test_caret_is_under_errors_and_not_under_unfinished_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await typing(shown)
            await shown.type("SHOW JO")
            await shown.pilot.pause()
            assert "^" not in shown.screen
            await shown.press("backspace", "backspace")
            await shown.type("JBO 4")
            await shown.shows("^^^ did you mean JOB?")
            lines = shown.screen.split("\n")
            row = next(number for number, line in enumerate(lines) if "^^^" in line)
            assert lines[row].index("^^^") == lines[row - 1].index("JBO")

    asyncio.run(run())


def test_syntax_is_shown_next_to_the_statement(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await typing(shown)
            await shown.type("recover job 3")
            await shown.shows("RECOVER JOB")
            assert shown.row("recover job 3").rstrip().endswith("[, …]]")

    asyncio.run(run())


def test_up_recalls_sent_texts_and_down_the_draft(tmp_path: Path) -> None:
    settings = TuiSettings(state_dir=tmp_path / "state")

    async def first() -> None:
        async with dashboard_bench(tmp_path / "one", settings=settings) as shown:
            await shown.execute("SHOW JOBS")
            await shown.execute("SHOW SPACES")
            typist = await typing(shown)
            await shown.paste("draft")
            await shown.press("up")
            await shown.until(lambda: typist.text == "SHOW SPACES")
            await shown.press("up")
            await shown.until(lambda: typist.text == "SHOW JOBS")
            await shown.press("up")
            assert typist.text == "SHOW JOBS"
            await shown.press("down", "down")
            await shown.until(lambda: typist.text == "draft")

    async def second() -> None:
        async with dashboard_bench(tmp_path / "two", settings=settings) as shown:
            typist = await typing(shown)
            await shown.press("up", "up")
            await shown.until(lambda: typist.text == "SHOW JOBS")

    asyncio.run(first())
    asyncio.run(second())


def test_invalid_text_is_kept_only_on_request(tmp_path: Path) -> None:
    async def run(keep: bool, expected: tuple[str, ...]) -> None:
        root = tmp_path / str(keep)
        settings = TuiSettings(state_dir=root / "state", keep_failed=keep)
        async with dashboard_bench(root, settings=settings) as shown:
            await shown.execute("SHOW JBOS")
            await shown.execute("ADMIN FLUSH nosuch")
            assert shown.app.context.command_history.texts == expected

    asyncio.run(run(False, ("ADMIN FLUSH nosuch",)))
    asyncio.run(run(True, ("SHOW JBOS", "ADMIN FLUSH nosuch")))


def test_up_recalls_what_did_not_run_until_the_next_text(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            history = shown.app.context.command_history
            await shown.execute("SHOW JBOS")
            await shown.until(lambda: history.texts == ("SHOW JBOS",))
            typist = await typing(shown)
            await shown.press("up")
            await shown.until(lambda: typist.text == "SHOW JBOS")
            await shown.press("ctrl+u")
            await shown.type("DROP SPACE nba")
            await shown.press("enter")
            await shown.shows("Drop for good?")
            await shown.press("n")
            await shown.shows("Nothing was dropped")
            assert history.texts == ("DROP SPACE nba",)

    asyncio.run(run())


def test_ctrl_r_searches_sent_statements(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            for text in ("SHOW HOSTS", "SHOW SPACES", "SHOW JOBS"):
                await shown.execute(text)
            typist = await typing(shown)
            await shown.press("ctrl+r")
            await shown.shows("search :")
            await shown.type("show")
            await shown.until(lambda: typist.text == "SHOW JOBS")
            await shown.press("ctrl+r", "ctrl+r")
            await shown.until(lambda: typist.text == "SHOW HOSTS")
            await shown.press("escape")
            await shown.shows("local[]>")
            assert typist.text == "SHOW HOSTS"

    asyncio.run(run())


def test_several_lines_are_one_text(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            typist = await typing(shown)
            await shown.paste("USE nba;\r\nADMIN FLUSH;\r\nSHOW JOBS")
            await shown.until(lambda: typist.text == "USE nba;\nADMIN FLUSH;\nSHOW JOBS")
            await shown.press("enter")
            await shown.shows("local[nba]>")
            assert "| Job Id | Command" in shown.transcript

    asyncio.run(run())


def test_help_and_clear_are_words_for_the_screen(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("help")
            assert "BACKUP JOB" in shown.transcript
            await typing(shown)
            await shown.paste("clear")
            await shown.press("enter")
            await shown.until(lambda: not shown.dashboard.console.transcript.has_lines)

    asyncio.run(run())


def test_drop_space_typed_asks_first_with_cancel_focused(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await typing(shown)
            await shown.paste("DROP SPACE nba")
            await shown.press("enter")
            await shown.shows("Drop for good?", "DROP SPACE nba")
            await shown.press("enter")
            await shown.shows_no_more("Drop for good?")
            assert "nba" in shown.bench.storage.catalog

    asyncio.run(run())


def test_long_result_shows_the_newest_rows_and_their_number() -> None:
    rows = tuple(Row((str(number),), {"Job Id": number}) for number in range(1, 1201))
    shown = [
        plain(answer.line) for answer in answer_lines(ExecuteResult((Result("SHOW JOBS", ("Job Id",), rows),)))
    ]
    assert shown[-1] == "the newest 1,000 of 1,200 rows"
    assert "| 1200   |" in shown
    assert "| 201    |" in shown
    assert "| 200    |" not in shown


def test_footer_shows_the_search_keys_during_a_search(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("SHOW JOBS")
            await shown.press("colon")
            await shown.shows("tab complete")
            await shown.press("ctrl+r")
            await shown.shows("search", "esc end the search", "ctrl+r the one before")
            assert "tab complete" not in shown.screen
            await shown.press("escape")
            await shown.shows("tab complete")

    asyncio.run(run())


def test_unknown_first_word_also_suggests_console_commands(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(120, 35)) as shown:
            await shown.press("colon")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            await shown.paste("quti ")
            await shown.shows("did you mean quit?")
            await shown.press("enter")
            await shown.until(lambda: "expected help, quit, ADMIN" in shown.transcript)
            await shown.paste("SHOW foo")
            await shown.press("enter")
            await shown.until(lambda: "expected JOB, JOBS" in shown.transcript)

    asyncio.run(run())


def test_help_with_a_word_explains_only_that_statement(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("help recover")
            assert "RECOVER JOB" in shown.transcript
            assert "syntax error" not in shown.transcript
            assert "BACKUP JOB" not in shown.transcript

    asyncio.run(run())


def test_example_names_a_space_that_another_process_created(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {}) as shown:
            await shown.shows("ADMIN COMPACT demo")
            await asyncio.wrap_future(shown.bench.engine.execute("CREATE SPACE zoo", shown.bench.session))
            await shown.shows("ADMIN COMPACT zoo")

    asyncio.run(run())


async def left(shown: DashboardBench) -> None:
    """Leave the bar: the first esc may close the list of completions."""
    await shown.press("escape")
    if shown.dashboard.console.bar.is_typing:
        await shown.press("escape")
    await shown.until(lambda: not shown.dashboard.console.bar.is_typing)


def test_offered_statement_is_dropped_on_leaving_unless_edited(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            typist = await typing(shown)
            await shown.type("SHOW")
            await shown.until(lambda: typist.text == "SHOW")
            await left(shown)
            await shown.press("2", "n")
            await shown.until(lambda: typist.text == "CREATE SPACE ")
            await left(shown)
            assert typist.text == "SHOW"
            await shown.press("n")
            await shown.until(lambda: typist.text == "CREATE SPACE ")
            await shown.type("x")
            await shown.until(lambda: typist.text == "CREATE SPACE x")
            await left(shown)
            assert typist.text == "CREATE SPACE x"

    asyncio.run(run())


def test_keys_stay_on_the_last_line_below_a_long_result(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(80, 24), auto=True) as shown:
            await typing(shown)
            await shown.paste("ADMIN FLUSH nba; SHOW JOB 1")
            await shown.press("enter")
            await shown.shows("| 1-2 ")
            await shown.until(lambda: "esc leave" in shown.screen.split("\n")[-1])

    asyncio.run(run())


def test_event_after_the_bar_has_left_the_screen(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await typing(shown)
            bar = shown.dashboard.console.bar
            await shown.press("escape")
            await bar.remove()  # as when the app is closing
            assert not bar.is_typing
            shown.dashboard.show_toast("job 1 has finished", "information")

    asyncio.run(run())
