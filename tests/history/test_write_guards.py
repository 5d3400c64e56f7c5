"""Guards of the writing side: each has a test that fails without it."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import Health, History, StoreError, StoreFailed
from jobtui.history import verify as verifying
from jobtui.history.format import lock as locks
from jobtui.history.format.disk import Disk
from jobtui.history.format.lock import WriterWatcher
from jobtui.history.work_steps import run_steps
from jobtui.history.write import archiver, store
from jobtui.history.write.archiver import link_or_copy
from jobtui.history.write.store import Limits, Store
from jobtui.model import Job
from tests.support import made_jobs
from tests.support.damaged import OPEN, Made
from tests.support.made_jobs import replace

Copied = Callable[[Made], Path]
Patch = pytest.MonkeyPatch


class ErrorDisk(Disk):
    """A real disk on which the operations in `failing` fail with their error, and are counted."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self.calls: list[str] = []

    def _try(self, operation: str) -> None:
        self.calls.append(operation)
        if operation in self.failing:
            raise OSError(self.failing[operation], os.strerror(self.failing[operation]))

    def create(self, path: Path) -> int:
        self._try("create")
        return super().create(path)

    def write(self, file: int, data: bytes, offset: int) -> None:
        self._try("write" if data.strip() else "blanks")
        super().write(file, data, offset)

    def sync_data(self, file: int) -> None:
        self._try("sync_data")
        super().sync_data(file)

    def link(self, existing: Path, name: Path) -> None:
        self._try("link")
        super().link(existing, name)


@pytest.fixture
def disk() -> ErrorDisk:
    return ErrorDisk()


def opened(path: Path, disk: Disk) -> Store:
    return Store.open(disk, path, OPEN)


def new_job(store: Store) -> Job:
    with store.state.mutex:
        store.state.next_id += 1
        return made_jobs.submitted(store.state.next_id - 1, random.Random(store.state.next_id))


