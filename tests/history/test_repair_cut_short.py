"""A repair interrupted at any step: the next one has the same result, and no byte of a record is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History, Query
from jobtui.history.format.disk import Disk
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from jobtui.model import Job
from tests.support.damaged import OPEN, Made

Seen = tuple[list[Job], list[Job]]


class Cut(BaseException):
    """The process was killed."""


class CutDisk(Disk):
    """A disk that changes nothing after this many steps."""

    def __init__(self, left: int) -> None:
        self.left = left

    def _step(self) -> None:
        if self.left <= 0:
            raise Cut
        self.left -= 1

    def create(self, path: Path) -> int:
        self._step()
        return super().create(path)

    def open_to_write(self, path: Path) -> int:
        self._step()
        return super().open_to_write(path)

    def write(self, file: int, data: bytes, offset: int) -> None:
        self._step()
        super().write(file, data, offset)

    def truncate(self, file: int, size: int) -> None:
        self._step()
        super().truncate(file, size)

    def rename(self, before: Path, after: Path) -> None:
        self._step()
        super().rename(before, after)

    def link(self, existing: Path, name: Path) -> None:
        self._step()
        super().link(existing, name)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def make_directory(self, path: Path) -> None:
        self._step()
        super().make_directory(path)


class TwoDisks(Disk):
    """A history whose archive lies on another disk: no file's name goes from one to the other."""

    def rename(self, before: Path, after: Path) -> None:
        _stay(before, after)
        super().rename(before, after)

    def link(self, existing: Path, name: Path) -> None:
        _stay(existing, name)
        super().link(existing, name)


def _stay(before: Path, after: Path) -> None:
    if ("archive" in before.parts) != ("archive" in after.parts):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    file.write_bytes(data)


def a_segment(path: Path) -> None:
    flip_a_bit(min(path.glob("seg-*.jsonl")))


def an_archive(path: Path) -> None:
    flip_a_bit(next(path.glob("archive/*/seg-*.jsonl")))


def an_archive_and_its_manifest(path: Path) -> None:
    an_archive(path)
    next(path.glob("archive/*/ARCHIVE.json")).unlink()


def seen(path: Path) -> Seen:
    history = History.open(path, write=False)
    views = [history.query(Query(archived=archived)) for archived in (False, True)]
    jobs, archived = ([*view.page(0, len(view))] for view in views)
    history.close()
    return jobs, archived


def records_in(path: Path) -> set[bytes]:
    return {line for file in path.rglob("seg-*.jsonl*") for line in file.read_bytes().splitlines()}


@pytest.mark.parametrize("damage", [a_segment, an_archive, an_archive_and_its_manifest])
def test_interrupted_repair_loses_and_duplicates_nothing(
    damage: Callable[[Path], None], sealed: Made, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(sealed.path, damaged)
    damage(damaged)
    records = records_in(damaged)
    for steps in range(200):
        path = tmp_path / "history"
        shutil.copytree(damaged, path)
        disk = CutDisk(steps)
        try:
            repair(path, disk)
        except Cut:
            History.open(path, limits=OPEN).close()
            repair(path)
        jobs, archived = seen(path)
        assert ([job.id for job in jobs], [job.id for job in archived]) == (
            sorted(sealed.jobs),
            [*range(20, 31)],
        )
        assert verify(path) == []
        assert records <= records_in(path)
        shutil.rmtree(path)
        if disk.left > 0:
            return
    pytest.fail("a repair has no end")


def test_archive_on_another_disk_is_repaired(sealed: Made, tmp_path: Path) -> None:
    path = tmp_path / "history"
    shutil.copytree(sealed.path, path)
    an_archive(path)
    records = records_in(path)
    repair(path, TwoDisks())
    assert verify(path) == []
    assert len(seen(path)[1]) == 11
    assert records <= records_in(path)
