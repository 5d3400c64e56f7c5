"""Foreign and moved files in a history's directory: opening it deletes none of them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from jobtui.history import History
from jobtui.history.format.codec import frame_line
from jobtui.history.format.disk import Disk
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from jobtui.history.write.store import Limits
from tests.support import made_jobs
from tests.support.damaged import OPEN, Made, archive_of, held, lines_of, next_generation

Copied = Callable[[Made], Path]


def opened(path: Path) -> None:
    History.open(path, limits=OPEN).close()


def next_archive(path: Path, name: str) -> Path:
    """An archive as the next manifest would name it: one that was not finished is removed."""
    return path / "archive" / f"{name}-{next_generation(path)}"


def without_its_manifest(archive: Path) -> None:
    (archive / "ARCHIVE.json").unlink()


def with_a_word(archive: Path) -> None:
    (archive / "mine.txt").write_text("mine")


def with_another_s_record(archive: Path) -> None:
    file = next(archive.glob("seg-*.jsonl"))
    start, line = lines_of(file.read_bytes())[0]
    record = line.split(b",", 1)[1].replace(b'"space":"', b'"space":"other', 1)
    other = frame_line(b"{" + record)
    file.write_bytes(other + file.read_bytes()[start + len(line) + 1 :])
    next(archive.glob("seg-*.idx.json")).unlink()


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [(without_its_manifest, False), (with_a_word, True), (with_another_s_record, True)],
)
def test_unfinished_archive_with_other_files_is_kept(
    change: Callable[[Path], None], is_kept: bool, sealed: Made, copied: Copied
) -> None:
    path = copied(sealed)
    archive = next_archive(path, "jobs-1-10")
    shutil.copytree(archive_of(path), archive, ignore=shutil.ignore_patterns("seg-*"))
    segment = min(path.glob("seg-*.jsonl"))
    for file in path.glob(f"{segment.stem}.*"):
        shutil.copy(file, archive)
    change(archive)
    before = {file.name: file.read_bytes() for file in archive.iterdir()}
    opened(path)
    assert archive.exists() == is_kept
    assert not is_kept or {file.name: file.read_bytes() for file in archive.iterdir()} == before


@pytest.mark.parametrize("is_link", [False, True])
def test_foreign_directory_is_not_taken_for_an_archive(is_link: bool, sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    archive = next_archive(path, "backup")
    if is_link:
        (path.parent / "outside").mkdir()
        archive.symlink_to(path.parent / "outside")
    else:
        archive.mkdir()
    (archive / "mine.txt").write_text("mine")
    opened(path)
    assert (archive / "mine.txt").read_text() == "mine"


def test_archive_missing_from_rebuilt_manifest_is_reported(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    archive, away = archive_of(path), path.parent / "away"
    archive.rename(away)
    (path / "MANIFEST.json").unlink()
    opened(path)
    away.rename(archive)
    assert [note.file for note in verify(path)] == [archive.relative_to(path).as_posix()]
    repair(path)
    assert verify(path) == []
    assert held(path) == (sealed.jobs, [*range(20, 31)])


def test_segment_that_was_renamed_is_not_deleted(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    segment = min(path.glob("seg-*.jsonl"))
    segment.rename(f"{segment}.bak")
    (path / "mine.tmp").write_text("mine")
    opened(path)
    assert (path / "mine.tmp").read_text() == "mine"
    Path(f"{segment}.bak").rename(segment)
    assert held(path)[0] == sealed.jobs
    assert verify(path) == []


@pytest.mark.parametrize("name", ["archive", "quarantine", "archive/of last year"])
def test_link_to_itself_is_no_obstacle_after_a_repair(name: str, sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    shutil.rmtree(path / name, ignore_errors=True)
    (path / name).symlink_to(Path(name).name)
    assert any("link" in note.what for note in verify(path)) == (name != "archive/of last year")
    repair(path)
    assert verify(path) == []
    assert held(path)[0] == sealed.jobs


@pytest.mark.parametrize("is_renamed", [False, True])
def test_job_twice_in_an_archive_counts_once_without_manifest(is_renamed: bool, tmp_path: Path) -> None:
    path, rng = tmp_path / "history", random.Random(3)
    limits = Limits(journal=1 << 20, leftover=0, blanks=512)
    jobs = [made_jobs.ended(job_id, rng) for job_id in range(1, 6)]
    later = msgspec.structs.replace(jobs[1], reason="changed later")
    for version in ([*jobs], [later]):
        history = History.open(path, limits=limits)
        history.commit(*version).result()
        history.close()
    history = History.open(path, limits=limits)
    history.archive(1, 5).result()
    history.close()
    archive = next(path.glob("archive/jobs-*"))
    (archive / "ARCHIVE.json").unlink()
    if is_renamed:
        archive.rename(path / "archive" / "of last year")
    else:
        assert held(path)[1] == [1, 2, 3, 4, 5]
    repair(path)
    assert held(path)[1] == [1, 2, 3, 4, 5]
    assert verify(path) == []
    history = History.open(path, write=False)
    assert history.get_archived(2) == later
    history.close()


class Meddled(Disk):
    """A disk on which a writer archives while the first segment is being read."""

    def __init__(self, writer: History) -> None:
        self.writer: History | None = writer

    def read_file(self, path: Path) -> bytes:
        if self.writer is not None and path.name.startswith("seg-"):
            writer, self.writer = self.writer, None
            writer.archive(1, 90).result()
        return super().read_file(path)


def test_archiving_during_a_verify_is_no_damage(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    writer = History.open(path, limits=OPEN)
    assert verify(path, Meddled(writer)) == []
    writer.close()
    assert held(path)[0] == {}
