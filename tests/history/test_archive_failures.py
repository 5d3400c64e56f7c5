"""Failed syncs at every step of archiving and sealing: each job is there once."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobtui.history import History, Query, StoreError
from jobtui.history.format import state
from jobtui.history.format.disk import Disk
from jobtui.history.read import reader
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from jobtui.model import Job
from tests.support import made_jobs
from tests.support.damaged import OPEN

ARCHIVED = [*range(1, 11)]


class FailingMeanwhile(Disk):
    """At the given step of the archiving thread, another thread commits, and the sync of that fails."""

    def __init__(self, at: int) -> None:
        self.left, self.is_failing, self.error = at, False, errno.EIO
        self.history: History | None = None
        self.job: Job | None = None

    def _step(self) -> None:
        if threading.current_thread().name != "history-maintenance" or self.history is None:
            return
        self.left -= 1  # first: the commit is written by this very thread
        if self.left == -1:
            self.is_failing = True
            self.job = made_jobs.submitted(self.history.new_id(), random.Random(1))
            self.history.commit(self.job).result()

    def sync_data(self, file: int) -> None:
        if self.is_failing:
            self.is_failing = False
            raise OSError(self.error, os.strerror(self.error))
        super().sync_data(file)

    def create(self, path: Path) -> int:
        self._step()
        return super().create(path)

    def sync(self, file: int) -> None:
        self._step()
        super().sync(file)
        self._step()

    def rename(self, before: Path, after: Path) -> None:
        self._step()
        super().rename(before, after)
        self._step()

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self._step()

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._step()


def filled(path: Path, disk: FailingMeanwhile) -> tuple[History, dict[int, Job]]:
    history, rng = History.open(path, disk=disk, limits=OPEN), random.Random(4)
    jobs = {job.id: job for job in (made_jobs.ended(history.new_id(), rng) for _ in range(15))}
    history.commit(*jobs.values()).result()
    disk.history = history
    return history, jobs


def listed(path: Path, *, archived: bool) -> list[Job]:
    history = History.open(path, write=False)
    view = history.query(Query(archived=archived))
    found = view.page(0, len(view))
    history.close()
    return found


class TestSyncThatFailsDuringArchiving:
    @pytest.mark.parametrize("step", range(30))
    def test_each_job_is_there_once(self, step: int, tmp_path: Path) -> None:
        path, disk = tmp_path / "history", FailingMeanwhile(step)
        history, jobs = filled(path, disk)
        assert list(history.archive(1, 10).result().ids) == ARCHIVED
        if disk.job is not None:
            jobs[disk.job.id] = disk.job
        history.close()
        assert verify(path) == []
        assert [job.id for job in listed(path, archived=True)] == ARCHIVED
        assert {job.id: job for job in listed(path, archived=False)} == {
            job_id: job for job_id, job in jobs.items() if job_id not in ARCHIVED
        }
        History.open(path).close()
        assert verify(path) == []

    @pytest.mark.parametrize("step", range(0, 30, 3))
    def test_later_archive_includes_newly_sealed_jobs(self, step: int, tmp_path: Path) -> None:
        path, disk = tmp_path / "history", FailingMeanwhile(step)
        history, _ = filled(path, disk)
        for first, last in ((99, 99), (1, 4), (5, 10)):
            history.archive(first, last).result()
        history.close()
        assert verify(path) == []
        assert [job.id for job in listed(path, archived=True)] == ARCHIVED

    def test_closing_meanwhile_ends(self, tmp_path: Path) -> None:
        path, disk = tmp_path / "history", FailingMeanwhile(0)
        history, _ = filled(path, disk)
        done = history.archive(1, 10)
        history.close()
        with contextlib.suppress(StoreError):
            done.result()
        assert verify(path) == []


@pytest.fixture
def doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history in which an older jobtui left jobs live and archived at once."""
    path, disk = tmp_path / "history", FailingMeanwhile(0)
    with monkeypatch.context() as patch:
        mark_sealed = state.State.mark_sealed
        patch.setattr(
            state.State,
            "mark_sealed",
            lambda self, jobs, segment, journal: mark_sealed(self, jobs, segment, self.restated_in),
        )
        history, _ = filled(path, disk)
        history.archive(1, 10).result()
        history.close()
    return path


