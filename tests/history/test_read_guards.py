"""Guards of the reading side and of the file formats: each has a test that fails without it."""

from __future__ import annotations

import errno
import io
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History, StoreError, StoreLocked
from jobtui.history import verify as verifying
from jobtui.history.export import export
from jobtui.history.format.codec import SCHEMA, encode, encode_change, frame_line, split_lines
from jobtui.history.format.disk import Disk
from jobtui.history.format.index import Columns, RecordColumns, SegmentIndex, index_lines
from jobtui.history.format.journal import encode_batch
from jobtui.history.format.lock import Lock
from jobtui.history.format.manifest import SegmentEntry
from jobtui.history.format.quarantine import DamageNote, Quarantine, describe_damage
from jobtui.history.format.record_finder import RecordFinder, read_records
from jobtui.history.format.segment import Segment, index_name
from jobtui.history.repair import _Repair, repair
from jobtui.history.verify import verify
from jobtui.history.work_steps import run_steps
from jobtui.history.write import archiver
from jobtui.history.write.store import Limits, Store, make_directories
from jobtui.model import Job, Status
from tests.support import made_jobs
from tests.support.damaged import OPEN, Made, archive_of, journal_of, killed, lines_of, read_all, without_mark
from tests.support.interleavings import Meeting, Steps, meet_everywhere
from tests.support.made_jobs import replace

Copied = Callable[[Made], Path]
SEALING = Limits(journal=1 << 20, leftover=0, blanks=512)
"""Limits that seal every ended job when the history is closed."""


def ended(count: int, seed: int = 1) -> list[Job]:
    rng = random.Random(seed)
    return [made_jobs.ended(number, rng) for number in range(1, count + 1)]


def sealed_history(path: Path, count: int = 4) -> list[Job]:
    """Make a history with these jobs in one segment, and return them."""
    jobs = ended(count)
    history = History.open(path, limits=SEALING)
    history.commit(*jobs).result()
    history.close()
    assert len(list(path.glob("seg-*.jsonl"))) == 1
    return jobs


def changed_while_sealed(disk: Disk, path: Path) -> tuple[Store, list[Job]]:
    """Return a store whose first job changed while it was being sealed, and the jobs before."""
    store, jobs = Store.open(disk, path, OPEN), ended(4)
    store.write([jobs])
    request = store.rotate()
    store.write([[amended(jobs[0])]])
    run_steps(store.segments.seal(request))
    return store, jobs


def amended(job: Job) -> Job:
    return replace(job, reason="changed after it was sealed")


class TestLines:
    def test_damaged_newline_costs_no_record(self) -> None:
        one, two = frame_line(b'{"a":1}'), frame_line(b'{"b":2}')
        found = list(split_lines(one[:-1] + b"#" + two))
        assert [(line, whole) for _, line, whole in found] == [(one[:-1], True), (two[:-1], True)]

    def test_blanks_before_a_record_are_no_damage(self) -> None:
        line = frame_line(b'{"a":1}')
        assert list(split_lines(b"   " + line)) == [(3, line[:-1], True)]


