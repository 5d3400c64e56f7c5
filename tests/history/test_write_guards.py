"""Guards of the writing side: each has a test that fails without it."""

from __future__ import annotations

import errno
import io
import os
import random
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobtui.history import Health, History, StoreError, StoreFailed
from jobtui.history import verify as verifying
from jobtui.history.export import export
from jobtui.history.format.disk import Disk
from jobtui.history.format.quarantine import DamageNote
from jobtui.history.repair import repair
from jobtui.history.steps import run_steps
from jobtui.history.write import archiver, store
from jobtui.history.write.archiver import link_or_copy
from jobtui.history.write.store import Limits, Store
from jobtui.model import Job
from tests.support import made_jobs
from tests.support.damaged import OPEN, Made, archive_of
from tests.support.made_jobs import replace

Copied = Callable[[Made], Path]


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


class NotingLock:
    """A lock that reports when a thread must wait for it."""

    def __init__(self) -> None:
        self.is_wanted = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if self._lock.locked():
            self.is_wanted.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def ends_or_waits(work: Callable[[], None], lock: NotingLock) -> threading.Thread:
    """Run the work in a thread until it waits for the lock, or has ended."""

    def run() -> None:
        work()
        lock.is_wanted.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert lock.is_wanted.wait(30)
    return thread


class TestClosing:
    """By another thread, at the worst moment of a commit: it is written, or refused."""

    def test_while_a_commit_is_queued(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        writing, lock, threads = history._writing, NotingLock(), []

        class Slow(deque[Any]):
            def append(self, request: object) -> None:
                if not threads:
                    threads.append(ends_or_waits(history.close, lock))
                super().append(request)

        monkeypatch.setattr(writing, "_queue_lock", lock)
        monkeypatch.setattr(writing, "_queue", Slow())
        job = made_jobs.submitted(history.new_id(), random.Random(1))
        history.commit(job).result(30)
        threads[0].join(30)
        assert Store.open(Disk(), tmp_path / "history", OPEN).state.recent == {job.id: job}


class TestArchive:
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


class TestRepairAndRead:
    def test_manifest_of_an_intact_archive_stays(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        contents = archive_of(path) / "ARCHIVE.json"
        before = contents.stat().st_ino
        segment = min(path.glob("seg-*.jsonl"))
        segment.write_bytes(segment.read_bytes().replace(b'"status":"', b'"stat\0s":"', 1))
        assert repair(path)
        assert contents.stat().st_ino == before

    def test_history_that_cannot_be_read_is_not_called_intact(
        self, sealed: Made, copied: Copied, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreadable(disk: Disk, path: Path) -> list[DamageNote]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(verifying, "_damage_in", unreadable)
        with pytest.raises(StoreError, match="Too many open files"):
            verifying.verify(copied(sealed))

    def test_writer_has_nothing_to_refresh(self, tmp_path: Path) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        assert history.refresh() is False
        history.close()

    def test_unknown_format_is_refused(self, sealed: Made, copied: Copied) -> None:
        with pytest.raises(ValueError, match="xml"):
            export(copied(sealed), io.StringIO(), "xml")
