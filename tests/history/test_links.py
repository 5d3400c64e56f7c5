"""Links, pipes and directories in place of the history's files: nothing outside of it changes."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History, StoreError
from jobtui.history.export import export
from jobtui.history.repair import repair
from jobtui.history.verify import past_notes, verify
from jobtui.history.write.store import Limits
from tests.support import made_jobs
from tests.support.damaged import OPEN, Made, archive_of, held

Copied = Callable[[Made], Path]
SEALING = Limits(journal=2000, leftover=0, blanks=512)


def numbered_after(path: Path, pattern: str) -> Path:
    """The name that the next file of this kind gets."""
    last = max(path.glob(pattern))
    start, number = last.name.split(".")[0].split("-")
    return last.with_name(last.name.replace(f"{start}-{number}", f"{start}-{int(number) + 1:08d}"))


FILES: dict[str, Callable[[Path], Path]] = {
    "LOCK": lambda path: path / "LOCK",
    "guard": lambda path: path.with_name(path.name + ".lock"),
    "manifest": lambda path: path / "MANIFEST.json",
    "manifest being written": lambda path: path / "MANIFEST.json.tmp",
    "journal": lambda path: max(path.glob("journal-*")),
    "next journal": lambda path: numbered_after(path, "journal-*.jsonl"),
    "segment": lambda path: min(path.glob("seg-*.jsonl")),
    "next segment": lambda path: numbered_after(path, "seg-*.jsonl"),
    "index": lambda path: min(path.glob("seg-*.idx.json")),
    "next index": lambda path: numbered_after(path, "seg-*.idx.json"),
    "archive's manifest": lambda path: archive_of(path) / "ARCHIVE.json",
    "archive's manifest being written": lambda path: archive_of(path) / "ARCHIVE.json.tmp",
    "archive's segment": lambda path: next(archive_of(path).glob("seg-*.jsonl")),
    "archive's index": lambda path: next(archive_of(path).glob("seg-*.idx.json")),
    "notes": lambda path: path / "quarantine" / "NOTES.jsonl",
    "notes being written": lambda path: path / "quarantine" / "NOTES.jsonl.tmp",
    "quarantined segment": lambda path: path / "quarantine" / min(path.glob("seg-*.jsonl")).name,
}
DIRECTORIES: dict[str, Callable[[Path], Path]] = {
    "archive": lambda path: path / "archive",
    "one archive": archive_of,
    "quarantine": lambda path: path / "quarantine",
}


def linked(location: Path, outside: Path) -> None:
    location.symlink_to(outside)


def linked_to_nothing(location: Path, outside: Path) -> None:
    location.symlink_to(outside.with_name("absent"))


def second_name(location: Path, outside: Path) -> None:
    location.hardlink_to(outside)


LINKS = [linked, linked_to_nothing, second_name]


def changed(history: History) -> None:
    rng = random.Random(5)
    for _ in range(8):
        history.commit(made_jobs.ended(history.new_id(), rng)).result()
    history.commit(made_jobs.moved_on(made_jobs.ended(2, random.Random(6)), rng)).result()


def opened(path: Path, limits: Limits = OPEN) -> None:
    history = History.open(path, limits=limits)
    with contextlib.suppress(StoreError):
        changed(history)
    history.close()


def sealed_again(path: Path) -> None:
    opened(path, SEALING)


def archived(path: Path) -> None:
    history = History.open(path, limits=OPEN)
    for first, last in ((1, 4), (5, 90)):
        with contextlib.suppress(StoreError):
            history.archive(first, last).result()
    history.close()


def damaged_and_opened(path: Path) -> None:
    for file in (*path.glob("seg-*.idx.json"), *path.glob("journal-*")):
        if not file.is_symlink() and file.stat().st_nlink == 1:
            file.write_bytes(file.read_bytes()[:-30] + b"x" * 20)
    opened(path)


def damaged_and_repaired(path: Path) -> None:
    for file in path.rglob("seg-*.jsonl"):
        inside = file.resolve().is_relative_to(path) and file.stat().st_nlink == 1
        if inside:
            file.write_bytes(file.read_bytes().replace(b'"status":"', b'"stat\0s":"', 1))
    repair(path)


def read(path: Path) -> None:
    past_notes(path)
    verify(path)
    export(path, io.StringIO())


OPERATIONS = [opened, sealed_again, archived, repair, damaged_and_opened, damaged_and_repaired, read]
UNDER_OWNER = [changed, lambda history: history.archive(1, 90).result()]
# All pairs, not all triples: every file meets every operation and every kind of link, and every operation every
# kind of link. How a link is refused is decided in Disk, which knows neither the file's kind nor the operation.
FILE_CASES = [
    pytest.param(file, LINKS[(row + column) % len(LINKS)], operation, id=f"{file}-{row}-{column}")
    for row, file in enumerate(FILES)
    for column, operation in enumerate(OPERATIONS)
]
OWNER_CASES = [
    pytest.param(file, link, UNDER_OWNER[(row + column) % len(UNDER_OWNER)], id=f"{file}-{row}-{column}")
    for row, file in enumerate(FILES)
    for column, link in enumerate(LINKS)
]


def state_of(outside: Path) -> dict[Path, tuple[object, ...]]:
    """All that a link could change: bytes, times, permissions, names."""
    found: dict[Path, tuple[object, ...]] = {}
    for path in (outside, *sorted(outside.rglob("*"))):
        stat = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        found[path] = (stat.st_mode, stat.st_uid, stat.st_ino, stat.st_mtime_ns, stat.st_size, content)
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    location = tmp_path / "outside"
    location.mkdir()
    return location


class TestLinkInPlaceOfFile:
    @pytest.mark.parametrize(("file", "link", "operation"), FILE_CASES)
    def test_nothing_changes_through_it(
        self,
        file: str,
        link: Callable[[Path, Path], None],
        operation: Callable[[Path], object],
        sealed: Made,
        copied: Copied,
        outside: Path,
    ) -> None:
        path = copied(sealed)
        (path / "quarantine").mkdir(exist_ok=True)
        location, target = FILES[file](path), outside / "target"
        if location.exists():
            shutil.move(location, target)  # the worst target: what it holds is what is expected there
        else:
            target.write_bytes(b"foreign\n")
        link(location, target)
        before = state_of(outside)
        for _ in range(2):
            with contextlib.suppress(StoreError):
                operation(path)
        assert state_of(outside) == before

    @pytest.mark.parametrize(("file", "link", "operation"), OWNER_CASES)
    def test_nothing_changes_through_it_under_a_living_owner(
        self,
        file: str,
        link: Callable[[Path, Path], None],
        operation: Callable[[History], object],
        sealed: Made,
        copied: Copied,
        outside: Path,
    ) -> None:
        path = copied(sealed)
        (path / "quarantine").mkdir(exist_ok=True)
        history = History.open(path, limits=SEALING)
        location, target = FILES[file](path), outside / "target"
        target.write_bytes(location.read_bytes() if location.exists() else b"foreign\n")
        location.unlink(missing_ok=True)
        link(location, target)
        before = state_of(outside)
        with contextlib.suppress(StoreError):
            operation(history)
        history.close()
        assert state_of(outside) == before


class TestLinkInPlaceOfDirectory:
    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("is_alive", [False, True])
    @pytest.mark.parametrize("name", DIRECTORIES)
    def test_nothing_changes_through_it(
        self,
        name: str,
        is_alive: bool,
        operation: Callable[[Path], object],
        sealed: Made,
        copied: Copied,
        outside: Path,
    ) -> None:
        path = copied(sealed)
        (path / "quarantine").mkdir(exist_ok=True)
        history = History.open(path, limits=SEALING) if is_alive else None
        location = DIRECTORIES[name](path)
        (location / "mine").write_text("mine")
        shutil.move(location, outside / "target")
        location.symlink_to(outside / "target")
        before = state_of(outside)
        with contextlib.suppress(StoreError):
            if history is None:
                operation(path)
            else:
                changed(history)
                history.archive(1, 90).result()
        if history is not None:
            history.close()
        assert state_of(outside) == before

    @pytest.mark.parametrize("name", ["archive", "quarantine", "one archive"])
    def test_link_is_quarantined_and_the_rest_is_complete(
        self, name: str, sealed: Made, copied: Copied, outside: Path
    ) -> None:
        path = copied(sealed)
        (path / "quarantine").mkdir(exist_ok=True)
        location = DIRECTORIES[name](path)
        shutil.move(location, outside / "target")
        location.symlink_to(outside / "target")
        before = state_of(outside)
        assert "a link is in its place" in {note.what for note in verify(path)}
        repair(path)
        assert verify(path) == []
        assert held(path)[0] == sealed.jobs
        links = [file for file in path.rglob("*") if file.is_symlink()]
        assert [file.readlink() for file in links] == [outside / "target"]
        assert state_of(outside) == before

    def test_is_refused_with_the_remedy(self, sealed: Made, copied: Copied, outside: Path) -> None:
        path = copied(sealed)
        shutil.move(path / "archive", outside / "target")
        (path / "archive").symlink_to(outside / "target")
        with pytest.raises(StoreError, match="archive: a link is in its place; jobtui history repair moves"):
            History.open(path)


class TestWhatIsInTheWay:
    @pytest.mark.parametrize("thing", ["link", "second name", "pipe", "directory"])
    def test_index_is_rebuilt_in_its_place(
        self, thing: str, sealed: Made, copied: Copied, outside: Path
    ) -> None:
        path = copied(sealed)
        location, target = FILES["index"](path), outside / "target"
        target.write_bytes(location.read_bytes()[:-20])
        location.unlink()
        if thing == "link":
            location.symlink_to(target)
        elif thing == "second name":
            location.hardlink_to(target)
        else:
            os.mkfifo(location) if thing == "pipe" else location.mkdir()
        repair(path)
        assert verify(path) == []
        assert held(path)[0] == sealed.jobs

    @pytest.mark.parametrize("kind", ["LOCK", "journal"])
    def test_copy_of_second_names_does_not_change_with_it(
        self, kind: str, sealed: Made, copied: Copied, outside: Path
    ) -> None:
        path = copied(sealed)
        damaged_and_opened(path)
        before = {}
        for file in path.rglob("*"):
            if file.is_file():
                copy = outside / file.name
                copy.unlink(missing_ok=True)
                copy.hardlink_to(file)
                before[copy] = file.read_bytes()
        damaged_and_opened(path)
        assert {copy: copy.read_bytes() for copy in before} == before
        assert FILES[kind](path).stat().st_nlink == 1
