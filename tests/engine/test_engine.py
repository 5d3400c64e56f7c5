"""The engine over the real history and a storage that the test controls."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import ErrorCode
from jobtui.model import EventKind, Status
from tests.support.engines import THREE, WAIT, Bench, compared_with_disk, open_bench
from tests.support.scripted import FULL, ScriptedStorage


def test_statement_becomes_a_job_with_a_task_per_host(three: Bench) -> None:
    assert three.rows("USE nba; ADMIN COMPACT") == [("1",)]
    for host in THREE:
        operation = three.storage.operation("nba", host)
        assert operation.command == "compact"
        operation.finish()
    job = three.events.until(1, Status.FINISHED)
    assert [task.status for task in job.tasks] == [Status.FINISHED] * 3
    assert job.reclaimed == 3 * 2500
    assert three.events.statuses(1) == [Status.QUEUE, Status.RUNNING, Status.FINISHED]


def test_every_published_status_is_on_disk(three: Bench, tmp_path: Path) -> None:
    with compared_with_disk(three.engine, tmp_path) as seen:
        three.execute("ADMIN FLUSH solo")
        three.storage.operation("solo", "far").finish()
        three.events.until(1, Status.FINISHED)
    assert seen == [True] * 3


def test_one_running_job_a_space_and_spaces_side_by_side(three: Bench) -> None:
    three.execute("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN COMPACT solo")
    three.storage.operation("solo", "far")
    for host in THREE:
        three.storage.operation("nba", host)
    assert [three.job(n).status for n in (1, 2, 3)] == [Status.RUNNING, Status.QUEUE, Status.RUNNING]
    for host in THREE:
        three.storage.operation("nba", host).finish()
    three.events.until(2, Status.RUNNING)


def test_progress_is_posted_and_shown_but_not_journaled(three: Bench, tmp_path: Path) -> None:
    three.execute("ADMIN COMPACT solo")
    three.storage.operation("solo", "far").progress(0.5, 1e6)
    assert three.job(1).progress == 0.5
    assert [(p.task, p.rate) for p in three.events.progress] == [(0, 1e6)]
    on_disk = three.engine.history.get(1)
    assert on_disk is not None
    assert on_disk.tasks[0].progress is None


def test_stats_before_a_task_are_shown_and_kept_on_failure(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo")
    operation = three.storage.operation("solo", "far")
    operation.progress(0.0, None, FULL)
    assert three.job(1).tasks[0].before == FULL
    assert three.events.progress[-1].job.tasks[0].before == FULL
    operation.progress(0.5, 1e6)
    assert three.job(1).tasks[0].before == FULL
    operation.fail()
    assert three.events.until(1, Status.FAILED).tasks[0].before == FULL


def test_task_without_threads_names_the_shortage(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo")
    three.storage.operation("solo", "far").crash(RuntimeError("can't start new thread"))
    assert three.events.until(1, Status.FAILED).tasks[0].reason.startswith("no more threads can be started")


def test_stopped_job_stays_running_until_its_last_task_ends(three: Bench) -> None:
    three.execute("ADMIN COMPACT nba")
    operations = [three.storage.operation("nba", host) for host in THREE]
    operations[0].finish()
    three.events.wait_for(lambda: three.job(1).ended_tasks == 1)
    assert three.rows("STOP JOB 1") == [("stop 1 jobs 2 tasks",)]
    for operation in operations[1:]:
        assert operation.canceled.wait(WAIT)
    assert (three.job(1).status, three.job(1).stopping) == (Status.RUNNING, True)
    operations[1].stop()
    three.events.wait_for(lambda: three.job(1).ended_tasks == 2)
    assert three.job(1).status is Status.RUNNING
    operations[2].stop()
    job = three.events.until(1, Status.STOPPED)
    assert [task.status for task in job.tasks] == [Status.FINISHED, Status.STOPPED, Status.STOPPED]


def test_failed_task_fails_the_job_and_others_continue(three: Bench) -> None:
    three.execute("ADMIN COMPACT nba")
    three.storage.operation("nba", "local1").fail(
        ErrorCode.DISK_FULL, "no space left (needs 3 GiB, 1 GiB free)"
    )
    three.events.wait_for(lambda: three.job(1).ended_tasks == 1)
    assert three.job(1).status is Status.RUNNING
    for host in ("local0", "local2"):
        three.storage.operation("nba", host).finish()
    job = three.events.until(1, Status.FAILED)
    assert job.reason == "local1: no space left (needs 3 GiB, 1 GiB free)"
    assert job.tasks[1].code == "disk_full"


def test_stop_of_queued_stopped_and_ended_jobs(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
    assert three.rows("STOP JOB 2") == [("stop 1 jobs 1 tasks",)]
    assert three.job(2).status is Status.STOPPED
    assert three.refusal("STOP JOB 2") == "Job 2 has already stopped"
    three.execute("STOP JOB 1")
    assert three.refusal("STOP JOB 1") == "Job 1 is already stopping"
    three.storage.operation("solo", "far").stop()
    three.events.until(1, Status.STOPPED)
    assert three.refusal("STOP JOB 1") == "Job 1 has already stopped"


def test_all_ids_are_checked_before_any_is_acted_on(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
    assert three.refusal("STOP JOB 2, 1, 99") == "Job 99 does not exist"
    assert [three.job(n).stopping or three.job(n).status.ended for n in (1, 2)] == [False, False]
    assert three.refusal("RECOVER JOB 99") == "Job 99 does not exist"
    assert three.refusal("RECOVER JOB 1") == "Job 1 is still running; STOP JOB 1 first"
    assert three.refusal("RECOVER JOB 2") == "Job 2 is still queued; STOP JOB 2 first"


def test_stop_of_a_thousand_queued_jobs(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo;" * 1001)
    three.storage.operation("solo", "far")
    ids = ", ".join(str(n) for n in range(2, 1002))
    assert three.rows(f"STOP JOB {ids}") == [("stop 1000 jobs 1000 tasks",)]
    assert three.engine.history.counts()[Status.STOPPED] == 1000


def test_recover_creates_a_new_job_and_keeps_the_old_one(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo")
    three.storage.operation("solo", "far").fail()
    old = three.events.until(1, Status.FAILED)
    assert three.rows("RECOVER JOB 1") == [("2",)]
    assert three.job(2).recovered_from == 1
    assert three.job(1) == old
    three.storage.operation("solo", "far", 1).finish()
    three.events.until(2, Status.FINISHED)


def test_recover_without_ids_takes_unrecovered_jobs(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo; ADMIN FLUSH solo; ADMIN FLUSH nba; STOP JOB 2")
    three.storage.operation("solo", "far").fail()
    for host in THREE:
        three.storage.operation("nba", host).stop()
    three.events.until(1, Status.FAILED)
    three.events.until(3, Status.STOPPED)
    assert three.rows("USE solo; RECOVER JOB") == [("4",), ("5",)]
    assert [three.job(n).recovered_from for n in (4, 5)] == [1, 2]
    assert three.rows("RECOVER JOB") == []
    three.session.space = None
    assert three.rows("RECOVER JOB") == [("6",)]


def test_backup_archives_ended_jobs_and_skips_the_rest(three: Bench) -> None:
    three.execute("ADMIN FLUSH solo; ADMIN COMPACT solo")
    three.storage.operation("solo", "far").finish()
    three.events.until(2, Status.RUNNING)
    assert three.rows("BACKUP JOB 0 22") == [("backup 1 jobs 1 tasks",)]
    assert three.refusal("SHOW JOB 1") == "Job 1 is archived"
    assert three.refusal("STOP JOB 1") == "Job 1 is archived"
    assert three.refusal("RECOVER JOB 1") == "Job 1 is archived"
    assert [row[0] for row in three.rows("SHOW JOBS")] == ["2"]
    assert [row[0] for row in three.rows("SHOW ARCHIVED JOBS")] == ["1"]
    assert three.refusal("BACKUP JOB 22 0") == "The range 22 to 0 is empty"


class TestRestore:
    def test_brings_archived_jobs_back(self, three: Bench) -> None:
        three.storage.auto = True
        three.execute("ADMIN FLUSH solo; ADMIN FLUSH solo; ADMIN FLUSH solo")
        three.events.until(3, Status.FINISHED)
        three.execute("BACKUP JOB 1 3")
        assert three.rows("RESTORE JOB 2") == [("restore 1 jobs 1 tasks",)]
        assert [row[0] for row in three.rows("SHOW JOBS")] == ["2"]
        assert three.rows("RESTORE JOB 0 99") == [("restore 2 jobs 2 tasks",)]
        assert three.rows("RESTORE JOB 0 99") == [("restore 0 jobs 0 tasks",)]
        assert three.rows("SHOW ARCHIVED JOBS") == []
        assert three.rows("RECOVER JOB 2") == [("4",)]

    def test_refuses_a_job_that_is_not_archived(self, three: Bench) -> None:
        three.execute("ADMIN FLUSH solo")
        assert three.refusal("RESTORE JOB 1") == "Job 1 is not archived"
        assert three.refusal("RESTORE JOB 9") == "Job 9 does not exist"
        assert three.refusal("RESTORE JOB 22 0") == "The range 22 to 0 is empty"


def test_syntax_error_runs_nothing_and_failure_ends_the_text(three: Bench) -> None:
    answer = three.execute("ADMIN FLUSH nba; SHOW JBO 1")
    assert answer.failure is not None
    assert answer.failure.syntax
    assert not answer.results
    assert three.rows("SHOW JOBS") == []
    answer = three.execute("USE nba; ADMIN FLUSH;\nSHOW JOB 99; ADMIN FLUSH")
    assert [result.statement for result in answer.results] == ["USE nba", "ADMIN FLUSH"]
    assert answer.failure is not None
    assert (answer.failure.message, answer.failure.line) == ("Job 99 does not exist", 2)
    assert len(three.rows("SHOW JOBS")) == 1


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("ADMIN FLUSH", "Space was not chosen: USE a space first, or name one: ADMIN FLUSH nba"),
        ("USE nbaa", "Space 'nbaa' does not exist; did you mean 'nba'?"),
        ("ADMIN COMPACT test3", "Space 'test3' does not exist; did you mean 'test2'?"),
        ("USE NBA", "Space 'NBA' does not exist; did you mean 'nba'?"),
        (
            "CREATE SPACE q AT '~nobody-of-that-name/x'",
            "~nobody-of-that-name/x: there is no such user's home directory",
        ),
        ("SHOW JOBS IN zzz", "Space 'zzz' does not exist"),
        ("SHOW JOB 99", "Job 99 does not exist"),
        ("DROP SPACE zzz", "Space 'zzz' does not exist"),
    ],
)
def test_refusal_suggests_a_correction(three: Bench, text: str, refusal: str) -> None:
    assert three.refusal(text) == refusal


def test_space_with_jobs_under_way_is_not_dropped(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo")
    assert "STOP JOB 1 first" in three.refusal("DROP SPACE solo")
    three.storage.operation("solo", "far").finish()
    three.events.until(1, Status.FINISHED)
    assert three.rows("DROP SPACE solo") == []
    assert three.refusal("RECOVER JOB 1") == "Space 'solo' does not exist"
    assert [row[1] for row in three.rows("SHOW JOBS IN solo")] == ["compact solo"]


def test_unexpected_storage_exception_fails_the_task(three: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(three.storage, "flush", broken)
    three.execute("ADMIN FLUSH solo")
    assert three.events.until(1, Status.FAILED).reason == "far: ValueError: odd"


def test_defect_in_a_statement_is_reported_and_contained(three: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(three.storage, "hosts", broken)
    assert three.refusal("SHOW HOSTS") == "This is a defect of jobtui: ValueError: odd"
    assert three.rows("ADMIN FLUSH solo") == [("1",)]


def test_interrupted_job_fails_at_next_start_queue_continues(tmp_path: Path) -> None:
    spaces = {"solo": ("far",), "nba": THREE}
    with open_bench(tmp_path, ScriptedStorage(spaces)) as bench:
        bench.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
        bench.storage.operation("solo", "far")
    with open_bench(tmp_path, ScriptedStorage(spaces)) as bench:
        job = bench.job(1)
        assert (job.status, job.reason) == (Status.FAILED, "interrupted: jobtui ended while it ran")
        assert job.events[-1].kind is EventKind.INTERRUPTED
        bench.storage.operation("solo", "far").finish()
        bench.events.wait_for(lambda: bench.job(2).status.ended)
        assert bench.rows("RECOVER JOB 1") == [("3",)]


def test_engine_that_runs_nothing_keeps_the_queue(tmp_path: Path) -> None:
    spaces = {"solo": ("far",), "nba": THREE}
    with open_bench(tmp_path, ScriptedStorage(spaces), run=RunPolicy.NONE) as bench:
        bench.execute("ADMIN COMPACT solo; ADMIN COMPACT nba")
        bench.engine.wait_idle().result(WAIT)
        assert not bench.storage.begun
    with open_bench(tmp_path, ScriptedStorage(spaces), run=RunPolicy.SUBMITTED) as bench:
        assert not bench.storage.begun
        bench.execute("ADMIN FLUSH solo")
        bench.storage.operation("solo", "far").finish()
        bench.storage.operation("solo", "far", 1).finish()
        bench.engine.wait_idle().result(WAIT)
        assert [bench.job(n).status for n in (1, 2, 3)] == [Status.FINISHED, Status.QUEUE, Status.FINISHED]


def test_ids_continue_after_an_archive_and_a_restart(tmp_path: Path) -> None:
    for expected in ("1", "2", "3"):
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)}, auto=True)) as bench:
            assert bench.rows("ADMIN FLUSH solo") == [(expected,)]
            bench.engine.wait_idle().result(WAIT)
            bench.execute("BACKUP JOB 0 100")


def test_stop_work_stops_all_and_is_done_when_the_last_has_ended(tmp_path: Path) -> None:
    with open_bench(tmp_path, ScriptedStorage({"a": ("x",), "b": ("y",)}, obey=True)) as bench:
        bench.execute("ADMIN COMPACT a; ADMIN FLUSH a; ADMIN COMPACT b")
        bench.storage.operation("a", "x")
        bench.storage.operation("b", "y")
        bench.engine.stop_jobs().result(WAIT)
        assert {bench.job(n).status for n in (1, 2, 3)} == {Status.STOPPED}
