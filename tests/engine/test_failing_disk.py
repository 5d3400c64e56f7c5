"""The engine when the history's disk is full or fails: statuses stay true, and it resumes by itself."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from jobtui.engine.control import JobCount
from jobtui.engine.jobs import Edit, Transaction
from jobtui.history import History, StoreError, StoreFull
from jobtui.history.format.disk import Disk
from jobtui.history.format.journal import Journal
from jobtui.model import Job, Status
from tests.support.disks import DiskFault
from tests.support.engines import WAIT, Bench, open_bench
from tests.support.scripted import ScriptedStorage


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> DiskFault:
    return DiskFault(monkeypatch)


@pytest.fixture
def solo(tmp_path: Path, fault: DiskFault) -> Iterator[Bench]:
    with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
        yield bench


def test_statement_that_cannot_be_committed_starts_nothing(solo: Bench, fault: DiskFault) -> None:
    fault.on_write = errno.ENOSPC
    refusal = solo.refusal("ADMIN COMPACT solo")
    assert "full" in refusal
    assert solo.rows("SHOW JOBS") == []
    assert not solo.storage.begun
    assert solo.engine.write_error
    assert solo.engine.write_error in solo.events.notices


def test_engine_resumes_by_itself_after_a_full_disk(solo: Bench, fault: DiskFault) -> None:
    fault.on_write = errno.ENOSPC
    solo.refusal("ADMIN COMPACT solo")
    fault.on_write = 0
    solo.clock.pass_by(2)
    solo.events.wait_for(lambda: any("can be written again" in text for text in solo.events.notices))
    assert solo.engine.write_error == ""
    solo.execute("ADMIN COMPACT solo")
    solo.storage.operation("solo", "far").finish()
    solo.engine.wait_idle().result(WAIT)
    assert [row[2] for row in solo.rows("SHOW JOBS")] == ["finished"]


def test_engine_resumes_each_time_the_disk_was_full(solo: Bench, fault: DiskFault) -> None:
    for times in (1, 2):
        fault.on_write = errno.ENOSPC
        assert "full" in solo.refusal("ADMIN COMPACT solo")
        fault.on_write = 0
        solo.clock.pass_by(2)
        solo.events.wait_for(
            lambda times=times: sum("can be written again" in text for text in solo.events.notices) == times
        )
    assert solo.engine.write_error == ""
    assert len(solo.rows("ADMIN COMPACT solo")) == 1


def test_job_end_is_recorded_once_a_full_disk_has_room(solo: Bench, fault: DiskFault, tmp_path: Path) -> None:
    solo.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
    operation = solo.storage.operation("solo", "far")
    fault.on_write = errno.ENOSPC
    operation.finish()
    solo.events.wait_for(lambda: solo.engine.write_error)
    assert solo.job(1).status is Status.RUNNING
    assert "full" in solo.refusal("STOP JOB 2")
    assert len(solo.storage.begun) == 1
    fault.on_write = 0
    solo.clock.pass_by(2)
    solo.events.until(1, Status.FINISHED)
    solo.storage.operation("solo", "far", 1).finish()
    solo.events.until(2, Status.FINISHED)
    reader = History.open(tmp_path / "history", write=False)
    assert [job and job.status for job in (reader.get(1), reader.get(2))] == [Status.FINISHED] * 2
    reader.close()


@pytest.fixture
def no_more_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While set, the history's file cannot grow: what is left are the blanks that were written ahead."""
    full = threading.Event()
    make_room, create = Journal.reserve, Disk.create

    def grow(journal: Journal, size: int) -> bool:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return make_room(journal, size)

    def new(disk: Disk, path: Path) -> int:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return create(disk, path)

    monkeypatch.setattr(Journal, "reserve", grow)
    monkeypatch.setattr(Disk, "create", new)
    return full


def test_full_disk_allows_stops_and_ends_but_no_new_job(solo: Bench, no_more_room: threading.Event) -> None:
    solo.execute("ADMIN COMPACT solo; ADMIN FLUSH solo; ADMIN FLUSH solo")
    no_more_room.set()
    assert "full" in solo.refusal("ADMIN COMPACT solo")
    assert solo.rows("STOP JOB 2") == [("stop 1 jobs 1 tasks",)]
    solo.storage.operation("solo", "far").finish()
    solo.events.until(1, Status.FINISHED)
    solo.engine.call(_nothing()).result(WAIT)
    assert "full" in solo.engine.write_error
    assert solo.job(3).status is Status.QUEUE
    assert not [text for text in solo.events.notices if "can be written again" in text]
    no_more_room.clear()
    solo.clock.pass_by(2)
    solo.storage.operation("solo", "far", 1).finish()
    solo.events.until(3, Status.FINISHED)
    assert solo.engine.write_error == ""


