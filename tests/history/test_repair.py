"""Verify locates damage; repair corrects it without deleting anything, and rebuilds missing files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from jobtui.history import History, Query, Sort
from jobtui.history.format import manifest
from jobtui.history.format.disk import Disk
from jobtui.history.repair import repair
from jobtui.history.verify import past_notes, verify
from jobtui.history.write.store import Limits
from tests.support import made_jobs
from tests.support.damaged import (
    OPEN,
    SMALL,
    Made,
    journal_of,
    kept_in,
    lines_of,
    read_all,
)


def test_verify_of_a_sound_history_reports_and_writes_nothing(
    sealed: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(sealed)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert verify(path) == []
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_verify_without_a_history_creates_nothing(tmp_path: Path) -> None:
    assert verify(tmp_path / "none") == []
    assert list(tmp_path.iterdir()) == []


def test_damaged_record_is_located_and_restored_from_index(
    sealed: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    data = segment.read_bytes()
    start, line = lines_of(data)[3]
    job = next(job for job in sealed.jobs.values() if f'"id":{job.id},'.encode() in line[:40])
    segment.write_bytes(data[: start + 60] + b"\x00\x01" + data[start + 62 :])
    (note,) = verify(path)
    assert (note.file, note.byte, note.jobs) == (segment.name, start, (job.id,))

    reader = History.open(path, write=False)
    left = reader.get(job.id)
    assert left is not None
    known = (left.id, left.command, left.space, left.status, left.submitted, left.start, left.stop)
    assert known == (job.id, job.command, job.space, job.status, job.submitted, job.start, job.stop)
    assert "damaged" in left.reason
    assert [each.jobs for each in reader.notes] == [(job.id,)]
    assert len(reader.query(Query())) == len(sealed.jobs)
    reader.close()

    assert any(segment.name in report for report in repair(path))
    assert verify(path) == []
    jobs, history = read_all(path)
    assert jobs == sealed.jobs | {job.id: left}
    assert history.notes == ()
    history.close()
    assert data[start : start + 60] in kept_in(path)


def _broken_segments(path: Path, rng: random.Random) -> Iterator[Callable[[Path], None]]:
    segments = sorted(path.glob("seg-*.jsonl"))

    def deleted_line(segment: Path) -> None:
        lines = segment.read_bytes().splitlines(keepends=True)
        del lines[rng.randrange(len(lines))]
        segment.write_bytes(b"".join(lines))

    def zeros(segment: Path) -> None:
        data = segment.read_bytes()
        start = rng.randrange(len(data) // 512) * 512
        segment.write_bytes(data[:start] + bytes(512) + data[start + 512 :])

    def cut(segment: Path) -> None:
        data = segment.read_bytes()
        segment.write_bytes(data[: rng.randrange(len(data))])

    def flipped(segment: Path) -> None:
        data = bytearray(segment.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        segment.write_bytes(data)

    def gone(segment: Path) -> None:
        segment.unlink()

    def without_index(segment: Path) -> None:
        zeros(segment)
        segment.with_name(segment.stem + ".idx.json").unlink()

    assert segments
    yield from (deleted_line, zeros, cut, flipped, gone, without_index)


@pytest.mark.parametrize("seed", range(4))
def test_any_segment_damage_is_found_and_repaired(
    sealed: Made, copied: Callable[[Made], Path], seed: int
) -> None:
    rng = random.Random(seed)
    for broken in _broken_segments(sealed.path, rng):
        path = copied(sealed)
        segment = rng.choice(sorted([*path.glob("seg-*.jsonl"), *path.glob("archive/*/seg-*.jsonl")]))
        name = segment.relative_to(path).as_posix()
        broken(segment)
        assert any(note.file == name for note in verify(path)), broken

        jobs, history = read_all(path)
        touched = {job_id for job_id in sealed.jobs if jobs.get(job_id) != sealed.jobs[job_id]}
        archived = history.query(Query(archived=True))
        assert len(archived.page(0, 99)) <= 11
        if touched:
            assert any(note.file == name for note in history.notes), broken
            assert all(job_id not in jobs or "damaged" in jobs[job_id].reason for job_id in touched)
        assert len(touched) < len(sealed.jobs)
        history.close()

        assert repair(path), broken
        assert verify(path) == [], broken
        again, history = read_all(path)
        assert history.notes == ()
        assert {job_id: again[job_id] for job_id in sealed.jobs.keys() - touched} == {
            job_id: sealed.jobs[job_id] for job_id in sealed.jobs.keys() - touched
        }
        assert sum(history.counts().values()) == len(again)
        history.close()


def test_segment_without_readable_records_is_reported_and_kept(
    sealed: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    lost = {msgspec.json.decode(line)["id"] for _, line in lines_of(segment.read_bytes())}
    segment.write_bytes(b"nothing of use\n" * 9)
    segment.with_name(f"{segment.stem}.idx.json").unlink()
    assert f"{segment.name}: nothing in it can be read; the manifest no longer names it" in repair(path)
    assert b"nothing of use" in kept_in(path)
    assert verify(path) == []
    jobs, history = read_all(path)
    assert jobs == {job_id: job for job_id, job in sealed.jobs.items() if job_id not in lost}
    history.close()


def test_repair_notes_name_the_copies_that_it_kept(sealed: Made, copied: Callable[[Made], Path]) -> None:
    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    (path / "quarantine").mkdir()
    (path / "quarantine" / segment.name).write_bytes(b"kept before")
    broken = segment.read_bytes().replace(b'"status":"', b'"stat\0s":"', 1)
    segment.write_bytes(broken)
    assert repair(path)
    (note,) = {note for note in past_notes(path) if note.kept and note.byte is not None}
    assert (path / note.kept).read_bytes() == broken
    assert (path / "quarantine" / segment.name).read_bytes() == b"kept before"


def test_rebuilt_archive_counts_no_superseded_records(
    tmp_path: Path,
) -> None:
    limits, rng = Limits(journal=1 << 20, leftover=0, blanks=512), random.Random(3)
    jobs = [made_jobs.ended(job_id, rng) for job_id in range(1, 21)]
    for some in (jobs, [made_jobs.moved_on(job, rng) for job in jobs[:5]]):
        history = History.open(tmp_path, limits=limits)
        history.commit(*some).result()
        history.close()
    history = History.open(tmp_path, limits=limits)
    history.archive(6, 20).result()
    history.archive(1, 3).result()
    history.close()
    made = manifest.load_manifest(Disk(), tmp_path)
    assert made is not None

    (tmp_path / "MANIFEST.json").unlink()
    History.open(tmp_path, limits=limits).close()
    again = manifest.load_manifest(Disk(), tmp_path)
    assert again is not None
    assert (set(again.archives), again.counts) == (set(made.archives), made.counts)

    segment = next(tmp_path.glob("archive/*-6-*/seg-*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b'"status":"', b'"stat\0s":"', 1))
    assert repair(tmp_path)
    repaired = manifest.load_manifest(Disk(), tmp_path)
    assert repaired is not None
    assert repaired.archives == again.archives
    assert verify(tmp_path) == []


@pytest.mark.parametrize("leftover", [1 << 20, 0], ids=["in the journal", "sealed again"])
@pytest.mark.parametrize("broken", [0, 3, 5], ids=lambda index: f"record {index}")
def test_repair_keeps_jobs_changed_since_the_seal(
    sealed: Made, copied: Callable[[Made], Path], leftover: int, broken: int
) -> None:
    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    ids = [msgspec.json.decode(line)["id"] for _, line in lines_of(segment.read_bytes())]
    history = History.open(path, limits=Limits(journal=1 << 20, leftover=leftover, blanks=512))
    expected = sealed.jobs | {
        job_id: made_jobs.moved_on(sealed.jobs[job_id], random.Random(1)) for job_id in ids[2:5]
    }
    history.commit(*(expected[job_id] for job_id in ids[2:5])).result()
    history.close()

    data = segment.read_bytes()
    start = lines_of(data)[broken][0]
    segment.write_bytes(data[: start + 60] + b"\x00\x01" + data[start + 62 :])
    assert repair(path)
    assert verify(path) == []
    for limits in (OPEN, Limits(leftover=0)):
        jobs, history = read_all(path, limits)
        wrong = {job_id for job_id in expected if jobs.get(job_id) != expected[job_id]}
        assert wrong <= {ids[broken]}.difference(ids[2:5])
        assert len(jobs) == len(expected) == sum(history.counts().values())
        history.close()
        assert verify(path) == []


def test_missing_or_damaged_index_is_rebuilt(sealed: Made, copied: Callable[[Made], Path]) -> None:
    path = copied(sealed)
    indexes = sorted(path.rglob("*.idx.json"))
    indexes[0].unlink()
    indexes[1].write_bytes(indexes[1].read_bytes().replace(b'"data"', b'"dada"'))
    indexes[2].write_bytes(indexes[2].read_bytes()[:-40])
    assert len(verify(path)) == 3
    reader = History.open(path, write=False)
    assert {job.id: job for job in reader.query(Query()).page(0, 1000)} == sealed.jobs
    reader.close()
    assert len(verify(path)) == 3
    jobs, history = read_all(path)
    assert jobs == sealed.jobs
    history.close()
    repair(path)
    assert verify(path) == []


def test_rebuilt_index_holds_the_sealed_statuses(sealed: Made, copied: Callable[[Made], Path]) -> None:
    path = copied(sealed)
    changed = {job_id: made_jobs.moved_on(sealed.jobs[job_id], random.Random(2)) for job_id in (1, 2, 40)}
    expected = sealed.jobs | changed
    history = History.open(path, limits=OPEN)
    history.commit(*changed.values()).result()
    for index in path.glob("*.idx.json"):
        index.unlink()
    assert len(history.query(Query(sort=Sort.REASON)).ids(0, 99)) == len(expected)
    history.close()
    again, history = read_all(path)
    assert again == expected
    assert sum(history.counts().values()) == len(expected)
    history.close()
    assert verify(path) == []


@pytest.mark.parametrize("how", ["gone", "damaged", "empty"])
def test_lost_manifest_is_rebuilt_from_the_files(
    sealed: Made, copied: Callable[[Made], Path], how: str
) -> None:
    path = copied(sealed)
    manifest = path / "MANIFEST.json"
    data = manifest.read_bytes()
    manifest.unlink() if how == "gone" else manifest.write_bytes(data[:-9] if how == "damaged" else b"")
    reader = History.open(path, write=False)
    assert {job.id: job for job in reader.query(Query()).page(0, 1000)} == sealed.jobs
    assert [note.file for note in reader.notes] == ["MANIFEST.json"]
    reader.close()
    jobs, history = read_all(path)
    assert jobs == sealed.jobs
    assert [note.file for note in history.notes] == ["MANIFEST.json"]
    assert history.is_archived(25)
    assert history.new_id() == max(sealed.jobs) + 1
    history.close()
    assert verify(path) == []
    if how == "damaged":
        assert data[:-9] in kept_in(path)


def test_restored_older_manifest_loses_no_sealed_job(sealed: Made, copied: Callable[[Made], Path]) -> None:
    path = copied(sealed)
    older = (path / "MANIFEST.json").read_bytes()
    history = History.open(path, limits=SMALL)
    rng = random.Random(3)
    more = [made_jobs.ended(history.new_id(), rng) for _ in range(40)]
    history.commit(*more).result()
    history.close()
    (path / "MANIFEST.json").write_bytes(older)
    jobs, history = read_all(path)
    assert jobs == sealed.jobs | {job.id: job for job in more}
    assert history.notes
    history.close()


def test_missing_journal_is_noted(sealed: Made, copied: Callable[[Made], Path]) -> None:
    path = copied(sealed)
    journal_of(path).unlink()
    jobs, history = read_all(path)
    assert len(jobs) > 50
    assert jobs.items() <= sealed.jobs.items()
    assert any("missing" in note.what for note in history.notes)
    history.close()
