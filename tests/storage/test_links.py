"""Links and pipes in place of the storage's own files: nothing is written through them or blocked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobtui.cli.commands.serve import open_log
from jobtui.cli.errors import CommandError
from jobtui.errors import StorageError
from jobtui.files import write_atomically
from jobtui.storage.local.catalog import FILE, Catalog, CatalogEntry
from jobtui.tui.state import SavedState, StateStore
from tests.support.commands import CommandLine


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of another program, which must not change."""
    path = tmp_path / "precious"
    path.write_text("precious")
    return path


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


class TestCatalog:
    def test_link_is_replaced(self, tmp_path: Path, precious: Path) -> None:
        root = tmp_path / "storage"
        link(root / FILE, precious)
        link(root / f".{FILE}.{os.getpid()}", precious)
        Catalog(root, {}, {}).with_entry(CatalogEntry("nba", ("local0",))).save()
        assert precious.read_text() == "precious"
        assert not (root / FILE).is_symlink()
        assert "nba" in Catalog.open(root, {}).entries

    def test_damaged_one_behind_a_link_is_set_aside(self, tmp_path: Path, precious: Path) -> None:
        root = tmp_path / "storage"
        link(root / FILE, precious)
        Catalog.open(root, {}).save()
        assert precious.read_text() == "precious"
        assert not (root / FILE).is_symlink()

    def test_pipe_is_reported_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / FILE)
        with pytest.raises(StorageError, match="it is a pipe, not a file"):
            Catalog.open(tmp_path, {})

    def test_name_of_a_draft_is_foreseen(self, tmp_path: Path, precious: Path) -> None:
        link(tmp_path / f".file.{os.getpid()}", precious)
        write_atomically(tmp_path / "file", b"new")
        assert precious.read_text() == "precious"
        assert (tmp_path / "file").read_bytes() == b"new"


class TestDatabase:
    """A space's own database."""

    @pytest.fixture
    def database(self, jobtui: CommandLine) -> Path:
        jobtui.done("-e", "CREATE SPACE nba ON 1 HOSTS")
        (database,) = jobtui.profile.storage.glob("local*/nba")
        return database

    @pytest.mark.parametrize("name", ["CURRENT", "LOG", "LOCK", "000099.log", "000100.sst", "OPTIONS-000099"])
    def test_link_among_its_files(self, jobtui: CommandLine, database: Path, precious: Path, name: str) -> None:
        link(database / name, precious)
        ended = jobtui("-e", "ADMIN FLUSH nba")
        assert ended.returncode == 3
        assert f"{database / name} is a symbolic link, and jobtui writes through none" in ended.stderr
        assert precious.read_text() == "precious"

    def test_link_in_place_of_the_note(self, jobtui: CommandLine, database: Path, precious: Path) -> None:
        link(database / "jobtui.json", precious)
        jobtui("-e", "ADMIN FLUSH nba")
        assert precious.read_text() == "precious"

    def test_link_in_place_of_its_directory(self, jobtui: CommandLine, database: Path, tmp_path: Path) -> None:
        database.rename(tmp_path / "elsewhere")
        before = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())
        link(database, tmp_path / "elsewhere")
        ended = jobtui("-e", "ADMIN FLUSH nba")
        assert ended.returncode == 3
        assert f"{database} is a symbolic link" in ended.stderr
        jobtui("-e", "DROP SPACE nba")
        assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == before

    def test_pipe_in_place_of_the_note(self, jobtui: CommandLine, database: Path) -> None:
        (database / "jobtui.json").unlink()
        os.mkfifo(database / "jobtui.json")
        assert jobtui("-e", "ADMIN FLUSH nba").returncode == 0


class TestProfile:
    """Files of the profile besides history and storage."""

    def test_link_in_place_of_the_log(self, tmp_path: Path, precious: Path) -> None:
        link(tmp_path / "serve.log", precious)
        with pytest.raises(CommandError, match=r"serve\.log cannot be written: it is a symbolic link"):
            open_log(tmp_path / "serve.log")
        assert precious.read_text() == "precious"

    def test_links_in_place_of_the_dashboards_state(self, tmp_path: Path, precious: Path) -> None:
        state = StateStore(tmp_path / "state")
        for name in ("dashboard.json", "typed.jsonl"):
            link(tmp_path / "state" / name, precious)
        state.add_typed("SHOW JOBS")
        assert "it is a symbolic link" in state.problem
        state.write(SavedState(theme="light"))
        state.trim_typed(["SHOW JOBS"])
        assert precious.read_text() == "precious"
        assert StateStore(tmp_path / "state").read().theme == "light"

    def test_pipes_in_place_of_the_dashboards_state(self, tmp_path: Path) -> None:
        for name in ("dashboard.json", "typed.jsonl"):
            os.mkfifo(tmp_path / name)
        state = StateStore(tmp_path)
        assert (state.read(), state.read_typed()) == (SavedState(), [])
        assert "it is a pipe" in state.problem

    def test_export_replaces_nothing(self, jobtui: CommandLine, precious: Path) -> None:
        link(jobtui.home / "out.jsonl", precious)
        ended = jobtui("history", "export", "out.jsonl")
        assert ended.returncode != 0
        assert precious.read_text() == "precious"
