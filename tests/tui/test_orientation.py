"""Navigation: the key line, the way back, jumps, sorting by one key, and completion of filters."""

import asyncio
import re
from pathlib import Path

import pytest

from jobtui.config.settings import TuiSettings
from jobtui.tui.data.search import complete_filter
from jobtui.tui.views.log import LogBody
from tests.support.dashboards import DashboardBench, dashboard_bench

SPACES = {"nba": ["local0"], "test2": ["cold0"]}
NAMES = {"space": ("nba", "test2"), "host": ("local0", "cold0")}


def keys(shown: DashboardBench) -> str:
    """The key line."""
    return shown.screen.split("\n")[-1]


async def failed_and_finished(shown: DashboardBench) -> None:
    """Jobs 1 and 4 failed, the others finished, none is active."""
    for number in range(1, 7):
        space, host = ("nba", "local0") if number % 2 else ("test2", "cold0")
        shown.bench.execute(f"ADMIN FLUSH {space}")
        operation = shown.bench.storage.operation(space, host, (number - 1) // 2)
        if number in (1, 4):
            operation.fail(detail="disk gone")
        else:
            operation.finish()
        await shown.until(lambda number=number: shown.bench.job(number).status.ended)
    await shown.shows("✔ 4", "✖ 2")
    shown.app.clear_notifications()
    await shown.press("home")
    await shown.until(lambda: shown.cursor == 6)


class TestKeyLine:
    def test_has_only_keys_that_affect_the_current_job(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(120, 30)) as shown:
                await shown.until(lambda: "command" in keys(shown))
                assert "stop" not in keys(shown)
                assert "open" not in keys(shown)
                shown.bench.execute("ADMIN FLUSH nba")
                await shown.until(lambda: "s stop" in keys(shown) and "recover" not in keys(shown))
                shown.bench.storage.operation("nba", "local0").finish()
                await shown.until(lambda: "r recover" in keys(shown) and "stop" not in keys(shown))
                assert "b archive" in keys(shown)

        asyncio.run(run())

    def test_counts_the_marked_jobs_that_a_key_acts_on(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(140, 30)) as shown:
                await failed_and_finished(shown)
                shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
                await shown.shows("▶ 1 running")
                await shown.press("a")
                await shown.until(lambda: "s stop 2 marked" in keys(shown))
                assert "P pause 2 marked" in keys(shown)
                assert "r recover 6 marked" in keys(shown)
                assert "esc unmark" in keys(shown)

        asyncio.run(run())


class TestWayBack:
    def test_returns_to_the_previous_view_cursor_and_filter(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30), auto=True) as shown:
                await shown.execute("ADMIN FLUSH nba; ADMIN FLUSH test2; ADMIN FLUSH test2")
                await shown.shows("✔ 3")
                await shown.press("slash")
                await shown.type("flush")
                await shown.press("enter", "2")
                await shown.shows("› spaces")
                await shown.press("down", "enter")
                await shown.shows("space:test2", "2 of 3")
                await shown.until(lambda: "esc back" in keys(shown))
                await shown.press("escape")
                await shown.shows("› spaces", "space test2")
                await shown.press("escape")
                await shown.shows("/ flush", "3 of 3")
                assert "› spaces" not in shown.screen

        asyncio.run(run())

    def test_esc_first_discards_a_filter_typed_since(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30), auto=True) as shown:
                await shown.execute("ADMIN FLUSH nba; ADMIN FLUSH test2")
                await shown.shows("✔ 2")
                await shown.press("2", "enter")
                await shown.shows("space:nba", "1 of 2")
                await shown.press("slash")
                await shown.type(" x")
                await shown.press("enter")
                await shown.until(lambda: "esc drop filter" in keys(shown))
                await shown.press("escape")
                await shown.shows_no_more("space:nba")
                await shown.press("escape")
                await shown.shows("› spaces")

        asyncio.run(run())


