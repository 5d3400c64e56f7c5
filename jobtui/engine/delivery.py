"""The delivery of a notification: a command that reads it, or a POST to a web hook.

A delivery blocks a daemon thread of its own. If it takes too long, it is aborted from outside: a timeout of a
socket is one for each of its operations, and a server that sends a byte now and then would never reach it.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from email.message import Message
from typing import IO, Any, Protocol

import msgspec
from typing_extensions import override

from jobtui import __version__
from jobtui.background import run_in_thread
from jobtui.engine.notify_settings import NotifySettings, NotifyUrl, UrlError, is_loopback, server_of
from jobtui.formatting import format_duration, printable_line
from jobtui.os_errors import describe_os_error

MAX_REASON = 300
_READ_BACK = 4096  # bytes of what a command wrote to stderr; its last line is the reason
_RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DeliveryResult(msgspec.Struct, frozen=True):
    """The outcome of an attempt as text; `can_retry`: whether another attempt may succeed."""

    is_delivered: bool
    text: str
    can_retry: bool = False


class DeliveryTarget(Protocol):
    """A target of one attempt."""

    def send(self, message: bytes) -> DeliveryResult:
        """Deliver the message, blocking."""
        ...

    def abort(self) -> None:
        """End `send` at once. Any thread, at any time."""
        ...

    def describe_timeout(self, seconds: float) -> DeliveryResult:
        """Return the result of an attempt that took too long."""
        ...


async def deliver(target: DeliveryTarget, message: bytes, seconds: float | None) -> DeliveryResult:
    """Try once to deliver a message, for at most this many seconds; canceling this aborts the attempt."""
    sending = asyncio.ensure_future(run_in_thread(lambda: target.send(message)))
    try:
        # the real time: a test's clock stands still while another process works
        await asyncio.wait({sending}, timeout=seconds)
        if sending.done():
            return sending.result()
        return target.describe_timeout(seconds or 0.0)
    except OSError as error:
        return DeliveryResult(False, describe_os_error(error), can_retry=True)
    finally:
        if not sending.done():
            target.abort()
            sending.cancel()


def make_target(settings: NotifySettings, name: str) -> DeliveryTarget:
    """Return the target of one attempt; `name` is one of the settings' `targets`."""
    if name == "url" and settings.url is not None:
        return WebHook(settings.url, settings.timeout)
    return CommandTarget(settings.command)


class CommandTarget:
    """A program that is run without a shell, and reads the message from stdin."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None
        self._is_aborted = False

    @property
    def _name(self) -> str:
        """The program alone: its arguments may contain a token."""
        return f"the command {printable_line(self._words[0])}"

    def send(self, message: bytes) -> DeliveryResult:
        """Run the program to its end."""
        # a file, not a pipe: a child that the command leaves behind would keep a pipe open
        with tempfile.TemporaryFile() as stderr:
            try:
                process = self._start(stderr)
            except OSError as error:
                return DeliveryResult(False, f"{self._name} could not be started: {describe_os_error(error)}")
            self._process = process
            if self._is_aborted:
                self.abort()
            with process:
                process.communicate(message)  # a program that does not read it has not failed
            if process.returncode == 0:
                return DeliveryResult(True, f"{self._name} was run")
            message_line = _last_line(stderr)
        reason = f": {message_line}" if message_line else ""
        return DeliveryResult(False, f"{self._name} {_describe_exit(process.returncode)}{reason}")

    def _start(self, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        # a child inherits the blocked signals of the engine's thread, and SIGTERM could not end it
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
        try:
            return subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd="/",  # the directory of this process may be gone
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def abort(self) -> None:
        """Kill the program and what it started in its process group."""
        self._is_aborted = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def describe_timeout(self, seconds: float) -> DeliveryResult:
        """Return that the program was killed. It is not run again: what it has done is not known."""
        return DeliveryResult(
            False, f"{self._name} was killed: it did not end within {format_duration(seconds)}"
        )


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _last_line(stderr: IO[bytes]) -> str:
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _READ_BACK))
    lines = stderr.read(_READ_BACK).decode(errors="replace").strip().splitlines()
    return printable_line(lines[-1], MAX_REASON) if lines else ""


class WebHook:
    """A URL that the message is posted to.

    Certificates are verified, and redirects are not followed.
    """

    def __init__(self, url: NotifyUrl, seconds: float | None) -> None:
        self._url = url
        self._seconds = seconds
        self._connection: http.client.HTTPConnection | None = None

    def send(self, message: bytes) -> DeliveryResult:
        """Post the message, and wait for the status of the answer."""
        try:
            url = self._url.read()
        except UrlError as error:
            return DeliveryResult(False, str(error))
        server = server_of(url)
        headers = {"Content-Type": "application/json", "User-Agent": f"jobtui/{__version__}"}
        request = urllib.request.Request(url, message, headers, method="POST")
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects(), _TrackedConnections(self)]
        if is_loopback(urllib.parse.urlsplit(url).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=self._seconds) as answer:
                return DeliveryResult(True, f"{server} answered {answer.status}")
        except urllib.error.HTTPError as error:
            error.close()
            text = f"{server} answered {error.code} {http.client.responses.get(error.code, '')}".rstrip()
            if 300 <= error.code < 400:
                text += ": redirects are not followed"
            return DeliveryResult(False, text, can_retry=error.code in _RETRYABLE_STATUSES)
        except (OSError, http.client.HTTPException) as error:
            return _describe_failure(server, error)

    def track(self, connection: http.client.HTTPConnection) -> None:
        """Remember the connection, so that it can be aborted."""
        self._connection = connection

    def abort(self) -> None:
        """Shut the connection down: `send` then fails in its thread, and its result is discarded."""
        sock = None if self._connection is None else self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(2)

    def describe_timeout(self, seconds: float) -> DeliveryResult:
        """Return that there was no answer, which may be temporary."""
        return DeliveryResult(
            False, f"{self._url.shown} did not answer within {format_duration(seconds)}", can_retry=True
        )


def _describe_failure(server: str, error: OSError | http.client.HTTPException) -> DeliveryResult:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        text = f"the certificate of {server} is not trusted: {reason.verify_message}; nothing was sent"
        return DeliveryResult(False, text)
    match reason:
        case TimeoutError():
            why = "it does not answer"
        case ssl.SSLError():
            why = f"TLS failed: {reason.reason or reason}"
        case OSError():
            why = describe_os_error(reason)
        case _:
            why = f"its answer is not HTTP ({type(reason).__name__})"
    return DeliveryResult(False, f"{server} cannot be reached: {printable_line(why)}", can_retry=True)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A refusal of redirects: they could lead to a server that the settings do not name."""

    @override
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


class _TrackedConnections(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """The connections of one web hook, with verified certificates."""

    def __init__(self, hook: WebHook) -> None:
        super().__init__()
        self._hook = hook

    @override
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, req)

    @override
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect_tls, req)

    def _connect(self, host: str, /, **options: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(host, **options)
        self._hook.track(connection)
        return connection

    def _connect_tls(self, host: str, /, **options: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPSConnection(host, context=ssl.create_default_context(), **options)
        self._hook.track(connection)
        return connection
