"""The address of a profile's owner: a Unix socket in a directory that belongs to the user.

The owner chooses the directory and records the address in LOCK, where every process of the profile reads it.
Thus a cron job and a login session find each other although their runtime and temporary directories differ.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from jobtui import __version__
from jobtui.errors import OwnerRejected
from jobtui.history.format.disk import Disk
from jobtui.history.format.lock import MAX_ADDRESS_BYTES, WriterWatcher

SOCKET: Final = "owner.sock"
LONGEST_PATH: Final = 103 if sys.platform == "darwin" else 107
"""The bytes of a path that fit in `sockaddr_un`, less the zero at its end."""
_OPEN_FILES: Final = Path("/proc/self/fd")
_OTHERS_WRITE: Final = 0o022


def recorded_address(root: Path) -> Path | None:
    """Return the address of the owner of the profile at `root`, None if LOCK records none.

    Raises OSError, and OwnerRejected if the owner is of a version that does not record its address.
    """
    watch = WriterWatcher(Disk(), root / "history")
    try:
        mark = watch.read_status()
    finally:
        watch.close()
    if mark is not None and mark.address is None and not mark.closed:
        raise OwnerRejected(
            f"It is jobtui 0.1, which jobtui {__version__} cannot talk to: end it (kill {mark.pid}) and run "
            "this again, or use one version"
        )
    return root / mark.address if mark is not None and mark.address else None


def candidate_addresses(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the sockets that an owner tries in turn, each with the address to record.

    The profile's own directory comes first: a runtime directory is deleted when its login session ends, and a
    temporary one is cleaned up, while a server in the background continues. The others are for a file
    system that has no sockets. An address in the profile is relative: a container may see the profile at
    another path.
    """
    yield root.resolve() / SOCKET, SOCKET
    name = f"{_digest(str(root.resolve()))}.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for directory in (Path(runtime, "jobtui"), Path(f"/tmp/jobtui-{os.getuid()}")):
        path = directory / name
        if directory.is_absolute() and len(os.fsencode(path)) <= MAX_ADDRESS_BYTES and _is_text(path):
            yield path, str(path)


def bind_socket(path: Path) -> socket.socket:
    """Return a socket bound at `path`, 0600, in place of one that a dead owner left there. Raises OSError.

    The directory must be writable by the user alone, or another user could replace the socket.
    """
    directory = path.parent
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "it is not a directory", str(directory))
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(directory))
    if found.st_mode & _OTHERS_WRITE:
        raise PermissionError(errno.EPERM, "other users can write it", str(directory))
    listener = socket.socket(socket.AF_UNIX)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise FileExistsError(errno.EEXIST, "something that is not a socket is there", str(path))
            path.unlink()
        with short_path(path) as name:
            listener.bind(name)
        path.chmod(0o600)
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield a path for the socket at `path` that is short enough for a socket's address. Raises OSError.

    A longer path is reached through an open descriptor of its directory, on systems that have paths for those.
    """
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    if not _OPEN_FILES.is_dir():
        said = f"a socket's path may have {LONGEST_PATH} bytes, and this one is longer"
        raise OSError(errno.ENAMETOOLONG, said, str(path))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield str(_OPEN_FILES / str(directory) / path.name)
    finally:
        os.close(directory)


def _is_text(path: Path) -> bool:
    """Return whether a JSON string can hold the path unchanged."""
    return str(path).isprintable() and not {'"', "\\"} & {*str(path)}


def _digest(text: str) -> str:
    """Return 16 hexadecimal digits. hashlib loads OpenSSL, which costs a hundredth of the dashboard's start."""
    data = text.encode(errors="surrogateescape")
    for name in ("_sha2", "_sha256"):  # the interpreter's own, by its name since 3.12 and before
        with contextlib.suppress(ImportError):
            return str(import_module(name).sha256(data).hexdigest())[:16]
    import hashlib

    return hashlib.sha256(data).hexdigest()[:16]
