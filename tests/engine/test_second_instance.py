"""Several processes of one profile: one owns it, the others read it live and hand their statements in."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from jobtui.engine import door, wire
from jobtui.engine.desk import Message, Session
from jobtui.engine.engine import Engine, Run
from jobtui.engine.profile import Profile
from jobtui.engine.reader import Reader
from jobtui.engine.remote import Remote
from jobtui.engine.shared import SharedDesk
from jobtui.history import StoreLocked
from jobtui.model import Change, Notice, Progress, Status
from jobtui.storage.base import StorageError
from tests.support.engines import WAIT, Bench, bench
from tests.support.scripted import FULL, ScriptedStorage


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jobtui-") as directory:  # a socket's path must be short
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def owner(runtime: Path, root: Path) -> Iterator[Bench]:
    with bench(root, ScriptedStorage({"nba": ("a", "b"), "solo": ("far",)})) as it:
        yield it


class Ear:
    """What a desk's listener hears."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._changed = threading.Condition()

    def __call__(self, messages: Sequence[Message]) -> None:
        with self._changed:
            self.messages.extend(messages)
            self._changed.notify_all()

    def until(self, kind: type, **fields: object) -> None:
        def there() -> bool:
            return any(
                isinstance(m, kind) and all(str(fields[f]) in str(getattr(m, f)) for f in fields)
                for m in list(self.messages)
            )

        with self._changed:
            assert self._changed.wait_for(there, WAIT), self.messages

    def until_told(self, job_id: int, status: Status) -> None:
        def last() -> Status | None:
            told = [m.job.status for m in self.messages if isinstance(m, Change) and m.job.id == job_id]
            return told[-1] if told else None

        with self._changed:
            assert self._changed.wait_for(lambda: last() is status, WAIT), self.messages


def test_a_second_engine_on_the_same_store_is_refused(owner: Bench, root: Path) -> None:
    with pytest.raises(StoreLocked, match=str(os.getpid())):
        Engine.open(Profile("local", root), storage=ScriptedStorage({}))


def test_a_statement_is_handed_to_the_owner_and_answered_as_if_typed_there(owner: Bench, root: Path) -> None:
    remote = Remote.connect(Profile("local", root))
    session = Session(None, Path("/"))
    answer = remote.execute("USE solo; ADMIN COMPACT; SHOW JOBS", session).result(WAIT)
    assert answer.failure is None
    assert [result.statement for result in answer.results] == ["USE solo", "ADMIN COMPACT", "SHOW JOBS"]
    assert answer.results[1].jobs == (1,)
    assert [row.cells[1] for row in answer.results[2].rows] == ["compact solo"]
    assert session.space == "solo"
    assert owner.session.space is None
    owner.storage.operation("solo", "far").finish()
    owner.heard.until(1, Status.FINISHED)
    remote.close()


def test_the_owner_s_refusal_and_a_bad_text_are_told_where_they_were_typed(owner: Bench, root: Path) -> None:
    remote = Remote.connect(Profile("local", root))
    session = Session(None, Path("/"))
    failure = remote.execute("SHOW JOBS;\n STOP JOB 7", session).result(WAIT).failure
    assert failure is not None
    assert (failure.message, failure.line, failure.column) == ("Job 7 does not exist", 2, 2)
    failure = remote.execute("ADMIN FLUSH nba; SHOW JBO", session).result(WAIT).failure
    assert failure is not None
    assert failure.syntax
    assert not owner.heard.jobs(1)
    remote.close()


def test_changes_and_progress_of_the_owner_are_seen_live(owner: Bench, root: Path) -> None:
    remote = Remote.connect(Profile("local", root))
    ear = Ear()
    remote.subscribe(ear)
    owner.say("ADMIN COMPACT solo")
    operation = owner.storage.operation("solo", "far")
    operation.progress(0.5, 1e6)
    ear.until(Progress, rate=1e6)
    assert [job.progress for job in remote.active()] == [0.5]
    operation.finish()
    ear.until(Change, was=Status.RUNNING)
    job = remote.job(1)
    assert job is not None
    assert job.status is Status.FINISHED
    assert remote.active() == ()
    remote.close()


