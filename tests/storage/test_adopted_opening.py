"""An adopted database is opened wherever it is, and whatever has taken the place of its files since."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from jobtui.storage.local.adoption import Surveyor
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.layout import is_locked
from jobtui.storage.local.worker.database import Database
from jobtui.storage.local.worker.manifest_guard import manifest_path, read_identity
from jobtui.storage.local.worker.openers import AdoptedOpener
from jobtui.storage.local.worker.options import SharedOptions
from tests.support.adoptable import adoptable
from tests.support.disks import covered_read_only, fill_up
from tests.support.foreign_owners import entries


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return adoptable(tmp_path / "db")


class TestPath:
    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/fd")
    def test_path_too_long_for_the_name_of_its_log_is_opened(self, tmp_path, database):
        deep = tmp_path / ("a" * 200) / ("b" * 200) / "db"
        deep.parent.mkdir(parents=True)
        database.rename(deep)
        notes = tmp_path / "notes"
        opened = Database(AdoptedOpener(deep, notes, Surveyor(deep), SharedOptions()))
        for write in (False, True):
            with opened.use(write=write) as handle:
                assert handle.main[b"key001"] == b"value1"
                assert opened.log.parent == notes
        descriptors = Path("/proc/self/fd")
        assert all(os.path.realpath(each) != str(deep) for each in descriptors.glob("*"))


class TestReading:
    @pytest.mark.parametrize("made_by", ["another program", "rocksdict"])
    @pytest.mark.parametrize("state", ["read-only", "full"])
    def test_where_nothing_can_be_written(self, tmp_path, small_disk, state, made_by):
        disk, notes = small_disk("16m"), tmp_path / "notes"
        database = adoptable(disk / "db")
        (database / "LOCK").unlink()  # as in a checkpoint
        if made_by == "rocksdict":
            (database / "rocksdict-config.json").write_text('{"raw_mode":true}')
        stuff = disk / "stuff"
        stuff.touch()
        before = entries(disk, leave_out=[stuff])
        opened = Database(AdoptedOpener(database, notes, Surveyor(database), SharedOptions()))
        with ExitStack() as stack:
            if state == "full":
                fill_up(stuff)
            else:
                stack.enter_context(covered_read_only(disk))
            for _ in range(2):
                with opened.use(write=False) as handle:
                    assert handle.main[b"key001"] == b"value1"
                    assert sorted(handle.other_families) == ["edges"]
            with pytest.raises(WorkerError) as refused, opened.use(write=True):
                pass
            assert ("disk is full" if state == "full" else "read-only") in refused.value.reason.lower()
            with opened.use(write=False) as handle:
                assert handle.main[b"key099"] == b"value1"
        found = entries(disk, leave_out=[stuff])
        assert {name for name in found if found[name] != before.get(name)} <= {"db"}
        assert found.keys() == before.keys()
        assert not (notes / "reading").exists()


class TestPipesAndDevices:
    """Pipes and devices in place of files of an adopted database: neither waited for nor read endlessly."""

    def test_endless_identity_is_read_to_a_limit(self, database):
        (database / "IDENTITY").unlink()
        (database / "IDENTITY").symlink_to("/dev/zero")
        assert read_identity(database) == ""

    def test_pipe_as_current_is_refused(self, database):
        (database / "CURRENT").unlink()
        os.mkfifo(database / "CURRENT")
        with pytest.raises(OSError, match="pipe"):
            manifest_path(database)

    def test_pipe_as_lock_counts_as_unlocked(self, database):
        (database / "LOCK").unlink()
        os.mkfifo(database / "LOCK")
        assert not is_locked(database)
