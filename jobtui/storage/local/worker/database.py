"""One database of a worker, and how long its handle lives.

Operations on a database run side by side in threads; each borrows the handle for as long as it needs it.
A handle is closed only when nobody has it borrowed: after a stop or a failure (it is dead then), before the
directory is deleted, and at the end. Iterators belong to a handle, must die before it, and are made again
from the next one where their cursor stood.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from rocksdict import Options, Rdict, RdictIter

from jobtui.storage.local.errors import DiskSpace, WorkerError, missing_error, rocksdb_error, system_error
from jobtui.storage.local.worker.disk import free_bytes

T = TypeVar("T")


@dataclass(slots=True)
class DatabaseHandle:
    """A handle: the database, each of its column families, and the options that hold its counters.

    `levelled`: its compactions move everything out of level 0. `still`: the families whose files no compaction
    moves or merges. `others`: the names of the families beside the default one. `fifo`: the families
    that a compaction would empty if they are over their limit. `dying`: a stop hit it, and
    whatever is asked of it now fails or does nothing.
    """

    main: Rdict
    families: tuple[Rdict, ...]
    options: Options
    is_leveled: bool = True
    unmoved: tuple[Rdict, ...] = ()
    read_only: bool = False
    others: tuple[str, ...] = ()
    fifo: Mapping[str, Rdict] = field(default_factory=dict)
    cancelled: bool = False

    def cancel(self) -> None:
        """Stop all its work. Never waits."""
        self.cancelled = True
        self.main.cancel_all_background(False)


class Opener(Protocol):
    """How a kind of database is opened and closed: our own, or an adopted one."""

    is_transient: bool  # closed as soon as nobody uses it
    path: Path

    @property
    def log(self) -> Path:
        """RocksDB's log, while the database is open."""
        ...

    def open(self, read_only: bool) -> DatabaseHandle:
        """Open it. Raises Trouble, OSError, and what rocksdict raises."""
        ...

    def closing(self) -> None:
        """Called before every close, while the database is still ours alone. Raises OSError."""
        ...

    def after_close(self) -> None:
        """Called after a close that succeeded. Raises OSError."""
        ...

    def after_write(self) -> None:
        """Called after what may have changed the set of files, while it is open."""
        ...


@dataclass(slots=True)
class DumpCursor:
    """Where a dump stands: the last key read, and the iterator while its handle lives."""

    after: bytes | None = None
    iterator: RdictIter | None = None


@dataclass(slots=True)
class _State:
    handle: DatabaseHandle | None = None
    identity: tuple[int, int] | None = None
    users: int = 0
    closing: bool = False
    cursors: dict[int, DumpCursor] = field(default_factory=dict)


class Database:
    """See the module. Safe to use from any thread."""

    def __init__(self, keeper: Opener) -> None:
        self.path = keeper.path
        self._opener = keeper
        self._state = _State()
        self._condition = threading.Condition()

    @property
    def log(self) -> Path:
        """RocksDB's log, while the database is open."""
        return self._opener.log

    @contextmanager
    def use(self, *, write: bool) -> Iterator[DatabaseHandle]:
        """Borrow the handle, opening the database if need be. Raises Trouble where that can't be done.

        `write` False is enough for a look: an adopted database is then opened without its LOCK.
        """
        opened = self._acquire(write)
        try:
            yield opened
        finally:
            self._release(write)

    def run(self, work: Callable[[DatabaseHandle], T], *, write: bool, needed: int | None = None) -> T:
        """Do some short work with the handle; with the next one where a stop killed this one under it.

        `needed` is how many bytes it writes. Raises Trouble.
        """
        while True:
            with self.use(write=write) as opened:
                try:
                    return work(opened)
                except Exception as error:  # rocksdict raises nothing narrower
                    failure = error
            if not opened.cancelled:
                if not isinstance(failure, WorkerError):
                    self.close_quietly()
                raise self.as_worker_error(failure, needed) from failure

    def cursor(self, number: int) -> DumpCursor:
        """The cursor of that number; a new one stands before the first key."""
        with self._condition:
            return self._state.cursors.setdefault(number, DumpCursor())

    def end_cursor(self, number: int) -> None:
        """Forget a cursor."""
        with self._condition:
            cursor = self._state.cursors.pop(number, None)
            if cursor is not None:
                cursor.iterator = None
            if self._is_unused():
                self._close_handle()

    def close(self) -> None:
        """Wait until nobody uses the handle, then close it; the next use opens it again. Raises Trouble."""
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
        """Close without flushing: the database is about to be deleted. Raises Trouble."""
        opened = self._state.handle
        if opened is not None:
            opened.cancel()
        self.close()

    def close_quietly(self) -> None:
        """Close a handle that is dead or has failed; what it could not flush is in its WAL."""
        try:
            self.close()
        except WorkerError:
            return  # the failure that led here is the one that is told

    def check_identity(self) -> None:
        """Raises Trouble where the directory on disk is no longer the one that was opened."""
        try:
            (self.path / "CURRENT").stat()
            identity = _identity(self.path)
        except FileNotFoundError:
            what = "the database was deleted" if self._state.handle else "there is no database here"
            raise missing_error(str(self.path), what) from None
        except OSError as error:
            raise system_error(error, str(self.path)) from None
        if self._state.identity is not None and identity != self._state.identity:
            raise missing_error(str(self.path), "the database was deleted and another put in its place")

    def as_worker_error(self, error: Exception, needed: int | None = None) -> WorkerError:
        """What went wrong on this database as a Trouble, with the numbers where the disk is full."""
        if isinstance(error, WorkerError):
            return error
        room = DiskSpace(needed, free_bytes(self.path))
        if isinstance(error, OSError):
            return system_error(error, str(self.path), room)
        return rocksdb_error(str(error), str(self.path), room)

    def _acquire(self, write: bool) -> DatabaseHandle:
        state = self._state
        with self._condition:
            self._condition.wait_for(lambda: not state.closing and not (state.users and self._is_unfit(write)))
            if self._is_unfit(write):
                self._close_handle()
            try:
                self.check_identity()
            except WorkerError:
                if not state.users:
                    self._close_handle_quietly()
                raise
            if state.handle is None:
                self._open(write)
            assert state.handle is not None
            state.users += 1
            return state.handle

    def _is_unfit(self, write: bool) -> bool:
        opened = self._state.handle
        return opened is not None and (opened.cancelled or (write and opened.read_only))

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

    def _open(self, write: bool) -> None:
        try:
            self._state.handle = self._opener.open(read_only=self._opener.is_transient and not write)
            self._state.identity = _identity(self.path)
        except Exception as error:  # rocksdict raises nothing narrower
            raise self.as_worker_error(error) from error

    def _close_handle(self) -> None:
        opened, self._state.handle, self._state.identity = self._state.handle, None, None
        for cursor in self._state.cursors.values():
            cursor.iterator = None
        if opened is None:
            return
        try:
            self._close(opened)
        except Exception as error:  # rocksdict raises nothing narrower
            if not opened.cancelled:
                raise self.as_worker_error(error) from error

    def _close(self, opened: DatabaseHandle) -> None:
        try:
            self._opener.closing()
        finally:
            for family in opened.families:
                if family is not opened.main:
                    family.close()
            opened.main.close()
        self._opener.after_close()

    def _close_handle_quietly(self) -> None:
        try:
            self._close_handle()
        except WorkerError:
            return  # the database is gone, and that is what is being reported


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
