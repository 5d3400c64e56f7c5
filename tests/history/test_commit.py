"""The guarantees of a commit, and the contents of a reopened history."""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from jobtui.history import Health, History, Query, StoreError, StoreFailed, StoreLocked
from jobtui.history.format.disk import Disk
from jobtui.history.write import writer
from jobtui.history.write.segment_store import SegmentStore
from jobtui.history.write.store import Limits, Store
from jobtui.model import Job, Status
from tests.support import made_jobs
from tests.support.filled_history import after_opening_again, new_job
from tests.support.made_jobs import replace

SMALL = Limits(journal=20_000, leftover=10_000, blanks=4096)


def test_committed_job_is_visible_and_survives_reopening(tmp_path: Path) -> None:
    history = History.open(tmp_path / "history")
    job = new_job(history)
    history.commit(job).result()
    assert history.get(job.id) == job
    assert history.live() == (job,)
    history.close()
    again = History.open(tmp_path / "history")
    assert again.get(job.id) == job
    assert again.notes == ()
    again.close()


def test_every_version_of_a_job_is_kept_as_committed(tmp_path: Path) -> None:
    rng = random.Random(5)
    history = History.open(tmp_path, limits=SMALL)
    for _ in range(30):
        job = made_jobs.submitted(history.new_id(), rng)
        history.commit(job).result()
        while not job.status.ended:
            job = made_jobs.moved_on(job, rng)
            history.commit(job).result()
            assert history.get(job.id) == job
            if rng.random() < 0.2:
                history.close()
                history = History.open(tmp_path, limits=SMALL)
                assert history.get(job.id) == job
    history.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"reason": ""},
        {"stopping": False, "start": None, "took": None},
        {"tasks": ()},
        {"events": ()},
        {"recovered_from": None, "origin": None},
        {"command": "ein anderes", "space": "🦆"},
    ],
    ids=str,
)
def test_field_reset_to_its_default_is_reset(tmp_path: Path, changed: dict[str, object]) -> None:
    history = History.open(tmp_path)
    rng = random.Random(2)
    job = replace(
        made_jobs.ended(history.new_id(), rng), reason="why", stopping=True, took=3.5, recovered_from=1
    )
    history.commit(job).result()
    after = replace(job, **changed)
    history.commit(after).result()
    history.close()
    again = History.open(tmp_path, write=False)
    assert again.get(job.id) == after


