"""One database of a worker: the lifetime of its handle, and the tail of its log.

Operations on a database run concurrently in threads, and each acquires the handle for as long as it needs it. A
handle is closed only while no thread uses it: after a stop or a failure (it is unusable then), before the
directory is deleted, and at the end. Iterators belong to a handle and must be freed before it; a cursor creates
a new iterator of the next handle, at the position of the last one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec
from rocksdict import Options, Rdict, RdictIter

from jobtui.formatting import printable_line
from jobtui.os_errors import explain_shortage
from jobtui.storage.local.errors import (
    DiskSpace,
    WorkerError,
    defect_error,
    missing_error,
    rocksdb_error,
    system_error,
)
from jobtui.storage.local.layout import free_bytes
from jobtui.storage.local.worker.options import WriteLimits

T = TypeVar("T")
# rocksdict raises plain exceptions for RocksDB's errors; these types come only from a defect in code
DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)

MAX_LOG_LINES: Final = 40
"""The lines of one task that are reported; the newest of more."""
_MAX_LOG_BYTES: Final = 256 << 10
_MAX_LOG_LINE_LENGTH: Final = 400
# the time, the thread, a level if it is not INFO, the position in RocksDB's source, and the text
_LOG_LINE: Final = re.compile(
    r"^(\d{4}/\d\d/\d\d-(\d\d:\d\d:\d\d)\.\d{6}) \w+ (?:\[(\w+)\] )?\[[\w/.]+\.(?:cc|h):\d+\] (.*)$",
    re.MULTILINE,
)
_DUMPED_OPTIONS: Final = "--- Options for column family"


class CompactionStyle(StrEnum):
    """The compaction style of a column family, in the words of the OPTIONS file."""

    LEVEL = "kCompactionStyleLevel"
    UNIVERSAL = "kCompactionStyleUniversal"
    FIFO = "kCompactionStyleFIFO"  # a compaction deletes the oldest files if they are over their limit
    NONE = "kCompactionStyleNone"


class ColumnFamily(msgspec.Struct, frozen=True):
    """A column family of an open database.

    Attributes:
        backwards: Whether its keys are in falling order.
        blob_share: The share of its blob files, the oldest ones, whose values a compaction copies.
    """

    name: str
    rdict: Rdict
    style: CompactionStyle = CompactionStyle.LEVEL
    backwards: bool = False
    blob_share: float = 0.0

    @property
    def copied_blobs(self) -> int:
        """The bytes of the values in blob files that a compaction copies, at most."""
        blobs = self.rdict.property_int_value("rocksdb.live-blob-file-size") if self.blob_share else 0
        return int(self.blob_share * (blobs or 0))


class DatabaseHandle(msgspec.Struct):
    """An open database, its column families, and the options that hold its counters.

    `limits`: the limits that it was opened with. `canceled`: a stop reached it, and every further call fails
    or has no effect.
    """

    main: Rdict
    families: tuple[ColumnFamily, ...]
    options: Options
    limits: WriteLimits
    read_only: bool = False
    canceled: bool = False

    @property
    def rdicts(self) -> tuple[Rdict, ...]:
        """The handle of each column family."""
        return tuple(family.rdict for family in self.families)

    @property
    def other_families(self) -> tuple[str, ...]:
        """The names of the column families other than the default one."""
        return tuple(family.name for family in self.families[1:])

    def cancel(self) -> None:
        """Stop all work of the handle. Never waits."""
        self.canceled = True
        self.main.cancel_all_background(False)


class Opener(Protocol):
    """The way in which a kind of database is opened and closed: jobtui's own, or an adopted one."""

    is_transient: bool  # closed as soon as no operation uses it
    path: Path

    @property
    def limits(self) -> WriteLimits:
        """The limits with which the database is usually opened."""
        ...

    @property
    def log(self) -> Path:
        """RocksDB's log, while the database is open."""
        ...

    def open(self, read_only: bool, limits: WriteLimits | None) -> DatabaseHandle:
        """Open the database, with its usual limits if `limits` is None.

        Raises WorkerError, OSError, and exceptions of rocksdict.
        """
        ...

    def after_close(self) -> None:
        """Record the database's final state; called after a successful close. Raises OSError."""
        ...

    def after_write(self) -> None:
        """Record the growth of the MANIFEST; called after a write, while the database is open."""
        ...


class DumpCursor(msgspec.Struct):
    """The position of a dump: the last key read, and the iterator while its handle is open."""

    after: bytes | None = None
    iterator: RdictIter | None = None


