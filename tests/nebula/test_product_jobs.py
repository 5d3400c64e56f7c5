"""`jobtui --nebula …` as a user has it, on a graphd that speaks the real protocol."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import NOT_STOPPABLE, TWO_SPACES, Cluster
from tests.support.nebula_product import NebulaCommand
from tests.support.waiting import eventually


@pytest.fixture
def cluster() -> Cluster:
    """A cluster that is through with each job by the time of the next statement."""
    return Cluster(TWO_SPACES, auto=True)


@pytest.fixture
def jobtui(tmp_path: Path, graphd: GraphdDouble) -> NebulaCommand:
    return NebulaCommand(tmp_path, graphd)


# ---- what NebulaGraph itself holds of its jobs


@pytest.mark.parametrize("statement", ["SUBMIT JOB COMPACT", "SUBMIT JOB FLUSH", "ADMIN COMPACT"])
def test_job_needs_a_space(jobtui: NebulaCommand, cluster: Cluster, statement: str) -> None:
    ended = jobtui("-e", statement)
    assert ended.returncode == 1
    assert "Space was not chosen" in ended.stderr
    assert not any("SUBMIT" in text for text in cluster.statements)


@pytest.mark.parametrize("statement", ["SHOW JOB 123456", "STOP JOB 123456", "RECOVER JOB 123456"])
def test_missing_job_is_reported_as_such(jobtui: NebulaCommand, statement: str) -> None:
    ended = jobtui("-e", f"USE nba; {statement}")
    assert (ended.returncode, ended.stderr) == (1, "-e:1:10: Job 123456 does not exist\n")


@pytest.mark.parametrize("command", ["compact", "flush"])
def test_job_is_submitted_and_shown(jobtui: NebulaCommand, cluster: Cluster, command: str) -> None:
    (made,) = jobtui.rows(f"USE nba; SUBMIT JOB {command.upper()}")
    assert made["New Job Id"] == 1
    assert f"USE `nba`; SUBMIT JOB {command.upper()}" in cluster.statements
    shown = jobtui.rows("SHOW JOB 1")
    assert [(row["Job Id(TaskId)"], row["Command(Dest)"], row["Status"]) for row in shown] == [
        (1, f"{command} nba", "finished"),
        ("1-0", "10.0.0.5", "finished"),
        ("1-1", "10.0.0.6", "finished"),
    ]
    assert shown[0]["origin"]["id"] == 1
    assert shown[0]["Start Time"] == "2019-12-17T09:21:30+00:00"
    (listed,) = jobtui.rows("SHOW JOBS")
    assert (listed["Job Id"], listed["Status"]) == (1, "finished")


def test_jobs_of_others_are_shown_with_any_command(jobtui: NebulaCommand, cluster: Cluster) -> None:
    cluster.spaces["nba"].indexes.add("player")
    cluster.submit("nba", "STATS")
    cluster.submit("nba", "REBUILD_TAG_INDEX", "player")
    cluster.submit("test2", "LEADER_BALANCE")
    jobtui.done("-e", "SHOW JOBS")
    assert [(row["Command"], row["Status"]) for row in jobtui.rows("SHOW JOBS")] == [
        ("stats nba", "finished"),
        ("rebuild tag index nba", "finished"),
        ("leader balance test2", "finished"),
    ]


def test_job_of_another_space_is_queried_in_its_space(jobtui: NebulaCommand, cluster: Cluster) -> None:
    there = cluster.ended_job("test2", "COMPACT", "FAILED")
    jobtui.rows("SHOW JOBS")
    assert jobtui.rows("USE nba; SHOW JOBS IN nba") == []
    assert [row["Job Id"] for row in jobtui.rows("USE nba; SHOW JOBS IN test2")] == [1]
    assert jobtui.rows("USE nba; SHOW JOB 1")[0]["Command(Dest)"] == "compact test2"
    assert jobtui.rows("USE nba; RECOVER JOB 1")[0]["New Job Id"] == 2
    assert f"USE `test2`; RECOVER JOB {there}" in cluster.statements
    assert "USE `nba`; RECOVER" not in " ".join(cluster.statements)


def test_recover_without_ids_uses_the_chosen_space(jobtui: NebulaCommand, cluster: Cluster) -> None:
    cluster.ended_job("nba", "COMPACT", "FAILED")
    cluster.ended_job("test2", "FLUSH", "STOPPED")
    jobtui.rows("SHOW JOBS")
    assert [row["New Job Id"] for row in jobtui.rows("USE test2; RECOVER JOB")] == [3]
    assert jobtui.rows("SHOW JOB 3")[0]["recovered_from"] == 2
    assert jobtui.rows("SHOW JOB 3")[0]["Status"] == "finished"


# ---- how it continues and ends


def test_text_stays_until_the_clusters_job_has_ended(tmp_path: Path) -> None:
    cluster = Cluster(TWO_SPACES)
    with GraphdDouble(cluster) as graphd:
        jobtui = NebulaCommand(tmp_path, graphd)
        with jobtui.started("-e", "ADMIN COMPACT nba") as process:
            eventually(lambda: any("SUBMIT" in text for text in cluster.statements))
            cluster.finish(1, code="E_RPC_FAILURE")
            out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"| 1 " in out
    assert b"Job 1 (compact nba) failed: E_RPC_FAILURE" in err


def test_end_of_a_shared_job_is_reported_once(tmp_path: Path) -> None:
    cluster = Cluster(TWO_SPACES)
    with GraphdDouble(cluster) as graphd:
        jobtui = NebulaCommand(tmp_path, graphd)
        with jobtui.started("--wait", "-e", "ADMIN COMPACT nba; ADMIN COMPACT nba") as process:
            eventually(lambda: sum("SUBMIT" in text for text in cluster.statements) == 2)
            cluster.finish(1, code="E_RPC_FAILURE")
            out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out.count(b"| 1 ") == 2
    assert err.count(b"Job 1 (compact nba) failed: E_RPC_FAILURE") == 1


def test_ctrl_c_on_an_unstoppable_compact_says_so_and_exits(tmp_path: Path) -> None:
    cluster = Cluster(TWO_SPACES)
    cluster.submit("test2", "COMPACT")  # another client's: not ours to stop
    with GraphdDouble(cluster) as graphd:
        jobtui = NebulaCommand(tmp_path, graphd)
        with jobtui.started("-e", "ADMIN COMPACT nba") as process:
            eventually(lambda: any("USE `nba`; SHOW JOB 2" in text for text in cluster.statements))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    output = err.decode()
    assert process.returncode == 130
    assert NOT_STOPPABLE in output
    assert "the cluster continues" in output
    assert [text for text in cluster.statements if "STOP" in text] == ["USE `nba`; STOP JOB 2"]
    assert [cluster.status(job) for job in (1, 2)] == ["RUNNING", "RUNNING"]


def test_outcome_of_a_job_is_read_at_the_next_start(tmp_path: Path) -> None:
    cluster = Cluster(TWO_SPACES)
    with GraphdDouble(cluster) as graphd:
        jobtui = NebulaCommand(tmp_path, graphd)
        assert jobtui.rows("SHOW JOBS") == []
        jobtui.done("--detach", "-e", "ADMIN FLUSH nba")
        cluster.finish(1)
        assert jobtui.rows("SHOW JOB 1")[0]["Status"] == "finished"


def test_backup_reports_that_it_archives_only_locally(jobtui: NebulaCommand) -> None:
    jobtui.done("-e", "ADMIN FLUSH nba")
    ended = jobtui("-e", "BACKUP JOB 0 9")
    assert "backup 1 jobs 2 tasks" in ended.stdout
    assert ended.stderr == "Archived only in jobtui's history: the cluster keeps its own list of its jobs\n"
    assert jobtui.rows("SHOW JOBS") == []
    assert [row["Job Id"] for row in jobtui.rows("SHOW ARCHIVED JOBS")] == [1]


def test_spaces_and_hosts_are_the_clusters(jobtui: NebulaCommand, cluster: Cluster) -> None:
    cluster.offline.add("10.0.0.6")
    assert [row["Name"] for row in jobtui.rows("SHOW SPACES")] == ["nba", "test2"]
    assert [(row["Host"], row["Status"]) for row in jobtui.rows("SHOW HOSTS")] == [
        ("10.0.0.5", "online"),
        ("10.0.0.6", "offline"),
    ]
    ended = jobtui("-e", "CREATE SPACE more")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "embedded storage only" in ended.stderr
    assert "embedded storage only" in jobtui("dump", "nba").stderr


# ---- no cluster


def test_silent_cluster_is_reported_with_the_reason(tmp_path: Path, graphd: GraphdDouble) -> None:
    graphd.down()
    ended = NebulaCommand(tmp_path, graphd)("-e", "ADMIN FLUSH nba")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Connection refused" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_jobs_of_a_silent_cluster_are_shown_as_last_known(jobtui: NebulaCommand, graphd: GraphdDouble) -> None:
    jobtui.done("-e", "ADMIN FLUSH nba")
    graphd.down()
    ended = jobtui("-e", "SHOW JOBS; SHOW JOB 1", "--format", "jsonl")
    assert ended.returncode == 0
    assert '"flush nba"' in ended.stdout
    assert "Connection refused" in ended.stderr
    assert ended.stderr.endswith("; shown as it was last seen\n")


def test_never_listed_jobs_are_not_shown_as_none(
    tmp_path: Path, cluster: Cluster, graphd: GraphdDouble
) -> None:
    cluster.ended_job("nba")
    ended = NebulaCommand(tmp_path, graphd, password="another")("-e", "SHOW JOBS")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "jobtui: graphd refused the login of 'root': Invalid password\n"


def test_one_graphd_of_three_is_enough(tmp_path: Path, cluster: Cluster) -> None:
    with GraphdDouble(cluster) as one, GraphdDouble(cluster) as two, GraphdDouble(cluster) as three:
        one.down()
        two.down()
        (made,) = NebulaCommand(tmp_path, one, two, three).rows("ADMIN FLUSH nba")
    assert made["New Job Id"] == 1
    assert cluster.status(1) == "FINISHED"


def test_wrong_address_is_a_usage_error(tmp_path: Path, graphd: GraphdDouble) -> None:
    jobtui = NebulaCommand(tmp_path, graphd)
    jobtui.graphds = "root:s3cr3t@127.0.0.1:9669"
    ended = jobtui("-e", "SHOW JOBS")
    assert ended.returncode == 2
    assert "s3cr3t" not in ended.stderr
