"""Histories for a test to damage, and functions that examine the result."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from jobtui.history import History, Query
from jobtui.history.format.disk import Disk
from jobtui.history.format.manifest import load_manifest
from jobtui.history.write.store import Limits, Store
from jobtui.model import Job
from tests.support.lossy_disk import holding
from tests.support.power_loss import jobs_of

SMALL = Limits(journal=20_000, leftover=10_000, blanks=512)
OPEN = Limits(journal=1 << 20, leftover=1 << 20, blanks=512)


class Made(msgspec.Struct, frozen=True):
    """A history in a directory, and the jobs in it."""

    path: Path
    jobs: dict[int, Job]


def killed(history: History, path: Path) -> Path:
    """Return a copy of the files of a writer at work: what it would leave if it were killed now."""
    shutil.copytree(history.path, path)
    return path


def journal_of(path: Path) -> Path:
    return next(path.glob("journal-*.jsonl"))


def lines_of(data: bytes) -> list[tuple[int, bytes]]:
    """Return the journal's lines with their offsets, without the blanks."""
    found, start = [], 0
    for line in data.split(b"\n"):
        if line.strip(b" "):
            found.append((start, line))
        start += len(line) + 1
    return found


def kept_in(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted((path / "quarantine").glob("*")))


def read_all(path: Path, limits: Limits = OPEN) -> tuple[dict[int, Job], History]:
    history = History.open(path, limits=limits)
    view = history.query(Query())
    return {job.id: job for job in view.page(0, len(view))}, history


def opened_with(path: Path, journal: bytes) -> Store:
    """Open the directory's history in memory, with other bytes in its journal."""
    disk = holding(path)
    disk.files[journal_of(path)].data[:] = journal
    return Store.open(disk, path, OPEN)


def wrong_in(store: Store, made: Made) -> set[int]:
    """Return the jobs that differ from how they were made."""
    jobs = jobs_of(store.state)
    return {job_id for job_id, job in made.jobs.items() if jobs.get(job_id) != job}


def archive_of(path: Path) -> Path:
    """Return the archive of jobs 20 to 30."""
    return next(path.glob("archive/jobs-20-30-*"))


def next_generation(path: Path) -> int:
    """Return the generation of the next manifest."""
    manifest = load_manifest(Disk(), path)
    assert manifest is not None
    return manifest.generation + 1


def held(path: Path) -> tuple[dict[int, Job], list[int]]:
    """Return the jobs in the normal views, and the ids of the archived jobs."""
    history = History.open(path, write=False)
    view, archived = history.query(Query()), history.query(Query(archived=True))
    found = {job.id: job for job in view.page(0, len(view))}
    ids = [job.id for job in archived.page(0, len(archived))]
    history.close()
    return found, ids


def is_about(line: bytes, job_id: int) -> bool:
    return b'"put":{"id":%d,' % job_id in line or b'"set":%d,' % job_id in line


def without_mark(path: Path) -> None:
    """Remove the writer's status, as a power loss may."""
    (path / "LOCK").write_bytes(b"")
