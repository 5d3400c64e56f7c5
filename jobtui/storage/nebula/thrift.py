"""A blocking connection to one graphd. The only module that imports nebula3-python.

It uses the client's generated service and its header protocol, and not its `Connection` and `ConnectionPool`.
These open a new connection without the caller's knowledge when an answer is late, have one timeout for
connecting and for answers, lose a slot of the pool at every failed login, do not start while any graphd is
down, and check the name in a certificate differently from TLS clients.

Every failure is a StorageError whose host is the address: unreachable (no connection, or it broke), timeout (no
answer in time), access (login, certificate), unsupported (a graphd of another version).
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace
from nebula3.common.ttypes import DateTime, Value
from nebula3.common.ttypes import ErrorCode as GraphdErrorCode
from nebula3.fbthrift.protocol.TCompactProtocol import readVarint
from nebula3.fbthrift.protocol.THeaderProtocol import THeaderProtocol
from nebula3.fbthrift.transport.THeaderTransport import THeaderTransport
from nebula3.fbthrift.transport.TTransport import TTransportBase, TTransportException
from nebula3.graph import GraphService
from nebula3.graph.ttypes import VerifyClientVersionReq

from jobtui.errors import ErrorCode, StorageError
from jobtui.os_errors import bare_reason
from jobtui.storage.nebula.ngql import (
    PING,
    Cell,
    ErrorReply,
    NgqlTable,
    Reply,
    SameReply,
    plain_message,
)
from jobtui.storage.nebula.settings import Address, ClusterSettings, Secret

CHUNK = 1 << 16
LIMIT_BEFORE_LOGIN = 1 << 20
"""Bytes of one answer: it is a line, but the server may be anything."""
LIMIT_AFTER_LOGIN = 64 << 20
"""Bytes of one answer: a list of 100,000 jobs has about 10 MiB, and 20 times as much once it is decoded."""
MESSAGE_LIMIT = 1 << 12  # characters of a refusal that are kept: they become a job's reason
NOT_READY = "Meta Service not ready"
"""Answer to a login while graphd waits for metad, under the error code of a wrong password."""


class GraphdConnection:
    """A connection to graphd, for one thread. Any other thread may call `abort`."""

    def __init__(self, address: Address, transport: _Transport, settings: ClusterSettings) -> None:
        self.address = address
        self._transport = transport
        self._timeout = settings.answer_timeout
        self._short_timeout = settings.connect_timeout
        self._framing = _Framing(transport)
        self._graphd = GraphService.Client(THeaderProtocol(self._framing))
        self._limit_answers(LIMIT_BEFORE_LOGIN)

    @classmethod
    def open(cls, address: Address, settings: ClusterSettings) -> GraphdConnection:
        """Connect and check the server's version.

        Raises StorageError, and then leaves nothing open.
        """
        transport = _Transport(address, _connect(address, settings))
        try:
            connection = cls(address, transport, settings)
            connection._check_version()
        except BaseException:
            transport.close()
            raise
        return connection

    def log_in(self, user: str, password: Secret) -> int:
        """Open a session and return its id. Raises StorageError."""
        try:
            answer = self._call(
                self._timeout, self._graphd.authenticate, _bytes(user), _bytes(password.reveal())
            )
        except StorageError as error:
            raise self._error(error.code, password.hide_in(error.detail)) from None
        if answer.error_code == GraphdErrorCode.SUCCEEDED:
            self._limit_answers(LIMIT_AFTER_LOGIN)
            return int(answer.session_id)
        words = password.hide_in(plain_message(_text(answer.error_msg)))
        if answer.error_code == GraphdErrorCode.E_BAD_USERNAME_PASSWORD and NOT_READY not in words:
            raise self._error(ErrorCode.ACCESS, f"graphd refused the login of '{user}': {words}")
        raise self._error(
            ErrorCode.UNREACHABLE, f"graphd cannot open a session: {words or _name(answer.error_code)}"
        )

    def execute(self, session: int, text: str) -> Reply:
        """Execute a statement and return the answer.

        If this raises, the statement may have been carried out anyway.
        """
        answer = self._call(self._timeout, self._graphd.executeWithParameter, session, text.encode(), None)
        if answer.error_code != GraphdErrorCode.SUCCEEDED:
            return ErrorReply(_name(answer.error_code), _text(answer.error_msg)[:MESSAGE_LIMIT])
        try:
            return _table(answer.data, _text(answer.space_name))
        except Exception as error:
            raise self._error(ErrorCode.UNREACHABLE, f"graphd's answer cannot be decoded: {error!r}") from None

    def query(self, session: int, text: str, known: str) -> Reply | SameReply:
        """Execute a statement whose answer is long and seldom changes; `known` is the digest of the last one.

        Decoding takes 90 µs for each job of a list, and a cluster keeps its jobs for a week.
        """
        self._framing.known = known
        try:
            reply = self.execute(session, text)
        except _SameAnswer:
            return SameReply()  # its whole frame has been read: the next answer begins with another one
        finally:
            self._framing.known = None
        return replace(reply, digest=self._framing.digest) if isinstance(reply, NgqlTable) else reply

    def is_alive(self) -> bool:
        """Return whether graphd still answers. Nothing is executed."""
        try:
            self._call(self._short_timeout, self._graphd.execute, 0, PING.encode())
        except StorageError:
            return False
        return True

    def log_out(self, session: int) -> None:
        """End the session if graphd is still reachable, and close the connection."""
        with contextlib.suppress(StorageError):
            self._call(self._short_timeout, self._graphd.signout, session)
        self._transport.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def abort(self) -> None:
        """End the connection from any thread. A call that waits for an answer fails at once."""
        self._transport.abort()

    def _check_version(self) -> None:
        try:
            answer = self._call(self._short_timeout, self._graphd.verifyClientVersion, VerifyClientVersionReq())
        except StorageError as error:
            raise self._error(
                ErrorCode.UNREACHABLE,
                f"{error.detail}, at the greeting: it may not be a graphd of 3.x, or it may require TLS",
            ) from None
        if answer.error_code != GraphdErrorCode.SUCCEEDED:
            raise self._error(
                ErrorCode.UNSUPPORTED, f"graphd does not accept this client: {_text(answer.error_msg)}"
            )

    def _limit_answers(self, size: int) -> None:
        """Accept answers of at most `size` bytes from now on."""
        self._framing.set_max_frame_size(size)
        self._transport.limit = size + CHUNK  # more than a frame's own bytes

    def _call(self, timeout: float, act: Any, *arguments: object) -> Any:
        self._transport.start_call(time.monotonic() + timeout)
        try:
            return act(*arguments)
        except (StorageError, _SameAnswer):
            raise
        except TTransportException as error:
            if error.type != TTransportException.INVALID_FRAME_SIZE:
                raise self._error(
                    ErrorCode.UNREACHABLE, f"graphd's answer cannot be decoded: {error}"
                ) from None
            raise self._transport.too_long_error() from None
        except Exception as error:
            # the client's decoder raises many kinds of errors for bytes that it does not expect
            raise self._error(ErrorCode.UNREACHABLE, f"graphd's answer cannot be decoded: {error!r}") from None

    def _error(self, code: ErrorCode, detail: str) -> StorageError:
        return StorageError(code, str(self.address), "", detail)


class _Framing(THeaderTransport):  # type: ignore[misc]
    """The client's framing, which refuses compressed answers: decompressed, they could have any length.

    jobtui does not ask for compression. `known`: the digest of an answer that is not to be decoded again, None
    if no digest is wanted; `digest`: that of the last answer, "" if it has none.
    """

    known: str | None = None
    digest = ""

    def untransform(self, buf: bytes) -> bytes:
        payload: bytes = super().untransform(buf)
        if self.known is not None:
            self.digest = _digest(payload)
            if self.digest and self.digest == self.known:
                raise _SameAnswer
        return payload

    def read_header_format(self, sz: int, header_size: int, data: Any) -> None:
        begin = data.tell()
        readVarint(data)  # the protocol
        if readVarint(data):
            raise TTransportException(TTransportException.INVALID_TRANSFORM, "it is compressed, unrequested")
        data.seek(begin)
        super().read_header_format(sz, header_size, data)


class _SameAnswer(Exception):
    """The end of the decoding of an answer whose digest is known."""


_SUCCESS_AND_LATENCY = b"\x15\x00\x16"
"""In the compact protocol field 1, an i32 that is 0, and the header of field 2, an i64."""


def _digest(payload: bytes) -> str:
    """Return a digest of a successful answer without its latency, which always differs; "" for an error."""
    begin = payload.find(_SUCCESS_AND_LATENCY, 0, 64)  # after the name of the call
    if begin < 0:
        return ""
    end = begin + len(_SUCCESS_AND_LATENCY)
    while end < len(payload) and payload[end] & 0x80:
        end += 1
    digest = hashlib.blake2b(payload[:begin], digest_size=16)
    digest.update(memoryview(payload)[end + 1 :])
    return digest.hexdigest()


class _Transport(TTransportBase):  # type: ignore[misc]
    """A socket for thrift, with one deadline for the whole answer instead of one for each read."""

    def __init__(self, address: Address, sock: socket.socket) -> None:
        self.limit = LIMIT_BEFORE_LOGIN
        self._deadline = 0.0
        self._read = 0
        self._address = address
        self._sock = sock
        self._buffer = bytearray()

    def start_call(self, deadline: float) -> None:
        """Start a call that must be answered by `deadline`, a time of the monotonic clock."""
        self._deadline = deadline
        self._read = 0

    def isOpen(self) -> bool:  # noqa: N802
        return self._sock.fileno() >= 0

    def read(self, size: int) -> bytes:
        if not self._buffer:
            self._receive()
        return self._take(size)

    def readAll(self, size: int) -> bytes:  # noqa: N802
        if size > self.limit:
            raise self.too_long_error()
        while len(self._buffer) < size:
            self._receive()
        return self._take(size)

    def _receive(self) -> None:
        self._set_timeout()
        try:
            piece = self._sock.recv(CHUNK)
        except OSError as error:
            raise self._socket_error(error) from None
        if not piece:
            raise self._unreachable_error("graphd closed the connection")
        self._buffer += piece
        self._read += len(piece)
        if self._read > self.limit:
            raise self.too_long_error()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def write(self, data: bytes) -> None:
        self._set_timeout()
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise self._socket_error(error) from None

    def close(self) -> None:
        self._sock.close()

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            # not SSLSocket.shutdown, which would remove the TLS layer while another thread reads
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _set_timeout(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._timeout_error()
        try:
            self._sock.settimeout(left)
        except OSError as error:
            raise self._socket_error(error) from None

    def _socket_error(self, error: OSError) -> StorageError:
        if isinstance(error, TimeoutError):
            return self._timeout_error()
        return self._unreachable_error(f"the connection broke: {bare_reason(error)}")

    def _timeout_error(self) -> StorageError:
        return StorageError(ErrorCode.TIMEOUT, str(self._address), "", "graphd did not answer in time")

    def too_long_error(self) -> StorageError:
        """Return the error for an answer beyond the limit."""
        limit = (self.limit - 1) >> 20 or 1
        return self._unreachable_error(f"graphd's answer is longer than {limit} MiB, more than jobtui accepts")

    def _unreachable_error(self, detail: str) -> StorageError:
        return StorageError(ErrorCode.UNREACHABLE, str(self._address), "", detail)


def _connect(address: Address, settings: ClusterSettings) -> socket.socket:
    context = None if settings.tls is None else settings.tls.context()
    try:
        sock = socket.create_connection((address.host, address.port), settings.connect_timeout)
    except TimeoutError:
        raise StorageError(ErrorCode.UNREACHABLE, str(address), "", "no connection in time") from None
    except (OSError, UnicodeError) as error:
        raise StorageError(
            ErrorCode.UNREACHABLE, str(address), "", f"no connection: {bare_reason(error)}"
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if context is None or settings.tls is None:
        return sock
    try:
        return context.wrap_socket(sock, server_hostname=settings.tls.server_name or address.host)
    except ssl.SSLCertVerificationError as error:
        sock.close()
        text = f"TLS: graphd's certificate is not trusted: {bare_reason(error)}"
        raise StorageError(ErrorCode.ACCESS, str(address), "", text) from None
    except (OSError, ValueError) as error:
        sock.close()
        text = f"TLS: the handshake failed; graphd may not use TLS: {bare_reason(error)}"
        raise StorageError(ErrorCode.UNREACHABLE, str(address), "", text) from None


def _table(data: Any, space: str) -> NgqlTable:
    if data is None:
        return NgqlTable(space=space)
    columns = tuple(_text(name) for name in data.column_names)
    return NgqlTable(columns, tuple(tuple(map(_cell, row.values)) for row in data.rows), space)


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
    """Return the time, None for one that Python cannot hold in every zone."""
    try:
        moment = datetime(
            held.year, held.month, held.day, held.hour, held.minute, held.sec, held.microsec, tzinfo=UTC
        )
    except (ValueError, OverflowError):
        return None
    return moment if datetime.min.year < moment.year < datetime.max.year else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # as it came from the environment or the command line


def _text(data: bytes | str | None) -> str:
    if data is None:
        return ""
    return data if isinstance(data, str) else data.decode("utf-8", "replace")


def _name(code: int) -> str:
    return str(GraphdErrorCode._VALUES_TO_NAMES.get(code, f"error {code}"))