class _State(msgspec.Struct):
    handle: DatabaseHandle | None = None
    identity: tuple[int, int] | None = None
    users: int = 0
    closing: bool = False
    cursors: dict[int, DumpCursor] = {}


class Database:
    """One database, whose handle is opened when it is needed.

    Every method may be called from any thread.
    """

    def __init__(self, opener: Opener) -> None:
        self.path = opener.path
        self._opener = opener
        self._state = _State()
        self._condition = threading.Condition()

    @property
    def log(self) -> Path:
        """RocksDB's log, while the database is open."""
        return self._opener.log

    @property
    def limits(self) -> WriteLimits:
        """The limits with which the database is usually opened."""
        return self._opener.limits

    @contextmanager
    def use(self, *, write: bool, limits: WriteLimits | None = None) -> Iterator[DatabaseHandle]:
        """Acquire the handle for the block, opening the database if necessary. Raises WorkerError.

        `write` False is enough to read: an adopted database is then opened without its LOCK. `limits` are those
        that it must have been opened with, None if they do not matter.
        """
        handle = self._acquire(write, limits)
        try:
            yield handle
        finally:
            self._release(write)

    def peek(self, work: Callable[[DatabaseHandle], T], default: T) -> T:
        """Return the result of short work with the handle if the database is open, else the default.

        It opens, checks and closes nothing: the next work is to find what is wrong, and to report it.
        """
        state = self._state
        with self._condition:
            handle = state.handle
            if handle is None or handle.canceled or state.closing:
                return default
            state.users += 1
        try:
            return work(handle)
        except Exception:  # rocksdict raises nothing narrower
            return default
        finally:
            self._release(wrote=False)

    def run(self, work: Callable[[DatabaseHandle], T], *, write: bool, needed: int | None = None) -> T:
        """Run short work with the handle; repeat it with the next one if a stop made this one unusable.

        `needed` is the number of bytes that it writes. Raises WorkerError.
        """
        while True:
            with self.use(write=write) as handle:
                try:
                    return work(handle)
                except Exception as error:  # rocksdict raises nothing narrower
                    failure = error
            if not handle.canceled:
                if not isinstance(failure, WorkerError):
                    self.close_quietly()
                raise self.as_worker_error(failure, needed) from failure

    def cursor(self, number: int) -> DumpCursor:
        """Return the cursor of that number, a new one at the first key if there is none."""
        with self._condition:
            return self._state.cursors.setdefault(number, DumpCursor())

    def end_cursor(self, number: int) -> None:
        """Discard a cursor."""
        with self._condition:
            cursor = self._state.cursors.pop(number, None)
            if cursor is not None:
                cursor.iterator = None
            if self._is_unused():
                self._close_handle()

    def close(self) -> None:
        """Close the handle when no thread uses it; the next use opens it again.

        Raises WorkerError.
        """
        with self._condition:
            self._condition.wait_for(lambda: not self._state.closing)
            self._state.closing = True
            try:
                self._condition.wait_for(lambda: not self._state.users)
                self._close_handle()
            finally:
                self._state.closing = False
                self._condition.notify_all()

    def discard(self) -> None:
        """Close without flushing, because the database is about to be deleted. Raises WorkerError."""
        handle = self._state.handle
        if handle is not None:
            handle.cancel()
        self.close()

    def close_quietly(self) -> None:
        """Close an unusable or failed handle without an error; unflushed data is in its WAL."""
        try:
            self.close()
        except WorkerError:
            return  # only the failure before this one is reported

    def check_identity(self) -> None:
        """Raise WorkerError if the directory on disk is not the opened one any more."""
        try:
            (self.path / "CURRENT").stat()
            identity = directory_identity(self.path)
        except FileNotFoundError:
            what = "the database was deleted" if self._state.handle else "there is no database here"
            raise missing_error(str(self.path), what) from None
        except OSError as error:
            raise system_error(error, str(self.path)) from None
        if self._state.identity is not None and identity != self._state.identity:
            raise missing_error(str(self.path), "the database was deleted and another put in its place")

    def as_worker_error(self, error: Exception, needed: int | None = None) -> WorkerError:
        """Return an error of this database as a WorkerError, with the free space if the disk is full."""
        if isinstance(error, WorkerError):
            return error
        if isinstance(error, DEFECTS) or (not isinstance(error, OSError) and explain_shortage(error)):
            return defect_error(error, str(self.path))
        room = DiskSpace(needed, free_bytes(self.path))
        if isinstance(error, OSError):
            if isinstance(error, FileNotFoundError) and not (self.path / "CURRENT").exists():
                return missing_error(str(self.path), "the database was deleted")
            return system_error(error, str(self.path), room)
        return rocksdb_error(str(error), str(self.path), room)

    def _acquire(self, write: bool, limits: WriteLimits | None) -> DatabaseHandle:
        state = self._state
        with self._condition:
            self._condition.wait_for(
                lambda: not state.closing and not (state.users and self._is_unfit(write, limits))
            )
            if self._is_unfit(write, limits):
                self._close_handle()
            try:
                self.check_identity()
            except WorkerError:
                if not state.users:
                    self._close_handle_quietly()
                raise
            if state.handle is None:
                self._open(write, limits)
            assert state.handle is not None
            state.users += 1
            return state.handle

    def _is_unfit(self, write: bool, limits: WriteLimits | None) -> bool:
        handle = self._state.handle
        return handle is not None and (
            handle.canceled or (write and handle.read_only) or (limits is not None and handle.limits != limits)
        )

    def _release(self, wrote: bool) -> None:
        with self._condition:
            self._state.users -= 1
            if wrote:
                self._opener.after_write()
            if self._is_unused() and not self._state.closing:
                self._close_handle()
            self._condition.notify_all()

    def _is_unused(self) -> bool:
        return self._opener.is_transient and not self._state.users and not self._state.cursors

    def _open(self, write: bool, limits: WriteLimits | None) -> None:
        try:
            self._state.handle = self._opener.open(self._opener.is_transient and not write, limits)
            self._state.identity = directory_identity(self.path)
        except Exception as error:  # rocksdict raises nothing narrower
            raise self.as_worker_error(error) from error

    def _close_handle(self) -> None:
        handle, self._state.handle, self._state.identity = self._state.handle, None, None
        for cursor in self._state.cursors.values():
            cursor.iterator = None
        if handle is None:
            return
        try:
            self._close(handle)
        except Exception as error:  # rocksdict raises nothing narrower
            if not handle.canceled:
                raise self.as_worker_error(error) from error

    def _close(self, handle: DatabaseHandle) -> None:
        for rdict in handle.rdicts:
            if rdict is not handle.main:
                rdict.close()
        handle.main.close()
        self._opener.after_close()

    def _close_handle_quietly(self) -> None:
        try:
            self._close_handle()
        except WorkerError:
            return  # the database is gone, which is reported already


