"""Jobs per second of the engine, compared with huey, a task queue in SQLite that is as durable."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.figures import Outcome, Run, at_least, figure
from benchmarks.storage_doubles import HOSTS, InstantStorage
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile

_SPACES = tuple(f"space_{number:02d}" for number in range(16))
_WAIT = 120.0
_USUAL = 4  # running jobs at most, where the config says nothing


@figure(
    "engine: jobs of 3 tasks per second, 16 spaces in parallel ÷ huey, SQLite, as many tasks", goal=at_least(5)
)
def side_by_side(run: Run) -> Outcome:
    """Each space has three hosts of its own, so 16 jobs run at once and share commits.

    From the first submission to the last end: each job handed in and made durable, run, and recorded.
    """
    return _compared(run, {space: [f"{space} {host}" for host in HOSTS] for space in _SPACES}, len(_SPACES))


@figure("engine: the same, all 16 spaces on three hosts", goal=at_least(5))
def on_three_hosts(run: Run) -> Outcome:
    """As a new user's config has it: three hosts, 4 running jobs at most.

    A host does one thing at a time, so each job waits for the one before: a commit a job, and nothing of the
    next may begin before it is through.
    """
    return _compared(run, dict.fromkeys(_SPACES, HOSTS), _USUAL)


@figure("engine: the same, 16 spaces with hosts of their own, 4 running jobs at most")
def at_the_usual_limit(run: Run) -> Outcome:
    """Four jobs share a commit."""
    return _compared(run, {space: [f"{space} {host}" for host in HOSTS] for space in _SPACES}, _USUAL)


def _compared(run: Run, spaces: Mapping[str, Sequence[str]], limit: int) -> Outcome:
    jobs = 80 if run.quick else 640
    ours, theirs, loose = [], [], []
    for turn in range(3 if run.quick else 7):
        place = run.directory("engine")
        measured = [
            (ours, partial(_through_engine, place, jobs, spaces, limit)),
            (theirs, partial(_through_huey, place / "durable.db", jobs, durable=True)),
            (loose, partial(_through_huey, place / "loose.db", jobs, durable=False)),
        ]
        for rates, measure in measured[:: 1 if turn % 2 else -1]:
            rates.append(jobs / measure())
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Outcome.of(
        ratios,
        f"{statistics.median(ours):,.0f} jobs a second; huey {statistics.median(theirs):,.0f} "
        f"(without a sync for each commit, as it comes: {statistics.median(loose):,.0f})",
    )


def _through_engine(place: Path, jobs: int, spaces: Mapping[str, Sequence[str]], limit: int) -> float:
    engine = LocalClient.open(
        Profile("local", place / "ours", max_running_jobs=limit), storage=InstantStorage(spaces)
    )
    sessions = [Session(space, place) for space in _SPACES]
    try:
        begin = time.perf_counter()
        answers = [engine.execute("ADMIN FLUSH", sessions[number % len(sessions)]) for number in range(jobs)]
        ids = [job for answer in answers for job in answer.result(_WAIT).jobs]
        ended = engine.wait_ended(ids).result(_WAIT)
        took = time.perf_counter() - begin
    finally:
        engine.close()
    if len(ended) != jobs or any(job.status != "finished" for job in ended):
        raise RuntimeError("not every job has finished")
    return took


def _through_huey(path: Path, jobs: int, *, durable: bool) -> float:
    from huey import SqliteHuey

    left = jobs * len(HOSTS)
    ended = threading.Event()
    huey = SqliteHuey(filename=str(path), fsync=durable)

    @huey.task()  # type: ignore[untyped-decorator]
    def flush(space: str, host: str) -> str:
        nonlocal left
        left -= 1
        if not left:
            ended.set()
        return host

    consumer = huey.create_consumer(workers=1, worker_type="thread", periodic=False, initial_delay=0.001)
    consumer.start()
    try:
        begin = time.perf_counter()
        for number in range(jobs):
            for host in HOSTS:
                flush(_SPACES[number % len(_SPACES)], host)
        if not ended.wait(_WAIT):
            raise RuntimeError("huey did not finish")
        return time.perf_counter() - begin
    finally:
        consumer.stop(graceful=True)
