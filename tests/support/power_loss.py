"""A history that is opened several times on a disk that may lose power, and its checks.

A durable commit is added to the disk's log as a promise. After a power loss, every promise
must be kept: no job is lost, older than was promised, never committed or there twice, and no commit is
incomplete.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jobtui.history import Query, StoreError
from jobtui.history.format.archive import Archives
from jobtui.history.format.quarantine import Health, Quarantine
from jobtui.history.format.state import State
from jobtui.history.read.reader import HistoryReader
from jobtui.history.read.results import QueryEngine
from jobtui.history.write import store
from jobtui.history.write.archiver import archive, restore
from jobtui.history.write.segment_store import CommitUncertain, SealRequest
from jobtui.history.write.store import Limits, Store
from jobtui.model import Job
from tests.support import made_jobs
from tests.support.lossy_disk import (
    Cut,
    CutAt,
    MemoryDisk,
    Named,
    PowerCut,
    Promise,
    Step,
    SyncFailed,
)
from tests.support.power_cut import Names, after_power_loss, read_log

HISTORY = Path("/history")
SESSIONS = 4
CHANGES = 45
TICK_SECONDS = 0.01
"""The time between two reads of the clock: the status is due after some commits, and not after others."""


class Versions(msgspec.Struct, frozen=True):
    """A promise: these jobs are on disk in this version (an index of CommitRecord.versions) or a later one.

    `first`: it is what a run found at its start.
    """

    of: dict[int, int]
    first: bool = False


class CommitRecord(msgspec.Struct):
    """The commits so far: every version of each job, its predecessor, and the versions committed together.

    A version that was not durable when its session ended is discarded, and the next session continues from an
    older one.
    """

    versions: dict[int, list[Job]] = {}
    origins: dict[int, list[int]] = {}
    batches: list[dict[int, int]] = []
    made: int = 0

    def add(self, jobs: Sequence[Job]) -> dict[int, int]:
        """Record a commit, and return the version of each job."""
        batch = {job.id: self.version_of(job) for job in jobs}
        self.batches.append(batch)
        return batch

    def make(self, before: Job | None, after: Job) -> Job:
        """Return `after` as a unique version of a job, made from `before`."""
        self.made += 1
        job = made_jobs.replace(after, took=float(self.made))
        self.versions.setdefault(job.id, []).append(job)
        self.origins.setdefault(job.id, []).append(-1 if before is None else self.version_of(before))
        return job

    def holds(self, job_id: int, version: int, wanted: int) -> bool:
        """Return whether a version is `wanted` or was made from it."""
        while version > wanted:
            version = self.origins[job_id][version]
        return version == wanted

    def version_of(self, job: Job) -> int:
        """Return the number of the version, -1 if there never was such a one."""
        known = self.versions.get(job.id, [])
        return known.index(job) if job in known else -1


def run_sessions(disk: MemoryDisk, seed: int, *, cut_at: CutAt | None = None) -> CommitRecord:
    """Open and use the history several times; each but the last may end at any step, as if killed.

    Some of them end after a step that `cut_at` selects; without it, some after a file was renamed.
    """
    rng, record = random.Random(seed), CommitRecord()
    with _same_in_every_process():
        for remaining in reversed(range(SESSIONS)):
            disk.cut_after = len(disk.log) + rng.randrange(5, 900) if remaining else float("inf")
            picked = remaining and rng.random() < (0.3 if cut_at is None else 0.8)
            disk.cut_at = (cut_at or a_rename) if picked else None
            try:
                _Session(disk, rng, record).run(orderly=rng.random() < 0.5)
            except (PowerCut, OSError, StoreError):
                continue
    disk.cut_after, disk.cut_at = float("inf"), None
    return record


@contextmanager
def _same_in_every_process() -> Iterator[None]:
    """Give the writer a process id and a clock that make the sessions of a seed reproducible."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 4242)
        ticks = itertools.count()
        patch.setattr(store, "time", SimpleNamespace(monotonic=lambda: next(ticks) * TICK_SECONDS))
        yield


def a_rename(step: Step) -> bool:
    """Return whether the step renames a file."""
    return isinstance(step, Named) and step.source is not None