class TestJobsThatAreLiveAndArchived:
    def test_verify_names_them(self, doubled: Path) -> None:
        notes = [note for note in verify(doubled) if "archived and also in the journal" in note.what]
        assert [note.jobs for note in notes] == [(job_id,) for job_id in ARCHIVED]

    def test_listed_once(self, doubled: Path) -> None:
        found = [job.id for archived in (False, True) for job in listed(doubled, archived=archived)]
        assert sorted(found) == [*range(1, 17)]

    @pytest.mark.parametrize("repair_or_open", [repair, lambda path: History.open(path).close()])
    def test_each_is_there_once_afterwards(self, repair_or_open: object, doubled: Path) -> None:
        repair_or_open(doubled)  # type: ignore[operator]  # a parameter of several types
        assert verify(doubled) == []
        assert [job.id for job in listed(doubled, archived=True)] == ARCHIVED
        assert [job.id for job in listed(doubled, archived=False)] == [*range(11, 17)]

    def test_would_be_listed_twice_otherwise(self, doubled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader, "_drop_archived_jobs", lambda archives, replay: None)
        found = [job.id for archived in (False, True) for job in listed(doubled, archived=archived)]
        assert len(found) > len(set(found))


class TestGuards:
    def test_unfinished_archive_is_removed_after_an_error(self, tmp_path: Path) -> None:
        class Failing(Disk):
            is_failing = False

            def create_with(self, path: Path, pieces: Sequence[bytes], *, sync: bool = True) -> None:
                if self.is_failing and path.name == "ARCHIVE.json":
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                super().create_with(path, pieces, sync=sync)

        disk = Failing()
        history = History.open(tmp_path / "history", disk=disk, limits=OPEN)
        rng = random.Random(1)
        history.commit(*(made_jobs.ended(history.new_id(), rng) for _ in range(9))).result()
        disk.is_failing = True
        with pytest.raises(StoreError, match="nothing was changed"):
            history.archive(1, 5).result()
        assert list((tmp_path / "history" / "archive").iterdir()) == []
        disk.is_failing = False
        assert list(history.archive(1, 5).result().ids) == [1, 2, 3, 4, 5]
        history.close()

    def test_new_ids_are_unique_between_threads(self, tmp_path: Path) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        lock = history._open_writer.store.state.mutex
        taken: list[int] = []
        with lock:
            thread = threading.Thread(target=lambda: taken.append(history.new_id()))
            thread.start()
            thread.join(0.2)  # it must not get one while another thread is at it
            assert taken == []
            first = history.new_id()
        thread.join()
        assert taken == [first + 1]
        history.close()

    def test_journal_of_a_writer_that_was_killed_is_not_reused(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        history = History.open(path, limits=OPEN)
        history.commit(made_jobs.submitted(history.new_id(), random.Random(1))).result()
        history.close()
        journal, lock = next(path.glob("journal-*")), path / "LOCK"
        lock.write_bytes(_unclosed(lock.read_bytes()))
        history = History.open(path, limits=OPEN)
        history.close()
        assert not journal.exists()

    def test_journal_that_was_closed_is_reused(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        for _ in range(2):
            History.open(path, limits=OPEN).close()
            journal = next(path.glob("journal-*"))
        assert journal.name == "journal-00000001.jsonl"


def _unclosed(data: bytes) -> bytes:
    from jobtui.history.format.codec import HEADER_SIZE, frame_line

    line = data.rstrip(b" ").removesuffix(b"\n")
    assert b'"closed":true' in line
    return frame_line(b"{" + line[HEADER_SIZE:].replace(b'"closed":true', b'"closed":false')).ljust(512)
