"""The jobs table: the cursor, filter, sort and marks, over a real history."""

import asyncio
from pathlib import Path

import pytest
from textual import events

from jobtui.config.settings import Confirm, TuiSettings
from jobtui.engine.local import LocalClient
from jobtui.model import Job, Status
from jobtui.tui.text.notices import describe_ends
from jobtui.tui.text.spans import plain
from jobtui.tui.widgets.base import LinesView
from tests.support.clock import FakeClock
from tests.support.dashboards import DashboardBench, dashboard_bench


async def some_jobs(shown: DashboardBench, count: int) -> None:
    """That many finished jobs, the flushes on nba, every third a compact of test2."""
    texts = ["ADMIN COMPACT test2" if number % 3 == 0 else "ADMIN FLUSH nba" for number in range(1, count + 1)]
    shown.bench.execute("; ".join(texts))
    await shown.until(lambda: shown.bench.engine.history.counts()["finished"] == count)
    await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == count)
    shown.app.clear_notifications()


SPACES = {"nba": ["local0"], "test2": ["cold0"]}


def test_cursor_stays_on_its_job_when_jobs_are_added_or_sorted(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 9)
            table = shown.dashboard.jobs.list.table
            table.go_to_key(4)
            await shown.shows("job 4 ·")
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 10)
            assert shown.cursor == 4
            for _ in range(6):
                await shown.press("greater_than_sign")
                await shown.until(lambda: not shown.dashboard.jobs.list.is_searching)
                assert shown.cursor == 4
            await shown.press("o")
            assert shown.cursor == 4
            assert table.rows.key_at(table.cursor) == 4

    asyncio.run(run())


def test_scrolled_down_a_new_job_moves_no_row_on_screen(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 60)
            await shown.press("pagedown", "pagedown")
            table = shown.dashboard.jobs.list.table
            row, before = shown.cursor, table.cursor - table.top
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 62)
            assert shown.cursor == row
            assert table.cursor - table.top == before

    asyncio.run(run())


def test_new_jobs_appear_if_the_cursor_is_at_the_top(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 40)
            await shown.press("home")
            assert shown.cursor == 40
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 41)
            assert shown.cursor == 40
            assert shown.dashboard.jobs.list.table.top == 0

    asyncio.run(run())


def test_follow_keeps_the_cursor_on_the_newest_job(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 5)
            await shown.press("end", "f")
            await shown.shows("following")
            assert shown.cursor == 5
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.until(lambda: shown.cursor == 6)
            await shown.press("down")
            await shown.shows_no_more("following")
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 7)
            assert shown.cursor == 5

    asyncio.run(run())


def test_filter_applies_while_typed_and_shows_counts(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 9)
            await shown.press("slash")
            await shown.paste("space:test2")
            await shown.shows("3 of 9")
            assert "flush nba" not in shown.screen
            await shown.press("enter")
            await shown.shows("/ space:test2", "3 of 9")
            shown.bench.execute("ADMIN COMPACT test2; ADMIN FLUSH nba")
            await shown.shows("4 of 11")
            await shown.press("escape")
            await shown.shows_no_more("space:test2")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 11)

    asyncio.run(run())


def test_esc_while_typing_restores_the_previous_filter(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 6)
            await shown.press("slash")
            await shown.paste("nosuchthing")
            await shown.shows("No job matches the filter")
            await shown.press("escape")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 6)
            assert shown.dashboard.jobs.list.table.has_focus

    asyncio.run(run())


def test_marks_are_set_by_space_by_range_all_and_inverted(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 6)
            marks = shown.dashboard.jobs.list.rows.marks
            await shown.press("home", "space", "down", "space")
            assert list(marks) == [4, 6]
            await shown.shows("2 marked")
            await shown.press("i")
            assert list(marks) == [1, 2, 3, 5]
            await shown.press("u")
            assert list(marks) == []
            await shown.press("home", "shift+down", "shift+down")
            assert list(marks) == [4, 5, 6]
            await shown.press("a")
            assert len(marks) == 6
            await shown.press("escape")
            assert len(marks) == 0

    asyncio.run(run())


