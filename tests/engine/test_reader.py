"""A reader answers from what is on disk, and says plainly what of it can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtui.engine.desk import Session
from jobtui.engine.engine import Engine
from jobtui.engine.profile import Profile, Run
from jobtui.engine.reader import Reader
from jobtui.storage.base import StorageError


@pytest.fixture
def unreadable(tmp_path: Path) -> Reader:
    """A reader of a profile with a job on nba, whose list of spaces can't be read."""
    profile = Profile("local", tmp_path)
    engine = Engine.open(profile, run=Run.NONE)
    try:
        session = Session(None, tmp_path)
        assert engine.execute("CREATE SPACE nba; ADMIN FLUSH nba", session).result(60).failure is None
    finally:
        engine.close()
    (tmp_path / "storage" / "spaces.json").unlink()
    (tmp_path / "storage" / "spaces.json").mkdir()
    return Reader.open(profile)


@pytest.mark.parametrize("text", ["SHOW SPACES", "SHOW HOSTS"])
def test_what_only_the_storage_knows_fails_with_its_reason(unreadable: Reader, text: str) -> None:
    failure = unreadable.answer(text, Session()).failure
    assert failure is not None
    assert "spaces.json" in failure.message


def test_jobs_are_shown_all_the_same(unreadable: Reader) -> None:
    for text in ("SHOW JOBS", "SHOW JOBS IN nba", "SHOW JOB 1", "USE nba"):
        assert unreadable.answer(text, Session()).failure is None


def test_names_to_complete_are_those_of_the_history(unreadable: Reader) -> None:
    assert (unreadable.spaces(), unreadable.host_names()) == (("nba",), ())


def test_a_look_fails_as_a_look_does(unreadable: Reader) -> None:
    with pytest.raises(StorageError):
        unreadable.overview().result(0)