def a_new_job(solo: Bench) -> Edit:
    """A change that needs more room than a known job's."""
    return lambda transaction: [Job(transaction.new_id(), "flush", "solo", solo.clock.now(), events=())]


def at_once(solo: Bench, *work: Coroutine[Any, Any, object]) -> list[object]:
    """What these come to, which are begun in one turn of the engine's loop and go into one commit."""

    async def together() -> list[object]:
        return await asyncio.gather(*work, return_exceptions=True)

    return solo.engine.call(together()).result(WAIT)


def test_rejected_new_job_does_not_lose_a_stop_or_an_end(solo: Bench, no_more_room: threading.Event) -> None:
    solo.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
    operation = solo.storage.operation("solo", "far")
    no_more_room.set()
    store, dispatcher = solo.engine.engine.store, solo.engine.engine.dispatcher
    submitted, stopped = at_once(solo, store.update(a_new_job(solo)), dispatcher.stop([2]))
    assert isinstance(submitted, StoreFull)
    assert stopped == JobCount(1, 1)
    operation.finish()
    solo.events.until(1, Status.FINISHED)


def test_change_that_waits_for_space_does_not_delay_smaller_ones(
    solo: Bench, no_more_room: threading.Event
) -> None:
    solo.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
    operation = solo.storage.operation("solo", "far")
    no_more_room.set()
    waits = solo.engine.call(solo.engine.engine.store.update(a_new_job(solo), must_persist=True))
    solo.events.wait_for(lambda: solo.engine.write_error)
    assert solo.rows("STOP JOB 2") == [("stop 1 jobs 1 tasks",)]
    operation.finish()
    solo.events.until(1, Status.FINISHED)
    assert not waits.done()
    no_more_room.clear()
    solo.clock.pass_by(2)
    (job,) = waits.result(WAIT)
    assert solo.job(job.id).status is Status.QUEUE


