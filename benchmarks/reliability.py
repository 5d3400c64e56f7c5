"""How soon a stop has stopped: a compact of a gigabyte, also where its worker must be killed for it."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Outcome, Run, at_most, figure, once
from jobtui.engine.client import EngineEvent, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.model import JobChanged, Status, TaskProgressed
from jobtui.storage.local.backend import LocalStorage

_HOST = "h1"
_VALUE = 4_000
_BATCH = 2_000  # pairs
_LAYERS = 4
_WAIT = 600.0


@figure("stop: a running compact of 1 GB has ended, median", goal=at_most(100), unit="ms")
def stop_median(run: Run) -> Outcome:
    """From STOP JOB to the job's end on disk, at any moment of the work; the data is counted afterwards."""
    samples, note = _stops(run)
    return Outcome.of(samples, note)


@figure("stop: a running compact of 1 GB has ended, at worst", goal=at_most(1_000), unit="ms")
def stop_at_worst(run: Run) -> Outcome:
    """The longest of the same."""
    return Outcome.worst_of(_stops(run)[0])


@figure("stop: if the worker does not stop and must be killed, at worst", goal=at_most(4), unit="s")
def stop_by_killing(run: Run) -> Outcome:
    """The same for a worker that is suspended: only its end ends the work."""
    samples = []
    with _engine(_filled(run)) as engine:
        for _ in range(2 if run.quick else 5):
            job_id = _under_way(engine, 0.0)
            os.kill(_worker(engine), signal.SIGSTOP)
            took = _stopped(engine, job_id)
            if took is not None:
                samples.append(took)
    return Outcome.worst_of(samples)


@once
def _stops(run: Run) -> tuple[list[float], str]:
    chance = random.Random(20191217)
    root = _filled(run)
    with _engine(root) as engine:
        samples = []
        for _ in range(10 if run.quick else 30):
            job_id = _under_way(engine, chance.uniform(0.0, 0.1 if run.quick else 1.0))
            took = _stopped(engine, job_id)
            if took is not None:
                samples.append(1000 * took)
        pairs = sum(1 for _ in engine.dump("nba"))
    if pairs != _pairs(run):
        raise RuntimeError(f"{pairs:,} pairs are left of {_pairs(run):,}")
    return samples, f"{_size(root) >> 20:,} MiB, all {pairs:,} pairs there afterwards"


@once
def _filled(run: Run) -> Path:
    """A profile with the data in several layers of files, each over all of the keys' range."""
    root = run.directory("reliability")
    chance = random.Random(1)
    with _engine(root) as engine:
        _say(engine, f"CREATE SPACE nba ON {_HOST}")
        for layer in range(_LAYERS):
            writing = None
            keys = range(layer, _pairs(run), _LAYERS)
            for start in range(0, len(keys), _BATCH):
                batch = [(b"%09d" % key, chance.randbytes(_VALUE)) for key in keys[start : start + _BATCH]]
                if writing is not None:
                    writing.result(_WAIT)
                writing = engine.load("nba", batch)
            if writing is not None:
                writing.result(_WAIT)
            engine.wait_ended(_say(engine, "ADMIN FLUSH nba")).result(_WAIT)
    return root


def _pairs(run: Run) -> int:
    return (200_000_000 if run.quick else 1_000_000_000) // _VALUE


def _size(root: Path) -> int:
    return sum(table.stat().st_size for table in root.rglob("*.sst"))


@contextmanager
def _engine(root: Path) -> Iterator[LocalClient]:
    engine = LocalClient.open(Profile("local", root, hosts={_HOST: None}))
    try:
        yield engine
    finally:
        engine.close()


def _say(engine: LocalClient, text: str) -> tuple[int, ...]:
    answer = engine.execute(text, Session(None, Path("/"))).result(_WAIT)
    if answer.failure is not None:
        raise RuntimeError(answer.failure.message)
    return answer.jobs


def _under_way(engine: LocalClient, more: float) -> int:
    """The id of a compact that moves, and has done so for that many seconds more."""
    moving = threading.Event()

    def hear(messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            if isinstance(message, JobChanged | TaskProgressed) and (
                message.job.progress or message.job.status.ended
            ):
                moving.set()

    leave = engine.subscribe(hear)
    (job_id,) = _say(engine, "ADMIN COMPACT nba")
    if not moving.wait(_WAIT):
        raise RuntimeError("the compact does not move")
    leave()
    time.sleep(more)
    return job_id


def _stopped(engine: LocalClient, job_id: int) -> float | None:
    """Seconds from the statement to the job's end, durable; None where it finished before the stop came."""
    begin = time.perf_counter()
    engine.execute(f"STOP JOB {job_id}", Session(None, Path("/"))).result(_WAIT)
    (job,) = engine.wait_ended([job_id]).result(_WAIT)
    took = time.perf_counter() - begin
    return took if job.status is Status.STOPPED else None


def _worker(engine: LocalClient) -> int:
    if not isinstance(engine.engine.storage, LocalStorage):
        raise TypeError("this needs the embedded storage")
    pid = engine.engine.storage.worker(_HOST, adopted=False).pid
    if pid is None:
        raise RuntimeError("the worker does not run")
    return pid
