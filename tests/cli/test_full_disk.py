"""A signal while the history's disk stays full: the process ends, and names what is not written."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobtui.cli.commands.serve import _serve
from jobtui.cli.errors import Exit
from jobtui.cli.wait import engine_waiter
from jobtui.history.format.disk import Disk
from jobtui.model import Status
from tests.support.engines import Bench, open_bench
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import eventually

UNWRITTEN = "How job 1 ended could not be written: "


class FullDisk:
    """Refuses every write of the history while it is set."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.is_full = threading.Event()
        for name in ("write", "create"):
            patch.setattr(Disk, name, self._refusing(getattr(Disk, name)))

    def _refusing(self, operation: Callable[..., object]) -> Callable[..., object]:
        def operate(*arguments: object) -> object:
            if self.is_full.is_set():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return operation(*arguments)

        return operate


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


@pytest.fixture
def at_work(tmp_path: Path, disk: FullDisk) -> Iterator[Bench]:
    """An engine whose job 1 runs on its one host."""
    with open_bench(tmp_path, ScriptedStorage({"nba": ["a"]})) as found:
        found.execute("ADMIN COMPACT nba")
        found.storage.operation("nba", "a")
        yield found
        disk.is_full.clear()


class Term:
    """SIGTERM on a full disk, a host that obeys, and time that goes by until the main thread is done."""

    def __init__(self, bench: Bench, disk: FullDisk, *, then: Callable[[], None] = lambda: None) -> None:
        self._bench, self._disk, self._then = bench, disk, then
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        operation = self._bench.storage.operation("nba", "a")
        self._disk.is_full.set()
        eventually(lambda: callable(signal.getsignal(signal.SIGTERM)))
        _terminate()
        assert operation.canceled.wait(20)
        operation.stop()
        for _ in range(400):  # seconds that go by for the engine
            if self._done.wait(0.02):
                return
            self._then()
            self._bench.clock.advance(0.25)
        _terminate()  # it would never end

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def _terminate() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def test_serve_ends_with_the_reason(at_work: Bench, disk: FullDisk, capsys: pytest.CaptureFixture[str]) -> None:
    with Term(at_work, disk):
        status = _serve(at_work.engine, [], until_idle=False, metrics=None)
    output = capsys.readouterr().err
    assert UNWRITTEN in output
    assert "the next start marks it as interrupted" in output
    assert "Left at once" not in output
    assert status == Exit.FAILED


def test_waiting_text_ends_with_the_reason(
    at_work: Bench, disk: FullDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    with engine_waiter(at_work.engine) as waiting, Term(at_work, disk):
        (job,) = waiting.wait_ended((1,))
    assert job.status is Status.RUNNING
    assert UNWRITTEN in capsys.readouterr().err


def test_space_freed_in_time_lets_the_end_be_written(
    at_work: Bench, disk: FullDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    with Term(at_work, disk, then=disk.is_full.clear):
        assert _serve(at_work.engine, [], until_idle=False, metrics=None) == Exit.DONE
    assert UNWRITTEN not in capsys.readouterr().err
    assert at_work.job(1).status is Status.STOPPED