class TestJump:
    def test_to_a_number_typed_in_the_bar(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30), auto=True) as shown:
                await shown.execute("ADMIN FLUSH nba; ADMIN FLUSH test2; ADMIN FLUSH nba; ADMIN FLUSH nba")
                await shown.shows("✔ 4")
                await shown.press("2")
                await shown.shows("› spaces")
                await shown.press("colon")
                await shown.type("2")
                await shown.press("enter")
                await shown.until(lambda: shown.cursor == 2 and shown.dashboard.jobs.list.table.has_focus)
                await shown.press("slash")
                await shown.type("space:nba")
                await shown.press("enter", "colon")
                await shown.type("2")
                await shown.press("enter")
                await shown.until(lambda: shown.cursor == 2 and not shown.dashboard.jobs.list.filter_text)
                shown.bench.execute("BACKUP JOB 1 2")
                await shown.press("colon")
                await shown.type("1")
                await shown.press("enter")
                await shown.shows("› archive", "job 1 ·")
                await shown.press("colon")
                await shown.type("99")
                await shown.press("enter")
                await shown.shows("Job 99 does not exist")

        asyncio.run(run())

    def test_n_goes_from_failed_job_to_failed_job(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(120, 30)) as shown:
                await failed_and_finished(shown)
                await shown.until(lambda: "n next failed" in keys(shown))
                await shown.press("n")
                await shown.until(lambda: shown.cursor == 4)
                await shown.press("n")
                await shown.until(lambda: shown.cursor == 1)
                await shown.press("n")
                await shown.shows("No failed job after this one: back to the first")
                await shown.until(lambda: shown.cursor == 4)
                await shown.press("N")
                await shown.shows("No failed job before this one: on to the last")
                await shown.until(lambda: shown.cursor == 1)
                await shown.press("enter")
                # in the detail, `n` has one meaning only
                await shown.until(lambda: "esc back" in keys(shown) and "next fail" not in keys(shown))

        asyncio.run(run())

    def test_n_skips_jobs_that_were_run_again(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(120, 30)) as shown:
                await failed_and_finished(shown)
                shown.bench.execute("RECOVER JOB 4")
                await shown.shows("↻ 7")
                await shown.press("n")
                await shown.until(lambda: shown.cursor == 1)
                await shown.press("n")
                await shown.shows("No other failed job is left to recover")
                assert shown.cursor == 1
                await shown.press("home")
                await shown.until(lambda: shown.cursor == 7)
                assert "n next failed" in keys(shown)
                shown.bench.execute("RECOVER JOB 1")
                await shown.shows("↻ 8")
                await shown.press("n")
                await shown.shows("No failed job is left to recover")
                await shown.until(lambda: "next failed" not in keys(shown))

        asyncio.run(run())

    def test_n_goes_to_the_next_match_of_a_filter(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(120, 30)) as shown:
                await failed_and_finished(shown)
                await shown.press("slash")
                await shown.type("space:test2")
                await shown.press("enter")
                await shown.shows("3 of 6")
                await shown.press("home", "n")
                await shown.until(lambda: shown.cursor == 4)
                await shown.press("n", "N", "N")
                await shown.until(lambda: shown.cursor == 6)

        asyncio.run(run())


def test_key_sorts_by_its_column(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, size=(120, 30)) as shown:
            await failed_and_finished(shown)
            await shown.press("S")
            await shown.shows("Status▲")
            await shown.press("S")
            await shown.shows("Status▼")
            await shown.press("D")
            await shown.shows("Details▲")
            await shown.press("2")
            await shown.shows("› spaces")
            await shown.press("S")
            await shown.shows("Size▼")

    asyncio.run(run())


def test_requester_and_because_can_be_sorted_and_filtered(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, size=(170, 30), auto=True) as shown:
            shown.bench.execute('ADMIN FLUSH nba WITH because = "after the import"; ADMIN FLUSH nba')
            await shown.shows("✔ 2")
            await shown.press("c", "up", "up", "enter", "up", "enter", "escape")
            await shown.shows("Requested By", "Why", "after the import")
            await shown.press("W")
            await shown.shows("Why▲")
            await shown.press("slash")
            await shown.type("why:import")
            await shown.shows("1 of 2")
            await shown.press("enter")
            assert "after the import" in shown.row("✔ finished")
            await shown.press("escape")
            await shown.execute("ADMIN FLUSH nba")
            await shown.until(lambda: shown.bench.job(3).requested_by.endswith(", dashboard"))

    asyncio.run(run())


