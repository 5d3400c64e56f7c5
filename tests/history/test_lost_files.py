"""Journals and LOCK that were deleted, emptied or cut off: what is lost is named, and no id is used again."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from pathlib import Path

import msgspec
import pytest

from jobtui.history import History, Query
from jobtui.history.format import manifest
from jobtui.history.format.disk import Disk
from jobtui.history.format.journal import UNFINISHED_CHANGE
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from jobtui.history.write.store import Limits
from tests.support import made_jobs
from tests.support.damaged import OPEN, Made, held, journal_of, lines_of

Copied = Callable[[Made], Path]


def deleted(file: Path) -> None:
    file.unlink()


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def blanked(file: Path) -> None:
    file.write_bytes(b" " * 999 + b"\n")


def left(file: Path) -> None:
    pass


@pytest.fixture
def grown(sealed: Made, copied: Copied) -> Made:
    """Sealed segments, an archive, and 30 jobs that only the journal has."""
    path, rng = copied(sealed), random.Random(7)
    history = History.open(path, limits=OPEN)
    more = [made_jobs.ended(history.new_id(), rng) for _ in range(30)]
    for job in more:
        history.commit(job).result()
    history.close()
    return Made(path, sealed.jobs | {job.id: job for job in more})


def test_zeros_after_the_blanks_are_no_lost_changes(journal_only: Made, copied: Copied) -> None:
    """As a loss of power leaves them while blanks are added; the mark in LOCK is lost with them."""
    path = copied(journal_only)
    emptied(path / "LOCK")
    with journal_of(path).open("ab") as journal:
        journal.write(bytes(500))
    history = History.open(path)
    try:
        assert {note.what for note in history.notes} <= {UNFINISHED_CHANGE}
    finally:
        history.close()
    assert held(path)[0] == journal_only.jobs


class TestJournalThatTheManifestNames:
    @pytest.mark.parametrize(
        ("journal", "lock"), [*product([deleted, emptied, blanked], [left, deleted, emptied])]
    )
    def test_missing_or_empty_is_reported_and_ids_continue(
        self, journal: Callable[[Path], None], lock: Callable[[Path], None], grown: Made
    ) -> None:
        path = grown.path
        journal(journal_of(path))
        lock(path / "LOCK")
        assert any(note.file.startswith("journal-") for note in verify(path))
        history = History.open(path, limits=OPEN)
        assert any(note.file.startswith("journal-") for note in history.notes)
        assert history.new_id() > max(grown.jobs)
        history.close()
        found, _ = held(path)
        assert found.items() <= grown.jobs.items()
        assert verify(path) == []

    @pytest.mark.parametrize("damage", [deleted, emptied])
    def test_ids_continue_if_the_manifest_is_lost_too(
        self, damage: Callable[[Path], None], grown: Made
    ) -> None:
        path = grown.path
        for file in (journal_of(path), path / "LOCK"):
            file.unlink()
        damage(path / "MANIFEST.json")
        assert verify(path)
        history = History.open(path, limits=OPEN)
        assert history.new_id() > max(grown.jobs)
        history.close()

    @pytest.mark.parametrize("kept", range(0, 31, 6))
    def test_cut_off_between_two_changes_is_reported(self, kept: int, grown: Made) -> None:
        path = grown.path
        data = journal_of(path).read_bytes()
        cut = lines_of(data)[kept + 1][0] if kept < 30 else len(data)
        journal_of(path).write_bytes(data[:cut])
        (path / "LOCK").unlink()
        assert bool(verify(path)) == (kept < 30)
        history = History.open(path, limits=OPEN)
        assert bool(history.notes) == (kept < 30)
        assert history.new_id() > max(grown.jobs)
        history.close()

    def test_new_history_has_nothing_to_report(self, tmp_path: Path) -> None:
        for _ in range(2):
            history = History.open(tmp_path / "history")
            assert history.notes == ()
            history.close()
        assert verify(tmp_path / "history") == []

    def test_complete_one_of_an_older_version_is_complete(self, grown: Made) -> None:
        journal = journal_of(grown.path)
        journal.write_bytes(journal.read_bytes().rstrip(b" \n") + b"\n")
        assert verify(grown.path) == []


class TestIds:
    """They continue above the highest that any file has."""

    @pytest.mark.parametrize("where", ["index", "archive", "quarantine", "segment", "journal"])
    def test_highest_of_any_file_counts(self, where: str, tmp_path: Path) -> None:
        path, rng = tmp_path / "history", random.Random(1)
        history = History.open(path, limits=Limits(leftover=0, blanks=512))
        jobs = [made_jobs.ended(job_id, rng) for job_id in (*range(1, 5), 500_000)]
        history.commit(*jobs).result()
        if where == "archive":
            history.archive(500_000, 500_000).result()
        if where != "journal":
            history.close()
        if where == "index":
            next(path.glob("seg-*.jsonl")).unlink()
        if where == "quarantine":
            (path / "quarantine").mkdir()
            next(path.glob("seg-*.jsonl")).rename(path / "quarantine" / "seg-00000001.jsonl")
            next(path.glob("seg-*.idx.json")).unlink()
        for name in ("LOCK", "MANIFEST.json"):
            (path / name).unlink()
        if where != "journal":
            journal_of(path).unlink()
        else:
            history.close()
            (path / "LOCK").unlink(missing_ok=True)
        repair(path)
        history = History.open(path)
        assert history.new_id() > 500_000
        assert len(history.query(Query())) <= 5
        history.close()

    def test_next_id_of_a_journals_first_line_counts(self, tmp_path: Path) -> None:
        history = History.open(tmp_path, limits=OPEN)
        history.commit(made_jobs.ended(history.new_id(), random.Random(1))).result()
        for _ in range(9):
            history.new_id()
        history.archive(1, 1).result()  # continues in a new journal
        history.close()
        (tmp_path / "LOCK").unlink()
        made = manifest.load_manifest(Disk(), tmp_path)
        assert made is not None
        manifest.write_manifest(Disk(), tmp_path, msgspec.structs.replace(made, next_id=1))
        history = History.open(tmp_path)
        assert history.new_id() == 11
        history.close()


class TestNewDirectories:
    def test_their_names_are_synced(self, tmp_path: Path) -> None:
        class Recording(Disk):
            synced: list[Path] = []  # noqa: RUF012

            def sync_directory(self, path: Path) -> None:
                super().sync_directory(path)
                self.synced.append(path)

        path = tmp_path / "profiles" / "nba" / "history"
        disk = Recording()
        History.open(path, disk=disk).close()
        assert {tmp_path, path.parent.parent, path.parent, path} <= {*disk.synced}
