"""Reading during and after writing, and without any history."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobtui.history import History, Query, Sort, StoreError
from jobtui.history.format.disk import Disk
from jobtui.history.write.store import Limits
from jobtui.model import Job
from tests.support import made_jobs
from tests.support.history_writer import TOGETHER
from tests.support.waiting import eventually

SMALL = Limits(journal=20_000, leftover=10_000, blanks=4096)
ROOT = Path(__file__).parents[2]


def _jobs(history: History) -> dict[int, Job]:
    view = history.query(Query())
    return {job.id: job for job in view.page(0, len(view))}


def _sees(reader: History, job: Job) -> bool:
    reader.refresh()
    return reader.get(job.id) == job


@contextmanager
def _another_process(path: Path, seed: int = 1) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.history_writer", str(path), str(seed)]
    writer = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield writer
    finally:
        writer.kill()
        writer.communicate()


def test_reader_without_a_history_creates_nothing(tmp_path: Path) -> None:
    reader = History.open(tmp_path / "none" / "history", write=False)
    assert len(reader.query(Query())) == 0
    assert reader.live() == ()
    assert reader.last_id() == 0
    assert reader.get(1) is None
    assert not reader.refresh()
    assert list(tmp_path.iterdir()) == []
    reader.close()


def test_reader_sees_a_history_created_later(tmp_path: Path) -> None:
    reader = History.open(tmp_path / "history", write=False)
    writer = History.open(tmp_path / "history")
    job = made_jobs.submitted(writer.new_id(), random.Random(1))
    writer.commit(job).result()
    assert eventually(lambda: _sees(reader, job))
    writer.close()
    reader.close()


def test_reader_may_not_write(tmp_path: Path) -> None:
    History.open(tmp_path).close()
    reader = History.open(tmp_path, write=False)
    for forbidden in (reader.new_id, reader.commit, lambda: reader.archive(1, 2), reader.retry):
        with pytest.raises(StoreError, match="for reading only"):
            forbidden()
    reader.close()


def test_reader_changes_nothing_on_disk(tmp_path: Path) -> None:
    writer = History.open(tmp_path, limits=SMALL)
    rng = random.Random(3)
    writer.commit(*(made_jobs.ended(writer.new_id(), rng) for _ in range(40))).result()
    writer.archive(3, 9).result()
    writer.close()
    next(tmp_path.glob("*.idx.json")).unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    reader = History.open(tmp_path, write=False)
    _jobs(reader)
    reader.query(Query(archived=True, words=("nba",))).page(0, 99)
    reader.refresh()
    reader.close()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_reader_follows_a_writer_through_seals_and_archives(tmp_path: Path) -> None:
    rng = random.Random(4)
    writer = History.open(tmp_path, limits=SMALL)
    reader = History.open(tmp_path, write=False)
    jobs: dict[int, Job] = {}
    for turn in range(60):
        for _ in range(10):
            live = [job for job in jobs.values() if not job.status.ended]
            new = len(live) < 4 or rng.random() < 0.2
            job = (
                made_jobs.submitted(writer.new_id(), rng) if new else made_jobs.moved_on(rng.choice(live), rng)
            )
            writer.commit(job).result()
            jobs[job.id] = job
        if turn % 20 == 10:
            for job_id in writer.archive(1, max(jobs) - 5).result().ids:
                archived = jobs.pop(job_id)
            assert eventually(
                lambda archived=archived: reader.refresh() is not None and reader.is_archived(archived.id)
            )
            assert reader.get_archived(archived.id) == archived
        last = job
        assert eventually(lambda last=last: _sees(reader, last))
        assert _jobs(reader) == jobs
        assert reader.counts() == writer.counts()
        assert reader.live() == writer.live()
    assert reader.notes == ()
    assert len(reader.query(Query(archived=True))) > 20
    writer.close()
    assert _jobs(reader) == jobs
    reader.close()


def test_refresh_without_a_change_is_cheap(tmp_path: Path) -> None:
    class Counting(Disk):
        reads = opens = 0

        def read(self, file: int, size: int, offset: int) -> bytes:
            self.reads += 1
            return super().read(file, size, offset)

        def open(self, path: Path) -> int:
            self.opens += 1
            return super().open(path)

    History.open(tmp_path).close()
    disk = Counting()
    reader = History.open(tmp_path, write=False, disk=disk)
    reads, opens = disk.reads, disk.opens
    for _ in range(10):
        assert not reader.refresh()
    assert disk.opens == opens
    assert disk.reads - reads == 10
    reader.close()


def test_reader_ignores_what_is_not_yet_durable(tmp_path: Path) -> None:
    class Stuck(Disk):
        stuck = False
        reader: History

        def sync_data(self, file: int) -> None:
            if self.stuck:
                self.reader.refresh()
                seen.append(self.reader.get(2))
            super().sync_data(file)

    seen: list[Job | None] = []
    disk = Stuck()
    writer = History.open(tmp_path, disk=disk)
    first, second = (made_jobs.submitted(writer.new_id(), random.Random(n)) for n in range(2))
    writer.commit(first).result()
    disk.reader = History.open(tmp_path, write=False)
    assert disk.reader.get(1) == first
    disk.stuck = True
    writer.commit(second).result()
    assert seen == [None]
    assert eventually(lambda: _sees(disk.reader, second))
    writer.close()
    disk.reader.close()


def test_reader_in_another_process_sees_whole_commits(tmp_path: Path, long: bool) -> None:
    with _another_process(tmp_path) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        reader = History.open(tmp_path, write=False)
        for _ in range(2000 if long else 200):
            line = writer.stdout.readline()
            acknowledged = {int(job): int(events) for job, events in (each.split(":") for each in line.split())}
            assert eventually(lambda acknowledged=acknowledged: _at_least(reader, acknowledged))
            with_events = {job_id: len(job.events) for job_id, job in _jobs(reader).items()}
            for first in range(1, max(with_events) + 1, TOGETHER):
                assert len({with_events.get(first + index) for index in range(TOGETHER)}) == 1
            assert sum(reader.counts().values()) == len(with_events)
        assert reader.notes == ()
        reader.close()


def _at_least(reader: History, acknowledged: dict[int, int]) -> bool:
    reader.refresh()
    jobs = {job_id: reader.get(job_id) for job_id in acknowledged}
    return all(job is not None and len(job.events) >= acknowledged[job_id] for job_id, job in jobs.items())


def test_repeatedly_killed_writer_loses_nothing_acknowledged(tmp_path: Path, long: bool) -> None:
    acknowledged: dict[int, int] = {}
    rng = random.Random(1)
    for round_number in range(200 if long else 12):
        with _another_process(tmp_path, seed=round_number) as writer:
            assert writer.stdout is not None
            for _ in range(rng.randrange(1, 120)):
                _take(acknowledged, writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            for line in writer.stdout:
                _take(acknowledged, line)
        for write in (False, True):
            history = History.open(tmp_path, write=write)
            jobs = _jobs(history)
            assert all(len(jobs[job_id].events) >= events for job_id, events in acknowledged.items())
            for first in range(1, max(jobs) + 1, TOGETHER):
                assert len({len(jobs[first + index].events) for index in range(TOGETHER)}) == 1
            assert sum(history.counts().values()) == len(jobs)
            assert [note for note in history.notes if "unfinished" not in note.what] == []
            history.close()


def _take(acknowledged: dict[int, int], line: str) -> None:
    if line.endswith("\n"):
        acknowledged.update(
            (int(job), int(events)) for job, events in (each.split(":") for each in line.split())
        )


def test_reader_continues_with_the_next_writer_after_a_kill(tmp_path: Path) -> None:
    reader = History.open(tmp_path, write=False)
    for round_number in range(3):
        with _another_process(tmp_path, seed=round_number) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(20)]
        acknowledged: dict[int, int] = {}
        for line in lines:
            _take(acknowledged, line)
        assert eventually(lambda acknowledged=acknowledged: _at_least(reader, acknowledged))
    reader.close()


def test_clean_exit_leaves_nothing_to_repair(tmp_path: Path) -> None:
    with _another_process(tmp_path) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        for _ in range(30):
            writer.stdout.readline()
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.wait(30) == 0
    before = {path.name for path in tmp_path.iterdir()}
    history = History.open(tmp_path)
    assert history.notes == ()
    history.close()
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("sort", [Sort.ID, Sort.HOSTS, Sort.TOOK])
def test_job_archived_meanwhile_is_not_reported_missing(sort: Sort, tmp_path: Path) -> None:
    writer = History.open(tmp_path / "history", limits=SMALL)
    rng = random.Random(5)
    for _ in range(60):
        writer.commit(made_jobs.ended(writer.new_id(), rng)).result()
    reader = History.open(tmp_path / "history", write=False)
    writer.archive(1, 60).result()
    for _ in range(2):
        view = reader.query(Query(sort=sort, words=("nba",)))
        view.page(0, len(view))
        assert reader.notes == ()
        reader.refresh()
    reader.close()
    writer.close()
