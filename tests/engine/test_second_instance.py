"""Several processes of one profile: one owns it, the others follow it and submit their statements to it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from jobtui import errors
from jobtui.engine import protocol as wire
from jobtui.engine import server
from jobtui.engine.client import EngineEvent, ExecuteResult, Session
from jobtui.engine.failover import FailoverClient
from jobtui.engine.local import LocalClient
from jobtui.engine.owner_socket import SOCKET, short_path
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.history import StoreFailed, StoreLocked
from jobtui.model import Job, JobChanged, Notice, Status, TaskProgressed
from tests.support.engines import WAIT, Bench, EventLog, open_bench
from tests.support.interleavings import Meeting, Steps, meet_everywhere
from tests.support.scripted import FULL, ScriptedStorage


def test_second_engine_on_the_same_store_is_refused(owner: Bench, root: Path) -> None:
    with pytest.raises(StoreLocked, match=str(os.getpid())):
        LocalClient.open(Profile("local", root), storage=ScriptedStorage({}))


def test_statement_is_executed_by_the_owner(owner: Bench, root: Path) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    session = Session(None, Path("/"))
    answer = remote.execute("USE solo; ADMIN COMPACT; SHOW JOBS", session).result(WAIT)
    assert answer.failure is None
    assert [result.statement for result in answer.results] == ["USE solo", "ADMIN COMPACT", "SHOW JOBS"]
    assert answer.results[1].jobs == (1,)
    assert [row.cells[1] for row in answer.results[2].rows] == ["compact solo"]
    assert session.space == "solo"
    assert owner.session.space is None
    owner.storage.operation("solo", "far").finish()
    owner.events.until(1, Status.FINISHED)
    remote.close()


def test_texts_of_a_session_run_one_after_the_other(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, session = RemoteClient.connect(Profile("local", root)), Session(None, Path("/"))
    held, answer, order = threading.Event(), RemoteClient.answer, []

    def answer_late(client: RemoteClient, text: str, session: Session) -> ExecuteResult:
        if text == "USE solo":
            held.wait(WAIT)
        order.append(text)
        return answer(client, text, session)

    monkeypatch.setattr(RemoteClient, "answer", answer_late)
    first, second = (remote.execute(text, session) for text in ("USE solo", "ADMIN COMPACT"))
    remote.execute("SHOW HOSTS", Session(None, Path("/"))).result(WAIT)  # another session does not wait
    held.set()
    assert first.result(WAIT).failure is None
    assert second.result(WAIT).failure is None
    assert order == ["SHOW HOSTS", "USE solo", "ADMIN COMPACT"]
    remote.close()


def test_refusal_and_syntax_error_reach_the_client(owner: Bench, root: Path) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    session = Session(None, Path("/"))
    failure = remote.execute("SHOW JOBS;\n STOP JOB 7", session).result(WAIT).failure
    assert failure is not None
    assert (failure.message, failure.line, failure.column) == ("Job 7 does not exist", 2, 2)
    failure = remote.execute("ADMIN FLUSH nba; SHOW JBO", session).result(WAIT).failure
    assert failure is not None
    assert failure.syntax
    assert not owner.events.jobs(1)
    remote.close()


def test_changes_and_progress_of_the_owner_are_seen_live(owner: Bench, root: Path) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    events = EventLog(remote)
    owner.execute("ADMIN COMPACT solo")
    operation = owner.storage.operation("solo", "far")
    operation.progress(0.5, 1e6)
    events.until_published(TaskProgressed, rate=1e6)
    assert [job.progress for job in remote.active_jobs()] == [0.5]
    operation.finish()
    events.until_published(JobChanged, was=Status.RUNNING)
    job = remote.job(1)
    assert job is not None
    assert job.status is Status.FINISHED
    assert remote.active_jobs() == ()
    remote.close()


@pytest.mark.parametrize("client", [RemoteClient.connect, FailoverClient])
def test_failing_listener_still_receives_the_next_change(
    owner: Bench, root: Path, client: Callable[[Profile], RemoteClient | FailoverClient]
) -> None:
    remote = client(Profile("local", root))
    tried: list[object] = []

    def fails(messages: Sequence[EngineEvent]) -> None:
        tried.append(messages)
        raise ValueError("an error of the listener")

    remote.subscribe(fails)
    events = EventLog(remote)
    owner.execute("ADMIN COMPACT solo")
    events.until_published(Notice, text="A change could not be shown: ValueError: an error of the listener")
    owner.storage.operation("solo", "far").finish()
    events.until_published(JobChanged, was=Status.RUNNING)
    assert len(tried) > 1
    remote.close()


def test_spaces_hosts_and_stats_come_from_the_owner(owner: Bench, root: Path) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    overview = remote.fetch_overview().result(WAIT)
    assert [look.space.name for look in overview.spaces] == ["nba", "solo"]
    assert {host.name for host in overview.hosts} == {"a", "b", "far"}
    assert remote.fetch_stats("solo", "far").result(WAIT) == FULL
    answer = remote.execute("SHOW HOSTS", Session(None, Path("/"))).result(WAIT)
    assert len(answer.results[0].rows) == 3
    remote.close()


def test_socket_is_private_and_removed_with_its_owner(runtime: Path, root: Path) -> None:
    server = root / SOCKET
    with open_bench(root, ScriptedStorage({})):
        assert stat.S_IMODE(server.stat().st_mode) == 0o600
        assert stat.S_IMODE(server.parent.stat().st_mode) == 0o700
    assert not server.exists()


def test_stale_socket_is_taken_over_by_the_next_owner(runtime: Path, root: Path) -> None:
    with open_bench(root, ScriptedStorage({})):
        lock = (root / "history" / "LOCK").read_bytes()
    (root / "history" / "LOCK").write_bytes(lock)  # as a killed owner leaves it
    with socket.socket(socket.AF_UNIX) as stale, short_path(root / SOCKET) as name:
        stale.bind(name)
    with pytest.raises(errors.OwnerUnavailable, match="no jobtui answers"):
        RemoteClient.connect(Profile("local", root))
    with open_bench(root, ScriptedStorage({"solo": ("far",)})):
        RemoteClient.connect(Profile("local", root)).close()


def test_request_of_another_version_is_refused_naming_both(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(wire.Request, frozen=True):
        protocol: int = 99
        version: str = "9.9"

    monkeypatch.setattr(wire, "Request", Later)
    with pytest.raises(errors.OwnerUnavailable, match=r"jobtui 9\.9 cannot talk to it"):
        RemoteClient.connect(Profile("local", root))


def test_malformed_request_is_rejected_without_harm(owner: Bench, root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(root / SOCKET))
        raw.sendall(b"GET / HTTP/1.1\r\n\n")
        answer = wire.decode_response(raw.makefile("rb").readline())
    assert isinstance(answer, wire.ErrorResponse)
    RemoteClient.connect(Profile("local", root)).close()


def test_rejected_client_can_send_all_and_read_the_reason(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "peer_uid", lambda connection: os.getuid() + 1)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(root / SOCKET))
        replies = line.makefile("rb")
        assert b"run by another user" in replies.readline()
        line.sendall(bytes(1 << 20))
        assert replies.read() == b""


def test_silent_owner_times_out_soon(runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobtui.engine.remote.GREETING_SECONDS", 0.05)
    with open_bench(root, ScriptedStorage({})):
        lock = (root / "history" / "LOCK").read_bytes()
    (root / "history" / "LOCK").write_bytes(lock)  # as a killed owner leaves it
    with socket.socket(socket.AF_UNIX) as mute, short_path(root / SOCKET) as name:
        mute.bind(name)
        mute.listen()
        with pytest.raises(errors.OwnerTimeout, match="it may be suspended"):
            RemoteClient.connect(Profile("local", root))


def test_closing_engine_finishes_accepted_requests_only(runtime: Path, root: Path) -> None:
    with open_bench(root, ScriptedStorage({"solo": ("far",)}), run=RunPolicy.SUBMITTED) as bench:
        remote = RemoteClient.connect(Profile("local", root))
        remote.answer("ADMIN FLUSH solo", Session(None, Path("/")))
        assert bench.engine.close_if_idle().result(WAIT) == (1,)
        bench.storage.operation("solo", "far").finish()
        assert [job.status for job in remote.wait_ended([1]).result(WAIT)] == [Status.FINISHED]
        assert bench.engine.close_if_idle().result(WAIT) == ()
        failure = remote.answer("ADMIN FLUSH solo", Session(None, Path("/"))).failure
        assert failure is not None
        assert "no jobtui answers" in failure.message
        remote.close()


def test_owner_messages_take_precedence_over_a_late_history(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    owner.execute("ADMIN COMPACT solo")
    events = EventLog(remote)
    owner.storage.operation("solo", "far").progress(0.5, 1e6)
    events.until_published(TaskProgressed, rate=1e6)
    monkeypatch.setattr(remote.history, "refresh", lambda: False)
    ended = remote.wait_ended([1])
    owner.storage.operation("solo", "far").finish()
    assert [job.status for job in ended.result(WAIT)] == [Status.FINISHED]
    job = remote.job(1)
    assert job is not None
    assert job.status is Status.FINISHED
    assert remote.active_jobs() == ()
    remote.close()


def test_request_unread_by_a_closing_owner_can_be_repeated(owner: Bench, root: Path) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    with socket.socket(socket.AF_UNIX) as half:
        half.connect(str(root / SOCKET))
        half.sendall(wire.encode(wire.Request(wire.ExecuteRequest("ADMIN FLUSH solo", None, "/"))))
        assert (
            remote.answer("SHOW HOSTS", Session(None, Path("/"))).failure is None
        )  # the half is accepted by now
        assert owner.engine.close_if_idle().result(WAIT) == ()
        half.sendall(b"\n")
        with pytest.raises(errors.OwnerUnavailable, match="went away"):
            wire.decode_response(half.makefile("rb").readline())
    with pytest.raises(errors.RequestNotAccepted):
        remote.submit("ADMIN FLUSH solo", Session(None, Path("/"))).result(WAIT)
    assert owner.engine.active_jobs() == ()
    remote.close()


def test_job_that_ends_as_a_wait_begins_is_not_missed(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    events = EventLog(remote)
    owner.execute("ADMIN FLUSH solo")
    looked = []

    def looked_too_early(jobs: Iterable[int]) -> tuple[Job, ...]:
        found = look(jobs)
        if not looked:
            looked.append(found)
            owner.storage.operation("solo", "far").finish()
            events.until(1, Status.FINISHED)
        return found

    look = remote.jobs_on_disk
    monkeypatch.setattr(remote, "jobs_on_disk", looked_too_early)
    assert [job.status for job in remote.wait_ended([1]).result(WAIT)] == [Status.FINISHED]
    remote.close()


@pytest.mark.parametrize("event", ["the job ends", "the owner exits", "the history fails"])
def test_event_at_any_instruction_of_a_wait_is_not_missed(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    owner.execute("ADMIN FLUSH solo")
    running = owner.events.until(1, Status.RUNNING)
    owner.storage.operation("solo", "far").finish()
    finished = owner.events.until(1, Status.FINISHED)

    def scenario(meeting: Meeting) -> Steps:
        found, waits = [running], list[Future[tuple[Job, ...]]]()
        remote._owner_gone = False

        def look(jobs: Iterable[int]) -> tuple[Job, ...]:
            if not found:
                raise StoreFailed("it cannot be read")
            return (found[-1],)

        def happen() -> None:
            if event == "the job ends":
                found.append(finished)
            elif event == "the history fails":
                found.clear()
            else:
                remote._owner_gone = True
            remote._resolve_waiters()

        def check() -> None:
            (ended,) = waits
            assert ended.done()
            assert not remote._waiting
            if event == "the job ends":
                assert ended.result() == (finished,)
            else:
                expected = StoreFailed if event == "the history fails" else errors.OwnerUnavailable
                assert isinstance(ended.exception(), expected)

        monkeypatch.setattr(remote, "jobs_on_disk", look)

        return lambda: waits.append(remote.wait_ended([1])), happen, check

    meet_everywhere(
        scenario, RemoteClient.wait_ended, RemoteClient._resolve_waiters, RemoteClient._stop_waiting
    )
    remote.close()


def test_wait_whose_caller_is_canceled_harms_no_other(owner: Bench, root: Path) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    owner.execute("ADMIN FLUSH solo")
    waits = [remote.wait_ended([1]) for _ in range(2)]
    assert not waits[0].cancel()
    owner.storage.operation("solo", "far").finish()
    assert [job.status for wait in waits for job in wait.result(WAIT)] == [Status.FINISHED] * 2
    remote.close()


def test_job_not_yet_in_the_history_is_waited_for(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = RemoteClient.connect(Profile("local", root))
    with monkeypatch.context() as late:
        late.setattr(remote.history, "refresh", lambda: False)
        ended = remote.wait_ended([1])
        owner.execute("ADMIN FLUSH solo")
        owner.storage.operation("solo", "far").finish()
        assert [job.status for job in ended.result(WAIT)] == [Status.FINISHED]
    remote.close()


def test_client_closed_before_the_answer_leaves_no_error(owner: Bench, root: Path) -> None:
    remote = RemoteClient.connect(Profile("local", root))

    async def ask_and_leave() -> None:
        waiting = asyncio.ensure_future(asyncio.wrap_future(answer))
        waiting.cancel()
        await asyncio.wait([waiting])

    answer = remote.execute("ADMIN FLUSH solo", Session(None, Path("/")))
    asyncio.run(ask_and_leave())
    assert answer.result(WAIT).jobs == (1,)
    remote.close()
