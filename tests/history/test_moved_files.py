"""Files that were renamed, copied, moved or exchanged: nothing is deleted."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History, StoreError, StoreLocked
from jobtui.history.repair import repair
from jobtui.history.verify import past_notes, verify
from jobtui.history.write.store import Limits
from tests.support import made_jobs
from tests.support.damaged import OPEN, Made, archive_of, held, lines_of, next_generation

Copied = Callable[[Made], Path]
ARCHIVED = set(range(20, 31))


def opened(path: Path) -> None:
    """Open it for writing and change something, as anyone does who notices nothing."""
    history = History.open(path, limits=OPEN)
    history.archive(900, 901).result()
    history.close()


def renamed(path: Path) -> None:
    archive_of(path).rename(path / "archive" / "of last year")


def duplicated(path: Path) -> None:
    shutil.copytree(archive_of(path), path / "archive" / "a copy")


def without_its_manifest(path: Path) -> None:
    (archive_of(path) / "ARCHIVE.json").unlink()


def with_a_damaged_manifest(path: Path) -> None:
    file = archive_of(path) / "ARCHIVE.json"
    file.write_bytes(file.read_bytes()[:-9])


def without_any_manifest(path: Path) -> None:
    for file in (*path.rglob("*.json"),):
        file.unlink()


def without_a_manifest_but_with_a_copy(path: Path) -> None:
    duplicated(path)
    (path / "MANIFEST.json").unlink()
    (path / "archive" / "README").write_text("foreign")


def renamed_and_without_its_manifest(path: Path) -> None:
    without_its_manifest(path)
    renamed(path)


def away_for_a_while(path: Path) -> None:
    archive = archive_of(path)
    archive.rename(path.parent / "away")
    repair(path)
    opened(path)
    (path.parent / "away").rename(archive)


STRAYS = [
    renamed,
    duplicated,
    without_its_manifest,
    with_a_damaged_manifest,
    without_any_manifest,
    without_a_manifest_but_with_a_copy,
    renamed_and_without_its_manifest,
    away_for_a_while,
]


@pytest.mark.parametrize("opens", [0, 2])
@pytest.mark.parametrize("stray", STRAYS)
def test_moved_archive_is_kept_and_readmitted_once_by_repair(
    stray: Callable[[Path], None], opens: int, sealed: Made, copied: Copied
) -> None:
    path = copied(sealed)
    stray(path)
    for _ in range(opens):
        opened(path)
    assert opens or verify(path)
    repair(path)
    assert verify(path) == []
    found, archived = held(path)
    assert found == sealed.jobs
    assert sorted(archived) == sorted(ARCHIVED)


def test_foreign_files_are_not_moved(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    notes = path / "archive" / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("mine")
    opened(path)
    repair(path)
    assert (notes / "mine.txt").read_text() == "mine"
    assert verify(path) == []


@pytest.mark.parametrize(("first", "last"), [(1, 10), (1, 19), (1, 90)])
def test_older_manifest_deletes_no_newer_archive(first: int, last: int, sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    opened(path)
    older = (path / "MANIFEST.json").read_bytes()
    history = History.open(path, limits=OPEN)
    history.archive(first, last).result()
    history.close()
    (path / "MANIFEST.json").write_bytes(older)
    before = held(path)
    opened(path)
    assert held(path) == before
    moved = {job_id for job_id in sealed.jobs if first <= job_id <= last}
    assert before[0].keys() == sealed.jobs.keys() - moved
    assert sorted(before[1]) == sorted(moved | ARCHIVED)
    assert verify(path) == []


def test_missing_archive_is_reported_with_its_jobs(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    archive_of(path).rename(path.parent / "away")
    (note,) = verify(path)
    assert "jobs 20 to 30" in str(note)
    assert "[Errno" not in str(note)
    assert any("jobs 20 to 30" in line for line in repair(path))
    assert verify(path) == []
    assert held(path) == (sealed.jobs, [])
    history = History.open(path, limits=OPEN)
    assert history.new_id() == max(sealed.jobs) + 1
    history.close()


def a_directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("foreign")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


FILES = [
    "LOCK",
    "MANIFEST.json",
    "journal-*.jsonl",
    "seg-*.idx.json",
    "archive/*/ARCHIVE.json",
    "archive/*/*.idx.json",
]


@pytest.mark.parametrize("create", [a_directory, a_pipe, a_link_to_nothing])
@pytest.mark.parametrize("file", FILES)
def test_wrong_type_at_a_files_path_is_moved_by_repair(
    file: str, create: Callable[[Path], None], sealed: Made, copied: Copied
) -> None:
    path = copied(sealed)
    archive = next(path.glob(file))
    archive.unlink()
    create(archive)
    assert archive.relative_to(path).as_posix() in {note.file for note in verify(path)}
    repair(path)
    assert verify(path) == []
    assert os.path.lexists(path / "quarantine" / archive.name)
    found, archived = held(path)
    assert found.items() <= sealed.jobs.items()
    assert len(found) == len(sealed.jobs) or file.startswith("journal")
    assert sorted(archived) == sorted(ARCHIVED)


@pytest.mark.parametrize("name", ["archive", "quarantine"])
def test_file_at_a_directorys_path_is_moved_by_repair(name: str, sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    shutil.rmtree(path / name, ignore_errors=True)
    (path / name).write_text("foreign")
    assert name in {note.file for note in verify(path)}
    repair(path)
    assert verify(path) == []
    assert "foreign" in {file.read_text() for file in path.rglob(f"{name}*") if file.is_file()}
    assert held(path)[0] == sealed.jobs


def test_repair_during_writing_moves_nothing(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    history = History.open(path, limits=OPEN)
    index = next(path.glob("seg-*.idx.json"))
    index.unlink()
    index.mkdir()
    with pytest.raises(StoreLocked):
        repair(path)
    assert index.is_dir()
    history.close()


def test_history_may_lie_elsewhere_behind_a_link(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    elsewhere = path.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    opened(path)
    history = History.open(path, limits=OPEN)
    assert list(history.archive(1, 5).result().ids) == [1, 2, 3, 4, 5]
    history.close()
    assert verify(path) == []
    assert repair(path) == []
    assert sorted(held(path)[1]) == sorted({1, 2, 3, 4, 5} | ARCHIVED)


def test_older_copy_over_a_history_deletes_nothing_newer(sealed: Made, copied: Copied) -> None:
    path, older = copied(sealed), copied(sealed)
    rng = random.Random(8)
    history = History.open(path, limits=Limits(journal=1 << 20, leftover=0, blanks=512))
    more = [made_jobs.ended(history.new_id(), rng) for _ in range(4)]
    for job in more:
        history.commit(job).result()
    history.archive(more[0].id, more[1].id).result()
    history.close()
    lines = {line for file in path.rglob("seg-*.jsonl") for _, line in lines_of(file.read_bytes())}
    shutil.copytree(older, path, dirs_exist_ok=True)
    for _ in range(3):
        opened(path)
    assert lines <= {line for file in path.rglob("seg-*.jsonl*") for _, line in lines_of(file.read_bytes())}
    assert any(note.kept.startswith("quarantine/seg-") for note in past_notes(path))
    repair(path)
    assert verify(path) == []
    found, archived = held(path)
    assert found == sealed.jobs | {job.id: job for job in more[2:]}
    assert sorted(archived) == sorted({job.id for job in more[:2]} | ARCHIVED)


def test_archive_gets_an_unused_name(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    history = History.open(path, limits=OPEN)
    there = path / "archive" / f"jobs-1-5-{next_generation(path)}"
    there.mkdir()
    (there / "mine").write_text("mine")
    assert list(history.archive(1, 5).result().ids) == [1, 2, 3, 4, 5]
    history.close()
    assert (there / "mine").read_text() == "mine"
    assert verify(path) == []


def test_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "history").symlink_to(tmp_path / "unmounted")
    with pytest.raises(StoreError, match="history is a link whose target does not exist"):
        History.open(tmp_path / "history")


def test_file_in_place_of_the_archive_hides_no_other_job(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    shutil.rmtree(path / "archive")
    (path / "archive").write_text("foreign")
    assert held(path) == (sealed.jobs, [])
