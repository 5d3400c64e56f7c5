"""Which job and task runs next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from jobtui.engine import lifecycle
from jobtui.engine.lifecycle import TaskOutcome
from jobtui.engine.scheduler import MAX_CLOCK_CORRECTION, Start, decide
from jobtui.errors import ErrorCode
from jobtui.model import NOT_NEEDED, Job, JobOptions, Status

T0 = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)


def queued(job_id: int, *hosts: str) -> Job:
    return lifecycle.new_job(job_id, "flush", f"space{job_id}", hosts, T0)


def running(job_id: int, *hosts: str, begun: int | None = None) -> Job:
    return lifecycle.start_tasks(queued(job_id, *hosts), range(len(hosts) if begun is None else begun), T0)


def test_job_starts_on_all_its_hosts_at_once() -> None:
    assert decide([], [queued(1, "a", "b")], set(), set(), 4, T0).starts == (Start(1, (0, 1)),)


def test_spaces_run_side_by_side_first_come_first_served() -> None:
    starts = decide([], [queued(7, "c"), queued(3, "a", "b")], set(), set(), 4, T0).starts
    assert starts == (Start(3, (0, 1)), Start(7, (0,)))


def test_one_operation_a_host_at_a_time() -> None:
    starts = decide([], [queued(1, "a", "b"), queued(2, "b", "c")], set(), set(), 4, T0).starts
    assert starts == (Start(1, (0, 1)), Start(2, (1,)))


def test_job_without_a_free_host_lets_the_next_go_first() -> None:
    assert decide([], [queued(1, "a"), queued(2, "b")], {"a"}, set(), 1, T0).starts == (Start(2, (0,)),)


def test_running_job_s_waiting_task_comes_before_a_new_job() -> None:
    starts = decide([running(5, "a", "b", begun=1)], [queued(2, "b")], {"a"}, set(), 4, T0).starts
    assert starts == (Start(5, (1,)),)


def test_no_more_jobs_are_at_work_than_the_limit() -> None:
    heads = [queued(n, f"host{n}") for n in range(1, 6)]
    assert len(decide([], heads, set(), set(), 3, T0).starts) == 3
    assert decide([running(9, "z")], heads, {"z"}, set(), 1, T0).starts == ()


def test_job_waiting_for_a_busy_host_is_outside_the_limit() -> None:
    waits = lifecycle.finish_task(running(1, "x", "hung", begun=1), 0, TaskOutcome(Status.FINISHED), T0)
    assert decide([waits], [queued(2, "b")], {"hung"}, set(), 1, T0).starts == (Start(2, (0,)),)


def test_rolling_starts_at_most_its_number_of_hosts() -> None:
    job = replace(queued(1, "a", "b", "c"), options=JobOptions(rolling=2))
    assert decide([], [job], set(), set(), 4, T0).starts == (Start(1, (0, 1)),)
    begun = lifecycle.start_tasks(job, [0, 1], T0)
    assert decide([begun], [], {"a", "b"}, set(), 4, T0).starts == ()
    freed = lifecycle.finish_task(begun, 0, TaskOutcome(Status.FINISHED), T0)
    assert decide([freed], [], {"b"}, set(), 4, T0).starts == (Start(1, (2,)),)


def test_silent_job_does_not_count_against_the_limit() -> None:
    hung = running(1, "hung")
    assert decide([hung], [queued(2, "b")], {"hung"}, {1}, 1, T0).starts == (Start(2, (0,)),)
    assert decide([hung], [queued(2, "b")], {"hung"}, set(), 1, T0).starts == ()


def test_stopping_job_starts_nothing_more() -> None:
    job = lifecycle.request_stop(running(1, "a", "b", begun=1), T0)
    assert decide([job], [], {"a"}, set(), 4, T0).starts == ()


class TestWait:
    """Turns with five minutes between them, and attempts that are repeated after one."""

    options = JobOptions(rolling=1, wait=300, retry=3, retry_wait=60)

    def begun(self, *hosts: str) -> Job:
        """A job whose first host works."""
        return lifecycle.start_tasks(replace(queued(1, *hosts), options=self.options), [0], T0)

    def failed(self, *hosts: str) -> Job:
        """The same after an attempt that will be repeated."""
        end = TaskOutcome(Status.FAILED, reason="no room", code=ErrorCode.DISK_FULL)
        return lifecycle.requeue_task(self.begun(*hosts), 0, end, T0, retry_after=60)

    def started(self, job: Job, seconds: float) -> tuple[tuple[int, ...], float | None]:
        """The tasks that start after this many seconds, and after how many more may start."""
        decision = decide([job], [], set(), set(), 4, T0 + timedelta(seconds=seconds))
        due = None if decision.due is None else (decision.due - T0).total_seconds()
        return decision.starts[0].tasks if decision.starts else (), due

    def test_next_host_waits_after_a_failed_attempt(self) -> None:
        job = self.failed("a", "b")
        assert self.started(job, 0) == ((), 60)
        assert self.started(job, 60) == ((0,), None)  # the host itself does not wait for its own end
        # while its next attempt is prevented, the other host's turn comes, and not before
        busy = decide([job], [], {"a"}, set(), 4, T0 + timedelta(seconds=299))
        assert (busy.starts, busy.due) == ((), T0 + timedelta(seconds=300))
        assert decide([job], [], {"a"}, set(), 4, T0 + timedelta(seconds=300)).starts == (Start(1, (1,)),)

    def test_host_that_waits_for_others_waits_for_the_last(self) -> None:
        job = lifecycle.start_tasks(self.failed("a", "b"), [1], T0 + timedelta(seconds=300))
        job = lifecycle.finish_task(job, 1, TaskOutcome(Status.FINISHED), T0 + timedelta(seconds=400))
        assert self.started(job, 699) == ((), 700)
        assert self.started(job, 700) == ((0,), None)

    def test_paused_host_continues_at_once(self) -> None:
        job = lifecycle.pause(self.begun("a", "b"), T0)
        job = lifecycle.requeue_task(job, 0, TaskOutcome(Status.QUEUE), T0)
        assert self.started(lifecycle.resume(job, T0), 1) == ((0,), None)

    def test_excluded_host_is_not_waited_for(self) -> None:
        end = TaskOutcome(Status.FINISHED, reason=f"{NOT_NEEDED}: deletions 2%")
        assert self.started(lifecycle.finish_task(self.begun("a", "b"), 0, end, T0), 0) == ((1,), None)

    @pytest.mark.parametrize(("set_back", "starts"), [(3, False), (30 * 86_400, True)])
    def test_clock_set_back_ends_a_wait_that_would_last_for_days(self, set_back: int, starts: bool) -> None:
        assert timedelta(seconds=3) < MAX_CLOCK_CORRECTION < timedelta(days=30)
        ended = lifecycle.finish_task(self.begun("a", "b"), 0, TaskOutcome(Status.FINISHED), T0)
        for job in (ended, self.failed("a")):
            assert (self.started(job, -set_back)[0] != ()) is starts