def test_key_without_effect_explains_why(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
            await failed_and_finished(shown)
            await shown.press("w")
            await shown.shows("job 6 has already ended: there is nothing to watch")
            await shown.press("s")
            await shown.shows("Nothing to stop: job 6 (already ended)")

    asyncio.run(run())


class TestKeyWithoutEffect:
    """A key of a command says why it does nothing here."""

    def test_of_another_view(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
                await shown.press("2")
                await shown.shows("› spaces")
                await shown.press("w")
                await shown.shows("w (watch) has no effect here: it is a key of jobs")
                await shown.press("R")
                await shown.shows("R (connect now) has no effect here: this profile has no cluster")

        asyncio.run(run())

    def test_in_the_archive(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30), auto=True) as shown:
                await shown.execute("ADMIN FLUSH nba")
                await shown.shows("✔ 1")
                await shown.execute("BACKUP JOB 1 1")
                await shown.press("4")
                await shown.shows("job 1 · flush nba")
                await shown.press("s")
                await shown.shows("s (stop) has no effect here: archived jobs have ended")

        asyncio.run(run())

    def test_for_a_reader(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30), auto=True) as shown:
                await shown.execute("ADMIN FLUSH nba")
                await shown.shows("✔ 1")
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(type(shown.bench.engine), "writable", property(lambda self: False))
                    await shown.press("C")
                    await shown.shows("C (compact) has no effect here: the profile is read only")

        asyncio.run(run())

    def test_key_that_closes_a_dialog_says_nothing(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
                await shown.press("question_mark")
                await shown.until(lambda: shown.app.screen is not shown.dashboard)
                await shown.press("escape")
                await shown.until(lambda: shown.app.screen is shown.dashboard)
                assert not shown.app.toasts

        asyncio.run(run())

    def test_key_of_no_command_and_typed_text_say_nothing(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
                await shown.press("Z", "f7")
                await shown.press("slash")
                await shown.type("w")
                await shown.press("f1")
                assert "has no effect here" not in shown.screen

        asyncio.run(run())


def test_palette_offers_saved_views(tmp_path: Path) -> None:
    settings = TuiSettings(views={"slow": "took:>1h"})

    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, settings=settings) as shown:
            entries = {title: (text, run) for title, text, run in shown.dashboard.palette_entries()}
            assert entries["View: slow"][0] == "took:>1h"
            entries["View: failed today"][1]()
            await shown.shows("status:failed since:today")

    asyncio.run(run())


class TestFilter:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("st", "status:"),
            ("status:fa", "status:failed"),
            ("status:failed,st", "status:failed,stopped"),
            ("!status:un", "!status:unrecovered"),
            ("flush sp", "flush space:"),
            ("flush space:te", "flush space:test2"),
            ("host:lo", "host:local0"),
            ("cmd:c", "cmd:compact"),
            ("rec", "reclaimed:"),
            ("", None),
            ("space:", None),
            ("space:nba", None),
            ("xyz", None),
        ],
    )
    def test_its_last_term_is_completed(self, text: str, expected: str | None) -> None:
        assert complete_filter(text, NAMES) == expected

    @pytest.mark.parametrize("key", ["right", "tab"])
    def test_key_completes_and_up_recalls_a_filter(self, tmp_path: Path, key: str) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, auto=True, size=(100, 30)) as shown:
                await shown.execute("ADMIN FLUSH nba; ADMIN FLUSH test2")
                await shown.shows("✔ 2")
                await shown.press("slash")
                await shown.type("space:te")
                await shown.shows("space:test2")
                await shown.press(key)
                await shown.shows("1 of 2")
                await shown.until(lambda: shown.dashboard.jobs.list.filter_bar.text == "space:test2")
                await shown.press("enter", "escape", "slash")
                await shown.type("flu")
                await shown.press("up")
                line = shown.dashboard.jobs.list.filter_bar
                await shown.until(lambda: line.text == "space:test2")
                await shown.press("down")
                await shown.until(lambda: line.text == "flu")
                await shown.press("down")
                await shown.until(lambda: shown.dashboard.jobs.list.table.has_focus)

        asyncio.run(run())


