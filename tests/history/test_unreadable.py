"""A file with unreadable sectors: its index answers what it can, and everything else is there."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History, Query, Sort, StoreError
from jobtui.history.export import export
from jobtui.history.format.disk import Disk
from jobtui.history.format.quarantine import convert_read_errors
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from tests.support.damaged import OPEN, Made, archive_of, held

Copied = Callable[[Made], Path]


class BadSectors(Disk):
    """Some files can be opened and not be read."""

    def __init__(self, *bad: Path) -> None:
        self._bad = bad
        self._spoilt: set[int] = set()

    def open(self, path: Path) -> int:
        file = super().open(path)
        if path in self._bad:
            self._spoilt.add(file)
        return file

    def close(self, file: int) -> None:
        self._spoilt.discard(file)
        super().close(file)

    def read(self, file: int, size: int, offset: int) -> bytes:
        if file in self._spoilt:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(file, size, offset)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("pattern", ["seg-*.jsonl", "archive/*/seg-*.jsonl"])
def test_unreadable_segment_is_served_from_its_index(
    pattern: str, write: bool, sealed: Made, copied: Copied
) -> None:
    path = copied(sealed)
    file = next(path.glob(pattern))
    before = file.read_bytes()
    history = History.open(path, write=write, disk=BadSectors(file), limits=OPEN)
    view, archived = history.query(Query()), history.query(Query(archived=True))
    found = {job.id: job for job in view.page(0, len(view))}
    assert found.keys() == sealed.jobs.keys()
    assert {job.id for job in archived.page(0, len(archived))} == set(range(20, 31))
    spoilt = {job_id for job_id, job in found.items() if job != sealed.jobs[job_id]}
    assert all("damaged" in found[job_id].reason for job_id in spoilt)
    assert [(note.file, "Input/output error" in note.what) for note in history.notes] == [
        (file.relative_to(path).as_posix(), True)
    ]
    for sort in Sort:
        assert len(history.query(Query(sort=sort)).ids(0, 99)) == len(sealed.jobs)
    history.close()
    assert file.read_bytes() == before


def test_repair_leaves_an_unreadable_segment_in_place(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    one, other, *_ = sorted(path.glob("seg-*.jsonl"))
    other.write_bytes(other.read_bytes()[:-30])
    disk, before = BadSectors(one), one.read_bytes()
    assert {one.name, other.name} <= {note.file for note in verify(path, disk)}
    assert any(one.name in line and "left unchanged" in line for line in repair(path, disk))
    assert {note.file for note in verify(path, disk)} == {one.name}
    assert one.read_bytes() == before
    assert verify(path) == []


def test_archive_without_manifest_is_read_from_its_segments(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    contents = next(path.glob("archive/*/ARCHIVE.json"))
    disk, before = BadSectors(contents), contents.read_bytes()
    history = History.open(path, write=False, disk=disk)
    assert len(history.query(Query(archived=True))) == 11
    assert [note.file for note in history.notes] == [contents.relative_to(path).as_posix()]
    history.close()
    assert any("left unchanged" in line for line in repair(path, disk))
    assert contents.read_bytes() == before
    assert verify(path) == []


@pytest.mark.parametrize("pattern", ["seg-*.jsonl", "archive/*/seg-*.jsonl"])
def test_export_writes_the_rest_and_reports_missing_jobs(pattern: str, sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    whole = io.StringIO()
    assert export(path, whole, "jsonl").missing == ()
    file = next(path.glob(pattern))
    file.unlink()
    out = io.StringIO()
    exported = export(path, out, "jsonl")
    assert exported.count == len(sealed.jobs) + 11
    assert [file.relative_to(path).as_posix() in line for line in exported.missing] == [True]
    jobs, before = (
        {job["id"]: job for job in map(json.loads, text.getvalue().splitlines())} for text in (out, whole)
    )
    assert jobs.keys() == before.keys()
    assert all(job == before[job_id] or "damaged" in job["reason"] for job_id, job in jobs.items())


def test_records_that_are_there_twice_push_no_others_out(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    file = next(path.glob("seg-*.jsonl"))
    file.write_bytes(file.read_bytes() * 2)
    history = History.open(path, write=False)
    view = history.query(Query())
    assert {job.id: job for job in view.page(0, len(view))} == sealed.jobs
    assert len(view) == len(sealed.jobs)
    history.close()


def test_unreadable_jobs_are_not_archived(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    file = min(path.glob("seg-*.jsonl"))
    history = History.open(path, disk=BadSectors(file), limits=OPEN)
    with pytest.raises(StoreError, match="nothing was changed"):
        history.archive(2, 3).result()
    assert history.get(2) is not None
    history.close()
    assert verify(path) == []


def test_inaccessible_archive_hides_no_other_job(sealed: Made, copied: Copied) -> None:
    class Hidden(Disk):
        def list_names(self, directory: Path) -> list[str]:
            if directory.name == "archive":
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
            return super().list_names(directory)

    history = History.open(copied(sealed), write=False, disk=Hidden())
    assert {job.id: job for job in history.query(Query()).page(0, 99)} == sealed.jobs
    history.close()


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("name", ["archive", "ARCHIVE.json"])
def test_shortage_is_not_taken_for_an_unreadable_file(
    name: str, write: bool, sealed: Made, copied: Copied
) -> None:
    """What is left out of a history is only what cannot be read at all."""

    class Short(Disk):
        def _fail(self, path: Path) -> None:
            if path.name == name:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

        def open(self, path: Path) -> int:
            self._fail(path)
            return super().open(path)

        def list_names(self, directory: Path) -> list[str]:
            self._fail(directory)
            return super().list_names(directory)

    def read() -> None:
        history = History.open(path, write=write, disk=Short())
        try:
            len(history.query(Query(archived=True)))
        finally:
            history.close()

    path = copied(sealed)
    with pytest.raises(StoreError, match="Too many open files"):
        read()
    assert held(path) == (sealed.jobs, [*range(20, 31)])


def test_unfinished_archive_that_cannot_be_compared_now_stays(sealed: Made, copied: Copied) -> None:
    class Short(Disk):
        def open(self, path: Path) -> int:
            if path.parent == duplicate and path.suffix == ".jsonl":
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
            return super().open(path)

    path = copied(sealed)
    archive = archive_of(path)
    duplicate = archive.with_name(f"jobs-1-10-{int(archive.name.rpartition('-')[2]) + 1}")
    duplicate.mkdir()
    for file in path.glob(f"{min(path.glob('seg-*.jsonl')).stem}.*"):
        shutil.copy(file, duplicate)
    with pytest.raises(StoreError, match="Too many open files"):
        History.open(path, disk=Short())
    assert duplicate.exists()
    History.open(path).close()
    assert not duplicate.exists()


def test_too_deep_content_is_a_history_that_cannot_be_read() -> None:
    with pytest.raises(StoreError, match="nested too deeply"), convert_read_errors():
        raise RecursionError


def test_lock_that_fails_is_not_taken_for_a_disk_without_locks(sealed: Made, copied: Copied) -> None:
    class Failing(Disk):
        number = errno.EIO

        def try_lock(self, file: int) -> bool:
            raise OSError(self.number, os.strerror(self.number))

    path, disk = copied(sealed), Failing()
    with pytest.raises(StoreError, match="Input/output error") as caught:
        History.open(path, disk=disk)
    assert "has no locks" not in str(caught.value)
    disk.number = errno.ENOLCK
    with pytest.raises(StoreError, match="the file system has no locks"):
        History.open(path, disk=disk)


class TestDisk:
    """A path whose state is not known is not one without a file."""

    def test_name_that_is_too_long(self, tmp_path: Path) -> None:
        for look in (Disk().is_directory, Disk().wrong_type):
            assert not look(tmp_path / "missing")
            with pytest.raises(OSError, match="File name too long"):
                look(tmp_path / ("x" * 300))

    def test_file_that_is_replaced_before_it_is_opened(self, tmp_path: Path) -> None:
        class Replaced(Disk):
            def wrong_type(self, path: Path, *, directory: bool = False) -> str:
                return ""

        with pytest.raises(OSError, match=r"directory|regular"):
            Replaced().open(tmp_path)


def test_repair_reports_no_index_that_was_not_written(sealed: Made, copied: Copied) -> None:
    class Full(Disk):
        def create(self, path: Path) -> int:
            if path.name.endswith(".idx.json"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().create(path)

    path = copied(sealed)
    index = min(path.glob("seg-*.idx.json"))
    index.write_bytes(b"")
    assert [line.startswith(f"{index.name}: it cannot be rebuilt") for line in repair(path, Full())] == [True]
    assert repair(path) == [f"{index.name}: rebuilt from the records"]
    assert verify(path) == []


class TestFileWithAHole:
    """It takes no room on the disk, and would take all memory."""

    @pytest.mark.parametrize("pattern", ["MANIFEST.json", "journal-*"])
    def test_is_named(self, sealed: Made, copied: Copied, pattern: str) -> None:
        path = copied(sealed)
        file = next(path.glob(pattern))
        os.truncate(file, 1 << 40)
        for read in (History.open, verify, repair):
            with pytest.raises(StoreError, match=f"{file.name}: it has 1 TiB, as no file of a history has"):
                read(path)

    @pytest.mark.parametrize("pattern", ["seg-*.jsonl", "seg-*.idx.json"])
    def test_rest_is_read(self, sealed: Made, copied: Copied, pattern: str) -> None:
        path = copied(sealed)
        file = min(path.glob(pattern))
        os.truncate(file, 1 << 40)
        repair(path)
        found, _ = held(path)
        assert set(found) <= set(sealed.jobs)
        assert len(found) > len(sealed.jobs) // 2
