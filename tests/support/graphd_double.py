"""A graphd that speaks the real wire protocol, in front of a cluster in memory.

The service's generated code and fbthrift's runtime come with nebula3-python; that package brings no server,
so the accepting is done here, with a thread for each client. Faults are for the next statement alone, and
`down` and `up` are a graphd that ends and is started again at its port; sessions live on in the cluster.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import ssl
import threading
from datetime import datetime
from typing import Any

from nebula3.common.ttypes import DataSet, DateTime, ErrorCode, Row, Value
from nebula3.fbthrift.protocol.THeaderProtocol import THeaderProtocolFactory
from nebula3.fbthrift.server.TServer import TRpcConnectionContext
from nebula3.fbthrift.transport.THeaderTransport import CLIENT_TYPE
from nebula3.fbthrift.transport.TSocket import TSocket
from nebula3.fbthrift.transport.TTransport import TBufferedTransport, TTransportException
from nebula3.graph import GraphService
from nebula3.graph.ttypes import AuthResponse, ExecutionResponse, VerifyClientVersionResp

from tests.support.nebula_cluster import Cluster
from tests.support.nebula_records import GraphdError, Rows

WAIT = 20.0
GREETINGS = (b"3.8.0", b"3.0.0")


class Fault(enum.Enum):
    """A fault that hits the next statement."""

    DROP_BEFORE = "the connection ends before it is carried out"
    DROP_AFTER = "it is carried out and the connection ends before the answer"
    GARBAGE = "it is carried out and the answer is noise"
    HANG = "it is carried out and the answer waits for `go_on`"


class GraphdDouble:
    """The double of a graphd; as a context manager it is up inside the block."""

    def __init__(self, cluster: Cluster, *, tls: ssl.SSLContext | None = None, zone_offset: int = 0) -> None:
        self.cluster = cluster
        self.zone_offset = zone_offset
        self.greetings: tuple[bytes, ...] = GREETINGS
        self.faults: list[Fault] = []
        self.fault_of: dict[str, Fault] = {}  # the faults of the next statements that contain the word
        self.metad_timeout = 0.0  # seconds before a refusal while metad is away: three on a real cluster
        self.hanging = threading.Event()
        self._tls = tls
        self._released = threading.Event()
        self._port = 0
        self._listener: socket.socket | None = None
        self._clients: set[socket.socket] = set()
        self._left = threading.Condition()
        self.connections = 0
        self.up()

    @property
    def port(self) -> int:
        return self._port

    @property
    def clients(self) -> int:
        """The number of open connections."""
        return len(self._clients)

    def up(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=64)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop_clients()

    def drop_clients(self) -> None:
        for client in [*self._clients]:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def wait_until_alone(self, but: int = 0) -> None:
        """Wait until at most this many connections are open."""
        with self._left:
            assert self._left.wait_for(lambda: len(self._clients) <= but, WAIT), "a client is still connected"

    def go_on(self) -> None:
        """Release the calls that hang."""
        self._released.set()

    def __enter__(self) -> GraphdDouble:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self.down()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._clients.add(client)
        try:
            if self._tls is not None:
                raw, client = client, self._tls.wrap_socket(client, server_side=True)
                self._clients.discard(raw)
                self._clients.add(client)
            _Conversation(self, client).hold()
        except (TTransportException, OSError, ValueError, EOFError):
            pass  # the client disconnected, or a fault disconnected it
        finally:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
            with self._left:
                self._clients.discard(client)
                self._left.notify_all()

    def befall(self, text: str) -> Fault | None:
        for word in self.fault_of:
            if word in text:
                return self.fault_of.pop(word)
        return self.faults.pop(0) if self.faults else None

    def wait_for_metad(self) -> None:
        """Wait as graphd does before it gives up a metad that is away."""
        if self.cluster.metad_away:
            self.hanging.set()
            self._released.wait(self.metad_timeout)

    def hang(self) -> None:
        self.hanging.set()
        assert self._released.wait(WAIT), "the hanging statement was not released"


class _Conversation(GraphService.Iface):  # type: ignore[misc]  # untyped base class
    """One client's connection, and graphd's answers on it."""

    def __init__(self, graphd: GraphdDouble, client: socket.socket) -> None:
        self._graphd = graphd
        self._cluster = graphd.cluster
        self._noise = False
        self._client = client
        self._socket = TSocket()
        self._socket.setHandle(client)
        self._plain_write = self._socket.write
        self._socket.write = self._write
        kinds = [CLIENT_TYPE.HEADER, CLIENT_TYPE.FRAMED_DEPRECATED, CLIENT_TYPE.UNFRAMED_DEPRECATED]
        factory = THeaderProtocolFactory(client_types=kinds)
        self._protocol = factory.getProtocol(TBufferedTransport(self._socket))

    def hold(self) -> None:
        processor = GraphService.Processor(self)
        context = TRpcConnectionContext(self._socket, self._protocol, self._protocol)
        while True:
            processor.process(self._protocol, self._protocol, context)

    def _write(self, data: bytes) -> None:
        self._plain_write(b"\x00\x00\x00\x10\x0f\xffnoise noise noise" if self._noise else data)
        if self._noise:
            raise TTransportException(message="after noise")

    # ---- the service

    def verifyClientVersion(self, request: Any) -> VerifyClientVersionResp:  # noqa: N802
        version = request.version if isinstance(request.version, bytes) else request.version.encode()
        if version in self._graphd.greetings:
            return VerifyClientVersionResp(error_code=ErrorCode.SUCCEEDED)
        words = b"Graph client handshakeKey(%s) is not accepted." % version
        return VerifyClientVersionResp(error_code=ErrorCode.E_CLIENT_SERVER_INCOMPATIBLE, error_msg=words)

    def authenticate(self, username: bytes, password: bytes) -> AuthResponse:
        self._graphd.wait_for_metad()
        try:
            session = self._cluster.log_in(username.decode(), password.decode())
        except GraphdError as error:
            return AuthResponse(error_code=_code(error), error_msg=error.words.encode())
        return AuthResponse(
            error_code=ErrorCode.SUCCEEDED,
            session_id=session,
            time_zone_offset_seconds=self._graphd.zone_offset,
            time_zone_name=b"UTC",
        )

    def signout(self, sessionId: int) -> None:  # noqa: N803
        self._cluster.log_out(sessionId)

    def execute(self, sessionId: int, stmt: bytes) -> ExecutionResponse:  # noqa: N803
        return self.executeWithParameter(sessionId, stmt, None)

    def executeWithParameter(self, sessionId: int, stmt: bytes, parameterMap: Any) -> ExecutionResponse:  # noqa: N802, N803
        if sessionId == 0:  # a client's ping
            return ExecutionResponse(
                error_code=ErrorCode.E_SESSION_INVALID, latency_in_us=1, error_msg=b"Invalid session id"
            )
        fault = self._graphd.befall(stmt.decode())
        if fault is Fault.DROP_BEFORE:
            return self._drop()
        self._graphd.wait_for_metad()
        answer = self._answer(sessionId, stmt.decode())
        if fault is Fault.DROP_AFTER:
            return self._drop()
        if fault is Fault.HANG:
            self._graphd.hang()
        self._noise = fault is Fault.GARBAGE
        return answer

    def _drop(self) -> ExecutionResponse:
        self._client.shutdown(socket.SHUT_RDWR)
        return ExecutionResponse(error_code=ErrorCode.SUCCEEDED, latency_in_us=1)  # no client will read it

    def _answer(self, session: int, text: str) -> ExecutionResponse:
        try:
            rows, space = self._cluster.execute(session, text)
        except GraphdError as error:
            return ExecutionResponse(
                error_code=_code(error),
                latency_in_us=1,
                error_msg=error.words.encode(),
                space_name=None if error.space is None else error.space.encode(),
            )
        return ExecutionResponse(
            error_code=ErrorCode.SUCCEEDED,
            latency_in_us=1,
            data=None if rows is None else _data(rows),
            space_name=space.encode(),
        )


def _code(error: GraphdError) -> int:
    return int(ErrorCode._NAMES_TO_VALUES[error.code])


def _data(table: Rows) -> DataSet:
    rows = [Row(values=[_value(cell) for cell in row]) for row in table.rows]
    return DataSet(column_names=[name.encode() for name in table.columns], rows=rows)


def _value(cell: object) -> Value:
    if isinstance(cell, Value):
        return cell
    if isinstance(cell, str):
        return Value(sVal=cell.encode())
    if isinstance(cell, int):
        return Value(iVal=cell)
    if isinstance(cell, datetime):
        day = {"year": cell.year, "month": cell.month, "day": cell.day}
        return Value(dtVal=DateTime(**day, hour=cell.hour, minute=cell.minute, sec=cell.second, microsec=0))
    return Value()
