"""The owner of a profile goes, or can't be talked to: who goes on, and what the others hear of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtui.engine.address import SOCKET
from jobtui.engine.client import Session
from jobtui.engine.failover import FailoverClient
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.scheduler import RunPolicy
from jobtui.model import Notice, Status, TaskProgressed
from tests.support.engines import WAIT, Heard, bench
from tests.support.scripted import ScriptedStorage


def test_when_the_owner_goes_the_next_one_takes_over(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = {"solo": ("far",)}
    monkeypatch.setattr(
        "jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage(spaces, auto=True)
    )
    first = LocalClient.open(Profile("local", root), storage=ScriptedStorage(spaces))
    first.execute("ADMIN FLUSH solo; ADMIN COMPACT solo", Session(None, Path("/"))).result(WAIT)
    desk = FailoverClient(Profile("local", root))
    assert not desk.is_owner
    heard = Heard(desk)
    first.close()
    heard.until_said(Notice, text="this one runs it now")
    assert desk.is_owner
    desk.wait_idle().result(WAIT)
    jobs = [desk.job(1), desk.job(2)]
    assert [job and job.status for job in jobs] == [Status.FAILED, Status.FINISHED]
    desk.close()


def test_without_an_answering_owner_the_profile_is_only_read_and_says_why(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.failover.TRIES", 1)
    with bench(root, ScriptedStorage({"solo": ("far",)}), run=RunPolicy.NONE) as it:
        it.say("ADMIN FLUSH solo")
        (root / SOCKET).unlink()
        desk = FailoverClient(Profile("local", root))
        session = Session(None, Path("/"))
        assert [row.cells[0] for row in desk.execute("SHOW JOBS", session).result(WAIT).results[0].rows] == [
            "1"
        ]
        failure = desk.execute("STOP JOB 1", session).result(WAIT).failure
        assert failure is not None
        assert "no jobtui answers" in failure.message
        assert not desk.writable
        desk.close()


def test_a_profile_that_could_only_be_read_is_taken_over_once_its_owner_has_gone(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.failover.TRIES", 1)
    monkeypatch.setattr("jobtui.engine.failover.BETWEEN_LOOKS_SECONDS", 0.01)
    monkeypatch.setattr("jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage({}))
    with bench(root, ScriptedStorage({})):
        (root / SOCKET).unlink()
        desk = FailoverClient(Profile("local", root))
        heard = Heard(desk)
        assert not desk.writable
        assert not desk.hand_over()
    heard.until_said(Notice, text="can be written again: this one runs it now")
    assert desk.writable
    assert desk.engine is not None
    desk.close()


def test_work_is_left_behind_only_where_the_process_can_go_on_without_its_screen(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage({}))
    desk = FailoverClient(Profile("local", root))
    assert not desk.hand_over()
    desk.may_hand_over = True
    assert desk.hand_over()
    assert desk.handed_over
    second = FailoverClient(Profile("local", root))
    second.may_hand_over = True
    assert not second.hand_over()
    second.close()
    desk.close()


def test_who_takes_over_hears_what_became_of_the_jobs_it_showed(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = {"nba": ("a",), "solo": ("far",)}
    monkeypatch.setattr(
        "jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage(spaces, auto=True)
    )
    storage = ScriptedStorage(spaces)
    first = LocalClient.open(Profile("local", root), storage=storage)
    first.execute("ADMIN COMPACT solo; ADMIN COMPACT nba", Session(None, Path("/"))).result(WAIT)
    desks = [FailoverClient(Profile("local", root)) for _ in range(2)]  # one becomes the owner, one follows it
    heard = [Heard(desk) for desk in desks]
    storage.operation("solo", "far").progress(0.34, 1e6)
    for each in heard:
        each.until_said(TaskProgressed, rate=1e6)
    first.close()
    for desk, each in zip(desks, heard, strict=True):
        for job_id in (1, 2):
            each.until_last(job_id, Status.FAILED)
        assert not desk.active_jobs()
    assert sorted(desk.is_owner for desk in desks) == [False, True]
    for desk in desks:
        desk.close()


def test_what_a_start_has_to_say_of_interrupted_jobs_waits_for_the_screen(
    runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobtui.engine.backend._embedded", lambda profile, notify: ScriptedStorage({}))
    with bench(root, ScriptedStorage({"solo": ("far",), "nba": ("a",)})) as it:
        it.say("ADMIN COMPACT solo; ADMIN COMPACT nba")
        it.storage.operation("solo", "far")
        it.storage.operation("nba", "a")
    desk = FailoverClient(Profile("local", root))
    desk.wait_idle().result(WAIT)
    heard = Heard(desk)
    (told,) = (text for text in heard.notices if "interrupted" in text)
    why = "interrupted: jobtui ended while it ran"
    assert told == f"2 jobs (1, 2) were {why}; RECOVER JOB 1, 2 runs them again"
    desk.close()
