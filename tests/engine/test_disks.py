"""Disk faults during a job: each ends in a failed task with a plain reason and the sizes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from jobtui.model import Job, Status
from tests.support.disks import Mount, covered_read_only, fill_up, free_bytes, small_disks
from tests.support.real_engines import RealBench, real_bench
from tests.support.storage import held_open

NUMBERS = re.compile(r"\d+(\.\d+)? \w?i?B needed, \d+(\.\d+)? \w?i?B free")
TWO_HOSTS = {"h1": None, "h2": None}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mount]:
    with small_disks(tmp_path) as mount:
        yield mount


def failed(job: Job, code: str, *words: str) -> None:
    """The job failed by its first task, and says so with these words; its second went well."""
    assert job.status is Status.FAILED
    assert (job.tasks[0].status, job.tasks[0].code) == (Status.FAILED, code)
    assert job.reason == f"{job.tasks[0].host}: {job.tasks[0].reason}"
    assert [task.status for task in job.tasks[1:]] == [Status.FINISHED] * (len(job.tasks) - 1)
    for word in words:
        assert word in job.reason


def filled(bench: RealBench, megabytes: float, layers: int = 2) -> list[tuple[bytes, bytes]]:
    bench.submitted("CREATE SPACE nba")
    return bench.fill("nba", megabytes, layers)


def host_directory(root: Path, host: str = "h1") -> Path:
    """The directory of the only database on the host."""
    (current,) = (root / "storage" / host).rglob("CURRENT")
    return current.parent


# ---- full


def test_disk_full_before_compact_reports_needed_and_free(disk: Mount, tmp_path: Path) -> None:
    small = disk("12m")
    with real_bench(tmp_path / "root", hosts={"h1": small / "h1"}) as bench:
        pairs = filled(bench, 3.5)
        job = bench.done("ADMIN COMPACT nba")
        failed(job, "disk_full", str(small), "there is not enough room")
        assert NUMBERS.search(job.reason)
        assert list(bench.engine.dump("nba")) == pairs


def test_disk_full_before_flush_reports_needed_and_free(disk: Mount, tmp_path: Path) -> None:
    small = disk("12m")
    with real_bench(tmp_path / "root", hosts={"h1": small / "h1"}) as bench:
        bench.submitted("CREATE SPACE nba")
        pairs = [(b"%08d" % n, bytes([n % 251]) * 1000) for n in range(2_000)]
        bench.engine.load("nba", pairs).result(60)
        fill_up(small / "stuff")
        job = bench.done("ADMIN FLUSH nba")
        failed(job, "disk_full", str(small), "the disk is full")
        assert NUMBERS.search(job.reason)
        (small / "stuff").unlink()
        assert bench.done("ADMIN FLUSH nba").status is Status.FINISHED
        assert list(bench.engine.dump("nba")) == pairs


@pytest.mark.parametrize("command", ["FLUSH", "COMPACT"])
def test_disk_that_fills_during_work_fails_only_that_job(disk: Mount, tmp_path: Path, command: str) -> None:
    small = disk("24m")
    hosts = {"h1": small / "h1"}
    with real_bench(tmp_path / "root", hosts=hosts) as bench:
        pairs = filled(bench, 3)
    with real_bench(tmp_path / "root", hosts=hosts, rate=2 << 20) as bench:
        if command == "FLUSH":
            pairs = [(key, value[::-1]) for key, value in pairs]
            bench.engine.load("nba", pairs).result(60)
            # the space that a flush may need is reserved as it begins, if there is enough
            (small / "ballast").write_bytes(bytes(free_bytes(small) - (4 << 20)))
        (job_id,) = bench.submitted(f"ADMIN {command} nba")
        bench.moving(job_id)
        fill_up(small / "stuff")
        (job,) = bench.ended(job_id)
        failed(job, "disk_full", "the disk is full")
        assert NUMBERS.search(job.reason)
        (small / "stuff").unlink()
        (small / "ballast").unlink(missing_ok=True)
    with real_bench(tmp_path / "root", hosts=hosts) as bench:
        assert bench.done(f"ADMIN {command} nba").status is Status.FINISHED
        assert list(bench.engine.dump("nba")) == pairs


# ---- read-only, gone, held, damaged


@pytest.mark.parametrize("command", ["FLUSH", "COMPACT"])
def test_directory_that_became_read_only_fails_the_job(disk: Mount, tmp_path: Path, command: str) -> None:
    small = disk("24m")
    with real_bench(tmp_path / "root", hosts={"h1": small / "h1", "h2": None}) as bench:
        filled(bench, 1)
        bench.engine.load("nba", [(b"%d" % n, b"more") for n in range(10)]).result(60)
        with covered_read_only(small):
            failed(bench.done(f"ADMIN {command} nba"), "access", str(small), "may not write there")
        assert bench.done(f"ADMIN {command} nba").status is Status.FINISHED


def cut_manifest(database: Path) -> AbstractContextManager[None]:
    (manifest,) = database.glob("MANIFEST-*")
    manifest.write_bytes(manifest.read_bytes()[:-200])
    return nullcontext()


def lose_manifest(database: Path) -> AbstractContextManager[None]:
    (manifest,) = database.glob("MANIFEST-*")
    manifest.unlink()
    return nullcontext()


def spoil_a_block(database: Path) -> AbstractContextManager[None]:
    for table in database.glob("*.sst"):
        with table.open("r+b") as file:
            file.seek(2000)
            file.write(b"\xff" * 200)
    return nullcontext()


def delete(database: Path) -> AbstractContextManager[None]:
    shutil.rmtree(database)
    return nullcontext()


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (cut_manifest, "corrupt", "was cut: it has"),
        (lose_manifest, "missing", "which CURRENT names, is missing"),
        (spoil_a_block, "corrupt", "data on disk is corrupt"),
        (delete, "missing", "there is no database here"),
        (held_open, "locked", "another program has the database open"),
    ],
)
def test_unusable_database_fails_its_task_not_the_other_host(
    tmp_path: Path, fault: Callable[[Path], AbstractContextManager[None]], code: str, words: str
) -> None:
    with real_bench(tmp_path, hosts=TWO_HOSTS) as bench:
        filled(bench, 0.5)
    with fault(host_directory(tmp_path)), real_bench(tmp_path, hosts=TWO_HOSTS) as bench:
        job = bench.done("ADMIN COMPACT nba")
        failed(job, code, words)
        assert bench.engine.history.get(job.id) == job


@pytest.mark.parametrize("command", ["FLUSH", "COMPACT"])
def test_directory_deleted_while_it_is_open_fails_the_job(tmp_path: Path, command: str) -> None:
    with real_bench(tmp_path, hosts=TWO_HOSTS) as bench:
        filled(bench, 0.5)
        database = host_directory(tmp_path)
        shutil.rmtree(database)
        failed(bench.done(f"ADMIN {command} nba"), "missing", str(database), "the database was deleted")


def test_directory_deleted_during_compact_fails_the_job(tmp_path: Path) -> None:
    with real_bench(tmp_path, hosts=TWO_HOSTS) as bench:
        filled(bench, 2)
    with real_bench(tmp_path, hosts=TWO_HOSTS, rate=1 << 20) as bench:
        (job_id,) = bench.submitted("ADMIN COMPACT nba")
        bench.moving(job_id)
        database = host_directory(tmp_path)
        while database.exists():  # the worker may add a file meanwhile
            shutil.rmtree(database, ignore_errors=True)
        failed(bench.ended(job_id)[0], "missing", "the database was deleted")


# ---- the history's own


def test_full_history_disk_refuses_work_until_it_has_room(disk: Mount, tmp_path: Path) -> None:
    small = disk("4m")
    with real_bench(small / "root", hosts={"h1": tmp_path / "h1"}) as bench:
        filled(bench, 2, 1)
    with real_bench(small / "root", hosts={"h1": tmp_path / "h1"}, rate=1 << 20) as bench:
        (under_way,) = bench.submitted("ADMIN COMPACT nba")
        bench.moving(under_way)
        fill_up(small / "stuff")
        taken = []
        while (answer := bench.execute("ADMIN FLUSH nba")).failure is None:
            taken += answer.jobs
        assert "is full: free some space" in answer.failure.message
        assert bench.engine.write_error == answer.failure.message
        assert bench.engine.write_error in bench.events.notices
        last = bench.engine.history.last_id()
        (job,) = bench.ended(under_way)
        assert job.status is Status.FINISHED
        assert bench.execute("SHOW JOBS").failure is None
        (small / "stuff").unlink()
        bench.events.wait_for(lambda: any("can be written again" in text for text in bench.events.notices))
        assert {job.status for job in bench.ended(*taken)} <= {Status.FINISHED}
        (after,) = bench.submitted("ADMIN FLUSH nba")
        assert after >= last
        assert bench.ended(after)[0].status is Status.FINISHED
