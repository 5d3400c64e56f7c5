import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from jobtui.engine.client import ExecuteResult, Session
from jobtui.engine.local import LocalClient
from jobtui.errors import ErrorCode
from jobtui.history import History, StoreError
from jobtui.model import Status
from tests.support.dashboards import dashboard_bench


def test_empty_history_explains_how_to_start_a_first_job(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.shows("No jobs yet", "USE nba", "ADMIN COMPACT", "local[]>", "3 hosts")

    asyncio.run(run())


def test_statement_becomes_a_job_and_its_result_a_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("USE nba; ADMIN FLUSH")
            assert "job 1: flush nba, " in shown.transcript
            await shown.shows("flush nba", "▶ running", "local[nba]>", "space nba", "▶ 1 running")
            assert shown.cursor == 1

    asyncio.run(run())


def test_jobs_tasks_are_shown_live_until_it_has_ended(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("ADMIN COMPACT nba")
            storage = shown.bench.storage
            storage.operation("nba", "local0").progress(0.25, 88 << 20)
            await shown.shows("1-0", " 25%", "88 MiB/s")
            storage.operation("nba", "local0").finish()
            storage.operation("nba", "local1").fail(ErrorCode.DISK_FULL, "no space left on device")
            await shown.shows("no space left on device", "✔ finished")
            storage.operation("nba", "local2").finish()
            await shown.shows("✖ failed", "✖ 1")
            assert shown.bench.job(1).status is Status.FAILED

    asyncio.run(run())


def test_s_asks_before_it_stops_with_cancel_focused(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, obey=True) as shown:
            await shown.execute("ADMIN COMPACT nba")
            await shown.press("s")
            await shown.shows("Stop 1 job?", "job 1", "Cancel")
            await shown.press("enter")
            await shown.shows_no_more("Stop 1 job?")
            assert not shown.bench.job(1).stopping
            await shown.press("s")
            await shown.shows("Stop 1 job?")
            await shown.press("y")
            await shown.shows("■ stopped")
            assert "STOP JOB 1" in shown.transcript

    asyncio.run(run())


def test_stopping_job_shows_how_many_tasks_have_ended(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("ADMIN COMPACT nba")
            await shown.press("s")
            await shown.shows("Stop 1 job?")
            await shown.press("y")
            shown.bench.storage.operation("nba", "local0").stop()
            shown.bench.storage.operation("nba", "local1").stop()
            await shown.shows("◼ stopping 2/3")
            shown.bench.storage.operation("nba", "local2").stop()
            await shown.shows_no_more("stopping 2/3")

    asyncio.run(run())


def test_r_runs_a_failed_job_again_under_a_new_id(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute("ADMIN COMPACT nba")
            shown.bench.storage.operation("nba", "local0").fail()
            await shown.shows("✖ failed")
            await shown.press("r")
            await shown.shows("Run 1 job again?")
            await shown.press("y")
            await shown.shows("job 2 runs job 1 again")
            assert shown.cursor == 1, "the cursor stays with its job"
            assert shown.bench.job(2).recovered_from == 1

    asyncio.run(run())


def test_esc_leads_back_from_the_bar_and_a_colon_leads_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            table = shown.dashboard.jobs.list.table
            assert table.has_focus
            await shown.press("colon")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            await shown.press("s")
            await shown.until(lambda: "local[]> s" in shown.screen)
            await shown.press("escape", "escape")
            await shown.until(lambda: table.has_focus)

    asyncio.run(run())


def test_refused_statement_is_reported_and_starts_no_job(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("ADMIN COMPACT nbaa")
            assert "Space 'nbaa' does not exist; did you mean 'nba'?" in shown.transcript
            assert "No jobs yet" in shown.screen

    asyncio.run(run())


def test_first_steps_leave_out_what_is_done(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.shows("No jobs yet", "chooses the space")
            await shown.execute("USE nba")
            await shown.shows_no_more("chooses the space")
            await shown.shows("ADMIN FLUSH", "5  shows which spaces need a job, and what it would give back.")

    asyncio.run(run())


def test_job_that_ends_before_its_answer_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[Future[ExecuteResult], Future[ExecuteResult]]] = []
    execute = LocalClient.execute

    def answered_late(engine: LocalClient, text: str, session: Session) -> Future[ExecuteResult]:
        held.append((execute(engine, text, session), Future()))
        return held[-1][1]

    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            monkeypatch.setattr(LocalClient, "execute", answered_late)
            await shown.press("colon")
            await shown.type("ADMIN FLUSH nba")
            await shown.press("enter")
            await shown.shows("✔ 1")
            assert "job 1 flush nba finished" not in shown.screen
            ((real, late),) = held
            late.set_result(real.result())
            await shown.shows("job 1 flush nba finished")
            assert not shown.app.context.submitted
            messages = [notice.message for notice in shown.app._notifications]
            assert sum("job 1 flush nba finished" in text for text in messages) == 1
            assert sum("job 1 flush nba finished" in entry.text for entry in shown.app.context.log) == 1

    asyncio.run(run())


def test_end_whose_event_comes_after_the_answer_is_logged_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            # without giving way to the loop, which would handle the event
            shown.bench.events.until(1, Status.FINISHED)
            shown.dashboard.watch_jobs([1])
            await shown.shows("✔ 1", "job 1 flush nba finished")
            assert sum("job 1 flush nba finished" in entry.text for entry in shown.app.context.log) == 1

    asyncio.run(run())


def test_cursor_moves_to_a_job_that_appears_after_the_answer(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("ADMIN FLUSH nba")
            shown.dashboard.jobs.list.set_filter("space:nba")
            await shown.shows("1 of 1")
            shown.dashboard.select_job(3)
            await shown.until(lambda: not shown.dashboard.jobs.list.is_searching)
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("2 of 2")
            assert shown.cursor == 1
            assert "does not pass" not in shown.screen
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.until(lambda: shown.cursor == 3)

    asyncio.run(run())


@pytest.mark.parametrize("error", [None, StoreError("The history cannot be read: Input/output error")])
def test_indexes_are_loaded_after_the_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    readers: list[threading.Thread] = []

    def load_indexes(history: History) -> None:
        readers.append(threading.current_thread())
        if error is not None:
            raise error

    monkeypatch.setattr(History, "load_indexes", load_indexes)

    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["a"]}) as shown:
            await shown.until(lambda: readers)
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("▶ running")

    asyncio.run(run())
    assert readers != [threading.main_thread()]
