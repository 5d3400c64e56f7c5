"""Intact files and lines in wrong positions: moved, duplicated or exchanged."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import msgspec
import pytest

from jobtui.history import History, Query, Sort, StoreError
from jobtui.history.export import export
from jobtui.history.format import manifest
from jobtui.history.format.archive import load_archive_manifest, replace_archive_manifest
from jobtui.history.format.codec import SCHEMA
from jobtui.history.format.disk import Disk
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from tests.support.damaged import OPEN, Made, archive_of, held, journal_of, lines_of, read_all

Copied = Callable[[Made], Path]


def segments_of(path: Path) -> list[Path]:
    return sorted(path.glob("seg-*.jsonl"))


def reordered(file: Path, order: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = [line for _, line in lines_of(file.read_bytes())]
    file.write_bytes(b"".join(line + b"\n" for line in order(lines)))


def half_gone(path: Path) -> None:
    file = segments_of(path)[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def other_line_ends(path: Path) -> None:
    file = segments_of(path)[0]
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))


def anothers_records(path: Path) -> None:
    one, other, *_ = segments_of(path)
    shutil.copy(other, one)


def anothers_records_and_index(path: Path) -> None:
    one, other, *_ = segments_of(path)
    shutil.copy(other, one)
    shutil.copy(other.with_suffix(".idx.json"), one.with_suffix(".idx.json"))


def swapped(path: Path) -> None:
    reordered(segments_of(path)[0], lambda lines: [lines[1], lines[0], *lines[2:]])


def doubled(path: Path) -> None:
    reordered(segments_of(path)[0], lambda lines: [*lines, lines[0]])


def gone_with_its_core(path: Path) -> None:
    half_gone(path)
    index = segments_of(path)[0].with_suffix(".idx.json")
    index.write_bytes(index.read_bytes()[:100])


def a_directory_instead(path: Path) -> None:
    file = segments_of(path)[0]
    file.unlink()
    (file / "inside").mkdir(parents=True)


DAMAGES = [
    a_directory_instead,
    half_gone,
    other_line_ends,
    anothers_records,
    anothers_records_and_index,
    swapped,
    doubled,
    gone_with_its_core,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_segment_answers_queries_with_the_rest(
    damage: Callable[[Path], None], sealed: Made, copied: Copied
) -> None:
    path = copied(sealed)
    damage(path)
    for write in (False, True):
        history = History.open(path, write=write, limits=OPEN)
        for sort, words in product(Sort, ((), ("a",))):
            view = history.query(
                Query(sort=sort, words=words, hosts=frozenset({"local0"}) if words else frozenset())
            )
            assert {job.id for job in view.page(0, len(view))} <= set(sealed.jobs)
        history.close()
    export(path, io.StringIO(), "csv")


@pytest.mark.parametrize("damage", DAMAGES)
def test_misplaced_records_are_found_and_repaired_once(
    damage: Callable[[Path], None], sealed: Made, copied: Copied
) -> None:
    path = copied(sealed)
    damage(path)
    assert verify(path)
    repair(path)
    assert verify(path) == []
    jobs, history = read_all(path)
    assert sum(history.counts().values()) == len(history.query(Query())) == len(jobs)
    assert jobs.keys() <= sealed.jobs.keys()
    history.close()


def test_swap_of_records_costs_nothing(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    swapped(path)
    repair(path)
    jobs, history = read_all(path)
    assert jobs == sealed.jobs
    history.close()


def test_all_jobs_of_a_missing_range_are_named(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    file = segments_of(path)[0]
    lines = lines_of(file.read_bytes())
    data = bytearray(file.read_bytes())
    data[: lines[3][0]] = bytes(lines[3][0])
    file.write_bytes(data)
    lost = sorted(sealed.jobs)[:3]
    assert [list(note.jobs) for note in verify(path) if note.byte == 0] == [lost]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"x"])
def test_next_writer_leaves_a_damaged_journal_behind(mark: bytes, sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    journal_of(path).write_bytes(mark + journal_of(path).read_bytes())
    assert verify(path)
    History.open(path, limits=OPEN).close()
    assert verify(path) == []


def test_reordered_lines_of_a_commit_are_equivalent(journal_only: Made, copied: Copied) -> None:
    path = copied(journal_only)
    reordered(journal_of(path), lambda lines: [*lines[:-3], lines[-2], lines[-3], lines[-1]])
    jobs, history = read_all(path)
    assert jobs == journal_only.jobs
    assert history.notes == ()
    history.close()


def test_duplicate_change_is_applied_once_and_noted(journal_only: Made, copied: Copied) -> None:
    path = copied(journal_only)
    reordered(journal_of(path), lambda lines: [*lines[:5], lines[3], *lines[5:]])
    jobs, history = read_all(path)
    assert jobs == journal_only.jobs
    assert ["more than once" in note.what for note in history.notes] == [True]
    assert history.new_id() == max(jobs) + 1
    history.close()


def test_obstacle_is_named(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    (path / "MANIFEST.json").unlink()
    (path / "MANIFEST.json").mkdir()
    with pytest.raises(StoreError, match=r"MANIFEST\.json"):
        History.open(path)


class TestNamedTwice:
    """As if a manifest had been put together by hand: it names a copy of a file, too."""

    def _name(self, path: Path, **added: object) -> None:
        found = manifest.load_manifest(Disk(), path)
        assert found is not None
        entries = {name: (*getattr(found, name), entry) for name, entry in added.items()}
        manifest.write_manifest(Disk(), path, msgspec.structs.replace(found, **entries))

    def test_segment(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        found = manifest.load_manifest(Disk(), path)
        assert found is not None
        first, name = found.segments[0], f"seg-{found.next_segment + 5:08d}"
        for file in path.glob(f"{first.name}.*"):
            shutil.copy(file, path / file.name.replace(first.name, name))
        self._name(path, segments=msgspec.structs.replace(first, name=name))
        assert f"{name}.jsonl" in {note.file for note in verify(path) if "also elsewhere" in note.what}
        assert any("are also elsewhere, and are ignored here" in line for line in repair(path))
        assert verify(path) == []
        assert held(path) == (sealed.jobs, [*range(20, 31)])

    def test_archive(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        archive = archive_of(path)
        found = manifest.load_manifest(Disk(), path)
        assert found is not None
        name = f"{archive.name}9"
        shutil.copytree(archive, path / "archive" / name)
        self._name(path, archives=msgspec.structs.replace(found.archives[0], name=name))
        files = {note.file.split("/")[1] for note in verify(path) if "also elsewhere" in note.what}
        assert files == {name}
        assert any("are also elsewhere, and are ignored here" in line for line in repair(path))
        assert verify(path) == []
        assert held(path) == (sealed.jobs, [*range(20, 31)])


def test_archives_whose_segments_have_one_name(sealed: Made, copied: Copied) -> None:
    """As in archives that were copied from elsewhere: every order still has each job in its place."""

    def listed() -> list[list[int]]:
        history = History.open(path, write=False)
        views = [history.query(Query(archived=True, sort=sort)) for sort in Sort]
        found = [list(view.ids(0, 99)) for view in views]
        history.close()
        return found

    path = copied(sealed)
    history = History.open(path, limits=OPEN)
    history.archive(1, 10).result()
    history.close()
    before = listed()
    first, second = archive_of(path), next(path.glob("archive/jobs-1-10-*"))
    name = min(segments_of(first)).stem
    (entry,) = load_archive_manifest(Disk(), path, second.name)
    for file in second.glob(f"{entry.name}.*"):
        file.rename(second / file.name.replace(entry.name, name))
    replace_archive_manifest(Disk(), second, SCHEMA, [msgspec.structs.replace(entry, name=name)])
    assert listed() == before
    assert verify(path) == []


def test_record_replaced_by_blanks_is_missed(sealed: Made, copied: Copied) -> None:
    path = copied(sealed)
    file = min(path.glob("seg-*.jsonl"))
    data = file.read_bytes()
    start, line = lines_of(data)[1]
    count = len(lines_of(data))
    file.write_bytes(data[:start] + b" " * len(line) + data[start + len(line) :])
    assert [note.what for note in verify(path)] == [f"it has {count - 1} records instead of {count}"]
    repair(path)
    assert verify(path) == []
    assert held(path)[0].keys() == sealed.jobs.keys()
