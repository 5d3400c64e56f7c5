"""A client's connection to the socket of the process that owns the profile.

It sends nothing before it knows which user listens there: any user can create a socket in a directory that is
writable for all. Reading a line is limited in size and in time, whatever the other end sends.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

from jobtui import errors
from jobtui.engine import protocol
from jobtui.engine.address import short_path

PIECE = 1 << 18
REFUSAL_SECONDS = 1.0  # to read a refusal, which was sent before the connection ended
# how macOS and the BSDs give a peer's credentials, from sys/un.h and sys/ucred.h: the level and the option of
# getsockopt, and its struct xucred, a version of 0, the user's id, a count of groups and 16 of them
SOL_LOCAL = 0
LOCAL_PEERCRED = 1
_XUCRED = struct.Struct("@IIh16I")
_UCRED = struct.Struct("@3i")


def peer_uid(connection: socket.socket) -> int:
    """Return the effective user id of the process at the other end, as the kernel knows it. Raises OSError."""
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
    """A connection that carries one request after another. Use it as a context manager, or close it.

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
        """Send a request without waiting for `Accepted`, as for SubscribeRequest. Raises as `request`."""
        try:
            line = protocol.encode(protocol.Request(request)) + b"\n"
        except UnicodeEncodeError:
            raise errors.OwnerRejected(
                "the text or the current directory has bytes that are not UTF-8, which cannot be sent to the "
                "jobtui that owns this profile: run it once that has ended"
            ) from None
        if len(line) > protocol.LONGEST_LINE:
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
            answer = protocol.decode_response(self._line(REFUSAL_SECONDS, protocol.LONGEST_LINE))
        except (OSError, errors.OwnerUnavailable):
            return None
        return refusal_error(answer) if isinstance(answer, protocol.ErrorResponse) else None

    def read(self, seconds: float | None, longest: int = 0) -> protocol.Response:
        """Return the owner's next response, of at most `longest` bytes (0: LONGEST_LINE).

        Raises OwnerUnavailable, and OwnerTimeout after so many seconds.
        """
        try:
            return protocol.decode_response(self._line(seconds, longest or protocol.LONGEST_LINE))
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

    def _line(self, seconds: float | None, longest: int) -> bytes:
        """Return the next line, cut off if the connection ended. Raises OSError and OwnerUnavailable."""
        until = None if seconds is None else time.monotonic() + seconds
        looked = 0
        while (end := self._received.find(b"\n", looked)) < 0:
            looked = len(self._received)
            if looked > longest:
                raise errors.OwnerUnavailable(
                    f"the process at the socket sent a line of more than {longest} bytes"
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
