"""Damaged bytes: always reported, no other job lost, and unreadable bytes quarantined."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history.read.reader import HistoryReader
from jobtui.history.repair import repair
from jobtui.history.verify import past_notes, verify
from jobtui.history.write.store import Store
from tests.support import made_jobs
from tests.support.damaged import (
    OPEN,
    Made,
    is_about,
    journal_of,
    lines_of,
    opened_with,
    read_all,
    without_mark,
    wrong_in,
)
from tests.support.lossy_disk import holding
from tests.support.power_loss import jobs_of


def test_last_commit_cut_anywhere_counts_whole_or_not_at_all(
    journal_only: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(journal_only)
    without_mark(path)
    data = journal_of(path).read_bytes()
    *_, (start, _), _, (_, last) = lines_of(data)
    end = data.index(last) + len(last) + 1
    before = {job_id: job for job_id, job in journal_only.jobs.items() if job_id <= 6}
    for cut in range(start, end + 1):
        disk = holding(path)
        disk.files[journal_of(path)].data[cut:] = b" " * (end - cut) + b" \n"
        store = Store.open(disk, path, OPEN)
        assert jobs_of(store.state) == (journal_only.jobs if cut == end else before), cut
        notes = store.quarantine.notes
        assert bool(notes) == (start < cut < end), cut
        if start < cut < end:
            assert "unfinished" in notes[0].what
            assert bytes(disk.files[path / notes[0].kept].data).rstrip() == data[start:cut].rstrip(b"\n")
        new = made_jobs.submitted(store.state.next_id, random.Random(1))
        assert store.write([[new]]) == [None]
        assert jobs_of(HistoryReader(disk, path).state)[new.id] == new


def test_last_commit_that_was_acknowledged_is_missed_by_name(
    journal_only: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(journal_only)
    data = journal_of(path).read_bytes()
    *_, (start, _), _, _ = lines_of(data)
    journal_of(path).write_bytes(data[:start])
    _, history = read_all(path)
    assert any("acknowledged changes are missing" in note.what for note in history.notes)
    assert history.new_id() == 10
    history.close()


def test_flipped_bit_is_noted_and_loses_at_most_one_change(
    journal_only: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(journal_only)
    data = journal_of(path).read_bytes()
    rng = random.Random(9)
    used = [offset for start, line in lines_of(data) for offset in range(start, start + len(line) + 1)]
    for offset in rng.sample(used, 300):
        broken = bytearray(data)
        broken[offset] ^= 1 << rng.randrange(8)
        store = opened_with(path, bytes(broken))
        wrong = wrong_in(store, journal_only)
        assert len(wrong) <= 1, (offset, wrong)
        assert store.quarantine.notes or not wrong, offset
        assert store.state.next_id > max(journal_only.jobs)


@pytest.mark.parametrize("with_mark", [True, False])
def test_zeroed_sector_is_noted_and_the_rest_is_kept(
    journal_only: Made, copied: Callable[[Made], Path], with_mark: bool
) -> None:
    path = copied(journal_only)
    if not with_mark:
        without_mark(path)
    data = journal_of(path).read_bytes()
    lines = lines_of(data)
    for start in range(0, lines[-1][0], 512):
        store = opened_with(path, data[:start] + bytes(512) + data[start + 512 :])
        assert store.quarantine.notes, start
        touched = [line for offset, line in lines if offset < start + 512 and offset + len(line) >= start]
        names = {job_id for line in touched for job_id in journal_only.jobs if is_about(line, job_id)}
        last = () if with_mark else {7, 8, 9}
        assert wrong_in(store, journal_only) <= names.union(last), start


def test_deleted_line_of_the_journal_is_noted_with_its_number(
    journal_only: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(journal_only)
    data = journal_of(path).read_bytes()
    for number, (start, line) in enumerate(lines_of(data), 1):
        store = opened_with(path, data[:start] + data[start + len(line) + 1 :])
        assert any(f"{number}" in note.what for note in store.quarantine.notes), number
        assert len(wrong_in(store, journal_only)) <= 1, number


def test_journal_damage_names_the_job_if_it_is_readable(
    journal_only: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(journal_only)
    data = journal_of(path).read_bytes()
    start, line = next((start, line) for start, line in lines_of(data) if b'"set":3' in line)
    journal_of(path).write_bytes(data[: start + len(line) - 5] + b"?" + data[start + len(line) - 4 :])
    _, history = read_all(path)
    note = next(note for note in history.notes if note.byte == start)
    assert note.jobs == (3,)
    assert note.kept.startswith("quarantine/")
    assert (path / note.kept).read_bytes().startswith(b'{"crc":"')
    history.close()


def test_noted_damage_is_repaired_and_not_noted_again(
    journal_only: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(journal_only)
    data = journal_of(path).read_bytes()
    start, line = lines_of(data)[5]
    journal_of(path).write_bytes(data[:start] + b"x" * len(line) + data[start + len(line) :])
    jobs, history = read_all(path)
    assert history.notes
    history.close()
    again, history = read_all(path)
    assert (again, history.notes) == (jobs, ())
    history.close()
    assert verify(path) == []


def test_repaired_damage_is_still_reported_with_its_copy(
    journal_only: Made, sealed: Made, copied: Callable[[Made], Path]
) -> None:
    path = copied(journal_only)
    data = journal_of(path).read_bytes()
    start, line = next(each for each in lines_of(data) if b'"put":{"id":3,' in each[1])
    journal_of(path).write_bytes(
        data.replace(line, line.replace(b'"put":{"id":3', b'"put":{"id":3 ', 1)[:-1], 1)
    )
    for _ in range(2):
        read_all(path)[1].close()
        (note, *_) = [each for each in past_notes(path) if each.kept]
        assert (note.byte, note.jobs) == (start, (3,))
        assert "of job 3" in str(note)
        assert b'"put":{"id":3 ' in (path / note.kept).read_bytes()
        assert verify(path) == []

    path = copied(sealed)
    segment = sorted(path.glob("seg-*.jsonl"))[1]
    start = lines_of(segment.read_bytes())[2][0]
    data = bytearray(segment.read_bytes())
    data[start + 50] ^= 1
    segment.write_bytes(data)
    (found,) = verify(path)
    assert past_notes(path) == []
    repair(path)
    (note,) = past_notes(path)
    assert (note.file, note.byte, note.jobs) == (found.file, found.byte, found.jobs)
    assert (path / note.kept).read_bytes() == data
