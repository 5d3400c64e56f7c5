"""A reader answers from what is on disk, and says plainly what of it cannot be read."""

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
from tests.support.engines import WAIT, bench
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
def test_what_only_the_storage_knows_fails_with_its_reason(unreadable: ReadOnlyClient, text: str) -> None:
    failure = unreadable.answer(text, Session()).failure
    assert failure is not None
    assert "spaces.json" in failure.message


def test_jobs_are_shown_all_the_same(unreadable: ReadOnlyClient) -> None:
    for text in ("SHOW JOBS", "SHOW JOBS IN nba", "SHOW JOB 1", "USE nba"):
        assert unreadable.answer(text, Session()).failure is None


def test_names_to_complete_are_those_of_the_history(unreadable: ReadOnlyClient) -> None:
    assert (unreadable.space_names(), unreadable.host_names()) == (("nba",), ())


def test_a_look_fails_as_a_look_does(unreadable: ReadOnlyClient) -> None:
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


def test_many_threads_may_ask_one_reader_what_is_new(runtime: Path, root: Path) -> None:
    with bench(root, ScriptedStorage({"solo": ("far",)}, auto=True)) as it:
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
            it.say("ADMIN FLUSH solo; ADMIN FLUSH solo")
        it.engine.wait_idle().result(WAIT)
        over.set()
        for thread in threads:
            thread.join()
        reader.history.refresh()
        assert not failures
        assert reader.history.notes == ()
        assert len(reader.execute("SHOW JOBS", Session(None, Path("/"))).result(WAIT).results[0].rows) == 80
        reader.close()
