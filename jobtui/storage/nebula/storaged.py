"""Flushes and compactions that the engine runs itself, through each storaged's HTTP admin port.

One GET makes a storaged flush or compact a space, and is answered when that is done:

    GET /admin?space=nba&op=compact        →  200, "ok" or the reason why not

From 1.0 to 3.8, every failure is a 200, too, so only the body distinguishes success from failure; the call
lasts as long as the work; closing it stops nothing. Storaged does not percent-decode the name of the space: it
is sent as raw UTF-8, and a name with a blank, `&` or `#` cannot be sent at all.

The calls need no graphd. The spaces and hosts come from graphd (3.0 to 3.8), or from the settings if these name
them (any version, including 1.x).
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NoReturn

from msgspec.structs import replace
from typing_extensions import override

from jobtui.clock import Clock, wait_first
from jobtui.errors import ErrorCode, StorageError
from jobtui.formatting import printable_line
from jobtui.model import ConnectionStatus, SpaceStats
from jobtui.os_errors import bare_reason
from jobtui.storage.base import (
    CompactionFigures,
    CompactionRequest,
    Host,
    OperationControl,
    OperationProgress,
    Pair,
    Placement,
    ProgressCallback,
    Space,
    Storage,
    TaskResult,
)
from jobtui.storage.nebula.job_manager import GraphdJobManager
from jobtui.storage.nebula.properties import SENDABLE, StoragedStats, http_address, verify_compaction
from jobtui.storage.nebula.settings import Address, ClusterSettings

ABORT_SECONDS = 1.0  # for the calls that were aborted to fail


class StoragedRunner(Storage):
    """A `Storage` over storaged's HTTP port.

    A stopped task is detached: its host continues to the end.
    """

    is_space_admin = False

    def __init__(self, settings: ClusterSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._graphd = None if settings.spaces else GraphdJobManager(settings, clock=clock)
        self._stats = StoragedStats(settings, clock=clock)
        self._calls: dict[AdminCall, asyncio.Future[str]] = {}
        self._detached: set[asyncio.Task[str]] = set()

    @property
    def link(self) -> ConnectionStatus | None:
        """The state of the connection to graphd, None if the settings name all spaces and none is needed."""
        return None if self._graphd is None else self._graphd.link

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Call `listener` when the connection to graphd changes. Return a function that ends this."""
        return (lambda: None) if self._graphd is None else self._graphd.watch(listener)

    def retry_now(self) -> None:
        """Try to connect to graphd now."""
        if self._graphd is not None:
            self._graphd.retry_now()

    @override
    async def start(self) -> None:
        if self._graphd is not None:
            await self._graphd.start()

    @override
    async def close(self) -> None:
        for ending in self._detached:
            ending.cancel()  # first: that its connection is aborted is no failure of the host
        for call in self._calls:
            call.abort()
        if self._calls:
            await asyncio.wait(self._calls.values(), timeout=ABORT_SECONDS)
        if self._graphd is not None:
            await self._graphd.close()

    @override
    async def spaces(self) -> tuple[Space, ...]:
        if self._graphd is not None:
            return await self._graphd.spaces()
        return tuple(Space(name, tuple(hosts)) for name, hosts in sorted(self._settings.spaces.items()))

    @override
    async def hosts(self) -> tuple[Host, ...]:
        return tuple(await asyncio.gather(*map(self._probe, await self._known_hosts())))

    @override
    async def stats(self, space: str, host: str) -> SpaceStats:
        return (await self._stats.fetch(space, host)).now

    @override
    async def find_outage(self, space: str, host: str) -> str:
        found = await self._probe(Host(host, True))
        return "" if found.up else found.detail

    @override
    def can_stall(self, space: str, host: str) -> bool:
        return True  # its clients write at any time

    @override
    async def find_stall(self, space: str, host: str) -> str:
        return await self._stats.fetch_stall(space, host)

    @override
    async def figures(
        self, space: str, host: str, request: CompactionRequest | None = None
    ) -> CompactionFigures:
        return (await self._stats.fetch(space, host)).for_compaction()

    @override
    async def flush(
        self, space: str, host: str, progress: ProgressCallback, control: OperationControl
    ) -> TaskResult:
        return await self._run_operation("flush", space, host, progress, control.cancel)

    @override
    async def compact(
        self,
        space: str,
        host: str,
        request: CompactionRequest,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        return await self._run_operation("compact", space, host, progress, control.cancel)

    @override
    async def create_space(self, name: str, placement: Placement) -> Space:
        self._refuse(name, "CREATE SPACE")

    @override
    async def drop_space(self, name: str) -> None:
        self._refuse(name, "DROP SPACE")

    @override
    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        self._refuse(space, "loading pairs")

    @override
    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        self._refuse(space, "dumping pairs")
        yield b"", b""

    async def _run_operation(
        self, op: str, space: str, host: str, progress: ProgressCallback, cancel: asyncio.Event
    ) -> TaskResult:
        address = http_address(self._settings, host)
        before = await self._stats.fetch_if_known(space, host)
        if before is not None:
            progress(OperationProgress(before=before.stats))
        call = AdminCall(host, address, space, op, self._settings.connect_timeout)
        answer = call.start()
        self._calls[call] = answer
        answer.add_done_callback(lambda _: self._calls.pop(call, None))
        await wait_first(answer, cancel.wait())
        sizes = None if before is None else before.stats
        if answer.done():
            return await self._require_success(op, space, host, answer.result(), sizes)
        if call.cancel():
            await asyncio.wait([answer])
            answer.exception()  # marks it as seen: it was canceled
            return TaskResult(stopped=True)
        released = asyncio.create_task(self._await_detached(op, space, host, answer, sizes))
        self._detached.add(released)
        released.add_done_callback(self._detached.discard)
        return TaskResult(stopped=True, detached=True, released=released)

    async def _require_success(
        self, op: str, space: str, host: str, body: str, before: SpaceStats | None
    ) -> TaskResult:
        """Return the sizes before and after an operation that storaged has answered, and a doubt about it.

        Raises StorageError if it failed.
        """
        require_ok(body, space, host)
        after = None if before is None else await self._stats.fetch_if_known(space, host)
        if before is None or after is None:
            return TaskResult()
        note = verify_compaction(before, after.stats) if op == "compact" else ""
        return TaskResult(before, after.stats, note=note)

    async def _await_detached(
        self, op: str, space: str, host: str, answer: asyncio.Future[str], before: SpaceStats | None
    ) -> str:
        """Wait for the host of a stopped task, and return why its work failed or is in doubt, "" if neither."""
        try:
            return (await self._require_success(op, space, host, await answer, before)).note
        except StorageError as error:
            return error.detail

    async def _known_hosts(self) -> tuple[Host, ...]:
        if self._graphd is not None:
            return await self._graphd.hosts()
        held = [host for hosts in self._settings.spaces.values() for host in hosts]
        return tuple(Host(name, True, spaces=held.count(name)) for name in sorted(set(held)))

    async def _probe(self, host: Host) -> Host:
        try:
            address = http_address(self._settings, host.name)
            async with asyncio.timeout(self._settings.connect_timeout):
                _, writer = await asyncio.open_connection(address.host, address.port)
        except StorageError as error:
            return replace(host, detail=error.detail, unconfigured=True)
        except TimeoutError:
            return replace(host, up=False, detail=host.detail or f"no connection to {address} in time")
        except (OSError, UnicodeError) as error:
            return replace(
                host, up=False, detail=host.detail or f"no storaged at {address}: {bare_reason(error)}"
            )
        writer.close()
        return replace(host, up=True, detail="")

    def _refuse(self, space: str, what: str) -> NoReturn:
        raise StorageError(ErrorCode.UNSUPPORTED, "", space, f"{what} is for embedded storage only")


def require_ok(body: str, space: str, host: str) -> None:
    """Raise StorageError unless storaged answers that the work is done."""
    if body != "ok":
        code = ErrorCode.MISSING if body.startswith("Can't find space") else ErrorCode.REJECTED
        # a line, also of a server that is not a storaged and answers with a page
        raise StorageError(code, host, space, printable_line(body) or "storaged gave an empty answer")


BODY_LIMIT = 1 << 10
"""Bytes of an answer: it is a line, and the rest of a longer one is not read.

http.client reads at most 100 headers before it, each of at most 64 KiB.
"""
# a host that vanishes is noticed within about a minute, however long its work lasts
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class AdminCall:
    """A call of storaged's admin port, in a thread of its own.

    The public methods are called in one loop.
    """

    def __init__(self, host: str, address: Address, space: str, op: str, connect_timeout: float) -> None:
        self._host = host
        self._address = address
        self._space = space
        self._op = op
        self._connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._sent = False
        self._is_canceled = False

    def start(self) -> asyncio.Future[str]:
        """Send the request and return a future of the answer's body.

        The future fails with StorageError: unreachable (nothing was sent), host_died (the connection ended in
        the middle of the work), rejected (what answered is not a storaged) or unsupported (the name of the
        space cannot be sent).
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def run() -> None:
            try:
                got: str | StorageError = self._get()
            except StorageError as error:
                got = error
            except Exception as error:
                got = self._error(ErrorCode.IO, f"{type(error).__name__}: {error}")
            with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any longer
                loop.call_soon_threadsafe(_set_result, answer, got)

        threading.Thread(target=run, name=f"jobtui-storaged-{self._host}", daemon=True).start()
        return answer

    def cancel(self) -> bool:
        """Cancel the request before it is sent, and return whether that was possible."""
        with self._lock:
            self._is_canceled = not self._sent
        if self._is_canceled:
            self._disconnect()
        return self._is_canceled

    def abort(self) -> None:
        """Cancel the request; if it was sent, end the connection, while the host continues."""
        if not self.cancel():
            self._disconnect()

    def _disconnect(self) -> None:
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    # ---- in the thread

    def _get(self) -> str:
        target = self._target()
        sock = self._connect()
        response = http.client.HTTPResponse(sock, method="GET")
        try:
            with self._lock:
                if self._is_canceled:
                    raise self._error(ErrorCode.UNREACHABLE, "canceled before it was sent")
                self._sent = True
            sock.sendall(
                b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
                % (target, str(self._address).encode())
            )
            response.begin()
            body = _whole_body(response)
        except http.client.IncompleteRead:
            text = "storaged closed the connection in the middle of its answer"
            raise self._error(ErrorCode.HOST_DIED, text) from None
        except http.client.RemoteDisconnected:
            raise self._error(
                ErrorCode.HOST_DIED, "storaged closed the connection before it answered"
            ) from None
        except http.client.HTTPException as error:
            raise self._error(ErrorCode.REJECTED, f"the server there is not a storaged: {error}") from None
        except OSError as error:
            text = f"the connection to storaged broke while it worked: {bare_reason(error)}"
            raise self._error(ErrorCode.HOST_DIED, text) from None
        finally:
            response.close()  # it has a file of the connection open
            sock.close()
        if response.status != http.client.OK:
            text = f"the server there has no storaged admin port: HTTP {response.status} {response.reason}"
            raise self._error(ErrorCode.REJECTED, text)
        return body

    def _target(self) -> bytes:
        if not SENDABLE.fullmatch(self._space):
            text = f"storaged's HTTP port cannot receive the name '{self._space}': it has a blank, '&' or '#'"
            raise self._error(ErrorCode.UNSUPPORTED, text)
        return f"/admin?space={self._space}&op={self._op}".encode()

    def _connect(self) -> socket.socket:
        try:
            sock = socket.create_connection((self._address.host, self._address.port), self._connect_timeout)
        except TimeoutError:
            raise self._error(
                ErrorCode.UNREACHABLE, f"no connection to storaged at {self._address} in time"
            ) from None
        except (OSError, UnicodeError) as error:
            text = f"no storaged at {self._address}: {bare_reason(error)}"
            raise self._error(ErrorCode.UNREACHABLE, text) from None
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._socket = sock
        return sock

    def _error(self, code: ErrorCode, detail: str) -> StorageError:
        return StorageError(code, self._host, self._space, detail)


def _whole_body(response: http.client.HTTPResponse) -> str:
    """Return the body, shortened to BODY_LIMIT.

    Raises IncompleteRead if the connection ended too early.
    """
    body = response.read(BODY_LIMIT)
    if len(body) < BODY_LIMIT and response.length:
        raise http.client.IncompleteRead(body, response.length)  # a limited read alone does not show it
    words = body.decode("utf-8", "replace").strip()
    return words if len(body) < BODY_LIMIT else f"{words}…"


def _set_result(answer: asyncio.Future[str], got: str | StorageError) -> None:
    if answer.done():
        return
    if isinstance(got, StorageError):
        answer.set_exception(got)
        answer.exception()  # marks it as seen: perhaps no caller waits for it any longer
    else:
        answer.set_result(got)
