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

from jobtui.storage.local.errors import DiskSpace, WorkerError, gone, rocksdb_trouble, system_trouble
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
    levelled: bool = True
    still: tuple[Rdict, ...] = ()
    read_only: bool = False
    others: tuple[str, ...] = ()
    fifo: Mapping[str, Rdict] = field(default_factory=dict)
    dying: bool = False

    def strike(self) -> None:
        """Stop all its work. Never waits."""
        self.dying = True
        self.main.cancel_all_background(False)


class Opener(Protocol):
    """How a kind of database is opened and closed: our own, or an adopted one."""

    brief: bool  # closed as soon as nobody uses it
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

    def closed(self) -> None:
        """Called after a close that succeeded. Raises OSError."""
        ...

    def worked(self) -> None:
        """Called after what may have changed the set of files, while it is open."""
        ...


@dataclass(slots=True)
class DumpCursor:
    """Where a dump stands: the last key read, and the iterator while its handle lives."""

    after: bytes | None = None
    iterator: RdictIter | None = None


@dataclass(slots=True)
class _State:
    opened: DatabaseHandle | None = None
    identity: tuple[int, int] | None = None
    users: int = 0
    closing: bool = False
    cursors: dict[int, DumpCursor] = field(default_factory=dict)


class Database:
    """See the module. Safe to use from any thread."""

    def __init__(self, keeper: Opener) -> None:
        self.path = keeper.path
        self._keeper = keeper
        self._state = _State()
        self._turn = threading.Condition()

    @property
    def log(self) -> Path:
        """RocksDB's log, while the database is open."""
        return self._keeper.log

    @contextmanager
    def use(self, *, write: bool) -> Iterator[DatabaseHandle]:
        """Borrow the handle, opening the database if need be. Raises Trouble where that can't be done.

        `write` False is enough for a look: an adopted database is then opened without its LOCK.
        """
        opened = self._borrow(write)
        try:
            yield opened
        finally:
            self._give_back(write)

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
            if not opened.dying:
                if not isinstance(failure, WorkerError):
                    self.let_go()
                raise self.trouble(failure, needed) from failure

    def cursor(self, number: int) -> DumpCursor:
        """The cursor of that number; a new one stands before the first key."""
        with self._turn:
            return self._state.cursors.setdefault(number, DumpCursor())

    def end_cursor(self, number: int) -> None:
        """Forget a cursor."""
        with self._turn:
            cursor = self._state.cursors.pop(number, None)
            if cursor is not None:
                cursor.iterator = None
            if self._unused():
                self._shut()

    def close(self) -> None:
        """Wait until nobody uses the handle, then close it; the next use opens it again. Raises Trouble."""
        with self._turn:
            self._turn.wait_for(lambda: not self._state.closing)
            self._state.closing = True
            try:
                self._turn.wait_for(lambda: not self._state.users)
                self._shut()
            finally:
                self._state.closing = False
                self._turn.notify_all()

    def discard(self) -> None:
        """Close without flushing: the database is about to be deleted. Raises Trouble."""
        opened = self._state.opened
        if opened is not None:
            opened.strike()
        self.close()

    def let_go(self) -> None:
        """Close a handle that is dead or has failed; what it could not flush is in its WAL."""
        try:
            self.close()
        except WorkerError:
            return  # the failure that led here is the one that is told

    def present(self) -> None:
        """Raises Trouble where the directory on disk is no longer the one that was opened."""
        try:
            (self.path / "CURRENT").stat()
            identity = _identity(self.path)
        except FileNotFoundError:
            what = "the database was deleted" if self._state.opened else "there is no database here"
            raise gone(str(self.path), what) from None
        except OSError as error:
            raise system_trouble(error, str(self.path)) from None
        if self._state.identity is not None and identity != self._state.identity:
            raise gone(str(self.path), "the database was deleted and another put in its place")

    def trouble(self, error: Exception, needed: int | None = None) -> WorkerError:
        """What went wrong on this database as a Trouble, with the numbers where the disk is full."""
        if isinstance(error, WorkerError):
            return error
        room = DiskSpace(needed, free_bytes(self.path))
        if isinstance(error, OSError):
            return system_trouble(error, str(self.path), room)
        return rocksdb_trouble(str(error), str(self.path), room)

    def _borrow(self, write: bool) -> DatabaseHandle:
        state = self._state
        with self._turn:
            self._turn.wait_for(lambda: not state.closing and not (state.users and self._unfit(write)))
            if self._unfit(write):
                self._shut()
            try:
                self.present()
            except WorkerError:
                if not state.users:
                    self._shut_quietly()
                raise
            if state.opened is None:
                self._open(write)
            assert state.opened is not None
            state.users += 1
            return state.opened

    def _unfit(self, write: bool) -> bool:
        opened = self._state.opened
        return opened is not None and (opened.dying or (write and opened.read_only))

    def _give_back(self, wrote: bool) -> None:
        with self._turn:
            self._state.users -= 1
            if wrote:
                self._keeper.worked()
            if self._unused() and not self._state.closing:
                self._shut()
            self._turn.notify_all()

    def _unused(self) -> bool:
        return self._keeper.brief and not self._state.users and not self._state.cursors

    def _open(self, write: bool) -> None:
        try:
            self._state.opened = self._keeper.open(read_only=self._keeper.brief and not write)
            self._state.identity = _identity(self.path)
        except Exception as error:  # rocksdict raises nothing narrower
            raise self.trouble(error) from error

    def _shut(self) -> None:
        opened, self._state.opened, self._state.identity = self._state.opened, None, None
        for cursor in self._state.cursors.values():
            cursor.iterator = None
        if opened is None:
            return
        try:
            self._close(opened)
        except Exception as error:  # rocksdict raises nothing narrower
            if not opened.dying:
                raise self.trouble(error) from error

    def _close(self, opened: DatabaseHandle) -> None:
        try:
            self._keeper.closing()
        finally:
            for family in opened.families:
                if family is not opened.main:
                    family.close()
            opened.main.close()
        self._keeper.closed()

    def _shut_quietly(self) -> None:
        try:
            self._shut()
        except WorkerError:
            return  # the database is gone, and that is what is being reported


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
