"""Jobs of a cluster that manages them itself, over a scripted job manager."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.history import History
from jobtui.model import ClusterRef, ConnectionState, Job, Status
from jobtui.storage.base import ClusterJob
from tests.support.clock import FakeClock
from tests.support.cluster_bench import ClusterBench, cluster_bench, ended_on, lost, refusal
from tests.support.engines import WAIT, compared_with_disk
from tests.support.scripted_manager import START, ScriptedManager

# ---- seen


def test_submitted_job_follows_the_cluster_to_its_end(prod: ClusterBench) -> None:
    assert prod.rows("ADMIN COMPACT nba") == [("1",)]
    assert "submit compact nba" in prod.manager.asked
    prod.events.until(1, Status.RUNNING)
    prod.cluster(lambda manager: manager.put("nba", 1, Status.FINISHED))
    job = prod.events.until(1, Status.FINISHED)
    assert job.origin == ClusterRef("prod", "nba", 1)
    assert [(task.host, task.status) for task in job.tasks] == [("10.0.0.5", Status.FINISHED)]
    assert prod.events.statuses(1) == [Status.QUEUE, Status.RUNNING, Status.FINISHED]
    assert prod.engine.wait_ended([1]).result(WAIT) == (job,)


def test_jobs_of_other_users_appear_with_any_command(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.RUNNING, "stats"))
    prod.events.until(1, Status.RUNNING)
    prod.cluster(lambda manager: manager.put("test2", 41, Status.FAILED, "rebuild tag index"))
    job = prod.events.until(2, Status.FAILED)
    # it was not listed a moment ago: its start is that long ago only by the cluster's clock
    assert (job.label, job.start, job.submitted) == ("rebuild tag index test2", START, prod.clock.now())
    # a cluster does not report who requested them
    assert {row.values["requested_by"] for row in prod.execute("SHOW JOBS").results[0].rows} == {"cluster prod"}
    assert prod.execute("SHOW JOB 2").results[0].rows[0].values["requested_by"] == "cluster prod"
    assert [row[1:3] for row in prod.rows("SHOW JOBS")] == [
        ("stats nba", "running"),
        ("rebuild tag index test2", "failed"),
    ]


def test_job_times_are_those_of_the_cluster_clock(prod: ClusterBench) -> None:
    ahead = prod.clock.now() + timedelta(hours=9)
    prod.cluster(lambda manager: manager.put("nba", 40, Status.FINISHED))
    prod.events.until(1, Status.FINISHED)
    tomorrow = ClusterJob(41, "flush", Status.FINISHED, ahead, ahead + timedelta(seconds=3), tasks=())
    prod.cluster(lambda manager: manager.there["nba"].update({41: tomorrow}))
    job = prod.events.until(2, Status.FINISHED)
    assert (job.start, job.stop, job.took) == (ahead, ahead + timedelta(seconds=3), 3.0)
    assert job.submitted == prod.clock.now()
    assert [event.at for event in job.events] == sorted(event.at for event in job.events)


def test_every_published_status_of_a_cluster_job_is_on_disk(prod: ClusterBench, tmp_path: Path) -> None:
    with compared_with_disk(prod.engine, tmp_path) as seen:
        prod.execute("ADMIN FLUSH nba")
        prod.events.until(1, Status.RUNNING)
        prod.cluster(lambda manager: manager.put("nba", 1, Status.FINISHED))
        prod.events.until(1, Status.FINISHED)
    assert len(seen) >= 3
    assert all(seen)


def test_job_gone_from_the_cluster_fails_and_detaches_tasks(
    prod: ClusterBench,
) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40))
    prod.events.until(1, Status.RUNNING)
    prod.cluster(lambda manager: manager.there["nba"].clear())
    while not prod.job(1).status.ended:
        prod.seen()
    job = prod.events.until(1, Status.FAILED)
    assert job.reason == "the cluster no longer knows this job"
    assert [(task.status, task.detached) for task in job.tasks] == [(Status.STOPPED, True)]


@pytest.mark.parametrize("status", [Status.QUEUE, Status.RUNNING])
def test_known_id_with_another_command_is_another_job(prod: ClusterBench, status: Status) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, status, "flush"))
    prod.events.until(1, status)
    prod.cluster(lambda manager: manager.there["nba"].clear())  # it was set up again between two polls
    prod.cluster(lambda manager: manager.put("nba", 40, status, "compact"))
    new = prod.events.until(2, status)
    assert (new.label, new.recovered_from) == ("compact nba", None)
    old = prod.job(1)
    assert (old.label, old.status) == ("flush nba", Status.STOPPED)
    assert "another job under this one's id" in old.reason


# ---- submitted


def test_request_is_in_the_history_before_it_is_sent(prod: ClusterBench, tmp_path: Path) -> None:
    prod.cluster(lambda manager: manager.answers.clear())
    answer = prod.engine.execute("ADMIN FLUSH nba", prod.session)
    prod.manager.wait_for(lambda: "submit flush nba" in prod.manager.asked)
    reader = History.open(tmp_path / "history", write=False)
    on_disk = reader.get(1)
    assert on_disk is not None
    assert (on_disk.status, on_disk.origin) == (Status.QUEUE, ClusterRef("prod", "nba", 0))
    reader.close()
    prod.cluster(lambda manager: manager.answers.set())
    assert answer.result(WAIT).results[0].jobs == (1,)


def test_job_listed_before_its_reply_is_matched_once(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.answers.clear())
    answer = prod.engine.execute("ADMIN FLUSH nba", prod.session)
    prod.manager.wait_for(lambda: "submit flush nba" in prod.manager.asked)
    prod.cluster(lambda manager: manager.put("test2", 7, command="stats"))
    prod.events.until(2, Status.RUNNING)  # others are not held back
    prod.manager.wait_for(lambda: "show nba 1" in prod.manager.asked)
    assert prod.job(1).status is Status.QUEUE
    prod.cluster(lambda manager: manager.answers.set())
    assert answer.result(WAIT).results[0].jobs == (1,)
    prod.events.until(1, Status.RUNNING)
    assert [job.id for job in prod.of("nba", 1)] == [1]
    assert prod.engine.history.last_id() == 2


def test_job_equal_to_one_in_flight_returns_that_one(prod: ClusterBench) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.RUNNING, "compact"))
    prod.events.until(1, Status.RUNNING)
    answer = prod.execute("ADMIN COMPACT nba")
    assert answer.results[0].jobs == (1,)
    assert answer.results[0].notice == "The cluster has this job already: it is job 1"
    record = prod.job(2)
    assert (record.status, record.reason) == (Status.STOPPED, "the cluster has it already as job 1")
    assert record.origin == ClusterRef("prod", "nba", 0)
    assert prod.execute("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN FLUSH nba").failure is None
    assert [job.id for job in prod.of("nba", 41)] == [4]


@pytest.mark.parametrize("seen_first", [False, True])
def test_lost_submit_is_matched_with_the_listed_job(prod: ClusterBench, seen_first: bool) -> None:
    prod.cluster(lambda manager: manager.put("nba", 40, Status.FINISHED))
    prod.events.until(1, Status.FINISHED)
    prod.manager.lost_answer = lost()
    if seen_first:
        prod.cluster(lambda manager: manager.answers.clear())
    answer = prod.engine.execute("ADMIN FLUSH nba", prod.session)
    prod.manager.wait_for(lambda: "submit flush nba" in prod.manager.asked)
    if seen_first:
        prod.cluster(lambda manager: None)
        prod.manager.wait_for(lambda: "show nba 41" in prod.manager.asked)
        prod.cluster(lambda manager: manager.answers.set())
    result = answer.result(WAIT).results[0]
    assert result.jobs == (2,)
    assert "is not known yet" in result.notice
    assert prod.events.until(2, Status.RUNNING).origin == ClusterRef("prod", "nba", 41)
    assert prod.manager.asked.count("submit flush nba") == 1
    assert prod.engine.history.last_id() == 2


def test_lost_submit_that_no_list_shows_was_not_executed(prod: ClusterBench) -> None:
    prod.manager.refusal = lost()  # it never came there
    assert prod.execute("ADMIN FLUSH nba").results[0].jobs == (1,)
    assert prod.job(1).status is Status.QUEUE
    while not prod.job(1).status.ended:
        prod.clock.wait_for_sleepers(1)
        prod.clock.advance(10)
        prod.seen()
    job = prod.job(1)
    assert (job.status, job.reason) == (
        Status.STOPPED,
        "its answer was lost, and the cluster lists no such job: it was not carried out",
    )
    assert prod.manager.asked.count("submit flush nba") == 1


def test_refusal_is_quoted_and_leaves_a_stopped_job(prod: ClusterBench) -> None:
    prod.manager.refusal = refusal("PermissionError: No permission to write data.")
    message = prod.refusal("ADMIN FLUSH nba")
    assert message == "The cluster refused flush nba (job 1): PermissionError: No permission to write data."
    assert (prod.job(1).status, prod.job(1).reason) == (
        Status.STOPPED,
        "the cluster refused it: PermissionError: No permission to write data.",
    )


def test_unknown_space_is_refused_before_anything_is_written(prod: ClusterBench) -> None:
    assert prod.refusal("ADMIN FLUSH nbaa") == "Space 'nbaa' does not exist; did you mean 'nba'?"
    assert prod.refusal("ADMIN FLUSH").startswith("Space was not chosen")
    assert prod.engine.history.last_id() == 0


# ---- the history


def test_backup_archives_only_locally_and_reports_it(prod: ClusterBench) -> None:
    ended_on(prod, 40, Status.FINISHED)
    result = prod.execute("BACKUP JOB 0 9").results[0]
    assert [row.cells for row in result.rows] == [("backup 1 jobs 1 tasks",)]
    assert result.notice == "Archived only in jobtui's history: the cluster keeps its own list of its jobs"


def test_jobs_are_attached_again_at_the_next_start(tmp_path: Path) -> None:
    manager, clock = ScriptedManager(), FakeClock()
    with cluster_bench(tmp_path, manager, clock) as before:
        before.execute("ADMIN COMPACT nba")
        before.events.until(1, Status.RUNNING)
        before.cluster(lambda manager: manager.put("nba", 2, Status.FINISHED))
        before.events.until(2, Status.FINISHED)
        before.execute("BACKUP JOB 2 2")
    manager = _copy(manager)
    manager.put("nba", 1, Status.FINISHED)
    with cluster_bench(tmp_path, manager, clock) as after:
        after.caught_up()
        assert (after.job(1).status, after.job(1).stop) == (Status.FINISHED, START)
        assert after.engine.history.last_id() == 2
        assert not [text for text in after.events.notices if "interrupted" in text]


def test_job_older_than_the_index_is_looked_up_in_the_history(tmp_path: Path) -> None:
    old = ClusterJob(
        5, "flush", Status.FINISHED, START - timedelta(days=40), START - timedelta(days=40), tasks=()
    )
    manager = ScriptedManager()
    manager.there["nba"][5] = old
    with cluster_bench(tmp_path, manager) as before:
        before.caught_up()
        assert before.job(1).start == old.start
    manager = _copy(manager)
    with cluster_bench(tmp_path, manager) as after:
        after.caught_up()
        assert after.engine.history.last_id() == 1


def test_request_interrupted_by_a_crash_is_reported(tmp_path: Path) -> None:
    history = History.open(tmp_path / "history")
    origin = ClusterRef("prod", "nba", 0)
    history.commit(_waiting(history.new_id(), origin)).result()
    history.commit(_waiting(history.new_id(), ClusterRef("staging", "nba", 7))).result()
    history.commit(_waiting(history.new_id(), None)).result()
    history.close()
    with cluster_bench(tmp_path, ScriptedManager()) as bench:
        assert [bench.job(n).status for n in (1, 2, 3)] == [Status.STOPPED] * 3
        assert "before the cluster had answered" in bench.job(1).reason
        assert "no longer connected to cluster 'staging'" in bench.job(2).reason
        assert "are now those of the cluster prod" in bench.job(3).reason


# ---- the connection


def test_engine_opens_without_its_cluster_and_shows_why(tmp_path: Path) -> None:
    manager = ScriptedManager()
    manager.set_connection(ConnectionState.LOST)
    with cluster_bench(tmp_path, manager) as bench:
        assert bench.engine.connection == manager.link
        assert bench.refusal("ADMIN FLUSH nba") == "no connection to the cluster"
        assert bench.engine.history.last_id() == 0
        assert bench.rows("SHOW JOBS") == []
        manager.put("nba", 40)
        bench.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED))
        bench.events.until(1, Status.RUNNING)
        bench.events.wait_for(lambda: bench.links == ["connected"])
        assert bench.engine.space_names() == ("nba",)


def test_lost_connection_leaves_jobs_unchanged(prod: ClusterBench) -> None:
    prod.execute("ADMIN COMPACT nba")
    prod.events.until(1, Status.RUNNING)
    prod.cluster(lambda manager: manager.set_connection(ConnectionState.LOST))
    prod.events.wait_for(lambda: prod.links == ["lost"])
    assert prod.refusal("STOP JOB 1") == "no connection to the cluster"
    assert (prod.job(1).status, prod.job(1).stopping) == (Status.RUNNING, False)
    assert [row[2] for row in prod.rows("SHOW JOBS")] == ["running"]
    prod.manager.put("nba", 1, Status.FINISHED)
    prod.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED))
    prod.events.until(1, Status.FINISHED)


def test_spaces_and_hosts_are_fetched_once_per_connection(prod: ClusterBench) -> None:
    def slow_by_turns(manager: ScriptedManager) -> None:
        for detail in ["no answer since 17:21:30", ""] * 10:
            manager.set_connection(ConnectionState.CONNECTED, detail=detail)

    learned = prod.manager.asked.count("hosts")
    prod.cluster(slow_by_turns)
    prod.seen()
    assert prod.manager.asked.count("hosts") == learned
    prod.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED, address="10.0.0.2:9669"))
    prod.manager.wait_for(lambda: prod.manager.asked.count("hosts") == learned + 1)
    prod.cluster(lambda manager: manager.set_connection(ConnectionState.LOST))
    prod.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED, address="10.0.0.2:9669"))
    prod.manager.wait_for(lambda: prod.manager.asked.count("hosts") == learned + 2)


def test_spaces_and_hosts_are_not_fetched_twice_at_once(prod: ClusterBench) -> None:
    def graphd_after_graphd(manager: ScriptedManager) -> None:
        for number in range(10):
            manager.set_connection(ConnectionState.CONNECTED, address=f"10.0.0.{number}:9669")

    learned = prod.manager.asked.count("hosts")
    prod.cluster(graphd_after_graphd)
    prod.seen()
    assert prod.manager.asked.count("hosts") == learned + 1


def test_quitting_does_not_wait_for_the_clusters_jobs(prod: ClusterBench) -> None:
    prod.execute("ADMIN COMPACT nba")
    prod.events.until(1, Status.RUNNING)
    prod.engine.stop_jobs().result(WAIT)
    prod.engine.wait_idle().result(WAIT)
    assert prod.job(1).status is Status.RUNNING
    assert not [one for one in prod.manager.asked if one.startswith("stop")]


def test_retry_reconnects_at_once(prod: ClusterBench) -> None:
    prod.engine.reconnect()
    prod.manager.wait_for(lambda: prod.manager.retries == 1)


def test_cluster_job_is_detached_in_an_embedded_profile(tmp_path: Path) -> None:
    history = History.open(tmp_path / "history")
    history.commit(_waiting(history.new_id(), ClusterRef("prod", "nba", 7))).result()
    history.close()
    engine = LocalClient.open(Profile("prod", tmp_path, {"a": None}))
    job = engine.job(1)
    engine.close()
    assert job is not None
    assert job.reason.startswith("this profile is no longer connected to cluster 'prod'")


def _copy(manager: ScriptedManager) -> ScriptedManager:
    """The same cluster, for another engine's loop."""
    other = ScriptedManager()
    other.there = manager.there
    return other


def _waiting(job_id: int, origin: ClusterRef | None) -> Job:
    return Job(job_id, "flush", "nba", START, origin=origin, events=())
