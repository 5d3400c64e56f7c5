"""The snapshot of an adopted directory and its restoration, without RocksDB."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from jobtui.storage.local.adopted_directory import AdoptedDirectory, notes_directory
from jobtui.storage.local.catalog import Catalog, CatalogEntry
from tests.support.storage import storage_at

OWNERS = "rocksdb_version=7.8.3\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "db"
    directory.mkdir()
    (directory / "CURRENT").write_text("MANIFEST-000004\n")
    (directory / "OPTIONS-000005").write_text(OWNERS)
    return directory


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes #1"


def visit(directory: Path, notes: Path, *, writing: bool = True) -> AdoptedDirectory:
    adopted = AdoptedDirectory(directory, notes)
    adopted.restore()
    adopted.snapshot(b"", None, writing=writing)
    return adopted


def write_ours(directory: Path, notes: Path, number: int) -> None:
    """Write an OPTIONS file as opening the database does: its log is in our notes."""
    named = str(notes).replace("#", "\\#")
    (directory / f"OPTIONS-{number:06d}").write_text(f"rocksdb_version=9.8.4\n  db_log_dir={named}\n")
    (directory / "rocksdict-config.json").write_text("{}")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class TestLinks:
    @pytest.mark.parametrize("name", ["", "notes", "notes/copies", "notes/opening", "notes/reading"])
    def test_nothing_behind_one_is_deleted(self, tmp_path, directory, name):
        outside, parent = tmp_path / "outside", tmp_path / "adopted.notes"
        (outside / "notes" / "copies").mkdir(parents=True)
        (outside / "precious").write_text("theirs")
        (outside / "notes" / "copies" / "precious").write_text("theirs")
        link = parent / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(outside)
        visit(directory, parent / "notes").link_for_reading()
        assert (outside / "precious").read_text() == "theirs"
        assert (outside / "notes" / "copies" / "precious").read_text() == "theirs"
        assert len(list(outside.rglob("*"))) == 4
        assert not link.is_symlink()


class TestOpened:
    def test_it_is_opened_with_the_owners_config(self, directory, notes):
        (directory / "rocksdict-config.json").write_text('{"raw_mode": true}')
        visit(directory, notes)
        copies = list(notes.rglob("rocksdict-config.json"))
        assert [copy.read_text() for copy in copies] == ['{"raw_mode": true}'] * 2

    def test_our_files_are_removed_at_once(self, directory, notes):
        adopted = visit(directory, notes)
        write_ours(directory, notes, 9)
        adopted.restore_while_open()
        assert names(directory) == ["CURRENT", "OPTIONS-000005"]

    def test_every_deleted_options_file_is_restored(self, directory, notes):
        (directory / "OPTIONS-000003").write_text("older")
        adopted = visit(directory, notes)
        for number in (3, 5):
            (directory / f"OPTIONS-{number:06d}").unlink()
        write_ours(directory, notes, 9)
        adopted.restore_while_open()
        assert names(directory) == ["CURRENT", "OPTIONS-000003", "OPTIONS-000005"]
        assert (directory / "OPTIONS-000005").read_text() == OWNERS

    def test_options_written_later_go_when_it_closes(self, directory, notes):
        adopted = visit(directory, notes)
        adopted.restore_while_open()
        write_ours(directory, notes, 11)
        adopted.restore()
        assert names(directory) == ["CURRENT", "OPTIONS-000005"]

    def test_owners_rocksdict_file_keeps_content_and_mode(self, directory, notes):
        config = directory / "rocksdict-config.json"
        config.write_text("the owner's")
        config.chmod(0o640)
        adopted = visit(directory, notes, writing=False)
        config.write_text("{}")
        adopted.restore_while_open()
        assert config.read_text() == "the owner's"
        assert stat.S_IMODE(config.stat().st_mode) == 0o640


class TestAfterACrash:
    def test_own_files_are_removed(self, directory, notes):
        visit(directory, notes)
        write_ours(directory, notes, 9)
        AdoptedDirectory(directory, notes).restore()
        assert names(directory) == ["CURRENT", "OPTIONS-000005"]

    def test_files_written_since_by_the_owner_stay(self, directory, notes):
        visit(directory, notes)
        write_ours(directory, notes, 9)
        (directory / "OPTIONS-000005").unlink()
        (directory / "OPTIONS-000014").write_text(OWNERS)
        AdoptedDirectory(directory, notes).restore()
        assert "OPTIONS-000014" in names(directory)
        assert not {"OPTIONS-000005", "OPTIONS-000009"} & set(names(directory))

    def test_owner_of_our_version_is_not_confused_with_us(self, directory, notes):
        visit(directory, notes)
        (directory / "OPTIONS-000009").write_text("rocksdb_version=9.8.4\n")
        AdoptedDirectory(directory, notes).restore()
        assert "OPTIONS-000009" in names(directory)

    def test_reading_does_not_change_the_options(self, directory, notes):
        visit(directory, notes, writing=False)
        write_ours(directory, notes, 9)
        AdoptedDirectory(directory, notes).restore()
        assert names(directory) == ["CURRENT", "OPTIONS-000005", "OPTIONS-000009"]

    def test_restoring_twice_changes_nothing(self, directory, notes):
        visit(directory, notes)
        for _ in range(2):
            AdoptedDirectory(directory, notes).restore()
        (directory / "OPTIONS-000007").write_text("new")
        AdoptedDirectory(directory, notes).restore()
        assert names(directory) == ["CURRENT", "OPTIONS-000005", "OPTIONS-000007"]


class TestCrashWhilePuttingBack:
    def test_owners_file_is_never_incomplete(self, directory, notes, monkeypatch):
        options = directory / "OPTIONS-000005"
        adopted = visit(directory, notes)
        options.write_text("changed")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="killed"):
                adopted.restore_while_open()
            assert options.read_text() == "changed"
        AdoptedDirectory(directory, notes).restore()
        assert options.read_text() == OWNERS
        assert names(directory) == ["CURRENT", "OPTIONS-000005"]

    def test_leftover_is_removed_by_the_next_start(self, directory, notes):
        adopted = visit(directory, notes)
        (directory / "OPTIONS-000005.dbtmp").write_text("half")
        adopted.restore()
        assert names(directory) == ["CURRENT", "OPTIONS-000005"]


def fail(_descriptor: int) -> None:
    raise OSError("killed")


class TestModes:
    @pytest.mark.parametrize("made", ["before", "while it was read"])
    def test_files_that_are_not_ours_keep_their_mode(self, directory, notes, made):
        (directory / "CURRENT").chmod(0o640)
        table = directory / "000012.sst"
        if made == "before":
            table.write_text("")
        adopted = visit(directory, notes, writing=made == "before")
        table.write_text("")
        table.chmod(0o600)
        adopted.restore_while_open()
        assert stat.S_IMODE(table.stat().st_mode) == 0o600


class TestOwnership:
    @pytest.fixture
    def other_user(self, directory: Path) -> tuple[int, int]:
        if os.geteuid():
            pytest.skip("only root may work on another user's database")
        for path in (directory, *directory.iterdir()):
            os.chown(path, 65534, 65534)
        (directory / "CURRENT").chmod(0o640)
        return 65534, 65534

    @staticmethod
    def of(path: Path) -> tuple[int, int, int]:
        status = path.stat()
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    def test_new_files_get_user_group_and_mode(self, directory, notes, other_user):
        adopted = visit(directory, notes)
        for name in ("000012.sst", "MANIFEST-000013", "000014.log"):
            (directory / name).write_text("")
        adopted.restore_while_open()
        assert {self.of(directory / name) for name in names(directory) if name[0] in "0M"} == {
            (*other_user, 0o640)
        }

    def test_files_in_a_stated_wal_directory_too(self, tmp_path, directory, notes, other_user):
        wal = tmp_path / "wal"
        wal.mkdir()
        adopted = AdoptedDirectory(directory, notes)
        adopted.snapshot(b"", wal, writing=True)
        (wal / "000014.log").write_text("")
        adopted.restore_while_open()
        assert self.of(wal / "000014.log") == (*other_user, 0o640)

    def test_hard_linked_file_is_not_changed(self, tmp_path, directory, notes, other_user):
        adopted = visit(directory, notes)
        secret = tmp_path / "secret"
        secret.write_text("root's own")
        (directory / "000012.sst").hardlink_to(secret)
        (directory / "000013.sst").symlink_to(secret)
        before = self.of(secret)
        adopted.restore_while_open()
        assert self.of(secret) == before

    def test_restored_file_keeps_its_user_and_mode(self, directory, notes, other_user):
        options = directory / "OPTIONS-000005"
        options.chmod(0o604)
        before = self.of(options)
        adopted = visit(directory, notes)
        options.write_text("changed")
        adopted.restore_while_open()
        assert options.read_text() == OWNERS
        assert self.of(options) == before

    def test_files_created_before_a_kill_get_their_owner_at_start(self, tmp_path, directory, other_user):
        async def start_and_close() -> None:
            async with storage_at(root):
                pass

        root = tmp_path / "root"
        Catalog(root, {}, {}).with_entry(CatalogEntry("theirs", (), (str(directory),))).save()
        visit(directory, notes_directory(root, str(directory))).restore_while_open()
        (directory / "000012.sst").write_text("")  # and now both processes are killed
        asyncio.run(start_and_close())
        assert self.of(directory / "000012.sst") == (*other_user, 0o640)

    def test_files_get_their_owner_though_it_opened_them_since(self, directory, notes, other_user):
        visit(directory, notes).restore_while_open()
        (directory / "000012.sst").write_text("")
        (directory / "OPTIONS-000014").write_text("its owner's")
        AdoptedDirectory(directory, notes).restore()
        assert self.of(directory / "000012.sst") == (*other_user, 0o640)
        assert "OPTIONS-000014" in names(directory)


def test_link_to_the_same_options_is_replaced(tmp_path, directory, notes):
    adopted = visit(directory, notes)
    options, mode = directory / "OPTIONS-000005", stat.S_IMODE((directory / "CURRENT").stat().st_mode)
    options.unlink()
    options.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(OWNERS)
    adopted.restore()
    assert not options.is_symlink()
    assert (options.read_text(), stat.S_IMODE(options.stat().st_mode)) == (OWNERS, mode)