def test_action_on_marks_names_the_jobs_that_it_skips(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, obey=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba; ADMIN FLUSH nba")
            shown.bench.storage.operation("nba", "local0").finish()
            await shown.shows("✔ 1", "▶ 1 running", "◷ 1 queued")
            await shown.press("a", "s")
            await shown.shows("Stop 2 jobs?", "job 2", "job 3", "skipped: job 1 (already ended)")
            await shown.press("y")
            await shown.shows("■ 2")
            assert "STOP JOB 2, 3" in shown.transcript

    asyncio.run(run())


def test_confirmed_action_affects_only_the_named_jobs(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.shows("✔ 2")
            await shown.press("home", "b")
            await shown.shows("Archive 1 job?", "job 2")
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.shows("✔ 4")
            await shown.press("y")
            await shown.shows("archived: 1 job (2)")
            assert shown.bench.engine.history.is_archived(2)
            assert not shown.bench.engine.history.is_archived(4)

    asyncio.run(run())


def test_f_flushes_and_c_compacts_the_space_in_view(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 3)
            await shown.press("home", "F")
            await shown.shows("flush test2", "✔ 4")
            await shown.press("C")
            await shown.shows("Compact test2?", "Cancel")
            await shown.press("y")
            await shown.shows("✔ 5")
            assert shown.bench.job(5).label == "compact test2"

    asyncio.run(run())


def test_submitted_job_gets_the_cursor(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["a"], "srq": ["a"]}, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH srq")
            await shown.shows("✔ 2")
            await shown.press("end")
            await shown.until(lambda: shown.cursor == 1)
            await shown.execute("ADMIN FLUSH nba; ADMIN COMPACT nba")
            await shown.until(lambda: shown.cursor == 4)
            await shown.press("slash")
            await shown.type("space:srq")
            await shown.press("enter")
            await shown.until(lambda: shown.cursor == 2)
            await shown.execute("ADMIN COMPACT srq")
            await shown.until(lambda: shown.cursor == 5)
            # a notice of its end would take the place of the one that is looked for
            shown.bench.storage.auto = False
            await shown.execute("ADMIN COMPACT nba")
            await shown.shows("job 6 does not pass the filter")
            assert shown.cursor == 5

    asyncio.run(run())


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ("space:nb", [3, 2]),
        ("space:NBA", [3, 2]),
        ("space:n", [1]),
        ("!space:nb", [4, 1]),
        ("cmd:comp", [4, 3]),
        ("host:b", [4]),
        ("space:nb,srq cmd:c", [4, 3]),
        ("space:nbaa", []),
    ],
)
def test_beginning_of_a_name_matches_unless_it_is_a_name(
    tmp_path: Path, filter_text: str, found: list[int]
) -> None:
    async def run() -> None:
        spaces = {"n": ["alpha"], "nba": ["alpha"], "srq": ["beta"]}
        async with dashboard_bench(tmp_path, spaces, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH n; ADMIN FLUSH nba; ADMIN COMPACT nba; ADMIN COMPACT srq")
            await shown.shows("✔ 4")
            await shown.press("slash")
            await shown.type(filter_text)
            await shown.shows(f"/ {filter_text}", f"{len(found)} of 4")
            rows = shown.dashboard.jobs.list.rows
            await shown.until(lambda: rows.view is not None and rows.view.ids(0, 9) == found)

    asyncio.run(run())


def test_space_filtered_by_a_prefix_is_the_space_in_view(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["a"], "srq": ["a"]}, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH srq")
            await shown.shows("✔ 2")
            shown.dashboard.jobs.list.set_filter("space:sr")
            await shown.until(lambda: shown.cursor == 2)
            await shown.press("F")
            await shown.until(lambda: (job := shown.bench.engine.job(3)) is not None and job.space == "srq")

    asyncio.run(run())


def test_y_after_r_opens_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        asks_nothing = TuiSettings(confirm=Confirm.BULK)
        async with dashboard_bench(tmp_path, {"nba": ["a"]}, auto=True, settings=asks_nothing) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            # a notice of its end would take the place of the one that is looked for
            shown.bench.storage.auto = False
            await shown.press("r", "y")
            await shown.shows("does not ask for confirmation", "▶ running")
            assert len(shown.app.screen_stack) == 1
            await shown.press("y")
            await shown.shows("Copy")

    asyncio.run(run())


def test_jobs_that_end_together_are_announced_together() -> None:
    def ended(job_id: int, status: Status) -> Job:
        return Job(id=job_id, command="flush", space="nba", submitted=FakeClock().now(), status=status)

    jobs = [ended(number, Status.FINISHED) for number in (3, 4, 5)] + [ended(8, Status.FAILED)]
    assert describe_ends(jobs) == ("4 jobs ended: ✖ 8 failed, ✔ 3–5 finished", "error")
    assert describe_ends(jobs[:1]) == ("✔ job 3 flush nba finished", "information")


def test_end_of_a_watched_job_is_announced(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            shown.bench.execute("ADMIN COMPACT nba")
            await shown.shows("▶ running")
            await shown.press("w")
            shown.bench.storage.operation("nba", "local0").finish()
            await shown.shows("✔ job 1 compact nba finished", "reclaimed")

    asyncio.run(run())


def test_archive_shows_archived_jobs_and_offers_no_actions(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 5)
            shown.bench.execute("BACKUP JOB 1 2")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 3)
            await shown.press("4")
            await shown.shows("job 2 · flush nba", "archive")
            assert "s stop" not in shown.screen
            shown.bench.execute("BACKUP JOB 3 3")
            await shown.until(lambda: "compact test2" in shown.screen)
            await shown.press("1")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 2)

    asyncio.run(run())