def test_ids_rise_from_1_and_continue_after_reopening(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    assert history.last_id() == 0
    jobs = [new_job(history) for _ in range(3)]
    assert [job.id for job in jobs] == [1, 2, 3]
    history.commit(*jobs).result()
    history.close()
    again = History.open(tmp_path)
    assert again.last_id() == 3
    assert again.new_id() == 4
    again.close()


def test_ids_are_not_given_again_after_an_archive(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    history.commit(*(made_jobs.ended(history.new_id(), random.Random(n)) for n in range(5))).result()
    assert list(history.archive(0, 99).result().ids) == [1, 2, 3, 4, 5]
    history.close()
    again = History.open(tmp_path)
    assert again.new_id() == 6
    assert again.last_id() == 5
    again.close()


def test_futures_are_done_in_the_order_of_the_commits(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    order: list[int] = []
    futures = []
    for number in range(200):
        future = history.commit(new_job(history, number))
        future.add_done_callback(lambda _, number=number: order.append(number))
        futures.append(future)
    futures[-1].result()
    wait(futures)
    history.close()
    assert order == list(range(200))


def test_commit_without_a_waiter_is_written_too(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    future = history.commit(new_job(history))
    assert wait([future], timeout=30).done
    history.close()


def test_many_threads_may_commit_and_wait_at_once(tmp_path: Path) -> None:
    history = History.open(tmp_path, limits=SMALL)
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(20):
            job = made_jobs.submitted(history.new_id(), rng)
            while not job.status.ended:
                history.commit(job).result(30)
                if history.get(job.id) != job:
                    wrong.append(job)
                job = made_jobs.moved_on(job, rng)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert history.last_id() == 160
    history.close()


class _Gated(Disk):
    """A real disk whose journal's syncs wait until the gate is open."""

    def __init__(self) -> None:
        self.gate, self.waited = threading.Event(), threading.Event()

    def sync_data(self, file: int) -> None:
        self.waited.set()
        assert self.gate.wait(30)
        super().sync_data(file)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[History, _Gated]]:
    """A history whose first commit is being written on a slow disk, slower than a thread looks for others."""
    monkeypatch.setattr(writer, "_STOP_POLLING_AFTER", -1.0)
    disk = _Gated()
    history = History.open(tmp_path, disk=disk)
    history.commit(made_jobs.ended(history.new_id(), random.Random(1)))
    assert disk.waited.wait(30)
    yield history, disk
    disk.gate.set()
    history.close()


def test_commits_on_a_slow_disk_need_no_further_call(
    held: tuple[History, _Gated],
) -> None:
    history, disk = held
    futures = [history.commit(new_job(history, number)) for number in range(1800)]
    disk.gate.set()
    assert not wait(futures, timeout=20).not_done


def test_archive_requests_are_executed_in_turn(held: tuple[History, _Gated]) -> None:
    history, disk = held
    orders = [history.archive(first, first) for first in (1, 2, 3)]
    disk.gate.set()
    assert [list(order.result(20).ids) for order in orders] == [[1], [], []]


def test_commit_cannot_be_canceled(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    job = new_job(history)
    future = history.commit(job)
    assert not future.cancel()
    future.result()
    assert history.get(job.id) == job
    history.close()


def test_nothing_is_visible_before_it_is_on_disk(tmp_path: Path) -> None:
    class Watched(Disk):
        def sync_data(self, file: int) -> None:
            view = history.query(Query())
            seen.append((history.get(job.id), history.live(), len(view), sum(history.counts().values())))
            super().sync_data(file)

    seen: list[object] = []
    history = History.open(tmp_path, disk=Watched())
    job = new_job(history)
    history.commit(job).result()
    assert seen == [(None, (), 0, 0)]
    assert history.get(job.id) == job
    history.close()


def test_defect_while_writing_is_reported_and_ends_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History.open(tmp_path)
    first = new_job(history)
    history.commit(first).result()
    monkeypatch.setattr(Store, "write", lambda self, commits: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        history.commit(new_job(history)).result()
    monkeypatch.undo()
    assert history.health is Health.READ_ONLY
    with pytest.raises(StoreFailed, match="division by zero"):
        history.commit(new_job(history)).result()
    history.close()
    again = History.open(tmp_path)
    assert again.live() == (first,)
    again.close()


def test_defect_while_sealing_is_reported_and_ends_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History.open(tmp_path, limits=SMALL)
    monkeypatch.setattr(SegmentStore, "seal", lambda self, sealing: 1 / 0)
    jobs = {}
    while history.health is Health.OK:
        job = new_job(history)
        if history.commit(job).exception() is None:
            jobs[job.id] = job
    assert history.health is Health.READ_ONLY
    assert "division by zero" in history.write_error
    history.close()
    monkeypatch.undo()
    assert after_opening_again(tmp_path) == jobs


def test_commit_without_changes_writes_nothing(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    job = new_job(history)
    history.commit(job).result()
    journal = next(tmp_path.glob("journal-*")).read_bytes()
    history.commit(job).result()
    history.commit().result()
    assert next(tmp_path.glob("journal-*")).read_bytes() == journal
    history.close()


def test_ended_job_may_be_remarked_upon_after_it_was_sealed(tmp_path: Path) -> None:
    rng = random.Random(3)
    history = History.open(tmp_path, limits=SMALL)
    jobs = {job.id: job for job in (made_jobs.ended(history.new_id(), rng) for _ in range(60))}
    for turn in range(4):
        for job_id in list(jobs)[:: turn + 1]:
            jobs[job_id] = made_jobs.moved_on(jobs[job_id], rng)
        history.commit(*jobs.values()).result()
        assert sum(history.counts().values()) == len(jobs)
        history.close()
        history = History.open(tmp_path, limits=SMALL)
        assert history.query(Query()).page(0, 100) == list(jobs.values())
        assert sum(history.counts().values()) == len(jobs)
    assert len(list(tmp_path.glob("seg-*.jsonl"))) > 1
    history.close()


def test_archive_includes_only_ended_jobs_of_the_range(tmp_path: Path) -> None:
    rng = random.Random(8)
    history = History.open(tmp_path, limits=SMALL)
    ended = [made_jobs.ended(history.new_id(), rng) for _ in range(10)]
    live = [made_jobs.submitted(history.new_id(), rng) for _ in range(3)]
    more = [made_jobs.ended(history.new_id(), rng) for _ in range(10)]
    history.commit(*ended, *live, *more).result()
    result = history.archive(4, 15).result()
    taken = [*ended[3:], *more[:2]]
    assert list(result.ids) == [job.id for job in taken]
    assert result.tasks == sum(len(job.tasks) for job in taken)
    assert history.live() == tuple(live)
    for job in taken:
        assert history.get(job.id) is None
        assert history.is_archived(job.id)
        assert history.get_archived(job.id) == job
    assert not history.is_archived(ended[0].id)
    assert not history.is_archived(live[0].id)
    assert not history.is_archived(999)
    assert list(history.archive(4, 15).result().ids) == []
    history.close()


def test_archived_job_cannot_be_changed(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    job = made_jobs.ended(history.new_id(), random.Random(1))
    history.commit(job).result()
    future = history.archive(job.id, job.id)
    later = history.commit(made_jobs.moved_on(job, random.Random(2)))
    assert list(future.result().ids) == [job.id]
    with pytest.raises(StoreError, match=f"Job {job.id} is archived"):
        later.result()
    assert history.get_archived(job.id) == job
    history.close()


def test_space_is_known_while_it_has_a_job_anywhere(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    rng = random.Random(1)
    history.commit(*(made_jobs.ended(history.new_id(), rng, (name,)) for name in ("b", "a", "c"))).result()
    history.archive(1, 1).result()
    assert history.spaces() == ("a", "b", "c")
    assert sum(history.counts("b").values()) == 0
    history.close()


def test_second_writer_gets_the_firsts_process_id(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    with pytest.raises(StoreLocked, match=f"process {os.getpid()}") as refused:
        History.open(tmp_path)
    assert refused.value.pid == os.getpid()
    history.close()
    History.open(tmp_path).close()


def test_closed_history_refuses_changes_and_closes_twice(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    job = new_job(history)
    history.close()
    history.close()
    with pytest.raises(StoreFailed):
        history.commit(job).result()


def test_only_the_owner_may_read_what_is_written(tmp_path: Path) -> None:
    history = History.open(tmp_path / "deep" / "history", limits=SMALL)
    rng = random.Random(1)
    history.commit(*(made_jobs.ended(history.new_id(), rng) for _ in range(50))).result()
    history.archive(3, 20).result()
    history.close()
    for path in (tmp_path / "deep").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_opening_and_closing_without_a_change_changes_no_file(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    history.commit(new_job(history)).result()
    history.close()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "LOCK"}
    for _ in range(3):
        History.open(tmp_path).close()
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "LOCK"}
    assert before == after


def test_counts_by_status_stay_exact_over_many_changes(tmp_path: Path) -> None:
    rng = random.Random(11)
    history = History.open(tmp_path, limits=SMALL)
    jobs: dict[int, Job] = {}
    for _ in range(400):
        live = [job for job in jobs.values() if not job.status.ended]
        job = (
            made_jobs.moved_on(rng.choice(live), rng) if len(live) > 4 else new_job(history, rng.randrange(99))
        )
        jobs[job.id] = job
        history.commit(job).result()
        for status in Status:
            assert history.counts()[status] == sum(each.status is status for each in jobs.values())
    assert history.health is Health.OK
    assert history.write_error == ""
    history.close()


@pytest.mark.parametrize("below", ["", "history", "local/history"])
@pytest.mark.parametrize("write", [True, False])
def test_file_in_place_of_the_history_is_named(tmp_path: Path, below: str, write: bool) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(StoreError, match=f"{tmp_path}/data is a file, and must be a directory"):
        History.open(tmp_path / "data" / below, write=write)
    assert (tmp_path / "data").read_text() == "mine"
