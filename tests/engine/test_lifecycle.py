"""The lifecycle of a job, rule by rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobtui.engine import job_log, lifecycle
from jobtui.engine.lifecycle import IllegalTransition, TaskOutcome
from jobtui.model import EventKind, Job, JobOptions, Level, SpaceStats, Status

T0 = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
FINISHED = TaskOutcome(Status.FINISHED, 1.0)
STOPPED = TaskOutcome(Status.STOPPED, 1.0, 0.4)


def failed(reason: str) -> TaskOutcome:
    return TaskOutcome(Status.FAILED, 1.0, 0.2, reason=reason, code="io")


def running(hosts: int = 3, begun: int | None = None) -> Job:
    job = lifecycle.new_job(40, "compact", "nba", [f"local{n}" for n in range(hosts)], T0)
    return lifecycle.start_tasks(job, range(hosts if begun is None else begun), T0)


def test_new_job_is_queued_with_a_task_per_host() -> None:
    job = lifecycle.new_job(40, "flush", "nba", ["a", "b"], T0)
    assert (job.status, job.label) == (Status.QUEUE, "flush nba")
    assert [(t.number, t.host, t.status) for t in job.tasks] == [(0, "a", Status.QUEUE), (1, "b", Status.QUEUE)]


def test_job_starts_with_its_first_task_and_only_once() -> None:
    job = running(begun=1)
    assert (job.status, job.start) == (Status.RUNNING, T0)
    later = lifecycle.start_tasks(job, [1], T0 + timedelta(seconds=5))
    assert later.start == T0
    assert [t.status for t in later.tasks] == [Status.RUNNING, Status.RUNNING, Status.QUEUE]
    assert [e.kind for e in later.events].count(EventKind.STARTED) == 1


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ([FINISHED, FINISHED, FINISHED], Status.FINISHED),
        ([FINISHED, failed("x"), FINISHED], Status.FAILED),
        ([FINISHED, STOPPED, FINISHED], Status.STOPPED),
        ([STOPPED, failed("x"), FINISHED], Status.FAILED),
    ],
)
def test_job_ends_when_its_last_task_has(ends: list[TaskOutcome], status: Status) -> None:
    job = running()
    for number, end in enumerate(ends):
        assert job.status is Status.RUNNING
        job = lifecycle.finish_task(job, number, end, T0 + timedelta(seconds=number + 1), took=9.5)
    assert job.status is status
    assert (job.stop, job.took) == (T0 + timedelta(seconds=3), 9.5)


def test_failed_job_has_the_first_failures_reason_and_host() -> None:
    job = running()
    for number in (2, 0, 1):
        job = lifecycle.finish_task(job, number, failed(f"reason {number}"), T0)
    assert job.reason == "local2: reason 2"


def test_cause_precedes_a_failed_host_that_is_a_path() -> None:
    job = lifecycle.new_job(1, "compact", "c3", ["/data/rdb 3"], T0)
    job = lifecycle.finish_task(lifecycle.start_tasks(job, [0], T0), 0, failed("another has it open"), T0)
    assert job.reason == "another has it open, at /data/rdb 3"


def test_stop_leaves_the_job_running_until_its_last_task_ends() -> None:
    job = lifecycle.request_stop(running(begun=2), T0)
    assert (job.status, job.stopping, job.ended_tasks) == (Status.RUNNING, True, 1)
    assert job.tasks[2].status is Status.STOPPED
    job = lifecycle.finish_task(job, 0, STOPPED, T0)
    assert (job.status, job.ended_tasks) == (Status.RUNNING, 2)
    job = lifecycle.finish_task(job, 1, FINISHED, T0)
    assert (job.status, job.stopping) == (Status.STOPPED, False)
    assert [t.status for t in job.tasks] == [Status.STOPPED, Status.FINISHED, Status.STOPPED]


def test_job_that_finishes_before_the_stop_is_finished() -> None:
    job = lifecycle.request_stop(running(2), T0)
    for number in (0, 1):
        job = lifecycle.finish_task(job, number, FINISHED, T0)
    assert job.status is Status.FINISHED


def test_task_that_fails_while_stopping_makes_the_job_failed() -> None:
    job = lifecycle.request_stop(running(2), T0)
    job = lifecycle.finish_task(job, 0, STOPPED, T0)
    job = lifecycle.finish_task(job, 1, failed("disk full"), T0)
    assert (job.status, job.reason) == (Status.FAILED, "local1: disk full")


def test_queued_job_is_stopped_at_once() -> None:
    job = lifecycle.request_stop(lifecycle.new_job(1, "flush", "nba", ["a"], T0), T0, took=3.0)
    assert (job.status, job.start, job.stop, job.took) == (Status.STOPPED, None, T0, None)
    assert job.tasks[0].status is Status.STOPPED


def test_running_job_whose_tasks_all_wait_is_stopped_at_once() -> None:
    job = lifecycle.finish_task(running(2, begun=1), 0, FINISHED, T0)
    job = lifecycle.request_stop(job, T0, took=2.0)
    assert (job.status, job.took) == (Status.STOPPED, 2.0)


def test_ended_is_final() -> None:
    job = lifecycle.finish_task(running(1), 0, FINISHED, T0)
    with pytest.raises(IllegalTransition):
        lifecycle.finish_task(job, 0, STOPPED, T0)
    with pytest.raises(IllegalTransition):
        lifecycle.start_tasks(job, [0], T0)
    with pytest.raises(IllegalTransition):
        lifecycle.request_stop(job, T0)
    with pytest.raises(IllegalTransition):
        lifecycle.interrupt(job, T0)


def test_interrupt_fails_running_tasks_and_stops_the_rest() -> None:
    job = lifecycle.finish_task(running(begun=2), 0, FINISHED, T0)
    job = lifecycle.interrupt(job, T0)
    assert (job.status, job.reason) == (Status.FAILED, "interrupted: jobtui ended while it ran")
    assert [t.status for t in job.tasks] == [Status.FINISHED, Status.FAILED, Status.STOPPED]
    assert (job.events[-1].kind.value, job.events[-1].reason) == ("interrupted", "jobtui ended while it ran")


def test_interrupted_job_shows_no_progress() -> None:
    died = TaskOutcome(Status.FAILED, progress=0.1, reason="its process died", code="host_died")
    job = lifecycle.finish_task(running(3), 0, died, T0)
    assert lifecycle.interrupt(job, T0).progress is None
    job = lifecycle.finish_task(running(3), 0, FINISHED, T0)
    assert lifecycle.interrupt(job, T0).progress is None


def test_clock_set_back_never_ends_a_job_before_its_start() -> None:
    job = lifecycle.finish_task(running(1), 0, FINISHED, T0 - timedelta(hours=1), took=0.25)
    assert job.stop == job.start == T0
    assert [event.at for event in job.events] == sorted(event.at for event in job.events)


def test_progress_is_weighted_by_bytes_if_all_are_known() -> None:
    job = running(2)
    done = lifecycle.finish_task(job, 0, FINISHED, T0)
    assert done.progress == pytest.approx(0.5)
    sized = TaskOutcome(
        Status.FINISHED, before=SpaceStats((Level(1, 300),)), after=SpaceStats((Level(1, 100),))
    )
    stopped = TaskOutcome(Status.STOPPED, progress=0.0, before=SpaceStats((Level(1, 100),)))
    job = lifecycle.finish_task(lifecycle.finish_task(running(3), 0, sized, T0), 1, sized, T0)
    job = lifecycle.finish_task(job, 2, stopped, T0)
    assert job.progress == pytest.approx(600 / 700)
    assert job.reclaimed == 400


def test_ended_is_final_and_queued_never_finishes() -> None:
    allowed = {(a, b) for a in Status for b in Status if a.may_become(b)}
    assert allowed == {
        (Status.QUEUE, Status.RUNNING),
        (Status.QUEUE, Status.FAILED),
        (Status.QUEUE, Status.STOPPED),
        (Status.RUNNING, Status.FINISHED),
        (Status.RUNNING, Status.FAILED),
        (Status.RUNNING, Status.STOPPED),
    }


def test_working_time_of_a_resumed_task_leaves_the_pause_out() -> None:
    job = lifecycle.pause(running(1), T0 + timedelta(seconds=10))
    job = lifecycle.requeue_task(job, 0, TaskOutcome(Status.QUEUE, 10.0, 0.5), T0 + timedelta(seconds=10))
    job = lifecycle.start_tasks(lifecycle.resume(job, T0 + timedelta(hours=1)), [0], T0 + timedelta(hours=1))
    at = T0 + timedelta(hours=1, seconds=5)
    assert job_log.task_seconds(job, 0, at) == 15


def test_attempts_without_a_wait_may_be_many() -> None:
    assert lifecycle.retry_wait(JobOptions(retry=10_000, retry_wait=0), 9_999) == 0
