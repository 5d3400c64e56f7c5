"""All file operations of the history, in one class.

Nothing else in this package uses files, so that a test can replace the disk: log each step, lose unsynced
data, or fail as a real disk does. Errors are the system's OSError. Offsets and sizes are in bytes.

No operation follows a link in the place of a file or a directory: its target may be any file of the system.
Callers pass paths below a directory that `resolve_directory` resolved, because a link above the history was
created by the user.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jobtui.formatting import format_bytes

_FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNREADABLE_ERRORS: Final = frozenset(
    {errno.EIO, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EBADMSG, 117}
)
"""117 is EUCLEAN (a damaged file system), which errno does not have on every system."""
_MISSING_ERRORS: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""The errors of a path that does not exist; ELOOP if links point to each other."""
_MAX_BYTES: Final = 2 << 30
"""The largest size that is read. A journal of a million live jobs has a quarter of it, and no segment has more;
a file with a hole can claim any size."""
_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700
_KINDS: Final = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFLNK: "link",
}
_OPEN_FILES: Final = "/proc/self/fd/"
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: a pipe that replaces the file between the check and the opening must not block."""


def is_unreadable(error: OSError) -> bool:
    """Return whether the error means that the file cannot be read, now and probably later."""
    return error.errno in _UNREADABLE_ERRORS


def is_full(error: OSError) -> bool:
    """Return whether the error means that the disk is full, or the user's quota."""
    return error.errno in _FULL_ERRORS


def resolve_directory(path: Path) -> Path:
    """Resolve the links in a history's path; one whose target does not exist stays as it is."""
    try:
        return path.resolve(strict=path.is_symlink())
    except (OSError, RuntimeError):  # RuntimeError: before Python 3.13, if links point to each other
        return path


