"""The threads of a history that is open for writing, when they meet at the worst moment."""

from __future__ import annotations

import itertools
import random
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobtui.history import History
from jobtui.history.format.disk import Disk
from jobtui.history.write.store import Store
from jobtui.history.write.writer import Writer
from tests.support import made_jobs
from tests.support.damaged import OPEN
from tests.support.interleavings import Meeting, Steps, expect, meet_everywhere

Patch = pytest.MonkeyPatch


class NotingLock:
    """A lock that reports when a thread must wait for it."""

    def __init__(self) -> None:
        self.is_wanted = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if self._lock.locked():
            self.is_wanted.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def ends_or_waits(work: Callable[[], None], lock: NotingLock) -> threading.Thread:
    """Run the work in a thread until it waits for the lock, or has ended."""

    def run() -> None:
        work()
        lock.is_wanted.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert lock.is_wanted.wait(30)
    return thread


class IdleNotice(threading.Event):
    """An event for idle maintenance; `is_awaited` is set once a thread has waited or passed."""

    def __init__(self) -> None:
        super().__init__()
        self.set()
        self.is_awaited = threading.Event()
        self.seen: list[bool] = []

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self.is_awaited.set()
        return super().wait(timeout)

    def noting(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work`, which notes first whether maintenance is idle."""

        def noted(*arguments: object) -> Any:
            self.seen.append(self.is_set())
            self.is_awaited.set()
            return work(*arguments)

        return noted


class PrecededLock:
    """A lock before which something happens, the first time that a block takes it."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act
        self._lock = threading.Lock()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def begin_maintenance_before_the_lock(writing: Writer, monkeypatch: Patch) -> IdleNotice:
    """Let maintenance begin after the next wait for its end, and before the lock is taken."""
    idle = IdleNotice()

    def begin() -> None:
        writing._start_maintenance(lambda: expect(idle.is_awaited.wait(30), True))

    monkeypatch.setattr(writing, "_maintenance_idle", idle)
    monkeypatch.setattr(writing, "_store_lock", PrecededLock(begin))
    return idle


class TestClosing:
    """By another thread, at the worst moment of a commit: it is written, or refused."""

    def test_while_a_commit_is_queued(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        writing, lock, threads = history._open_writer, NotingLock(), []

        class Slow(deque[Any]):
            def append(self, request: object) -> None:
                if not threads:
                    threads.append(ends_or_waits(history.close, lock))
                super().append(request)

        monkeypatch.setattr(writing, "_queue_lock", lock)
        monkeypatch.setattr(writing, "_queue", Slow())
        job = made_jobs.submitted(history.new_id(), random.Random(1))
        history.commit(job).result(30)
        threads[0].join(30)
        assert Store.open(Disk(), tmp_path / "history", OPEN).state.recent == {job.id: job}

    def test_while_a_waiting_thread_writes_its_commit(self, tmp_path: Path) -> None:
        """The writer's thread finds nothing to do, and ends: only the lock keeps the files open."""
        directories = itertools.count()

        def scenario(meeting: Meeting) -> Steps:
            path = tmp_path / str(next(directories))
            history = History.open(path, limits=OPEN)
            writing = history._open_writer
            writing._closed = True
            writing.wake()
            writing._thread.join()
            writing._closed, writing._is_polling, writing._main_thread = False, True, None
            writing._store_lock = meeting.lock()  # type: ignore[assignment]
            job = made_jobs.submitted(history.new_id(), random.Random(1))
            done = history.commit(job)

            def check() -> None:
                history.close()
                assert done.exception(0) is None
                assert Store.open(Disk(), path, OPEN).state.recent == {job.id: job}

            return writing.write_in_caller, history.close, check

        meet_everywhere(scenario, Writer._write)

    def test_after_maintenance_that_begins_meanwhile(self, tmp_path: Path, monkeypatch: Patch) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        writing = history._open_writer
        idle = begin_maintenance_before_the_lock(writing, monkeypatch)
        monkeypatch.setattr(writing.store, "close", idle.noting(writing.store.close))
        history.close()
        assert idle.seen == [True]


class TestWriterLock:
    """The writer's lock is held while another thread than the writer's uses the store."""

    @pytest.mark.parametrize(
        ("inside", "call"),
        [
            ("store.retry", lambda history: history.retry()),
            ("store.set_address", lambda history: history.set_address("owner.sock")),
            ("_rotate_for_archive", lambda history: history.archive(1, 2).result(30)),
        ],
    )
    def test_held(
        self, inside: str, call: Callable[[History], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        writing, held = history._open_writer, []
        *parents, name = inside.split(".")
        owner = writing.store if parents else writing
        original = getattr(owner, name)

        def observed(*arguments: object) -> object:
            held.append(writing._store_lock.locked())
            return original(*arguments)

        monkeypatch.setattr(owner, name, observed)
        call(history)
        assert held == [True]
        history.close()


class TestArchive:
    def test_waits_for_maintenance_that_begins_meanwhile(self, tmp_path: Path, monkeypatch: Patch) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        writing = history._open_writer
        idle = begin_maintenance_before_the_lock(writing, monkeypatch)
        monkeypatch.setattr(writing, "_rotate_for_archive", idle.noting(writing._rotate_for_archive))
        history.archive(1, 2).result(30)
        assert idle.seen == [True]
        history.close()
