"""Files in jobtui's own directories: private, and never written through a link.

The history has a `Disk` of its own, whose every call a test can make fail.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_OTHERS_WRITE = 0o022


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file as a whole: a reader sees the old content or the new. Raises OSError.

    If the machine crashes, both can be lost; `write_atomically` prevents that.
    """
    _replace(path, data, durably=False)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole and durably: a crash leaves the old content or the new.

    Raises OSError.
    """
    _replace(path, data, durably=True)
    sync_directory(path.parent)


def publish_file(path: Path, data: bytes) -> None:
    """Replace a file as a whole, and let every user read it, whatever the umask.

    Raises OSError, also if anything but a file has the path: to replace /dev/null or /dev/stdout would harm
    others.
    """
    if os.path.lexists(path):
        _require_regular(path.lstat().st_mode, path)
    _replace(path, data, durably=False, mode=0o644)


def _replace(path: Path, data: bytes, *, durably: bool, mode: int | None = None) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")  # two processes may write the same file
    try:
        with open(open_new(draft), "wb") as file:
            file.write(data)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            if durably:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def sync_directory(directory: Path) -> None:
    """Make the creations, renames and deletions in a directory survive a crash.

    Raises OSError.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_new(path: Path) -> int:
    """Create a file with mode 0600, in place of anything that has its name, and open it.

    Raises OSError.
    """
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def open_to_append(path: Path) -> int:
    """Open a file for appending, and create it with mode 0600 if it does not exist.

    Raises OSError.

    Only a regular file is accepted: a link leads elsewhere, and a pipe would block.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from None
        raise error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def read_regular(path: Path, max_bytes: int = -1) -> bytes:
    """Return a file's bytes, the first `max_bytes` of them unless it is negative.

    Raises OSError, also for a pipe or a device, which could block forever.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(file).st_mode, path)
        with open(file, "rb", closefd=False) as stream:
            return stream.read(max_bytes)
    finally:
        os.close(file)


def _require_regular(mode: int, path: Path) -> None:
    """Raise OSError if this is not the mode of a regular file."""
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a directory", stat.S_IFLNK: "a link"}
        what = kinds.get(stat.S_IFMT(mode), "a device")
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))


def read_private(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a file of jobtui's own.

    Raises OSError, also for a link or more than `max_bytes` bytes.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(file, "rb") as stream:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size > max_bytes:
            raise OSError(errno.EINVAL, "it is not a file that jobtui wrote", str(path))
        return stream.read(max_bytes)


def foreign_owner(directory: Path) -> str:
    """Return why this user must not create files in the directory, "" if nothing forbids it.

    If the directory does not exist yet, its nearest existing parent is judged instead, and only root is
    refused: any user may create a directory in /tmp, but one that root creates in a user's home locks that user
    out.
    """
    existing = next(path for path in (directory, *directory.absolute().parents) if os.path.lexists(path))
    try:
        owner = existing.stat().st_uid
        if owner == os.geteuid() or (existing != directory and os.geteuid() != 0):
            return ""
        import tempfile  # late: takes a hundredth of a start, and is rarely needed

        # a file system without owners, or with mapped ones, gives each file to the directory's owner
        with tempfile.TemporaryFile(dir=existing) as probe:
            if os.fstat(probe.fileno()).st_uid == owner:
                return ""
    except OSError:
        return ""  # creating the file will fail with the system's own reason
    name, me = user_name(owner), user_name(os.geteuid())
    return (
        f"{existing} belongs to {name}, who could not use what {me} makes there; "
        f"run jobtui as {name}, or name another directory with --data-dir"
    )


def temporary_parent(*fallbacks: Path) -> Path:
    """Return the system's directory for temporary files, else the first writable fallback.

    Raises FileNotFoundError if there is none, for instance if every file system is read-only.
    """
    import tempfile  # late: as above

    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        for directory in fallbacks:
            if os.access(directory, os.W_OK | os.X_OK):
                return directory
    raise FileNotFoundError(errno.ENOENT, "no directory for temporary files can be written; set TMPDIR to one")


def user_name(uid: int) -> str:
    """Return the user's name, `user 1001` if the system knows none."""
    import pwd  # late: as above

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def others_can_write(directory: Path) -> bool:
    """Return whether other users may create, rename and delete files in the directory.

    Raises OSError.
    """
    found = directory.stat()
    return bool(found.st_mode & _OTHERS_WRITE) and not found.st_mode & stat.S_ISVTX
