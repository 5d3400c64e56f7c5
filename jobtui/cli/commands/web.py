"""`jobtui web`: the dashboard in browsers, over HTTP on the loopback address.

Each tab is a jobtui process on a pseudo-terminal. The terminal emulator of the page is textual-serve's. What it
sends over the websocket is written to the pseudo-terminal, and the output is sent back. The end of a tab hangs
its terminal up, as the end of an ssh connection does, and no process of it is left.

Every request is checked before anything else is done:

- The path begins with a random token, which is printed once at the start. It is not a cookie: browsers send a
  cookie to every port of a host, so that other users' servers on this machine would receive it.
- The Host header names this machine, or the proxy of `--url`. So a name that an attacker controls and points to
  this machine (DNS rebinding) is refused.
- An Origin header, which is sent with every websocket that a page opens, is this server's own.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hmac
import html
import json
import os
import pty
import secrets
import signal
import socket
import struct
import termios
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web

from jobtui.cli.commands.serve import require_stored_password
from jobtui.cli.errors import SIGNALS, CommandError, Exit, UsageError
from jobtui.cli.options import WebCommand
from jobtui.cli.profiles import profile_options, read_settings, resolve_profile
from jobtui.cli.streams import StdoutWriter, print_error
from jobtui.engine.profile import Profile
from jobtui.formatting import format_count
from jobtui.interpreter import interpreter_command, interpreter_environment
from jobtui.os_errors import describe_os_error

LOOPBACK = "127.0.0.1"
LOCAL_NAMES = frozenset({LOOPBACK, "localhost", "::1"})
END_SECONDS = 45.0
"""How long a tab's process may take to end: a server that continues its jobs may take 30 s to start."""
CLOSE_SECONDS = 2.0  # how long a browser may take to confirm the end of a tab
HEARTBEAT_SECONDS = 15.0  # a connection that was lost without a word is noticed within twice this time
MAX_CELLS = 1000  # columns or rows; a size is allocated in full

_PAGE = Path(__file__).resolve().parent.parent / "browser"
_EMULATOR = Path(textual_serve.__file__).resolve().parent / "static"
_FILES = {
    "page.js": _PAGE / "page.js",
    "page.css": _PAGE / "page.css",
    "textual.js": _EMULATOR / "js" / "textual.js",
    "xterm.css": _EMULATOR / "css" / "xterm.css",
    "RobotoMono.ttf": _EMULATOR / "fonts" / "RobotoMono-VariableFont_wght.ttf",
}
_HEADERS = {
    # the terminal emulator sets style attributes and adds style elements
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the address contains the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Server": "jobtui",  # no versions
}
# what describes the terminal or the desktop that the server was started from; a tab has neither
_NOT_INHERITED = (
    "COLUMNS",
    "LINES",
    "TMUX",
    "STY",
    "TERM_PROGRAM",
    "WT_SESSION",
    "ConEmuANSI",
    "DISPLAY",
    "WAYLAND_DISPLAY",
)


def serve_browsers(command: WebCommand) -> int:
    """Serve the dashboard to browsers until a signal arrives, and return the exit status.

    Raises CommandError if the profile or the port cannot be used.
    """
    profile = resolve_profile(command, read_settings(command))
    if command.writable and profile.read_only:
        raise UsageError(f"{profile.read_only_reason}; --writable cannot change that")
    require_stored_password(profile)
    base = _proxy_address(command.url) if command.url is not None else None
    tab = [*interpreter_command(), "-m", "jobtui", *profile_options(profile, command)]
    listener = _listen(command.port)
    if not command.writable:
        tab = [*tab, "--read-only"]
    server = BrowserServer(profile.name, tab, base, max_tabs=command.tabs)
    asyncio.run(_serve(server, listener, profile, is_writable=command.writable))
    return Exit.DONE


def _proxy_address(url: str) -> str:
    """Return the address without a slash at its end.

    Raises UsageError if a browser could not open it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username is not None:
        raise UsageError(f"--url must be an address such as https://ops.example.com/jobtui, not '{url}'")
    return url.rstrip("/")


def _listen(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address. Raises CommandError."""
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        advice = (
            "; --port N selects another one, --port 0 a free one" if error.errno == errno.EADDRINUSE else ""
        )
        # without the address, which create_server appends to the reason as a tuple
        reason = describe_os_error(OSError(error.errno, os.strerror(error.errno or 0)))
        raise CommandError(f"port {port} of {LOOPBACK} cannot be used: {reason}{advice}") from None


