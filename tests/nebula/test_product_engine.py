"""The engine on a graphd that speaks the real protocol: faults, and the outcome of the jobs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobtui.cli.commands.run import required_jobs
from jobtui.engine.client import Session
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.language import parse
from jobtui.model import ClusterRef, ConnectionChanged, ConnectionState, Job, Status
from tests.support.engines import WAIT, EventLog
from tests.support.graphd_double import Fault, GraphdDouble
from tests.support.nebula_cluster import TWO_SPACES, Cluster
from tests.support.nebula_product import HASTE, ClusterBench, Hours, working_on
from tests.support.nebula_records import SpaceRecord
from tests.support.waiting import eventually


def submits(cluster: Cluster) -> int:
    return sum("SUBMIT" in text for text in cluster.statements)


def states(prod: ClusterBench) -> list[ConnectionState]:
    return [
        message.connection.state for message in prod.events.messages if isinstance(message, ConnectionChanged)
    ]


def until_link(prod: ClusterBench, state: ConnectionState) -> None:
    prod.events.wait_for(lambda: prod.engine.connection is not None and prod.engine.connection.state is state)


def test_job_is_submitted_to_the_cluster_and_followed(prod: ClusterBench, cluster: Cluster) -> None:
    assert prod.rows("USE nba; ADMIN COMPACT") == [("1",)]
    prod.events.until(1, Status.RUNNING)
    cluster.finish(1, host="10.0.0.6")
    prod.events.wait_for(lambda: prod.job(1).ended_tasks == 1)
    assert prod.job(1).progress == 0.5
    cluster.tick(7)
    cluster.finish(1)
    job = prod.events.until(1, Status.FINISHED)
    assert (job.origin, job.took) == (ClusterRef("prod", "nba", 1), 7.0)
    assert prod.events.statuses(1) == [Status.QUEUE, Status.RUNNING, Status.FINISHED]


def test_second_job_of_a_space_waits_in_the_clusters_queue(prod: ClusterBench, cluster: Cluster) -> None:
    prod.execute("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN FLUSH test2")
    prod.events.until(3, Status.RUNNING)
    assert [prod.job(n).status for n in (1, 2, 3)] == [Status.RUNNING, Status.QUEUE, Status.RUNNING]
    assert prod.rows("STOP JOB 2") == [("stop 1 jobs 0 tasks",)]
    assert prod.job(2).status is Status.STOPPED
    assert "do not support stopping" in prod.refusal("STOP JOB 1")
    cluster.finish(1)
    prod.events.until(1, Status.FINISHED)


def test_identical_jobs_in_flight_are_one(prod: ClusterBench, cluster: Cluster) -> None:
    cluster.submit("nba", "COMPACT")
    prod.events.until(1, Status.RUNNING)
    assert prod.rows("ADMIN COMPACT nba") == [("1",)]
    assert prod.job(2).status is Status.STOPPED
    assert [job.origin for job in prod.engine.active_jobs()] == [ClusterRef("prod", "nba", 1)]


def test_job_recovered_under_its_own_id_is_a_new_one_of_ours(prod: ClusterBench, cluster: Cluster) -> None:
    prod.execute("ADMIN COMPACT nba")
    cluster.tick(3)
    cluster.finish(1, host="10.0.0.5", code="E_RPC_FAILURE")
    cluster.finish(1, host="10.0.0.6")
    failed = prod.events.until(1, Status.FAILED)
    assert failed.reason == "E_RPC_FAILURE"
    cluster.tick(3)
    assert prod.rows("RECOVER JOB 1") == [("2",)]
    prod.events.until(2, Status.RUNNING)
    cluster.finish(1)
    again = prod.events.until(2, Status.FINISHED)
    assert (again.recovered_from, again.origin) == (1, failed.origin)
    assert prod.job(1) == failed


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.GARBAGE])
def test_command_with_lost_answer_is_sent_once_and_matched(
    prod: ClusterBench, cluster: Cluster, graphd: GraphdDouble, fault: Fault
) -> None:
    graphd.fault_of["SUBMIT"] = fault
    result = prod.execute("ADMIN COMPACT nba").results[0]
    assert "is not known yet" in result.notice
    job = prod.events.until(1, Status.RUNNING)
    assert job.origin == ClusterRef("prod", "nba", 1)
    assert submits(cluster) == 1


def test_lost_command_is_matched_on_a_recreated_cluster(
    tmp_path: Path, cluster: Cluster, graphd: GraphdDouble
) -> None:
    before = Cluster(TWO_SPACES)
    for _ in range(3):
        before.ended_job("nba")
    with GraphdDouble(before) as old, working_on(old, root=tmp_path) as prod:
        prod.caught_up()
    with working_on(graphd, root=tmp_path) as prod:
        prod.caught_up()
        graphd.fault_of["SUBMIT"] = Fault.DROP_AFTER
        prod.execute("ADMIN COMPACT nba")
        assert prod.events.until(4, Status.RUNNING).origin == ClusterRef("prod", "nba", 1)
        assert prod.engine.history.last_id() == 4


def test_lost_request_ends_as_never_made(prod: ClusterBench, cluster: Cluster, graphd: GraphdDouble) -> None:
    graphd.fault_of["SUBMIT"] = Fault.DROP_BEFORE
    prod.execute("ADMIN COMPACT nba")
    assert "the cluster lists no such job" in prod.events.until(1, Status.STOPPED).reason
    assert submits(cluster) == 0


def test_slow_graphd_delays_only_its_request(
    prod: ClusterBench, cluster: Cluster, graphd: GraphdDouble
) -> None:
    cluster.submit("test2", "STATS")
    prod.events.until(1, Status.RUNNING)
    graphd.fault_of["SUBMIT"] = Fault.HANG
    waiting = prod.engine.execute("ADMIN COMPACT nba", prod.session)
    assert graphd.hanging.wait(WAIT)
    other = prod.engine.execute("SHOW JOBS; SHOW JOB 1; SHOW JOBS IN test2", Session(None, Path("/"))).result(
        WAIT
    )
    assert other.failure is None
    cluster.finish(1)
    prod.events.until(1, Status.FINISHED)
    assert not waiting.done()
    graphd.go_on()
    assert waiting.result(WAIT).results[0].jobs == (2,)


def test_submit_does_not_wait_for_a_hanging_list(
    tmp_path: Path, cluster: Cluster, graphd: GraphdDouble
) -> None:
    graphd.fault_of["SHOW JOBS"] = Fault.HANG
    with working_on(graphd, root=tmp_path) as prod:
        assert graphd.hanging.wait(WAIT)
        assert prod.rows("ADMIN FLUSH test2; ADMIN COMPACT nba") == [("2",)]
        assert submits(cluster) == 2
        assert [row[0] for row in prod.rows("SHOW SPACES")] == ["nba", "test2"]
        assert prod.job(1).status is Status.QUEUE  # the list, which would show that it runs, still hangs
        graphd.go_on()
        prod.events.until(1, Status.RUNNING)
        prod.events.until(2, Status.RUNNING)


def test_second_process_queries_the_cluster_through_the_first(
    prod: ClusterBench, cluster: Cluster, graphd: GraphdDouble, tmp_path: Path
) -> None:
    logins, connections = len(cluster.logins), graphd.connections
    remote = RemoteClient.connect(Profile("prod", tmp_path))
    events = EventLog(remote)
    cluster.submit("nba", "STATS")
    assert events.until(1, Status.RUNNING).label == "stats nba"
    answer = remote.execute("SHOW JOBS; SHOW JOB 1; SHOW SPACES", Session(None, Path("/"))).result(WAIT)
    assert answer.failure is None
    remote.close()
    assert (len(cluster.logins), graphd.connections) == (logins, connections)


def test_processes_of_a_profile_share_one_poller(tmp_path: Path) -> None:
    cluster = Cluster({"nba": ["10.0.0.5"]})
    hours = Hours(cluster)
    cluster.submit("nba", "STATS")
    with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path, clock=hours.clock) as prod:
        prod.caught_up()
        remotes = [RemoteClient.connect(Profile("prod", tmp_path)) for _ in range(3)]
        logs = [EventLog(remote) for remote in remotes]
        begin, number, logins = hours.passed, len(cluster.statements), len(cluster.logins)
        for _ in range(10):
            hours.poll()
        for remote in remotes:  # these are answered from the history
            answer = remote.execute("SHOW JOBS; SHOW JOB 1", Session(None, Path("/"))).result(WAIT)
            assert [row.cells[2] for row in answer.results[0].rows] == ["running"]
        assert len(cluster.statements) - number <= hours.most_statements(since=begin)
        assert len(cluster.logins) == logins
        cluster.finish(1)
        hours.poll()
        for events in logs:
            events.until(1, Status.FINISHED)
        for remote in remotes:
            remote.close()


def test_known_job_is_current_without_a_list(tmp_path: Path, cluster: Cluster, graphd: GraphdDouble) -> None:
    cluster.submit("nba", "COMPACT")
    with working_on(graphd, root=tmp_path) as prod:
        prod.events.until(1, Status.RUNNING)
    cluster.finish(1)
    graphd.fault_of["SHOW JOBS"] = Fault.HANG
    with working_on(graphd, root=tmp_path) as prod:
        assert prod.engine.wait_connected(WAIT * HASTE, caught_up=False, jobs=(1,)).result(WAIT)
        assert graphd.hanging.wait(WAIT)
        assert prod.job(1).status is Status.FINISHED
        assert "already finished" in prod.refusal("STOP JOB 1")


@pytest.mark.parametrize(
    ("text", "jobs"),
    [
        ("ADMIN FLUSH nba; SHOW SPACES; RESTORE JOB 1", ()),
        ("SHOW JOB 1; STOP JOB 3, 1", (1, 3)),
        ("RECOVER JOB 2", (2,)),
        ("BACKUP JOB 1 4", (3,)),
        ("STOP JOB 5", None),
        ("BACKUP JOB 1 5", None),
        ("RECOVER JOB", None),
        ("ADMIN FLUSH nba; SHOW JOBS", None),
    ],
)
def test_text_waits_only_for_the_jobs_that_it_needs(text: str, jobs: tuple[int, ...] | None) -> None:
    assert required_jobs(parse(text), last_id=4, active=[3]) == jobs


def test_graphd_that_ends_is_lost_and_then_connected_again(
    prod: ClusterBench, cluster: Cluster, graphd: GraphdDouble
) -> None:
    prod.execute("ADMIN COMPACT nba")
    prod.events.until(1, Status.RUNNING)
    graphd.down()
    until_link(prod, ConnectionState.LOST)
    link = prod.engine.connection
    assert link is not None
    assert "Connection refused" in link.detail
    assert "no connection to the cluster since" in prod.refusal("ADMIN FLUSH nba")
    assert [row[2] for row in prod.rows("SHOW JOBS")] == ["running"]
    cluster.finish(1)
    graphd.up()
    prod.engine.reconnect()
    prod.events.until(1, Status.FINISHED)
    assert states(prod)[-1] is ConnectionState.CONNECTED
    assert prod.engine.history.last_id() == 1


def test_dashboard_opens_while_no_graphd_answers(
    tmp_path: Path, graphd: GraphdDouble, cluster: Cluster
) -> None:
    graphd.down()
    with working_on(graphd, root=tmp_path) as prod:
        until_link(prod, ConnectionState.LOST)
        cluster.submit("nba", "STATS")
        graphd.up()
        prod.engine.reconnect()
        assert prod.events.until(1, Status.RUNNING).label == "stats nba"


def test_of_three_graphds_one_that_lives_is_enough(tmp_path: Path, cluster: Cluster) -> None:
    with GraphdDouble(cluster) as one, GraphdDouble(cluster) as two, GraphdDouble(cluster) as three:
        one.down()
        with working_on(one, two, three, root=tmp_path) as prod:
            prod.execute("ADMIN COMPACT nba")
            prod.events.until(1, Status.RUNNING)
            two.down()
            cluster.finish(1)
            prod.events.until(1, Status.FINISHED)


def test_refused_login_is_tried_once_until_a_retry(
    tmp_path: Path, cluster: Cluster, graphd: GraphdDouble
) -> None:
    cluster.users["root"] = "another"
    with working_on(graphd, root=tmp_path) as prod:
        until_link(prod, ConnectionState.REFUSED)
        assert prod.refusal("ADMIN FLUSH nba").startswith(
            "graphd refused the login of 'root': Invalid password"
        )
        assert cluster.logins == ["root"]
        cluster.users["root"] = "nebula"
        prod.engine.reconnect()
        until_link(prod, ConnectionState.CONNECTED)
        assert prod.execute("ADMIN FLUSH nba").failure is None
    graphd.wait_until_alone()
    assert cluster.sessions == {}


def test_expired_session_and_a_moving_leader_go_unnoticed(prod: ClusterBench, cluster: Cluster) -> None:
    cluster.expire_sessions()
    cluster.leaderless = 1
    cluster.submit("nba", "STATS")
    prod.events.until(1, Status.RUNNING)
    cluster.expire_sessions()
    assert prod.rows("ADMIN FLUSH nba") == [("2",)]
    assert set(states(prod)) <= {ConnectionState.CONNECTED}


def test_metad_silence_is_resolved_by_the_list(prod: ClusterBench, cluster: Cluster) -> None:
    cluster.loses_metad = 1
    assert "RPC failure" in prod.execute("ADMIN FLUSH nba").results[0].notice
    assert prod.events.until(1, Status.RUNNING).origin == ClusterRef("prod", "nba", 1)
    assert submits(cluster) == 1


def test_host_lost_during_work_fails_only_its_task(prod: ClusterBench, cluster: Cluster) -> None:
    prod.execute("ADMIN COMPACT nba")
    prod.events.until(1, Status.RUNNING)
    cluster.kill("10.0.0.5")
    cluster.finish(1)
    cluster.restart("10.0.0.5")
    job = prod.events.until(1, Status.FAILED)
    assert [(task.host, task.status) for task in job.tasks] == [
        ("10.0.0.5", Status.FAILED),
        ("10.0.0.6", Status.FINISHED),
    ]


def test_dropped_space_fails_running_jobs_and_keeps_records(prod: ClusterBench, cluster: Cluster) -> None:
    prod.execute("ADMIN FLUSH test2; ADMIN COMPACT nba")
    prod.events.until(2, Status.RUNNING)
    cluster.drop_space("test2")
    job = prod.events.until(1, Status.FAILED)
    assert job.reason == "the cluster no longer has this space"
    assert prod.refusal("ADMIN FLUSH test2").startswith("Space 'test2' does not exist")
    assert [row[1] for row in prod.rows("SHOW JOBS IN test2")] == ["flush test2"]
    assert prod.job(2).status is Status.RUNNING


def test_space_created_by_others_becomes_known(prod: ClusterBench, cluster: Cluster) -> None:
    cluster.spaces["fresh"] = SpaceRecord(["10.0.0.5"])
    eventually(lambda: "fresh" in prod.engine.space_names())
    cluster.drop_space("fresh")
    eventually(lambda: "fresh" not in prod.engine.space_names())


def test_job_forgotten_by_the_cluster_stays_in_history(prod: ClusterBench, cluster: Cluster) -> None:
    cluster.ended_job("nba", "COMPACT", "FAILED")
    prod.events.until(1, Status.FAILED)
    cluster.tick(8 * 24 * 3600)
    cluster.submit("nba", "STATS")
    prod.events.until(2, Status.RUNNING)
    eventually(lambda: 1 not in cluster.spaces["nba"].jobs)
    assert [row[1:3] for row in prod.rows("SHOW JOBS")] == [("compact nba", "failed"), ("stats nba", "running")]
    assert "no longer has this one" in prod.refusal("RECOVER JOB 1")
    assert prod.job(1).status is Status.FAILED


def test_cluster_in_another_zone_has_the_same_times(tmp_path: Path, cluster: Cluster) -> None:
    with GraphdDouble(cluster, zone_offset=9 * 3600) as graphd, working_on(graphd, root=tmp_path) as prod:
        cluster.ended_job("nba")
        job: Job = prod.events.until(1, Status.FINISHED)
        assert job.start == cluster.now


@pytest.mark.parametrize("name", ["a b", "SELECT", "图谱", "back\\slash", "semi;colon", "[/nope]"])
def test_space_whose_name_needs_back_quotes_is_worked_on(tmp_path: Path, name: str) -> None:
    cluster = Cluster({name: ["10.0.0.5"], "nba": ["10.0.0.5"]}, auto=True)
    with GraphdDouble(cluster) as graphd, working_on(graphd, root=tmp_path) as prod:
        assert prod.rows(f"USE `{name}`; ADMIN COMPACT") == [("1",)]
        assert prod.events.until(1, Status.FINISHED).space == name
        assert [row[1] for row in prod.rows(f"SHOW JOBS IN `{name}`")] == [f"compact {name}"]


def test_thousands_of_jobs_are_imported_only_once(
    tmp_path: Path, cluster: Cluster, graphd: GraphdDouble, long: bool
) -> None:
    count = 5000 if long else 300
    for _ in range(count):
        cluster.ended_job("nba")
    running = cluster.submit("test2", "COMPACT")
    with working_on(graphd, root=tmp_path) as prod:
        prod.caught_up()
        assert prod.engine.history.counts()[Status.FINISHED] == count
        prod.events.wait_for(lambda: prod.job(1).tasks)  # the newest jobs come first
        prod.events.wait_for(lambda: all(prod.job(job_id).tasks for job_id in range(1, count, 7)))
        prod.events.wait_for(lambda: prod.job(count).tasks)
    number = len(cluster.statements)
    with working_on(graphd, root=tmp_path) as prod:
        prod.caught_up()
        cluster.finish(running)
        prod.events.wait_for(lambda: not prod.engine.active_jobs())
        assert prod.engine.history.last_id() == count + 1
    # how often the running one is asked for depends on the time that this takes
    of_old_jobs = re.compile(rf"SHOW JOB (?!{running}\b)\d")
    assert sum(of_old_jobs.search(text) is not None for text in cluster.statements[number:]) < 20
