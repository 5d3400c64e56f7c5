import asyncio
import stat
from pathlib import Path

from jobtui.config.settings import Confirm, TuiSettings
from jobtui.tui.state import CommandHistory, SavedState, StateStore
from tests.support.dashboards import dashboard_bench

SPACES = {"nba": ["local0"], "test2": ["cold0"]}


def test_choices_are_kept_for_the_next_start(tmp_path: Path) -> None:
    settings = TuiSettings(state_dir=tmp_path / "state")

    async def first() -> None:
        async with dashboard_bench(tmp_path / "one", SPACES, auto=True, settings=settings) as shown:
            await shown.execute("USE test2; ADMIN FLUSH; ADMIN FLUSH nba")
            await shown.shows("✔ 2")
            await shown.press("T", "plus", "right_square_bracket")
            await shown.until(lambda: shown.dashboard.jobs.detail.tab == "timeline")

    async def second() -> None:
        async with dashboard_bench(tmp_path / "one", SPACES, auto=True, settings=settings) as shown:
            assert shown.app.theme == "light"
            await shown.shows("local[test2]>")
            assert shown.dashboard.jobs.detail.tab == "timeline"
            assert shown.app.context.saved.split_below == 45

    asyncio.run(first())
    asyncio.run(second())


class TestFilterAndSort:
    """What a run filtered and sorted by would hide the jobs that run at the next start."""

    def test_are_not_kept_for_the_next_start(self, tmp_path: Path) -> None:
        settings = TuiSettings(state_dir=tmp_path / "state")

        async def first() -> None:
            async with dashboard_bench(tmp_path / "one", SPACES, auto=True, settings=settings) as shown:
                await shown.execute("ADMIN FLUSH nba; ADMIN COMPACT test2")
                await shown.shows("✔ 2")
                await shown.press("greater_than_sign", "o", "slash")
                await shown.paste("status:failed")
                await shown.press("enter")
                await shown.shows("0 of 2", "Command")

        async def second() -> None:
            async with dashboard_bench(tmp_path / "one", SPACES, settings=settings) as shown:
                await shown.execute("ADMIN FLUSH nba")
                await shown.shows("▶ running", "Job▼")
                assert shown.dashboard.jobs.list.filter_text == ""
                assert "status:failed" not in shown.screen
                assert shown.dashboard.jobs.list.rows.key_at(0) == 3

        asyncio.run(first())
        asyncio.run(second())

    def test_older_versions_are_ignored(self, tmp_path: Path) -> None:
        (tmp_path / "dashboard.json").write_bytes(
            b'{"theme": "light", "sort": "took", "descending": false, "filter": "status:failed"}'
        )
        assert StateStore(tmp_path).read() == SavedState(theme="light")


def test_columns_are_chosen_and_kept(tmp_path: Path) -> None:
    settings = TuiSettings(state_dir=tmp_path / "state")

    async def first() -> None:
        async with dashboard_bench(tmp_path / "one", settings=settings) as shown:
            await shown.press("c")
            await shown.shows("Columns")
            await shown.press("down", "down", "down", "down", "enter")
            await shown.shows("·     Took")
            await shown.press("escape")
            await shown.until(lambda: "Took" not in shown.screen)

    async def second() -> None:
        async with dashboard_bench(tmp_path / "one", settings=settings) as shown:
            assert "Took" not in shown.screen
            assert "Status" in shown.screen

    asyncio.run(first())
    asyncio.run(second())


def test_files_are_private(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state")
    store.write(SavedState(theme="light"))
    store.add_typed("SHOW JOBS")
    for file in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert store.read().theme == "light"
    assert store.read_typed() == ["SHOW JOBS"]


def test_text_that_did_not_run_is_recalled_once_until_the_next(tmp_path: Path) -> None:
    history = CommandHistory(StateStore(tmp_path))
    history.add_until_next("SHOW JBOS")
    history.add_until_next("SHOW JBOS")
    assert history.texts == ("SHOW JBOS",)
    history.add("SHOW JOBS")
    assert history.texts == ("SHOW JOBS",)


def test_damaged_files_count_as_missing(tmp_path: Path) -> None:
    (tmp_path / "dashboard.json").write_bytes(b'{"theme": 3')
    nested = b"[" * 50_000
    (tmp_path / "typed.jsonl").write_bytes(b'"SHOW JOBS"\n\xff\xfe{\n"\xff"\n%b\n"SHOW HOSTS"\n' % nested)
    store = StateStore(tmp_path)
    assert store.read() == SavedState()
    assert store.read_typed() == ["SHOW JOBS", "SHOW HOSTS"]


def test_unwritable_directory_is_reported_and_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = TuiSettings(state_dir=tmp_path / "file" / "state")

    async def run() -> None:
        async with dashboard_bench(tmp_path / "one", settings=settings) as shown:
            await shown.shows("cannot be saved in")
            await shown.execute("SHOW JOBS")

    asyncio.run(run())


def test_keymap_is_applied_and_its_conflicts_are_reported(tmp_path: Path) -> None:
    async def run() -> None:
        settings = TuiSettings(keymap={"stop": "ctrl+s", "recover": "b", "nosuch": "x"})
        async with dashboard_bench(tmp_path, settings=settings) as shown:
            await shown.shows("2 keys of the keymap were left out: t shows which and why")
            await shown.press("t")
            await shown.shows("keymap: b for recover is taken by archive", "no command nosuch")
            await shown.press("t")
            shown.app.clear_notifications()
            shown.bench.execute("ADMIN COMPACT nba")
            await shown.shows("▶ running", "ctrl+s stop")
            await shown.press("s")
            await shown.press("ctrl+s")
            await shown.shows("Stop 1 job?")

    asyncio.run(run())


def test_unknown_theme_is_reported(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, settings=TuiSettings(theme="drak")) as shown:
            await shown.shows("there is no theme 'drak'; did you mean 'dark'?")
            assert shown.app.theme == "dark"

    asyncio.run(run())


def test_questions_about_single_jobs_can_be_switched_off(tmp_path: Path) -> None:
    async def run() -> None:
        settings = TuiSettings(confirm=Confirm.BULK)
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, obey=True, settings=settings) as shown:
            shown.bench.execute("ADMIN COMPACT nba; ADMIN FLUSH nba")
            await shown.shows("◷ queue")
            await shown.press("home", "s")
            await shown.shows("■ 1")
            await shown.press("a", "b")
            await shown.shows("skipped: job 1 (still running)")

    asyncio.run(run())