async def _serve(
    server: BrowserServer, listener: socket.socket, profile: Profile, *, is_writable: bool
) -> None:
    """Serve until the first signal, then end all tabs; the second signal kills them."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def end() -> None:
        if ended.is_set():
            server.kill_tabs()
        ended.set()

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, end)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=END_SECONDS)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    port = listener.getsockname()[1]
    output = StdoutWriter()
    output.write(f"{server.address(port)}\n")
    output.flush()
    access = "accepts changes" if is_writable else "is read-only (--writable accepts changes)"
    print_error(
        f"jobtui shows {profile.name} on port {port} of {LOOPBACK} and {access}; "
        "anyone who knows the address above has access"
    )
    await ended.wait()
    await runner.cleanup()


class BrowserServer:
    """The HTTP server of the page and of the websockets of its tabs."""

    def __init__(self, profile: str, tab_command: Sequence[str], base: str | None, *, max_tabs: int) -> None:
        """Create the server.

        Args:
            profile: The profile's name, for the title.
            tab_command: The command of a tab's process.
            base: The address that browsers use, None if they connect to this server directly.
            max_tabs: The maximum number of open tabs.
        """
        self._token = secrets.token_urlsafe(32)
        self._command = tab_command
        self._base = base
        self._max_tabs = max_tabs
        page = (_PAGE / "index.html").read_text(encoding="utf-8")
        self._page = page.replace("{{title}}", html.escape(f"jobtui {profile}"))
        self._sockets: set[web.WebSocketResponse] = set()
        self._tabs: set[BrowserTab] = set()
        self._names = set(LOCAL_NAMES)
        self._origin = ""
        if base is not None:
            parts = urlsplit(base)
            self._origin = f"{parts.scheme}://{parts.netloc}".lower()
            self._names.add(parts.hostname or "")

    def application(self) -> web.Application:
        """Return the application, which answers 403 to every request that is not allowed."""
        application = web.Application(middlewares=[self._restrict])
        application.on_shutdown.append(self._end_tabs)
        application.add_routes(
            [
                web.get("/{token}", self._add_slash),
                web.get("/{token}/", self._send_page),
                web.get("/{token}/static/{name}", self._send_file),
                web.get("/{token}/ws", self._run_tab),
            ]
        )
        return application

    def address(self, port: int) -> str:
        """Return the address to open, with the token."""
        return f"{self._base or f'http://{LOOPBACK}:{port}'}/{self._token}/"

    def kill_tabs(self) -> None:
        """Kill the processes of all tabs."""
        for tab in self._tabs:
            tab.kill()

    # -- who is allowed

    @web.middleware
    async def _restrict(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse what is not allowed, and add the headers that restrict the page."""
        if refusal := self._refusal(request):
            return web.Response(status=403, text=f"403: {refusal}\n", headers=_HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _refusal(self, request: web.Request) -> str:
        """Return why a request is refused, "" if it is allowed."""
        given = request.path.removeprefix("/").partition("/")[0]
        # in constant time: how long the comparison takes must not show how much of a guess is right
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token.encode()):
            return "open the address that jobtui web printed; it changes with each start"
        if _host_name(request.host) not in self._names:
            return f"jobtui web is not known as '{request.host}'; --url names the address of a proxy"
        origin = request.headers.get("Origin")
        is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        if origin is None and not is_websocket:
            return ""
        own = {f"http://{request.host}".lower(), f"https://{request.host}".lower(), self._origin} - {""}
        return "" if (origin or "").lower() in own else f"requests of '{origin}' are not accepted"

    # -- what is served

    async def _add_slash(self, request: web.Request) -> web.StreamResponse:
        """Redirect to the page's address: what the page loads is relative to it."""
        raise web.HTTPFound(f"{self._token}/")

    async def _send_page(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=self._page, content_type="text/html")

    async def _send_file(self, request: web.Request) -> web.StreamResponse:
        path = _FILES.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path)

    async def _run_tab(self, request: web.Request) -> web.StreamResponse:
        """Run a dashboard until it ends or the browser closes the tab."""
        size = _cells(request.query.get("width"), 80), _cells(request.query.get("height"), 24)
        websocket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, timeout=CLOSE_SECONDS)
        await websocket.prepare(request)
        if len(self._sockets) >= self._max_tabs:
            most = format_count(self._max_tabs, "tab")
            return await _refuse_tab(
                websocket, f"no more than {most} at a time: close one, or start jobtui web with --tabs N"
            )
        self._sockets.add(websocket)  # before the start, which a signal may interrupt
        try:
            tab = await BrowserTab.start(self._command, *size)
        except OSError as error:
            self._sockets.discard(websocket)
            reason = f"a tab cannot be opened: {describe_os_error(error)}"
            print_error(f"jobtui: {reason}")
            return await _refuse_tab(websocket, reason)
        self._tabs.add(tab)
        output = asyncio.create_task(_send_output(tab, websocket))
        try:
            async for message in websocket:
                if message.type is WSMsgType.TEXT and not await _receive(tab, websocket, message.data):
                    break  # not the page's: there is nothing to explain
        finally:
            self._sockets.discard(websocket)
            output.cancel()
            await tab.close()
            self._tabs.discard(tab)
        return websocket

    async def _end_tabs(self, _: web.Application) -> None:
        sockets = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._sockets]
        await asyncio.gather(*sockets, return_exceptions=True)


