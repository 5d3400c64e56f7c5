"""Intact records in files of other records: found by their ids, and there once after a repair."""

from __future__ import annotations

import io
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History, Query, Sort
from jobtui.history.export import export
from jobtui.history.format.segment import Segment
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from jobtui.model import Job
from tests.support.damaged import OPEN, Made, archive_of

Copied = Callable[[Made], Path]
ARCHIVED = set(range(20, 31))


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def segments_of(path: Path) -> list[Path]:
    return sorted(path.glob("seg-*.jsonl"))


def index_of(segment: Path) -> Path:
    return segment.with_suffix(".idx.json")


def swapped(path: Path) -> None:
    swap(*segments_of(path)[:2])


def swapped_with_indexes(path: Path) -> None:
    one, other, *_ = segments_of(path)
    swap(one, other)
    swap(index_of(one), index_of(other))


def swapped_indexes(path: Path) -> None:
    one, other, *_ = map(index_of, segments_of(path))
    swap(one, other)


def swapped_and_one_index_lost(path: Path) -> None:
    swapped(path)
    index_of(segments_of(path)[0]).unlink()


def swapped_and_indexes_lost(path: Path) -> None:
    swapped(path)
    for segment in segments_of(path):
        index_of(segment).unlink()


def swapped_with_an_archives(path: Path) -> None:
    swap(segments_of(path)[0], next(archive_of(path).glob("seg-*.jsonl")))


def rotated(path: Path) -> None:
    one, other, third, *_ = segments_of(path)
    swap(one, other)
    swap(other, third)


def renamed(path: Path) -> None:
    segment = segments_of(path)[0]
    segment.rename(path / "seg-00000099.jsonl")


def renamed_with_its_index(path: Path) -> None:
    segment = segments_of(path)[0]
    index_of(segment).rename(path / "seg-00000099.idx.json")
    segment.rename(path / "seg-00000099.jsonl")


def put_into_quarantine(path: Path) -> None:
    (path / "quarantine").mkdir(exist_ok=True)
    segment = segments_of(path)[0]
    segment.rename(path / "quarantine" / segment.name)


def put_into_an_archive(path: Path) -> None:
    segment = segments_of(path)[0]
    segment.rename(archive_of(path) / "seg-00000099.jsonl")


def archived_copied_back(path: Path) -> None:
    for file in archive_of(path).glob("seg-*"):
        shutil.copy(file, path)


def archived_copied_back_without_archives_manifest(path: Path) -> None:
    archived_copied_back(path)
    (archive_of(path) / "ARCHIVE.json").unlink()


def archived_copied_back_without_manifest(path: Path) -> None:
    archived_copied_back(path)
    (path / "MANIFEST.json").unlink()


def archived_copied_back_without_both(path: Path) -> None:
    archived_copied_back_without_archives_manifest(path)
    (path / "MANIFEST.json").unlink()


def copied_into_an_archive(path: Path) -> None:
    for file in path.glob(f"{segments_of(path)[0].stem}.*"):
        shutil.copy(file, archive_of(path))
    (archive_of(path) / "ARCHIVE.json").unlink()


def copied_under_another_name(path: Path) -> None:
    for file in path.glob(f"{segments_of(path)[0].stem}.*"):
        shutil.copy(file, path / file.name.replace(file.name[:12], "seg-00000099"))


def copied_under_another_name_without_manifest(path: Path) -> None:
    copied_under_another_name(path)
    (path / "MANIFEST.json").unlink()


WHOLE = [
    swapped,
    swapped_with_indexes,
    swapped_indexes,
    swapped_and_one_index_lost,
    swapped_and_indexes_lost,
    swapped_with_an_archives,
    rotated,
    renamed,
    renamed_with_its_index,
    put_into_quarantine,
    put_into_an_archive,
    archived_copied_back,
    archived_copied_back_without_archives_manifest,
    archived_copied_back_without_manifest,
    archived_copied_back_without_both,
    copied_into_an_archive,
    copied_under_another_name,
    copied_under_another_name_without_manifest,
]


def copied_over_another(path: Path) -> None:
    one, other, *_ = segments_of(path)
    shutil.copy(other, one)


def copied_over_another_with_its_index(path: Path) -> None:
    one, other, *_ = segments_of(path)
    shutil.copy(other, one)
    shutil.copy(index_of(other), index_of(one))


