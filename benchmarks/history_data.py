"""Histories to measure: a given number of jobs in jobtui's own files, and the same in SQLite."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import Run, once
from jobtui.history.format import manifest as manifests
from jobtui.history.format.codec import SCHEMA, encode, frame_line
from jobtui.history.format.disk import Disk
from jobtui.history.format.index import (
    RecordColumns,
    SegmentIndex,
    build_columns,
    index_lines,
    narrow_array,
)
from jobtui.history.format.manifest import SegmentEntry
from jobtui.history.format.segment import index_name, records_name
from jobtui.history.format.state import StatusCounts, nest_counts
from jobtui.history.write.store import Limits, Store
from jobtui.model import EventKind, Job, JobEvent, Level, SpaceStats, Status, Task

SPACES: Final = tuple(f"space_{number:02d}" for number in range(40))
SHORT: Final = 10_000
"""Jobs of a short history."""
HOSTS: Final = ("local0", "local1", "local2")
_PER_SEGMENT: Final = 2500
"""Jobs of a segment, about as many as a full journal of 4 MiB has; each count of jobs is a multiple of it."""
_TEMPLATES: Final = 12
"""How many segments are made in full: their jobs differ, so that a sort finds few equal keys."""
_AGE: Final = 7
"""How many ids before a job is the one that it recovers."""
_REASONS: Final = (
    "no space left on device (needs 1.1 GiB, 240 MiB free)",
    "the host's process ended: killed by signal 9",
    "interrupted: jobtui ended while it ran",
)
_FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)


def life(job_id: int, rng: random.Random) -> Iterator[Job]:
    """Yield the versions of a job from the queue to its end: three tasks start and end one by one."""
    at = _FIRST + timedelta(seconds=3 * job_id + rng.random())
    job = Job(
        job_id,
        rng.choice(("flush", "compact")),
        rng.choice(SPACES),
        at,
        recovered_from=job_id - 7 if job_id > 7 and rng.random() < 0.03 else None,
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
        before = _stats(rng)
        at += timedelta(seconds=rng.random())
        job = _with_task(job, number, JobEvent(at, EventKind.TASK_STARTED, number), start=at, before=before)
        yield job
        status = rng.choices((Status.FINISHED, Status.FAILED, Status.STOPPED), (95, 3, 2))[0]
        worst = worst if status is Status.FINISHED else status
        at += timedelta(seconds=rng.random() * 20)
        job = _with_task(
            job,
            number,
            JobEvent(at, EventKind.TASK_ENDED, number, status),
            status=status,
            stop=at,
            took=rng.random() * 20,
            after=_stats(rng),
            progress=1.0 if status is Status.FINISHED else rng.random(),
            reason=rng.choice(_REASONS) if status is Status.FAILED else "",
        )
        yield job
    yield msgspec.structs.replace(
        job,
        status=worst,
        stop=at,
        took=rng.random() * 60,
        reason=_REASONS[0] if worst is Status.FAILED else "",
        events=(*job.events, JobEvent(at, EventKind.ENDED, None, worst)),
    )


def ended_jobs(first: int, count: int, *, small: bool = False, seed: int = 5) -> Iterator[Job]:
    """Yield `count` ended jobs, each a variation of one of some thousands that were made in full.

    Args:
        first: The id of the first of them.
        count: How many.
        small: Whether to leave out what the table does not show: events and sizes.
        seed: Of the random numbers.
    """
    rng = random.Random(seed)
    models = [list(life(number, rng))[-1] for number in range(10, 1010)]
    if small:
        models = [
            msgspec.structs.replace(
                model,
                events=(),
                tasks=tuple(msgspec.structs.replace(task, before=None, after=None) for task in model.tasks[:1]),
            )
            for model in models
        ]
    for job_id in range(first, first + count):
        model = rng.choice(models)
        at = _FIRST + timedelta(seconds=3 * (job_id - first) + rng.random())
        yield msgspec.structs.replace(
            model,
            id=job_id,
            submitted=at,
            start=at + timedelta(seconds=1),
            stop=at + timedelta(seconds=1 + rng.random() * 60),
            took=rng.random() * 60,
            recovered_from=job_id - _AGE if rng.random() < 0.03 else None,
        )


class _Template:
    """The records and the index of one segment, to be written again and again under other ids.

    Encoding a job and its columns takes 0.1 ms, but a new id and checksum 2 µs: with templates, ten million
    jobs are made within a minute. All ids have as many digits, so that the offsets stay as they are.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.states = [(job.space, job.status) for job in jobs]
        self._recovered = [row for row, job in enumerate(jobs) if job.recovered_from is not None]
        self._tails = [encode(job).partition(b",")[2] for job in jobs]
        starts = [*accumulate((len(frame_line(encode(job))) for job in jobs), initial=0)]
        self._columns = build_columns(jobs, starts)
        _, *self._lines = index_lines(self._columns, RecordColumns(jobs))
        self._first = jobs[0].id

    def records(self, first: int) -> list[bytes]:
        """Return the records of jobs whose ids begin with `first`, without their frames."""
        tails = self._tails.copy()
        for row in self._recovered:
            old, new = (b'"recovered_from":%d' % (base + row - _AGE) for base in (self._first, first))
            tails[row] = tails[row].replace(old, new, 1)
        return [b'{"id":%d,%b' % pair for pair in enumerate(tails, first)]

    def write(self, disk: Disk, directory: Path, name: str, first: int) -> SegmentEntry:
        """Write a segment of jobs whose ids begin with `first`."""
        ids = array("I", range(first, first + len(self._tails)))
        columns = msgspec.structs.replace(
            self._columns,
            ids=ids,
            recovered=narrow_array([first + row - _AGE for row in self._recovered]),
            recoverers=narrow_array([first + row for row in self._recovered]),
        )
        core = next(index_lines(columns, RecordColumns(())))
        data = b"".join(map(frame_line, self.records(first)))
        assert len(data) == columns.starts[-1], "an id with another number of digits"
        disk.create_with(directory / records_name(name), [data], sync=False)
        SegmentIndex(disk, directory / index_name(name), len(data)).write(len(ids), [core, *self._lines])
        return SegmentEntry(name, len(ids), ids[0], ids[-1], len(data), SCHEMA)


