import asyncio
import csv
import json
import stat
from pathlib import Path

import pytest

from jobtui.tui.actions.export import export_jobs, new_export_path
from tests.support.clock import FakeClock
from tests.support.dashboards import dashboard_bench

SPACES = {"nba": ["local0"], "=cmd": ["cold0"]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def test_jobs_in_view_are_exported_to_private_files(tmp_path: Path, here: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba; ADMIN COMPACT nba; ADMIN FLUSH nba")
            await shown.shows("✔ 3")
            await shown.press("slash")
            await shown.paste("cmd:flush")
            await shown.press("enter")
            await shown.shows("2 of 3")
            for key in ("c", "j"):
                await shown.press("x")
                await shown.shows("Export 2 jobs")
                await shown.press(key)
                await shown.shows("2 jobs written to")
                shown.app.clear_notifications()

    asyncio.run(run())
    table, tree = sorted(here.iterdir())
    assert (table.suffix, tree.suffix) == (".csv", ".json")
    assert stat.S_IMODE(table.stat().st_mode) == stat.S_IMODE(tree.stat().st_mode) == 0o600
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["3", "1"]
    jobs = json.loads(tree.read_text())
    assert [job["id"] for job in jobs] == [3, 1]
    assert jobs[0]["start"].startswith("2019-12-17T")
    assert jobs[0]["status"] == "finished"


def test_formula_in_a_name_is_guarded_in_the_table(tmp_path: Path, here: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH `=cmd`")
            await shown.shows("✔ 1")
            view = shown.dashboard.jobs.list.view
            assert view is not None
            assert export_jobs(view, here / "a.csv") == 1
            with pytest.raises(FileExistsError):
                export_jobs(view, here / "a.csv")

    asyncio.run(run())
    assert "'=cmd" in (here / "a.csv").read_text()


def test_existing_file_name_is_not_reused(tmp_path: Path) -> None:
    now = FakeClock().now()
    first = new_export_path(tmp_path, ".csv", now)
    first.touch()
    second = new_export_path(tmp_path, ".csv", now)
    assert second != first
    assert second.name.endswith("-2.csv")


def test_unwritable_directory_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")

            def refused(*_: object) -> int:
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr("jobtui.tui.actions.menus.export_jobs", refused)
            await shown.press("x")
            await shown.shows("Export 1 job")
            await shown.press("c")
            await shown.shows("Not exported: Permission denied")

    asyncio.run(run())
