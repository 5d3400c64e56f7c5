"""Pausing, resuming and continuing jobs, and the steps that they commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtui.engine import job_log
from jobtui.engine.scheduler import RunPolicy
from jobtui.model import EventKind, Level, Notice, SpaceStats, Status, StepPosition
from jobtui.tui.data.job_rows import estimate_job_seconds
from tests.support.engines import Bench, open_bench
from tests.support.scripted import ScriptedStorage

SPACES = {"nba": ("h0", "h1", "h2"), "solo": ("h3",), "pair": ("h0", "h3")}
SEVENTEEN = StepPosition(17, 64, "db-1", "default", b"k17", 1700, 900)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
        yield bench


class TestPause:
    def test_running_job_yields_after_its_step(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        assert bench.rows("PAUSE JOB 1") == [("pause 1 jobs 1 tasks",)]
        assert operation.control.pause.is_set()
        assert not operation.control.cancel.is_set()
        assert bench.job(1).paused
        assert bench.job(1).tasks[0].status is Status.RUNNING
        operation.pause(SEVENTEEN)
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        assert bench.job(1).status is Status.RUNNING
        assert bench.job(1).tasks[0].steps == SEVENTEEN

    def test_host_is_free_while_paused(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        bench.execute("PAUSE JOB 1; ADMIN FLUSH pair")
        operation.pause(SEVENTEEN)
        bench.storage.operation("pair", "h3")

    def test_resume_continues_after_last_step(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        bench.execute("PAUSE JOB 1")
        operation.pause(SEVENTEEN)
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        assert bench.rows("RESUME JOB 1") == [("resume 1 jobs 1 tasks",)]
        again = bench.storage.operation("solo", "h3", 1)
        assert again.request is not None
        assert again.request.resume == SEVENTEEN
        bench.advance(5)
        again.finish()
        job = bench.events.until(1, Status.FINISHED)
        assert job.tasks[0].attempts == 2
        kinds = [event.kind for event in job.events]
        assert kinds.count(EventKind.PAUSED) == 2
        assert EventKind.RESUMED in kinds

    def test_queued_job_is_held_and_later_ones_pass(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo; ADMIN FLUSH solo; ADMIN COMPACT solo; PAUSE JOB 2")
        bench.storage.operation("solo", "h3").finish()
        third = bench.storage.operation("solo", "h3", 1)
        assert third.command == "compact"
        assert bench.job(2).status is Status.QUEUE
        bench.execute("RESUME JOB 2")
        third.finish()
        assert bench.storage.operation("solo", "h3", 2).command == "flush"

    def test_time_before_the_start_does_not_count(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo; PAUSE JOB 1")
        bench.settle()
        bench.advance(60)
        bench.execute("RESUME JOB 1")
        operation = bench.storage.operation("solo", "h3")
        bench.advance(5)
        operation.finish()
        assert bench.events.until(1, Status.FINISHED).took == 5

    def test_next_owner_does_not_claim_to_run_a_paused_job(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES)), run=RunPolicy.NONE) as bench:
            bench.execute("ADMIN COMPACT solo; ADMIN COMPACT nba; PAUSE JOB 1")
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            bench.events.until_published(Notice, text="left in the queue")
            assert bench.events.notices == ["Job 2 left in the queue: running now"]

    def test_survives_restart(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            bench.execute("ADMIN COMPACT solo; ADMIN COMPACT nba")
            compaction = bench.storage.operation("solo", "h3")
            bench.execute("PAUSE JOB 1, 2")
            compaction.pause(SEVENTEEN)
            bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            bench.settle()
            assert bench.storage.begun == []
            assert bench.job(1).paused
            assert bench.job(2).paused
            # its hosts were at work when the first engine ended: they are held like the others
            assert {task.status for task in bench.job(2).tasks} == {Status.QUEUE}
            bench.execute("RESUME JOB 1")
            request = bench.storage.operation("solo", "h3").request
            assert request is not None
            assert request.resume == SEVENTEEN

    def test_job_paused_at_work_is_not_reported_as_interrupted(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            bench.execute("ADMIN COMPACT solo")
            bench.storage.operation("solo", "h3")
            bench.execute("PAUSE JOB 1")
            assert bench.job(1).tasks[0].status is Status.RUNNING
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            bench.settle()
            assert bench.job(1).paused
            assert not any("RECOVER" in text for text in bench.events.notices)

    def test_now_cancels_the_step_without_ending_the_job(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES), obey=True)) as bench:
            bench.execute("ADMIN COMPACT solo")
            operation = bench.storage.operation("solo", "h3")
            operation.progress(0.3, steps=SEVENTEEN)
            bench.execute("PAUSE JOB 1 WITH now = true")
            assert operation.control.cancel.is_set()
            bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
            assert bench.job(1).status is Status.RUNNING
            assert bench.job(1).tasks[0].steps == SEVENTEEN

    def test_single_step_job_reports_what_a_pause_would_lose(self, bench: Bench) -> None:
        bench.execute("ADMIN FLUSH solo")
        bench.storage.operation("solo", "h3")
        (result,) = bench.execute("PAUSE JOB 1").results
        assert result.notice.startswith("No step to pause at: the work of job 1 on h3 is completed first")
        bench.storage.operation("solo", "h3").finish()
        bench.events.until(1, Status.FINISHED)

    def test_many_hosts_without_a_step_are_counted(self, tmp_path: Path) -> None:
        hosts = tuple(f"h{number}" for number in range(12))
        with open_bench(tmp_path, ScriptedStorage({"wide": hosts, "solo": ("s",)})) as bench:
            bench.execute("ADMIN FLUSH wide; ADMIN FLUSH solo")
            for host in hosts:
                bench.storage.operation("wide", host)
            bench.storage.operation("solo", "s")
            (result,) = bench.execute("PAUSE JOB 1, 2").results
            named = "job 1 on h0, h1, h2, h3, h4 and 7 more and job 2 on s"
            assert f"the work of {named} is completed first" in result.notice

    def test_single_step_compaction_is_canceled_only_by_now(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES), obey=True)) as bench:
            bench.execute("ADMIN COMPACT solo")
            operation = bench.storage.operation("solo", "h3")
            operation.progress(0.3, steps=StepPosition(0, 1))
            (result,) = bench.execute("PAUSE JOB 1").results
            assert result.notice == (
                "No step to pause at: the work of job 1 on h3 is completed first; "
                "WITH now = true cancels it instead, and it is lost"
            )
            assert not operation.control.cancel.is_set()
            bench.execute("PAUSE JOB 1 WITH now = true")
            assert operation.control.cancel.is_set()
            bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
            paused = [event.task for event in bench.job(1).events if event.kind is EventKind.PAUSED]
            assert paused == [None, 0]  # the job by the first request, and its task
            assert bench.refusal("PAUSE JOB 1 WITH now = true") == "Job 1 is already paused"

    def test_stop_of_paused_job_ends_it(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        bench.execute("PAUSE JOB 1")
        operation.pause(SEVENTEEN)
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        bench.execute("STOP JOB 1")
        job = bench.events.until(1, Status.STOPPED)
        assert not job.paused
        assert job.tasks[0].steps == SEVENTEEN

    def test_stop_while_pausing_ends_as_stopped(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        bench.execute("PAUSE JOB 1; STOP JOB 1")
        operation.pause(SEVENTEEN)
        assert bench.events.until(1, Status.STOPPED).tasks[0].status is Status.STOPPED

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("PAUSE JOB 9", "Job 9 does not exist"),
            ("PAUSE JOB 1", "Job 1 has already finished"),
            ("RESUME JOB 1", "Job 1 has already finished"),
            ("RESUME JOB 2", "Job 2 is not paused"),
            ("PAUSE JOB 2; PAUSE JOB 2", "Job 2 is already paused"),
        ],
    )
    def test_refusals(self, bench: Bench, text: str, message: str) -> None:
        bench.execute("ADMIN COMPACT solo")
        bench.storage.operation("solo", "h3").finish()
        bench.events.until(1, Status.FINISHED)
        bench.execute("ADMIN COMPACT solo")
        assert bench.refusal(text) == message


class TestTime:
    def test_pauses_are_not_counted(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        first = bench.storage.operation("solo", "h3")
        bench.advance(10)
        bench.execute("PAUSE JOB 1")
        bench.advance(5)  # until the step has ended
        first.pause(SEVENTEEN)
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        bench.advance(3600)
        bench.execute("RESUME JOB 1")
        rest = bench.storage.operation("solo", "h3", 1)
        bench.advance(20)
        rest.finish()
        job = bench.events.until(1, Status.FINISHED)
        assert (job.took, job.tasks[0].took) == (35, 35)
        values = bench.execute("SHOW JOB 1").results[0].rows[0].values
        assert (values["took"], values["paused_seconds"]) == (35, 3600)

    def test_waits_between_hosts_are_not_counted(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT pair WITH wait = 5 min")
        for host in ("h0", "h3"):
            operation = bench.storage.operation("pair", host)
            bench.advance(7)
            operation.finish()
            bench.events.wait_for(
                lambda h=host: bench.job(1).tasks["h0h3".index(h) // 2].status is Status.FINISHED
            )
            bench.advance(300)
        assert bench.events.until(1, Status.FINISHED).took == 14

    def test_working_time_of_a_job_that_runs(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        bench.storage.operation("solo", "h3")
        bench.advance(42)
        assert job_log.working_seconds(bench.job(1), bench.clock.now()) == 42
        assert job_log.paused_seconds(bench.job(1), bench.clock.now()) == 0

    def test_working_time_of_a_task_leaves_out_pauses(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        first = bench.storage.operation("solo", "h3")
        bench.advance(10)
        bench.execute("PAUSE JOB 1")
        first.pause(SEVENTEEN)
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        bench.advance(3600)
        assert job_log.task_seconds(bench.job(1), 0, bench.clock.now()) == 10
        bench.execute("RESUME JOB 1")
        bench.storage.operation("solo", "h3", 1).progress(0.25)
        bench.advance(20)
        now = bench.clock.now()
        assert job_log.task_seconds(bench.job(1), 0, now) == 30
        assert estimate_job_seconds(bench.job(1), {}, now) == 90

    def test_time_left_of_a_recovered_job_needs_its_rate(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        first = bench.storage.operation("solo", "h3")
        first.progress(0.25, steps=SEVENTEEN)
        first.fail()
        bench.events.until(1, Status.FAILED)
        bench.execute("RECOVER JOB 1")
        rest = bench.storage.operation("solo", "h3", 1)
        bench.advance(1)
        rest.progress(0.25, steps=SEVENTEEN, before=SpaceStats((Level(1, 400),)))
        now = bench.clock.now()
        assert estimate_job_seconds(bench.job(2), {}, now) is None  # the job before did this quarter
        assert estimate_job_seconds(bench.job(2), {(2, 0): 10.0}, now) == 30

    def test_time_left_counts_the_waits_to_come(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT nba WITH wait = 5 min")
        bench.storage.operation("nba", "h0")
        bench.advance(10)
        bench.storage.operation("nba", "h0").finish()
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.FINISHED)
        bench.advance(200)
        assert estimate_job_seconds(bench.job(1), {}, bench.clock.now()) == pytest.approx(20 + 2 * 300)


class TestSteps:
    def test_committed_and_reported(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            bench.execute("ADMIN COMPACT solo")
            operation = bench.storage.operation("solo", "h3")
            operation.progress(0.25, steps=SEVENTEEN)
            bench.events.wait_for(lambda: any(job.tasks[0].steps == SEVENTEEN for job in bench.events.jobs(1)))

    def test_at_most_one_commit_a_second(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        for done in range(1, 20):
            operation.progress(done / 64, steps=StepPosition(done, 64, "db-1", "default", b"k%d" % done))
        bench.events.wait_for(lambda: any(job.tasks[0].steps is not None for job in bench.events.jobs(1)))
        assert len([job for job in bench.events.jobs(1) if job.tasks[0].steps is not None]) == 1
        bench.advance(1)
        # it exists, or the test fails
        bench.events.wait_for(lambda: bench.engine.history.get(1).tasks[0].steps.done == 19)  # type: ignore[union-attr]

    def test_waiting_for_disk_is_shown_and_not_committed(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        operation.progress(0.25, waiting="3.1 GiB free, reserve 5 GiB")
        assert bench.job(1).tasks[0].waiting == "3.1 GiB free, reserve 5 GiB"
        stored = bench.engine.history.get(1)
        assert stored is not None
        assert stored.tasks[0].waiting == ""
        operation.progress(0.26)
        assert bench.job(1).tasks[0].waiting == ""

    def test_waiting_for_disk_is_no_work(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        bench.advance(10)
        operation.progress(0.2, waiting="3.1 GiB free, reserve 5 GiB")
        bench.advance(3600)
        operation.progress(0.3)
        bench.advance(20)
        operation.progress(0.9, waiting="3.1 GiB free, reserve 5 GiB")
        bench.advance(3600)
        operation.finish()
        job = bench.events.until(1, Status.FINISHED)
        assert (job.tasks[0].took, job.took) == (30, 30)

    def test_recover_continues_an_interrupted_job(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            bench.execute("ADMIN COMPACT solo")
            bench.storage.operation("solo", "h3").progress(0.25, steps=SEVENTEEN)
            bench.events.wait_for(lambda: any(job.tasks[0].steps == SEVENTEEN for job in bench.events.jobs(1)))
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            assert bench.job(1).status is Status.FAILED
            (result,) = bench.execute("RECOVER JOB 1").results
            assert result.notice == "Job 2 continues job 1 on h3 from step 18 of 64"
            request = bench.storage.operation("solo", "h3").request
            assert request is not None
            assert request.resume == SEVENTEEN

    @pytest.mark.parametrize(("option", "hosts"), [("whole", 3), ("failed_only", 1)])
    def test_recover_options(self, bench: Bench, option: str, hosts: int) -> None:
        bench.execute("ADMIN COMPACT nba")
        for host in ("h0", "h1"):
            bench.storage.operation("nba", host).finish()
        failing = bench.storage.operation("nba", "h2")
        failing.progress(0.25, steps=SEVENTEEN)
        failing.fail()
        bench.events.until(1, Status.FAILED)
        bench.execute(f"RECOVER JOB 1 WITH {option} = true")
        job = bench.job(2)
        assert len(job.tasks) == hosts
        assert job.tasks[-1].host == "h2"
        assert job.tasks[-1].steps == (None if option == "whole" else SEVENTEEN)

    def test_finished_job_starts_over(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        operation.progress(0.9, steps=SEVENTEEN)
        operation.finish()
        bench.events.until(1, Status.FINISHED)
        bench.execute("RECOVER JOB 1")
        assert bench.job(2).tasks[0].steps is None


class TestYield:
    def test_next_owner_continues_without_a_recover(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            bench.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
            operation = bench.storage.operation("solo", "h3")
            operation.progress(0.25, steps=SEVENTEEN)
            leaving = bench.engine.call(bench.engine.engine.dispatcher.yield_hosts())
            bench.engine.call(operation.control.pause.wait()).result(20)
            operation.pause(SEVENTEEN)
            leaving.result(20)
            assert len(bench.storage.begun) == 1
        with open_bench(tmp_path, ScriptedStorage(dict(SPACES))) as bench:
            again = bench.storage.operation("solo", "h3")
            assert (again.command, bench.job(1).status) == ("compact", Status.RUNNING)
            assert again.request is not None
            assert again.request.resume == SEVENTEEN

    def test_compaction_in_one_step_is_canceled_at_once(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        operation.progress(0.25, steps=StepPosition(0, 1))
        leaving = bench.engine.call(bench.engine.engine.dispatcher.yield_hosts())
        bench.engine.call(operation.control.cancel.wait()).result(20)
        operation.stop()
        leaving.result(20)
        assert (bench.job(1).status, bench.job(1).tasks[0].status) == (Status.RUNNING, Status.QUEUE)

    def test_step_is_canceled_after_two_seconds(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo")
        operation = bench.storage.operation("solo", "h3")
        operation.progress(0.25, steps=SEVENTEEN)
        leaving = bench.engine.call(bench.engine.engine.dispatcher.yield_hosts())
        bench.engine.call(operation.control.pause.wait()).result(20)
        bench.clock.wait_for_sleep(2)
        bench.advance(1.9)
        bench.engine.call(asyncio.sleep(0)).result(20)
        assert not operation.control.cancel.is_set()
        bench.advance(0.2)
        bench.engine.call(operation.control.cancel.wait()).result(20)
        operation.stop()
        leaving.result(20)
        job = bench.job(1)
        assert (job.status, job.tasks[0].status, job.tasks[0].steps) == (
            Status.RUNNING,
            Status.QUEUE,
            SEVENTEEN,
        )


class TestRate:
    def test_for_all_jobs_and_for_one(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT solo WITH rate = 5 MiB; ADMIN COMPACT nba")
        solo, nba = bench.storage.operation("solo", "h3"), bench.storage.operation("nba", "h0")
        assert (solo.control.rate, nba.control.rate) == (5 << 20, None)
        (result,) = bench.execute("SET RATE 50 MiB").results
        assert "from the next step on" in result.notice
        assert (solo.control.rate, nba.control.rate) == (50 << 20, 50 << 20)
        bench.execute("SET RATE OFF FOR JOB 1")
        assert (solo.control.rate, nba.control.rate) == (0, 50 << 20)
        assert bench.refusal("SET RATE 1 MiB FOR JOB 9") == "Job 9 does not exist"

    def test_refused_where_it_has_no_effect(self, tmp_path: Path) -> None:
        with open_bench(tmp_path / "embedded", ScriptedStorage(dict(SPACES))) as bench:
            bench.execute("ADMIN FLUSH solo")
            assert "Job 1 is a flush" in bench.refusal("SET RATE 1 MiB FOR JOB 1")
        storage = ScriptedStorage(dict(SPACES))
        storage.is_space_admin = False
        with open_bench(tmp_path / "storageds", storage) as bench:
            assert "storageds limit their writes themselves" in bench.refusal("SET RATE 1 MiB")


def test_json_has_the_values_of_options(bench: Bench) -> None:
    options = 'rate = 5 MiB, wait = 5 min, family = "a b", from = "k1", to = 0xff00, room = 10%'
    bench.execute(f"ADMIN COMPACT solo WITH {options}")
    (row, _) = bench.execute("SHOW JOB 1").results[0].rows
    assert row.values["options"] == {
        "rate": 5 << 20,
        "wait": 300,
        "family": ["a b"],
        "from": "k1",
        "to": "0xff00",
        "room": 0.1,
    }