class TestArchiveView:
    def test_restores_the_marked_jobs(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, auto=True, size=(120, 30)) as shown:
                await some_jobs(shown, 5)
                shown.bench.execute("BACKUP JOB 1 4")
                await shown.press("4")
                await shown.shows("b restore", "job 4 · flush nba")
                await shown.press("space", "down", "space")
                await shown.shows("b restore 2 marked")
                await shown.press("b")
                await shown.shows("Restore 2 jobs?", "job 2  flush nba", "job 4  flush nba")
                await shown.press("y")
                await shown.shows("back among the jobs: 2 jobs (2, 4)")
                # the view of this key has it
                await shown.until(lambda: shown.dashboard.view.list.view.ids(0, 9) == [3, 1])  # type: ignore[attr-defined]
                await shown.press("1")
                # it exists, or the test fails
                await shown.until(lambda: shown.dashboard.jobs.list.view.ids(0, 9) == [5, 4, 2])  # type: ignore[union-attr]

        asyncio.run(run())

    def test_runs_an_archived_job_again(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
                await some_jobs(shown, 2)
                shown.bench.execute("BACKUP JOB 1 2")
                await shown.press("4")
                await shown.shows("job 2 · flush nba")
                await shown.press("r")
                await shown.shows("Restore and run 1 job again?")
                await shown.press("y")
                await shown.shows("job 3 runs job 2 again")
                assert not shown.bench.engine.history.is_archived(2)
                assert shown.bench.engine.history.is_archived(1)
                assert shown.bench.job(3).recovered_from == 2

        asyncio.run(run())


def test_paused_screen_shows_all_changes_afterwards(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 2)
            await shown.press("p")
            await shown.shows("paused")
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.until(lambda: shown.bench.engine.history.counts()["finished"] == 3)
            await shown.pilot.pause(0.05)
            assert len(shown.dashboard.jobs.list.rows) == 2
            await shown.press("p")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 3)

    asyncio.run(run())


