"""A reader during writing: batches that fail or are incomplete are read later, and never in part."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobtui.history.format.disk import Disk
from jobtui.history.read.reader import HistoryReader
from jobtui.history.work_steps import run_steps
from jobtui.history.write.store import Limits, Store
from jobtui.model import Job
from tests.support import made_jobs
from tests.support.power_loss import jobs_of

ROOMY = Limits(journal=1 << 20, leftover=1 << 20, blanks=512)


class _Hooked(Disk):
    """A real disk that does something of the test's before a file is opened, or the journal is synced."""

    def __init__(self) -> None:
        self.before_open: Callable[[str], None] = lambda name: None
        self.before_sync: Callable[[], None] = lambda: None

    def open(self, path: Path) -> int:
        self.before_open(path.name)
        return super().open(path)

    def sync_data(self, file: int) -> None:
        self.before_sync()
        super().sync_data(file)


@pytest.fixture
def disk() -> _Hooked:
    return _Hooked()


@pytest.fixture
def jobs() -> dict[int, Job]:
    return {job_id: made_jobs.ended(job_id, random.Random(job_id)) for job_id in range(1, 31)}


@pytest.fixture
def store(tmp_path: Path, disk: _Hooked, jobs: dict[int, Job]) -> Iterator[Store]:
    """A writer whose jobs 1 to 30 are all sealed."""
    store = Store.open(disk, tmp_path, ROOMY)
    _write(store, *jobs.values())
    run_steps(store.segments.seal(store.rotate()))
    yield store
    disk.before_open, disk.before_sync = lambda name: None, lambda: None
    store.close()


@pytest.fixture
def reader(tmp_path: Path, disk: _Hooked, store: Store) -> Iterator[HistoryReader]:
    reader = HistoryReader(disk, tmp_path)
    yield reader
    reader.close()


def _write(store: Store, *jobs: Job) -> None:
    assert store.write([jobs]) == [None]
    store.write_status()


def _changes(jobs: dict[int, Job]) -> list[Job]:
    """A change to a sealed job, between two new jobs."""
    rng = random.Random(7)
    new = [made_jobs.submitted(job_id, rng) for job_id in (31, 32)]
    return [new[0], made_jobs.moved_on(jobs[5], rng), new[1]]


def _failing(kind: str) -> Callable[[str], None]:
    def fail(name: str) -> None:
        if name.startswith(kind):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    return fail


def _counted(reader: HistoryReader) -> int:
    return sum(reader.state.counts.values())


def test_unreadable_changes_appear_once_they_can_be_read(
    store: Store, reader: HistoryReader, disk: _Hooked, jobs: dict[int, Job]
) -> None:
    changed = _changes(jobs)
    _write(store, *changed)
    disk.before_open = _failing("seg-")
    for _ in range(2):
        with pytest.raises(OSError, match="Too many open files"):
            reader.refresh()
        assert not reader.state.recent
    disk.before_open = lambda name: None
    assert reader.refresh()
    assert jobs_of(reader.state) == jobs | {job.id: job for job in changed}
    assert not reader.refresh()


def test_manifest_is_read_again_after_a_journal_error(
    store: Store, reader: HistoryReader, disk: _Hooked, jobs: dict[int, Job]
) -> None:
    changed = _changes(jobs)
    _write(store, *changed)
    run_steps(store.segments.seal(store.rotate()))
    disk.before_open = _failing("journal-")
    with pytest.raises(OSError, match="Too many open files"):
        reader.refresh()
    disk.before_open = lambda name: None
    assert reader.refresh()
    assert jobs_of(reader.state) == jobs | {job.id: job for job in changed}


def test_reading_blocks_no_other_reader(
    store: Store, reader: HistoryReader, disk: _Hooked, jobs: dict[int, Job]
) -> None:
    free: list[bool] = []

    def look() -> None:
        free.append(reader.state.mutex.acquire(blocking=False))
        if free[-1]:
            reader.state.mutex.release()

    def look_from_elsewhere(name: str) -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    _write(store, *_changes(jobs))
    disk.before_open = look_from_elsewhere
    assert reader.refresh()
    assert len(free) > 1
    assert all(free)


def test_restated_journal_replaces_the_one_before(
    store: Store, reader: HistoryReader, disk: _Hooked, jobs: dict[int, Job]
) -> None:
    changed = _changes(jobs)
    _write(store, *changed)
    assert reader.refresh()

    def fail_once() -> None:
        disk.before_sync = lambda: None
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.before_sync = fail_once
    later = [made_jobs.moved_on(job, random.Random(3)) for job in (*changed, jobs[9])]
    _write(store, *later)
    assert reader.refresh()
    assert jobs_of(reader.state) == jobs | {job.id: job for job in later}
    assert _counted(reader) == 32
    assert reader.quarantine.notes == ()


def test_unconfirmed_changes_are_hidden_without_a_status(
    tmp_path: Path, store: Store, reader: HistoryReader, disk: _Hooked, jobs: dict[int, Job]
) -> None:
    known = made_jobs.submitted(31, random.Random(1))
    _write(store, known)
    assert reader.refresh()
    seen: list[dict[int, Job]] = []
    late: list[HistoryReader] = []

    def look() -> None:
        (tmp_path / "LOCK").write_bytes(b'{"crc":"torn')
        reader.refresh()
        late.append(HistoryReader(disk, tmp_path))
        seen.extend((jobs_of(reader.state), jobs_of(late[0].state)))

    disk.before_sync = look
    changed = made_jobs.moved_on(jobs[5], random.Random(1))
    _write(store, changed)
    assert seen == [jobs | {31: known}, jobs]
    for each in (reader, *late):
        assert each.refresh()
        assert jobs_of(each.state) == jobs | {31: known, 5: changed}
    late[0].close()


def test_new_job_does_not_wait_for_archiving(store: Store) -> None:
    new = made_jobs.submitted(31, random.Random(1))
    with ThreadPoolExecutor() as threads:
        store.changes.archive_lock.acquire()
        try:
            assert threads.submit(store.write, [[new]]).result(10) == [None]
        finally:
            store.changes.archive_lock.release()
    assert store.state.live == {31: new}
