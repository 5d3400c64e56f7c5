"""An adopted database's directory, which is left in the state that its own program expects.

Opening a database writes an OPTIONS file of jobtui's RocksDB, which an older one may refuse, deletes the
owner's oldest one, and writes rocksdict's own file. So the owner's files are copied first, into a directory of
jobtui's own, and restored as soon as the database is open; after a crash in between, the next start restores
them. jobtui's RocksDB writes its log into that directory, too: an OPTIONS file that names it is therefore
jobtui's. New files that stay get the owner's user, group and mode. The module does not use RocksDB, so both the
engine and the worker may call it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

import msgspec

from jobtui.errors import DECODE_ERRORS
from jobtui.files import open_new, read_regular, sync_directory, write_atomically
from jobtui.storage.local.layout import directory_name
from jobtui.storage.local.rocksdb_files.options import newest_first

NOTES = "adopted.notes"  # no host's directory has a dot in its name
CONFIG = "rocksdict-config.json"
_SNAPSHOT = "snapshot.json"
_COPIES = "copies"
_OPENING = "opening"
_FILES = re.compile(r"\d+\.(?:sst|log|blob)|(?:MANIFEST|OPTIONS)-\d+|CURRENT|IDENTITY|LOCK", re.ASCII)
_READING = "reading"
_FILES_TO_READ = re.compile(r"\d+\.(?:sst|ldb|log|blob)|(?:MANIFEST|OPTIONS)-\d+|CURRENT|IDENTITY", re.ASCII)
_ESCAPED = re.compile(r"([\\#:\r\n])")


class _Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of the directory before the database was opened.

    `files` are the names of RocksDB's files in each directory (the database's, and that of its WAL). `user`,
    `group` and `mode` are those of its CURRENT file. A database that was opened for reading alone may change
    meanwhile.
    """

    options: tuple[str, ...]
    config: bool
    writing: bool
    files: dict[str, tuple[str, ...]]
    user: int
    group: int
    mode: int


def notes_directory(root: Path, directory: str) -> Path:
    """Return the directory in which the storage under `root` keeps its notes on an adopted directory."""
    return root / NOTES / directory_name(directory)


