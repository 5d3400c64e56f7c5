"""The Unix socket of a profile's owner: its address, and a client's connection to it.

The owner chooses a directory that belongs to the user and records the address in LOCK, where every process of
the profile reads it. Thus a cron job and a login session find each other although their runtime and temporary
directories differ.

A connection (`Channel`) sends nothing before it knows which user listens there: any user can create a socket in
a directory that is writable for all. Reading a line is limited in size and time, whatever the other end sends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Final

from jobtui import __version__, errors
from jobtui.engine import protocol
from jobtui.errors import OwnerRejected
from jobtui.history.format.disk import Disk
from jobtui.history.format.lock import MAX_ADDRESS_BYTES, WriterWatcher

SOCKET: Final = "owner.sock"
MAX_PATH_BYTES: Final = 103 if sys.platform == "darwin" else 107
"""The bytes of a path that fit in `sockaddr_un`, less the zero at its end."""
_OPEN_FILES: Final = Path("/proc/self/fd")
_OTHERS_WRITE: Final = 0o022
PIECE: Final = 1 << 18
"""The bytes that one call reads from the socket."""
REFUSAL_SECONDS: Final = 1.0  # to read a refusal, which was sent before the connection ended
# How a system returns the credentials of a peer. Linux: pid, uid and gid. macOS and the BSDs (sys/un.h and
# sys/ucred.h) have a level and an option of getsockopt of their own, and the struct xucred: the version, which
# is 0, the user's id, the number of groups, and 16 of them.
_UCRED: Final = struct.Struct("@3i")
SOL_LOCAL: Final = 0
LOCAL_PEERCRED: Final = 1
_XUCRED: Final = struct.Struct("@IIh16I")


def recorded_address(root: Path) -> Path | None:
    """Return the address of the owner of the profile at `root`, None if LOCK records none.

    Raises OSError, and OwnerRejected if the owner is of a version that does not record its address.
    """
    watch = WriterWatcher(Disk(), root / "history")
    try:
        status = watch.read_status()
    finally:
        watch.close()
    if status is not None and status.address is None and not status.closed:
        raise OwnerRejected(
            f"It is jobtui 0.1, which jobtui {__version__} cannot talk to: end it (kill {status.pid}) and run "
            "this again, or use one version"
        )
    return root / status.address if status is not None and status.address else None


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
    """Return a socket bound at `path`, 0600, in place of one that a dead owner left there.

    The directory must be writable by the user alone, or another user could replace the socket. Raises OSError.
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
    """Yield a path for the socket at `path` that is short enough for a socket's address.

    A longer path is reached through an open descriptor of its directory, on systems that have paths for those.
    Raises OSError.
    """
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        yield str(path)
        return
    if not _OPEN_FILES.is_dir():
        problem = f"a socket's path may have {MAX_PATH_BYTES} bytes, and this one is longer"
        raise OSError(errno.ENAMETOOLONG, problem, str(path))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield str(_OPEN_FILES / str(directory) / path.name)
    finally:
        os.close(directory)


def _is_text(path: Path) -> bool:
    """Return whether a JSON string can hold the path unchanged."""
    return str(path).isprintable() and not {'"', "\\"} & {*str(path)}


def _digest(text: str) -> str:
    """Return 16 hexadecimal digits.

    hashlib loads OpenSSL, which costs a hundredth of the dashboard's start.
    """
    data = text.encode(errors="surrogateescape")
    for name in ("_sha2", "_sha256"):  # the interpreter's own, by its name since 3.12 and before
        with contextlib.suppress(ImportError):
            return str(import_module(name).sha256(data).hexdigest())[:16]
    import hashlib

    return hashlib.sha256(data).hexdigest()[:16]


def peer_uid(connection: socket.socket) -> int:
    """Return the effective user id of the process at the other end, as the kernel knows it.

    Raises OSError.
    """
    if sys.platform == "linux":
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return int(_UCRED.unpack(credentials)[1])
    return _uid_of_xucred(connection.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, _XUCRED.size))


def _uid_of_xucred(credentials: bytes) -> int:
    version, uid, _groups = struct.unpack_from("@IIh", credentials)
    if version:
        raise OSError(f"the system gives credentials of an unknown version ({version})")
    return int(uid)


