"""The history of a cluster whose ended jobs change."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from jobtui.engine.cluster.inventory import HostOutages
from jobtui.engine.jobs import JobStore, Transaction
from jobtui.engine.lifecycle import IllegalTransition
from jobtui.history import History
from jobtui.history.write.store import Limits
from jobtui.model import ConnectionChanged, EventKind, Job, JobChanged, Status
from jobtui.storage.base import Host
from jobtui.storage.nebula.poller import MISSES
from tests.support.clock import FakeClock
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import ALREADY_ENDED, Cluster
from tests.support.nebula_product import ClusterBench, working_on
from tests.support.nebula_records import Rows, SessionRecord


def until(prod: ClusterBench, number: int, *tasks: Status) -> Job:
    """The job once its tasks have these statuses."""
    prod.events.wait_for(lambda: statuses(prod, number) == list(tasks))
    return prod.job(number)


def statuses(prod: ClusterBench, number: int) -> list[Status]:
    job = prod.engine.job(number)
    return [] if job is None else [task.status for task in job.tasks]


def reasons(job: Job) -> list[str]:
    return [event.reason for event in job.events if event.kind is EventKind.NOTE]


def fail_early(prod: ClusterBench, cluster: Cluster) -> Job:
    """Job 1, which failed at once since a host is down, while the other host works."""
    cluster.kill("10.0.0.5")
    cluster.submit("nba", "COMPACT")
    prod.events.until(1, Status.FAILED)
    return until(prod, 1, Status.FAILED, Status.RUNNING)


class TestFailedJobWhoseTasksRun:
    def test_tasks_run_until_their_hosts_finish(self, prod: ClusterBench, cluster: Cluster) -> None:
        early = fail_early(prod, cluster)
        assert (early.status, early.reason, early.took) == (Status.FAILED, "E_RPC_FAILURE", 0.0)
        cluster.tick(17)
        cluster.finish(1)
        late = until(prod, 1, Status.FAILED, Status.FINISHED)
        assert (late.status, late.took) == (Status.FAILED, 17.0)
        assert late.tasks[1].took == 17.0
        assert late.tasks[1].reason == ""  # the code that the cluster repeats there is the job's
        assert any("the cluster later reported its end at" in reason for reason in reasons(late))
        assert prod.engine.history.counts()[Status.FAILED] == 1

    def test_new_start_continues_it(self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path) -> None:
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            fail_early(prod, cluster)
        cluster.tick(3600)
        cluster.finish(1)
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            assert until(prod, 1, Status.FAILED, Status.FINISHED).took == 3600.0

    def test_sealed_record_is_amended_and_stays_so(
        self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path
    ) -> None:
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            fail_early(prod, cluster)
        seal(tmp_path)
        cluster.tick(60)
        cluster.finish(1)
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            amended = until(prod, 1, Status.FAILED, Status.FINISHED)
        seal(tmp_path)
        history = History.open(tmp_path / "history", write=False)
        assert history.get(1) == amended
        assert history.counts()[Status.FAILED] == 1
        history.close()

    def test_archived_record_stays_as_it_is(self, prod: ClusterBench, cluster: Cluster) -> None:
        fail_early(prod, cluster)
        prod.execute("BACKUP JOB 1 1")
        cluster.tick(17)
        cluster.finish(1)
        other = cluster.submit("test2", "FLUSH")
        # it exists, or the test fails
        assert prod.events.until(2, Status.FAILED).origin.id == other  # type: ignore[union-attr]
        archived = prod.engine.history.get_archived(1)
        assert archived is not None
        assert archived.took == 0.0

    def test_later_run_of_it_is_another_job(self, prod: ClusterBench, cluster: Cluster) -> None:
        fail_early(prod, cluster)
        cluster.restart("10.0.0.5")
        cluster.tick(5)
        prod.rows("RECOVER JOB 1")
        prod.events.until(2, Status.RUNNING)
        old = until(prod, 1, Status.FAILED, Status.STOPPED)
        assert old.tasks[1].detached
        cluster.finish(1)
        assert prod.events.until(2, Status.FINISHED).recovered_from == 1


class TestStoppedJob:
    def test_one_that_metad_had_forgotten_finishes(self, prod: ClusterBench, cluster: Cluster) -> None:
        prod.execute("ADMIN COMPACT nba")
        prod.events.until(1, Status.RUNNING)
        cluster.restart_metad()
        cluster.tick(3)
        prod.rows("STOP JOB 1")
        prod.events.until(1, Status.STOPPED)
        assert until(prod, 1, Status.RUNNING, Status.RUNNING).status is Status.STOPPED
        cluster.tick(10)
        cluster.finish(1)
        job = prod.events.until(1, Status.FINISHED)
        assert job.took == 13.0
        assert "the cluster later reported that it finished, not that it was stopped" in reasons(job)
        counts = prod.engine.history.counts()
        assert (counts[Status.STOPPED], counts[Status.FINISHED]) == (0, 1)
        changes = [
            m for m in prod.events.messages if isinstance(m, JobChanged) and m.job.status is Status.FINISHED
        ]
        assert changes[0].was is Status.STOPPED

    def test_two_profiles_agree(self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path) -> None:
        cluster.submit("nba", "COMPACT")
        with (
            working_on(graphd, root=tmp_path / "a") as first,
            working_on(graphd, root=tmp_path / "b") as second,
        ):
            first.caught_up(), second.caught_up()
            cluster.restart_metad()
            first.rows("STOP JOB 1")
            first.events.until(1, Status.STOPPED)
            second.events.until(1, Status.STOPPED)
            cluster.finish(1)
            for prod in (first, second):
                assert prod.events.until(1, Status.FINISHED).stop == cluster.now

    def test_second_stop_moves_its_end(self, prod: ClusterBench, cluster: Cluster) -> None:
        cluster.submit("nba", "COMPACT")
        flush = cluster.submit("nba", "FLUSH")
        prod.events.until(2, Status.QUEUE)
        prod.rows("STOP JOB 2")
        stopped = prod.events.until(2, Status.STOPPED)
        session = cluster.log_in("root", "nebula")
        cluster.tick(60)
        cluster.execute(session, f"USE nba; STOP JOB {flush}")
        prod.events.wait_for(lambda: prod.job(2).stop != stopped.stop)
        job = prod.job(2)
        assert (job.status, job.stop) == (Status.STOPPED, cluster.now)
        assert "the cluster later reported its end" in reasons(job)[-1]

    def test_stopped_rebuild_stays_stopped(self, prod: ClusterBench, cluster: Cluster) -> None:
        cluster.submit("nba", "REBUILD_TAG_INDEX")
        prod.events.until(1, Status.RUNNING)
        prod.rows("STOP JOB 1")
        until(prod, 1, Status.RUNNING, Status.RUNNING)
        cluster.tick(2)  # now it is FAILED, E_USER_CANCEL, on the cluster
        job = until(prod, 1, Status.STOPPED, Status.STOPPED)
        assert job.status is Status.STOPPED
        assert Status.FAILED not in prod.events.statuses(1)


class TestOtherFailures:
    def test_recovered_job_has_no_stop_time_while_it_runs(self, prod: ClusterBench, cluster: Cluster) -> None:
        job = cluster.ended_job("nba", "COMPACT", "FAILED")
        prod.events.until(1, Status.FAILED)
        cluster.tick(60)
        prod.rows("RECOVER JOB 1")
        running = prod.events.until(2, Status.RUNNING)
        assert (running.start, running.stop, running.recovered_from) == (cluster.now, None, 1)
        cluster.finish(job)
        assert prod.events.until(2, Status.FINISHED).took == 0.0
        assert prod.job(1).stop == cluster.now - timedelta(seconds=60)

    def test_metad_that_restarts_runs_two_compacts_at_once(self, prod: ClusterBench, cluster: Cluster) -> None:
        prod.execute("ADMIN COMPACT nba")
        prod.events.until(1, Status.RUNNING)
        cluster.restart_metad()
        assert prod.rows("ADMIN COMPACT nba") == [("2",)]
        prod.events.until(2, Status.RUNNING)
        cluster.finish(2, code="E_UNKNOWN")
        cluster.finish(1)
        assert prod.events.until(2, Status.FAILED).reason == "E_UNKNOWN"
        prod.events.until(1, Status.FINISHED)

    def test_metad_that_is_away_is_reported_with_the_time(self, prod: ClusterBench, cluster: Cluster) -> None:
        cluster.metad_away = True
        prod.events.wait_for(lambda: "no usable answer since" in detail(prod))
        assert "RPC failure in MetaClient" in detail(prod)
        assert "TTransportException" not in detail(prod)
        since = detail(prod)
        cluster.metad_away = False
        prod.events.wait_for(lambda: not detail(prod))
        assert since

    def test_stop_after_the_end_changes_nothing(
        self, prod: ClusterBench, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prod.execute("ADMIN COMPACT nba")
        prod.events.until(1, Status.RUNNING)
        stop = cluster._stop

        def late(session: SessionRecord, job_id: int) -> Rows:
            cluster.finish(job_id)  # while the STOP was on its way
            return stop(session, job_id)

        monkeypatch.setattr(cluster, "_stop", late)
        assert ALREADY_ENDED in prod.refusal("STOP JOB 1")
        job = prod.events.until(1, Status.FINISHED)
        assert (job.stopping, [task.status for task in job.tasks]) == (False, [Status.FINISHED] * 2)
        assert Status.STOPPED not in prod.events.statuses(1)

    def test_killed_session_is_replaced(self, prod: ClusterBench, cluster: Cluster) -> None:
        cluster.expire_sessions()
        assert prod.rows("ADMIN COMPACT nba") == [("1",)]
        prod.events.until(1, Status.RUNNING)

    def test_role_that_is_lost_is_no_dropped_space(self, prod: ClusterBench, cluster: Cluster) -> None:
        cluster.roles["root"] = {"nba", "test2"}
        prod.execute("ADMIN COMPACT nba; ADMIN FLUSH test2")
        prod.events.until(2, Status.RUNNING)
        cluster.roles["root"] = {"test2"}  # SHOW SPACES lists the other one no longer
        words = "The jobs of space 'nba' cannot be listed: PermissionError: No permission to read space."
        prod.events.wait_for(lambda: words in prod.events.notices)
        count = cluster.statements.count("SHOW SPACES")
        prod.events.wait_for(lambda: cluster.statements.count("SHOW SPACES") >= count + 2 * MISSES)
        assert prod.job(1).status is Status.RUNNING
        assert prod.events.notices.count(words) == 1
        assert [row[2] for row in prod.rows("SHOW JOBS")] == ["running", "running"]
        cluster.finish(1)
        cluster.roles["root"] = {"nba", "test2"}
        prod.events.until(1, Status.FINISHED)

    def test_space_without_a_role_gets_no_others_jobs(
        self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path
    ) -> None:
        cluster.ended_job("test2")
        cluster.roles["root"] = {"nba", "test2"}
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            cluster.roles["root"] = {"test2"}
            cluster.ended_job("test2")
            prod.events.until(2, Status.FINISHED)
            assert {prod.job(number).space for number in (1, 2)} == {"test2"}


def test_only_a_clusters_job_can_be_amended(tmp_path: Path) -> None:
    history = History.open(tmp_path)
    now = FakeClock().now()
    job = Job(1, "flush", "nba", now, Status.FINISHED, now, now)
    history.commit(job).result()
    transaction = Transaction(JobStore(history, FakeClock(), lambda _: None))
    with pytest.raises(IllegalTransition, match="final"):
        transaction.amend(job)
    history.close()


def detail(prod: ClusterBench) -> str:
    connection = prod.engine.connection
    return "" if connection is None else connection.detail


def seal(root: Path) -> None:
    """Have a segment hold what has ended."""
    History.open(root / "history", limits=Limits(leftover=0)).close()
    assert list((root / "history").glob("seg-*.jsonl"))


class TestOrder:
    def test_show_jobs_is_in_the_order_of_time(
        self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path
    ) -> None:
        old = cluster.ended_job("nba", "COMPACT", "FAILED", ago=300)
        cluster.ended_job("nba", "FLUSH", ago=200)
        cluster.ended_job("test2", "STATS", ago=400)
        again = cluster.spaces["nba"].jobs[old]
        again.start = again.stop = cluster.now - timedelta(seconds=100)  # it was recovered since
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            labels = [row[1] for row in prod.rows("SHOW JOBS")]
            assert labels == ["stats test2", "flush nba", "compact nba"]
            assert [row[1] for row in prod.rows("SHOW JOBS LIMIT 1")] == ["compact nba"]

    def test_text_that_submits_a_job_twice_waits_for_it_once(self, prod: ClusterBench) -> None:
        assert prod.execute("ADMIN COMPACT nba; ADMIN COMPACT nba").jobs == (1,)

    def test_running_compact_is_not_to_be_stopped_first(self, prod: ClusterBench) -> None:
        prod.execute("ADMIN COMPACT nba")
        prod.events.until(1, Status.RUNNING)
        assert prod.refusal("RECOVER JOB 1") == "Job 1 is still running on the cluster: wait until it has ended"

    def test_name_with_a_back_quote_can_be_written(self, prod: ClusterBench, cluster: Cluster) -> None:
        cluster.create_space("back`quote", ["10.0.0.5"])
        assert len(prod.rows("ADMIN FLUSH `back``quote`")) == 1
        assert prod.events.until(1, Status.RUNNING).space == "back`quote"


class TestHosts:
    def test_job_names_the_offline_host_it_waits_for(self, prod: ClusterBench, cluster: Cluster) -> None:
        prod.execute("ADMIN COMPACT nba; ADMIN FLUSH nba")
        prod.events.until(1, Status.RUNNING)
        cluster.kill("10.0.0.5")
        cluster.finish(1)
        prod.events.wait_for(lambda: prod.job(1).reason and prod.job(2).reason)
        assert prod.job(1).reason.startswith("waits for 10.0.0.5, offline since ")
        assert prod.job(2).reason == "waits for job 1, which waits for a host that is offline"
        assert "Host 10.0.0.5 is offline" in prod.events.notices
        assert [host.up for host in prod.engine.fetch_overview().result(20).hosts] == [False, True]
        cluster.restart("10.0.0.5")
        failed = prod.events.until(1, Status.FAILED)
        assert failed.reason == "E_TASK_EXECUTION_FAILED"
        assert any(reason.startswith("waits for 10.0.0.5") for reason in reasons(failed))
        prod.events.wait_for(lambda: "Host 10.0.0.5 is back" in prod.events.notices)
        assert (
            prod.events.until(2, Status.FAILED).reason == "E_RPC_FAILURE"
        )  # it began before the host was ready

    def test_second_start_does_not_repeat_it(
        self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path
    ) -> None:
        cluster.submit("nba", "COMPACT")
        cluster.kill("10.0.0.5")
        for _ in range(2):
            with working_on(graphd, root=tmp_path) as prod:
                prod.caught_up()
                prod.events.wait_for(lambda: prod.job(1).reason)
                job = prod.job(1)
        assert sum(reason.startswith("waits for 10.0.0.5") for reason in reasons(job)) == 1

    def test_reason_from_before_is_dropped_when_the_host_is_back(
        self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path
    ) -> None:
        cluster.submit("nba", "COMPACT")
        cluster.kill("10.0.0.5")
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            prod.events.wait_for(lambda: prod.job(1).reason)
        cluster.offline.clear()  # only its network was away: it still works
        with working_on(graphd, root=tmp_path) as prod:
            prod.events.wait_for(lambda: not prod.job(1).reason)
            assert prod.job(1).status is Status.RUNNING

    def test_host_that_is_added_is_counted(self, prod: ClusterBench, cluster: Cluster) -> None:
        cluster.submit("nba", "COMPACT")
        prod.events.until(1, Status.RUNNING)
        before = len([m for m in prod.events.messages if isinstance(m, ConnectionChanged)])
        cluster.spaces["nba"].hosts.append("10.0.0.7")
        prod.events.wait_for(
            lambda: len([m for m in prod.events.messages if isinstance(m, ConnectionChanged)]) > before
        )
        assert len(prod.engine.fetch_overview().result(20).hosts) == 3
        assert [task.host for task in prod.job(1).tasks] == ["10.0.0.5", "10.0.0.6"]

    def test_tasks_on_one_address_cannot_be_distinguished(self, tmp_path: Path) -> None:
        cluster = Cluster({"nba": ["10.0.0.5:9779", "10.0.0.5:9789", "10.0.0.6"]})
        with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            prod.execute("ADMIN COMPACT nba")
            job = prod.events.until(1, Status.RUNNING)
            prod.events.wait_for(lambda: any("distinguished" in reason for reason in reasons(prod.job(1))))
            cluster.finish(1)
            job = prod.events.until(1, Status.FINISHED)
        noted = [reason for reason in reasons(job) if "distinguished" in reason]
        assert noted == [
            "tasks on one address (10.0.0.5:9779, 10.0.0.5:9789) cannot be distinguished: "
            "the cluster names no port"
        ]


@pytest.mark.parametrize(
    ("before", "after", "messages"),
    [
        ({"h1": True}, {"h1": False}, ["Host h1 is offline"]),
        ({"h1": False}, {"h1": False}, []),
        ({"h1": False}, {"h1": True}, ["Host h1 is back"]),
        ({"h1": False}, {}, ["The cluster no longer lists host h1, which was offline"]),
        ({}, {"h1": True}, []),
        ({}, {"h1": False}, ["Host h1 is offline"]),
        # a second storaged on the machine: both are named with their ports from now on
        ({"h1": False}, {"h1:9779": False, "h1:9789": True}, []),
        ({"h1": False}, {"h1:9779": True, "h1:9789": True}, ["Host h1 is back"]),
        ({"h1:9779": False, "h1:9789": True}, {"h1": False}, []),
        (
            {"h1:9779": False, "h1:9789": True},
            {"h1:9779": False, "h1:9789": False},
            ["Host h1:9789 is offline"],
        ),
        ({"[::1]:9779": False, "[::1]:9789": True}, {"::1": False}, []),
    ],
)
def test_hosts_can_leave_return_and_change_names(
    before: dict[str, bool], after: dict[str, bool], messages: list[str]
) -> None:
    outages, clock = HostOutages(), FakeClock()
    first = clock.now()
    assert outages.update([Host(name, up) for name, up in before.items()], first) == ([], False)
    clock.advance(60)
    notices, changed = outages.update([Host(name, up) for name, up in after.items()], clock.now())
    assert (notices, changed) == (messages, before != after)
    kept = [name for name in after if not after[name] and f"Host {name} is offline" not in messages]
    assert all(outages.since[name] == first for name in kept)


class TestFirstStart:
    def test_many_old_jobs_are_there_at_once_and_complete_later(
        self, graphd: GraphdDouble, cluster: Cluster, tmp_path: Path
    ) -> None:
        numbers = [cluster.ended_job("nba", "FLUSH", "FAILED") for _ in range(300)]
        with working_on(graphd, root=tmp_path) as prod:
            prod.caught_up()
            assert prod.engine.history.counts()[Status.FAILED] == 300
            shows = sum("SHOW JOB " in text for text in cluster.statements)
            assert shows < 300
            shown = prod.rows("SHOW JOB 300")  # what is asked for is complete
            assert [row[2] for row in shown] == ["failed", "failed", "failed"]
            assert prod.job(300).reason == "E_RPC_FAILURE"
        with working_on(graphd, root=tmp_path) as prod:
            prod.events.wait_for(lambda: all(prod.job(number).tasks for number in (1, 150, 299)))
            job = prod.job(150)
        kinds = [event.kind for event in job.events]
        assert kinds[0] is EventKind.SUBMITTED
        assert kinds[-1] is EventKind.ENDED
        assert len(numbers) == 300
