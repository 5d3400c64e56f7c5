"""Files of jobtui's own directories: made private, written through no symbolic link, owned by their user."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_OTHERS_WRITE = 0o022


def open_new(path: Path) -> int:
    """Create a file, 0600, and open it for writing; whatever had the name loses it. Raises OSError."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def open_to_append(path: Path) -> int:
    """Open a file to append to it, created 0600 if it is not there. Raises OSError.

    Anything that is not a regular file is refused: a link leads elsewhere, and a pipe would block.
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


def read_regular(path: Path) -> bytes:
    """Return a file's bytes. Raises OSError, also for a pipe or a device, which could block for ever."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        kind = os.fstat(file).st_mode
        if not stat.S_ISREG(kind):
            what = "a pipe" if stat.S_ISFIFO(kind) else "a directory" if stat.S_ISDIR(kind) else "a device"
            raise OSError(errno.EINVAL, f"it is {what}, where a file belongs", str(path))
        with open(file, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(file)


def foreign_owner(directory: Path) -> str:
    """Return why this user must not make files in the directory: it is another user's; "" if it is not.

    A directory that does not exist yet is judged by the nearest one above it, and then for root alone:
    anyone may make a directory of their own in /tmp, but what root makes in a user's home locks them out.
    """
    place = next(place for place in (directory, *directory.absolute().parents) if os.path.lexists(place))
    try:
        owner = place.stat().st_uid
        if owner == os.geteuid() or (place != directory and os.geteuid() != 0):
            return ""
        import tempfile  # here: a hundredth of a start, and hardly ever needed

        # file systems without owners, and mapped ones, give each file to the directory's owner
        with tempfile.TemporaryFile(dir=place) as probe:
            if os.fstat(probe.fileno()).st_uid == owner:
                return ""
    except OSError:
        return ""  # the system refuses it itself, with its own reason
    name, me = user_name(owner), user_name(os.geteuid())
    return (
        f"{place} belongs to {name}, who could not use what {me} makes there; "
        f"run jobtui as {name}, or name another directory with --data-dir"
    )


def temporary_parent(*fallbacks: Path) -> Path:
    """Return where temporary files can be made: the system's place, else the first fallback that allows it.

    Raises FileNotFoundError if there is none, as where everything is read-only.
    """
    import tempfile  # here: as above

    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        for directory in fallbacks:
            if os.access(directory, os.W_OK | os.X_OK):
                return directory
    raise FileNotFoundError(errno.ENOENT, "no directory for temporary files can be written; set TMPDIR to one")


def user_name(uid: int) -> str:
    """Return the user's name, or the number of one who has none."""
    import pwd  # here: as above

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def others_can_write(directory: Path) -> bool:
    """Whether another user may make, rename and delete files in the directory. Raises OSError."""
    found = directory.stat()
    return bool(found.st_mode & _OTHERS_WRITE) and not found.st_mode & stat.S_ISVTX