class _Session:
    def __init__(self, disk: MemoryDisk, rng: random.Random, record: CommitRecord) -> None:
        limits = Limits(
            journal=rng.choice((3000, 8000, 30_000)),
            leftover=rng.choice((1000, 100_000)),
            blanks=rng.choice((64, 2048, 8192)),
        )
        self.disk, self.rng, self.record = disk, rng, record
        self.store = Store.open(disk, HISTORY, limits)
        self.jobs = jobs_of(self.store.state)
        disk.execute(Versions({job.id: record.version_of(job) for job in self.jobs.values()}, first=True))
        self.background: Generator[None, None, Any] | None = None
        self.is_archiving = False
        self.archived: dict[int, Job] = {}

    def run(self, *, orderly: bool) -> None:
        for _ in range(CHANGES):
            if self.rng.random() < 0.03:
                self._begin_archive(at_once=self.rng.random() < 0.5)
            self._commit()
            if self.rng.random() < 0.3:
                self.store.write_status()
            self._work(None, to_the_end=False)
            if self.store.must_seal and self.background is None:
                self._begin_seal()
            if self.store.health is Health.READ_ONLY:
                break
        if orderly:
            self._work(None, to_the_end=True)
            self.store.close()

    def _commit(self) -> None:
        commits = [self._some_changes() for _ in range(self.rng.choice((1, 1, 1, 4)))]
        batches = [self.record.add(jobs) for jobs in commits]
        for jobs, batch, refusal in zip(commits, batches, self.store.write(commits), strict=True):
            if refusal is None:
                self.disk.execute(Versions(batch))
                self.jobs.update((job.id, job) for job in jobs)

    def _some_changes(self) -> list[Job]:
        rng = self.rng
        moving = [job for job in self.jobs.values() if self._may_move(job)]
        chosen = rng.sample(moving, min(len(moving), rng.choice((0, 1, 1, 1, 3))))
        jobs = [self.record.make(job, made_jobs.moved_on(job, rng)) for job in chosen]
        if not jobs or rng.random() < 0.2:
            state = self.store.state
            new_id, state.next_id = state.next_id, state.next_id + 1
            assert new_id not in self.jobs
            jobs.append(self.record.make(None, made_jobs.submitted(new_id, rng)))
        self.jobs.update((job.id, job) for job in jobs)
        return jobs

    def _may_move(self, job: Job) -> bool:
        if job.status.ended and self.is_archiving:
            return False  # the writer waits until the archive is complete
        return not job.status.ended or self.rng.random() < 0.01

    def _begin_seal(self) -> None:
        try:
            self.background = self.store.segments.seal(self.store.rotate())
        except OSError as error:
            self.store.postpone_seal(error)

    def _begin_archive(self, *, at_once: bool) -> None:
        if at_once:
            self._work(self._archive(), to_the_end=True)
        elif self.background is None:
            self.background = self._archive()

    def _archive(self) -> Generator[None, None, None]:
        self.is_archiving = True
        try:
            last = self.store.state.last_id
            first = max(1, last - 40)
            sealing = self._rotate()
            yield from self.store.segments.seal(sealing)
            while self.store.must_seal_again(sealing):
                sealing = self._rotate()
                yield from self.store.segments.seal(sealing)
            result = yield from archive(self.store.segments, first, last - self.rng.randrange(30))
            for job_id in result.ids:
                self.archived[job_id] = self.jobs.pop(job_id)
            if self.archived and self.rng.random() < 0.5:
                yield from self._restore()
        finally:
            self.is_archiving = False

    def _rotate(self) -> SealRequest:
        """Rotate as the writer does, which asks first whether the store can still write."""
        if (refusal := self.store.refusal()) is not None:
            raise refusal
        return self.store.rotate()

    def _restore(self) -> Generator[None, None, None]:
        """Restore some of the jobs that were archived in this run, and others between them."""
        some = sorted(self.rng.sample(sorted(self.archived), min(2, len(self.archived))))
        result = yield from restore(self.store.segments, self.store.archives, some[0], some[-1])
        for job_id in result.ids:
            job = self.archived.pop(job_id, None) or self.store.state.get(job_id)
            assert job is not None
            self.jobs[job_id] = job

    def _work(self, other: Generator[None, None, None] | None, *, to_the_end: bool) -> None:
        """Let the background work take some steps."""
        for each in (self.background, other):
            steps = 10**6 if to_the_end else self.rng.randrange(4)
            try:
                while each is not None and steps:
                    next(each)
                    steps -= 1
            except StopIteration:
                self.background = None
            except CommitUncertain as error:
                self.background = None
                self.store.fail(error)
            except OSError as error:
                self.background = None
                self.store.postpone_seal(error)
            except StoreError:  # nothing can be written any more, and no job was moved
                self.background = None