def _templates(count: int, *, small: bool) -> list[_Template]:
    """Return templates for a history of that length: as many as it has segments, at most a dozen."""
    many = min(_TEMPLATES, count // _PER_SEGMENT)
    jobs = list(ended_jobs(count + 1, many * _PER_SEGMENT, small=small))
    return [_Template(jobs[start : start + _PER_SEGMENT]) for start in range(0, len(jobs), _PER_SEGMENT)]


def newest_of(count: int) -> int:
    """Return the last id of a history of `count` jobs: the first is `count` + 1, of as many digits."""
    return 2 * count


def make_history(path: Path, count: int, *, small: bool = False) -> Path:
    """Make a history of `count` ended jobs, all of them sealed; `small` as in `ended_jobs`."""
    store = Store.open(Disk(), path, Limits())
    templates = _templates(count, small=small)
    tally: StatusCounts = Counter()
    entries = []
    for number in range(count // _PER_SEGMENT):
        template = templates[number % len(templates)]
        first = count + 1 + number * _PER_SEGMENT
        entries.append(template.write(Disk(), path, f"seg-{number + 1:08d}", first))
        tally.update(template.states)
    manifest = msgspec.structs.replace(
        store.state.manifest,
        next_segment=len(entries) + 1,
        next_id=newest_of(count) + 1,
        segments=tuple(entries),
        counts=nest_counts(tally),
    )
    manifests.write_manifest(Disk(), path, manifest)
    store.close()
    os.sync()
    return path


def make_database(path: Path, count: int) -> Path:
    """Make the same jobs in SQLite: a row each, and an index for the questions that the dashboard asks most."""
    templates = _templates(count, small=False)
    database = open_database(path)
    database.execute("BEGIN")
    for number in range(count // _PER_SEGMENT):
        template = templates[number % len(templates)]
        first = count + 1 + number * _PER_SEGMENT
        rows = (
            (job_id, str(status), space, record.decode())
            for job_id, (space, status), record in zip(
                range(first, first + _PER_SEGMENT), template.states, template.records(first), strict=True
            )
        )
        database.executemany("INSERT INTO job VALUES (?, ?, ?, ?)", rows)
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    os.sync()
    return path


def open_database(path: Path) -> sqlite3.Connection:
    """Open SQLite, as durable as the history: WAL, a sync for each commit."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS job (id INTEGER PRIMARY KEY, status TEXT, space TEXT, record TEXT)"
    )
    database.execute("CREATE INDEX IF NOT EXISTS job_by_space ON job (space, status)")
    return database


def copied(history: Path, to: Path) -> Path:
    """Copy a history; sealed files are never written again, so they are only linked."""
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
    """Return how many jobs a long history has in this run."""
    return 100_000 if run.quick else 1_000_000


def huge_count_of(run: Run) -> int:
    """Return how many jobs a huge history has in this run."""
    return 10 * count_of(run)


def newest(run: Run) -> str:
    """Return the id of the long history's newest job, as the screen shows it."""
    return str(newest_of(count_of(run)))


@once
def long_history(run: Run) -> Path:
    """Return a history of a million jobs, made once per run; a benchmark that changes it copies it."""
    return _kept(run, count_of(run), small=False)


@once
def huge_history(run: Run) -> Path:
    """Return a history of ten million small jobs, made once per run."""
    return _kept(run, huge_count_of(run), small=True)


def _kept(run: Run, count: int, *, small: bool) -> Path:
    """Return a history that is made, or linked from the cache if there is one."""
    path = run.directory("long") / "history"
    if run.cache is None:
        return make_history(path, count, small=small)
    kept = run.cache / f"history-{count}{'-small' if small else ''}"
    if not kept.exists():
        unready = kept.with_suffix(".unready")
        shutil.rmtree(unready, ignore_errors=True)
        make_history(unready, count, small=small).rename(kept)
    return copied(kept, path)


@once
def short_history(run: Run) -> Path:
    """Return a history of ten thousand jobs."""
    return make_history(run.directory("short") / "history", SHORT)


@once
def long_database(run: Run) -> Path:
    """Return an SQLite database with as many rows as the long history has jobs."""
    return make_database(run.directory("long") / "jobs.db", count_of(run))


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # on another disk
        shutil.copy2(path, target)


def _with_task(job: Job, number: int, event: JobEvent, **fields: object) -> Job:
    task = msgspec.structs.replace(job.tasks[number], **({"status": Status.RUNNING} | fields))
    tasks = (*job.tasks[:number], task, *job.tasks[number + 1 :])
    return msgspec.structs.replace(job, tasks=tasks, events=(*job.events, event))


def _stats(rng: random.Random) -> SpaceStats:
    levels = (Level(rng.randrange(5), rng.randrange(1 << 28)), Level(0, 0), Level(9, rng.randrange(1 << 32)))
    return SpaceStats(levels, rng.randrange(1 << 24), rng.randrange(1 << 24), rng.randrange(1 << 30))
