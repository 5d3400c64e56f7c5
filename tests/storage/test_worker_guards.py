"""Guards of the worker that rarely act: each test fails without the guard."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobtui.errors import ErrorCode
from jobtui.model import DiskReserve
from jobtui.storage.base import CompactionRequest, OperationProgress
from jobtui.storage.local import protocol as p
from jobtui.storage.local.adoption import Surveyor
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.worker import compaction, openers
from jobtui.storage.local.worker import server as serve
from jobtui.storage.local.worker.compaction import Compaction
from jobtui.storage.local.worker.database import Database, DumpCursor, LogTail
from jobtui.storage.local.worker.openers import AdoptedOpener, OwnOpener
from jobtui.storage.local.worker.operations import Cancellation, Ending, Flush, OperationRequests
from jobtui.storage.local.worker.options import SharedOptions, WriteLimits
from jobtui.storage.local.worker.pairs import _STALLED, _read, _write, read_pairs, write_pairs
from jobtui.storage.local.worker.progress import ProgressEstimator
from jobtui.storage.local.worker.server import WorkerServer
from jobtui.storage.local.worker.stats import read_stats
from tests.support.adoptable import adoptable, content

MIB = 1 << 20


@pytest.fixture
def opener(tmp_path: Path) -> OwnOpener:
    """The opener of a new database of jobtui's own."""
    opener = OwnOpener(tmp_path / "db", SharedOptions())
    opener.create()
    return opener


@pytest.fixture
def owned(tmp_path: Path) -> AdoptedOpener:
    """The opener of an adopted database."""
    database = adoptable(tmp_path / "owned")
    return AdoptedOpener(database, tmp_path / "notes", Surveyor(database), SharedOptions())


