"""A space's or host's name as the name of a directory, and back.

Small ASCII letters, digits, `_` and `-` stand for themselves; every other character is percent-encoded,
byte by byte of its UTF-8. So no name can climb out of its directory, hide, or be read as something
else, and two names that differ only in case differ on a disk that is blind to it too. A directory name
never holds a `.`: what lies beside one (`<directory>.name`, `<directory>.dropped`) can't be taken for a space.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from jobtui.files import sync_directory, write_atomically

LONGEST = 180  # characters of a directory's name: file systems allow 255 bytes, what lies beside takes a few
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
_DIRECTORY = re.compile(r"(?:[a-z0-9_-]|%[0-9a-f]{2})+(?:~[0-9a-f]{32})?")


def directory_name(name: str) -> str:
    """The directory name of `name`: one to one, but for a long one, which is cut and carries a hash."""
    encoded = _encoded(name)
    if len(encoded) <= LONGEST:
        return encoded
    return f"{encoded[: LONGEST - 33].rstrip('%')}~{_hash(name)}"


def is_cut(directory: str) -> bool:
    """Whether the directory name holds only the beginning of its name; the rest is in the file beside it."""
    return "~" in directory


def is_directory_name(text: str) -> bool:
    """Whether `text` could be what `directory_name` made; everything else in a host's directory is foreign."""
    return _DIRECTORY.fullmatch(text) is not None and len(text) <= LONGEST


def name_of(directory: str, beside: str | None = None) -> str | None:
    """The name that `directory_name` made `directory` of, None where none did.

    `beside` is the full name kept beside a cut one; it counts only if it really leads to this directory.
    """
    if is_cut(directory):
        return beside if beside is not None and directory_name(beside) == directory else None
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
    import hashlib  # 4 MB in every worker, for names that are hardly ever so long

    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# ---- merged from jobtui.storage.local.places: ----
# The directories of our own databases as files: found, measured, deleted, and files written durably.
#
# Nothing is deleted but a host's directory of a space and what lies beside it, and no link is followed.
#
_TABLES = (".sst", ".ldb", ".blob")
_SST_FILE = re.compile(r"\d+\.(?:sst|ldb)")
_NAME = ".name"  # beside a directory with a cut name: the full one
_DROPPED = ".dropped"  # a directory that is being deleted


def size(path: Path, wal_directory: Path | None = None) -> int:
    """Return the bytes of a database's SST and blob files, or of its WAL if it has none of them yet.

    `wal_directory` is where its WAL is if not in `path`. Files that cannot be read or vanish meanwhile do not
    count.
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
    """Bytes that may still be written on the disk of a directory, or of its nearest parent that exists."""
    for candidate in (path, *path.parents):
        with contextlib.suppress(OSError):
            status = os.statvfs(candidate)
            return status.f_bavail * status.f_frsize
    return None


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
        return 0  # a file, or all of them, was deleted this moment
    return size


def wal_bytes(path: Path) -> int:
    """Return the bytes of the WAL files in a database's directory. Raises OSError."""
    return sum(entry.stat().st_size for entry in os.scandir(path) if entry.name.endswith(".log"))


def host_problem(path: Path, *, holds: bool) -> str:
    """Why a host's directory can't be worked in, "" where it can; one that `holds` nothing need not exist."""
    there = path
    while not holds and not _is_there(there) and there != there.parent:
        there = there.parent
    return _problem(there)


def database_problem(path: Path) -> str:
    """Why an adopted database can't be worked on, "" where nothing is to be seen against it."""
    return _problem(path) or ("" if _is_there(path / "CURRENT") else f"{path}: there is no database here")


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises where a name is too long or may not be read


def _problem(path: Path) -> str:
    try:
        path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return f"{path}: jobtui may not write there"
    return ""


def spaces_in(host: Path) -> list[str]:
    """Names of the spaces whose directories lie in a host's; empty where it can't be read."""
    return sorted(name for place in _directories(host) if (name := space_at(host, place)) is not None)


def space_at(host: Path, place: str) -> str | None:
    """The name of the space whose database is in that directory, None where there is none."""
    if not _is_there(host / place / "CURRENT"):
        return None
    beside = None
    if is_cut(place):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            beside = (host / (place + _NAME)).read_text("utf-8", "surrogatepass")
    return name_of(place, beside)


def unknown_directories(host: Path, known: set[str]) -> list[str]:
    """Directories in a host's that look like spaces' and that no `known` directory name stands for."""
    return [place for place in _directories(host) if place not in known]


def prepare(host: Path, space: str) -> None:
    """Make the host's directory, and keep the full name beside a cut one. Raises OSError."""
    host.mkdir(parents=True, exist_ok=True, mode=0o700)
    sync_directory(host.parent)
    place = directory_name(space)
    if is_cut(place):
        write_atomically(host / (place + _NAME), space.encode("utf-8", "surrogatepass"))


def remove(host: Path, space: str) -> None:
    """Delete a space's directory and what lies beside it; that there is none is no error. Raises OSError.

    It is renamed first, so that half a deletion is never taken for a space.
    """
    place = directory_name(space)
    doomed = host / (place + _DROPPED)
    if all(_is_absent(path) for path in (host / place, doomed, host / (place + _NAME))):
        return  # also where the disk could not be written
    _delete(doomed)
    try:
        (host / place).rename(doomed)
    except (FileNotFoundError, NotADirectoryError):
        doomed = host / place
    _delete(doomed)
    (host / (place + _NAME)).unlink(missing_ok=True)
    if host.exists():
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
