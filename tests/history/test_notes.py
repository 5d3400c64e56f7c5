"""Notes about damage: written once per opening, bounded, and read despite other files."""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from jobtui.history import History
from jobtui.history.format.codec import frame_line
from jobtui.history.format.disk import Disk
from jobtui.history.format.quarantine import MAX_NOTES, NOTES_NAME, DamageNote, Quarantine
from jobtui.history.verify import past_notes
from jobtui.history.write.store import Limits
from tests.support import made_jobs


class _Counting(Disk):
    """A real disk that counts what is done to files, by operation and name."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.full = False

    def open(self, path: Path) -> int:
        self.done[f"read {path.name}"] += 1
        return super().open(path)

    def create(self, path: Path) -> int:
        self.done[f"write {path.name}"] += 1
        return super().create(path)

    def sync(self, file: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().sync(file)


@pytest.fixture
def disk() -> _Counting:
    return _Counting()


@pytest.fixture
def quarantine(tmp_path: Path, disk: _Counting) -> Quarantine:
    return Quarantine(disk, tmp_path, write=True)


def _place(path: Path) -> Path:
    return path / "quarantine" / NOTES_NAME


def test_all_that_an_opening_finds_is_written_down_at_once(tmp_path: Path, disk: _Counting) -> None:
    history = History.open(tmp_path / "made", limits=Limits(leftover=1 << 20))
    for seed in range(20):
        history.commit(made_jobs.ended(history.new_id(), random.Random(seed))).result()
    history.close()
    journal = next((tmp_path / "made").glob("journal-*"))
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2::2] = [line.replace(b'"status":"', b'"stat\0s":"') for line in lines[2::2]]
    journal.write_bytes(b"".join(lines))
    again = History.open(tmp_path / "made", disk=disk)
    assert len(again.notes) > 10
    assert set(past_notes(tmp_path / "made")) >= set(again.notes)
    again.close()
    assert (disk.done[f"write {NOTES_NAME}.tmp"], disk.done[f"read {NOTES_NAME}"]) == (1, 1)


def test_notes_are_appended_and_old_ones_read_once(
    tmp_path: Path, quarantine: Quarantine, disk: _Counting
) -> None:
    for byte in range(50):
        quarantine.add("a", byte, "damaged")
    assert [note.byte for note in past_notes(tmp_path)] == [*range(50)]
    assert (disk.done[f"write {NOTES_NAME}.tmp"], disk.done[f"read {NOTES_NAME}"]) == (1, 1)
    another = Quarantine(disk, tmp_path, write=True)
    another.add("a", 7, "damaged")
    another.add("a", 50, "damaged")
    assert [note.byte for note in past_notes(tmp_path)] == [*range(51)]


def test_only_the_newest_notes_are_remembered(tmp_path: Path, quarantine: Quarantine) -> None:
    count = 2 * MAX_NOTES + 30
    with quarantine.batch():
        for byte in range(MAX_NOTES - 10):
            quarantine.remember(_note(byte))
    for start in range(MAX_NOTES - 10, count, 100):
        with quarantine.batch():
            for byte in range(start, min(start + 100, count)):
                quarantine.remember(_note(byte))
    assert [note.byte for note in past_notes(tmp_path)] == [*range(count - MAX_NOTES, count)]
    assert len(_place(tmp_path).read_bytes().splitlines()) <= 2 * MAX_NOTES


def _note(byte: int) -> DamageNote:
    return DamageNote("a", byte, (), "damaged")


def test_torn_or_unknown_notes_do_not_hide_others(tmp_path: Path, quarantine: Quarantine) -> None:
    foreign = frame_line(b'{"noted":"otherwise"}')
    quarantine.add("a", 1, "damaged")
    with _place(tmp_path).open("ab") as file:
        file.write(foreign + b'{"crc":"torn')
    assert [note.byte for note in past_notes(tmp_path)] == [1]
    Quarantine(Disk(), tmp_path, write=True).add("a", 2, "damaged")
    assert [note.byte for note in past_notes(tmp_path)] == [1, 2]
    assert foreign in _place(tmp_path).read_bytes()
    Quarantine(Disk(), tmp_path, write=True).add("a", 3, "damaged")
    assert [note.byte for note in past_notes(tmp_path)] == [1, 2, 3]


def test_note_refused_by_a_full_disk_leaves_no_file(
    tmp_path: Path, quarantine: Quarantine, disk: _Counting
) -> None:
    disk.full = True
    quarantine.remember(_note(1))
    assert not list(tmp_path.glob("**/NOTES*"))
    disk.full = False
    quarantine.remember(_note(2))
    assert [note.byte for note in past_notes(tmp_path)] == [2]


@pytest.mark.parametrize(
    ("jobs", "text"),
    [
        ((), "f, byte 7: x"),
        ((3,), "f, byte 7: x, of job 3"),
        ((3, 5), "f, byte 7: x, of jobs 3, 5"),
        ((3, *range(5, 40)), "f, byte 7: x, of jobs 3, 5–39"),
        (
            tuple(range(1, 50, 2)),
            f"f, byte 7: x, of jobs {', '.join(map(str, range(1, 40, 2)))}, … (25 in all)",
        ),
    ],
)
def test_text_of_a_note_names_its_jobs(jobs: tuple[int, ...], text: str) -> None:
    assert str(DamageNote("f", 7, jobs, "x")) == text
