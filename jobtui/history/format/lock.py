"""One writer: the kernel's lock on LOCK, and in that file what its owner says about itself.

After each durable commit the writer leaves a mark there: its process, the address where it listens, how far
the journal is on disk, the next free id. A reader shows nothing that goes beyond the mark of a living
writer, and finds the writer and its changes by it; a later opener learns from it what must be there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import DECODE_ERRORS, StoreError, StoreLocked
from jobtui.files import foreign_owner
from jobtui.history.format.codec import frame, is_intact
from jobtui.history.format.disk import Disk
from jobtui.os_errors import NO_LOCKS

LOCK_NAME: Final = "LOCK"
_GUARD_SUFFIX: Final = ".lock"
"""The suffix of the guard's name, which lies next to the history's directory."""
_STATUS_BYTES: Final = 512
MAX_ADDRESS_BYTES: Final = 200
"""Bytes of an address. What else a mark holds takes at most 210 of its 512."""
_LOCK_ATTEMPTS: Final = 20
_LOCK_RETRY_SECONDS: Final = 0.005
_PID_BYTES: Final = 24


class WriterStatus(msgspec.Struct, frozen=True, gc=False):
    """What a writer says: its process, the current journal, the last durable change, the next free id.

    `generation` is the manifest's; `closed` says that the writer ended in peace. `address` is where it
    listens for other processes: a path, relative to the profile's directory or absolute; "" if it does not,
    None if a version before 0.2 wrote this, which did not record it.
    """

    pid: int
    journal: int
    durable: int
    next_id: int
    generation: int
    closed: bool = False
    address: str | None = None


_STATUS_LINE: Final = (
    b'{"pid":%d,"journal":%d,"durable":%d,"next_id":%d,"generation":%d,"closed":%b,"address":%b}'
)
_decode: Final = msgspec.json.Decoder(WriterStatus).decode


class Guard:
    """A second lock, next to the history's directory, which survives if that directory is deleted or moved.

    Without it a second process would start a new history, and give out the first ids again, while the owner
    of the deleted one still runs its jobs. It also holds if LOCK alone is deleted.
    """

    def __init__(self, disk: Disk, file: int | None) -> None:
        self._disk, self._file = disk, file

    @classmethod
    def take(cls, disk: Disk, directory: Path) -> Guard:
        """Take the guard of a history that may not exist yet. Raises StoreLocked if a process holds it.

        If the parent directory cannot be written to, there is no guard: LOCK has to do.
        """
        path = directory.with_name(directory.name + _GUARD_SUFFIX)
        try:
            file = disk.open_to_write(path)
        except OSError:
            return cls(disk, None)
        try:
            _acquire(disk, file, lambda: _read_pid(disk, file))
            with contextlib.suppress(OSError):  # the name in it is only for the message of the next process
                disk.write(file, f"{os.getpid()}\n".ljust(_PID_BYTES).encode(), 0)
        except BaseException:
            disk.close(file)
            raise
        return cls(disk, file)

    def release(self) -> None:
        """Release the guard. Its file stays: to remove it would let two processes lock two files."""
        if self._file is not None:
            self._disk.close(self._file)
            self._file = None


class Lock:
    """The writer's lock, held until it is released or the process ends."""

    def __init__(self, disk: Disk, file: int, path: Path) -> None:
        self._disk, self._file, self._path, self._pid = disk, file, path, os.getpid()
        self._address = b'""'

    @classmethod
    def take(cls, disk: Disk, directory: Path) -> Lock:
        """Take the lock. Raises StoreLocked where a living process has it, OSError.

        A reader that looks whether the lock is free holds it for a moment, so one refusal is not the end.
        """
        path = directory / LOCK_NAME
        while True:
            _unshare(disk, path)
            file = disk.open_to_write(path)
            try:
                _acquire(disk, file, lambda file=file: _holder_pid(_read_status(disk, file)))  # type: ignore[misc]
                is_there = disk.is_same_file(file, str(path))
            except BaseException:
                disk.close(file)
                raise
            if is_there:
                return cls(disk, file, path)
            disk.close(file)  # it was replaced meanwhile: a lock on a file without a name keeps nobody out

    def read_status(self) -> WriterStatus | None:
        """Return the status that the last writer left."""
        return _read_status(self._disk, self._file)

    def set_address(self, address: str) -> None:
        """Name the owner's address in each mark from now on; it is at most LONGEST_ADDRESS bytes."""
        self._address = msgspec.json.encode(address)

    def write_status(
        self, journal: int, durable: int, next_id: int, generation: int, *, closed: bool = False
    ) -> None:
        """Leave a mark; it is not synced, for what it says is true whether it survives or not."""
        ended, address = (b"true", b'""') if closed else (b"false", self._address)
        mark = _STATUS_LINE % (self._pid, journal, durable, next_id, generation, ended, address)
        self._disk.write(self._file, frame(mark).ljust(_STATUS_BYTES), 0)

    def is_held(self) -> bool:
        """Return whether it still keeps others out: not where the directory was deleted, moved or unmounted."""
        try:
            return self._disk.is_same_file(self._file, str(self._path))
        except OSError:
            return False

    def release(self) -> None:
        """Give the lock back."""
        self._disk.close(self._file)