def test_spaces_hosts_and_stats_come_from_the_owner(owner: Bench, root: Path) -> None:
    remote = Remote.connect(Profile("local", root))
    overview = remote.overview().result(WAIT)
    assert [look.space.name for look in overview.spaces] == ["nba", "solo"]
    assert {host.name for host in overview.hosts} == {"a", "b", "far"}
    assert remote.stats("solo", "far").result(WAIT) == FULL
    answer = remote.execute("SHOW HOSTS", Session(None, Path("/"))).result(WAIT)
    assert len(answer.results[0].rows) == 3
    remote.close()


def test_the_socket_is_the_user_s_alone_and_goes_with_its_owner(runtime: Path, root: Path) -> None:
    door = wire.door_of(root)
    with bench(root, ScriptedStorage({})):
        assert stat.S_IMODE(door.stat().st_mode) == 0o600
        assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700
    assert not door.exists()


def test_a_runtime_directory_too_long_for_a_socket_is_got_round(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / ("long" * 30)))
    door = wire.door_of(root)
    assert len(str(door)) <= 100
    with bench(root, ScriptedStorage({})):
        assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700
        Remote.connect(Profile("local", root)).close()


def test_a_stale_socket_is_taken_over_by_the_next_owner(runtime: Path, root: Path) -> None:
    door = wire.door_of(root)
    door.parent.mkdir(parents=True, exist_ok=True)
    wire.socket.socket(wire.socket.AF_UNIX).bind(str(door))
    with pytest.raises(wire.NoAnswer, match="no jobtui answers"):
        Remote.connect(Profile("local", root))
    with bench(root, ScriptedStorage({"solo": ("far",)})):
        Remote.connect(Profile("local", root)).close()


