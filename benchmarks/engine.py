"""Jobs per second of the engine, compared with huey, a task queue in SQLite that is as durable."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Outcome, Run, alternate, at_least, figure
from benchmarks.history_commits import Bare
from benchmarks.storage_doubles import HOSTS, InstantStorage
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile

_SPACES = tuple(f"space_{number:02d}" for number in range(16))
_WAIT = 120.0
_USUAL = 4
"""Running jobs at most, if the config does not say otherwise."""


@figure("engine: jobs of 3 tasks per second, 16 spaces in parallel ÷ huey on SQLite", goal=at_least(6))
def side_by_side(run: Run) -> Outcome:
    """Each space has three hosts of its own, so 16 jobs run at once and share commits.

    From the first submission to the last end: each job is submitted, made durable, run, and recorded.
    """
    return _compared(run, {space: [f"{space} {host}" for host in HOSTS] for space in _SPACES}, len(_SPACES))


@figure("engine: the same, all 16 spaces on three hosts", goal=at_least(3.5))
def on_three_hosts(run: Run) -> Outcome:
    """As a new user's config has it: three hosts, 4 running jobs at most.

    A host does one operation at a time, so each job waits for the one before: a commit per job, and nothing of
    the next may begin before its start is durable. The limit is a write and a sync for each job.
    """
    return _compared(run, dict.fromkeys(_SPACES, HOSTS), _USUAL, is_serial=True)


@figure("engine: the same, 16 spaces with hosts of their own, 4 running jobs at most")
def at_the_usual_limit(run: Run) -> Outcome:
    """Four jobs share a commit."""
    return _compared(run, {space: [f"{space} {host}" for host in HOSTS] for space in _SPACES}, _USUAL)


def _compared(run: Run, spaces: Mapping[str, Sequence[str]], limit: int, *, is_serial: bool = False) -> Outcome:
    jobs = 80 if run.quick else 640

    def ours() -> float:
        return jobs / _through_engine(run.directory("engine"), jobs, spaces, limit)

    def huey() -> tuple[float, float]:
        place = run.directory("huey")
        durable = jobs / _through_huey(place / "durable.db", jobs, durable=True)
        return durable, jobs / _through_huey(place / "loose.db", jobs, durable=False)

    rates, theirs = alternate(3 if run.quick else 7, ours, huey)
    durable, loose = (statistics.median(each) for each in zip(*theirs, strict=True))
    note = (
        f"{statistics.median(rates):,.0f} jobs a second; huey {durable:,.0f} "
        f"(without a sync for each commit, as it comes: {loose:,.0f})"
    )
    physical = f"{_syncs(run, jobs) / durable:.2g}× with a bare write and sync per job" if is_serial else ""
    ratios = [mine / other for mine, (other, _) in zip(rates, theirs, strict=True)]
    return Outcome.of(ratios, note, physical)


def _syncs(run: Run, count: int) -> float:
    """Return how often per second as many bytes as a change has can be written and synced."""
    bare = Bare(run.directory("bare") / "file")
    begin = time.perf_counter()
    for _ in range(count):
        bare.one()
    took = time.perf_counter() - begin
    bare.close()
    return count / took


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
    from huey import SqliteHuey  # late: the other figures do not need the package

    left = jobs * len(HOSTS)
    ended = threading.Event()
    huey = SqliteHuey(filename=str(path), fsync=durable)

    @huey.task()  # type: ignore[untyped-decorator]  # huey has no types
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
