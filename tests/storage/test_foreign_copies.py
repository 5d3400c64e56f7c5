"""jobtui does no harm to the original if the database that it adopts is a copy."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.adoption_checks import Snapshot, work_on
from tests.support.foreign_owners import Owner, Package, package_owner

# a WAL directory of its own, written in several ways; and what else is named by a path
KINDS = [
    *("ordinary", "wal_dir", "wal_relative", "wal_inside", "wal_dots", "wal_link", "wal_kept"),
    *("log_dir", "db_paths", "cf_paths"),
]
# RocksDB 6.14 and 6.29 write the path of the database itself as its WAL directory
PACKAGES = [
    Package("faust-streaming-rocksdb==0.9.3", "faust"),
    Package("rocksdict==0.3.28", "rocksdict_wal_dir"),
]


def copied(owner: Owner, original: Path, copy: Path) -> None:
    shutil.copytree(original, copy, symlinks=True)


def moved(owner: Owner, original: Path, copy: Path) -> None:
    original.rename(copy)


def restored(owner: Owner, original: Path, copy: Path) -> None:
    """Copy it while it is away, and put it back: its WAL directory is that of a living database again."""
    copied(owner, original, copy)
    for extra in original.parent.glob(f"{original.name}-*"):
        copied(owner, extra, copy.parent / extra.name.replace(original.name, copy.name))


WAYS: list[Callable[[Owner, Path, Path], None]] = [copied, Owner.checkpoint, restored]


@pytest.mark.parametrize("way", WAYS, ids=["copied", "checkpoint", "with its directories"])
@pytest.mark.parametrize("kind", KINDS)
def test_original_is_not_touched_through_a_copy(tmp_path, owners, monkeypatch, kind, way):
    if way is Owner.checkpoint and kind in {"db_paths", "cf_paths"}:
        pytest.skip("RocksDB makes no checkpoint of a database with db_paths or cf_paths")
    check_copy(tmp_path, owners.of(kind), way, monkeypatch, held=False)


@pytest.mark.parametrize("kind", KINDS)
def test_original_at_work_is_not_touched_through_a_copy(tmp_path, owners, monkeypatch, kind):
    check_copy(tmp_path, owners.of(kind), copied, monkeypatch, held=True)


@pytest.mark.parametrize("held", [False, True], ids=["at rest", "at work"])
@pytest.mark.parametrize("package", PACKAGES, ids=[each.requirement for each in PACKAGES])
def test_packages_original_is_not_touched_through_a_copy(tmp_path, pytestconfig, monkeypatch, package, held):
    check_copy(tmp_path, package_owner(pytestconfig, package), copied, monkeypatch, held=held)


def check_copy(
    tmp_path: Path,
    owner: Owner,
    way: Callable[[Owner, Path, Path], None],
    monkeypatch: pytest.MonkeyPatch,
    *,
    held: bool,
) -> None:
    """Have jobtui work on a copy; check that the original stays byte for byte, and holds what it held."""
    original, copy = tmp_path / "theirs" / "data", tmp_path / "theirs" / "copy"
    twin = tmp_path / "twin" / "data"
    monkeypatch.chdir(tmp_path)
    for database in (original, twin):
        owner.make(database, "killed")
    with owner.holding(twin) if held else contextlib.nullcontext():
        pass
    with owner.holding(original) if held else contextlib.nullcontext():
        way(owner, original, copy)
        logs = [original / "LOG", *original.parent.glob("data-logs/*_LOG")]  # the owner at work writes them
        snapshot = Snapshot(copy, except_for=logs if held else [])
        monkeypatch.chdir(original.parent)
        snapshot.check(asyncio.run(work_on(tmp_path / "root", copy)))
    assert owner.dump(original) == owner.dump(twin)


def test_moved_database_does_not_bring_its_old_place_back(tmp_path, owners, monkeypatch):
    owner = owners.of("wal_dots")
    original, copy = tmp_path / "theirs" / "data", tmp_path / "theirs" / "moved"
    owner.make(original, "killed")
    moved(owner, original, copy)
    snapshot = Snapshot(copy)
    monkeypatch.chdir(tmp_path)
    assert asyncio.run(work_on(tmp_path / "root", copy)).refusal
    snapshot.check_untouched()


def test_backup_is_not_adopted(tmp_path, owners, monkeypatch):
    owner = owners.of("ordinary")
    original, backup = tmp_path / "theirs" / "data", tmp_path / "theirs" / "backup"
    owner.make(original, "killed")
    owner.backup(original, backup)
    monkeypatch.chdir(tmp_path)
    for directory in (backup, backup / "private" / "1"):
        snapshot = Snapshot(directory)
        assert asyncio.run(work_on(tmp_path / "root", directory)).refusal
        snapshot.check_untouched()