def test_rows_stay_in_view_after_scrolling_from_the_cursor(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 60)
            table = shown.dashboard.jobs.list.table
            for _ in range(6):
                table.post_message(events.MouseScrollDown(table, 5, 5, 0, 1, 0, False, False, False))
            await shown.until(lambda: table.top > 5)
            first, cursor = table.rows.key_at(table.top), shown.cursor
            shown.bench.execute("ADMIN FLUSH nba; ADMIN FLUSH nba")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 62)
            await shown.pilot.pause()
            assert table.rows.key_at(table.top) == first
            assert shown.cursor == cursor

    asyncio.run(run())


def test_archived_jobs_lose_their_marks(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await some_jobs(shown, 5)
            marks = shown.dashboard.jobs.list.rows.marks
            await shown.press("space", "space")
            await shown.shows("2 marked")
            await shown.press("b")
            await shown.shows("Archive 2 jobs?")
            await shown.press("y")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 3)
            await shown.shows_no_more("2 marked")
            assert not marks
            await shown.press("r", "y")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == 4)

    asyncio.run(run())


def test_question_follows_its_jobs_and_yes_to_none_is_harmless(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES) as shown:
            await shown.execute("ADMIN FLUSH nba")
            await shown.press("s")
            await shown.shows("Stop 1 job?")
            shown.bench.storage.operation("nba", "local0").finish()
            question = shown.app.screen.query_one("#question-text", LinesView)
            await shown.until(lambda: "finished" in "".join(map(plain, question.lines)))
            await shown.press("y")
            await shown.shows("Nothing was left to stop: job 1 has ended")

    asyncio.run(run())


def test_report_counts_only_the_jobs_that_were_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["a"], "test2": ["b"]}) as shown:
            await shown.execute("ADMIN FLUSH nba; ADMIN FLUSH test2")
            await shown.shows("▶ 2")
            before = shown.app.context.client.active_jobs()
            shown.bench.storage.operation("test2", "b").finish()
            await shown.shows("✔ 1")
            shown.dashboard.jobs.list.rows.marks.add([1, 2])
            monkeypatch.setattr(LocalClient, "active_jobs", lambda _: before)  # as if job 2 ended right now
            await shown.press("s")
            await shown.shows("Stop 2 jobs?")
            await shown.press("y")
            await shown.shows("asked to stop: 1 job (1)", "could not stop")

    asyncio.run(run())


def test_cursor_stays_on_its_job_as_many_arrive(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            shown.bench.execute("; ".join(["ADMIN FLUSH nba"] * 60))
            await shown.shows("✔ 61")
            jobs = shown.dashboard.jobs.list
            await shown.until(lambda: len(jobs.rows) == 61 and not jobs.is_searching)
            assert shown.cursor == 1
            assert jobs.job is not None
            assert jobs.job.id == 1

    asyncio.run(run())


def test_unrecovered_finds_failed_jobs_that_were_not_run_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, size=(80, 24)) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN COMPACT nba; ADMIN FLUSH nba")
            for number, end in enumerate(("fail", "finish", "fail")):
                getattr(shown.bench.storage.operation("nba", "local0", number), end)()
                await shown.until(lambda number=number: shown.bench.job(number + 1).status.ended)
            await shown.shows("✔ 1", "✖ 2")
            await shown.press("home", "down")
            await shown.until(lambda: shown.cursor == 2)
            await shown.press("N")  # the one above, without an n before
            await shown.until(lambda: shown.cursor == 3)
            await shown.press("slash")
            await shown.type("status:unrecovered")
            await shown.press("enter")
            await shown.shows("/ status:unrecovered", "2 of 3")
            assert shown.row("compact nba") == ""
            shown.bench.execute("RECOVER JOB 1")
            await shown.shows("1 of 4")
            table = shown.dashboard.jobs.list.table
            assert [table.rows.key_at(index) for index in range(len(table.rows))] == [3]

    asyncio.run(run())
