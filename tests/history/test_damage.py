"""Bytes that are not as they were written: never silent, nothing else lost, what can't be read kept aside."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from jobtui.history import History, Query, Sort, manifest
from jobtui.history.check import earlier, repair, verify
from jobtui.history.follower import Follower
from jobtui.history.io import Disk
from jobtui.history.store import Limits, Store
from jobtui.model import Job
from tests.support import made_jobs
from tests.support.lossy_disk import holding
from tests.support.power_loss import jobs_of
from tests.support.waiting import eventually

SMALL = Limits(journal=20_000, leftover=10_000, blanks=512)
OPEN = Limits(journal=1 << 20, leftover=1 << 20, blanks=512)


@dataclass(frozen=True)
class _Made:
    """A history in a directory, and the jobs that are in it."""

    path: Path
    jobs: dict[int, Job]


def _killed(history: History, path: Path) -> Path:
    """A copy of the files as they are while the writer is at work: what a killed one leaves."""
    shutil.copytree(history.path, path)
    return path


@pytest.fixture(scope="module")
def journal_only(tmp_path_factory: pytest.TempPathFactory) -> _Made:
    """Left by a writer that was killed: everything is in one journal. The last commit is of three jobs."""
    place = tmp_path_factory.mktemp("journal")
    history = History.open(place / "history", limits=OPEN)
    dice = random.Random(4)
    jobs = {}
    for _ in range(6):
        job = made_jobs.submitted(history.new_id(), dice)
        for _ in range(3):
            history.commit(job).result()
            jobs[job.id] = job
            job = made_jobs.moved_on(job, dice)
    last = [made_jobs.submitted(history.new_id(), dice) for _ in range(3)]
    history.commit(*last).result()
    eventually(lambda: b'"durable":22,' in (history.path / "LOCK").read_bytes())
    made = _Made(_killed(history, place / "left"), jobs | {job.id: job for job in last})
    history.close()
    return made


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> _Made:
    """Closed in peace, with several segments and an archive of jobs 20 to 30."""
    path = tmp_path_factory.mktemp("sealed") / "history"
    history = History.open(path, limits=SMALL)
    dice = random.Random(6)
    jobs = {}
    for _ in range(90):
        job = made_jobs.ended(history.new_id(), dice)
        jobs[job.id] = job
        history.commit(job).result()
    history.archive(20, 30).result()
    history.close()
    return _Made(path, {job_id: job for job_id, job in jobs.items() if not 20 <= job_id <= 30})


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[_Made], Path]:
    def copy(made: _Made) -> Path:
        path = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(made.path, path)
        return path

    return copy


def _journal(path: Path) -> Path:
    return next(path.glob("journal-*.jsonl"))


def _lines(data: bytes) -> list[tuple[int, bytes]]:
    """The journal's lines with their places, without the blanks."""
    found, start = [], 0
    for line in data.split(b"\n"):
        if line.strip(b" "):
            found.append((start, line))
        start += len(line) + 1
    return found


def _kept(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted((path / "quarantine").glob("*")))


def _read(path: Path, limits: Limits = OPEN) -> tuple[dict[int, Job], History]:
    history = History.open(path, limits=limits)
    view = history.query(Query())
    return {job.id: job for job in view.page(0, len(view))}, history


def _opened_with(path: Path, journal: bytes) -> Store:
    """The history of that directory, in memory, with other bytes in its journal."""
    disk = holding(path)
    disk.files[_journal(path)].data[:] = journal
    return Store.open(disk, path, OPEN)


def _wrong(store: Store, made: _Made) -> set[int]:
    """The jobs that are not as they were made."""
    jobs = jobs_of(store.state)
    return {job_id for job_id, job in made.jobs.items() if jobs.get(job_id) != job}


def _is_about(line: bytes, job_id: int) -> bool:
    return b'"put":{"id":%d,' % job_id in line or b'"set":%d,' % job_id in line


