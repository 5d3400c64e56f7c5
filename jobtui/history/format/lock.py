"""The lock of the one writer, on the file LOCK, which also has the writer's status.

After each durable commit the writer stores its status there: its process, its address, the last durable change,
and the next free id. A reader finds the writer and its changes through the status, and shows no later changes
while the writer lives. The next opener learns from it which changes must be on disk.
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
from jobtui.history.format.codec import frame_line, is_intact
from jobtui.history.format.disk import Disk
from jobtui.os_errors import NO_LOCKS

LOCK_NAME: Final = "LOCK"
_GUARD_SUFFIX: Final = ".lock"
"""The suffix of the guard's file, which is next to the history's directory."""
_STATUS_BYTES: Final = 512
MAX_ADDRESS_BYTES: Final = 200
"""The longest address. The rest of a status takes at most 210 of its 512 bytes."""
_LOCK_ATTEMPTS: Final = 20
"""A reader that checks whether a writer lives holds the lock for some microseconds."""
_LOCK_RETRY_SECONDS: Final = 0.005
_PID_BYTES: Final = 24
_READ_ATTEMPTS: Final = 3
"""A status that is read while it is written may have parts of two. The next reading finds it whole."""


class WriterStatus(msgspec.Struct, frozen=True, gc=False):
    """The status of a writer.

    Attributes:
        pid: Its process.
        journal: The number of the current journal.
        durable: The number of the last durable change.
        next_id: The id of the next job.
        generation: The manifest's generation.
        closed: Whether the writer has closed the history.
        address: The path of its socket for other processes, absolute or relative to the profile's directory;
            "" if it does not listen; None in a status of a version before 0.2, which did not record it.
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
    """A second lock, next to the history's directory, which outlives that directory.

    Without it a second process would start a new history, and give out the first ids again, while the owner
    of the deleted one still runs its jobs. It also holds if LOCK alone is deleted.
    """

    def __init__(self, disk: Disk, file: int | None) -> None:
        self._disk, self._file = disk, file

    @classmethod
    def take(cls, disk: Disk, directory: Path) -> Guard:
        """Take the guard of a history that may not exist yet.

        Raises StoreLocked if a process holds it.

        If the parent directory cannot be written, there is no guard, and LOCK must be enough.
        """
        path = directory.with_name(directory.name + _GUARD_SUFFIX)
        try:
            file = disk.open_to_write(path)
        except OSError:
            return cls(disk, None)
        try:
            _acquire(disk, file, lambda: _read_pid(disk, file))
            with contextlib.suppress(OSError):  # the id in it is only for the message of the next process
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
        """Take the lock. Raises OSError, and StoreLocked if a living process has it.

        A reader that checks the lock holds it for a moment, so the attempt is repeated.
        """
        path = directory / LOCK_NAME
        while True:
            _unshare(disk, path)
            file = disk.open_to_write(path)
            try:
                _acquire(disk, file, lambda file=file: _holder_pid(_read_status(disk, file)))  # type: ignore[misc]
                is_current = disk.is_same_file(file, str(path))
            except BaseException:
                disk.close(file)
                raise
            if is_current:
                return cls(disk, file, path)
            disk.close(file)  # it was replaced meanwhile: a lock on a file without a name protects nothing

    def read_status(self) -> WriterStatus | None:
        """Return the status that the last writer left."""
        return _read_status(self._disk, self._file)

    def set_address(self, address: str) -> None:
        """Set the address for each status from now on; it has at most MAX_ADDRESS_BYTES."""
        self._address = msgspec.json.encode(address)

    def write_status(
        self, journal: int, durable: int, next_id: int, generation: int, *, closed: bool = False
    ) -> None:
        """Write the status. It is not synced: an older status is also correct."""
        ended, address = (b"true", b'""') if closed else (b"false", self._address)
        status = _STATUS_LINE % (self._pid, journal, durable, next_id, generation, ended, address)
        self._disk.write(self._file, frame_line(status).ljust(_STATUS_BYTES), 0)

    def is_held(self) -> bool:
        """Return whether the lock still works: its directory may be deleted, moved or unmounted."""
        try:
            return self._disk.is_same_file(self._file, str(self._path))
        except OSError:
            return False

    def release(self) -> None:
        """Release the lock."""
        self._disk.close(self._file)


class WriterWatcher:
    """A reader's view of the writer. It changes nothing, and LOCK need not exist."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._path = disk, directory / LOCK_NAME
        self._file: int | None = None

    def read_raw(self) -> bytes:
        """Return the bytes of the status: different bytes mean that something has changed."""
        file = self._open()
        return self._disk.read(file, _STATUS_BYTES, 0) if file is not None else b""

    def read_status(self) -> WriterStatus | None:
        """Return the writer's last status, None if there is none."""
        file = self._open()
        return _read_status(self._disk, file) if file is not None else None

    def has_writer(self) -> bool:
        """Return whether a process holds the lock now."""
        file = self._open()
        return file is not None and self._disk.is_locked(file)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._disk.close(self._file)
            self._file = None

    def _open(self) -> int | None:
        """Return the open file, None if there is none."""
        if self._file is not None and not self._disk.is_same_file(self._file, str(self._path)):
            self.close()  # another writer replaced it
        if self._file is None:
            with contextlib.suppress(FileNotFoundError):
                self._file = self._disk.open(self._path)
        return self._file


def _acquire(disk: Disk, file: int, holder: Callable[[], int | None]) -> None:
    for left in reversed(range(_LOCK_ATTEMPTS)):
        if _try_lock(disk, file):
            return
        if left:
            time.sleep(_LOCK_RETRY_SECONDS)
    raise StoreLocked(holder())


def _unshare(disk: Disk, path: Path) -> None:
    """Replace a LOCK that has a second name by a copy.

    The other name may be any file of the system.

    A copy of the history that was made with hard links also has a second name.
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


def _holder_pid(status: WriterStatus | None) -> int | None:
    return status.pid if status is not None and not status.closed else None


def _read_pid(disk: Disk, file: int) -> int | None:
    text = disk.read(file, _PID_BYTES, 0).strip()
    return int(text) if text.isdigit() else None


def _try_lock(disk: Disk, file: int) -> bool:
    try:
        return disk.try_lock(file)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        message = (
            f"{error.strerror}: the file system has no locks, which keep a second jobtui from writing; "
            "mount it with them (NFS: local_lock=flock, or start the server's lockd), or name another "
            "directory with --data-dir"
        )
        raise OSError(error.errno, message) from None


def require_ownership(disk: Disk, directory: Path) -> None:
    """Refuse a history in another user's profile: files created here would lock that user out.

    Raises StoreError, StoreLocked if a process of that user writes it, and OSError.
    """
    for place in (directory, directory.parent):
        if reason := foreign_owner(place):
            watcher = WriterWatcher(disk, directory)
            try:
                status = watcher.read_status()
                if watcher.has_writer():
                    raise StoreLocked(status.pid if status is not None else None)
            finally:
                watcher.close()
            raise StoreError(f"The history in {directory} cannot be written: {reason}")


def _read_status(disk: Disk, file: int) -> WriterStatus | None:
    for _ in range(_READ_ATTEMPTS):
        line = disk.read(file, _STATUS_BYTES, 0).rstrip(b" ").removesuffix(b"\n")
        if is_intact(line):
            try:
                return _decode(line)
            except DECODE_ERRORS:
                return None
        if not line:
            return None
    return None