class TestCommit:
    def test_unchanged_job_needs_no_disk(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        job = new_job(history)
        assert history.write([[job]]) == [None]
        disk.failing = dict.fromkeys(("write", "blanks", "sync_data", "create"), errno.EIO)
        assert history.write([[job]]) == [None]
        assert history.health is Health.OK

    def test_journal_that_cannot_grow_is_replaced(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        before = {path.name for path in history.segments.directory.glob("journal-*")}
        big = replace(new_job(history), reason="x" * 10_000)
        disk.failing = {"blanks": errno.EIO}
        disk.create = lambda path: (disk.failing.clear(), Disk.create(disk, path))[1]  # type: ignore[method-assign]
        assert history.write([[big]]) == [None]
        assert history.health is Health.OK
        assert {path.name for path in history.segments.directory.glob("journal-*")} != before

    def test_full_journal_that_fails_in_the_retry_is_replaced(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        disk.failing = {"blanks": errno.ENOSPC}
        assert history.write([[replace(new_job(history), reason="x" * 10_000)]]) != [None]
        assert history.health is Health.FULL
        before = {path.name for path in history.segments.directory.glob("journal-*")}
        disk.failing = {"blanks": errno.EIO}
        disk.create = lambda path: (disk.failing.clear(), Disk.create(disk, path))[1]  # type: ignore[method-assign]
        assert history.retry()
        assert {path.name for path in history.segments.directory.glob("journal-*")} != before
        assert history.write([[new_job(history)]]) == [None]

    def test_room_is_noticed_although_the_journal_has_blanks(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        assert history.write([[replace(new_job(history), reason="x" * 1_000)]]) == [None]
        disk.failing = {"blanks": errno.ENOSPC}
        assert history.write([[replace(new_job(history), reason="x" * 10_000)]]) != [None]
        assert history.health is Health.FULL
        assert not history.retry()
        disk.failing = {}
        assert history.retry()
        assert history.write_error == ""

    def test_history_is_opened_although_the_disk_is_full(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        job = new_job(history)
        history.write([[job]])
        left = shutil.copytree(tmp_path / "history", tmp_path / "left")
        history.close()
        disk.failing = {"create": errno.EIO}
        with pytest.raises(OSError, match="Input/output"):
            opened(left, disk)
        disk.failing = {"create": errno.ENOSPC}
        with pytest.raises(OSError, match="No space"):
            opened(tmp_path / "new", disk)
        again = opened(left, disk)
        assert again.health is Health.FULL
        assert again.state.recent == {job.id: job}
        disk.failing = {}
        assert again.retry()
        assert again.write([[new_job(again)]]) == [None]
        again.close()

    def test_failed_history_stays_failed_and_writes_nothing(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        disk.failing = {"sync_data": errno.EIO, "create": errno.EIO}
        assert history.write([[new_job(history)]]) != [None]
        assert history.health is Health.READ_ONLY
        assert isinstance(history.refusal(), StoreFailed)
        disk.failing, disk.calls = {}, []
        assert not history.retry()
        assert history.write([[new_job(history)]]) != [None]
        assert disk.calls == []

    def test_journal_that_failed_is_not_written_again(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        (failed,) = history.segments.directory.glob("journal-*")
        disk.failing = {"sync_data": errno.EIO, "create": errno.ENOSPC}
        assert history.write([[new_job(history)]]) != [None]
        content = failed.read_bytes()
        disk.failing = {}
        job = new_job(history)
        assert history.write([[job]]) == [None]
        assert failed.read_bytes() == content
        assert history.state.recent[job.id] == job

    def test_disk_without_inodes_is_named(
        self, tmp_path: Path, disk: ErrorDisk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        history = opened(tmp_path / "history", disk)
        disk.failing = {"blanks": errno.ENOSPC, "create": errno.ENOSPC}
        refused = history.write([[replace(new_job(history), reason="x" * 10_000)]])
        monkeypatch.setattr(store, "has_inodes", lambda path: False)
        assert "is full" in str(refused[0])
        assert "has no free inodes" in history.write_error

    def test_live_job_changes_while_others_are_archived(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        job = new_job(history)
        history.write([[job]])
        changed = replace(job, reason="changed")
        with history.changes.archive_lock:
            thread = threading.Thread(target=history.write, args=([[changed]],), daemon=True)
            thread.start()
            thread.join(30)
            assert not thread.is_alive()
        assert history.state.recent[job.id] == changed


class TestJournalOfACopy:
    def test_copy_of_second_names_stays_and_the_history_opens(self, tmp_path: Path, disk: ErrorDisk) -> None:
        history = opened(tmp_path / "history", disk)
        job = new_job(history)
        history.write([[job]])
        history.close()
        (journal,) = (tmp_path / "history").glob("journal-*")
        (tmp_path / "copy").hardlink_to(journal)
        content = journal.read_bytes()
        again = opened(tmp_path / "history", disk)
        assert again.state.recent == {job.id: job}
        again.write([[new_job(again)]])
        assert (tmp_path / "copy").read_bytes() == content


class TestArchive:
    def test_canceled_request_moves_nothing(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        history = History.open(path, limits=OPEN)
        first = min(sealed.jobs)
        with history._open_writer._store_lock:
            request = history.archive(first, first)
            assert request.cancel()
        history.close()
        again = History.open(path, write=False)
        assert not again.is_archived(first)
        again.close()

    def test_refused_while_nothing_can_be_written(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        history = History.open(path, limits=OPEN)
        history._open_writer.store.fail(OSError(errno.EIO, "lost"))
        names = sorted(path.rglob("*"))
        with pytest.raises(StoreFailed, match="can no longer be written"):
            history.archive(1, 10).result(30)
        assert sorted(path.rglob("*")) == names
        history.close()

    def test_segment_that_changed_meanwhile_is_not_moved(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        history = History.open(path, limits=OPEN)
        history.load_indexes()
        file = min(path.glob("seg-*.jsonl"))
        file.write_bytes(file.read_bytes() + b"more\n")
        with pytest.raises(StoreError, match="it does not match its entry"):
            history.archive(1, max(sealed.jobs)).result(30)
        history.close()

    def test_restore_of_nothing_writes_nothing(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        history = History.open(path, limits=OPEN)
        before = history._state.manifest.generation
        assert list(history.restore(1000, 2000).result(30).ids) == []
        assert history._state.manifest.generation == before
        history.close()

    def test_damaged_segment_of_others_does_not_matter(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        history = History.open(path, limits=OPEN)
        first = min(path.glob("seg-*.jsonl"))
        for file in (first, first.with_name(first.name.replace(".jsonl", ".idx.json"))):
            file.unlink()
        last = max(sealed.jobs)
        assert list(history.archive(last - 1, last).result().ids) == [last - 1, last]
        history.close()

    def test_link_that_fails_is_no_copy(self, tmp_path: Path, disk: ErrorDisk) -> None:
        (tmp_path / "one").write_bytes(b"1")
        disk.failing = {"link": errno.EIO}
        with pytest.raises(OSError, match="Input/output"):
            link_or_copy(disk, tmp_path / "one", tmp_path / "two")
        assert not (tmp_path / "two").exists()
        disk.failing = {"link": errno.EPERM}
        link_or_copy(disk, tmp_path / "one", tmp_path / "two")
        assert (tmp_path / "two").read_bytes() == b"1"

    def test_jobs_that_a_journal_has_are_not_archived(self, tmp_path: Path, disk: ErrorDisk) -> None:
        path = tmp_path / "history"
        history = History.open(path, limits=Limits(journal=1 << 20, leftover=0, blanks=512))
        jobs = [made_jobs.ended(history.new_id(), random.Random(n)) for n in range(5)]
        history.commit(*jobs).result()
        history.close()
        again = opened(path, disk)
        again.state.recent[2] = jobs[1]
        names = sorted(path.rglob("*"))
        with pytest.raises(OSError, match="a journal also has these jobs"):
            run_steps(archiver.archive(again.segments, 1, 3))
        assert sorted(path.rglob("*")) == names

    def test_jobs_that_a_journal_has_do_not_return(self, tmp_path: Path, disk: ErrorDisk) -> None:
        path = tmp_path / "history"
        history = History.open(path, limits=OPEN)
        jobs = [made_jobs.ended(history.new_id(), random.Random(n)) for n in range(5)]
        history.commit(*jobs).result()
        history.archive(1, 3).result()
        history.close()
        again = opened(path, disk)
        again.state.recent[2] = jobs[1]
        names = sorted(path.rglob("*"))
        with pytest.raises(OSError, match="a journal also has these jobs"):
            run_steps(archiver.restore(again.segments, again.archives, 1, 3))
        assert sorted(path.rglob("*")) == names


class TestSealing:
    def test_manifest_of_unknown_durability_ends_all_writing(self, tmp_path: Path) -> None:
        class Failing(Disk):
            fails = is_armed = False

            def sync_directory(self, path: Path) -> None:
                if self.fails:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                super().sync_directory(path)

            def rename(self, before: Path, after: Path) -> None:
                super().rename(before, after)
                self.fails = self.is_armed and after.name == "MANIFEST.json"

        disk = Failing()
        history = History.open(tmp_path / "history", disk=disk, limits=OPEN)
        history.commit(made_jobs.ended(history.new_id(), random.Random(1))).result()
        writing = history._open_writer
        request = writing.store.rotate()
        disk.is_armed = True
        writing._run_seal(request)
        assert history.health is Health.READ_ONLY
        history.close()

    def test_failed_history_is_not_sealed_again(self, tmp_path: Path) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        writing = history._open_writer
        before = sorted((tmp_path / "history").glob("journal-*"))
        writing.store.fail(OSError(errno.EIO, "lost"))
        with writing.store.changes.archive_lock, pytest.raises(StoreFailed):
            writing._rotate_again()
        assert sorted((tmp_path / "history").glob("journal-*")) == before
        history.close()

    def test_part_of_an_archive_of_two_segments_returns(self, tmp_path: Path) -> None:
        path, rng, jobs = tmp_path / "history", random.Random(1), {}
        for _ in range(2):
            history = History.open(path, limits=Limits(journal=1 << 20, leftover=0, blanks=512))
            made = [made_jobs.ended(history.new_id(), rng) for _ in range(5)]
            jobs |= {job.id: job for job in made}
            history.commit(*made).result()
            history.close()
        history = History.open(path, limits=OPEN)
        history.archive(1, 10).result()
        (later,) = (file for file in path.glob("archive/*/seg-*.jsonl") if b'"id":6,' in file.read_bytes())
        inode = later.stat().st_ino
        # of the first segment a part stays, of the second one all: it is linked, and not written again
        assert list(history.restore(4, 5).result().ids) == [4, 5]
        assert inode in {file.stat().st_ino for file in path.glob("archive/*/seg-*.jsonl")}
        assert list(history.restore(1, 3).result().ids) == [1, 2, 3]
        assert len(list(path.glob("archive/*/seg-*.jsonl"))) == 1
        history.close()
        assert verifying.verify(path) == []
        again = History.open(path, write=False)
        assert [again.get(job_id) for job_id in range(1, 6)] == [jobs[job_id] for job_id in range(1, 6)]
        assert all(again.is_archived(job_id) for job_id in range(6, 11))
        again.close()


class TestLock:
    def test_reader_opens_it_once(self, sealed: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        opened_paths, open_file = [], Disk.open

        def opening(disk: Disk, path: Path) -> int:
            opened_paths.append(path)
            return open_file(disk, path)

        monkeypatch.setattr(Disk, "open", opening)
        watcher = WriterWatcher(Disk(), sealed.path)
        assert watcher.read_raw() == watcher.read_raw() != b""
        assert len(opened_paths) == 1
        watcher.close()

    def test_history_of_another_user_is_not_written(
        self, sealed: Made, copied: Copied, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = copied(sealed)
        monkeypatch.setattr(locks, "foreign_owner", lambda directory: "it belongs to another user")
        with pytest.raises(StoreError, match="cannot be written: it belongs to another user"):
            History.open(path)


class RefusedThread(threading.Thread):
    """A thread that cannot be started if it is for maintenance."""

    def start(self) -> None:
        if self.name == "history-maintenance":
            raise RuntimeError("can't start new thread")
        super().start()


class TestThreads:
    """If no thread can be started for maintenance, it is postponed; the writer continues."""

    def test_journal_is_sealed_later(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        history, rng = History.open(tmp_path / "history", limits=Limits(2000, 0, 512)), random.Random(5)
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Thread", RefusedThread)
            for _ in range(20):
                history.commit(made_jobs.ended(history.new_id(), rng)).result(30)
            assert any("sealing was postponed" in note.what for note in history.notes)
        for _ in range(20):
            history.commit(made_jobs.ended(history.new_id(), rng)).result(30)
        history.close()
        assert list((tmp_path / "history").glob("seg-*.jsonl"))
        history = History.open(tmp_path / "history", write=False)
        assert sum(history.counts().values()) == 40
        history.close()

    def test_request_to_archive_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        history, rng = History.open(tmp_path / "history", limits=OPEN), random.Random(5)
        job = made_jobs.ended(history.new_id(), rng)
        history.commit(job).result(30)
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Thread", RefusedThread)
            with pytest.raises(
                StoreError, match="not archived, and nothing was changed: can't start new thread"
            ):
                history.archive(1, 1).result(30)
        assert history.archive(1, 1).result(30).ids[0] == 1
        history.close()
