"""How soon STOP, RESUME and a move to the background act on a compact of a gigabyte.

STOP is measured also with a worker that must be killed.

The yardstick is what an operator without jobtui would do: kill a process that compacts a copy of the same
database, wait for its end, and open the database in a new process.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import Outcome, Run, at_most, figure, once
from benchmarks.homes import fresh_home
from benchmarks.screen import Screen
from jobtui.engine.client import EngineEvent, Session
from jobtui.engine.lifecycle import is_held
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.model import Job, JobChanged, Status, TaskProgressed
from jobtui.storage.local.backend import LocalStorage
from jobtui.storage.local.supervisor import GRACE_SECONDS

_HOST: Final = "h1"
_VALUE: Final = 4_000
_BATCH: Final = 2_000
"""Pairs that are written at once."""
_LAYERS: Final = 4
_WAIT: Final = 120.0
_LATEST: Final = 0.6
"""The share of the work after which the latest stop comes: the end of the last step must not come first."""
_LOOK: Final = 0.005
"""Seconds between two looks at the files."""
_STEP_MIB, _RATE_MIB = 50, 40
"""Steps of more than a second: the dashboard must be left before the last one."""
_WORKING: Final = 0.1
"""Seconds of compaction before the yardstick's process is killed."""


class _Stops(msgspec.Struct, frozen=True):
    """Seconds from the statement to the job's end, and to a pair written to the space; and the yardstick's."""

    ended: list[float]
    usable: list[float]
    reopened: list[float]
    note: str


@figure(
    "STOP of a compact of 1 GB until it has ended, median ÷ a bare kill and reopening",
    goal=at_most(0.6),
    absolute=at_most(0.1),
)
def stop_median(run: Run) -> Outcome:
    """From STOP JOB to the job's durable end, at any moment of the work; the data is counted afterwards."""
    stops = _stops(run)
    return Outcome.ratio(stops.ended, stops.reopened, stops.note)


@figure(
    "STOP of a compact of 1 GB until it has ended, at worst ÷ a bare kill and reopening",
    goal=at_most(1.5),
    absolute=at_most(1),
)
def stop_at_worst(run: Run) -> Outcome:
    """The longest of the same."""
    stops = _stops(run)
    ratios = [took / other for took, other in zip(stops.ended, stops.reopened, strict=True)]
    outcome = Outcome.worst_of(ratios, f"slowest {max(stops.ended) * 1e3:.0f} ms")
    return msgspec.structs.replace(outcome, absolute=max(stops.ended))


@figure(
    "STOP of a compact of 1 GB to an idle, usable space ÷ a bare kill and reopening",
    goal=at_most(0.6),
    absolute=at_most(0.1),
)
def stop_to_usable(run: Run) -> Outcome:
    """From the statement until the job has ended and the space has accepted a pair."""
    stops = _stops(run)
    return Outcome.ratio(stops.usable, stops.reopened)


@figure("stop: if the worker must be killed, beyond its grace ÷ a bare kill and reopening", goal=at_most(1))
def stop_by_killing(run: Run) -> Outcome:
    """The same for a worker that is suspended, so that only its end ends the work.

    The seconds that a worker has for stopping by itself are subtracted: they are a constant.
    """
    ours: list[float] = []
    theirs: list[float] = []
    with _engine(_filled(run)) as engine:
        for _ in range(2 if run.quick else 4):
            job_id = _running(engine, 0.0)
            os.kill(_worker(engine), signal.SIGSTOP)
            begin = time.perf_counter()
            _execute(engine, f"STOP JOB {job_id}")
            _ended(engine, job_id)
            ours.append(time.perf_counter() - begin - GRACE_SECONDS)
            theirs.append(_killed_and_reopened(run))
    return Outcome.ratio(ours, theirs, f"the grace is {GRACE_SECONDS:g} s")


@figure(
    "RESUME of a compact until it works ÷ a bare kill and reopening", goal=at_most(1), absolute=at_most(0.2)
)
def resume(run: Run) -> Outcome:
    """From RESUME JOB to the first bytes that the worker reports, which it does eight times a second."""
    ours: list[float] = []
    theirs: list[float] = []
    with _engine(_filled(run)) as engine:
        for _ in range(3 if run.quick else 9):
            job_id = _running(engine, 0.0)
            _execute(engine, f"PAUSE JOB {job_id} WITH now = true")
            _until(engine, job_id, lambda job: job.status.ended or is_held(job))
            if (job := engine.job(job_id)) is None or job.status.ended:
                continue  # its last step ended before the pause came
            begin = time.perf_counter()
            with _watch(engine, job_id, TaskProgressed) as first:
                _execute(engine, f"RESUME JOB {job_id}")
                ours.append(first(lambda job: bool(job.progress)) - begin)
            _execute(engine, f"STOP JOB {job_id}")
            _ended(engine, job_id)
            theirs.append(_killed_and_reopened(run))
    return Outcome.ratio(ours, theirs, f"slowest {max(ours) * 1e3:.0f} ms")