class TestJournal:
    def test_batch_before_another_was_acknowledged(self, tmp_path: Path) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        jobs = ended(4)
        history.commit(*jobs[:3]).result()
        history.commit(jobs[3]).result()
        path = killed(history, tmp_path / "left")
        history.close()
        journal = journal_of(path)
        data = journal.read_bytes()
        start = next(start for start, line in lines_of(data) if b'"put":{"id":3,' in line)
        journal.write_bytes(data[: start + 60] + b"\0" + data[start + 61 :])
        without_mark(path)  # which would say that both were acknowledged
        found, again = read_all(path)
        again.close()
        assert found == {job.id: job for job in jobs if job.id != 3}

    def test_journal_of_a_failed_rotation_is_ignored(self, tmp_path: Path) -> None:
        jobs = ended(4)
        store = Store.open(Disk(), tmp_path / "history", OPEN)
        store.write([[jobs[0]]])
        before = shutil.copytree(tmp_path / "history", tmp_path / "left")
        store.rotate()
        store.close()
        rotated = max((tmp_path / "history").glob("journal-*.jsonl"))
        again = Store.open(Disk(), before, OPEN)
        again.write([[job] for job in jobs[1:]])
        left = shutil.copytree(before, tmp_path / "both")
        again.close()
        shutil.copy(rotated, left / f"journal-{int(journal_of(left).stem[-8:]) + 1:08}.jsonl")
        found, history = read_all(left)
        assert found == {job.id: job for job in jobs}
        assert history.notes == ()
        history.close()

    def test_change_of_a_job_whose_segment_is_lost(self, tmp_path: Path) -> None:
        store, jobs = changed_while_sealed(Disk(), tmp_path / "history")
        path = shutil.copytree(tmp_path / "history", tmp_path / "left")
        store.close()
        next(path.glob("seg-*.jsonl")).unlink()
        found, again = read_all(path)
        again.close()
        assert found[1].reason == amended(jobs[0]).reason
        assert (found[1].space, found[1].status) == (jobs[0].space, jobs[0].status)

    def test_change_of_a_job_that_is_archived_meanwhile(self, tmp_path: Path) -> None:
        class Racing(Disk):
            archive: Callable[[], object] | None = None

            def open(self, path: Path) -> int:
                if self.archive is not None and path.match("history/seg-*.jsonl"):
                    archive, self.archive = self.archive, None
                    archive()
                return super().open(path)

        disk, path = Racing(), tmp_path / "history"
        jobs = sealed_history(path)
        store = Store.open(Disk(), path, OPEN)
        reader = History.open(path, write=False, disk=disk)
        change = encode_change(jobs[0], amended(jobs[0]))  # as versions before this one wrote it
        assert change is not None
        store._journal.append(b"".join(encode_batch([change], store._seq)))
        store._seq += 1
        store._write_status()
        disk.archive = lambda: run_steps(archiver.archive(store.segments, 1, 4))
        reader.refresh()
        assert disk.archive is None
        assert reader.get(1) is None
        assert reader.is_archived(1)
        reader.close()
        store.close()

    def test_change_of_a_sealed_job_in_a_journal_that_restates_all(self, tmp_path: Path) -> None:
        """As versions before this one wrote it."""
        path = tmp_path / "history"
        jobs = sealed_history(path)
        store = Store.open(Disk(), path, SEALING)
        store.write([[replace(jobs[0], id=5)]])
        store.close()
        store = Store.open(Disk(), path, OPEN)
        change = encode_change(jobs[1], amended(jobs[1]))
        assert change is not None
        store._new_journal([], [change], base=True)
        left = shutil.copytree(path, tmp_path / "left")
        store.close()
        found, again = read_all(left)
        assert found[2] == amended(jobs[1])
        assert again.notes == ()
        again.close()

    def test_newer_version_is_the_base_if_the_sealed_one_is_lost(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        jobs = sealed_history(path)
        store = Store.open(Disk(), path, OPEN)
        store.write([[amended(jobs[1])]])
        last = replace(amended(jobs[1]), stop=made_jobs.at(1_000_000))
        change = encode_change(amended(jobs[1]), last)
        assert change is not None
        store._new_journal([], [change], base=True)
        left = shutil.copytree(path, tmp_path / "left")
        store.close()
        next(left.glob("seg-*.jsonl")).unlink()
        found, again = read_all(left)
        assert found[2] == last
        again.close()

    def test_without_room_ahead_is_no_failure_but_an_error_is(self, tmp_path: Path) -> None:
        class Failing(Disk):
            number = 0

            def write(self, file: int, data: bytes, offset: int) -> None:
                if self.number and not data.strip():
                    raise OSError(self.number, os.strerror(self.number))
                super().write(file, data, offset)

        disk = Failing()
        store = Store.open(disk, tmp_path / "history", OPEN)
        disk.number = errno.EIO
        with pytest.raises(OSError, match="Input/output"):
            store.rotate()
        disk.number = errno.ENOSPC
        store.rotate()
        store.close()

    def test_change_of_a_task_that_is_not_there_is_noted(self, tmp_path: Path) -> None:
        store, job = Store.open(Disk(), tmp_path / "history", OPEN), ended(1)[0]
        store.write([[job]])
        store._new_journal([job], [b'{"set":1,"task":[[9,{"reason":"more"}]]}'], base=True)
        left = shutil.copytree(tmp_path / "history", tmp_path / "left")
        store.close()
        found, again = read_all(left)
        assert found == {1: job}
        assert any("cannot be applied: what it changes is missing" in note.what for note in again.notes)
        again.close()


class TestIndex:
    def test_index_that_hides_a_job_is_not_used(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        history = History.open(path, write=False)
        segment = history._state.segments[0]
        hidden = segment.columns.ids[0]
        segment.hide(hidden)
        columns = segment.columns
        jobs = [sealed.jobs[job_id] for job_id in columns.ids]
        index = path / index_name(segment.name)
        index.unlink()
        lines = list(index_lines(columns, RecordColumns(jobs)))
        SegmentIndex(Disk(), index, segment.entry.bytes).write(len(jobs), lines)
        history.close()
        again = History.open(path, write=False)
        assert again.get(hidden) == sealed.jobs[hidden]
        again.close()


class TestColumns:
    def test_two_threads_read_the_index_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sealed_history(tmp_path)
        quarantine = Quarantine(Disk(), tmp_path, write=False)
        (file,) = tmp_path.glob("seg-*.jsonl")
        entry = SegmentEntry(file.stem, 4, 1, 4, file.stat().st_size, SCHEMA)

        def scenario(meeting: Meeting) -> Steps:
            segment, read, columns = Segment(Disk(), tmp_path, entry, quarantine), list[str](), list[Columns]()
            segment._mutex = meeting.lock()  # type: ignore[assignment]
            read_index = segment.indexed_columns

            def count() -> Columns | None:
                read.append("the index")
                return read_index()

            monkeypatch.setattr(segment, "indexed_columns", count)

            def look() -> None:
                columns.append(segment.columns)

            def check() -> None:
                assert read == ["the index"]
                assert columns[0] is columns[1]
                assert list(columns[0].ids) == [1, 2, 3, 4]

            return look, look, check

        meet_everywhere(scenario, Segment._load)


class TestOwner:
    def test_writer_in_the_profile_of_another_user_is_named(self, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root may give a directory to another user")
        history = History.open(tmp_path / "history", limits=OPEN)
        os.chown(tmp_path / "history", 65534, 65534)
        with pytest.raises(StoreLocked, match=str(os.getpid())):
            repair(tmp_path / "history")
        history.close()
        with pytest.raises(StoreError, match="cannot be written"):
            repair(tmp_path / "history")


class TestLock:
    @pytest.mark.parametrize("shared", [False, True])
    def test_lock_that_is_replaced_meanwhile_is_taken_again(self, tmp_path: Path, shared: bool) -> None:
        """As another process that repairs or recreates the history does."""

        class Replacing(Disk):
            replaced = 0

            def try_lock(self, file: int) -> bool:
                if not self.replaced:
                    self.replaced = path.stat().st_ino
                    path.unlink()
                    path.write_bytes(b"another")
                return super().try_lock(file)

        path, disk = tmp_path / "LOCK", Replacing()
        path.write_bytes(b"")
        if shared:
            (tmp_path / "copy").hardlink_to(path)
        lock = Lock.take(disk, tmp_path)
        assert path.stat().st_ino != disk.replaced
        assert path.read_bytes() == b"another"
        with pytest.raises(StoreLocked):
            Lock.take(Disk(), tmp_path)
        lock.release()


class TestDamage:
    def test_segment_is_missed_without_a_manifest(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        history = History.open(path, write=False)
        (path / "MANIFEST.json").unlink()
        segment = history._state.segments[0]
        assert segment.columns.ids[0] == 1
        segment.path.unlink()
        assert segment.salvage(0).id == 1  # from the index
        assert any("the segment is missing" in note.what for note in history.notes)
        history.close()

    def test_same_note_is_added_once(self, tmp_path: Path) -> None:
        quarantine = Quarantine(Disk(), tmp_path, write=False)
        for _ in range(2):
            quarantine.note("journal", "sealing was postponed")
        assert len(quarantine.notes) == 1

    def test_nothing_is_said_of_no_damage(self) -> None:
        assert describe_damage(()) == ""

    def test_job_that_had_not_ended_is_no_record_of_a_segment(self) -> None:
        done, queued = ended(1)[0], made_jobs.submitted(2, random.Random(1))
        assert queued.status is Status.QUEUE
        data = b"".join(frame_line(encode(job)) for job in (done, queued))
        assert [job.id for job, _ in read_records(data)] == [done.id]

    def test_newer_version_outlives_an_unreadable_segment(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        jobs = sealed_history(path)
        store = Store.open(Disk(), path, OPEN)
        store.write([[amended(jobs[0])]])
        assert store.state.superseded.keys() == {1}
        segment = next(path.glob("seg-*.jsonl"))
        segment.write_bytes(b"\0" * segment.stat().st_size)
        segment.with_name(segment.name.replace(".jsonl", ".idx.json")).unlink()
        assert _Repair(Disk(), path, store).run()
        store.close()
        assert verify(path) == []
        found, again = read_all(path)
        assert found == {1: amended(jobs[0])}
        assert sum(again.counts().values()) == 1
        again.close()


class TestArchive:
    def test_superseded_record_stays_hidden_without_the_manifest(self, tmp_path: Path) -> None:
        path = tmp_path / "history"
        jobs = sealed_history(path, 10)
        history = History.open(path, limits=SEALING)
        history.commit(amended(jobs[2])).result()
        history.close()
        history = History.open(path, limits=OPEN)
        history.archive(1, 10).result()
        history.restore(3, 3).result()
        history.close()
        next(path.glob("archive/*/ARCHIVE.json")).unlink()
        assert any("rebuilt from the segments" in line for line in repair(path))
        assert verify(path) == []
        found, again = read_all(path)
        assert found == {3: amended(jobs[2])}
        assert all(again.is_archived(job.id) for job in jobs if job.id != 3)
        again.close()

    def test_missing_one_is_named_and_no_longer_expected(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        shutil.rmtree(archive_of(path))
        assert any("it is missing with jobs 20 to 30" in line for line in repair(path))
        assert verify(path) == []


class TestRepairAndRead:
    def test_manifest_of_an_intact_archive_stays(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        contents = archive_of(path) / "ARCHIVE.json"
        before = contents.stat().st_ino
        segment = min(path.glob("seg-*.jsonl"))
        segment.write_bytes(segment.read_bytes().replace(b'"status":"', b'"stat\0s":"', 1))
        assert repair(path)
        assert contents.stat().st_ino == before

    def test_history_that_cannot_be_read_is_not_called_intact(
        self, sealed: Made, copied: Copied, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreadable(disk: Disk, path: Path) -> list[DamageNote]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(verifying, "_damage_in", unreadable)
        with pytest.raises(StoreError, match="Too many open files"):
            verifying.verify(copied(sealed))

    def test_writer_has_nothing_to_refresh(self, tmp_path: Path) -> None:
        history = History.open(tmp_path / "history", limits=OPEN)
        assert history.refresh() is False
        history.close()

    def test_unknown_format_is_refused(self, sealed: Made, copied: Copied) -> None:
        with pytest.raises(ValueError, match="xml"):
            export(copied(sealed), io.StringIO(), "xml")

    def test_reader_writes_nothing(self, sealed: Made) -> None:
        history = History.open(sealed.path, write=False)
        with pytest.raises(StoreError, match="open for reading only"):
            history.new_id()
        history.close()

    def test_link_in_a_files_place_is_named_with_the_remedy(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        (path / "MANIFEST.json").rename(path / "moved")
        (path / "MANIFEST.json").symlink_to(path / "moved")
        with pytest.raises(StoreError, match="jobtui history repair moves it to the quarantine"):
            History.open(path)

    def test_directory_that_is_a_link_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(NotADirectoryError, match="a link is in its place"):
            make_directories(Disk(), tmp_path / "link")

    def test_nothing_is_created_behind_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "target").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "target")
        with pytest.raises(NotADirectoryError, match="a link is in its place"):
            Disk().create(tmp_path / "link" / "file")
        assert not any((tmp_path / "target").iterdir())

    def test_file_in_the_place_of_the_quarantine_hides_no_record(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        found = RecordFinder(Disk(), path, ()).records()
        (path / "quarantine").write_bytes(b"")
        assert RecordFinder(Disk(), path, ()).records() == found != {}

    def test_file_in_the_place_of_the_archives_hides_no_record(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        shutil.rmtree(path / "archive")
        found = RecordFinder(Disk(), path, ()).records()
        (path / "archive").write_bytes(b"")
        assert RecordFinder(Disk(), path, ()).records() == found != {}

    def test_file_that_cannot_be_opened_now_is_not_called_damaged(
        self, sealed: Made, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(disk: Disk, path: Path) -> bytes:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        history = History.open(sealed.path, write=False)
        monkeypatch.setattr(Disk, "read_file", refused)
        with pytest.raises(OSError, match="Too many open files"):
            verifying.check_segment(Disk(), history._state.segments[0])
        history.close()

    def test_records_of_another_segment_are_named(self, sealed: Made, copied: Copied) -> None:
        path = copied(sealed)
        history = History.open(path, write=False)
        segment = history._state.segments[0]
        entry = segment.entry
        segment.entry = replace(entry, first=entry.first + 1000, last=entry.last + 1000)
        for index in path.glob("*.idx.json"):
            index.unlink()
        notes = [note.what for note in verifying.check_segment(Disk(), segment)]
        assert any("it has records of other segments" in what for what in notes)
        history.close()

    def test_verified_again_after_a_writer_moved_files(
        self, sealed: Made, copied: Copied, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, tries = copied(sealed), []

        def moved_at_first(disk: Disk, path: Path) -> list[DamageNote]:
            tries.append(path)
            if len(tries) > 1:
                return []
            disk.write_atomically(path / "MANIFEST.json", disk.read_file(path / "MANIFEST.json"))
            return [DamageNote("seg-1.jsonl", None, (), "it is missing")]

        monkeypatch.setattr(verifying, "_verify_once", moved_at_first)
        assert verifying.verify(path) == []