def directory_identity(path: Path) -> tuple[int, int]:
    """Return what identifies a directory, also if a link leads to it. Raises OSError."""
    status = path.stat()
    return status.st_dev, status.st_ino


class LogTail:
    """The lines that are added to the log of a database from now on; none if there is no log."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begin = _file_and_size(database.log)
        self._begin_time = datetime.now(UTC)

    def read(self) -> tuple[str, ...]:
        """Return the newest of the added lines, each with its time of day, without what RocksDB dumps."""
        path = self._database.log
        before, now = self._begin, _file_and_size(path)
        if now is None:
            return ()
        # RocksDB begins a new file when it opens a database
        start = before[1] if before is not None and before[0] == now[0] else 0
        try:
            with open(path, "rb") as log:
                log.seek(max(start, now[1] - _MAX_LOG_BYTES))
                text = log.read(_MAX_LOG_BYTES).decode("utf-8", "replace")
        except OSError:
            return ()
        begin, end = self._begin_time, datetime.now(UTC)
        lines = [
            printable_line(" ".join(filter(None, found.groups()[1:])), _MAX_LOG_LINE_LENGTH)
            for found in _LOG_LINE.finditer(text)
            # RocksDB buffers its log for some seconds: the last lines of an earlier job are written in this one
            if _time_of_line(found[1], end) >= begin and _DUMPED_OPTIONS not in found[4]
        ]
        return tuple(lines[-MAX_LOG_LINES:])


def _time_of_line(text: str, now: datetime) -> datetime:
    """Return the time of a log line, which RocksDB writes as local time without an offset.

    In the hour that occurs twice when clocks go back, it is the later of the two, unless that is still to come.
    """
    try:
        # without the fold, the lines of the second hour would be earlier than a task that began in the first
        local = datetime.fromisoformat(f"{text[:10].replace('/', '-')}T{text[11:]}")
        first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    except (ValueError, OverflowError):
        return now  # no date: the line is shown, since nothing shows that it is old
    return second if second <= now else first


def _file_and_size(path: Path) -> tuple[tuple[int, int], int] | None:
    """Return the device and inode of the file, and its size in bytes; None if it cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino), found.st_size