class Disk:
    """The real disk. An open file is identified by its descriptor, any other by its path."""

    # ---- files

    def open(self, path: Path) -> int:
        """Open an existing file for reading; a link, a directory or a pipe counts as missing."""
        if self.wrong_type(path):  # before it is opened: opening a device may have an effect
            raise _not_a_file(path)
        file = os.open(path, os.O_RDONLY | _OPEN)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise _not_a_file(path)
        return file

    def open_to_write(self, path: Path) -> int:
        """Open a file for reading and writing with its content; create it if it does not exist.

        A file with a second name is refused: the write would also appear there (`has_second_name`).
        """
        _refuse_links_above(path)
        self._require_file_or_nothing(path)
        try:
            file = os.open(path, os.O_RDWR | _OPEN)
        except FileNotFoundError:
            return os.open(path, _CREATE, _FILE_MODE)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(file)
            raise OSError(errno.EMLINK, "the file has a second name", str(path))
        return file

    def create(self, path: Path) -> int:
        """Create an empty file, in place of one with that name, to read and write it.

        It is not truncated: it may have a second name elsewhere.
        """
        _refuse_links_above(path)
        self._require_file_or_nothing(path)
        try:
            return os.open(path, _CREATE, _FILE_MODE)
        except FileExistsError:
            path.unlink()
            return os.open(path, _CREATE, _FILE_MODE)

    def close(self, file: int) -> None:
        """Close an open file."""
        os.close(file)

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        written = os.pwrite(file, data, offset)
        while written < len(data):
            written += os.pwrite(file, memoryview(data)[written:], offset + written)

    def sync(self, file: int) -> None:
        """Sync the file's bytes and its size to the disk."""
        _sync_all(file)

    def sync_data(self, file: int) -> None:
        """Sync the file's bytes to the disk; this is enough if its size did not change."""
        _sync_bytes(file)

    def truncate(self, file: int, size: int) -> None:
        """Shorten the file, or extend it with zeros."""
        os.ftruncate(file, size)

    def read(self, file: int, size: int, offset: int) -> bytes:
        """Return `size` bytes at `offset`, fewer only at the end of the file.

        A file that claims to be larger than any of a history counts as unreadable: it would take all memory.
        """
        if size > _MAX_BYTES:
            raise OSError(errno.EBADMSG, f"it has {format_bytes(size)}, as no file of a history has")
        data = os.pread(file, size, offset)
        while data and len(data) < size and (more := os.pread(file, size - len(data), offset + len(data))):
            data += more
        return data

    def size(self, file: int) -> int:
        """Return the size of an open file."""
        return os.fstat(file).st_size

    # ---- names

    def list_names(self, directory: Path) -> list[str]:
        """Return the sorted names in the directory, none if it does not exist."""
        try:
            if directory.is_symlink():
                raise NotADirectoryError(errno.ENOTDIR, "a link is in its place", str(directory))
            return sorted(os.listdir(directory))  # noqa: PTH208 - `iterdir` makes a path of each of 8,000 names
        except FileNotFoundError:
            return []

    def identity(self, path: Path) -> tuple[int, int, int] | None:
        """Return a value that changes if another file gets this path; None if nothing has it."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def has_second_name(self, path: Path) -> bool:
        """Return whether a file has a second name, under which a change of it would appear too."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_nlink > 1

    def is_same_file(self, file: int, path: str) -> bool:
        """Return whether the path still names an open file, which may be deleted or moved."""
        here = os.fstat(file)
        try:
            there = os.stat(path)  # noqa: PTH116 Path.stat takes longer than the rest of a commit's checks
        except (FileNotFoundError, NotADirectoryError):
            return False
        return here.st_ino == there.st_ino and here.st_dev == there.st_dev

    def location_stamp(self, file: int, directory: str) -> tuple[str, int, int] | None:
        """Return a value that changes if an open file or its directory is deleted or moved.

        None: unknown. This does not read the times of the file itself: since Linux 6.13 the next write would
        then also change the inode, and a sync would take 1.5 times as long.
        """
        try:
            there = os.stat(directory)  # noqa: PTH116 as in is_same_file
            link = os.readlink(f"{_OPEN_FILES}{file}")  # noqa: PTH115 as in is_same_file
            return link, there.st_ino, there.st_dev
        except OSError:
            return None

    def size_of(self, path: Path) -> int:
        """Return the size of a file."""
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise _not_a_file(path)
        return found.st_size

    def is_directory(self, path: Path) -> bool:
        """Return whether the path is a directory; False for a link to one."""
        try:
            return stat.S_ISDIR(path.lstat().st_mode)
        except OSError as error:
            if error.errno not in _MISSING_ERRORS:
                raise
            return False

    def wrong_type(self, path: Path, *, directory: bool = False) -> str:
        """Return what is wrong if anything but a file (or a directory) has the path, otherwise ""."""
        try:
            found = os.lstat(path).st_mode
        except OSError as error:
            if error.errno not in _MISSING_ERRORS:
                raise
            return ""
        if stat.S_ISDIR(found) if directory else stat.S_ISREG(found):
            return ""
        return f"a {_KINDS.get(stat.S_IFMT(found), 'device')} is in its place"

    def rename(self, before: Path, after: Path) -> None:
        """Rename a file, or whatever has that name; a file with the new name is replaced."""
        _refuse_links_above(before)
        _refuse_links_above(after)
        before.replace(after)

    def link(self, existing: Path, name: Path) -> None:
        """Give a file a second name."""
        _refuse_links_above(name)
        if self.wrong_type(existing):
            raise _not_a_file(existing)
        os.link(existing, name, follow_symlinks=False)

    def remove(self, path: Path) -> None:
        """Remove a file's name."""
        _refuse_links_above(path)
        self._require_file_or_nothing(path)
        path.unlink()

    def make_directory(self, path: Path) -> None:
        """Create a directory that does not exist yet."""
        _refuse_links_above(path)
        path.mkdir(_DIRECTORY_MODE)

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory."""
        _refuse_links_above(path)
        path.rmdir()

    def sync_directory(self, path: Path) -> None:
        """Sync the names in the directory to the disk."""
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync_all(directory)
        finally:
            os.close(directory)

    # ---- the lock

    def try_lock(self, file: int) -> bool:
        """Take the exclusive lock, which the kernel releases when the process ends in any way."""
        return _flock(file, fcntl.LOCK_EX)

    def is_locked(self, file: int) -> bool:
        """Return whether another process, or another descriptor, holds the exclusive lock."""
        if not _flock(file, fcntl.LOCK_SH):
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
        return False

    # ---- whole files

    def read_file(self, path: Path) -> bytes:
        """Return all of a file."""
        file = self.open(path)
        try:
            return self.read(file, self.size(file), 0)
        except OSError as error:
            error.filename = error.filename or str(path)
            raise
        finally:
            self.close(file)

    def create_with(self, path: Path, pieces: Sequence[bytes], *, sync: bool = True) -> None:
        """Create a file of `pieces`; with `sync` its bytes are synced, but not its name."""
        file = self.create(path)
        try:
            offset = 0
            for piece in pieces:
                self.write(file, piece, offset)
                offset += len(piece)
            if sync:
                self.sync(file)
        finally:
            self.close(file)

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Replace a file durably: at every moment it is the whole old or the whole new one."""
        self._require_file_or_nothing(path)  # renaming would delete a link in its place
        fresh = path.with_name(path.name + ".tmp")
        try:
            self.create_with(fresh, [data])
            self.rename(fresh, path)
        except OSError:
            with contextlib.suppress(OSError):
                self.remove(fresh)
            raise
        self.sync_directory(path.parent)

    def _require_file_or_nothing(self, path: Path) -> None:
        """Raise an error if anything but a file has the path."""
        if what := self.wrong_type(path):
            raise OSError(errno.EEXIST, what, str(path))


def _refuse_links_above(path: Path) -> None:
    """Raise an error if a link has replaced one of the directories that lead to `path`."""
    directory = os.path.dirname(path)  # noqa: PTH120 a Path takes longer than the check itself
    if os.path.realpath(directory) != os.path.abspath(directory):  # noqa: PTH100
        raise NotADirectoryError(errno.ENOTDIR, "a link is in its place", directory)


def _not_a_file(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, Disk().wrong_type(path), str(path))


def _flock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if sys.platform == "darwin":
    # fsync leaves the bytes in the drive's own cache on macOS

    def _sync_all(file: int) -> None:
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)

    _sync_bytes = _sync_all
else:
    _sync_all = os.fsync
    _sync_bytes = os.fdatasync