class Channel:
    """A connection that carries one request after another.

    Use it as a context manager, or close it.

    A request that the owner did not accept (`RequestNotAccepted`) had no effect and may be sent again. After
    any other failure, the request may have had an effect, and the channel cannot be used any longer.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()
        self._failed = False

    @classmethod
    def open(cls, address: Path, trusted: frozenset[int], timeout: float | None) -> Channel:
        """Connect to the socket at `address`, made by one of the users `trusted`.

        Raises RequestNotAccepted, OwnerTimeout, and OwnerUntrusted if another user listens there.
        """
        try:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise errors.RequestNotAccepted(f"no connection can be made: {error.strerror}") from None
        try:
            if not stat.S_ISSOCK(address.lstat().st_mode):
                raise errors.RequestNotAccepted(f"{address} is not a socket")
            connection.settimeout(timeout)
            with short_path(address) as name:
                connection.connect(name)
            uid = peer_uid(connection)
        except (TimeoutError, BlockingIOError):
            connection.close()
            raise errors.OwnerTimeout(protocol.SILENT) from None
        except OSError as error:
            connection.close()
            raise errors.RequestNotAccepted(
                f"no jobtui answers at {address}: {error.strerror or error}"
            ) from error
        except BaseException:
            connection.close()
            raise
        if uid not in trusted:
            connection.close()
            raise errors.OwnerUntrusted(
                f"the process that listens at {address} belongs to the user with the id {uid}, not to you: "
                "nothing was sent to it; end it or remove that socket, and start jobtui again"
            )
        return cls(connection)

    @property
    def usable(self) -> bool:
        """Whether another request may be sent here."""
        return not self._failed

    def request(self, request: protocol.RequestBody, seconds: float | None) -> None:
        """Send a request and wait until the owner has accepted it, at most `seconds` for each of the two.

        Raises RequestTooLarge, RequestNotAccepted, OwnerTimeout, and OwnerRejected with the owner's reason.
        """
        self.send(request, seconds)
        try:
            answer = self.read(seconds)
        except errors.OwnerTimeout:
            raise
        except errors.OwnerUnavailable as error:
            raise errors.RequestNotAccepted(str(error)) from None
        if isinstance(answer, protocol.ErrorResponse):
            self._failed = True
            raise refusal_error(answer)

    def send(self, request: protocol.RequestBody, seconds: float | None) -> None:
        """Send a request without waiting for `Accepted`, as for SubscribeRequest.

        Raises as `request`.
        """
        try:
            line = protocol.encode(protocol.Request(request)) + b"\n"
        except UnicodeEncodeError:
            raise errors.OwnerRejected(
                "the text or the current directory has bytes that are not UTF-8, which cannot be sent to the "
                "jobtui that owns this profile: run it once that has ended"
            ) from None
        if len(line) > protocol.MAX_LINE_BYTES:
            raise protocol.RequestTooLarge
        try:
            self._connection.settimeout(seconds)
            self._connection.sendall(line)
        except TimeoutError:
            self._failed = True
            raise errors.OwnerTimeout(protocol.SILENT) from None
        except OSError as error:
            self._failed = True
            cut = errors.RequestNotAccepted(f"the owner did not accept it: {error.strerror or error}")
            raise self._refusal() or cut from None

    def _refusal(self) -> errors.OwnerUnavailable | None:
        """Return the refusal of an owner that ended the connection before it had read everything."""
        try:
            answer = protocol.decode_response(self._line(REFUSAL_SECONDS, protocol.MAX_LINE_BYTES))
        except (OSError, errors.OwnerUnavailable):
            return None
        return refusal_error(answer) if isinstance(answer, protocol.ErrorResponse) else None

    def read(self, seconds: float | None, max_bytes: int | None = None) -> protocol.Response:
        """Return the owner's next response, of at most `max_bytes` (None: MAX_LINE_BYTES).

        Raises OwnerUnavailable, and OwnerTimeout after this many seconds.
        """
        try:
            return protocol.decode_response(self._line(seconds, max_bytes or protocol.MAX_LINE_BYTES))
        except TimeoutError:
            self._failed = True
            raise errors.OwnerTimeout(protocol.SILENT) from None
        except OSError as error:
            self._failed = True
            raise errors.OwnerUnavailable(
                f"the jobtui that owns this profile went away: {error.strerror or error}"
            ) from error
        except BaseException:
            self._failed = True
            raise

    def _line(self, seconds: float | None, max_bytes: int) -> bytes:
        """Return the next line, cut off if the connection ended.

        Raises OSError and OwnerUnavailable.
        """
        until = None if seconds is None else time.monotonic() + seconds
        looked = 0
        while (end := self._received.find(b"\n", looked)) < 0:
            looked = len(self._received)
            if looked > max_bytes:
                raise errors.OwnerUnavailable(
                    f"the process at the socket sent a line of more than {max_bytes} bytes"
                )
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            piece = self._connection.recv(PIECE)
            if not piece:
                break
            self._received += piece
        else:
            looked = end + 1
        line = bytes(self._received[:looked])
        del self._received[:looked]
        return line

    def shut_down(self) -> None:
        """End the connection, from any thread; a read that is waiting in another thread fails."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended already

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refusal_error(denied: protocol.ErrorResponse) -> errors.OwnerUnavailable:
    """Return the error that explains why the owner refuses the client."""
    return errors.RequestNotAccepted(denied.text) if denied.busy else errors.OwnerRejected(denied.text)


def trusted_owners(root: Path) -> frozenset[int]:
    """Return the users whose process may own the profile at `root`: this user, and root.

    root works on other users' profiles too, and then trusts the owner of the directory.
    """
    mine = os.geteuid()
    trusted = {0, mine}
    if mine == 0:
        with suppress(OSError):  # a directory that is not visible adds no user
            trusted.add(root.stat().st_uid)
    return frozenset(trusted)