def _host_name(host: str) -> str:
    """Return the name in a Host header without the port, "" if there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse_tab(websocket: web.WebSocketResponse, reason: str) -> web.WebSocketResponse:
    """Show the reason in the page, and end the tab."""
    with suppress(ConnectionError):
        await websocket.send_bytes(f"jobtui: {reason}\r\n".encode())
        await websocket.close(code=WSCloseCode.TRY_AGAIN_LATER)
    return websocket


def _cells(value: object, default: int) -> int:
    """Return a number of columns or rows that a terminal can have."""
    try:
        return min(max(int(str(value)), 1), MAX_CELLS)
    except ValueError:
        return default


async def _send_output(tab: BrowserTab, websocket: web.WebSocketResponse) -> None:
    """Send what the dashboard draws until it ends, and close the websocket then."""
    with suppress(ConnectionError):  # the browser is gone, which the handler of the websocket notices
        while data := await tab.read():
            await websocket.send_bytes(data)
        await websocket.close()


async def _receive(tab: BrowserTab, websocket: web.WebSocketResponse, text: str) -> bool:
    """Pass a message of the page on; return whether it was understood."""
    try:
        match json.loads(text):
            case ["stdin", str(typed)]:
                await tab.write(typed.encode("utf-8", "replace"))
            case ["resize", {"width": columns, "height": rows}]:
                tab.resize(_cells(columns, 80), _cells(rows, 24))
            case ["ping", sent]:
                await websocket.send_json(["pong", sent])
            case ["focus"] | ["blur"]:
                pass  # the emulator reports both as a terminal does, too
            case _:
                return False
    except (json.JSONDecodeError, RecursionError):
        return False
    except ConnectionError:
        pass  # the dashboard or the browser has just ended
    return True


class BrowserTab:
    """A dashboard on a pseudo-terminal of its own."""

    def __init__(
        self,
        process: Process,
        reader: asyncio.StreamReader,
        source: asyncio.ReadTransport,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._source = source
        self._writer = writer
        self._terminal = writer.get_extra_info("pipe").fileno()

    @classmethod
    async def start(cls, command: Sequence[str], columns: int, rows: int) -> BrowserTab:
        """Start a dashboard of this size. Raises OSError if there is no process or terminal left."""
        inherited = {
            name: value for name, value in interpreter_environment().items() if name not in _NOT_INHERITED
        }
        known = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONIOENCODING": "utf-8"}
        master, slave = pty.openpty()
        try:
            _set_size(slave, columns, rows)
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=inherited | known,
                # ctrl+c in the terminal of the server is not meant for the tabs
                start_new_session=True,
            )
            copy = os.dup(master)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        source, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(master, "rb", buffering=0)
        )
        sink, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(copy, "wb", buffering=0)
        )
        return cls(process, reader, source, asyncio.StreamWriter(sink, protocol, None, loop))

    async def read(self) -> bytes:
        """Return output, b"" after the end of the process."""
        try:
            return await self._reader.read(1 << 16)
        except OSError:  # EIO: the last process has closed the terminal
            return b""

    async def write(self, data: bytes) -> None:
        """Type the bytes, and wait while the dashboard reads none.

        Raises ConnectionError after its end.
        """
        self._writer.write(data)
        await self._writer.drain()

    def resize(self, columns: int, rows: int) -> None:
        """Change the terminal's size."""
        with suppress(OSError):
            _set_size(self._terminal, columns, rows)
            self._send_signal(signal.SIGWINCH)

    def kill(self) -> None:
        """Kill the process."""
        self._send_signal(signal.SIGKILL)

    async def close(self) -> None:
        """Hang the terminal up, and wait until the process has ended; one that does not end is killed."""
        self._source.close()
        self._writer.transport.abort()
        self._send_signal(signal.SIGHUP)
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def _send_signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


def _set_size(terminal: int, columns: int, rows: int) -> None:
    """Set the size of a terminal. Raises OSError if it is closed."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
