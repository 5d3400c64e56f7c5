"""Small terminals: no essential text is cut off or covered."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from jobtui.model import Level, SpaceStats, Status
from jobtui.tui.commands import COMMANDS
from jobtui.tui.keymap import load_keymap
from jobtui.tui.screens.dialog import Question
from jobtui.tui.screens.help import help_lines
from jobtui.tui.tabs.storage import host_block
from jobtui.tui.text.spans import TextRole, line_width, plain, unbroken, wrapped
from jobtui.tui.widgets import footer
from jobtui.tui.widgets.base import LinesView
from jobtui.tui.widgets.console import TranscriptLine
from jobtui.tui.widgets.filter_bar import FilterCounts
from jobtui.tui.widgets.footer import fit_toast, most_toasts
from jobtui.tui.widgets.header import HeaderState, header_line
from tests.support.dashboards import HOSTS, DashboardBench, dashboard_bench

SMALL = (60, 16)
BEFORE = SpaceStats(levels=(Level(2, 1100 << 20),))


@pytest.fixture(autouse=True)
def _lasting_toasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no toast expire: on a busy machine their seconds pass between a key and its effect."""
    monkeypatch.setattr(footer, "_SECONDS", dict.fromkeys(footer._SECONDS, 3600.0))


def on_one_line(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("width", [34, 52, 72, 92, 120])
def test_help_fits_any_width_completely(width: int) -> None:
    lines = help_lines(COMMANDS, load_keymap({}), width)
    assert max(line_width(line) for line in lines) <= width
    text = on_one_line("\n".join(plain(line) for line in lines))
    for command in COMMANDS:
        assert on_one_line(command.help) in text
    assert "CREATE SPACE [IF NOT EXISTS] <space> ON <host>[, …] make a space on these hosts" in text


@pytest.mark.parametrize(
    ("standing", "width", "text"),
    [
        (HeaderState("local", 3, view_title="spaces"), 38, " local › spaces"),
        (HeaderState("local", 3, "nba", flags=("‖ paused",)), 40, " local  ‖ paused"),
        (HeaderState("p" * 50, 3, flags=("‖ paused",)), 60, " " + "p" * 31 + "…  ‖ paused"),
        (HeaderState("p" * 50, 3, "nba"), 40, " " + "p" * 21 + "…"),
        (HeaderState("prod", 3, flags=("read only",), profile_role=TextRole.PROFILE), 40, " prod   read only"),
        (HeaderState("local", 3, flags=("read only", "‖ paused")), 40, "  read only  ‖ paused"),
    ],
)
def test_header_keeps_place_and_warnings_as_long_as_possible(
    standing: HeaderState, width: int, text: str
) -> None:
    counts = dict.fromkeys(Status, 3)
    line = plain(header_line(msgspec.structs.replace(standing, counts=counts), width))
    assert len(line) == width
    assert line.split("▶")[0].rstrip() == text


class TestCounters:
    """Numbers are cut short only where the room for them is lacking."""

    @pytest.mark.parametrize("width", range(50, 120, 5))
    def test_header_counts_are_short_if_they_would_not_fit(self, width: int) -> None:
        counts = dict.fromkeys(Status, 3) | {Status.FINISHED: 234_908, Status.FAILED: 12_345}
        line = plain(header_line(HeaderState("local", 3, "nba", counts), width))
        assert len(line) <= width
        if "234k" in line:
            begin = line.index("▶")
            empty = begin - len(line[:begin].rstrip())
            assert empty - 2 < len("234,908") - len("234k") + len("12,345") - len("12k")
        else:
            assert "234,908" in line
            assert "12,345" in line

    @pytest.mark.parametrize(
        ("width", "text"),
        [
            (100, "▶ 1 running  ‖ 2 paused  ◷ 3 queued  ✔ 4 finished  ✖ 5 failed  ■ 6 stopped"),
            (72, "▶ 1 running  ‖ 2 paused  ◷ 3 queued  ✔ 4  ✖ 5  ■ 6"),
            (40, "▶1 ‖2 ◷3 ✔4 ✖5 ■6"),
        ],
    )
    def test_header_counts_paused_jobs_on_their_own(self, width: int, text: str) -> None:
        statuses = (Status.RUNNING, Status.QUEUE, Status.FINISHED, Status.FAILED, Status.STOPPED)
        counts = dict(zip(statuses, (1, 3, 4, 5, 6), strict=True))
        line = plain(header_line(HeaderState("local", counts=counts, paused=2), width))
        assert line.rstrip().endswith(text)
        assert len(line) == width

    def test_filter_counts_are_complete_while_typing(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, size=(80, 24), auto=True) as shown:
                await shown.execute("ADMIN FLUSH nba")
                await shown.press("slash")
                await shown.until(lambda: shown.dashboard.view.is_typing)
                line = shown.dashboard.jobs.list.filter_bar
                line.show(FilterCounts("nba", 1_204_112, 2_345_678, 1_204_112))
                await shown.shows("1,204,112 marked  1,204,112 of 2,345,678")
                await shown.pilot.resize_terminal(60, 16)
                await shown.shows("1,204,112 marked  1,204,112 of 2,345,678")

        asyncio.run(run())

    def test_stop_counts_are_complete(self, tmp_path: Path) -> None:
        spaces = {"nba": [f"local{number}" for number in range(100)]}

        async def run() -> None:
            async with dashboard_bench(tmp_path, spaces) as shown:
                await shown.execute("ADMIN COMPACT nba")
                await shown.shows("▶ running")
                for number in range(12):
                    shown.bench.storage.operation("nba", f"local{number}").finish()
                await shown.execute("STOP JOB 1")
                await shown.shows("◼ stopping 12/100")

        asyncio.run(run())

    def test_file_counts_are_complete_in_the_storage_tab(self) -> None:
        stats = SpaceStats(levels=(Level(123_456, 999 << 20), Level(234_567, 999 << 30)), entries=1_234_567_890)
        text = "\n".join(map(plain, host_block("local0", [("before", stats), ("after", stats)], "", 80)))
        assert text.count("358,023 files") == 2
        assert text.count("1,234,567,890") == 2
        assert "entries" in text
        assert "…" not in text


def test_line_is_wrapped_with_styles_and_a_hanging_indent() -> None:
    line = (("All files of ", TextRole.PLAIN), ("nba", TextRole.STRONG), (" are merged", TextRole.PLAIN))
    assert wrapped(line, 30) == [line]
    assert [plain(part) for part in wrapped(line, 14, hang=2)] == ["All files of", "  nba are", "  merged"]
    assert (("nba", TextRole.STRONG)) in wrapped(line, 14, hang=2)[1]


def test_status_in_a_list_stays_in_one_line() -> None:
    line = (("job 17  compact features  ", TextRole.STRONG), (unbroken("‖ paused 12/34"), TextRole.WARNING))
    assert [plain(part) for part in wrapped(line, 30, hang=2)] == [
        "job 17  compact features",
        "  ‖ paused 12/34",
    ]


def test_messages_wrap_and_boxes_do_not() -> None:
    text = TranscriptLine(
        (("expected JOB, JOBS or a status", TextRole.FAILED),), carets=(("     ^^^", TextRole.FAILED),)
    )
    assert [plain(line) for line in text.lay_out(60)] == ["     ^^^expected JOB, JOBS or a status"]
    assert [plain(line) for line in text.lay_out(20)] == ["     ^^^", "expected JOB, JOBS", "or a status"]
    box = TranscriptLine((("| 1 | flush nba |", TextRole.PLAIN),), wraps=False)
    assert [plain(line) for line in box.lay_out(5)] == ["| 1 | flush nba |"]


def test_question_fits_a_small_terminal_with_its_answers(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True, size=(44, 12)) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.press("C")
            await shown.shows("Compact nba?", "Cancel n", "Compact y")
            await shown.shows("no figures known")  # the estimate comes later, and the text scrolls from then on
            text = " ".join(plain(line) for line in shown.app.screen.query_one(LinesView).lines)
            assert "are merged and rewritten, on every host" in on_one_line(text)
            assert "…" not in "".join(line for line in shown.screen.split("\n") if "│" in line)

    asyncio.run(run())


def test_answers_scroll_with_the_cursor_in_sight(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=SMALL) as shown:
            await shown.press("c")
            await shown.shows("Columns", "Job ", "↓")
            assert "Details" not in shown.screen
            await shown.press("up")
            await shown.shows("Details", "↑")
            await shown.press("enter")
            await shown.shows("·     Details")
            await shown.press("escape")
            await shown.execute("ADMIN FLUSH nba")
            await shown.press("x")
            await shown.shows("CSV, for a spreadsheet ", "JSON, with full values ")

    asyncio.run(run())


def test_wide_result_scrolls_sideways(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True, size=SMALL) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.shows("✔1")
            await shown.press("colon")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            await shown.paste("SHOW JOBS")
            await shown.press("enter")
            await shown.shows("| Job Id | Command", "›", "→ scroll")
            assert "| Stop Time" not in shown.screen
            await shown.press("right", "right")
            await shown.shows("‹", "| Stop Time")
            await shown.press("left", "left")
            await shown.shows("| Job Id")

    asyncio.run(run())


def test_toasts_fit_the_terminal_in_length_and_number() -> None:
    text = "job 3 failed: " + "a long reason " * 40
    assert fit_toast(text, "error", 60, 16).text.count("\n") == 0
    assert fit_toast(text, "error", 80, 24).text.count("\n") == 1
    assert max(map(len, fit_toast(text, "error", 60, 24).text.split("\n"))) <= 56
    assert fit_toast("done", "strange", 80, 24).severity == "warning"
    assert [most_toasts(height) for height in (10, 16, 24, 50)] == [1, 1, 2, 2]


def test_toasts_keep_off_the_bar_and_off_a_questions_answers(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True, size=SMALL) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.shows("✔1")
            for number in range(5):
                shown.dashboard.show_toast(f"word {number}", "error")
            await shown.until(lambda: "word 4" in shown.screen and "word 3" not in shown.screen)
            assert "word 4" in shown.screen.split("\n")[-2]
            await shown.press("colon")
            await shown.until(lambda: "word 4" in shown.screen.split("\n")[1])
            await shown.press("escape", "C")
            await shown.until(lambda: isinstance(shown.app.screen, Question))
            await shown.shows("Cancel n", "Compact y")
            await shown.until(lambda: "word 4" in shown.screen.split("\n")[1])
            assert shown.screen.count("word 4") == 1

    asyncio.run(run())


def test_views_of_a_new_profile_say_what_to_do(tmp_path: Path) -> None:
    """In 60 columns nothing is cut, and the key line has no key that would do nothing."""

    async def run() -> None:
        async with dashboard_bench(tmp_path, {}, size=(60, 16)) as shown:
            await shown.shows("or adopts one", "esc returns to this table")
            assert "…" not in shown.screen
            for view in "2357":
                await shown.press(view)
                await shown.shows("There is no space yet: CREATE SPACE creates one")
                assert "/ filter" not in shown.screen
                assert "measure" not in shown.screen
            await shown.press("4")
            await shown.shows("In the jobs (1), b archives jobs that have ended.")
            await shown.press("l")
            await shown.shows("Nothing was logged yet", "the storage will be here.")
            assert "y copy" not in shown.screen

    asyncio.run(run())


def test_form_of_a_statement_gives_way_to_its_text(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(120, 16)) as shown:
            await shown.press("colon")
            await shown.type("ADMIN CO")
            await shown.shows("[ON <host>[, …]]")
            await shown.pilot.resize_terminal(60, 16)
            await shown.shows_no_more("[ON <host>")
            await shown.shows("> ADMIN CO")

    asyncio.run(run())


@pytest.mark.parametrize("view", ["1", "2", "3", "4"])
def test_sort_without_a_visible_column_does_nothing(tmp_path: Path, view: str) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(10, 3)) as shown:
            await shown.press(view, "greater_than_sign", "less_than_sign", "o")
            await shown.pilot.resize_terminal(80, 24)
            await shown.shows("local[]>")

    asyncio.run(run())


