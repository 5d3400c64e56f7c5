"""A storaged's HTTP admin port: one GET has it flush or compact a space, and answers when that is done.

    GET /admin?space=nba&op=compact        →  200, "ok" or the reason why not

What is known of it, from 1.0 to 3.8: every failure is a 200, so only the body tells; the call lasts as long
as the work; closing it stops nothing. The space's name is not percent-decoded there: it goes out as raw
UTF-8, and a name with a blank, `&` or `#` can't be said at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import socket
import threading

from jobtui.errors import Code, StorageError
from jobtui.os_errors import reason_of
from jobtui.storage.nebula.settings import Address

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
                got = self._error(Code.IO, f"{type(error).__name__}: {error}")
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
                    raise self._error(Code.UNREACHABLE, "taken back before it was sent")
                self._sent = True
            sock.sendall(
                b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
                % (target, str(self._address).encode())
            )
            response.begin()
            body = _whole_body(response)
        except http.client.IncompleteRead:
            text = "storaged closed the connection in the middle of its answer"
            raise self._error(Code.HOST_DIED, text) from None
        except http.client.RemoteDisconnected:
            raise self._error(Code.HOST_DIED, "storaged closed the connection before it answered") from None
        except http.client.HTTPException as error:
            raise self._error(Code.REJECTED, f"what answers there is no storaged: {error}") from None
        except OSError as error:
            text = f"the connection to storaged broke while it worked: {reason_of(error)}"
            raise self._error(Code.HOST_DIED, text) from None
        finally:
            response.close()  # it has the connection open as well
            sock.close()
        if response.status != http.client.OK:
            text = f"what answers there is no storaged's admin port: HTTP {response.status} {response.reason}"
            raise self._error(Code.REJECTED, text)
        return body

    def _target(self) -> bytes:
        if not _SAYABLE.fullmatch(self._space):
            text = f"storaged's HTTP port can't be told the name '{self._space}': it has a blank, '&' or '#'"
            raise self._error(Code.UNSUPPORTED, text)
        return f"/admin?space={self._space}&op={self._op}".encode()

    def _connected(self) -> socket.socket:
        try:
            sock = socket.create_connection((self._address.host, self._address.port), self._connect_timeout)
        except TimeoutError:
            raise self._error(
                Code.UNREACHABLE, f"no connection to storaged at {self._address} in time"
            ) from None
        except (OSError, UnicodeError) as error:
            text = f"no storaged at {self._address}: {reason_of(error)}"
            raise self._error(Code.UNREACHABLE, text) from None
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._socket = sock
        return sock

    def _error(self, code: Code, detail: str) -> StorageError:
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
