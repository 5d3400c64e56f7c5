"""The directories of jobtui's own databases: their names, their files, and their deletion.

A space's or host's name becomes the name of a directory. Lower-case ASCII letters, digits, `_` and `-` stay as
they are; every other character is percent-encoded, byte by byte of its UTF-8. So no name can leave its
parent directory, be hidden or be mistaken for something else, and two names that differ only in case also
differ on a case-insensitive disk. A directory name never holds a `.`, so a file next to one
(`<directory>.name`, `<directory>.dropped`) cannot be mistaken for a space.

Nothing is deleted except a host's directory of a space and the files that belong to it, and no link is
followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import signal
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path

from jobtui.files import sync_directory, write_atomically

MAX_DIRECTORY_NAME = 180
"""Characters of a directory's name: file systems allow 255 bytes, and the suffixes take a few."""
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
_DIRECTORY = re.compile(r"(?:[a-z0-9_-]|%[0-9a-f]{2})+(?:~[0-9a-f]{32})?")


def directory_name(name: str) -> str:
    """Return the directory name of `name`; it is reversible unless it is cut."""
    encoded = _encoded(name)
    if len(encoded) <= MAX_DIRECTORY_NAME:
        return encoded
    return f"{encoded[: MAX_DIRECTORY_NAME - 33].rstrip('%')}~{_hash(name)}"


def is_cut_name(directory: str) -> bool:
    """Return whether the directory name is a cut one; the full name is then in a file."""
    return "~" in directory


def is_directory_name(text: str) -> bool:
    """Return whether `text` is a possible result of `directory_name`; other entries are foreign."""
    return _DIRECTORY.fullmatch(text) is not None and len(text) <= MAX_DIRECTORY_NAME


def name_of(directory: str, full_name: str | None = None) -> str | None:
    """Return the name that belongs to a directory name, None if there is none.

    `full_name` is the recorded name of a cut one; it is used only if its directory name is this one.
    """
    if is_cut_name(directory):
        return full_name if full_name is not None and directory_name(full_name) == directory else None
    if not is_directory_name(directory):
        return None
    try:
        name = _decoded(directory)
    except UnicodeDecodeError:
        return None
    return name if directory_name(name) == directory else None


def _encoded(name: str) -> str:
    text = "".join(
        chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in name.encode("utf-8", "surrogatepass")
    )
    if text in _DEVICES or text.startswith("-"):
        return f"%{ord(text[0]):02x}{text[1:]}"
    return text


def _decoded(directory: str) -> str:
    raw = re.sub(rb"%([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), directory.encode("ascii"))
    return raw.decode("utf-8", "surrogatepass")


def _hash(name: str) -> str:
    import hashlib  # late: 4 MB in every worker, and names are rarely so long

    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


_TABLES = (".sst", ".ldb", ".blob")
_SST_FILE = re.compile(r"\d+\.(?:sst|ldb)")
_NAME = ".name"  # the file that holds the full name of a directory with a cut one
_DROPPED = ".dropped"  # a directory that is being deleted


def database_size(path: Path, wal_directory: Path | None = None) -> int:
    """Return the bytes of a database's SST and blob files, or of its WAL if it has no such files yet.

    `wal_directory` is the directory of its WAL if it is not `path`. Files that are unreadable or are deleted
    meanwhile do not count.
    """
    return _size(path, _TABLES) or _size(wal_directory or path, (".log",))


def _size(path: Path, endings: tuple[str, ...]) -> int:
    total = 0
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name.endswith(endings):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def free_bytes(path: Path) -> int | None:
    """Return the free bytes on the disk of a directory or its nearest parent, or None."""
    space = disk_space(path)
    return None if space is None else space[1]


def disk_space(path: Path) -> tuple[int, int] | None:
    """Return the size and the free bytes of the disk of a directory, as for `free_bytes`."""
    for candidate in (path, *path.parents):
        with contextlib.suppress(OSError):
            status = os.statvfs(candidate)
            if not status.f_blocks:
                return None  # a file system that does not say how large it is
            return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    return None


def is_locked(path: Path) -> bool:
    """Return whether another process has a database open for writing; takes no lock itself."""
    request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        file = os.open(path / "LOCK", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)  # opening a pipe would block
    except OSError:
        return False
    try:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, request)
    except OSError:
        return False
    finally:
        os.close(file)
    return bool(struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK)