def test_unwritable_record_loses_no_other_jobs_end(solo: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    solo.execute("ADMIN COMPACT solo")
    commit = solo.engine.history.commit

    def picky(*jobs: Job) -> Future[None]:
        if all(job.id == 1 for job in jobs):
            return commit(*jobs)
        refused: Future[None] = Future()
        refused.set_exception(StoreError("The history cannot be read: Input/output error"))
        return refused

    monkeypatch.setattr(solo.engine.history, "commit", picky)

    def noted(transaction: Transaction) -> Sequence[Job]:
        job = transaction.get(1)
        assert job is not None
        return [job]

    store = solo.engine.engine.store
    known, published, answers = at_once(
        solo,
        store.update(noted, must_persist=True),
        store.update(a_new_job(solo), must_persist=True),
        store.update(a_new_job(solo)),
    )
    assert known == [solo.job(1)]
    assert "cannot be read" in str(published)
    assert "cannot be read" in str(answers)
    solo.storage.operation("solo", "far").finish()
    solo.events.until(1, Status.FINISHED)


def test_failing_callback_is_reported_and_others_are_called(solo: Bench) -> None:
    def fails(jobs: Sequence[Job], error: Exception | None) -> None:
        raise ValueError("an error of the caller")

    async def put() -> Sequence[Job]:
        store = solo.engine.engine.store
        store.update_nowait(a_new_job(solo), fails)
        return await store.update(a_new_job(solo))

    assert solo.engine.call(put()).result(WAIT)
    solo.events.wait_for(lambda: any("an error of the caller" in text for text in solo.events.notices))


def test_edit_during_a_commit_sees_its_result(solo: Bench) -> None:
    """A refused asker that asks again at once must not write a second commit over the first."""
    solo.execute("ADMIN COMPACT solo")
    solo.storage.operation("solo", "far")
    seen: list[bool] = []

    def refused(transaction: Transaction) -> Sequence[Job]:
        raise ValueError("no")

    def look(transaction: Transaction) -> Sequence[Job]:
        job = transaction.get(1)
        seen.append(job is not None and job.stopping)
        return []

    async def put() -> None:
        store = solo.engine.engine.store
        store.update_nowait(refused, lambda jobs, error: store.update_nowait(look, lambda jobs, error: None))
        await solo.engine.engine.dispatcher.stop([1])
        while not seen:
            await store.update(lambda transaction: [])

    solo.engine.call(put()).result(WAIT)
    assert seen == [True]


def test_disk_failure_while_checking_for_space_is_reported(solo: Bench, fault: DiskFault) -> None:
    solo.execute("ADMIN COMPACT solo")
    operation = solo.storage.operation("solo", "far")
    fault.on_write = errno.ENOSPC
    operation.finish()
    solo.events.wait_for(lambda: "full" in solo.engine.write_error)
    fault.on_write = errno.EIO
    solo.clock.pass_by(2)
    solo.events.wait_for(lambda: any("can no longer be written" in text for text in solo.events.notices))
    assert solo.engine.wait_ended([1]).result(WAIT)[0].status is Status.RUNNING
    assert "can no longer be written" in solo.refusal("ADMIN FLUSH solo")


def test_unrecoverable_sync_failure_makes_history_read_only(
    solo: Bench, fault: DiskFault, tmp_path: Path
) -> None:
    solo.execute("ADMIN COMPACT solo")
    operation = solo.storage.operation("solo", "far")
    fault.on_sync = fault.on_write = errno.EIO
    operation.finish()
    solo.events.wait_for(lambda: any("could not be written" in text for text in solo.events.notices))
    fault.on_sync = fault.on_write = 0
    assert solo.job(1).status is Status.RUNNING
    assert solo.engine.wait_ended([1]).result(WAIT)[0].status is Status.RUNNING
    assert solo.refusal("ADMIN FLUSH solo")
    assert solo.rows("SHOW JOBS")


def test_deleted_history_directory_is_reported_and_starts_none(solo: Bench, tmp_path: Path) -> None:
    solo.execute("ADMIN COMPACT solo")
    operation = solo.storage.operation("solo", "far")
    (tmp_path / "history").rename(tmp_path / "elsewhere")
    assert "deleted, moved or unmounted" in solo.refusal("ADMIN FLUSH solo")
    operation.finish()
    assert solo.engine.wait_ended([1]).result(WAIT)[0].status is Status.RUNNING
    assert len(solo.storage.begun) == 1
    assert any("put it back, and start jobtui again" in text for text in solo.events.notices)
    assert "put it back" in solo.engine.write_error


def test_broken_history_ends_the_wait_for_queued_jobs(solo: Bench, fault: DiskFault) -> None:
    solo.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
    operation = solo.storage.operation("solo", "far")
    fault.on_sync = fault.on_write = errno.EIO
    operation.finish()
    ended = solo.engine.wait_ended([1, 2]).result(WAIT)
    fault.on_sync = fault.on_write = 0
    assert [job.status for job in ended] == [Status.RUNNING, Status.QUEUE]
    solo.engine.wait_idle().result(WAIT)
    solo.engine.stop_jobs().result(WAIT)


def test_statement_behind_a_failing_commit_is_answered(
    solo: Bench, fault: DiskFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    solo.execute("ADMIN COMPACT solo")
    operation = solo.storage.operation("solo", "far")
    inside, go_on = threading.Event(), threading.Event()

    def slow(disk: Disk, *arguments: object) -> None:
        inside.set()
        assert go_on.wait(WAIT)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Disk, "write", slow)
    operation.finish()
    assert inside.wait(WAIT)
    answer = solo.engine.execute("ADMIN FLUSH solo", solo.session)
    solo.engine.call(_nothing()).result(WAIT)
    go_on.set()
    failure = answer.result(WAIT).failure
    assert failure is not None
    assert "full" in failure.message


async def _nothing() -> None: ...


def test_failed_sync_of_one_file_is_repaired_in_another(
    solo: Bench, fault: DiskFault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.on_sync = 0
    original = Disk.sync_data
    failed = []

    def once(disk: Disk, file: int) -> None:
        if not failed:
            failed.append(file)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        original(disk, file)

    monkeypatch.setattr(Disk, "sync_data", once)
    assert solo.rows("ADMIN COMPACT solo") == [("1",)]
    solo.storage.operation("solo", "far").finish()
    solo.events.until(1, Status.FINISHED)
    assert failed
