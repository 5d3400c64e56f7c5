"""A graphd that answers each statement with the recorded bytes of a real one."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nebula3.fbthrift.protocol.THeaderProtocol import THeaderProtocol
from nebula3.fbthrift.transport.TTransport import TMemoryBuffer
from nebula3.graph import GraphService

CAPTURES = Path(__file__).parent.parent / "nebula" / "captures"
Record = dict[str, Any]


def captures(file: str = "graphd.jsonl") -> list[Record]:
    """Return the records of a file of captures, in their order."""
    return [json.loads(line) for line in (CAPTURES / file).read_text("utf-8").splitlines()]


class Recording:
    """A server for records: each answer is that of the next record with the same statement.

    A record without an answer ends the connection, like the graphd that was killed.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = list(records)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            while True:
                size = _receive(client, 4)
                answer = self._answer(_statement(size + _receive(client, int.from_bytes(size, "big"))))
                if answer is None:
                    return
                client.sendall(answer)

    def _answer(self, statement: str) -> bytes | None:
        if statement == "(signout)":
            return None  # there is no answer to it
        for at, record in enumerate(self._records):
            if record["statement"] == statement:
                del self._records[at]
                return base64.b64decode(record["response_b64"]) or None
        raise EOFError(f"no record of {statement!r} is left")


def _receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _statement(frame: bytes) -> str:
    """Return the statement of a request in the form of the records."""
    protocol = THeaderProtocol(TMemoryBuffer(frame))
    name, _, _ = protocol.readMessageBegin()
    call = name.decode() if isinstance(name, bytes) else name
    if call not in ("execute", "executeWithParameter"):
        return f"({call})"
    arguments = getattr(GraphService, f"{call}_args")()
    arguments.read(protocol)
    stmt = arguments.stmt
    return stmt.decode() if isinstance(stmt, bytes) else stmt
