import asyncio
from pathlib import Path

from tests.support.dashboards import DashboardBench, dashboard_bench

SPACES = {"nba": ["local0"], "test2": ["cold0"]}


async def jobs(shown: DashboardBench) -> None:
    shown.bench.execute("ADMIN FLUSH nba; ADMIN COMPACT test2; ADMIN FLUSH nba")
    await shown.shows("✔ 3")
    await shown.press("end")
    await shown.shows("job 1 ·")


def index_of(shown: DashboardBench, text: str) -> tuple[int, int]:
    """Where the text is on screen."""
    for row, line in enumerate(shown.screen.split("\n")):
        if text in line:
            return line.index(text), row
    raise AssertionError(f"{text} is not on screen")


async def click(shown: DashboardBench, text: str, times: int = 1) -> None:
    await shown.pilot.click(offset=index_of(shown, text), times=times)


def test_click_on_a_header_sorts_and_then_reverses(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await jobs(shown)
            for arrow, first in (("▲", 1), ("▼", 3)):
                await click(shown, "Job")
                await shown.shows(f"Job{arrow}")
                await shown.until(lambda first=first: shown.dashboard.jobs.list.rows.key_at(0) == first)
            await click(shown, "Start ")
            await shown.shows("Start▲")

    asyncio.run(run())


def test_click_takes_the_cursor_there_and_a_double_click_opens(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await jobs(shown)
            await click(shown, "compact test2")
            await shown.until(lambda: shown.cursor == 2)
            await click(shown, "compact test2", times=2)
            await shown.shows("jobs › job 2")

    asyncio.run(run())


def test_opened_job_stays_open_while_newer_ones_arrive(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await jobs(shown)
            await shown.press("home", "f")
            await shown.shows("following")
            await click(shown, "flush nba", times=2)
            await shown.shows("jobs › job 3")
            shown.bench.execute("ADMIN FLUSH test2")
            await shown.shows("✔ 4")
            await shown.shows_no_more("following")
            await shown.press("escape")
            await shown.until(lambda: shown.dashboard.jobs.list.table.cursor_key == 3)

    asyncio.run(run())


def test_click_on_a_tab_chooses_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await jobs(shown)
            await click(shown, "Events")
            await shown.until(lambda: "job finished" in shown.detail)
            await click(shown, "Tasks")
            await shown.until(lambda: "1-0" in shown.detail)

    asyncio.run(run())


def test_click_answers_a_question_and_accepts_a_completion(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("▶ running")
            await shown.press("s")
            await shown.shows("Stop 1 job?")
            await click(shown, "Cancel")
            await shown.shows_no_more("Stop 1 job?")
            await shown.press("colon")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            await shown.type("use ")
            await shown.until(lambda: shown.dashboard.console.completions.is_open)
            await click(shown, "test2")
            await shown.shows("use test2")

    asyncio.run(run())


def test_results_are_selected_with_the_mouse_and_copied(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES) as shown:
            copied: list[str] = []
            shown.app.write_to_terminal = copied.append  # type: ignore[method-assign]  # replaced for this test
            await shown.execute("SHOW SPACES")
            await shown.press("t")
            await shown.shows("| nba ")
            column, row = index_of(shown, "| nba ")
            await shown.pilot.mouse_down(offset=(column + 2, row))
            await shown.pilot.hover(offset=(column + 3, row))
            await shown.pilot.hover(offset=(column + 4, row))
            await shown.pilot.mouse_up(offset=(column + 4, row))
            await shown.until(lambda: shown.dashboard.get_selected_text() == "nba")
            await shown.press("ctrl+c")
            assert shown.app.clipboard == "nba"
            assert any(text.startswith("\x1b]52;c;") for text in copied)

    asyncio.run(run())


def test_click_on_the_key_line_presses_the_key(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            await jobs(shown)
            await click(shown, "archive")
            await shown.shows("Archive 1 job?", "job 1  ")
            await shown.press("escape")
            await shown.until(lambda: "Archive 1 job?" not in shown.screen)
            # a key is clicked as well as its title
            await click(shown, "? help")
            await shown.shows("Stop the marked jobs")

    asyncio.run(run())