def fail(number: int) -> Any:
    def call(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


class TestDatabase:
    def test_state_changes_under_the_lock_alone(self, opener):
        database = Database(opener)
        state = database._state

        class Watched:
            def __init__(self) -> None:
                for name in state.__struct_fields__:
                    self.__dict__[name] = getattr(state, name)

            def __setattr__(self, name: str, value: object) -> None:
                assert database._condition._is_owned(), f"{name} is set without the lock"
                self.__dict__[name] = value

        database._state = Watched()
        opener.is_transient = True  # so that each end of its use closes it
        write_pairs(database, [(b"key", b"value")], True)
        assert read_pairs(database, 1).pairs == ((b"key", b"value"),)
        database.cursor(2)
        with database.use(write=True):
            assert database.peek(lambda _: "open", "closed") == "open"
        database.end_cursor(2)
        assert database.peek(lambda _: "open", "closed") == "closed"
        database.close()

    def test_deleted_database_is_named_before_the_missing_file(self, opener):
        database = Database(opener)
        error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        assert database.as_worker_error(error).reason == f"{opener.path}: it is not there ({error.strerror})"
        (opener.path / "CURRENT").unlink()
        assert database.as_worker_error(error).reason == f"{opener.path}: the database was deleted"

    def test_file_in_place_of_a_directory_is_a_system_error(self, tmp_path, opener):
        database = Database(opener)
        opener.path.rename(tmp_path / "elsewhere")
        opener.path.write_text("")
        with pytest.raises(WorkerError, match=r"it is not there \(Not a directory\)"):
            database.check_identity()

    def test_database_that_is_not_open_is_discarded(self, opener):
        Database(opener).discard()

    def test_handle_in_use_outlives_the_deleted_directory(self, tmp_path, opener):
        database = Database(opener)
        with database.use(write=True) as handle:
            opener.path.rename(tmp_path / "elsewhere")
            with pytest.raises(WorkerError, match="the database was deleted"), database.use(write=True):
                pass
            assert handle.main.get(b"key") is None
        database.close_quietly()

    def test_file_that_the_owner_deletes_is_looked_for_again(self, owned, monkeypatch):
        opened, handle = [], object()

        def survey_and_open(limits):
            opened.append(limits)
            if len(opened) == 1:
                raise RuntimeError("IO error: No such file or directory: 000009.sst")
            return handle

        monkeypatch.setattr(owned, "_survey_and_open", survey_and_open)
        assert owned._open_for_reading() is handle
        assert opened == [None, None]

    def test_stop_of_another_operation_is_no_failure(self, opener):
        class Flushing(Flush):
            attempts = 0

            def _work(self, handle):
                self.attempts += 1
                if self.attempts == 1:
                    handle.cancel()
                    raise RuntimeError("Shutdown in progress")
                return super()._work(handle)

        database = Database(opener)
        operation = Flushing(database, Cancellation(), lambda progress: None)
        assert not operation.run().stopped
        assert operation.attempts == 2
        database.close()

    def test_dump_continues_after_a_last_key_that_was_deleted(self, opener):
        database = Database(opener)
        write_pairs(database, ((b"a", b"1"), (b"b", b"2"), (b"c", b"3")), sync=False)
        for after, rest in ((b"a", [b"b", b"c"]), (b"b0", [b"c"])):
            with database.use(write=False) as handle:
                pairs, last, _ = _read(handle, DumpCursor(after=after))
            assert ([key for key, _ in pairs], last) == (rest, True)
        database.close()

    def test_stalled_write_is_tried_again(self, monkeypatch):
        class Stalled:
            canceled = False
            writes = 0

            @property
            def main(self):
                return self

            def write(self, batch, options):
                self.writes += 1
                if self.writes == 1:
                    raise RuntimeError(f"{_STALLED}: Write stall")

        opened = Stalled()
        _write(opened, ((b"a", b"1"),))
        assert opened.writes == 2

    def test_nothing_expected_has_no_fraction(self):
        reports = []
        progress = ProgressEstimator(lambda: 100, 0, reports.append)
        progress.update()
        assert [report.fraction for report in reports] == [0.0]


class TestOptions:
    def test_options_of_the_same_limits_are_shared(self):
        shared = SharedOptions()
        assert shared.own_with(shared.limits) is shared.own
        slow = WriteLimits(1 << 20, None)
        assert shared.own_with(slow) is shared.own_with(slow) is not shared.own


class TestCreation:
    def test_existing_directory_is_not_made_a_database(self, tmp_path):
        (tmp_path / "db").mkdir()
        with pytest.raises(WorkerError, match="File exists"):
            OwnOpener(tmp_path / "db", SharedOptions()).create()
        assert list((tmp_path / "db").iterdir()) == []

    def test_failure_of_rocksdb_is_reported(self, tmp_path):
        class Failing(OwnOpener):
            def _open(self, *_: object) -> Any:
                raise Exception("IO error: No space left on device: While appending to file")

        with pytest.raises(WorkerError) as caught:
            Failing(tmp_path / "db", SharedOptions()).create()
        assert caught.value.code is ErrorCode.DISK_FULL

    def test_directory_that_is_not_durable_is_reported(self, tmp_path, monkeypatch):
        monkeypatch.setattr(openers, "sync_directory", fail(errno.EIO))
        with pytest.raises(WorkerError, match="Input/output error"):
            OwnOpener(tmp_path / "db", SharedOptions()).create()


class TestLock:
    def test_lock_that_cannot_be_taken_leaves_the_database_closed(self, owned, monkeypatch):
        before = content(owned.path)
        monkeypatch.setattr(openers.fcntl, "lockf", fail(errno.ENOLCK))
        with pytest.raises(WorkerError, match="No locks available"), Database(owned).use(write=True):
            pass
        assert content(owned.path) == before

    def test_lock_that_a_failed_close_left_is_kept(self, owned):
        """Closing any descriptor of the file would release it."""
        owned._take_lock()
        held = owned._lock
        owned._take_lock()
        assert owned._lock == held
        code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = [sys.executable, "-I", "-S", "-c", code, owned.path / "LOCK"]
        assert b"BlockingIOError" in subprocess.run(other, capture_output=True).stderr
        owned._close_descriptors()
        with open(owned.path / "LOCK", "r+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


class TestRoom:
    """A compaction that needs a MiB for its next step."""

    def compaction(self, opener: OwnOpener, requests: OperationRequests, output: list[str]) -> Compaction:
        def report(progress: OperationProgress) -> None:
            output.append(progress.waiting)

        order = p.CompactDatabase("db", CompactionRequest(), DiskReserve(bytes=8 * MIB))
        made = Compaction(Database(opener), order, requests, report)
        made._needed = MIB
        return made

    def test_disk_of_unknown_size_delays_nothing(self, opener, monkeypatch):
        monkeypatch.setattr(compaction, "disk_space", lambda _: None)
        assert self.compaction(opener, OperationRequests(), [])._wait_for_room(False) is None

    @pytest.mark.parametrize(
        ("free", "output"),
        [
            (8.5, "8.5 MiB free, reserve 8 MiB and 1 MiB for the next step"),
            (7.5, "7.5 MiB free, reserve 8 MiB"),
        ],
    )
    def test_waiting_names_what_is_lacking(self, opener, monkeypatch, free, output):
        requests, reports = OperationRequests(), list[str]()
        requests.cancellation.request()
        monkeypatch.setattr(compaction, "disk_space", lambda _: (100 * MIB, int(free * MIB)))
        assert self.compaction(opener, requests, reports)._wait_for_room(False) is Ending.STOPPED
        assert reports == [output]

    def test_full_disk_is_the_reason_if_the_log_names_none(self, opener):
        made = self.compaction(opener, OperationRequests(), [])
        with made._database.use(write=True) as handle:
            end = made._database.log.stat().st_size
            with pytest.raises(RuntimeError, match="ended with 1 files not merged"):
                made._raise_failure(handle, end, [7])
            made._needed = 1 << 60
            with pytest.raises(WorkerError) as caught:
                made._raise_failure(handle, end, [7])
        assert caught.value.code is ErrorCode.DISK_FULL
        made._database.close()


class TestServer:
    def test_databases_are_made_and_replies_written_under_a_lock(self, tmp_path, opener, monkeypatch):
        made, written = list[bool](), list[bool]()

        def make(_place: str, _create: bool) -> OwnOpener:
            made.append(server._lock.locked())
            return opener

        def write(descriptor: int, data: bytes) -> int:
            written.append(server._sending.locked())
            return real_write(descriptor, data)

        real_write = os.write
        monkeypatch.setattr(serve.os, "write", write)
        with open(tmp_path / "replies", "wb") as replies:
            server = WorkerServer(make, replies.fileno(), lambda: None)
            commands = (p.ReadStats("db"), p.QuitWorker())
            requests = b"".join(
                msgspec.json.encode(p.WorkerRequest(number, command)) + b"\n"
                for number, command in enumerate(commands, 1)
            )
            server.run(io.BytesIO(requests))
            server._threads.shutdown()
        assert made == [True]
        assert written == [True] * 3

    def test_orphaned_worker_serves_nothing(self, tmp_path):
        command = [sys.executable, "-P", "-m", "jobtui.storage.local.worker", "0", "own", tmp_path]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_deleted_log_has_no_lines(opener):
    database = Database(opener)
    with database.use(write=True):
        tail = LogTail(database)
        opener.log.unlink()
        assert tail.read() == ()
    database.close()


def test_stats_of_a_deleted_database_are_an_error(opener):
    database = Database(opener)
    database.run(read_stats, write=False)
    (opener.path / "CURRENT").unlink()
    with pytest.raises(WorkerError, match="the database was deleted") as caught:
        database.run(read_stats, write=False)
    assert caught.value.code is ErrorCode.MISSING
    assert database._state.handle is None, "its files would stay open"
