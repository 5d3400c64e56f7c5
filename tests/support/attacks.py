"""Attacks on a history's files, and the checks that must hold after any of them."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from jobtui.history import History, Query, StoreError
from jobtui.history.export import export
from jobtui.history.format.codec import split_lines
from jobtui.history.format.record_finder import read_records
from jobtui.history.repair import repair
from jobtui.history.verify import past_notes, verify
from jobtui.history.write.store import Limits
from jobtui.model import Job
from tests.support import made_jobs
from tests.support.damaged import Made

Attack = Callable[[Path, Path, Path, random.Random], None]
LIMITS = Limits(journal=12_000, leftover=100_000, blanks=512)


def make(path: Path, seed: int) -> Made:
    """Create a history with segments, two archives, jobs changed since their seal, and a journal."""
    rng, jobs = random.Random(seed), dict[int, Job]()
    history = History.open(path, limits=LIMITS)

    def commit(job: Job) -> None:
        history.commit(job).result()
        jobs[job.id] = job

    for turn in range(60):
        commit(made_jobs.ended(history.new_id(), rng))
        if turn in (20, 40):
            history.archive(turn - 10, turn - 2).result()
    for job_id in (3, 55):
        commit(made_jobs.moved_on(jobs[job_id], rng))
    for _ in range(6):
        commit(made_jobs.submitted(history.new_id(), rng))
    history.close()
    return Made(path, jobs)


def delete(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    file.unlink()


def empty(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    file.write_bytes(b"")


def truncate(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(len(data) + 1)])


def truncate_between_lines(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    ends = [start for start, _, _ in split_lines(data)]
    file.write_bytes(data[: rng.choice([0, *ends])])


def swap(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(data)


def copy_over(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    data = other.read_bytes()
    file.write_bytes(data)


def duplicate(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    shutil.copy(file, other.parent / _renumbered(file.name, rng))


def rename(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    file.rename(file.with_name(_renumbered(file.name, rng)))


def move(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    file.rename(other.parent / file.name)


def link(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    target = outside / f"{len(list(outside.iterdir()))}"
    shutil.copy2(file, target)  # the owner may have the file itself open
    file.unlink()
    file.symlink_to(target)


def second_name(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    target = outside / f"{len(list(outside.iterdir()))}"
    shutil.copy2(file, target)
    file.unlink()
    file.hardlink_to(target)


def forbid(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    file.chmod(0)


def directory(file: Path, other: Path, outside: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


ATTACKS: tuple[Attack, ...] = (
    delete,
    empty,
    truncate,
    truncate_between_lines,
    swap,
    copy_over,
    duplicate,
    rename,
    move,
    link,
    second_name,
    forbid,
    directory,
)


def _renumbered(name: str, rng: random.Random) -> str:
    start, dash, rest = name.partition("-")
    if not dash:
        return f"{name}.copy"
    number, _, suffix = rest.partition(".")
    return f"{start}-{int(number) + rng.choice((-1, 1, 7)):08d}.{suffix}"


def attack(path: Path, outside: Path, attacks: list[Attack], rng: random.Random) -> list[str]:
    """Carry out each attack on a random file; return a description of each."""
    done = []
    for each in attacks:
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink()]
        kinds = sorted({file.name.split("-")[0] + file.suffix for file in files})
        kind = rng.choice(kinds)
        alike = [file for file in files if file.name.split("-")[0] + file.suffix == kind]
        file = rng.choice(alike)
        other = rng.choice([each for each in alike if each != file] or files)
        if other != file:
            each(file, other, outside, rng)
            done.append(f"{each.__name__} {file.relative_to(path)} ({other.relative_to(path)})")
    return done


def readable_records(path: Path) -> set[int]:
    """Return the ids of the ended jobs with a complete record in some file."""
    found = set[int]()
    for file in path.rglob("seg-*.jsonl*"):
        if file.is_file() and not file.is_symlink():
            with contextlib.suppress(OSError):
                found.update(job.id for job, _ in read_records(file.read_bytes()))
    return found


def listed(path: Path) -> tuple[dict[int, Job], list[int]]:
    """Return the listed jobs, archived or not, and their ids."""
    history = History.open(path, write=False)
    try:
        views = [history.query(Query(archived=archived)) for archived in (False, True)]
        ids = [job_id for view in views for job_id in view.ids(0, 9999)]
        jobs = {job.id: job for view in views for job in view.page(0, 9999)}
        return jobs, ids
    finally:
        history.close()


def wrong_after(path: Path, acknowledged: dict[int, Job], reports: list[str] | None = None) -> list[str]:
    """Return what is wrong after an attack, given its `reports`; repair the history."""
    wrong, reports = [], list(reports or ())
    try:
        reports += map(str, verify(path))
    except StoreError as error:
        reports.append(str(error))
    with contextlib.suppress(StoreError):
        ids = listed(path)[1]
        if len(ids) != len(set(ids)):
            wrong.append("an id is listed twice before the repair")
        out = io.StringIO()
        export(path, out, "jsonl")
        ids = [json.loads(line)["id"] for line in out.getvalue().splitlines()]
        if len(ids) != len(set(ids)):
            wrong.append("an id is exported twice before the repair")
    readable = readable_records(path)
    reports += repair(path)
    reports += map(str, past_notes(path))
    left = verify(path)
    if left:
        wrong.append(f"not whole after a repair: {left[0]}")
    if again := repair(path):
        wrong.append(f"a second repair did something: {again[0]}")
    jobs, ids = listed(path)
    if len(ids) != len(set(ids)):
        wrong.append("an id is listed twice")
    if gone := sorted(readable - set(ids)):
        wrong.append(f"readable records are not listed: {gone}")
    lost = sorted(job_id for job_id, job in acknowledged.items() if jobs.get(job_id) != job)
    if lost and not reports:
        wrong.append(f"jobs are lost without a report: {lost}")
    if invented := sorted(jobs.keys() - acknowledged.keys()):
        wrong.append(f"jobs were invented: {invented}")
    history = History.open(path, limits=LIMITS)
    if (new_id := history.new_id()) in acknowledged:
        wrong.append(f"id {new_id} is used again")
    history.close()
    return wrong
