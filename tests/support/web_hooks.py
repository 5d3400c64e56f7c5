"""A web hook on this machine, over HTTP or TLS, with given answers; it records its requests."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

HANG = 0
"""Instead of a status: no answer until the server ends."""
TRICKLE = 1
"""Instead of a status: the beginning of an answer, then a byte of it from time to time."""
WAIT = 20.0


class WebHookServer(http.server.ThreadingHTTPServer):
    """`answers` are the statuses of the answers, the last one for all further requests."""

    daemon_threads = True

    def __init__(self, answers: Sequence[int], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.ended = threading.Event()
        self._changed = threading.Condition()
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.server_address[1]}/services/SECRET"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return the posted messages, oldest first."""
        return [message for _, message in self.requests]

    def record(self, path: str, body: bytes) -> int:
        with self._changed:
            self.requests.append((path, json.loads(body)))
            self._changed.notify_all()
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Wait until there are this many messages, and return them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, WAIT), self.requests
        return self.messages

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that refuse the certificate or abort, as some tests make them do."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: WebHookServer

    def do_POST(self) -> None:
        assert self.headers["Content-Type"] == "application/json"
        status = self.server.record(self.path, self.rfile.read(int(self.headers["Content-Length"])))
        if status == TRICKLE:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.server.ended.wait(0.02):
                self.wfile.write(b"x")
        elif status == HANG:
            self.server.ended.wait(WAIT)
        else:
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self) -> None:
        self.server.record(f"GET {self.path}", b"{}")
        self.send_error(404)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def web_hook(*answers: int, tls: ssl.SSLContext | None = None) -> Iterator[WebHookServer]:
    with WebHookServer(answers or (200,), tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()