class WriterWatcher:
    """A reader's view of the writer; it changes nothing and works without a LOCK."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._path = disk, directory / LOCK_NAME
        self._file: int | None = None

    def read_raw(self) -> bytes:
        """Return the mark as it lies there: other bytes mean that something has changed."""
        return self._disk.read(self._file, _STATUS_BYTES, 0) if self._open() and self._file is not None else b""

    def read_status(self) -> WriterStatus | None:
        """Return the writer's last status, None if there is none."""
        return _read_status(self._disk, self._file) if self._open() and self._file is not None else None

    def has_writer(self) -> bool:
        """Return whether a process holds the lock now."""
        return self._open() and self._file is not None and self._disk.is_locked(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._disk.close(self._file)
            self._file = None

    def _open(self) -> bool:
        if self._file is not None and not self._disk.is_same_file(self._file, str(self._path)):
            self.close()  # another writer replaced it
        if self._file is None:
            try:
                self._file = self._disk.open(self._path)
            except FileNotFoundError:
                return False
        return True


def _acquire(disk: Disk, file: int, holder: Callable[[], int | None]) -> None:
    for left in reversed(range(_LOCK_ATTEMPTS)):
        if _try_lock(disk, file):
            return
        if left:
            time.sleep(_LOCK_RETRY_SECONDS)
    raise StoreLocked(holder())


def _unshare(disk: Disk, path: Path) -> None:
    """Have LOCK be a file of its own: under a second name it may be any file of the system.

    A copy of the history that was made of hard links has such a second name, too.
    """
    if not disk.has_second_name(path):
        return
    file = disk.open(path)
    try:
        _acquire(disk, file, lambda: _holder_pid(_read_status(disk, file)))
        if disk.is_same_file(file, str(path)):
            disk.write_atomically(path, disk.read(file, _STATUS_BYTES, 0))
    finally:
        disk.close(file)


def _holder_pid(mark: WriterStatus | None) -> int | None:
    return mark.pid if mark is not None and not mark.closed else None


def _read_pid(disk: Disk, file: int) -> int | None:
    text = disk.read(file, _PID_BYTES, 0).strip()
    return int(text) if text.isdigit() else None


def _try_lock(disk: Disk, file: int) -> bool:
    try:
        return disk.try_lock(file)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        said = (
            f"{error.strerror}: the file system has no locks, which keep a second jobtui from writing; "
            "mount it with them (NFS: local_lock=flock, or start the server's lockd), or name another "
            "directory with --data-dir"
        )
        raise OSError(error.errno, said) from None


def require_ownership(disk: Disk, directory: Path) -> None:
    """Refuse a history in another user's profile: what is made here would lock that user out.

    Raises StoreError, StoreLocked if its owner is at work, and OSError.
    """
    for place in (directory, directory.parent):
        if reason := foreign_owner(place):
            watch = WriterWatcher(disk, directory)
            try:
                mark = watch.read_status()
                if watch.has_writer():
                    raise StoreLocked(mark.pid if mark is not None else None)
            finally:
                watch.close()
            raise StoreError(f"The history in {directory} cannot be written: {reason}")


def _read_status(disk: Disk, file: int) -> WriterStatus | None:
    for _ in range(3):
        line = disk.read(file, _STATUS_BYTES, 0).rstrip(b" ").removesuffix(b"\n")
        if is_intact(line):
            try:
                return _decode(line)
            except DECODE_ERRORS:
                return None
        if not line:
            return None
    return None