def is_open_for_writing(path: Path) -> bool:
    """Return whether a process has a file open for writing; False if the system does not say.

    Linux grants a read lease only on a file that is not. It grants none on another user's file, except to root,
    and none on a network file system.
    """
    if sys.platform != "linux":
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # a process that opens the file now waits until it is closed here, and the kernel signals this process:
        # the default, SIGIO, would end it; SIGURG is ignored
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(file)
    return False


def table_files(path: Path) -> set[str]:
    """Return the names of the SST files in a database's directory. Raises OSError."""
    return {entry.name for entry in os.scandir(path) if _SST_FILE.fullmatch(entry.name)}


def bytes_of_new_tables(path: Path, known: set[str]) -> int:
    """Return the bytes of the SST files that are not `known`, 0 if the directory cannot be read."""
    size = 0
    try:
        for entry in os.scandir(path):
            if entry.name not in known and _SST_FILE.fullmatch(entry.name):
                size += entry.stat().st_size
    except OSError:
        return 0  # a file, or all of them, was just deleted
    return size


def wal_bytes(path: Path) -> int:
    """Return the bytes of the WAL files in a database's directory. Raises OSError."""
    return sum(entry.stat().st_size for entry in os.scandir(path) if entry.name.endswith(".log"))


def host_problem(path: Path, *, holds: bool) -> str:
    """Return why a host's directory is unusable, "" if it is usable."""
    there = path
    while not holds and not _is_there(there) and there != there.parent:
        there = there.parent
    return _problem(there)


def database_problem(path: Path) -> str:
    """Return why an adopted database is unusable, "" if it looks usable."""
    return _problem(path) or ("" if _is_there(path / "CURRENT") else f"{path}: there is no database here")


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises if a name is too long or may not be read


def _problem(path: Path) -> str:
    try:
        path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return f"{path}: jobtui may not write there"
    return ""


def spaces_in(host: Path) -> list[str]:
    """Return the names of the spaces in a host's directory, none if it cannot be read."""
    return sorted(name for directory in _directories(host) if (name := space_at(host, directory)) is not None)


def space_at(host: Path, directory: str) -> str | None:
    """Return the name of the space whose database is in that directory, None if there is none."""
    if not _is_there(host / directory / "CURRENT"):
        return None
    full_name = None
    if is_cut_name(directory):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            full_name = (host / (directory + _NAME)).read_text("utf-8", "surrogatepass")
    return name_of(directory, full_name)


def unknown_directories(host: Path, known: set[str]) -> list[str]:
    """Return the directories of a host that look like those of spaces and are not `known`."""
    return [directory for directory in _directories(host) if directory not in known]


def prepare_host(host: Path, space: str) -> None:
    """Create the host's directory, and record the full name of a cut one. Raises OSError."""
    host.mkdir(parents=True, exist_ok=True, mode=0o700)
    sync_directory(host.parent)
    directory = directory_name(space)
    if is_cut_name(directory):
        write_atomically(host / (directory + _NAME), space.encode("utf-8", "surrogatepass"))


def delete_database(host: Path, space: str) -> None:
    """Delete a space's directory and its name file, if there are any. Raises OSError.

    The directory is renamed first, so that an incomplete deletion is never mistaken for a space.
    """
    directory = directory_name(space)
    doomed = host / (directory + _DROPPED)
    if all(_is_absent(path) for path in (host / directory, doomed, host / (directory + _NAME))):
        return  # succeeds on a read-only disk, too
    _delete(doomed)
    try:
        (host / directory).rename(doomed)
    except (FileNotFoundError, NotADirectoryError):
        doomed = host / directory
    _delete(doomed)
    (host / (directory + _NAME)).unlink(missing_ok=True)
    sync_directory(host)


def _is_absent(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return False


def set_aside(file: Path) -> Path:
    """Rename a damaged file so that it is kept. Raises OSError."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    kept = file.with_name(f"{file.name}.damaged-{stamp}")
    file.rename(kept)
    return kept


def _directories(host: Path) -> list[str]:
    try:
        with os.scandir(host) as entries:
            return sorted(
                entry.name
                for entry in entries
                if is_directory_name(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []


def _delete(directory: Path) -> None:
    if directory.is_symlink():
        directory.unlink()
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        shutil.rmtree(directory)
