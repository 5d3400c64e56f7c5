"""The HTTP port of a storaged of 3.8.0, with its exact bodies and its long silences.

Like the real one it does not percent-decode the query. `hang` makes calls wait for `go_on`; `body` makes the
next calls of `/admin` answer something else. `engines` holds the RocksDB properties of each data directory by
space; a property that a directory does not have is "0". `statistics` is empty unless the test fills it, as on a
host without `--enable_rocksdb_statistics`; so are `counters` and `flags`, which jobtui does not ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from jobtui.storage.base import CompactionRequest, OperationControl, TaskResult
from jobtui.storage.nebula.storaged import StoragedRunner

WAIT = 20.0
STATUS = '{"git_info_sha":"fa928930a","status":"running"}'
PROPERTIES = """
    total-sst-files-size live-sst-files-size num-files-at-level0 num-files-at-level1 levelstats
    estimate-num-keys estimate-live-data-size estimate-pending-compaction-bytes num-running-compactions
    num-running-flushes compaction-pending mem-table-flush-pending is-write-stopped
    actual-delayed-write-rate cur-size-all-mem-tables num-entries-active-mem-table background-errors
    num-snapshots stats
"""
KNOWN = frozenset(f"rocksdb.{name}" for name in PROPERTIES.split())


class StoragedDouble:
    """The double of a storaged; as a context manager it is up inside the block."""

    def __init__(self, spaces: set[str], *, port: int = 0) -> None:
        self.spaces = spaces
        self.asked: list[tuple[str, str]] = []
        self.queries: list[str] = []
        self.engines: dict[str, list[dict[str, str]]] = {}
        self.statistics: dict[str, int] = {}
        self.flags: dict[str, str] = {}
        self.counters: dict[str, int] = {}
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
        assert self.begun.acquire(timeout=WAIT), "no call came"

    def go_on(self) -> None:
        """Let the calls that hang end."""
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
            assert self._released.wait(WAIT), "the hanging call was not released"
        if self.body is not None:
            return self.body
        if space not in self.spaces:
            return f"Can't find space {space}"
        return "ok" if op in ("flush", "compact") else f"Unknown operation {op}"

    def get(self, path: str, given: dict[str, str]) -> tuple[int, str, str]:
        """Return the status, its reason and the body for a path and its query."""
        if path == "/admin":
            return (
                self.http_status,
                "OK" if self.http_status == 200 else "",
                self.answer(given.get("space"), given.get("op")),
            )
        self.queries.append(path)
        if path == "/status":
            return 200, "OK", STATUS
        if path == "/rocksdb_property":
            return self._properties(given)
        if path == "/rocksdb_stats":
            names = given["stats"].split(",") if "stats" in given else [*self.statistics]
            known = [name for name in names if name in self.statistics]
            if given.get("format") == "json":
                return 200, "OK", json.dumps([{name: self.statistics[name]} for name in known], indent=2)
            return 200, "OK", "".join(f"{name}={self.statistics[name]}\n" for name in known)
        if path == "/stats":
            names = [name for name in given.get("stats", "").split(",") if name]
            return 200, "OK", "".join(f"{name}={self.counters.get(name, _no_metric(name))}\n" for name in names)
        if path == "/flags":
            names = given.get("flags", "").split(",")
            if given.get("format") == "json":
                flags = [{"name": name, "value": int(self.flags[name])} for name in names]
                return 200, "OK", json.dumps({"flags": flags}, indent=2)
            return 200, "OK", "".join(f"{name}={self.flags.get(name, 'nullptr')}\n" for name in names)
        return 404, "Not Found", ""

    def _properties(self, given: dict[str, str]) -> tuple[int, str, str]:
        usage = "Usage: http://ip:port/rocksdb_property?space=xxx&property=yyy"
        space, names = given.get("space"), given.get("property")
        refusal = ""
        if space is None:
            refusal = f"Space should not be empty. {usage}"
        elif names is None:
            refusal = f"Property should not be empty. {usage}"
        elif space not in self.spaces:
            refusal = f"Space not found: {space}"
        elif unknown := [name for name in names.split(",") if name not in KNOWN]:
            refusal = f"Property not found: {unknown[0]}"
        if refusal or space is None or names is None:
            return 400, "Illegal argument", refusal
        engines = self.engines.get(space, [{}])
        answer = [
            {f"Engine {n}": engine.get(name, "0") for n, engine in enumerate(engines)}
            for name in names.split(",")
        ]
        return 200, "OK", json.dumps(answer, indent=2, ensure_ascii=False)


def _no_metric(name: str) -> str:
    return f'"{name}" is not a valid metric name'


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that disconnected."""


def _handler_of(storaged: StoragedDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            storaged._clients.add(self.connection)
            path, _, query = self.path.encode("iso-8859-1").decode().partition("?")
            given = dict(part.partition("=")[::2] for part in query.split("&") if part)
            status, reason, body = storaged.get(path, given)
            storaged._clients.discard(self.connection)
            if storaged.noise:
                self.wfile.write(b"\x15\x03\x01 noise\r\n\r\n")
                self.close_connection = True
                return
            self._send(status, reason, body.encode())

        def do_POST(self) -> None:
            self._send(404, "Not Found", b"")

        def _send(self, status: int, reason: str, data: bytes) -> None:
            self.send_response(status, reason)
            self.send_header("Connection", "keep-alive")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Log nothing: the output belongs to the test."""

    return Handler


async def detached_compact(runner: StoragedRunner, storaged: StoragedDouble) -> TaskResult:
    """The result of a compact of nba that is stopped while its host works on: the host hangs until `go_on`."""
    storaged.hangs = True
    control = OperationControl()
    compacting = asyncio.ensure_future(
        runner.compact("nba", "127.0.0.1", CompactionRequest(), lambda _: None, control)
    )
    await asyncio.to_thread(storaged.wait_for_a_call)
    control.cancel.set()
    return await compacting
