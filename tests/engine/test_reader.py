"""A read-only client answers from the disk, and reports plainly what cannot be read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import StatementRefused, StorageError
from jobtui.history.format.lock import Lock
from jobtui.model import Status, StepPosition
from tests.support.clock import FakeClock
from tests.support.engines import WAIT, open_bench
from tests.support.scripted import ScriptedStorage


@pytest.fixture
def unreadable(tmp_path: Path) -> ReadOnlyClient:
    """A reader of a profile with a job on nba, whose list of spaces cannot be read."""
    profile = Profile("local", tmp_path)
    engine = LocalClient.open(profile, run=RunPolicy.NONE)
    try:
        session = Session(None, tmp_path)
        assert engine.execute("CREATE SPACE nba; ADMIN FLUSH nba", session).result(60).failure is None
    finally:
        engine.close()
    (tmp_path / "storage" / "spaces.json").unlink()
    (tmp_path / "storage" / "spaces.json").mkdir()
    return ReadOnlyClient.open(profile)


@pytest.mark.parametrize("text", ["SHOW SPACES", "SHOW HOSTS"])
def test_questions_for_the_storage_fail_with_a_reason(unreadable: ReadOnlyClient, text: str) -> None:
    failure = unreadable.answer(text, Session()).failure
    assert failure is not None
    assert "spaces.json" in failure.message


def test_jobs_are_shown_all_the_same(unreadable: ReadOnlyClient) -> None:
    for text in ("SHOW JOBS", "SHOW JOBS IN nba", "SHOW JOB 1", "USE nba"):
        assert unreadable.answer(text, Session()).failure is None


def test_completion_names_come_from_the_history(unreadable: ReadOnlyClient) -> None:
    assert (unreadable.space_names(), unreadable.host_names()) == (("nba",), ())


def test_failed_measurement_is_an_error_result(unreadable: ReadOnlyClient) -> None:
    with pytest.raises(StorageError):
        unreadable.fetch_overview().result(0)


def test_reader_refuses_a_writing_text_before_running_any(root: Path) -> None:
    reader = ReadOnlyClient.open(Profile("local", root))
    answer = reader.execute("SHOW JOBS; ADMIN FLUSH nba", Session(None, Path("/"))).result(WAIT)
    assert answer.failure is not None
    assert not answer.results
    assert not root.exists()
    with pytest.raises(StatementRefused, match="look into its databases"):
        reader.fetch_stats("nba", "a").result(WAIT)
    reader.close()


def test_threads_can_share_a_reader(runtime: Path, root: Path) -> None:
    with open_bench(root, ScriptedStorage({"solo": ("far",)}, auto=True)) as bench:
        reader = ReadOnlyClient.open(Profile("local", root))
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
            bench.execute("ADMIN FLUSH solo; ADMIN FLUSH solo")
        bench.engine.wait_idle().result(WAIT)
        over.set()
        for thread in threads:
            thread.join()
        reader.history.refresh()
        assert not failures
        assert reader.history.notes == ()
        assert len(reader.execute("SHOW JOBS", Session(None, Path("/"))).result(WAIT).results[0].rows) == 80
        reader.close()


class TestDeadOwner:
    """A reader of a profile whose owner died while a job was at work."""

    STEPS = StepPosition(2, 9, "db", "default", b"k", 9, 9)

    def die(self, root: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> ReadOnlyClient:
        """A reader from before the end of an owner that left everything as a kill does."""
        with open_bench(root, ScriptedStorage({"nba": ("h1", "h2")}), clock=clock) as bench:
            bench.execute("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN FLUSH nba; PAUSE JOB 3")
            bench.storage.operation("nba", "h1").progress(0.2, steps=self.STEPS)
            bench.events.wait_for(lambda: bench.job(1).tasks[0].steps is not None)
            bench.events.wait_for(lambda: bench.engine.history.get(1).tasks[0].steps == self.STEPS)  # type: ignore[union-attr]
            reader = ReadOnlyClient.open(Profile("local", root))
            reader.history.refresh()
            assert self.shown(reader, "SHOW RUNNING JOBS") == ["1"]
            write = Lock.write_status

            def write_unless_closed(lock: Lock, *status: int, closed: bool = False) -> None:
                if not closed:
                    write(lock, *status)

            monkeypatch.setattr(Lock, "write_status", write_unless_closed)
        monkeypatch.undo()
        return reader

    def shown(self, reader: ReadOnlyClient, text: str) -> list[str]:
        (result,) = reader.answer(text, Session()).results
        return [row.cells[0] for row in result.rows]

    def test_its_work_is_shown_as_interrupted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reader = self.die(tmp_path, monkeypatch, FakeClock())
        assert reader.history.refresh()
        assert not reader.history.refresh()
        assert self.shown(reader, "SHOW RUNNING JOBS") == []
        assert self.shown(reader, "SHOW FAILED JOBS") == ["1"]
        assert self.shown(reader, "SHOW QUEUE JOBS") == ["2", "3"]
        assert [job.id for job in reader.active_jobs()] == [2, 3]
        assert reader.history.counts()[Status.RUNNING] == 0
        job = reader.job(1)
        assert job is not None
        assert job.reason.startswith("interrupted")
        assert {task.status for task in job.tasks} == {Status.FAILED}
        reader.close()

    def test_next_owner_is_followed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = FakeClock()
        reader = self.die(tmp_path, monkeypatch, clock)
        reader.history.refresh()
        with open_bench(tmp_path, ScriptedStorage({"nba": ("h1", "h2")}), clock=clock) as bench:
            bench.execute("STOP JOB 3; RECOVER JOB 1")
            bench.storage.operation("nba", "h1")
            reader.history.refresh()
            assert self.shown(reader, "SHOW RUNNING JOBS") == ["2"]
            assert self.shown(reader, "SHOW QUEUE JOBS") == ["4"]
            for job_id in range(1, 5):
                assert reader.job(job_id) == bench.engine.history.get(job_id)
            assert reader.history.counts() == bench.engine.history.counts()
            assert reader.history.notes == ()
        reader.close()
