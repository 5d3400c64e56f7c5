"""A cluster's profile in several processes: all use the owner's connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtui.engine.client import Session
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.remote import RemoteClient
from jobtui.model import ConnectionState, Status
from jobtui.storage.nebula.settings import Address, ClusterSettings, RunMode
from tests.support.cluster_bench import ClusterBench, cluster_bench
from tests.support.engines import WAIT, EventLog
from tests.support.scripted_manager import ScriptedManager
from tests.support.waiting import eventually

CLUSTER = ClusterSettings(name="prod", addresses=(Address("10.0.0.1", 9669),))


@pytest.fixture
def profile(tmp_path: Path, runtime: Path) -> Profile:
    return Profile("prod", tmp_path, cluster=CLUSTER)


@pytest.fixture
def owner(profile: Profile) -> Iterator[ClusterBench]:
    with cluster_bench(profile.root, ScriptedManager(("nba", "test2"))) as bench:
        bench.caught_up()
        yield bench


def test_connection_state_reaches_late_and_early_clients(owner: ClusterBench, profile: Profile) -> None:
    owner.cluster(lambda manager: manager.set_connection(ConnectionState.LOST))
    remote = RemoteClient.connect(profile)
    events = EventLog(remote)
    assert remote.connection == owner.engine.connection
    assert remote.connection is not None
    assert remote.connection.state is ConnectionState.LOST
    remote.reconnect()
    owner.manager.wait_for(lambda: owner.manager.retries == 1)
    owner.cluster(lambda manager: manager.set_connection(ConnectionState.CONNECTED))
    events.wait_for(
        lambda: remote.connection is not None and remote.connection.state is ConnectionState.CONNECTED
    )
    remote.close()


def test_request_is_sent_to_the_owner_and_awaited(owner: ClusterBench, profile: Profile) -> None:
    remote = RemoteClient.connect(profile)
    session = Session(None, Path("/"))
    answer = remote.execute("USE nba; ADMIN COMPACT; BACKUP JOB 7 9", session).result(WAIT)
    assert answer.failure is None
    assert answer.results[1].jobs == (1,)
    assert "only in jobtui's history" in answer.results[2].notice
    owner.events.until(1, Status.RUNNING)
    ended = remote.wait_ended([1])
    owner.cluster(lambda manager: manager.put("nba", 1, Status.FINISHED))
    assert [job.status for job in ended.result(WAIT)] == [Status.FINISHED]
    remote.close()


def test_spaces_without_jobs_come_from_the_owner(owner: ClusterBench, profile: Profile) -> None:
    remote = RemoteClient.connect(profile)
    eventually(lambda: (remote.space_names(), remote.host_names()) == (("nba", "test2"), ("10.0.0.5",)))
    owner.cluster(lambda manager: manager.there.update({"fresh": {}}))
    session = Session(None, Path("/"))
    assert remote.execute("SHOW JOBS IN fresh", session).result(WAIT).failure is None
    assert remote.space_names() == ("fresh", "nba", "test2")
    refused = remote.execute("SHOW JOBS IN test", session).result(WAIT).failure
    assert refused is not None
    assert refused.message == "Space 'test' does not exist; did you mean 'test2'?"
    remote.close()


def test_spaces_of_the_history_are_known_while_disconnected(owner: ClusterBench, profile: Profile) -> None:
    owner.execute("ADMIN COMPACT nba")
    owner.cluster(lambda manager: manager.set_connection(ConnectionState.LOST))
    remote = RemoteClient.connect(profile)
    assert remote.space_names() == ("nba",)
    session = Session(None, Path("/"))
    assert remote.execute("SHOW JOBS IN nba", session).result(WAIT).failure is None
    refused = remote.execute("SHOW JOBS IN test2", session).result(WAIT).failure
    assert refused is not None
    assert "no connection to the cluster" in refused.message
    assert remote.space_names() == ("nba",)
    remote.close()


def test_reader_has_the_spaces_of_the_config(tmp_path: Path) -> None:
    spaces = {"nba": ("10.0.0.5",), "chain": ("10.0.0.5", "10.0.0.6")}
    settings = ClusterSettings(name="old", run=RunMode.STORAGED, spaces=spaces)
    with cluster_bench(tmp_path, ScriptedManager(("nba",))):
        reader = ReadOnlyClient.open(Profile("old", tmp_path, cluster=settings))
        assert reader.space_names() == ("chain", "nba")
        answer = reader.answer("USE chain; SHOW SPACES", Session(None, Path("/")))
        assert [row.cells[:2] for row in answer.results[1].rows] == [("chain", "2"), ("nba", "1")]
        reader.close()


def test_reader_of_a_cluster_profile_answers_from_the_history(owner: ClusterBench, profile: Profile) -> None:
    owner.execute("ADMIN COMPACT nba")
    owner.events.until(1, Status.RUNNING)
    reader = ReadOnlyClient.open(profile)
    assert reader.connection is None
    assert (reader.space_names(), reader.host_names()) == (("nba",), ())
    answer = reader.answer("USE nba; SHOW JOBS IN nba; SHOW SPACES", Session(None, Path("/")))
    assert answer.failure is None
    assert [row.cells[0] for row in answer.results[2].rows] == ["nba"]
    reader.close()
