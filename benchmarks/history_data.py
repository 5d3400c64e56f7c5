"""Histories to measure: as many jobs as are wanted, as this jobtui and as SQLite would keep them."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import Run, once
from jobtui.history.format.codec import encode, frame
from jobtui.history.format.disk import Disk
from jobtui.history.format.segment import Segment
from jobtui.history.format.state import StatusCounts, nest_counts
from jobtui.history.steps import run_steps
from jobtui.history.write.store import Limits, Store
from jobtui.model import EventKind, Job, JobEvent, Level, SpaceStats, Status, Task

SPACES: Final = tuple(f"space_{number:02d}" for number in range(40))
HOSTS: Final = ("local0", "local1", "local2")
_PER_SEGMENT: Final = 2400
_REASONS: Final = (
    "no space left on device (needs 1.1 GiB, 240 MiB free)",
    "the host's process ended: killed by signal 9",
    "interrupted: jobtui ended while it ran",
)
_FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)


def life(job_id: int, dice: random.Random) -> Iterator[Job]:
    """A job from the queue to its end, a version a change: three tasks, which start and end one by one."""
    at = _FIRST + timedelta(seconds=3 * job_id + dice.random())
    job = Job(
        job_id,
        dice.choice(("flush", "compact")),
        dice.choice(SPACES),
        at,
        recovered_from=job_id - 7 if job_id > 7 and dice.random() < 0.03 else None,
        tasks=tuple(Task(number, host) for number, host in enumerate(HOSTS)),
        events=(JobEvent(at, EventKind.SUBMITTED),),
    )
    yield job
    job = msgspec.structs.replace(
        job, status=Status.RUNNING, start=at, events=(*job.events, JobEvent(at, EventKind.STARTED))
    )
    yield job
    worst = Status.FINISHED
    for number in range(len(HOSTS)):
        before = _stats(dice)
        at += timedelta(seconds=dice.random())
        job = _with_task(job, number, JobEvent(at, EventKind.TASK_STARTED, number), start=at, before=before)
        yield job
        status = dice.choices((Status.FINISHED, Status.FAILED, Status.STOPPED), (95, 3, 2))[0]
        worst = worst if status is Status.FINISHED else status
        at += timedelta(seconds=dice.random() * 20)
        job = _with_task(
            job,
            number,
            JobEvent(at, EventKind.TASK_ENDED, number, status),
            status=status,
            stop=at,
            took=dice.random() * 20,
            after=_stats(dice),
            progress=1.0 if status is Status.FINISHED else dice.random(),
            reason=dice.choice(_REASONS) if status is Status.FAILED else "",
        )
        yield job
    yield msgspec.structs.replace(
        job,
        status=worst,
        stop=at,
        took=dice.random() * 60,
        reason=_REASONS[0] if worst is Status.FAILED else "",
        events=(*job.events, JobEvent(at, EventKind.ENDED, None, worst)),
    )


def ended_jobs(count: int, seed: int = 5) -> Iterator[Job]:
    """Ended jobs from 1 to `count`, each a variation of one of some thousands that were made in full."""
    dice = random.Random(seed)
    models = [list(life(number, dice))[-1] for number in range(10, 3010)]
    for job_id in range(1, count + 1):
        model = dice.choice(models)
        at = _FIRST + timedelta(seconds=3 * job_id + dice.random())
        yield msgspec.structs.replace(
            model,
            id=job_id,
            submitted=at,
            start=at + timedelta(seconds=1),
            stop=at + timedelta(seconds=1 + dice.random() * 60),
            took=dice.random() * 60,
            recovered_from=job_id - 7 if job_id > 7 and dice.random() < 0.03 else None,
        )


def make_history(path: Path, count: int) -> Path:
    """A history of `count` ended jobs, all of them sealed."""
    store = Store.open(Disk(), path, Limits())
    tally: StatusCounts = Counter()
    segments = []
    jobs = ended_jobs(count)
    while chunk := list(islice(jobs, _PER_SEGMENT)):
        segments.append(_written(store, path, chunk))
        tally.update((job.space, job.status) for job in chunk)
    entries = tuple(segment.entry for segment in segments)
    manifest = store.segments.save_manifest(segments=entries, counts=nest_counts(tally))
    store.state.apply_manifest(manifest, tuple(segments))
    store.state.reset_counts()
    store.close()
    os.sync()
    return path


def make_database(path: Path, count: int) -> Path:
    """The same jobs in SQLite: a row each, and an index for the questions that the dashboard asks most."""
    database = open_database(path)
    with database:
        rows = ((job.id, str(job.status), job.space, encode(job).decode()) for job in ended_jobs(count))
        database.execute("BEGIN")
        database.executemany("INSERT INTO job VALUES (?, ?, ?, ?)", rows)
        database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    os.sync()
    return path


def open_database(path: Path) -> sqlite3.Connection:
    """SQLite as durable as the history is: WAL, a sync for each commit."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS job (id INTEGER PRIMARY KEY, status TEXT, space TEXT, record TEXT)"
    )
    database.execute("CREATE INDEX IF NOT EXISTS job_by_space ON job (space, status)")
    return database


def copied(history: Path, to: Path) -> Path:
    """A history of its own with the same jobs. Sealed files are never written again: they are only linked."""
    for path in sorted(history.rglob("*")):
        target = to / path.relative_to(history)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.name.startswith("seg-"):
            _link(path, target)
        else:
            shutil.copy2(path, target)
    return to


def count_of(run: Run) -> int:
    """How many jobs a long history has in this run."""
    return 100_000 if run.quick else 1_000_000


@once
def long_history(run: Run) -> Path:
    """Return a history of a million jobs, created once per run; a benchmark that changes it copies it."""
    path = run.directory("long") / "history"
    if run.cache is None:
        return make_history(path, count_of(run))
    kept = run.cache / f"history-{count_of(run)}"
    if not kept.exists():
        unready = kept.with_suffix(".unready")
        shutil.rmtree(unready, ignore_errors=True)
        make_history(unready, count_of(run)).rename(kept)
    return copied(kept, path)


@once
def short_history(run: Run) -> Path:
    """A history of ten thousand jobs."""
    return make_history(run.directory("short") / "history", 10_000)


@once
def long_database(run: Run) -> Path:
    """SQLite with as many rows as the long history has jobs."""
    return make_database(run.directory("long") / "jobs.db", count_of(run))


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # on another disk
        shutil.copy2(path, target)


def _written(store: Store, path: Path, jobs: list[Job]) -> Segment:
    segment = run_steps(store.segments.write_segment(path, (frame(encode(job)) for job in jobs), jobs))
    # another one that has not been looked into: so many segments' columns need not be in memory
    return Segment(Disk(), path, segment.entry, store.quarantine)


def _with_task(job: Job, number: int, event: JobEvent, **fields: object) -> Job:
    task = msgspec.structs.replace(job.tasks[number], **({"status": Status.RUNNING} | fields))
    tasks = (*job.tasks[:number], task, *job.tasks[number + 1 :])
    return msgspec.structs.replace(job, tasks=tasks, events=(*job.events, event))


def _stats(dice: random.Random) -> SpaceStats:
    levels = (Level(dice.randrange(5), dice.randrange(1 << 28)), Level(0, 0), Level(9, dice.randrange(1 << 32)))
    return SpaceStats(levels, dice.randrange(1 << 24), dice.randrange(1 << 24), dice.randrange(1 << 30))
