"""Which job and task runs next (DESIGN, "Engine")."""

from __future__ import annotations

from datetime import UTC, datetime

from jobtui.engine import lifecycle
from jobtui.engine.lifecycle import TaskOutcome
from jobtui.engine.scheduler import Start, decide
from jobtui.model import Job, Status

T0 = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)


def queued(job_id: int, *hosts: str) -> Job:
    return lifecycle.new_job(job_id, "flush", f"space{job_id}", hosts, T0)


def running(job_id: int, *hosts: str, begun: int | None = None) -> Job:
    return lifecycle.start_tasks(queued(job_id, *hosts), range(len(hosts) if begun is None else begun), T0)


def test_a_job_starts_on_all_its_hosts_at_once() -> None:
    assert decide([], [queued(1, "a", "b")], set(), set(), 4, T0).starts == (Start(1, (0, 1)),)


def test_spaces_run_side_by_side_first_come_first_served() -> None:
    starts = decide([], [queued(7, "c"), queued(3, "a", "b")], set(), set(), 4, T0).starts
    assert starts == (Start(3, (0, 1)), Start(7, (0,)))


def test_one_operation_a_host_at_a_time() -> None:
    starts = decide([], [queued(1, "a", "b"), queued(2, "b", "c")], set(), set(), 4, T0).starts
    assert starts == (Start(1, (0, 1)), Start(2, (1,)))


def test_a_job_none_of_whose_hosts_is_free_leaves_its_place_to_the_next() -> None:
    assert decide([], [queued(1, "a"), queued(2, "b")], {"a"}, set(), 1, T0).starts == (Start(2, (0,)),)


def test_a_running_job_s_waiting_task_comes_before_a_new_job() -> None:
    starts = decide([running(5, "a", "b", begun=1)], [queued(2, "b")], {"a"}, set(), 4, T0).starts
    assert starts == (Start(5, (1,)),)


def test_no_more_jobs_are_at_work_than_the_limit() -> None:
    heads = [queued(n, f"host{n}") for n in range(1, 6)]
    assert len(decide([], heads, set(), set(), 3, T0).starts) == 3
    assert decide([running(9, "z")], heads, {"z"}, set(), 1, T0).starts == ()


def test_a_job_that_waits_for_a_busy_host_does_not_count_against_the_limit() -> None:
    waits = lifecycle.finish_task(running(1, "x", "hung", begun=1), 0, TaskOutcome(Status.FINISHED), T0)
    assert decide([waits], [queued(2, "b")], {"hung"}, set(), 1, T0).starts == (Start(2, (0,)),)


def test_a_silent_job_does_not_count_against_the_limit() -> None:
    hung = running(1, "hung")
    assert decide([hung], [queued(2, "b")], {"hung"}, {1}, 1, T0).starts == (Start(2, (0,)),)
    assert decide([hung], [queued(2, "b")], {"hung"}, set(), 1, T0).starts == ()


def test_a_stopping_job_starts_nothing_more() -> None:
    job = lifecycle.request_stop(running(1, "a", "b", begun=1), T0)
    assert decide([job], [], {"a"}, set(), 4, T0).starts == ()
