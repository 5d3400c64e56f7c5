"""A disk that is full, fails or is read-only: acknowledged jobs are kept, and the fault is reported."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtui.history import Health, History, Query, StoreError, StoreFailed, StoreFull
from jobtui.history.format.disk import Disk
from jobtui.history.verify import past_notes, verify
from jobtui.model import Job, Status
from tests.support import made_jobs
from tests.support.filled_history import SMALL, after_opening_again, filled_up, new_job
from tests.support.made_jobs import replace


class FaultyDisk(Disk):
    """A real disk on which each operation in `failing` fails with its error, this many times (None: always).

    With `only`, files whose names do not start so are spared.
    """

    def __init__(self) -> None:
        self.failing: dict[str, tuple[int, int | None]] = {}
        self.only = ""
        self._names: dict[int, str] = {}

    def _try(self, operation: str, name: str) -> None:
        if operation in self.failing and name.startswith(self.only):
            number, times = self.failing[operation]
            if times == 1:
                del self.failing[operation]
            elif times is not None:
                self.failing[operation] = (number, times - 1)
            raise OSError(number, os.strerror(number))

    def create(self, path: Path) -> int:
        self._try("create", path.name)
        file = super().create(path)
        self._names[file] = path.name
        return file

    def write(self, file: int, data: bytes, offset: int) -> None:
        if not data.strip():
            self._try("blanks", self._names.get(file, ""))
        self._try("write", self._names.get(file, ""))
        super().write(file, data, offset)

    def sync(self, file: int) -> None:
        self._try("sync", self._names.get(file, ""))
        super().sync(file)

    def sync_data(self, file: int) -> None:
        self._try("sync_data", self._names.get(file, ""))
        super().sync_data(file)

    def rename(self, before: Path, after: Path) -> None:
        self._try("rename", after.name)
        super().rename(before, after)

    def sync_directory(self, path: Path) -> None:
        self._try("sync_directory", path.name)
        super().sync_directory(path)


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def history(tmp_path: Path, disk: FaultyDisk) -> Iterator[History]:
    history = History.open(tmp_path, disk=disk, limits=SMALL)
    yield history
    disk.failing.clear()
    history.close()


def test_full_disk_refuses_new_jobs_and_accepts_ends(history: History, disk: FaultyDisk) -> None:
    disk.failing["blanks"] = (errno.ENOSPC, None)
    jobs, refusal = filled_up(history)
    assert history.health is Health.FULL
    assert "is full: free some space" in history.write_error
    assert str(refusal) == history.write_error
    assert sum(history.counts().values()) == len(jobs)
    for job in jobs.values():
        ended = replace(job, status=Status.STOPPED, reason="the disk is full")
        history.commit(ended).result()
        jobs[job.id] = ended
    assert after_opening_again(history.path) == jobs


def test_refused_commit_leaves_no_trace(history: History, disk: FaultyDisk) -> None:
    disk.failing["blanks"] = (errno.ENOSPC, None)
    jobs, _ = filled_up(history)
    known, new = next(iter(jobs.values())), new_job(history)
    changed = replace(known, status=Status.RUNNING, reason="refused together with a new job")
    with pytest.raises(StoreFull):
        history.commit(changed, new).result()
    assert history.get(known.id) == known
    assert history.get(new.id) is None
    after = replace(known, status=Status.STOPPED)
    history.commit(after).result()
    disk.failing.clear()
    assert after_opening_again(history.path) == jobs | {known.id: after}


def test_writing_resumes_by_itself_when_there_is_space(history: History, disk: FaultyDisk) -> None:
    disk.failing["blanks"] = (errno.ENOSPC, None)
    jobs, _ = filled_up(history)
    assert not history.retry()
    disk.failing.clear()
    assert history.retry()
    assert (history.health, history.write_error) == (Health.OK, "")
    job = new_job(history)
    history.commit(job).result()
    assert after_opening_again(history.path) == jobs | {job.id: job}


def test_disk_found_full_at_a_sync_is_not_a_failure(history: History, disk: FaultyDisk) -> None:
    first = new_job(history)
    history.commit(first).result()
    disk.failing = {"sync_data": (errno.ENOSPC, None), "sync": (errno.ENOSPC, None)}
    with pytest.raises(StoreFull):
        history.commit(new_job(history)).result()
    assert history.health is Health.FULL
    assert not history.retry()
    disk.failing.clear()
    assert history.retry()
    second = new_job(history)
    history.commit(second).result()
    assert {first.id, second.id} <= after_opening_again(history.path).keys()


@pytest.mark.parametrize("operation", ["sync_data", "write"])
def test_failed_write_or_sync_continues_in_a_new_journal(
    history: History, disk: FaultyDisk, operation: str
) -> None:
    first = new_job(history)
    history.commit(first).result()
    before = set(history.path.glob("journal-*"))
    disk.failing[operation] = (errno.EIO, 1)
    second = new_job(history)
    history.commit(second).result()
    assert set(history.path.glob("journal-*")) > before
    assert history.health is Health.OK
    assert after_opening_again(history.path) == {first.id: first, second.id: second}
    third = replace(first, status=Status.STOPPED)
    history.commit(third).result()
    assert after_opening_again(history.path) == {first.id: third, second.id: second}


def test_permanent_disk_failure_makes_history_read_only(history: History, disk: FaultyDisk) -> None:
    first = new_job(history)
    history.commit(first).result()
    disk.failing = {"sync_data": (errno.EIO, None), "sync": (errno.EIO, None)}
    with pytest.raises(StoreFailed, match="can no longer be written"):
        history.commit(new_job(history)).result()
    assert history.health is Health.READ_ONLY
    assert "Input/output error" in history.write_error
    disk.failing.clear()
    assert not history.retry()
    with pytest.raises(StoreFailed):
        history.commit(new_job(history)).result()
    assert history.query(Query()).page(0, 9) == [first]
    assert history.live() == (first,)
    with pytest.raises(StoreError):
        history.archive(1, 9).result()
    history.close()
    assert after_opening_again(history.path) == {first.id: first}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("killed", [True, False])
def test_refused_change_is_absent_after_restart(
    killed: bool, number: int, history: History, disk: FaultyDisk, tmp_path: Path
) -> None:
    first = new_job(history)
    history.commit(first).result()
    disk.failing = {"sync_data": (number, None), "sync": (number, None)}
    with pytest.raises(StoreError):
        history.commit(replace(first, took=1.0), new_job(history)).result()
    left = Path(shutil.copytree(history.path, tmp_path / "left"))
    reader = History.open(left, write=False)
    assert reader.query(Query()).page(0, 9) == [first]
    reader.close()
    history.close()
    assert after_opening_again(left if killed else history.path) == {first.id: first}


@pytest.mark.parametrize(
    ("operation", "number"), [("sync", errno.EIO), ("create", errno.ENOSPC), ("rename", errno.EROFS)]
)
def test_failed_seal_is_postponed_and_loses_nothing(
    history: History, disk: FaultyDisk, operation: str, number: int
) -> None:
    rng = random.Random(3)
    jobs: dict[int, Job] = {}
    for turn in range(300):
        if turn == 20:
            disk.failing[operation] = (number, 3)
            disk.only = "MANIFEST" if operation == "rename" else "seg-"
        job = made_jobs.ended(history.new_id(), rng)
        with contextlib.suppress(StoreError):
            history.commit(job).result()
            jobs[job.id] = job
    assert history.health is Health.OK
    assert history.query(Query()).page(0, 999) == list(jobs.values())
    history.close()
    assert after_opening_again(history.path) == jobs
    assert any("postponed" in note.what for note in history.notes)
    assert past_notes(history.path) == []
    assert not list(history.path.glob("**/NOTES*"))


@pytest.mark.parametrize("operation", ["create", "sync", "rename"])
def test_failed_archive_moves_no_job(history: History, disk: FaultyDisk, operation: str) -> None:
    rng = random.Random(4)
    jobs = {job.id: job for job in (made_jobs.ended(history.new_id(), rng) for _ in range(30))}
    history.commit(*jobs.values()).result()
    history.archive(99, 99).result()
    disk.failing[operation] = (errno.ENOSPC, None)
    with pytest.raises(StoreFull, match="not archived"):
        history.archive(5, 9).result()
    disk.failing.clear()
    assert history.query(Query()).page(0, 99) == list(jobs.values())
    assert list(history.archive(5, 9).result().ids) == [5, 6, 7, 8, 9]
    history.close()
    assert verify(history.path) == []


def test_manifest_of_unknown_durability_makes_it_read_only(history: History, disk: FaultyDisk) -> None:
    class Late(Exception):
        pass

    rng = random.Random(4)
    jobs = {job.id: job for job in (made_jobs.ended(history.new_id(), rng) for _ in range(30))}
    history.commit(*jobs.values()).result()
    history.archive(99, 99).result()
    rename = disk.rename

    def renaming(before: Path, after: Path) -> None:
        rename(before, after)
        disk.failing["sync_directory"] = (errno.EIO, None)

    disk.rename = renaming  # type: ignore[method-assign]  # replaced for this test
    with pytest.raises(StoreFailed):
        history.archive(5, 9).result()
    assert history.health is Health.READ_ONLY
    disk.failing.clear()
    disk.rename = rename  # type: ignore[method-assign]  # replaced for this test
    history.close()
    again = History.open(history.path)
    there = {job.id: job for job in again.query(Query()).page(0, 99)}
    archived = {job.id: job for job in again.query(Query(archived=True)).page(0, 99)}
    assert there | archived == jobs
    assert not there.keys() & archived.keys()
    again.close()


def test_unwritable_directory_is_refused_with_a_message(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.failing["create"] = (errno.EROFS, None)
    with pytest.raises(StoreError, match="Read-only file system"):
        History.open(tmp_path, disk=disk)
    History.open(tmp_path).close()


def test_disk_without_locks_is_refused_with_the_reason(tmp_path: Path) -> None:
    class Lockless(Disk):
        def __init__(self) -> None:
            self.open_files: set[int] = set()

        def open_to_write(self, path: Path) -> int:
            file = super().open_to_write(path)
            self.open_files.add(file)
            return file

        def close(self, file: int) -> None:
            super().close(file)
            self.open_files.discard(file)

        def try_lock(self, file: int) -> bool:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    disk = Lockless()
    with pytest.raises(StoreError, match="No locks available"):
        History.open(tmp_path, disk=disk)
    assert not disk.open_files


@pytest.mark.parametrize("removal", ["deleted", "moved", "replaced"])
def test_deleted_history_acknowledges_nothing_more(tmp_path: Path, removal: str) -> None:
    path, elsewhere = tmp_path / "history", tmp_path / "elsewhere"
    history = History.open(path)
    kept = new_job(history)
    history.commit(kept).result()
    path.rename(elsewhere)
    if removal == "deleted":
        shutil.rmtree(elsewhere)
    elif removal == "replaced":
        path.mkdir()
    lost = new_job(history)
    with pytest.raises(StoreFailed, match="deleted, moved or unmounted while jobtui ran: put it back"):
        history.commit(lost).result()
    assert history.health is Health.READ_ONLY
    assert history.get(kept.id) == kept
    assert history.get(lost.id) is None
    history.close()
    assert not path.exists() or not any(path.iterdir())
    if removal == "moved":
        elsewhere.rename(path)
        assert after_opening_again(path)[kept.id] == kept


def test_deleted_journal_is_rewritten_completely(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    jobs = [new_job(history) for _ in range(3)]
    history.commit(jobs[0]).result()
    history.commit(jobs[1]).result()
    for journal in tmp_path.glob("journal-*"):
        journal.unlink()
    history.commit(jobs[2]).result()
    assert history.health is Health.OK
    history.close()
    assert after_opening_again(tmp_path) == {job.id: job for job in jobs}