class AdoptedDirectory:
    """The files of the adopted database in `directory`; the notes about them are in `notes`."""

    def __init__(self, directory: Path, notes: Path) -> None:
        self._directory = directory
        self.notes = notes

    @property
    def log(self) -> Path:
        """The log that jobtui's RocksDB writes."""
        return max(self.notes.glob("*_LOG"), key=lambda path: path.stat().st_mtime, default=self.notes / "LOG")

    def restore(self) -> None:
        """Undo the changes of opening and working, even after a crash. Raises OSError."""
        self._unlink_directories()
        self._unlink_reading()
        snapshot = self._read()
        if snapshot is not None:
            self._restore(snapshot)
            self._discard_snapshot()

    def snapshot(self, options: bytes, wal_directory: Path | None, *, writing: bool) -> Path:
        """Copy the files that opening the database will change; return the path to load its options from.

        Args:
            options: The OPTIONS file to load.
            wal_directory: Where the WAL is if not in the database's directory.
            writing: Whether it is opened for writing, with its LOCK held.

        Raises:
            OSError: The notes cannot be written, or the directory cannot be read.
        """
        copies, opening = self.notes / _COPIES, self.notes / _OPENING
        for directory in (self.notes, copies, opening):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._discard_snapshot()
        for old in (*copies.iterdir(), *opening.iterdir(), *self.notes.glob("*_LOG*")):
            old.unlink()
        names = tuple(newest_first(os.listdir(self._directory)))  # noqa: PTH208  names are all that is needed
        config = (self._directory / CONFIG).exists()
        for name in (*names, *((CONFIG,) if config else ())):
            write_atomically(copies / name, read_regular(self._directory / name))
            _copy_times(self._directory / name, copies / name)
        if config:
            write_atomically(opening / CONFIG, (copies / CONFIG).read_bytes())
        write_atomically(opening / "OPTIONS-000001", options)
        current = (self._directory / "CURRENT").stat()
        self._write(
            _Snapshot(
                names,
                config,
                writing,
                {
                    # only the database's own files: the names of others may not be valid text
                    str(one): tuple(name for name in sorted(os.listdir(one)) if _FILES.fullmatch(name))  # noqa: PTH208
                    for one in (self._directory, *((wal_directory,) if wal_directory else ()))
                },
                current.st_uid,
                current.st_gid,
                stat.S_IMODE(current.st_mode),
            )
        )
        return opening

    def link_for_reading(self) -> Path:
        """Return a directory of jobtui's own with links to the database's files; nothing in it changes then.

        rocksdict writes its own file even when it opens a database for reading, which fails on a read-only or
        full disk, and in another user's directory. Raises OSError.
        """
        reading = self.notes / _READING
        self._unlink_reading()
        reading.mkdir(mode=0o700)
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if _FILES_TO_READ.fullmatch(entry.name):
                    (reading / entry.name).symlink_to(self._directory.absolute() / entry.name)
        with contextlib.suppress(FileNotFoundError):
            write_atomically(reading / CONFIG, (self.notes / _OPENING / CONFIG).read_bytes())
        self._discard_snapshot()
        return reading

    def _unlink_directories(self) -> None:
        """Remove links in the place of directories of jobtui's own, whose old files are deleted."""
        inside = (self.notes / name for name in (_COPIES, _OPENING, _READING))
        for directory in (self.notes.parent, self.notes, *inside):
            if directory.is_symlink():
                directory.unlink()

    def _unlink_reading(self) -> None:
        reading = self.notes / _READING
        with contextlib.suppress(FileNotFoundError):
            for path in reading.iterdir():
                path.unlink()
            reading.rmdir()

    def restore_while_open(self) -> None:
        """Undo the changes of opening while the database is open. Raises OSError."""
        snapshot = self._read()
        if snapshot is not None:
            self._restore(snapshot, is_open=True)

    def _restore(self, snapshot: _Snapshot, *, is_open: bool = False) -> None:
        ours: list[str] = []
        owners: list[str] = []
        for name in newest_first(os.listdir(self._directory)) if snapshot.writing else ():  # noqa: PTH208
            if name not in snapshot.options:
                (ours if self._is_ours(name) else owners).append(name)
        for name in ours:
            (self._directory / name).unlink(missing_ok=True)
        if owners:
            # the owner has opened it since a crash of jobtui: the options are its own. jobtui's files are still
            # recognizable if another user owns the database
            if snapshot.user != os.geteuid():
                self._restore_ownership(snapshot, is_open=is_open)
            return
        for name in snapshot.options if snapshot.writing else ():
            self._put_back(name, snapshot)
        if snapshot.config:
            self._put_back(CONFIG, snapshot)
        else:
            (self._directory / CONFIG).unlink(missing_ok=True)
        if snapshot.writing:
            self._restore_ownership(snapshot, is_open=is_open)

    def _is_ours(self, name: str) -> bool:
        named = _ESCAPED.sub(r"\\\1", str(self.notes)).replace("\r", "r").replace("\n", "n")
        try:
            text = read_regular(self._directory / name)
        except FileNotFoundError:
            return False
        return f"\n  db_log_dir={named}\n".encode("utf-8", "surrogateescape") in text

    def _put_back(self, name: str, snapshot: _Snapshot) -> None:
        """Replace the owner's file if it is gone or changed, keeping its user, group and mode.

        A new file is renamed over the old one, so that a crash never leaves an empty one.
        """
        path, copy = self._directory / name, self.notes / _COPIES / name
        kept = copy.read_bytes()
        # a name that RocksDB deletes at the next opening if a crash left it
        temporary = path.with_name(f"{name}.dbtmp")
        temporary.unlink(missing_ok=True)
        user, group, mode = snapshot.user, snapshot.group, snapshot.mode
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                if path.read_bytes() == kept:
                    _copy_times(copy, path)
                    return
                user, group, mode = found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)
        try:
            with open(open_new(temporary), "wb") as file:
                file.write(kept)
                if (user, group) != (os.geteuid(), os.getegid()):
                    with contextlib.suppress(PermissionError):  # only root can give files to another user
                        os.fchown(file.fileno(), user, group)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            _copy_times(copy, temporary)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(self._directory)

    def _restore_ownership(self, snapshot: _Snapshot, *, is_open: bool) -> None:
        """Give new files the owner's user, group and mode.

        While the database is open, LOCK is left alone: closing a descriptor of it drops RocksDB's lock.
        """
        for directory, names in snapshot.files.items():
            with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
                for entry in entries:
                    replaced = entry.name not in names or entry.name == "CURRENT" or _is_options(entry.name)
                    if is_open and entry.name == "LOCK":
                        continue
                    if replaced and _FILES.fullmatch(entry.name):
                        with contextlib.suppress(OSError):  # gone, or a disk on which this cannot be done
                            _give_file(entry.path, snapshot)

    def _discard_snapshot(self) -> None:
        (self.notes / _SNAPSHOT).unlink(missing_ok=True)

    def _read(self) -> _Snapshot | None:
        try:
            return msgspec.json.decode(read_regular(self.notes / _SNAPSHOT), type=_Snapshot)
        except (FileNotFoundError, *DECODE_ERRORS):
            return None

    def _write(self, snapshot: _Snapshot) -> None:
        write_atomically(self.notes / _SNAPSHOT, msgspec.json.encode(snapshot))


def _copy_times(source: Path, target: Path) -> None:
    status = source.stat()
    with contextlib.suppress(PermissionError):  # another user's file keeps its content, not its time
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _is_options(name: str) -> bool:
    return name.startswith("OPTIONS-")


def _give_file(path: str, snapshot: _Snapshot) -> None:
    """Give one of jobtui's files to the owner, unless it is a link or has another name elsewhere."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != os.geteuid():
            return
        if stat.S_IMODE(found.st_mode) != snapshot.mode:
            os.fchmod(descriptor, snapshot.mode)
        if (found.st_uid, found.st_gid) != (snapshot.user, snapshot.group):
            os.fchown(descriptor, snapshot.user, snapshot.group)
    finally:
        os.close(descriptor)
