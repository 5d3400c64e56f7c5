"""The engine on real databases and processes: stops, deadlines, dead workers, names."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobtui.model import Job, Status
from tests.storage.test_names import HOSTILE
from tests.support.adoptable import adoptable, set_option
from tests.support.real_engines import RealBench, real_bench

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with a space `nba` of two hosts to compact, and `one` on the second alone."""
    root = tmp_path_factory.mktemp("filled")
    with real_bench(root) as bench:
        bench.execute("CREATE SPACE nba; CREATE SPACE one ON h2")
        bench.fill("nba", 4)
        bench.fill("one", 1)
        bench.execute("BACKUP JOB 0 100")
    return root


@pytest.fixture
def root(filled: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", str(filled), str(tmp_path / "root")], check=True)
    return tmp_path / "root"


def next_job_works(bench: RealBench) -> None:
    assert bench.done("ADMIN COMPACT nba").status is Status.FINISHED


# ---- stop


def test_stopped_compact_keeps_its_data_and_next_job_works(root: Path) -> None:
    with real_bench(root) as bench:
        before = list(bench.engine.dump("nba"))
    with real_bench(root, rate=500_000) as bench:
        (job_id,) = bench.submitted("ADMIN COMPACT nba")
        bench.moving(job_id)
        assert bench.execute(f"STOP JOB {job_id}").failure is None
        (job,) = bench.ended(job_id)
        assert job.status is Status.STOPPED
        assert {task.status for task in job.tasks} == {Status.STOPPED}
        assert list(bench.engine.dump("nba")) == before
    with real_bench(root) as bench:
        next_job_works(bench)
        assert list(bench.engine.dump("nba")) == before


def test_stop_before_the_worker_accepts_the_task_stops_the_job(root: Path) -> None:
    with real_bench(root) as bench:
        for text in ("ADMIN COMPACT nba; STOP JOB {}", "ADMIN FLUSH nba; STOP JOB {}"):
            expected = bench.engine.history.last_id() + 1
            answer = bench.execute(text.format(expected))
            assert answer.failure is None
            (job,) = bench.ended(expected)
            assert job.status in (Status.STOPPED, Status.FINISHED)
            assert all(task.status.ended for task in job.tasks)
        next_job_works(bench)


def test_stop_while_the_task_ends_reports_which_came_first(root: Path) -> None:
    with real_bench(root) as bench:
        seen = set()
        for moments in range(0, 60, 3):
            (job_id,) = bench.submitted("ADMIN COMPACT one")
            for _ in range(moments):
                bench.engine.job(job_id)
                bench.engine.wait_idle()  # a little work for the engine, so that the stop comes a little later
            answer = bench.execute(f"STOP JOB {job_id}")
            (job,) = bench.ended(job_id)
            if answer.failure is not None:
                assert answer.failure.message == f"Job {job_id} has already finished"
                assert job.status is Status.FINISHED
            seen.add(job.status)
            assert job.status in (Status.STOPPED, Status.FINISHED)
        assert bench.done("ADMIN COMPACT one").status is Status.FINISHED


def test_second_stop_request_is_refused(root: Path) -> None:
    with real_bench(root, rate=500_000) as bench:
        (job_id,) = bench.submitted("ADMIN COMPACT nba")
        failure = bench.execute(f"STOP JOB {job_id}; STOP JOB {job_id}").failure
        assert failure is not None
        assert failure.message in (f"Job {job_id} is already stopping", f"Job {job_id} has already stopped")
        assert bench.ended(job_id)[0].status is Status.STOPPED


def test_thousand_queued_jobs_stop_without_running(root: Path) -> None:
    with real_bench(root, rate=20_000) as bench:
        first, *queued = bench.submitted(";".join(["ADMIN COMPACT nba"] * 1001))
        ids = ", ".join(map(str, queued))
        answer = bench.execute(f"STOP JOB {ids}")
        assert answer.failure is None
        assert answer.results[0].rows[0].cells == (f"stop 1000 jobs {2 * 1000} tasks",)
        jobs = bench.ended(*queued)
        assert {job.status for job in jobs} == {Status.STOPPED}
        assert all(job.start is None for job in jobs)
        # it exists, or the test fails
        assert bench.engine.job(first).status is Status.RUNNING  # type: ignore[union-attr]
        bench.engine.stop_jobs().result(60)


# ---- deadlines


def test_silent_host_delays_no_other_and_fails_at_deadline(
    root: Path,
) -> None:
    with real_bench(root, task_timeout=3.0) as bench:
        bench.done("ADMIN FLUSH nba")
        os.kill(bench.worker("h1"), signal.SIGSTOP)
        nba, one = bench.submitted("ADMIN COMPACT nba; ADMIN COMPACT one")
        assert bench.ended(one)[0].status is Status.FINISHED
        assert not bench.engine.job(nba).status.ended  # type: ignore[union-attr]  # it exists, or the test fails
        (job,) = bench.ended(nba)
        assert job.status is Status.FAILED
        assert job.reason == "h1: h1 did not answer within 3 s (task_timeout)"
        assert [(task.status, task.code) for task in job.tasks] == [
            (Status.FAILED, "timeout"),
            (Status.FINISHED, ""),
        ]


# ---- workers


def test_killed_worker_fails_its_task_and_is_replaced(
    root: Path,
) -> None:
    with real_bench(root, rate=500_000) as bench:
        (job_id,) = bench.submitted("ADMIN COMPACT nba")
        bench.moving(job_id)
        pid = bench.worker("h1")
        os.kill(pid, signal.SIGKILL)
        # it exists, or the test fails
        bench.events.wait_for(lambda: bench.engine.job(job_id).tasks[0].status.ended)  # type: ignore[union-attr]
        bench.execute(f"STOP JOB {job_id}")
        (job,) = bench.ended(job_id)
        assert job.status is Status.FAILED
        assert job.tasks[0].code == "host_died"
        assert "h1 was killed by SIGKILL" in job.reason
        assert bench.done("ADMIN FLUSH nba").status is Status.FINISHED
        assert bench.worker("h1") != pid


@linux
def test_no_worker_outlives_its_engine_or_becomes_a_zombie(root: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with real_bench(root, rate=500_000) as bench:
            (job_id,) = bench.submitted("ADMIN COMPACT nba")
            bench.moving(job_id)
            os.kill(bench.worker("h2"), signal.SIGKILL)
            workers = [bench.worker("h1")]
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2  # noqa: PTH208


# ---- names


def test_hostile_name_works_or_is_refused_with_reason(tmp_path: Path) -> None:
    bystander = tmp_path / "etc"
    bystander.write_text("untouched")
    worked = 0
    with real_bench(tmp_path / "a" / "root", hosts={"h1": None}) as bench:
        for name in [*HOSTILE, "nba", "NBA", "Nba", "x" * 4096, "x" * 4097, "\u202eabn"]:
            answer = bench.execute(f"CREATE SPACE `{name}`")
            if answer.failure is not None:
                assert answer.failure.message
                continue
            worked += 1
            if worked % 4 == 0:
                assert bench.done(f"ADMIN FLUSH `{name}`").space == name
        assert {"nba", "NBA", "Nba", "x" * 4096, "\u202eabn"} <= set(bench.engine.space_names())
        names = bench.engine.space_names()
    with real_bench(tmp_path / "a" / "root", hosts={"h1": None}) as bench:
        assert bench.engine.space_names() == names
    assert worked > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "etc"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["root"]
    assert bystander.read_text() == "untouched"


def test_size_of_adopted_space_is_read_without_opening_it(filled: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    subprocess.run(["cp", "-a", str(next(filled.rglob("h1/nba"))), str(theirs)], check=True)
    before = sorted(path.name for path in theirs.iterdir())
    with real_bench(tmp_path / "root") as bench:
        bench.execute(f'CREATE SPACE theirs AT "{theirs}"')
        size = sum(path.stat().st_size for path in theirs.glob("*.sst"))
        assert size > 0
        (look,) = bench.engine.fetch_overview().result(20).spaces
        assert (look.space.name, look.size, look.memory, look.pending) == ("theirs", size, None, None)
        (row,) = bench.execute("SHOW SPACES").results[0].rows
        assert row.values["Size"] == size
        assert sorted(path.name for path in theirs.iterdir()) == before
        theirs.rename(tmp_path / "gone")
        assert bench.engine.fetch_overview().result(20).spaces[0].size is None


def test_finished_job_lists_what_it_skipped(tmp_path: Path) -> None:
    database = adoptable(tmp_path / "db")
    set_option(database, "compaction_style", "kCompactionStyleFIFO", "CFOptions")
    with real_bench(tmp_path / "root") as bench:
        bench.execute(f'CREATE SPACE theirs AT "{database}"')
        job = bench.done("ADMIN COMPACT theirs")
        assert job.status is Status.FINISHED
        assert job.reason.startswith("not compacted: default, edges, because a compaction of a FIFO")
        (row,) = bench.execute(f"SHOW JOB {job.id}").results[0].rows[1:2]
        assert "FIFO" in str(row.values)
        assert bench.done("ADMIN FLUSH theirs").reason == ""


def test_if_not_exists_compares_the_directories(tmp_path: Path) -> None:
    one, two = adoptable(tmp_path / "one"), adoptable(tmp_path / "two")
    (tmp_path / "link").symlink_to(two)
    with real_bench(tmp_path / "root") as bench:
        bench.execute(f'CREATE SPACE IF NOT EXISTS theirs AT "{one}", "{two}"')
        for same in (f'"{one}", "{two}"', f'"{tmp_path}/link/", "{one}/../one"'):
            result = bench.execute(f"CREATE SPACE IF NOT EXISTS theirs AT {same}")
            assert "exists already" in result.results[0].notice
        for others, difference in (
            (f'"{one}"', f"it also has {two}"),
            (f'"{one}", "{two}", "/three"', "it lacks /three"),
            ('"/three"', f"it lacks /three and also has {one}, {two}"),
        ):
            failed = str(bench.execute(f"CREATE SPACE IF NOT EXISTS theirs AT {others}").failure)
            assert f"Space 'theirs' exists already, and {difference}" in failed
        bench.execute("CREATE SPACE nba")
        assert "it is not adopted" in str(bench.execute(f'CREATE SPACE IF NOT EXISTS nba AT "{one}"').failure)


# ---- compactions in steps


STEP = 1 << 20


@pytest.fixture(scope="module")
def leveled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile whose space `nba` of two hosts has its data in the last level, for several steps on each."""
    root = tmp_path_factory.mktemp("leveled")
    with real_bench(root, step_size=STEP) as bench:
        bench.execute("CREATE SPACE nba")
        bench.fill("nba", 8, layers=1)
        bench.done("ADMIN COMPACT nba")
        bench.execute("BACKUP JOB 0 100")
    return root


@pytest.fixture
def steps_root(leveled: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", str(leveled), str(tmp_path / "root")], check=True)
    return tmp_path / "root"


def check_continued(bench: RealBench, old: Job, pairs: list[tuple[bytes, bytes]], option: str = "") -> None:
    """Recover the job, and check that only the rest is compacted, with every value as before."""
    answer = bench.execute(f"RECOVER JOB {old.id}{option}")
    job = bench.ended(*answer.jobs)[0]
    assert job.status is Status.FINISHED
    begun = {task.host: task.steps for task in old.tasks if task.steps is not None and task.steps.done}
    for task in job.tasks:
        assert task.steps is not None
        assert task.before is not None
        before = begun.get(task.host)
        if before is None or old.tasks[task.number].status is Status.FINISHED or "whole" in option:
            assert task.steps.read >= task.before.bytes
            continue
        text = f"{task.host} from step {before.done + 1} of {before.total}"
        assert text in answer.results[0].notice
        assert task.steps.read - before.read <= task.before.bytes - before.read + STEP
    assert bench.dump() == pairs


class TestRecoverInSteps:
    @pytest.mark.parametrize("option", ["", " WITH whole = true"])
    def test_stopped_job(self, steps_root: Path, option: str) -> None:
        with real_bench(steps_root, step_size=STEP, rate=2 << 20) as bench:
            pairs = bench.dump()
            (job_id,) = bench.submitted("ADMIN COMPACT nba")
            bench.events.wait_for(lambda: has_steps(bench.engine.job(job_id), 1))
            bench.execute(f"STOP JOB {job_id}")
            (job,) = bench.ended(job_id)
            assert job.status is Status.STOPPED
            assert has_steps(job, 1)
        with real_bench(steps_root, step_size=STEP) as bench:
            check_continued(bench, job, pairs, option)

    def test_failed_host_of_a_job_whose_last_step_failed(self, steps_root: Path) -> None:
        # the file of the last keys, which the last step compacts
        damaged = max(steps_root.rglob("h1/nba/*.sst"), key=first_key)
        content = damaged.read_bytes()
        with real_bench(steps_root, step_size=STEP) as bench:
            pairs = bench.dump()
        middle = len(content) // 2
        damaged.write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
        with real_bench(steps_root, step_size=STEP) as bench:
            job = bench.done("ADMIN COMPACT nba")
            assert [task.status for task in job.tasks] == [Status.FAILED, Status.FINISHED]
            assert damaged.name in job.tasks[0].reason
            assert has_steps(job, 2)
        damaged.write_bytes(content)
        with real_bench(steps_root, step_size=STEP) as bench:
            check_continued(bench, job, pairs, " WITH failed_only = true")
            recovered = bench.engine.job(job.id + 1)
            assert recovered is not None
            assert [task.host for task in recovered.tasks] == ["h1"]


def first_key(table: Path) -> bytes:
    """Return the first key of an SST file, with which its first block begins."""
    found = re.search(rb"\d{8}", table.read_bytes()[:64])
    assert found is not None
    return found[0]


def has_steps(job: Job | None, count: int) -> bool:
    """Return whether the job's first host has finished this many steps, but not all."""
    if job is None or job.tasks[0].steps is None:
        return False
    steps = job.tasks[0].steps
    return count <= steps.done < steps.total


# ---- hosts that are not needed yet


def test_hosts_start_only_when_needed(tmp_path: Path) -> None:
    with real_bench(tmp_path) as bench:
        bench.engine.wait_idle().result(20)
        assert bench.engine.engine.storage._workers == {}
        assert bench.engine.host_names() == ()
        hosts = bench.engine.fetch_overview().result(20).hosts
        assert bench.engine.host_names() == tuple(host.name for host in hosts)
        assert set(bench.engine.engine.storage._workers) == set(bench.engine.host_names())


def test_terminal_signals_do_not_end_a_starting_worker(root: Path) -> None:
    async def blocked() -> set[signal.Signals | int]:
        return signal.pthread_sigmask(signal.SIG_BLOCK, [])

    with real_bench(root) as bench:
        assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= bench.engine.call(blocked()).result(60)
