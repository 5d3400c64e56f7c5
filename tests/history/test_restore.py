"""Archived jobs restored to the history, all or some, also on failing disks."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from jobtui.history import History, Query, StoreError, StoreTooNew
from jobtui.history.format.codec import frame_line
from jobtui.history.format.disk import Disk
from jobtui.history.verify import verify
from jobtui.model import Job, Status
from tests.support import made_jobs
from tests.support.damaged import OPEN, held


def filled(path: Path, disk: Disk | None = None) -> tuple[History, dict[int, Job]]:
    """A history of 30 jobs; 1 to 10 and 15 to 20 are in two archives."""
    history, rng = History.open(path, disk=disk, limits=OPEN), random.Random(4)
    jobs = {job.id: job for job in (made_jobs.ended(history.new_id(), rng) for _ in range(30))}
    history.commit(*jobs.values()).result()
    history.archive(1, 10).result()
    history.archive(15, 20).result()
    return history, jobs


def ids(history: History, *, archived: bool) -> list[int]:
    view = history.query(Query(archived=archived))
    return view.ids(0, len(view))


def without(*gone: Iterable[int]) -> list[int]:
    return sorted(set(range(1, 31)).difference(*gone))


class TestRestore:
    def test_archive_without_these_jobs_is_neither_read_nor_written(self, tmp_path: Path) -> None:
        history, _ = filled(tmp_path / "history")
        history.restore(4, 6).result()
        archive = tmp_path / "history" / "archive"
        names = sorted(archive.rglob("*"))
        assert list(history.restore(4, 6).result().ids) == []  # 1 to 10 are still its first and its last
        assert sorted(archive.rglob("*")) == names
        other = min(archive.glob("jobs-15-20-*"))
        for file in other.glob("seg-*"):
            file.unlink()
        assert list(history.restore(1, 10).result().ids) == [1, 2, 3, 7, 8, 9, 10]
        history.close()

    def test_archive_of_a_newer_version_stops_it_without_a_trace(self, tmp_path: Path) -> None:
        history, jobs = filled(tmp_path / "history")
        history.close()
        newer = next((tmp_path / "history" / "archive").glob("jobs-15-20-*")) / "ARCHIVE.json"
        newer.write_bytes(frame_line(b'{"schema":99,"segments":[]}'))
        history = History.open(tmp_path / "history", limits=OPEN)
        before = sorted((tmp_path / "history").rglob("*/*"))
        sealed = sorted((tmp_path / "history").glob("seg-*"))
        with pytest.raises(StoreTooNew):
            history.restore(5, 16).result()
        assert sorted((tmp_path / "history").rglob("*/*")) == before
        assert sorted((tmp_path / "history").glob("seg-*")) == sealed
        assert history.get_archived(5) == jobs[5]
        history.close()

    @pytest.mark.parametrize(
        ("first", "last", "archived"),
        [
            (1, 10, [*range(15, 21)]),
            (4, 6, [1, 2, 3, 7, 8, 9, 10, *range(15, 21)]),
            (0, 99, []),
            (9, 16, [*range(1, 9), *range(17, 21)]),
            (11, 14, [*range(1, 11), *range(15, 21)]),
        ],
    )
    def test_range_returns_and_the_others_stay(
        self, first: int, last: int, archived: list[int], tmp_path: Path
    ) -> None:
        history, jobs = filled(tmp_path / "history")
        found = history.restore(first, last).result()
        returned = [job_id for job_id in (*range(1, 11), *range(15, 21)) if job_id not in archived]
        assert list(found.ids) == returned
        assert found.tasks == sum(len(jobs[job_id].tasks) for job_id in returned)
        assert ids(history, archived=True) == archived
        assert sum(history.counts().values()) == 30 - len(archived)
        for job_id in returned:
            assert history.get(job_id) == jobs[job_id]
            assert not history.is_archived(job_id)
        history.close()
        assert verify(tmp_path / "history") == []
        assert held(tmp_path / "history") == (
            {job_id: job for job_id, job in jobs.items() if job_id not in archived},
            archived,
        )

    def test_archived_and_restored_again(self, tmp_path: Path) -> None:
        history, _ = filled(tmp_path / "history")
        for _ in range(3):
            history.restore(5, 5).result()
            assert list(history.archive(5, 5).result().ids) == [5]
        assert ids(history, archived=False) == without(range(1, 11), range(15, 21))
        history.restore(1, 30).result()
        assert ids(history, archived=False) == without()
        history.close()
        assert verify(tmp_path / "history") == []
        assert [archive.name for archive in (tmp_path / "history" / "archive").iterdir()] == []

    def test_restored_job_can_change(self, tmp_path: Path) -> None:
        history, jobs = filled(tmp_path / "history")
        changed = made_jobs.replace(jobs[3], reason="amended")
        with pytest.raises(StoreError, match="Job 3 is archived"):
            history.commit(changed).result()
        history.restore(3, 3).result()
        history.commit(changed).result()
        history.close()
        history = History.open(tmp_path / "history")
        assert history.get(3) == changed
        history.close()
        assert verify(tmp_path / "history") == []

    def test_reader_follows(self, tmp_path: Path) -> None:
        history, jobs = filled(tmp_path / "history")
        reader = History.open(tmp_path / "history", write=False)
        before = reader.query(Query(archived=True))
        assert [job.id for job in before.page(0, 3)] == [1, 2, 3]
        history.restore(2, 3).result()
        # the files that the reader knows are gone
        assert [job.id for job in before.page(0, 4)] == [1, 4]
        reader.refresh()
        assert reader.get(2) == jobs[2]
        assert ids(reader, archived=True) == [1, *range(4, 11), *range(15, 21)]
        assert reader.notes == ()
        reader.close()
        history.close()

    def test_failed_job_can_be_recovered_again(self, tmp_path: Path) -> None:
        history, rng = History.open(tmp_path / "history", limits=OPEN), random.Random(1)
        job = made_jobs.replace(made_jobs.ended(history.new_id(), rng), status=Status.FAILED)
        history.commit(job).result()
        history.archive(1, 1).result()
        assert history.unrecovered() == []
        history.restore(1, 1).result()
        assert history.unrecovered() == [1]
        history.close()


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"cut"), Path.unlink])
def test_damaged_archive_is_not_restored(damage: Callable[[Path], object], tmp_path: Path) -> None:
    history, _ = filled(tmp_path / "history")
    file = next((tmp_path / "history").glob("archive/jobs-1-10-*/seg-*.jsonl"))
    damage(file)
    before = sorted(path.name for path in file.parent.iterdir())
    failed = history.restore(3, 3).exception()
    assert isinstance(failed, StoreError)
    assert "were not restored, and nothing was changed" in str(failed)
    assert sorted(path.name for path in file.parent.iterdir()) == before
    assert ids(history, archived=False) == without(range(1, 11), range(15, 21))
    history.close()


class FailingAt(Disk):
    """A disk whose given step fails once it is armed: a file that is made, a sync, a rename."""

    def __init__(self) -> None:
        self.left = -1

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def create_with(self, path: Path, pieces: Sequence[bytes], *, sync: bool = True) -> None:
        self._step()
        super().create_with(path, pieces, sync=sync)

    def link(self, existing: Path, name: Path) -> None:
        self._step()
        super().link(existing, name)

    def sync_directory(self, path: Path) -> None:
        self._step()
        super().sync_directory(path)

    def write_atomically(self, path: Path, data: bytes) -> None:
        self._step()
        super().write_atomically(path, data)


class TestDiskThatFails:
    @pytest.mark.parametrize("step", range(1, 15))
    def test_nothing_has_changed(self, step: int, tmp_path: Path) -> None:
        path, disk = tmp_path / "history", FailingAt()
        history, jobs = filled(path, disk)
        archived = ids(history, archived=True)
        disk.left = step
        failed = history.restore(9, 16).exception()
        disk.left = -1
        if failed is not None:
            assert "were not restored, and nothing was changed" in str(failed)
            assert ids(history, archived=True) == archived
            assert verify(path) == []
        history.restore(9, 16).result()
        history.close()
        assert verify(path) == []
        assert held(path)[1] == [*range(1, 9), *range(17, 21)]
        assert held(path)[0] == {job_id: jobs[job_id] for job_id in held(path)[0]}


class TestWhatACrashLeaves:
    def test_emptied_archive_is_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        history, _ = filled(path)
        old = next(path.glob("archive/jobs-1-10-*"))
        history.restore(4, 6).result()
        history.close()
        self._put_back(path, old.name)
        History.open(path).close()
        assert not old.exists()
        assert verify(path) == []

    def test_file_with_the_only_copy_of_a_job_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        history, _ = filled(path)
        old = next(path.glob("archive/jobs-1-10-*"))
        history.restore(4, 6).result()
        history.close()
        self._put_back(path, old.name, jobs=31)
        History.open(path).close()
        assert old.exists()

    def test_it_stays_if_it_cannot_be_compared(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        history, _ = filled(path)
        old = next(path.glob("archive/jobs-1-10-*"))
        history.restore(4, 6).result()
        history.close()
        self._put_back(path, old.name)
        for file in path.glob("seg-*.jsonl"):
            file.unlink()
        History.open(path).close()
        assert old.exists()

    def test_foreign_file_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        history, _ = filled(path)
        (next(path.glob("archive/jobs-1-10-*")) / "mine.txt").write_text("mine")
        history.restore(4, 6).result()
        history.close()
        assert [archive.read_text() for archive in path.glob("archive/*/mine.txt")] == ["mine"]
        assert verify(path) == []

    @staticmethod
    def _put_back(path: Path, name: str, jobs: int = 30) -> None:
        """Make the archive again as it was before the restore, with the mark that this left in it."""
        other = path.parent / "other"
        history, rng = History.open(other, limits=OPEN), random.Random(4)
        made = [made_jobs.ended(history.new_id(), rng) for _ in range(jobs)]
        if jobs > 30:
            made[0] = made_jobs.replace(made[0], reason="of another history")
        history.commit(*made).result()
        history.archive(1, 10).result()
        history.close()
        shutil.copytree(next(other.glob("archive/jobs-1-10-*")), path / "archive" / name)
        (path / "archive" / name / "RESTORED").touch()