def test_messages_while_typing_are_in_one_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True, size=(100, 24)) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.press("colon")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            for number in range(3):
                shown.dashboard.show_toast(f"word {number}")
                await shown.until(lambda: f"word {number}" in shown.screen)  # noqa: B023
            await shown.until(lambda: "word 2" in shown.screen.split("\n")[1])

    asyncio.run(run())


def test_new_toast_replaces_one_that_it_outdates(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(80, 30)) as shown:
            shown.dashboard.show_toast("something else")
            await shown.press("T", "T", "T", "T")
            await shown.shows("theme: ansi", "something else")
            assert [notice.message for notice in shown.app._notifications] == ["something else", "theme: ansi"]
            assert shown.screen.count("theme: ") == 1
            shown.dashboard.show_toast("something else")
            await shown.shows("theme: ansi", "something else")
            assert [notice.message for notice in shown.app._notifications] == ["theme: ansi", "something else"]

    asyncio.run(run())


async def a_half_done_job(shown: DashboardBench) -> None:
    await shown.execute("ADMIN COMPACT nba")
    shown.bench.storage.operation("nba", "local0").progress(0.5, 88.0 * (1 << 20))
    shown.bench.storage.operation("nba", "local1").finish(BEFORE, BEFORE)
    shown.bench.storage.operation("nba", "local2").fail(detail="the disk failed " * 12 + "at last")
    await shown.until(lambda: shown.bench.job(1).tasks[2].status.ended)


