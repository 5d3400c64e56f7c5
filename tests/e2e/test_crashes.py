"""kill -9 at any moment: acknowledged jobs are kept, statuses are true, and nothing has run twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerUnavailable
from jobtui.history import History, Query
from jobtui.model import EventKind, Job, Status
from tests.support.commands import CommandLine
from tests.support.homes import moved_in, with_pairs, with_runtime_directory
from tests.support.waiting import eventually

INTERRUPTED = "interrupted: jobtui ended while it ran"
TEXTS = (
    "ADMIN FLUSH nba",
    "ADMIN COMPACT nba",
    "ADMIN COMPACT nba; ADMIN FLUSH nba",
    "ADMIN COMPACT nba; ADMIN COMPACT nba; SHOW JOBS",
    "RECOVER JOB",
)


@pytest.fixture
def jobtui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    home = with_pairs(tmp_path / "made", count=1_000)
    found = moved_in(tmp_path / "home", home, "[profiles.local]\ncompact_rate = 6_000_000\n")
    return with_runtime_directory(found, monkeypatch)


@pytest.mark.timeout(1800)
def test_killed_server_leaves_true_statuses(jobtui: CommandLine, long: bool) -> None:
    rng = random.Random(20191217)
    acknowledged: set[int] = set()
    for _ in range(150 if long else 4):
        workers = one_life(jobtui, rng, acknowledged)
        eventually(lambda workers=workers: not any(map(alive, workers)))
        check(jobs_of(jobtui), acknowledged)
    finish(jobtui)
    jobs = jobs_of(jobtui)
    check(jobs, acknowledged)
    assert all(job.status.ended for job in jobs)
    engine = LocalClient.open(jobtui.profile)
    try:
        assert len(list(engine.dump("nba"))) == 1_000
    finally:
        engine.close()


@pytest.mark.timeout(900)
def test_killed_run_leaves_true_statuses(jobtui: CommandLine, long: bool) -> None:
    rng = random.Random(17122019)
    for _ in range(100 if long else 4):
        with jobtui.started("-e", rng.choice(TEXTS)) as process:
            time.sleep(rng.random())  # any moment is right
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        check(jobs_of(jobtui), set())
    finish(jobtui)
    jobs = jobs_of(jobtui)
    check(jobs, set())
    assert all(job.status.ended for job in jobs)


def test_owner_killed_in_the_middle_of_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step_size = 16 << 20
    jobtui = CommandLine(tmp_path / "home")
    jobtui.home.mkdir()
    with_runtime_directory(jobtui, monkeypatch)
    pairs = [(b"%08d" % number, os.urandom(100_000)) for number in range(480)]
    engine = LocalClient.open(Profile("local", jobtui.profile.root, step_size=step_size))
    try:
        for text in ("CREATE SPACE nba ON 1 HOSTS", "ADMIN COMPACT nba"):
            answer = engine.execute(text, Session(None, jobtui.home)).result(60)
            engine.wait_ended(answer.jobs).result(60)
            if not answer.jobs:
                engine.load("nba", pairs).result(60)
    finally:
        engine.close()
    jobtui.config.write_text(f"[profiles.local]\nstep_size = {step_size}\ncompact_rate = {2 * step_size}\n")
    with jobtui.started("serve") as process:
        remote = eventually(lambda: connected(jobtui))
        try:
            remote.answer("ADMIN COMPACT nba", Session(None, jobtui.home))
            eventually(lambda: finished_steps(jobs_of(jobtui)[-1]))
        finally:
            workers = children_of(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            remote.close()
    eventually(lambda: not any(map(alive, workers)))
    jobtui.config.write_text(f"[profiles.local]\nstep_size = {step_size}\n")
    shown = jobtui("-e", "SHOW JOB 2; RECOVER JOB 2")
    assert shown.returncode == 0, shown
    interrupted, recovered = jobs_of(jobtui)[1:]
    assert (interrupted.status, interrupted.reason) == (Status.FAILED, INTERRUPTED)
    before, after = interrupted.tasks[0].steps, recovered.tasks[0].steps
    assert before is not None
    assert after is not None
    assert 0 < before.done < before.total
    printed = " ".join((shown.stdout + shown.stderr).split())
    assert INTERRUPTED in printed
    assert f"from step {before.done + 1} of {before.total}" in printed
    assert recovered.status is Status.FINISHED
    assert recovered.tasks[0].before is not None
    assert after.read - before.read <= recovered.tasks[0].before.bytes - before.read + step_size
    engine = LocalClient.open(jobtui.profile)
    try:
        assert list(engine.dump("nba")) == pairs
    finally:
        engine.close()


def finished_steps(job: Job) -> int:
    """Return the number of steps that the job's first host has finished and committed."""
    return 0 if job.tasks[0].steps is None else job.tasks[0].steps.done


def one_life(jobtui: CommandLine, rng: random.Random, acknowledged: set[int]) -> set[int]:
    """Start a server, hand it statements, kill it; its workers."""
    with jobtui.started("serve") as process:
        remote = eventually(lambda: connected(jobtui))
        try:
            for _ in range(rng.randrange(1, 6)):
                answer = remote.answer(rng.choice(TEXTS), Session(None, jobtui.home))
                if answer.failure is None:
                    acknowledged.update(answer.jobs)
                if rng.random() < 0.3 and (active := remote.active_jobs()):
                    remote.answer(f"STOP JOB {rng.choice(active).id}", Session(None, jobtui.home))
            time.sleep(rng.random() / 2)  # any moment is right
        finally:
            workers = children_of(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            remote.close()
    return workers


def finish(jobtui: CommandLine) -> None:
    """Run the rest with a server that is not killed."""
    jobtui.config.unlink()
    engine = LocalClient.open(jobtui.profile)
    try:
        engine.wait_idle().result(120)
    finally:
        engine.close()


def check(jobs: list[Job], acknowledged: Iterable[int]) -> None:
    ids = [job.id for job in jobs]
    assert ids == list(range(1, len(ids) + 1)), "ids continue, none is lost and none used twice"
    assert set(acknowledged) <= set(ids)
    for job in jobs:
        kinds = [event.kind for event in job.events]
        assert kinds.count(EventKind.STARTED) <= 1, "nothing runs twice"
        for task in job.tasks:
            starts = [e for e in job.events if e.kind is EventKind.TASK_STARTED and e.task == task.number]
            assert len(starts) <= 1
        if job.status is Status.FAILED:
            assert job.reason == INTERRUPTED
            assert all(task.status.ended for task in job.tasks)
        if job.status is Status.FINISHED:
            assert {task.status for task in job.tasks} == {Status.FINISHED}
            assert all(task.after is not None for task in job.tasks)
        if job.status is Status.QUEUE:
            assert job.start is None
    starts = [job.start for job in jobs if job.start is not None]
    assert starts == sorted(starts), "queued jobs of a space run in order"
    assert sum(job.status is Status.RUNNING for job in jobs) <= 1


def jobs_of(jobtui: CommandLine) -> list[Job]:
    history = History.open(jobtui.profile.history, write=False)
    try:
        assert history.notes == ()
        view = history.query(Query())
        return view.page(0, len(view))
    finally:
        history.close()


def connected(jobtui: CommandLine) -> RemoteClient | None:
    try:
        return RemoteClient.connect(jobtui.profile)
    except OwnerUnavailable:
        return None


def children_of(pid: int) -> set[int]:
    children = (task / "children" for task in Path(f"/proc/{pid}/task").glob("*"))
    return {int(child) for listed in children for child in listed.read_text().split()}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