def copied_over_an_archives(path: Path) -> None:
    shutil.copy(segments_of(path)[0], next(archive_of(path).glob("seg-*.jsonl")))


def archived_copied_over_another(path: Path) -> None:
    shutil.copy(next(archive_of(path).glob("seg-*.jsonl")), segments_of(path)[0])


LOSING = [
    copied_over_another,
    copied_over_another_with_its_index,
    copied_over_an_archives,
    archived_copied_over_another,
]


def listed(path: Path) -> tuple[dict[int, Job], list[int]]:
    """All jobs that are listed, archived or not; and the ids, in case one is listed twice."""
    history = History.open(path, write=False)
    views = [history.query(Query(archived=archived)) for archived in (False, True)]
    jobs = [job for view in views for job in view.page(0, len(view))]
    history.close()
    return {job.id: job for job in jobs}, [job.id for job in jobs]


def all_jobs(made: Made) -> dict[int, Job]:
    return listed(made.path)[0]


def assert_listed_once(path: Path, *, write: bool) -> None:
    history = History.open(path, write=write, limits=OPEN)
    for sort in Sort:
        ids = [
            job_id
            for archived in (False, True)
            for job_id in history.query(Query(archived=archived, sort=sort)).ids(0, 999)
        ]
        assert len(ids) == len(set(ids)), sort
    history.close()
    out = io.StringIO()
    export(path, out, "jsonl")
    ids = [json.loads(line)["id"] for line in out.getvalue().splitlines()]
    assert len(ids) == len(set(ids))


class TestBeforeRepair:
    @pytest.mark.parametrize("write", [False, True])
    @pytest.mark.parametrize("move", [*WHOLE, *LOSING])
    def test_no_id_is_listed_twice(
        self, move: Callable[[Path], None], write: bool, sealed: Made, copied: Copied
    ) -> None:
        path = copied(sealed)
        move(path)
        assert_listed_once(path, write=write)

    @pytest.mark.parametrize("move", [swapped, rotated, renamed, put_into_quarantine, put_into_an_archive])
    def test_record_is_found_by_its_id(
        self, move: Callable[[Path], None], sealed: Made, copied: Copied
    ) -> None:
        path = copied(sealed)
        move(path)
        history = History.open(path, write=False)
        assert {job_id: history.get(job_id) for job_id in sealed.jobs} == sealed.jobs
        history.close()


class TestAfterRepair:
    @pytest.mark.parametrize("is_opened", [False, True])
    @pytest.mark.parametrize("move", WHOLE)
    def test_every_readable_job_is_there_once(
        self, move: Callable[[Path], None], is_opened: bool, sealed: Made, copied: Copied
    ) -> None:
        path, jobs = copied(sealed), all_jobs(sealed)
        move(path)
        if is_opened:
            History.open(path, limits=OPEN).close()
        repair(path)
        assert verify(path) == []
        found, ids = listed(path)
        assert found == jobs
        assert sorted(ids) == sorted(jobs)
        assert repair(path) == []

    @pytest.mark.parametrize("is_opened", [False, True])
    @pytest.mark.parametrize("move", LOSING)
    def test_overwritten_jobs_are_named(
        self, move: Callable[[Path], None], is_opened: bool, sealed: Made, copied: Copied
    ) -> None:
        path, jobs = copied(sealed), all_jobs(sealed)
        move(path)
        named = set(itertools.chain(*(note.jobs for note in verify(path))))
        if is_opened:
            History.open(path, limits=OPEN).close()
        repair(path)
        found, ids = listed(path)
        lost = {job_id for job_id in jobs if found.get(job_id) != jobs[job_id]}
        assert all("damaged" in found[job_id].reason for job_id in lost & found.keys())
        assert lost <= named | found.keys()
        assert sorted(ids) == sorted(found)
        assert verify(path) == []
        assert repair(path) == []


def test_opening_looks_for_no_records_elsewhere(
    sealed: Made, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(sealed)
    seen: list[str] = []
    monkeypatch.setattr(Segment, "path", property(lambda segment: seen.append(segment.name)))
    for write in (False, True):
        History.open(path, write=write).close()
    assert len(segments_of(path)) > 1
    assert seen == []  # a path for each of 4,000 segments takes 10 ms