@figure(
    "a compact that a dashboard leaves to a server: longest time without a write ÷ a bare kill and reopening",
    goal=at_most(10),
    absolute=at_most(2),
)
def left_to_a_server(run: Run) -> Outcome:
    """From the last byte that the dashboard's worker writes to the first one of the server's.

    The dashboard finishes its step, ends, and starts `jobtui serve --until-idle`.
    """
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(2 if run.quick else 5):
        ours.append(_left_to_a_server(run))
        theirs.append(_killed_and_reopened(run))
    return Outcome.ratio(ours, theirs, f"slowest {max(ours):.2f} s")


def _left_to_a_server(run: Run) -> float:
    """Quit a dashboard in the middle of a compact in steps; return the seconds in which nothing was written."""
    home = fresh_home(run)
    shutil.copytree(_filled(run), home.profile, copy_function=_link, dirs_exist_ok=True)
    config = home.path / "config.toml"
    config.write_text(f'[profiles.local]\nhosts = {{ {_HOST} = "" }}\nstep_size = "{_STEP_MIB} MiB"\n')

    def execute(text: str, *options: str) -> None:
        command = home.jobtui("--config", str(config), "--quiet", *options, "-e", text)
        subprocess.run(command, env=home.environment, stdout=subprocess.DEVNULL, check=True)

    execute("ADMIN COMPACT nba")  # level 0 would be a single step
    with Screen(home.jobtui("--config", str(config)), home.environment) as screen:
        _await_text(screen, "compact nba")
        execute(f"ADMIN COMPACT nba WITH rate = {_RATE_MIB} MiB", "--detach")
        _await_text(screen, r" [1-5]/\d+ ")
        screen.send("q")
        _await_text(screen, "in the background")
        screen.send("b")
        longest = _longest_gap(home.profile / "storage", screen)
    stop = home.jobtui("--config", str(config), "--quiet", "-e", f"STOP JOB {_LAYERS + 2}")
    # the job may have ended by itself meanwhile
    subprocess.run(stop, env=home.environment, capture_output=True, check=False)
    return longest


def _await_text(screen: Screen, pattern: str) -> None:
    """Wait until the whole screen matches the pattern; a frame may hold only the part that changed."""
    end = time.monotonic() + _WAIT
    while re.search(pattern, screen.text()) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"{pattern!r} never came:\n{screen.text()}")
        screen.read(_LOOK)


def _longest_gap(directory: Path, screen: Screen) -> float:
    """Return the longest time without a write, up to the first write after the end of the screen's process."""
    longest = 0.0
    at, before = time.perf_counter(), _size(directory)
    while True:
        screen.read(_LOOK)
        now, size = time.perf_counter(), _size(directory)
        if size != before:
            longest = max(longest, now - at)
            if screen.process.poll() is not None:
                return longest
            at, before = now, size
        elif now - at > _WAIT:
            raise TimeoutError(f"nothing continues the compact:\n{screen.text()}")


@once
def _stops(run: Run) -> _Stops:
    rng = random.Random(20191217)
    ended: list[float] = []
    usable: list[float] = []
    reopened: list[float] = []
    root = _filled(run)
    written = set()
    with _engine(root) as engine:
        while len(ended) < (5 if run.quick else 20):
            job_id = _running(engine, rng.uniform(0.0, _LATEST))
            begin = time.perf_counter()
            failure = engine.execute(f"STOP JOB {job_id}", _session()).result(_WAIT).failure
            job = _ended(engine, job_id)
            middle = time.perf_counter()
            if failure is not None or job.status is not Status.STOPPED:
                continue  # it had finished before the stop came
            key = b"after the stop of %d" % job_id
            engine.load("nba", [(key, b"")]).result(_WAIT)
            usable.append(time.perf_counter() - begin)
            ended.append(middle - begin)
            written.add(key)
            reopened.append(_killed_and_reopened(run))
        pairs = sum(1 for _ in engine.dump("nba"))
    if pairs != _pairs(run) + len(written):
        raise RuntimeError(f"{pairs:,} pairs are left of {_pairs(run) + len(written):,}")
    return _Stops(ended, usable, reopened, f"{_size(root) >> 20:,} MiB, all {pairs:,} pairs there afterwards")


# ---- the yardstick


def _killed_and_reopened(run: Run) -> float:
    """Return the seconds to kill a process that compacts, wait for its end, and open its database again."""
    database = _copy(run)
    process = _opened(database)
    assert process.stdin is not None
    process.stdin.write(b"begin\n")
    process.stdin.flush()
    time.sleep(_WORKING)  # the process reports nothing while it compacts
    begin = time.perf_counter()
    process.kill()
    process.wait()
    again = _opened(database)
    took = time.perf_counter() - begin
    for each in (process, again):
        each.kill()
        each.communicate()
    return took


