"""Requests to a cluster about an existing job: to stop it, and to run it again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.engine.cluster import lifecycle
from jobtui.engine.cluster.requests import ClusterRequests
from jobtui.errors import ErrorCode, StorageError
from jobtui.history import StoreFull
from jobtui.model import ClusterRef, EventKind, Job, Status, Task
from jobtui.storage.base import ClusterJob
from tests.support.cluster_bench import ClusterBench, cluster_bench, ended_on, lost, refusal
from tests.support.engines import WAIT
from tests.support.scripted_manager import START, ScriptedManager

LATER = START + timedelta(minutes=5)


# ---- stopped


def test_stop_names_who_requested_it_and_why(prod: ClusterBench) -> None:
    prod.rows("ADMIN FLUSH nba")
    prod.rows('STOP JOB 1 WITH because = "wrong space"')
    prod.events.until(1, Status.STOPPED)
    values = prod.execute("SHOW JOB 1").results[0].rows[0].values
    assert values["stopped_by"] == prod.session.requested_by
    assert values["stopped_reason"] == "wrong space"
    assert (values["write_limit"], values["limited_by"]) == (None, "")


def test_stop_keeps_its_time_when_the_tasks_of_its_job_become_known() -> None:
    end = START + timedelta(seconds=9)
    listed = ClusterJob(4, "compact", Status.RUNNING, START, None, tasks=())
    ended = replace(listed, status=Status.STOPPED, stop=end)
    job = lifecycle.discover(1, ClusterRef("prod", "nba", 4), listed, START)
    job = lifecycle.request_stop(job, START + timedelta(seconds=5), "", "anna@db1, script")
    job = lifecycle.apply_update(job, ended, LATER)
    task = Task(0, "10.0.0.5", Status.STOPPED, start=START, stop=end)
    events = lifecycle.amend(job, replace(ended, tasks=(task,)), LATER).events
    assert [event.kind for event in events if event.task is None] == [event.kind for event in job.events]
    asked = next(event for event in events if event.kind is EventKind.STOP_ASKED)
    assert asked.at == START + timedelta(seconds=5)


def test_stop_is_sent_and_its_effect_polled_at_once(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.QUEUE))
    prod.events.until(1, Status.QUEUE)
    assert prod.rows("STOP JOB 1") == [("stop 1 jobs 0 tasks",)]
    assert "stop nba 40" in prod.manager.asked
    job = prod.job(1)
    assert (job.status, job.stopping) == (Status.STOPPED, False)
    assert prod.refusal("STOP JOB 1") == "Job 1 has already stopped"


def test_refused_stop_is_not_recorded_as_a_stop(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.RUNNING, "compact"))
    prod.events.until(1, Status.RUNNING)
    prod.manager.refusal = refusal()
    message = prod.refusal("STOP JOB 1")
    assert message == (
        "Job 1 (compact nba) was not stopped; the cluster says: The job type do not support stopping"
    )
    job = prod.job(1)
    assert (job.status, job.stopping) == (Status.RUNNING, False)
    assert job.events[-1].kind is EventKind.NOTE
    prod.cluster(lambda manager: manager.put("nba", 40, Status.STOPPED))
    assert prod.events.until(1, Status.STOPPED)
    assert prod.execute("SHOW JOB 1").results[0].rows[0].values["stopped_by"] == ""


def test_refused_stop_does_not_keep_a_job_from_its_end(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.RUNNING, "compact"))
    prod.events.until(1, Status.RUNNING)
    prod.manager.refusal = refusal()
    prod.refusal("STOP JOB 1")
    prod.cluster(lambda manager: manager.put("nba", 40, Status.FINISHED))
    prod.events.until(1, Status.FINISHED)


def test_lost_answer_to_a_stop_is_resolved_by_the_list(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.QUEUE))
    prod.events.until(1, Status.QUEUE)
    prod.manager.lost_answer = StorageError(ErrorCode.TIMEOUT, "", "nba", "no answer", outcome_unknown=True)
    assert prod.rows("STOP JOB 1") == [("stop 1 jobs 0 tasks",)]
    assert prod.job(1).status is Status.STOPPED
    assert prod.manager.asked.count("stop nba 40") == 1


def test_stop_of_unknown_outcome_is_not_called_refused(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40))
    prod.events.until(1, Status.RUNNING)
    prod.manager.refusal = StorageError(ErrorCode.TIMEOUT, "", "nba", "no answer", outcome_unknown=True)
    message = prod.refusal("STOP JOB 1")
    assert message == (
        "It is not known yet whether job 1 (flush nba) was stopped, and it is not asked again: no answer"
    )
    assert (prod.job(1).status, prod.job(1).stopping) == (Status.RUNNING, False)


def test_request_that_was_never_sent_is_not_called_refused(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40))
    prod.events.until(1, Status.RUNNING)
    prod.manager.refusal = StorageError(ErrorCode.UNREACHABLE, "", "nba", "no connection")
    assert prod.refusal("STOP JOB 1") == "Job 1 (flush nba) was not stopped: no connection"
    assert prod.refusal("ADMIN COMPACT nba") == "compact nba (job 2) was not sent: no connection"
    assert prod.job(2).reason == "it was not sent: no connection"


def test_options_that_the_cluster_would_ignore_are_refused(prod: ClusterBench) -> None:
    assert prod.refusal("ADMIN COMPACT nba WITH retry = 2") == (
        "retry is not possible for COMPACT on a cluster that runs its jobs itself (it takes because)"
    )


def test_cluster_cannot_pause_and_the_alternative_is_named(prod: ClusterBench) -> None:
    for cluster_id in (40, 41):
        prod.cluster(lambda manager, number=cluster_id: manager.put("nba", number, Status.RUNNING))
        prod.events.wait_for(lambda number=cluster_id: prod.of("nba", number))
    refused = "The cluster runs its jobs itself and cannot pause one"
    assert prod.refusal("PAUSE JOB 1") == f"{refused}; STOP JOB 1 ends it"
    assert prod.refusal("PAUSE JOB 1, 2") == f"{refused}; STOP JOB 1, 2 ends them"
    assert prod.refusal("RESUME JOB 1") == refused
    assert not prod.job(1).paused


def test_impossible_request_is_refused_before_it_is_sent(prod: ClusterBench) -> None:
    ended_on(prod, 40, Status.FINISHED)
    for text, message in (
        ("STOP JOB 99", "Job 99 does not exist"),
        ("STOP JOB 1", "Job 1 has already finished"),
        ("RECOVER JOB 99", "Job 99 does not exist"),
        ("RECOVER JOB 1", "Job 1 has finished: the cluster runs only failed and stopped jobs again"),
    ):
        assert prod.refusal(text) == message
    prod.execute("BACKUP JOB 0 9")
    assert prod.refusal("STOP JOB 1") == "Job 1 is archived"
    assert not [one for one in prod.manager.asked if one.startswith(("stop", "recover"))]


# ---- run again


def test_recovered_job_is_a_new_job_with_the_same_origin(prod: ClusterBench) -> None:
    old = ended_on(prod, 40, Status.FAILED)
    assert prod.rows("RECOVER JOB 1") == [("2",)]
    assert "recover nba [40]" in prod.manager.asked
    prod.cluster(lambda manager: manager.change("nba", 40, status=Status.RUNNING, start=LATER, stop=None))
    prod.events.until(2, Status.RUNNING)
    prod.cluster(lambda manager: manager.change("nba", 40, status=Status.FINISHED, stop=LATER))
    new = prod.events.until(2, Status.FINISHED)
    assert (new.recovered_from, new.origin, new.start) == (1, old.origin, LATER)
    assert prod.job(1) == old
    assert prod.refusal("RECOVER JOB 1") == "Job 1 was run again already, as job 2"


def test_job_recovered_by_others_becomes_another_job(prod: ClusterBench) -> None:
    old = ended_on(prod, 40, Status.STOPPED)
    prod.cluster(lambda manager: manager.put("nba", 40, Status.QUEUE))
    new = prod.events.until(2, Status.QUEUE)
    assert (new.recovered_from, new.origin) == (1, old.origin)
    prod.cluster(lambda manager: manager.change("nba", 40, status=Status.FINISHED, start=LATER, stop=LATER))
    prod.events.until(2, Status.FINISHED)
    assert prod.job(1) == old


def test_run_missed_between_two_polls_becomes_another_job(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.RUNNING))
    prod.events.until(1, Status.RUNNING)
    prod.cluster(lambda manager: manager.change("nba", 40, start=LATER))
    new = prod.events.until(2, Status.RUNNING)
    assert (prod.job(1).status, new.recovered_from) == (Status.STOPPED, 1)
    assert "ran it again before it reported" in prod.job(1).reason


def test_failed_recovery_leaves_the_old_job_recoverable(
    prod: ClusterBench,
) -> None:
    ended_on(prod, 40, Status.FAILED)
    prod.manager.refusal = refusal("no way")
    assert prod.refusal("RECOVER JOB 1") == "Job 1 was not recovered: the cluster says: no way"
    assert (prod.job(2).status, prod.job(2).recovered_from) == (Status.STOPPED, None)
    prod.manager.refusal = None
    assert prod.rows("RECOVER JOB") == [("3",)]
    assert prod.job(3).recovered_from == 1


def test_recovery_that_was_lost_is_detected(prod: ClusterBench) -> None:
    ended_on(prod, 40, Status.FAILED)
    prod.manager.refusal = lost()
    assert prod.execute("RECOVER JOB 1").results[0].jobs == (2,)
    while not prod.job(2).status.ended:
        prod.clock.wait_for_sleepers(1)
        prod.clock.advance(10)
    assert prod.job(2).reason == "the cluster did not run it again"
    assert prod.manager.asked.count("recover nba [40]") == 1


def test_recover_without_ids_requests_only_jobs_still_listed(prod: ClusterBench) -> None:
    ended_on(prod, 40, Status.FAILED)
    prod.cluster(lambda manager: manager.put("nba", 41, Status.STOPPED))
    prod.cluster(lambda manager: manager.put("test2", 42, Status.FAILED))
    prod.events.until(3, Status.FAILED)
    prod.cluster(lambda manager: manager.there["nba"].pop(40))
    assert prod.rows("USE nba; RECOVER JOB") == [("4",)]
    prod.session.space = None
    assert prod.rows("RECOVER JOB") == [("5",)]
    assert [one for one in prod.manager.asked if one.startswith("recover")] == [
        "recover nba [41]",
        "recover test2 [42]",
    ]


def two_alike_and_another(prod: ClusterBench) -> None:
    for cluster_id, command in ((40, "compact"), (41, "compact"), (42, "flush")):
        prod.cluster(lambda manager, n=cluster_id, what=command: manager.put("nba", n, Status.FAILED, what))
    prod.events.until(3, Status.FAILED)
    prod.manager.one_of_a_kind = True


def test_recover_without_ids_reports_jobs_left_out(prod: ClusterBench) -> None:
    two_alike_and_another(prod)
    result = prod.execute("RECOVER JOB").results[0]
    again = [prod.job(job).recovered_from for job in result.jobs]
    assert again == [1, 3]
    assert result.notice == (
        "Job 2 was not recovered: the cluster has such a job in flight, or no longer has this one"
    )


def test_partly_failed_recover_names_the_recovered_jobs(
    prod: ClusterBench,
) -> None:
    two_alike_and_another(prod)
    message = prod.refusal("RECOVER JOB 1, 2, 3")
    assert message.startswith("Job 2 was not recovered: ")
    assert message.endswith("; job 1 runs again as job 4; job 3 runs again as job 6")
    assert [prod.manager.asked.count(f"recover nba [{one}]") for one in (40, 41, 42)] == [1, 1, 1]


def test_end_retracted_by_the_cluster_amends_the_record(prod: ClusterBench) -> None:
    old = ended_on(prod, 40, Status.STOPPED)
    prod.cluster(lambda manager: manager.put("nba", 40, Status.FINISHED))
    new = prod.events.until(1, Status.FINISHED)
    notice = "Job 1 had ended as stopped; the cluster now says that it finished"
    prod.events.wait_for(lambda: notice in prod.events.notices)
    assert new.events[: len(old.events)] == old.events
    assert new.events[-1].reason == "the cluster later reported that it finished, not that it was stopped"
    assert prod.engine.history.last_id() == 1


def test_archived_run_with_same_id_hides_no_pending_job(prod: ClusterBench) -> None:
    ended_on(prod, 40, Status.FINISHED)
    prod.execute("BACKUP JOB 1 1")
    requests = prod.engine.engine.control
    assert isinstance(requests, ClusterRequests)
    for start, is_unknown in (
        (LATER, True),
        (START, False),
    ):  # after a new setup, the cluster gives old ids again
        job = ClusterJob(40, "compact", Status.FINISHED, start)
        assert prod.cluster(lambda _, job=job: requests._is_unknown_run("nba", job)) is is_unknown


# ---- on a full disk


def refuse(
    prod: ClusterBench, patch: pytest.MonkeyPatch, which: Callable[[Job], bool], times: int = 1000
) -> None:
    """Fail commits with such a job as on a full disk, this many times."""
    commit = prod.engine.history.commit
    left = [None] * times

    def full(*jobs: Job) -> Future[None]:
        if not (left and any(map(which, jobs))):
            return commit(*jobs)
        left.pop()
        refused: Future[None] = Future()
        refused.set_exception(StoreFull("the disk is full"))
        return refused

    patch.setattr(prod.engine.history, "commit", full)


def test_recover_on_a_full_disk_names_lost_and_recovered_jobs(
    prod: ClusterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_alike_and_another(prod)
    refuse(prod, monkeypatch, lambda job: job.recovered_from == 3)
    assert prod.refusal("RECOVER JOB 1, 3") == (
        "Job 3 was not recovered: the disk is full; job 1 runs again as job 4"
    )
    assert "recover nba [42]" not in prod.manager.asked


def test_run_that_is_seen_on_a_full_disk_keeps_its_lineage(
    prod: ClusterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.RUNNING))
    prod.events.until(1, Status.RUNNING)
    refuse(prod, monkeypatch, lambda job: job.recovered_from == 1, times=1)
    prod.cluster(lambda manager: manager.change("nba", 40, start=LATER))
    prod.events.wait_for(lambda: prod.engine.write_error)
    prod.clock.pass_by(2)
    prod.events.until(1, Status.STOPPED)
    (first, again) = prod.of("nba", 40)
    assert (first.status, again.status, again.recovered_from) == (Status.STOPPED, Status.RUNNING, 1)


# ---- seen by two


class SlowManager(ScriptedManager):
    """One whose answer about one job waits for `go_on`, once a test has set that."""

    def __init__(self, slow: int) -> None:
        super().__init__()
        self.slow = slow
        self.go_on: asyncio.Event | None = None
        self.waiting = threading.Event()

    async def show(self, space: str, job: int) -> ClusterJob:
        if job == self.slow and self.go_on is not None:
            self.waiting.set()
            await self.go_on.wait()
        return await super().show(space, job)


def test_update_polled_before_a_stop_creates_no_run(tmp_path: Path) -> None:
    manager = SlowManager(41)
    with cluster_bench(tmp_path, manager) as prod:
        prod.caught_up()
        prod.cluster(lambda _: manager.put("nba", 40, Status.QUEUE))
        prod.events.until(1, Status.QUEUE)
        prod.cluster(lambda _: manager.put("nba", 41, Status.RUNNING, "compact"))
        prod.events.until(2, Status.RUNNING)

        def begins_to_run(_: ScriptedManager) -> None:
            manager.go_on = asyncio.Event()
            manager.put("nba", 40, Status.RUNNING)

        prod.cluster(begins_to_run)
        assert manager.waiting.wait(WAIT)
        prod.rows("STOP JOB 1")
        prod.cluster(lambda _: manager.go_on and manager.go_on.set())
        prod.seen()
        assert [(job.id, job.status) for job in prod.of("nba", 40)] == [(1, Status.STOPPED)]
