"""One connection to one graphd, blocking: the only module that imports nebula3-python.

The client's generated service and its header protocol do the talking. Its `Connection` and
`ConnectionPool` are left out on purpose: they open a new connection behind the caller's back when an
answer is late, have one timeout for connecting and for answers, lose a place in the pool at every login
that fails, will not start while any one graphd is down, and check a certificate's name not as TLS clients do.

Every failure is a StorageError whose host is the address: unreachable (no connection, or it broke),
timeout (no answer in time), access (login, certificate), unsupported (a graphd of another age).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import Any

from nebula3.common.ttypes import DateTime, Value
from nebula3.common.ttypes import ErrorCode as GraphdErrorCode
from nebula3.fbthrift.protocol.TCompactProtocol import readVarint
from nebula3.fbthrift.protocol.THeaderProtocol import THeaderProtocol
from nebula3.fbthrift.transport.THeaderTransport import THeaderTransport
from nebula3.fbthrift.transport.TTransport import TTransportBase, TTransportException
from nebula3.graph import GraphService
from nebula3.graph.ttypes import VerifyClientVersionReq

from jobtui.errors import ErrorCode, StorageError
from jobtui.os_errors import reason_of
from jobtui.storage.nebula.ngql import PING, Cell, ErrorReply, NgqlTable, Reply
from jobtui.storage.nebula.settings import Address, ClusterSettings, Secret

CHUNK = 1 << 16
# bytes of one answer. A list of 100,000 jobs has about 10 MiB, and some 20 times as much once it is decoded.
# Before the login an answer is a line, and what answers there may be anything
MOST_BEFORE_LOGIN = 1 << 20
MOST_AFTER_LOGIN = 64 << 20
WORDS_LIMIT = 1 << 12  # characters of a refusal that are kept: they become a job's reason
# what graphd answers to a login, under its code for a bad password, while it is only waiting for metad
NOT_READY = "Meta Service not ready"


class GraphdConnection:
    """See the module. For one thread, but that any thread may `cut` it."""

    def __init__(self, address: Address, transport: _Transport, settings: ClusterSettings) -> None:
        self.address = address
        self._transport = transport
        self._timeout = settings.answer_timeout
        self._short_timeout = settings.connect_timeout
        self._framed = _Framed(transport)
        self._graphd = GraphService.Client(THeaderProtocol(self._framed))
        self._allow(MOST_BEFORE_LOGIN)

    @classmethod
    def open(cls, address: Address, settings: ClusterSettings) -> GraphdConnection:
        """Connect and exchange greetings. Nothing of it is left where that fails."""
        transport = _Transport(address, _connected(address, settings))
        try:
            line = cls(address, transport, settings)
            line._greet()
        except BaseException:
            transport.close()
            raise
        return line

    def log_in(self, user: str, password: Secret) -> int:
        """The id of a new session."""
        try:
            answer = self._call(
                self._timeout, self._graphd.authenticate, _bytes(user), _bytes(password.reveal())
            )
        except StorageError as error:
            raise self._error(error.code, password.hidden_in(error.detail)) from None
        if answer.error_code == GraphdErrorCode.SUCCEEDED:
            self._allow(MOST_AFTER_LOGIN)
            return int(answer.session_id)
        words = password.hidden_in(_text(answer.error_msg))
        if answer.error_code == GraphdErrorCode.E_BAD_USERNAME_PASSWORD and NOT_READY not in words:
            raise self._error(ErrorCode.ACCESS, f"graphd refused the login of '{user}': {words}")
        raise self._error(
            ErrorCode.UNREACHABLE, f"graphd can't open a session: {words or _name(answer.error_code)}"
        )

    def execute(self, session: int, text: str) -> Reply:
        """Say `text` and wait for the answer. Whatever this raises, it may have been carried out."""
        answer = self._call(self._timeout, self._graphd.executeWithParameter, session, text.encode(), None)
        if answer.error_code != GraphdErrorCode.SUCCEEDED:
            return ErrorReply(_name(answer.error_code), _text(answer.error_msg)[:WORDS_LIMIT])
        try:
            return _table(answer.data)
        except Exception as error:
            raise self._error(ErrorCode.UNREACHABLE, f"graphd's answer makes no sense: {error!r}") from None

    def alive(self) -> bool:
        """Whether the other end still answers; nothing is carried out."""
        try:
            self._call(self._short_timeout, self._graphd.execute, 0, PING.encode())
        except StorageError:
            return False
        return True

    def log_out(self, session: int) -> None:
        """Give the session back and close, as far as that can be done."""
        with contextlib.suppress(StorageError):
            self._call(self._short_timeout, self._graphd.signout, session)
        self._transport.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()

    def cut(self) -> None:
        """End the connection under a call that waits, from any thread: the call fails at once."""
        self._transport.cut()

    def _greet(self) -> None:
        try:
            answer = self._call(self._short_timeout, self._graphd.verifyClientVersion, VerifyClientVersionReq())
        except StorageError as error:
            raise self._error(
                ErrorCode.UNREACHABLE,
                f"{error.detail}, at the greeting: it may be no graphd of 3.x, or want TLS",
            ) from None
        if answer.error_code != GraphdErrorCode.SUCCEEDED:
            raise self._error(
                ErrorCode.UNSUPPORTED, f"graphd does not accept this client: {_text(answer.error_msg)}"
            )

    def _allow(self, size: int) -> None:
        """Read answers of at most so many bytes from here on."""
        self._framed.set_max_frame_size(size)
        self._transport.most = size + CHUNK  # with what stands before and after a frame

    def _call(self, timeout: float, act: Any, *arguments: object) -> Any:
        self._transport.begin(time.monotonic() + timeout)
        try:
            return act(*arguments)
        except StorageError:
            raise
        except TTransportException as error:
            if error.type != TTransportException.INVALID_FRAME_SIZE:
                raise self._error(ErrorCode.UNREACHABLE, f"graphd's answer makes no sense: {error}") from None
            raise self._transport.too_long() from None
        except Exception as error:
            # whatever the client's decoding raises at a byte that should not be there
            raise self._error(ErrorCode.UNREACHABLE, f"graphd's answer makes no sense: {error!r}") from None

    def _error(self, code: ErrorCode, detail: str) -> StorageError:
        return StorageError(code, str(self.address), "", detail)


class _Framed(THeaderTransport):  # type: ignore[misc]
    """The client's framing, without compressed answers, which could be of any length: jobtui asks for none."""

    def read_header_format(self, sz: int, header_size: int, data: Any) -> None:
        begin = data.tell()
        readVarint(data)  # the protocol
        if readVarint(data):
            raise TTransportException(TTransportException.INVALID_TRANSFORM, "it is compressed, unasked")
        data.seek(begin)
        super().read_header_format(sz, header_size, data)