def _opened(database: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._bare_compact", str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _copy(run: Run) -> Path:
    """Return a copy of the database as it was filled; its tables are links, which RocksDB never writes to."""
    to = run.directory("bare") / "database"
    shutil.copytree(_original(run), to, copy_function=_link)
    return to


def _link(source: str, target: str) -> None:
    if source.endswith(".sst"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


# ---- the data


@once
def _filled(run: Run) -> Path:
    """Return a profile with the data in several layers of files, each over the whole range of keys."""
    root = run.directory("stop")
    rng = random.Random(1)
    with _engine(root) as engine:
        _execute(engine, f"CREATE SPACE nba ON {_HOST}")
        for layer in range(_LAYERS):
            writing = None
            keys = range(layer, _pairs(run), _LAYERS)
            for start in range(0, len(keys), _BATCH):
                batch = [(b"%09d" % key, rng.randbytes(_VALUE)) for key in keys[start : start + _BATCH]]
                if writing is not None:
                    writing.result(_WAIT)
                writing = engine.load("nba", batch)
            if writing is not None:
                writing.result(_WAIT)
            engine.wait_ended(_execute(engine, "ADMIN FLUSH nba")).result(_WAIT)
    return root


@once
def _original(run: Run) -> Path:
    """Return the database as it was filled."""
    (current,) = (_filled(run) / "storage").rglob("CURRENT")
    to = run.directory("original") / "database"
    shutil.copytree(current.parent, to, copy_function=_link)
    return to


def _pairs(run: Run) -> int:
    return (200_000_000 if run.quick else 1_000_000_000) // _VALUE


def _size(root: Path) -> int:
    total = 0
    for table in root.rglob("*.sst"):
        with suppress(FileNotFoundError):  # a compaction removes the files that it has merged
            total += table.stat().st_size
    return total


# ---- the engine


@contextmanager
def _engine(root: Path) -> Iterator[LocalClient]:
    engine = LocalClient.open(Profile("local", root, hosts={_HOST: None}))
    try:
        yield engine
    finally:
        engine.close()


def _session() -> Session:
    return Session(None, Path("/"))


def _execute(engine: LocalClient, text: str) -> tuple[int, ...]:
    """Execute a statement that must succeed; return the jobs that it submitted."""
    answer = engine.execute(text, _session()).result(_WAIT)
    if answer.failure is not None:
        raise RuntimeError(answer.failure.message)
    return answer.jobs


def _ended(engine: LocalClient, job_id: int) -> Job:
    (job,) = engine.wait_ended([job_id]).result(_WAIT)
    return job


def _running(engine: LocalClient, share: float) -> int:
    """Return the id of a new compact that has done more than that share of its work, or has ended."""
    (job_id,) = _execute(engine, "ADMIN COMPACT nba")
    _until(engine, job_id, lambda job: job.status.ended or (job.progress or 0) > share)
    return job_id


def _until(engine: LocalClient, job_id: int, condition: Callable[[Job], bool]) -> None:
    """Wait until the job satisfies the condition."""
    with _watch(engine, job_id) as first:
        job = engine.job(job_id)
        if job is None or not condition(job):
            first(condition)


@contextmanager
def _watch(
    engine: LocalClient, job_id: int, *kinds: type[JobChanged | TaskProgressed]
) -> Iterator[Callable[[Callable[[Job], bool]], float]]:
    """Yield a function that waits for an event of the job that satisfies a condition, and returns its time."""
    events: list[tuple[float, Job]] = []
    arrived = threading.Condition()

    def take(messages: Sequence[EngineEvent]) -> None:
        now = time.perf_counter()
        with arrived:
            events.extend(
                (now, message.job)
                for message in messages
                if isinstance(message, JobChanged | TaskProgressed)
                and isinstance(message, kinds or object)
                and message.job.id == job_id
            )
            arrived.notify()

    def first(condition: Callable[[Job], bool]) -> float:
        with arrived:
            found = arrived.wait_for(lambda: next((at for at, job in events if condition(job)), None), _WAIT)
        if found is None:
            raise TimeoutError(f"job {job_id} does not change")
        return found

    unsubscribe = engine.subscribe(take)
    try:
        yield first
    finally:
        unsubscribe()


def _worker(engine: LocalClient) -> int:
    if not isinstance(engine.engine.storage, LocalStorage):
        raise TypeError("this needs the embedded storage")
    pid = engine.engine.storage.worker(_HOST, adopted=False).pid
    if pid is None:
        raise RuntimeError("the worker does not run")
    return pid