class TestWords:
    def test_header_names_every_count_if_there_is_room(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(120, 30), auto=True) as shown:
                await shown.execute("ADMIN FLUSH nba")
                await shown.shows("✔ 1 finished  ✖ 0 failed  ■ 0 stopped")
                await shown.pilot.resize_terminal(80, 24)
                await shown.shows("✔ 1  ✖ 0  ■ 0")

        asyncio.run(run())

    def test_help_explains_signs_and_words(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 200)) as shown:
                await shown.press("question_mark")
                await shown.shows("job 16 ran this job again", "RocksDB's buffer in memory")

        asyncio.run(run())

    def test_help_on_a_word_explains_it(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES) as shown:
                await shown.execute("help memtable")
                assert "buffer in memory" in shown.transcript

        asyncio.run(run())

    def test_statement_that_makes_a_job_answers_in_a_line(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES) as shown:
                await shown.execute("ADMIN COMPACT nba; ADMIN FLUSH nba")
                # it may start before or after the answer
                assert re.search("job 1: compact nba, (running|queued)", shown.transcript)
                assert "job 2: flush nba, queued" in shown.transcript
                assert "New Job Id" not in shown.transcript

        asyncio.run(run())

    def test_examples_use_the_users_own_space(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"cities": ["local0"]}, size=(100, 30)) as shown:
                await shown.shows("like SHOW JOBS or ADMIN COMPACT cities", "USE cities")

        asyncio.run(run())

    def test_empty_table_says_that_nothing_can_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full = "no space left on device: free some, then continue"

        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
                monkeypatch.setattr(type(shown.bench.engine), "write_error", full)
                shown.dashboard.on_overview()
                await shown.shows("No job can start now", full)
                assert "No jobs yet" not in shown.screen

        asyncio.run(run())


class TestLog:
    def test_has_all_entries_with_time_and_can_be_copied(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
                await failed_and_finished(shown)
                await shown.press("s")
                await shown.shows("Nothing to stop: job 6 (already ended)")
                shown.app.clear_notifications()
                await shown.press("l")
                await shown.shows("› log", "17:21:30  Nothing to stop: job 6 (already ended)")
                assert "✖ job 4 flush test2 failed" in shown.screen
                await shown.press("y")
                await shown.shows("copied the log")
                assert "Nothing to stop: job 6" in shown.app.clipboard
                await shown.press("escape")
                await shown.shows_no_more("› log")

        asyncio.run(run())

    def test_has_what_the_storage_logged(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
                await shown.execute("ADMIN COMPACT nba")
                operation = shown.bench.storage.operation("nba", "local0")
                operation.progress(0.5, 1000.0)
                operation.progress(
                    None, log=("Compacting 1@6 files to L6", "[bold]\x1b[31m Generated table #40")
                )
                await shown.shows("50%")
                await shown.press("l")
                await shown.shows(
                    "17:21:30  job 1 on local0, logged by the storage:",
                    "          Compacting 1@6 files to L6",
                    "          [bold]",
                )
                await shown.press("y")
                await shown.until(lambda: "Generated table #40" in shown.app.clipboard)
                operation.finish()

        asyncio.run(run())

    def test_grows_while_it_is_shown(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
                await shown.press("l")
                await shown.shows("Nothing was logged yet: notifications")
                shown.bench.execute("ADMIN FLUSH nba")
                shown.bench.storage.operation("nba", "local0").fail(detail="disk gone")
                await shown.until(lambda: shown.bench.job(1).status.ended)
                shown.dashboard.tick()
                await shown.shows("✖ job 1 flush nba failed")

        asyncio.run(run())

    def test_is_laid_out_again_only_after_a_change(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, size=(100, 30)) as shown:
                await shown.press("s", "l")
                await shown.shows("› log", "Nothing to stop")
                view = shown.dashboard.view
                before = view.query_one(LogBody).lines
                view.tick()
                assert view.query_one(LogBody).lines is before
                shown.bench.clock.advance(86_400)
                view.tick()
                assert view.query_one(LogBody).lines is not before

        asyncio.run(run())