class _Transport(TTransportBase):  # type: ignore[misc]
    """A socket as thrift wants it, with a deadline for the whole answer instead of one for each piece."""

    def __init__(self, address: Address, sock: socket.socket) -> None:
        self.most = MOST_BEFORE_LOGIN
        self._deadline = 0.0
        self._read = 0
        self._address = address
        self._sock = sock
        self._buffer = bytearray()

    def begin(self, deadline: float) -> None:
        """Begin a call that must be answered by then."""
        self._deadline = deadline
        self._read = 0

    def isOpen(self) -> bool:  # noqa: N802
        return self._sock.fileno() >= 0

    def read(self, size: int) -> bytes:
        if not self._buffer:
            self._receive()
        return self._taken(size)

    def readAll(self, size: int) -> bytes:  # noqa: N802
        if size > self.most:
            raise self.too_long()
        while len(self._buffer) < size:
            self._receive()
        return self._taken(size)

    def _receive(self) -> None:
        self._wait_in_time()
        try:
            piece = self._sock.recv(CHUNK)
        except OSError as error:
            raise self._failed(error) from None
        if not piece:
            raise self._broken("graphd closed the connection")
        self._buffer += piece
        self._read += len(piece)
        if self._read > self.most:
            raise self.too_long()

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def write(self, data: bytes) -> None:
        self._wait_in_time()
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        self._sock.close()

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            # not SSLSocket's own shutdown, which would unwrap it under the thread that reads
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _wait_in_time(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._late()
        try:
            self._sock.settimeout(left)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> StorageError:
        if isinstance(error, TimeoutError):
            return self._late()
        return self._broken(f"the connection broke: {reason_of(error)}")

    def _late(self) -> StorageError:
        return StorageError(ErrorCode.TIMEOUT, str(self._address), "", "graphd did not answer in time")

    def too_long(self) -> StorageError:
        """Return the error for an answer beyond the limit."""
        limit = (self.most - 1) >> 20 or 1
        return self._broken(f"graphd's answer is longer than {limit} MiB, the most that jobtui reads")

    def _broken(self, detail: str) -> StorageError:
        return StorageError(ErrorCode.UNREACHABLE, str(self._address), "", detail)


def _connected(address: Address, settings: ClusterSettings) -> socket.socket:
    context = None if settings.tls is None else settings.tls.context()
    try:
        sock = socket.create_connection((address.host, address.port), settings.connect_timeout)
    except TimeoutError:
        raise StorageError(ErrorCode.UNREACHABLE, str(address), "", "no connection in time") from None
    except (OSError, UnicodeError) as error:
        raise StorageError(
            ErrorCode.UNREACHABLE, str(address), "", f"no connection: {reason_of(error)}"
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if context is None or settings.tls is None:
        return sock
    try:
        return context.wrap_socket(sock, server_hostname=settings.tls.server_name or address.host)
    except ssl.SSLCertVerificationError as error:
        sock.close()
        text = f"TLS: graphd's certificate is not trusted: {reason_of(error)}"
        raise StorageError(ErrorCode.ACCESS, str(address), "", text) from None
    except (OSError, ValueError) as error:
        sock.close()
        text = f"TLS: no agreement with graphd, which may speak none: {reason_of(error)}"
        raise StorageError(ErrorCode.UNREACHABLE, str(address), "", text) from None


def _table(data: Any) -> NgqlTable:
    if data is None:
        return NgqlTable()
    columns = tuple(_text(name) for name in data.column_names)
    return NgqlTable(columns, tuple(tuple(map(_cell, row.values)) for row in data.rows))


def _cell(value: Any) -> Cell:
    kind, held = value.field, value.value
    if kind == Value.SVAL:
        return _text(held)
    if kind in (Value.IVAL, Value.BVAL, Value.FVAL):
        return held  # type: ignore[no-any-return]
    if kind == Value.DTVAL:
        return _time(held)
    return None


def _time(held: DateTime) -> datetime | None:
    """The time, None where it is none that a clock in any zone could show: a zeroed one, or a 60th second."""
    try:
        told = datetime(
            held.year, held.month, held.day, held.hour, held.minute, held.sec, held.microsec, tzinfo=UTC
        )
    except (ValueError, OverflowError):
        return None
    return told if datetime.min.year < told.year < datetime.max.year else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # as it came from the environment or the command line


def _text(data: bytes | str | None) -> str:
    if data is None:
        return ""
    return data if isinstance(data, str) else data.decode("utf-8", "replace")


def _name(code: int) -> str:
    return str(GraphdErrorCode._VALUES_TO_NAMES.get(code, f"error {code}"))