def test_another_version_s_question_is_refused_with_both_versions(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(wire.Ask, frozen=True):
        protocol: int = 99
        version: str = "9.9"

    monkeypatch.setattr(wire, "Ask", Later)
    with pytest.raises(wire.NoAnswer, match=r"jobtui 9\.9 can't talk to it"):
        Remote.connect(Profile("local", root))


def test_a_line_that_is_no_question_is_denied_and_harms_nothing(owner: Bench, root: Path) -> None:
    with wire.socket.socket(wire.socket.AF_UNIX) as raw:
        raw.connect(str(wire.door_of(root)))
        raw.sendall(b"GET / HTTP/1.1\r\n\n")
        answer = wire.answer_of(raw.makefile("rb").readline())
    assert isinstance(answer, wire.Denied)
    Remote.connect(Profile("local", root)).close()


def test_who_is_turned_away_can_still_say_all_of_the_question_and_read_why(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_peer", lambda writer: os.getuid() + 1)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(next(Path(os.environ["XDG_RUNTIME_DIR"]).rglob("*.sock"))))
        told = line.makefile("rb")
        assert b"run by another user" in told.readline()
        line.sendall(bytes(1 << 20))
        assert told.read() == b""


def test_when_the_owner_goes_the_next_one_takes_over(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = {"solo": ("far",)}
    monkeypatch.setattr(
        "jobtui.engine.backends.embedded", lambda profile, notice: ScriptedStorage(spaces, auto=True)
    )
    first = Engine.open(Profile("local", root), storage=ScriptedStorage(spaces))
    first.execute("ADMIN FLUSH solo; ADMIN COMPACT solo", Session(None, Path("/"))).result(WAIT)
    desk = SharedDesk(Profile("local", root))
    assert not desk.owner
    ear = Ear()
    desk.subscribe(ear)
    first.close()
    ear.until(Notice, text="this one runs it now")
    assert desk.owner
    desk.idle().result(WAIT)
    jobs = [desk.job(1), desk.job(2)]
    assert [job and job.status for job in jobs] == [Status.FAILED, Status.FINISHED]
    desk.close()


def test_without_an_answering_owner_the_profile_is_only_read_and_says_why(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.shared.TRIES", 1)
    with bench(root, ScriptedStorage({"solo": ("far",)}), run=Run.NONE) as it:
        it.say("ADMIN FLUSH solo")
        wire.door_of(root).unlink()
        desk = SharedDesk(Profile("local", root))
        session = Session(None, Path("/"))
        assert [row.cells[0] for row in desk.execute("SHOW JOBS", session).result(WAIT).results[0].rows] == [
            "1"
        ]
        failure = desk.execute("STOP JOB 1", session).result(WAIT).failure
        assert failure is not None
        assert "no jobtui answers" in failure.message
        assert not desk.writable
        desk.close()


def test_a_reader_refuses_what_would_write_before_any_of_the_text(root: Path) -> None:
    reader = Reader.open(Profile("local", root))
    answer = reader.execute("SHOW JOBS; ADMIN FLUSH nba", Session(None, Path("/"))).result(WAIT)
    assert answer.failure is not None
    assert not answer.results
    assert not root.exists()
    with pytest.raises((StorageError, Exception), match="look into its databases"):
        reader.stats("nba", "a").result(WAIT)
    reader.close()


def test_a_profile_that_could_only_be_read_is_taken_over_once_its_owner_has_gone(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.shared.TRIES", 1)
    monkeypatch.setattr("jobtui.engine.shared.BETWEEN_LOOKS_SECONDS", 0.01)
    monkeypatch.setattr("jobtui.engine.backends.embedded", lambda profile, notice: ScriptedStorage({}))
    ear = Ear()
    with bench(root, ScriptedStorage({})):
        wire.door_of(root).unlink()
        desk = SharedDesk(Profile("local", root))
        desk.subscribe(ear)
        assert not desk.writable
        assert not desk.hand_over()
    ear.until(Notice, text="can be written again: this one runs it now")
    assert desk.writable
    assert desk.engine is not None
    desk.close()


def test_work_is_left_behind_only_where_the_process_can_go_on_without_its_screen(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.backends.embedded", lambda profile, notice: ScriptedStorage({}))
    desk = SharedDesk(Profile("local", root))
    assert not desk.hand_over()
    desk.may_hand_over = True
    assert desk.hand_over()
    assert desk.handed_over
    second = SharedDesk(Profile("local", root))
    second.may_hand_over = True
    assert not second.hand_over()
    second.close()
    desk.close()


def test_an_owner_that_says_nothing_is_not_waited_for_long(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.remote.GREETING_SECONDS", 0.05)
    door = wire.door_of(root)
    door.parent.mkdir(parents=True)
    with wire.socket.socket(wire.socket.AF_UNIX) as mute:
        mute.bind(str(door))
        mute.listen()
        with pytest.raises(wire.Silent, match="it may be suspended"):
            Remote.connect(Profile("local", root))


def test_an_engine_that_leaves_takes_nothing_more_but_stays_for_what_it_was_given(
    runtime: Path, root: Path
) -> None:
    with bench(root, ScriptedStorage({"solo": ("far",)}), run=Run.SUBMITTED) as it:
        remote = Remote.connect(Profile("local", root))
        remote.answer("ADMIN FLUSH solo", Session(None, Path("/")))
        assert it.engine.leave_if_idle().result(WAIT) == (1,)
        it.storage.operation("solo", "far").finish()
        assert [job.status for job in remote.ended([1]).result(WAIT)] == [Status.FINISHED]
        assert it.engine.leave_if_idle().result(WAIT) == ()
        failure = remote.answer("ADMIN FLUSH solo", Session(None, Path("/"))).failure
        assert failure is not None
        assert "no jobtui answers" in failure.message
        remote.close()


def test_many_threads_may_ask_one_reader_what_is_new(runtime: Path, root: Path) -> None:
    with bench(root, ScriptedStorage({"solo": ("far",)}, auto=True)) as it:
        reader = Reader.open(Profile("local", root))
        over = threading.Event()
        failures: list[Exception] = []

        def refresh() -> None:
            while not over.is_set():
                try:
                    reader.history.refresh()
                except Exception as error:
                    failures.append(error)
                    return

        threads = [threading.Thread(target=refresh) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(40):
            it.say("ADMIN FLUSH solo; ADMIN FLUSH solo")
        it.engine.idle().result(WAIT)
        over.set()
        for thread in threads:
            thread.join()
        reader.history.refresh()
        assert not failures
        assert reader.history.notes == ()
        assert len(reader.execute("SHOW JOBS", Session(None, Path("/"))).result(WAIT).results[0].rows) == 80
        reader.close()


def test_what_the_owner_tells_holds_even_where_the_history_is_read_late(
    owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote.connect(Profile("local", root))
    owner.say("ADMIN COMPACT solo")
    ear = Ear()
    remote.subscribe(ear)
    owner.storage.operation("solo", "far").progress(0.5, 1e6)
    ear.until(Progress, rate=1e6)
    monkeypatch.setattr(remote.history, "refresh", lambda: False)
    ended = remote.ended([1])
    owner.storage.operation("solo", "far").finish()
    assert [job.status for job in ended.result(WAIT)] == [Status.FINISHED]
    job = remote.job(1)
    assert job is not None
    assert job.status is Status.FINISHED
    assert remote.active() == ()
    remote.close()


def test_a_question_that_an_owner_on_its_way_out_has_not_read_is_not_taken_and_may_be_asked_again(
    owner: Bench, root: Path
) -> None:
    remote = Remote.connect(Profile("local", root))
    with wire.socket.socket(wire.socket.AF_UNIX) as half:
        half.connect(str(wire.door_of(root)))
        half.sendall(wire.encode(wire.Ask(wire.Run("ADMIN FLUSH solo", None, "/"))))
        assert (
            remote.answer("SHOW HOSTS", Session(None, Path("/"))).failure is None
        )  # the half is accepted by now
        assert owner.engine.leave_if_idle().result(WAIT) == ()
        half.sendall(b"\n")
        with pytest.raises(wire.NotTaken):
            wire.must_be_taken(half.makefile("rb"))
    with pytest.raises(wire.NotTaken):
        remote.hand_in("ADMIN FLUSH solo", Session(None, Path("/"))).result(WAIT)
    assert owner.engine.active() == ()
    remote.close()


def test_who_takes_over_hears_what_became_of_the_jobs_it_showed(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = {"nba": ("a",), "solo": ("far",)}
    monkeypatch.setattr(
        "jobtui.engine.backends.embedded", lambda profile, notice: ScriptedStorage(spaces, auto=True)
    )
    storage = ScriptedStorage(spaces)
    first = Engine.open(Profile("local", root), storage=storage)
    first.execute("ADMIN COMPACT solo; ADMIN COMPACT nba", Session(None, Path("/"))).result(WAIT)
    desks = [SharedDesk(Profile("local", root)) for _ in range(2)]  # one becomes the owner, one follows it
    ears = [Ear(), Ear()]
    for desk, ear in zip(desks, ears, strict=True):
        desk.subscribe(ear)
    storage.operation("solo", "far").progress(0.34, 1e6)
    for ear in ears:
        ear.until(Progress, rate=1e6)
    first.close()
    for desk, ear in zip(desks, ears, strict=True):
        for job_id in (1, 2):
            ear.until_told(job_id, Status.FAILED)
        assert not desk.active()
    assert sorted(desk.owner for desk in desks) == [False, True]
    for desk in desks:
        desk.close()


def test_what_a_start_has_to_say_of_interrupted_jobs_waits_for_the_screen(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.backends.embedded", lambda profile, notice: ScriptedStorage({}))
    with bench(root, ScriptedStorage({"solo": ("far",)})) as it:
        it.say("ADMIN COMPACT solo")
        it.storage.operation("solo", "far")
    desk = SharedDesk(Profile("local", root))
    desk.idle().result(WAIT)
    ear = Ear()
    desk.subscribe(ear)
    ear.until(Notice, text="Job 1 was interrupted: jobtui ended while it ran; RECOVER JOB 1 runs it again")
    desk.close()