def test_small_terminal_shows_sizes_and_whole_reason(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": HOSTS}, size=SMALL) as shown:
            await a_half_done_job(shown)
            await shown.until(lambda: "1.07 → 1.07 GiB" in shown.detail)
            await shown.until(lambda: "at last" in shown.detail)
            assert "left" in shown.detail
            assert max(map(len, shown.detail.split("\n"))) < SMALL[0]
            assert on_one_line(shown.detail).count("the disk failed") == 12

    asyncio.run(run())


def test_tab_strip_shows_the_keys_that_change_tabs(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True, size=(80, 24)) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.shows("[Tasks]─ Timeline ─ Chart ─ Storage ─ Events", "[ ] tabs")
            await shown.pilot.resize_terminal(68, 16)
            await shown.shows("Events ─ [ ] ─")

    asyncio.run(run())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_filter_error_is_shown_in_full(tmp_path: Path, width: int) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(width, 24), auto=True) as shown:
            await shown.press("slash")
            await shown.until(lambda: shown.dashboard.view.is_typing)
            await shown.paste("stauts:failed")
            await shown.shows("no filter stauts:; did you mean status:?")
            await shown.press("enter")
            await shown.shows("did you mean status:?")

    asyncio.run(run())


def test_newest_entry_of_the_log_stays_in_sight(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, size=(120, 20)) as shown:
            for number in range(40):
                shown.dashboard.show_toast(f"note {number}: " + "word " * 12)
            shown.app.clear_notifications()
            await shown.press("l")
            await shown.shows("› log", "note 39")
            await shown.pilot.resize_terminal(50, 16)
            await shown.shows("note 39")
            await shown.press("home")
            await shown.shows("note 0")
            await shown.pilot.resize_terminal(80, 16)
            await shown.shows("note 0")

    asyncio.run(run())