def states(
    disk: MemoryDisk, seed: int, points: int
) -> Generator[tuple[str, list[Step], MemoryDisk], None, None]:
    """Yield four possible disks after each of `points` steps: a name, the log, the disk.

    Half of the steps are random; the others are those after which much can go wrong: a name changed, a sync
    failed, a run has just begun.
    """
    rng = random.Random(seed)
    steps = [count for count, step in enumerate(disk.log, 1) if not isinstance(step, Promise)]
    critical = [count for count in steps if _is_critical(disk.log[max(0, count - 4) : count])]
    for point in range(points):
        log = disk.log[: rng.choice(critical if point % 2 else steps)]
        remains = read_log(log)
        for names in Names:
            yield f"step {len(log)}, {names.name.lower()}", log, after_power_loss(remains, names, rng)


def _is_critical(steps: Sequence[Step]) -> bool:
    just = steps[-2:]
    return any(isinstance(step, Named | SyncFailed | Cut) for step in just) or any(
        isinstance(step, Promise) and isinstance(step.what, Versions) and step.what.first for step in steps
    )


def check(disk: MemoryDisk, log: Sequence[Step], record: CommitRecord, *, quiet: bool) -> list[str]:
    """Return what is wrong with the disk. `quiet`: a note of damage is wrong, too."""
    promised: dict[int, int] = {}
    for step in log:
        if isinstance(step, Promise) and isinstance(step.what, Versions):
            for job_id, version in step.what.of.items():
                promised[job_id] = max(version, promised.get(job_id, 0))
    wrong = []
    seen = _read(disk)
    store = Store.open(disk, HISTORY, Limits())
    wrong += _broken(store.state, disk, promised, record)
    if seen is not None and seen != jobs_of(store.state):
        wrong.append("a reader saw something else than the next writer")
    store.archives.all_segments(store.state.manifest)  # damage in an archive is noted when it is read
    notes = [note for note in store.quarantine.notes if "unfinished" not in note.what]
    if quiet and notes:
        wrong.append(f"damage was noted: {notes[0]}")
    new = made_jobs.submitted(store.state.next_id, random.Random(1))
    if new.id in promised:
        wrong.append(f"id {new.id} is used again")
    refusals = store.write([[new]])
    store.close()
    again = _read(disk)
    if refusals != [None] or again is None or again.get(new.id) != new:
        wrong.append("it cannot be written any more")
    return wrong


def _broken(state: State, disk: MemoryDisk, promised: dict[int, int], record: CommitRecord) -> list[str]:
    jobs, archived = jobs_of(state), jobs_of(state, disk, archived=True)
    wrong = [f"job {job_id} is there and archived, too" for job_id in jobs.keys() & archived.keys()]
    version = {job.id: record.version_of(job) for job in (*archived.values(), *jobs.values())}
    wrong += [f"job {job_id} is lost" for job_id in promised.keys() - version.keys()]
    wrong += [f"job {job_id} was never so" for job_id, found in version.items() if found < 0]
    wrong += [
        f"job {job_id} is not as was promised"
        for job_id, found in version.items()
        if found >= 0 and not record.holds(job_id, found, promised.get(job_id, found))
    ]
    for batch in record.batches:
        if len({record.holds(job_id, version.get(job_id, -1), wanted) for job_id, wanted in batch.items()}) > 1:
            wrong.append(f"half of a commit is there: {sorted(batch)}")
    total = sum(state.counts.values())
    if total != len(jobs):
        wrong.append(f"{len(jobs)} jobs are counted as {total}")
    return wrong


def _read(disk: MemoryDisk) -> dict[int, Job] | None:
    reader = HistoryReader(disk, HISTORY)
    jobs = jobs_of(reader.state)
    reader.close()
    return jobs


def jobs_of(state: State, disk: MemoryDisk | None = None, *, archived: bool = False) -> dict[int, Job]:
    """Return all jobs of a state, or all archived ones."""
    archives = Archives(disk or MemoryDisk(), HISTORY, Quarantine(disk or MemoryDisk(), HISTORY, write=False))

    def archived_job(job_id: int) -> Job | None:
        found = archives.find(state.manifest, job_id)
        return found[0].job(found[1]) if found is not None else None

    view = QueryEngine(archives, state.get, archived_job).run(state, Query(archived=archived))
    jobs = view.page(0, len(view))
    assert len({job.id for job in jobs}) == len(jobs) == len(view), "a job is there twice"
    return {job.id: job for job in jobs}
