"""The owner of a profile exits or does not answer: which process takes over, and what the others show."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from jobtui.engine.client import Session
from jobtui.engine.failover import FailoverClient
from jobtui.engine.local import LocalClient
from jobtui.engine.owner_socket import SOCKET
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Notice, Status, TaskProgressed
from tests.support.engines import WAIT, EventLog, open_bench
from tests.support.scripted import ScriptedStorage


def test_next_process_takes_over_when_the_owner_exits(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = {"solo": ("far",)}
    monkeypatch.setattr(
        "jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage(spaces, auto=True)
    )
    first = LocalClient.open(Profile("local", root), storage=ScriptedStorage(spaces))
    first.execute("ADMIN FLUSH solo; ADMIN COMPACT solo", Session(None, Path("/"))).result(WAIT)
    client = FailoverClient(Profile("local", root))
    assert not client.is_owner
    events = EventLog(client)
    first.close()
    events.until_published(Notice, text="this one runs it now")
    assert client.is_owner
    client.wait_idle().result(WAIT)
    jobs = [client.job(1), client.job(2)]
    assert [job and job.status for job in jobs] == [Status.FAILED, Status.FINISHED]
    client.close()


def test_profile_of_a_silent_owner_is_read_only_with_reason(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.failover.TRIES", 1)
    with open_bench(root, ScriptedStorage({"solo": ("far",)}), run=RunPolicy.NONE) as bench:
        bench.execute("ADMIN FLUSH solo")
        (root / SOCKET).unlink()
        client = FailoverClient(Profile("local", root))
        session = Session(None, Path("/"))
        assert [row.cells[0] for row in client.execute("SHOW JOBS", session).result(WAIT).results[0].rows] == [
            "1"
        ]
        failure = client.execute("STOP JOB 1", session).result(WAIT).failure
        assert failure is not None
        assert "no jobtui answers" in failure.message
        assert not client.writable
        client.close()


def test_read_only_profile_is_taken_over_after_owner_exit(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.failover.TRIES", 1)
    monkeypatch.setattr("jobtui.engine.failover.BETWEEN_CHECKS_SECONDS", 0.01)
    monkeypatch.setattr("jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage({}))
    with open_bench(root, ScriptedStorage({})):
        (root / SOCKET).unlink()
        client = FailoverClient(Profile("local", root))
        events = EventLog(client)
        assert not client.writable
    events.until_published(Notice, text="can be written again: this one runs it now")
    assert client.writable
    assert client.engine is not None
    client.close()


def test_takeover_that_fails_is_tried_again(runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobtui.engine.failover.BETWEEN_CHECKS_SECONDS", 0.01)
    is_mounted = threading.Event()

    def open_storage(profile: Profile, notify: object) -> ScriptedStorage:
        if not is_mounted.is_set():
            raise StorageError(ErrorCode.IO, "", "", "The disk is not mounted")
        return ScriptedStorage({})

    monkeypatch.setattr("jobtui.engine.backend._embedded", open_storage)
    with open_bench(root, ScriptedStorage({})):
        client = FailoverClient(Profile("local", root))
        events = EventLog(client)
    events.until_published(Notice, text="cannot take it over: The disk is not mounted; it tries again")
    is_mounted.set()
    events.until_published(Notice, text="can be written again: this one runs it now")
    assert client.is_owner
    client.close()


def test_new_owner_gets_the_outcome_of_the_jobs_it_showed(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = {"nba": ("a",), "solo": ("far",)}
    monkeypatch.setattr(
        "jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage(spaces, auto=True)
    )
    storage = ScriptedStorage(spaces)
    first = LocalClient.open(Profile("local", root), storage=storage)
    first.execute("ADMIN COMPACT solo; ADMIN COMPACT nba", Session(None, Path("/"))).result(WAIT)
    clients = [
        FailoverClient(Profile("local", root)) for _ in range(2)
    ]  # one becomes the owner, one follows it
    events = [EventLog(client) for client in clients]
    storage.operation("solo", "far").progress(0.34, 1e6)
    for each in events:
        each.until_published(TaskProgressed, rate=1e6)
    first.close()
    for client, each in zip(clients, events, strict=True):
        for job_id in (1, 2):
            each.until_last(job_id, Status.FAILED)
        assert not client.active_jobs()
    assert sorted(client.is_owner for client in clients) == [False, True]
    for client in clients:
        client.close()


def test_new_owner_shows_the_limit_of_the_last_one_no_longer(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = {"nba": ("a",)}
    monkeypatch.setattr("jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage(spaces))
    first = LocalClient.open(Profile("local", root), storage=ScriptedStorage(spaces), run=RunPolicy.NONE)
    session = Session(None, Path("/"))
    first.execute("ADMIN COMPACT nba; PAUSE JOB 1", session).result(WAIT)
    client = FailoverClient(Profile("local", root))
    events = EventLog(client)
    first.execute("SET RATE 5 MiB FOR JOB 1", session).result(WAIT)
    events.wait_for(lambda: [job.write_limit for job in events.jobs(1)][-1:] == [5 << 20])
    first.close()
    events.wait_for(lambda: events.jobs(1)[-1].write_limit is None)
    assert client.is_owner
    client.close()


def test_notice_of_interrupted_jobs_waits_for_the_screen(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage({}))
    with open_bench(root, ScriptedStorage({"solo": ("far",), "nba": ("a",)})) as bench:
        bench.execute("ADMIN COMPACT solo; ADMIN COMPACT nba")
        bench.storage.operation("solo", "far")
        bench.storage.operation("nba", "a")
    client = FailoverClient(Profile("local", root))
    client.wait_idle().result(WAIT)
    events = EventLog(client)
    (notice,) = (text for text in events.notices if "interrupted" in text)
    why = "interrupted: jobtui ended while it ran"
    assert notice == f"2 jobs (1, 2) were {why}; RECOVER JOB 1, 2 runs them again"
    client.close()


def test_reader_is_told_of_the_exit_alone(runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobtui.engine.failover.BETWEEN_CHECKS_SECONDS", 0.01)
    with open_bench(root, ScriptedStorage({})):
        client = FailoverClient(Profile("local", root, read_only=True))
        events = EventLog(client)
    events.until_published(Notice, text="has ended")
    with open_bench(root, ScriptedStorage({})):
        watching = [thread for thread in threading.enumerate() if thread.name == "jobtui-take-over"]
        for thread in watching:
            thread.join(WAIT)
        assert isinstance(client._client, RemoteClient)
        client.close()
    assert events.notices == ["The jobtui that ran this profile has ended"]


def test_client_that_is_closed_meanwhile_keeps_no_connection(runtime: Path, root: Path) -> None:
    with open_bench(root, ScriptedStorage({})):
        client = FailoverClient(Profile("local", root))
        late = RemoteClient.connect(Profile("local", root))
        client._closed = True
        client._switch_to(late)
        assert late._closed
