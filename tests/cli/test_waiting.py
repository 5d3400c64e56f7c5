"""Ctrl+c while jobs run, on a storage that the test controls."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobtui.cli.wait import WaitAborted, describe_jobs, engine_waiter
from jobtui.engine.scheduler import RunPolicy
from jobtui.model import Status
from tests.support.engines import Bench, open_bench
from tests.support.scripted import ScriptedStorage


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Bench]:
    """An engine whose job 1 is running on its one host."""
    with open_bench(tmp_path, ScriptedStorage({"nba": ["a"]}), run=RunPolicy.SUBMITTED) as found:
        found.execute("ADMIN COMPACT nba")
        found.storage.operation("nba", "a")
        yield found


def soon(act: Callable[[], object]) -> threading.Thread:
    """Do it on another thread while this one waits."""
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_ctrl_c_waits_until_the_job_has_stopped(at_work: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt_then_obey() -> None:
        ctrl_c()
        operation = at_work.storage.operation("nba", "a")
        assert operation.canceled.wait(20)
        operation.stop()

    with engine_waiter(at_work.engine) as waiting:
        thread = soon(interrupt_then_obey)
        (job,) = waiting.wait_ended((1,))
    thread.join()
    assert job.status is Status.STOPPED
    assert waiting.interrupted is signal.SIGINT
    assert capsys.readouterr().err == "Stopping job 1; a second ctrl+c exits immediately\n"


def test_every_sleep_is_bounded_because_of_late_signals(at_work: Bench) -> None:
    with engine_waiter(at_work.engine) as waiting:
        while waiting._next() is not None:
            """The engine's messages so far."""
        assert waiting._next() is None


def test_second_ctrl_c_leaves_at_once(at_work: Bench) -> None:
    def insist() -> None:
        ctrl_c()
        assert at_work.storage.operation("nba", "a").canceled.wait(20)
        ctrl_c()

    with engine_waiter(at_work.engine) as waiting:
        thread = soon(insist)
        with pytest.raises(WaitAborted):
            waiting.wait_ended((1,))
    thread.join()
    assert at_work.job(1).stopping


def test_job_that_ends_by_itself_is_not_reported_as_stopped(
    at_work: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt_too_late() -> None:
        ctrl_c()
        operation = at_work.storage.operation("nba", "a")
        assert operation.canceled.wait(20)
        operation.finish()

    with engine_waiter(at_work.engine) as waiting:
        thread = soon(interrupt_too_late)
        (job,) = waiting.wait_ended((1,))
    thread.join()
    assert job.status is Status.FINISHED
    assert "already" not in capsys.readouterr().err


def test_after_ctrl_c_nothing_more_is_started(at_work: Bench) -> None:
    at_work.execute("ADMIN FLUSH nba")
    at_work.storage.obey = True
    with engine_waiter(at_work.engine) as waiting:
        thread = soon(ctrl_c)
        waiting.wait_ended((1,))
    thread.join()
    assert at_work.job(2).status is Status.QUEUE
    assert len(at_work.storage.begun) == 1


@pytest.mark.parametrize("sent", [signal.SIGHUP, signal.SIGTERM])
def test_signal_while_waiting_for_others_stops_their_jobs(
    tmp_path: Path, sent: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = ScriptedStorage({"nba": ["a"], "other": ["b"]}, obey=True)
    with open_bench(tmp_path, storage, run=RunPolicy.SUBMITTED) as found:
        found.execute("ADMIN FLUSH nba")
        found.storage.operation("nba", "a").finish()
        found.execute("ADMIN COMPACT other")  # as another process's would be
        found.storage.operation("other", "b")
        with engine_waiter(found.engine) as waiting:
            (own,) = waiting.wait_ended((1,))
            signal.raise_signal(sent)
            waiting.wait_for_other_jobs()
        assert (own.status, found.job(2).status) == (Status.FINISHED, Status.STOPPED)
        assert waiting.interrupted is sent
    assert "Stopping job 2; a second ctrl+c exits immediately" in capsys.readouterr().err


def test_previous_handlers_are_restored(at_work: Bench) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with engine_waiter(at_work.engine):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_ignored_signal_stays_ignored(at_work: Bench) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with engine_waiter(at_work.engine):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("ids", "words"), [([], "no job"), ([41], "job 41"), ([41, 42], "jobs 41 and 42"), ([1, 2, 3], "3 jobs")]
)
def test_jobs_are_counted_in_plain_text(ids: list[int], words: str) -> None:
    assert describe_jobs(ids) == words
