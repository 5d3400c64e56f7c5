"""How much of an answer is read, whatever the other end announces or sends."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import zlib
from collections.abc import Iterator

import pytest

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.nebula import thrift
from jobtui.storage.nebula.settings import Address
from jobtui.storage.nebula.storaged import BODY_LIMIT, AdminCall
from jobtui.storage.nebula.thrift import GraphdConnection
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import run, settings_for
from tests.support.nebula_cluster import Cluster

HEADER = b"\x0f\xff" + bytes(6) + b"\0\1" + b"\x02\x00\x00\x00"
ANNOUNCED = {
    "1 GiB": struct.pack("!I", (1 << 30) - 1) + HEADER,
    "a big frame of an exabyte": b"BIGF" + struct.pack("!Q", 1 << 60) + HEADER,
    "1 GiB without a header": struct.pack("!I", 1 << 29) + b"\x82\x21",
    "an older framing": struct.pack("!I", 1 << 29) + b"\x80\x01",
    "less than it sends": struct.pack("!I", 2) + b"\x0f\xff",
    "nothing": b"\x00" * 16,
    "HTTP": b"HTTP/1.1 200 OK\r\n\r\n",
}


class Endless:
    """A server that answers whatever it is sent with `begin`, and then zeros for as long as they are read."""

    def __init__(self, begin: bytes) -> None:
        self.begin = begin
        self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(self.begin)
                while True:
                    self.sent += client.send(bytes(1 << 16))

    def __enter__(self) -> Endless:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def double() -> Iterator[GraphdDouble]:
    with GraphdDouble(Cluster()) as graphd:
        yield graphd


class TestGraphd:
    @pytest.mark.parametrize("begin", ANNOUNCED.values(), ids=ANNOUNCED.keys())
    def test_before_login_little_is_read(self, double: GraphdDouble, begin: bytes) -> None:
        with Endless(begin) as server, pytest.raises(StorageError) as failed:
            GraphdConnection.open(server.address, settings_for(double))
        assert failed.value.code is ErrorCode.UNREACHABLE
        # what is read, and what the system holds for both ends
        assert server.sent < thrift.LIMIT_BEFORE_LOGIN + (16 << 20)

    def test_announced_length_is_in_the_reason(self, double: GraphdDouble) -> None:
        with Endless(ANNOUNCED["1 GiB"]) as server, pytest.raises(StorageError, match="longer than 1 MiB"):
            GraphdConnection.open(server.address, settings_for(double))

    def test_after_login_the_limit_is_higher(
        self, double: GraphdDouble, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(thrift, "LIMIT_BEFORE_LOGIN", 1 << 10)
        line = GraphdConnection.open(Address("127.0.0.1", double.port), settings_for(double))
        session = line.log_in("root", settings_for(double).password.read())
        assert line._transport.limit == thrift.LIMIT_AFTER_LOGIN + thrift.CHUNK
        line._limit_answers(16)
        with pytest.raises(StorageError, match="longer than 1 MiB, more than jobtui accepts"):
            line.execute(session, "SHOW SPACES")
        line.close()

    def test_compressed_answer_is_refused(self, double: GraphdDouble) -> None:
        bomb = zlib.compress(bytes(64 << 20))
        payload = b"\x02\x01\x01\x00" + bomb
        frame = b"\x0f\xff" + bytes(6) + b"\0\1" + payload
        with (
            Endless(struct.pack("!I", len(frame)) + frame) as server,
            pytest.raises(StorageError, match="it is compressed, unrequested"),
        ):
            GraphdConnection.open(server.address, settings_for(double))


class TestStoraged:
    @pytest.mark.parametrize(
        "begin",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Long: ",
            b"HTTP/1.1 200 ",
            b"HTTP/1.1 100 Continue\r\nX-Long: ",
            b"",
        ],
        ids=["announced", "chunked", "unannounced", "header", "status", "continue", "no HTTP"],
    )
    def test_little_of_an_endless_answer_is_read(self, begin: bytes) -> None:
        async def test(server: Endless) -> str:
            try:
                return await AdminCall("h1", server.address, "nba", "flush", 5.0).start()
            except StorageError as error:
                return error.detail

        with Endless(begin) as server:
            message = run(test(server))
        assert len(message) < 2 * BODY_LIMIT
        assert server.sent < 16 << 20