def _without_mark(path: Path) -> None:
    """Take away what the writer said was durable, as a loss of power may."""
    (path / "LOCK").write_bytes(b"")


def test_a_last_commit_cut_at_any_byte_is_taken_whole_or_not_at_all(
    journal_only: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(journal_only)
    _without_mark(path)
    data = _journal(path).read_bytes()
    *_, (start, _), _, (_, last) = _lines(data)
    end = data.index(last) + len(last) + 1
    before = {job_id: job for job_id, job in journal_only.jobs.items() if job_id <= 6}
    for cut in range(start, end + 1):
        disk = holding(path)
        del disk.files[_journal(path)].data[cut:]
        store = Store.open(disk, path, OPEN)
        assert jobs_of(store.state) == (journal_only.jobs if cut == end else before), cut
        notes = store.quarantine.notes
        assert bool(notes) == (start < cut < end), cut
        if start < cut < end:
            assert "unfinished" in notes[0].what
            assert bytes(disk.files[path / notes[0].kept].data) == data[start:cut].rstrip(b"\n")
        new = made_jobs.submitted(store.state.next_id, random.Random(1))
        assert store.write([[new]]) == [None]
        assert jobs_of(Follower(disk, path).state)[new.id] == new


def test_a_last_commit_that_was_acknowledged_is_missed_by_name(
    journal_only: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(journal_only)
    data = _journal(path).read_bytes()
    *_, (start, _), _, _ = _lines(data)
    _journal(path).write_bytes(data[:start])
    _, history = _read(path)
    assert any("acknowledged changes are missing" in note.what for note in history.notes)
    assert history.new_id() == 10
    history.close()


def test_a_bit_flipped_anywhere_in_the_journal_is_noted_and_costs_one_change_at_most(
    journal_only: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(journal_only)
    data = _journal(path).read_bytes()
    dice = random.Random(9)
    used = [place for start, line in _lines(data) for place in range(start, start + len(line) + 1)]
    for place in dice.sample(used, 300):
        broken = bytearray(data)
        broken[place] ^= 1 << dice.randrange(8)
        store = _opened_with(path, bytes(broken))
        wrong = _wrong(store, journal_only)
        assert len(wrong) <= 1, (place, wrong)
        assert store.quarantine.notes or not wrong, place
        assert store.state.next_id > max(journal_only.jobs)


@pytest.mark.parametrize("with_mark", [True, False])
def test_a_sector_of_zeros_in_the_journal_is_noted_and_what_is_around_it_stays(
    journal_only: _Made, copied: Callable[[_Made], Path], with_mark: bool
) -> None:
    path = copied(journal_only)
    if not with_mark:
        _without_mark(path)
    data = _journal(path).read_bytes()
    lines = _lines(data)
    for start in range(0, lines[-1][0], 512):
        store = _opened_with(path, data[:start] + bytes(512) + data[start + 512 :])
        assert store.quarantine.notes, start
        touched = [line for place, line in lines if place < start + 512 and place + len(line) >= start]
        names = {job_id for line in touched for job_id in journal_only.jobs if _is_about(line, job_id)}
        last = () if with_mark else {7, 8, 9}
        assert _wrong(store, journal_only) <= names.union(last), start


def test_a_deleted_line_of_the_journal_is_noted_with_its_number(
    journal_only: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(journal_only)
    data = _journal(path).read_bytes()
    for number, (start, line) in enumerate(_lines(data), 1):
        store = _opened_with(path, data[:start] + data[start + len(line) + 1 :])
        assert any(f"{number}" in note.what for note in store.quarantine.notes), number
        assert len(_wrong(store, journal_only)) <= 1, number


def test_damage_in_the_journal_names_the_job_that_can_still_be_made_out(
    journal_only: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(journal_only)
    data = _journal(path).read_bytes()
    start, line = next((start, line) for start, line in _lines(data) if b'"set":3' in line)
    _journal(path).write_bytes(data[: start + len(line) - 5] + b"?" + data[start + len(line) - 4 :])
    _, history = _read(path)
    note = next(note for note in history.notes if note.byte == start)
    assert note.jobs == (3,)
    assert note.kept.startswith("quarantine/")
    assert (path / note.kept).read_bytes().startswith(b'{"crc":"')
    history.close()


def test_what_is_noted_once_is_mended_and_not_noted_again(
    journal_only: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(journal_only)
    data = _journal(path).read_bytes()
    start, line = _lines(data)[5]
    _journal(path).write_bytes(data[:start] + b"x" * len(line) + data[start + len(line) :])
    jobs, history = _read(path)
    assert history.notes
    history.close()
    again, history = _read(path)
    assert (again, history.notes) == (jobs, ())
    history.close()
    assert verify(path) == []


def test_damage_that_was_mended_is_still_told_of_with_its_jobs_and_what_was_kept(
    journal_only: _Made, sealed: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(journal_only)
    data = _journal(path).read_bytes()
    start, line = next(each for each in _lines(data) if b'"put":{"id":3,' in each[1])
    _journal(path).write_bytes(data.replace(line, line.replace(b'"put":{"id":3', b'"put":{"id":3 ', 1)[:-1], 1))
    for _ in range(2):
        _read(path)[1].close()
        (note, *_) = [each for each in earlier(path) if each.kept]
        assert (note.byte, note.jobs) == (start, (3,))
        assert "of job 3" in str(note)
        assert b'"put":{"id":3 ' in (path / note.kept).read_bytes()
        assert verify(path) == []

    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    start = _lines(segment.read_bytes())[2][0]
    data = bytearray(segment.read_bytes())
    data[start + 50] ^= 1
    segment.write_bytes(data)
    (found,) = verify(path)
    assert earlier(path) == []
    repair(path)
    (note,) = earlier(path)
    assert (note.file, note.byte, note.jobs) == (found.file, found.byte, found.jobs)
    assert (path / note.kept).read_bytes() == data


def test_verify_of_a_sound_history_finds_nothing_and_writes_nothing(
    sealed: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(sealed)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert verify(path) == []
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_verify_of_no_history_finds_nothing_and_makes_nothing(tmp_path: Path) -> None:
    assert verify(tmp_path / "none") == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_found_with_file_byte_and_job_and_replaced_by_what_the_index_knows(
    sealed: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    data = segment.read_bytes()
    start, line = _lines(data)[3]
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

    assert any(segment.name in said for said in repair(path))
    assert verify(path) == []
    jobs, history = _read(path)
    assert jobs == sealed.jobs | {job.id: left}
    assert history.notes == ()
    history.close()
    assert data[start : start + 60] in _kept(path)


def _broken_segments(path: Path, dice: random.Random) -> Iterator[Callable[[Path], None]]:
    segments = sorted(path.glob("seg-*.jsonl"))

    def deleted_line(segment: Path) -> None:
        lines = segment.read_bytes().splitlines(keepends=True)
        del lines[dice.randrange(len(lines))]
        segment.write_bytes(b"".join(lines))

    def zeros(segment: Path) -> None:
        data = segment.read_bytes()
        start = dice.randrange(len(data) // 512) * 512
        segment.write_bytes(data[:start] + bytes(512) + data[start + 512 :])

    def cut(segment: Path) -> None:
        data = segment.read_bytes()
        segment.write_bytes(data[: dice.randrange(len(data))])

    def flipped(segment: Path) -> None:
        data = bytearray(segment.read_bytes())
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        segment.write_bytes(data)

    def gone(segment: Path) -> None:
        segment.unlink()

    def without_index(segment: Path) -> None:
        zeros(segment)
        segment.with_name(segment.stem + ".idx.json").unlink()

    assert segments
    yield from (deleted_line, zeros, cut, flipped, gone, without_index)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_to_a_segment_is_found_borne_and_repaired_and_the_rest_stays(
    sealed: _Made, copied: Callable[[_Made], Path], seed: int
) -> None:
    dice = random.Random(seed)
    for broken in _broken_segments(sealed.path, dice):
        path = copied(sealed)
        segment = dice.choice(sorted([*path.glob("seg-*.jsonl"), *path.glob("archive/*/seg-*.jsonl")]))
        name = segment.relative_to(path).as_posix()
        broken(segment)
        assert any(note.file == name for note in verify(path)), broken

        jobs, history = _read(path)
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
        again, history = _read(path)
        assert history.notes == ()
        assert {job_id: again[job_id] for job_id in sealed.jobs.keys() - touched} == {
            job_id: sealed.jobs[job_id] for job_id in sealed.jobs.keys() - touched
        }
        assert sum(history.counts().values()) == len(again)
        history.close()


def test_what_a_repair_kept_is_found_where_its_note_says_also_beside_what_was_kept_before(
    sealed: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    (path / "quarantine").mkdir()
    (path / "quarantine" / segment.name).write_bytes(b"kept before")
    broken = segment.read_bytes().replace(b'"status":"', b'"stat\0s":"', 1)
    segment.write_bytes(broken)
    assert repair(path)
    (note,) = {note for note in earlier(path) if note.kept and note.byte is not None}
    assert (path / note.kept).read_bytes() == broken
    assert (path / "quarantine" / segment.name).read_bytes() == b"kept before"


def test_records_of_an_archive_that_newer_ones_replaced_are_not_counted_when_it_is_made_again(
    tmp_path: Path,
) -> None:
    limits, dice = Limits(journal=1 << 20, leftover=0, blanks=512), random.Random(3)
    jobs = [made_jobs.ended(job_id, dice) for job_id in range(1, 21)]
    for some in (jobs, [made_jobs.moved_on(job, dice) for job in jobs[:5]]):
        history = History.open(tmp_path, limits=limits)
        history.commit(*some).result()
        history.close()
    history = History.open(tmp_path, limits=limits)
    history.archive(6, 20).result()
    history.archive(1, 3).result()
    history.close()
    made = manifest.load(Disk(), tmp_path)
    assert made is not None

    (tmp_path / "MANIFEST.json").unlink()
    History.open(tmp_path, limits=limits).close()
    again = manifest.load(Disk(), tmp_path)
    assert again is not None
    assert (set(again.archives), again.counts) == (set(made.archives), made.counts)

    segment = next(tmp_path.glob("archive/*-6-*/seg-*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b'"status":"', b'"stat\0s":"', 1))
    assert repair(tmp_path)
    repaired = manifest.load(Disk(), tmp_path)
    assert repaired is not None
    assert repaired.archives == again.archives
    assert verify(tmp_path) == []


@pytest.mark.parametrize("leftover", [1 << 20, 0], ids=["in the journal", "sealed again"])
@pytest.mark.parametrize("broken", [0, 3, 5], ids=lambda place: f"record {place}")
def test_a_repair_keeps_the_jobs_that_were_changed_since_their_segment_was_sealed(
    sealed: _Made, copied: Callable[[_Made], Path], leftover: int, broken: int
) -> None:
    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    ids = [msgspec.json.decode(line)["id"] for _, line in _lines(segment.read_bytes())]
    history = History.open(path, limits=Limits(journal=1 << 20, leftover=leftover, blanks=512))
    expected = sealed.jobs | {
        job_id: made_jobs.moved_on(sealed.jobs[job_id], random.Random(1)) for job_id in ids[2:5]
    }
    history.commit(*(expected[job_id] for job_id in ids[2:5])).result()
    history.close()

    data = segment.read_bytes()
    start = _lines(data)[broken][0]
    segment.write_bytes(data[: start + 60] + b"\x00\x01" + data[start + 62 :])
    assert repair(path)
    assert verify(path) == []
    for limits in (OPEN, Limits(leftover=0)):
        jobs, history = _read(path, limits)
        wrong = {job_id for job_id in expected if jobs.get(job_id) != expected[job_id]}
        assert wrong <= {ids[broken]}.difference(ids[2:5])
        assert len(jobs) == len(expected) == sum(history.counts().values())
        history.close()
        assert verify(path) == []


def test_an_index_that_is_gone_or_damaged_is_made_again(sealed: _Made, copied: Callable[[_Made], Path]) -> None:
    path = copied(sealed)
    indexes = sorted(path.rglob("*.idx.json"))
    indexes[0].unlink()
    indexes[1].write_bytes(indexes[1].read_bytes().replace(b'"data"', b'"dada"'))
    indexes[2].write_bytes(indexes[2].read_bytes()[:-40])
    assert len(verify(path)) == 3
    reader = History.open(path, write=False)
    assert {job.id: job for job in reader.query(Query()).page(0, 99)} == sealed.jobs
    reader.close()
    assert len(verify(path)) == 3
    jobs, history = _read(path)
    assert jobs == sealed.jobs
    history.close()
    repair(path)
    assert verify(path) == []


def test_an_index_that_is_made_again_beside_newer_versions_tells_of_what_was_sealed(
    sealed: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(sealed)
    changed = {job_id: made_jobs.moved_on(sealed.jobs[job_id], random.Random(2)) for job_id in (1, 2, 40)}
    expected = sealed.jobs | changed
    history = History.open(path, limits=OPEN)
    history.commit(*changed.values()).result()
    for index in path.glob("*.idx.json"):
        index.unlink()
    assert len(history.query(Query(sort=Sort.REASON)).ids(0, 99)) == len(expected)
    history.close()
    again, history = _read(path)
    assert again == expected
    assert sum(history.counts().values()) == len(expected)
    history.close()
    assert verify(path) == []


@pytest.mark.parametrize("how", ["gone", "damaged", "empty"])
def test_a_lost_manifest_is_made_again_from_the_files(
    sealed: _Made, copied: Callable[[_Made], Path], how: str
) -> None:
    path = copied(sealed)
    manifest = path / "MANIFEST.json"
    data = manifest.read_bytes()
    manifest.unlink() if how == "gone" else manifest.write_bytes(data[:-9] if how == "damaged" else b"")
    reader = History.open(path, write=False)
    assert {job.id: job for job in reader.query(Query()).page(0, 99)} == sealed.jobs
    assert [note.file for note in reader.notes] == ["MANIFEST.json"]
    reader.close()
    jobs, history = _read(path)
    assert jobs == sealed.jobs
    assert [note.file for note in history.notes] == ["MANIFEST.json"]
    assert history.is_archived(25)
    assert history.new_id() == 91
    history.close()
    assert verify(path) == []
    if how == "damaged":
        assert data[:-9] in _kept(path)


def test_an_older_manifest_put_back_loses_nothing_that_was_sealed_since(
    sealed: _Made, copied: Callable[[_Made], Path]
) -> None:
    path = copied(sealed)
    older = (path / "MANIFEST.json").read_bytes()
    history = History.open(path, limits=SMALL)
    dice = random.Random(3)
    more = [made_jobs.ended(history.new_id(), dice) for _ in range(40)]
    history.commit(*more).result()
    history.close()
    (path / "MANIFEST.json").write_bytes(older)
    jobs, history = _read(path)
    assert jobs == sealed.jobs | {job.id: job for job in more}
    assert history.notes
    history.close()


def test_a_journal_that_is_gone_is_noted(sealed: _Made, copied: Callable[[_Made], Path]) -> None:
    path = copied(sealed)
    _journal(path).unlink()
    jobs, history = _read(path)
    assert len(jobs) > 50
    assert jobs.items() <= sealed.jobs.items()
    assert any("missing" in note.what for note in history.notes)
    history.close()
