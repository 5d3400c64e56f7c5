"""A storaged's HTTP port: its bodies to the letter, its silence about HTTP codes, its hours of work.

Like the real one it does not percent-decode the query. `hang` has calls wait for `go_on`; `body` has the
next calls answer something else.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT = 20.0


class StoragedDouble:
    """See the module. As a context it is up inside and down after."""

    def __init__(self, spaces: set[str], *, port: int = 0) -> None:
        self.spaces = spaces
        self.asked: list[tuple[str, str]] = []
        self.begun = threading.Semaphore(0)
        self.body: str | None = None
        self.http_status = 200
        self.hangs = False
        self.noise = False
        self._released = threading.Event()
        self._clients: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", port), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def wait_for_a_call(self) -> None:
        assert self.begun.acquire(timeout=WAIT), "nobody called"

    def go_on(self) -> None:
        """Let the calls that hang come to their end."""
        self._released.set()

    def die(self) -> None:
        """End like a process that is killed: every connection breaks."""
        self._server.shutdown()
        self._server.server_close()
        for client in [*self._clients]:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._released.set()

    def __enter__(self) -> StoragedDouble:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        self._thread.join(WAIT)

    def answer(self, space: str | None, op: str | None) -> str:
        if space is None:
            return "Space should not be empty. Usage: http://ip:port/admin?space=xx&op=yy"
        if op is None:
            return "Op should not be empty. Usage: http://ip:port/admin?space=xx&op=yy"
        self.asked.append((space, op))
        self.begun.release()
        if self.hangs:
            assert self._released.wait(WAIT), "nobody let go of the call that hangs"
        if self.body is not None:
            return self.body
        if space not in self.spaces:
            return f"Can't find space {space}"
        return "ok" if op in ("flush", "compact") else f"Unknown operation {op}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error here."""


def _handler_of(storaged: StoragedDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            storaged._clients.add(self.connection)
            path, _, query = self.path.encode("iso-8859-1").decode().partition("?")
            given = dict(part.partition("=")[::2] for part in query.split("&"))
            body = storaged.answer(given.get("space"), given.get("op")) if path == "/admin" else ""
            storaged._clients.discard(self.connection)
            if storaged.noise:
                self.wfile.write(b"\x15\x03\x01 noise\r\n\r\n")
                return
            data = body.encode()
            self.send_response(storaged.http_status if path == "/admin" else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """A test's output is the test's."""

    return Handler
