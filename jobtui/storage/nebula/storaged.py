"""A NebulaGraph cluster whose flushes and compactions our engine runs itself, storage host by storage host.

The work goes through each storaged's HTTP port and needs no graphd. The spaces and hosts are graphd's to
tell (3.0 to 3.8), or, where the settings name them, the settings' own (any version, 1.x too).
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ipaddress
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NoReturn

from msgspec.structs import replace

from jobtui.clock import Clock, wait_first
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionStatus, SpaceStats
from jobtui.os_errors import reason_of
from jobtui.storage.base import Capabilities, Host, Pair, Placement, ProgressCallback, Space, TaskResult
from jobtui.storage.nebula.job_manager import GraphdJobManager
from jobtui.storage.nebula.settings import Address, ClusterSettings

CUT_SECONDS = 1.0


class StoragedRunner:
    """A `TaskRunner` over storaged's HTTP port. A stop there is detached: the host goes on to the end."""

    capabilities = Capabilities(exact_progress=False, real_stop=False, create=False, load=False)

    def __init__(self, settings: ClusterSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._graphd = None if settings.spaces else GraphdJobManager(settings, clock=clock)
        self._calls: dict[AdminCall, asyncio.Future[str]] = {}

    @property
    def link(self) -> ConnectionStatus | None:
        """How it stands with the connection to graphd; None where the settings tell all and none is needed."""
        return None if self._graphd is None else self._graphd.link

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Have `listener` called when the connection to graphd changes; the answer ends that."""
        return (lambda: None) if self._graphd is None else self._graphd.watch(listener)

    def retry_now(self) -> None:
        """Try to connect to graphd now."""
        if self._graphd is not None:
            self._graphd.retry_now()

    async def start(self) -> None:
        """See `TaskRunner.start`. Connecting goes on in the background; `spaces` and `hosts` wait for it."""
        if self._graphd is not None:
            await self._graphd.start()

    async def close(self) -> None:
        """See `TaskRunner.close`. Calls under way are no longer waited for; the hosts go on."""
        for call in self._calls:
            call.cut()
        if self._calls:
            await asyncio.wait(self._calls.values(), timeout=CUT_SECONDS)
        if self._graphd is not None:
            await self._graphd.close()

    async def spaces(self) -> tuple[Space, ...]:
        """See `TaskRunner.spaces`."""
        if self._graphd is not None:
            return await self._graphd.spaces()
        return tuple(Space(name, tuple(hosts)) for name, hosts in sorted(self._settings.spaces.items()))

    async def hosts(self) -> tuple[Host, ...]:
        """See `TaskRunner.hosts`. A host is up if its HTTP port takes a connection: that is what work needs."""
        return tuple(await asyncio.gather(*map(self._looked_at, await self._known_hosts())))

    async def stats(self, space: str, host: str) -> SpaceStats:
        """See `TaskRunner.stats`."""
        raise StorageError(ErrorCode.UNSUPPORTED, host, space, "storaged does not tell how large a space is")

    async def flush(
        self, space: str, host: str, progress: ProgressCallback, cancel: asyncio.Event
    ) -> TaskResult:
        """See `TaskRunner.flush`."""
        return await self._carry_out("flush", space, host, cancel)

    async def compact(
        self, space: str, host: str, progress: ProgressCallback, cancel: asyncio.Event
    ) -> TaskResult:
        """See `TaskRunner.compact`."""
        return await self._carry_out("compact", space, host, cancel)

    async def create_space(self, name: str, placement: Placement) -> Space:
        """See `TaskRunner.create_space`."""
        self._refuse(name, "CREATE SPACE")

    async def drop_space(self, name: str) -> None:
        """See `TaskRunner.drop_space`."""
        self._refuse(name, "DROP SPACE")

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """See `TaskRunner.load`."""
        self._refuse(space, "loading pairs")

    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """See `TaskRunner.dump`."""
        self._refuse(space, "dumping pairs")
        yield b"", b""

    async def _carry_out(self, op: str, space: str, host: str, cancel: asyncio.Event) -> TaskResult:
        call = AdminCall(host, self._http(host), space, op, self._settings.connect_timeout)
        answer = call.begin()
        self._calls[call] = answer
        answer.add_done_callback(lambda _: self._calls.pop(call, None))
        await wait_first(answer, cancel.wait())
        if answer.done():
            return _outcome(answer.result(), space, host)
        if call.withdraw():
            await asyncio.wait([answer])
            answer.exception()  # that it was taken back
            return TaskResult(stopped=True)
        return TaskResult(stopped=True, detached=True, released=_end_of(answer))

    async def _known_hosts(self) -> tuple[Host, ...]:
        if self._graphd is not None:
            return await self._graphd.hosts()
        held = [host for hosts in self._settings.spaces.values() for host in hosts]
        return tuple(Host(name, True, spaces=held.count(name)) for name in sorted(set(held)))

    async def _looked_at(self, host: Host) -> Host:
        try:
            address = self._http(host.name)
            async with asyncio.timeout(self._settings.connect_timeout):
                _, writer = await asyncio.open_connection(address.host, address.port)
        except StorageError as error:
            return replace(host, up=False, detail=error.detail)
        except TimeoutError:
            return replace(host, up=False, detail=host.detail or f"no connection to {address} in time")
        except (OSError, UnicodeError) as error:
            return replace(
                host, up=False, detail=host.detail or f"no storaged at {address}: {reason_of(error)}"
            )
        writer.close()
        return replace(host, up=True, detail="")

    def _http(self, host: str) -> Address:
        given = self._settings.storaged.get(host)
        if given is not None:
            return given
        if self._graphd is None:
            try:
                return Address.parse(host, self._settings.storaged_port)
            except ValueError as error:
                raise StorageError(ErrorCode.UNREACHABLE, host, "", str(error)) from None
        if ":" in host and not _is_ipv6(host):  # graphd's name for one of several storageds on a machine
            text = f"several storageds run on one machine: the config must give the HTTP address of '{host}'"
            raise StorageError(ErrorCode.UNSUPPORTED, host, "", text)
        return Address(host, self._settings.storaged_port)

    def _refuse(self, space: str, what: str) -> NoReturn:
        raise StorageError(ErrorCode.UNSUPPORTED, "", space, f"{what} is for embedded storage only")


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _outcome(body: str, space: str, host: str) -> TaskResult:
    if body == "ok":
        return TaskResult()
    code = ErrorCode.MISSING if body.startswith("Can't find space") else ErrorCode.REJECTED
    raise StorageError(code, host, space, body or "storaged gave an empty answer")


def _end_of(answer: asyncio.Future[str]) -> asyncio.Future[None]:
    """Done when the answer has come, or its connection ended."""
    settled: asyncio.Future[None] = answer.get_loop().create_future()

    def end(done: asyncio.Future[str]) -> None:
        done.exception()  # how it ended no longer matters to anybody
        if not settled.done():
            settled.set_result(None)

    answer.add_done_callback(end)
    return settled


# ---- merged from jobtui.storage.nebula.admin: ----
# A storaged's HTTP admin port: one GET has it flush or compact a space, and answers when that is done.
#
#     GET /admin?space=nba&op=compact        →  200, "ok" or the reason why not
#
# What is known of it, from 1.0 to 3.8: every failure is a 200, so only the body tells; the call lasts as long
# as the work; closing it stops nothing. The space's name is not percent-decoded there: it goes out as raw
# UTF-8, and a name with a blank, `&` or `#` can't be said at all.
#
# a storaged's answer is a line; the rest of a longer one is not read. http.client reads at most 100 headers
# before it, each of at most 64 KiB
BODY_LIMIT = 1 << 10
_SAYABLE = re.compile(r"[^\x00-\x20\x7f&#\ud800-\udfff]+")
# a host that vanishes without a word is found out within about a minute, however long its work may last
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class AdminCall:
    """One such GET, in a thread of its own. `begin`, `withdraw` and `cut` belong to one loop."""

    def __init__(self, host: str, address: Address, space: str, op: str, connect_timeout: float) -> None:
        self._host = host
        self._address = address
        self._space = space
        self._op = op
        self._connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._sent = False
        self._withdrawn = False

    def begin(self) -> asyncio.Future[str]:
        """Send it; the answer's body. Fails with StorageError.

        unreachable: nothing was sent. host_died: the connection ended in the middle of the work. rejected:
        what answered is no storaged, or of another mind. unsupported: the name can't be said.
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
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, answer, got)

        threading.Thread(target=run, name=f"jobtui-storaged-{self._host}", daemon=True).start()
        return answer

    def withdraw(self) -> bool:
        """Take it back; False where it is too late, since the host has been told."""
        with self._lock:
            self._withdrawn = not self._sent
        if self._withdrawn:
            self.cut()
        return self._withdrawn

    def cut(self) -> None:
        """End the connection: the answer fails. The host does not notice."""
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    # ---- in the thread

    def _get(self) -> str:
        target = self._target()
        sock = self._connected()
        response = http.client.HTTPResponse(sock, method="GET")
        try:
            with self._lock:
                if self._withdrawn:
                    raise self._error(ErrorCode.UNREACHABLE, "taken back before it was sent")
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
            raise self._error(ErrorCode.REJECTED, f"what answers there is no storaged: {error}") from None
        except OSError as error:
            text = f"the connection to storaged broke while it worked: {reason_of(error)}"
            raise self._error(ErrorCode.HOST_DIED, text) from None
        finally:
            response.close()  # it has the connection open as well
            sock.close()
        if response.status != http.client.OK:
            text = f"what answers there is no storaged's admin port: HTTP {response.status} {response.reason}"
            raise self._error(ErrorCode.REJECTED, text)
        return body

    def _target(self) -> bytes:
        if not _SAYABLE.fullmatch(self._space):
            text = f"storaged's HTTP port can't be told the name '{self._space}': it has a blank, '&' or '#'"
            raise self._error(ErrorCode.UNSUPPORTED, text)
        return f"/admin?space={self._space}&op={self._op}".encode()

    def _connected(self) -> socket.socket:
        try:
            sock = socket.create_connection((self._address.host, self._address.port), self._connect_timeout)
        except TimeoutError:
            raise self._error(
                ErrorCode.UNREACHABLE, f"no connection to storaged at {self._address} in time"
            ) from None
        except (OSError, UnicodeError) as error:
            text = f"no storaged at {self._address}: {reason_of(error)}"
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
    """The body, or as much of it as a reason may be. Raises IncompleteRead where it was cut short."""
    body = response.read(BODY_LIMIT)
    if len(body) < BODY_LIMIT and response.length:
        raise http.client.IncompleteRead(body, response.length)  # a limited read alone would not tell
    words = body.decode("utf-8", "replace").strip()
    return words if len(body) < BODY_LIMIT else f"{words}…"


def _settle(answer: asyncio.Future[str], got: str | StorageError) -> None:
    if answer.done():
        return
    if isinstance(got, StorageError):
        answer.set_exception(got)
        answer.exception()  # it may be that nobody waits for it any more
    else:
        answer.set_result(got)
