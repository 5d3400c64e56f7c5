"""One writer, also if the history is deleted, moved or replaced under it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from jobtui.history import History, StoreError, StoreLocked
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from tests.support.damaged import OPEN, Made
from tests.support.filled_history import new_job


def deleted(path: Path) -> None:
    shutil.rmtree(path)


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    moved(path)
    path.mkdir()


def emptied(path: Path) -> None:
    deleted(path)
    path.mkdir()


def without_lock(path: Path) -> None:
    (path / "LOCK").unlink()


def with_another_lock(path: Path) -> None:
    without_lock(path)
    (path / "LOCK").write_bytes(b"")


class TestHistoryTakenFromOwner:
    @pytest.mark.parametrize("take_away", [deleted, moved, replaced, emptied, without_lock, with_another_lock])
    def test_no_second_writer_while_owner_lives(self, take_away: object, tmp_path: Path) -> None:
        path = tmp_path / "history"
        owner = History.open(path)
        owner.commit(new_job(owner)).result()
        take_away(path)  # type: ignore[operator]  # a parameter of several types
        before = sorted(tmp_path.rglob("*"))
        for attempt in (History.open, repair):
            with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
                attempt(path)
        assert sorted(tmp_path.rglob("*")) == before
        owner.close()
        History.open(path).close()

    def test_readers_see_no_history(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        owner = History.open(path)
        deleted(path)
        History.open(path, write=False).close()
        assert not path.exists()
        owner.close()

    def test_neighbors_are_independent(self, tmp_path: Path) -> None:
        one, other = (History.open(tmp_path / name) for name in ("one", "other"))
        one.close()
        other.close()


class TestGuard:
    def test_released_if_the_history_cannot_be_opened(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        path.mkdir()
        (path / "MANIFEST.json").mkdir()
        for _ in range(2):
            with pytest.raises(StoreError, match="a directory is in its place"):
                History.open(path)
        (path / "MANIFEST.json").rmdir()
        History.open(path).close()

    def test_not_needed_in_a_parent_that_cannot_be_written_to(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        (tmp_path / "history.lock").mkdir()  # stands for a parent that takes no file, also from root
        first = History.open(path)
        with pytest.raises(StoreLocked):
            History.open(path)
        first.close()

    def test_its_file_is_private(self, tmp_path: Path) -> None:
        History.open(tmp_path / "history").close()
        assert (tmp_path / "history.lock").stat().st_mode & 0o777 == 0o600

    def test_reader_follows_a_lock_that_was_replaced(self, sealed: Made, tmp_path: Path) -> None:
        path = tmp_path / "history"
        shutil.copytree(sealed.path, path)
        reader = History.open(path, write=False)
        (path / "LOCK").rename(path / "LOCK.old")
        writer = History.open(path, limits=OPEN)
        job = new_job(writer)
        writer.commit(job).result()
        writer.close()
        reader.refresh()
        assert reader.get(job.id) == job
        reader.close()


def test_deleted_profile_takes_guard_along_but_mixes_nothing(tmp_path: Path) -> None:
    """The guard is in the profile's directory: no trace of the old owner is left."""
    path = tmp_path / "profile" / "history"
    path.parent.mkdir()
    old = History.open(path)
    old.commit(new_job(old)).result()
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    new = History.open(path)
    job = new_job(new)
    new.commit(job).result()
    with pytest.raises(StoreError):
        old.commit(new_job(old)).result()
    old.close()
    assert (new.get(job.id), new.last_id()) == (job, 1)
    new.close()
    assert verify(path) == []
