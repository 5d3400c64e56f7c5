"""The Unix-socket server of the process that owns a profile, for the other processes of the profile.

Whatever a client sends, or fails to send, the server uses little memory and ends the request with a response; a
client can never make the engine fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from jobtui import __version__
from jobtui.clock import Clock, wait_first
from jobtui.engine import protocol
from jobtui.engine.acceptor import Acceptor
from jobtui.engine.backend import ConnectionMonitor
from jobtui.engine.client import EngineEvent, Session
from jobtui.engine.events import EventBus
from jobtui.engine.executor import StatementExecutor
from jobtui.engine.inventory import fetch_overview
from jobtui.engine.owner_socket import bind_socket, candidate_addresses, peer_uid
from jobtui.engine.sampler import Sampler
from jobtui.engine.scheduler import JobAdmission
from jobtui.errors import DECODE_ERRORS, StorageError
from jobtui.history import History
from jobtui.language.results import Result
from jobtui.model import ConnectionChanged
from jobtui.os_errors import describe_os_error
from jobtui.storage.base import Storage

BACKLOG = 10_000
CHUNK_BYTES = 1 << 20
CHUNK_PAIRS = 5_000
DRAIN_SECONDS = 5.0
REQUEST_SECONDS = 10.0  # for a client to send a request, and for the next one on the same connection
RESPONSE_SECONDS = 120.0  # for a client to read a response
# longer requests are read by two connections at a time, so that many unfinished ones hold little memory
SHORT_LINE = 1 << 16
LONG_LINES_AT_ONCE = 2
# rows that are read from the history; encoding them takes about 0.2 s, in which the loop does nothing else
MAX_ROWS = 100_000

_SingleResponse = (
    protocol.ExecuteRequest
    | protocol.OverviewRequest
    | protocol.StatsRequest
    | protocol.LoadRequest
    | protocol.SamplesRequest
    | protocol.ReconnectRequest
)
_RequestBody = _SingleResponse | protocol.DumpRequest


class _RequestUnread(Exception):
    """A request that was not read to its end; the text is for the client."""


class SocketServer:
    """The server at the profile's socket. For the engine's loop alone."""

    def __init__(
        self,
        root: Path,
        executor: StatementExecutor,
        storage: Storage,
        admission: JobAdmission,
        events: EventBus,
        history: History,
        clock: Clock,
        connection: ConnectionMonitor | None,
        sampler: Sampler,
    ) -> None:
        self._root = root
        self._executor = executor
        self._storage = storage
        self._admission = admission
        self._events = events
        self._history = history
        self._clock = clock
        self._connection = connection
        self._sampler = sampler
        self._path: Path | None = None
        self._acceptor: Acceptor | None = None
        self._long_lines = asyncio.Semaphore(LONG_LINES_AT_ONCE)
        self._answering = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def open(self) -> None:
        """Listen at the first address that is available, and record it in LOCK.

        Raises OSError with the reason for each address if there is none.
        """
        reasons: list[str] = []
        for path, recorded in candidate_addresses(self._root):
            try:
                listener = bind_socket(path)
            except OSError as error:
                reasons.append(f"{path.parent}: {describe_os_error(error)}")
                continue
            try:
                self._acceptor = Acceptor(
                    listener, self._handle_connection, _rejection_line, self._events.notify
                )
            except BaseException:
                listener.close()
                raise
            self._path = path
            self._history.set_address(recorded)
            return
        raise OSError("; ".join(reasons))

    def close(self) -> None:
        """Stop listening, and remove the socket. Requests that were read are still answered."""
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    async def wait_idle(self) -> None:
        """Wait until no client is in the middle of its requests; subscribers do not count."""
        while self._answering:
            await self._quiet.wait()

    async def _handle_connection(self, connection: socket.socket) -> None:
        # a handler is canceled when the engine closes, and asyncio would report that as a failure
        with contextlib.suppress(OSError, asyncio.CancelledError):
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=SHORT_LINE)
            try:
                if peer_uid(connection) in (os.geteuid(), 0):
                    await self._serve(reader, writer)
                else:
                    await _reject(reader, writer, "This profile is run by another user")
            except OSError:
                raise
            except Exception as error:
                self._events.report_error(error)
            finally:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await self._read_line(reader)
            if line is None:
                await _send(writer, protocol.ErrorResponse("The request was not understood: it has no end"))
                return
            request = protocol.decode_request(line)
        except _RequestUnread as reason:
            await _reject(reader, writer, f"The request was not understood: {reason}")
            return
        except DECODE_ERRORS as error:
            await _send(writer, protocol.ErrorResponse(f"The request was not understood: {_error_text(error)}"))
            return
        if request.protocol != protocol.PROTOCOL:
            mine = f"This profile is run by jobtui {__version__}"
            await _send(
                writer,
                protocol.ErrorResponse(f"{mine}; jobtui {request.version} cannot talk to it: use one version"),
            )
        elif isinstance(request.want, protocol.SubscribeRequest):
            await self._stream_events(reader, writer)
        else:
            await self._serve_requests(request.want, reader, writer)

    async def _serve_requests(
        self, body: _RequestBody, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer this request and those that follow; the owner stays until the last one."""
        if self._acceptor is None:
            return  # an owner that is closing accepts no more requests, not even partly read ones
        with self._counting():
            while True:
                await _send(writer, protocol.Accepted())
                if not await self._respond(body, writer) or self._acceptor is None:
                    return
                try:
                    line = await self._read_line(reader)
                    following = None if line is None else protocol.decode_request(line).want
                except _RequestUnread:
                    return  # a client with another request connects again
                except DECODE_ERRORS as error:
                    await _send(
                        writer, protocol.ErrorResponse(f"The request was not understood: {_error_text(error)}")
                    )
                    return
                if (
                    following is None
                    or isinstance(following, protocol.SubscribeRequest)
                    or self._acceptor is None
                ):
                    return
                body = following

    async def _read_line(self, reader: asyncio.StreamReader) -> bytes | None:
        """Return the client's next line, None if it ends without one. Raises _RequestUnread."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            pass
        except TimeoutError:
            raise _RequestUnread(f"it was not sent within {REQUEST_SECONDS:g} s") from None
        async with self._long_lines:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    return await _read_long_line(reader)
            except asyncio.IncompleteReadError:
                return None
            except TimeoutError:
                raise _RequestUnread(f"it was not sent within {REQUEST_SECONDS:g} s") from None

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        self._answering += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._answering -= 1
            if not self._answering:
                self._quiet.set()

    async def _respond(self, body: _RequestBody, writer: asyncio.StreamWriter) -> bool:
        """Execute a request and send the response; return whether the connection may carry another one."""
        try:
            if isinstance(body, protocol.DumpRequest):
                await self._dump(body.space, writer)
            else:
                await _send(writer, await self._execute(body, peer_uid(writer.get_extra_info("socket"))))
        except StorageError as error:
            await _send(writer, protocol.ErrorResponse(error.detail, error.code, error.host, error.space))
        except ConnectionError:
            raise
        except Exception as error:  # a request that no client of ours sends must not harm the owner
            await _send(
                writer, protocol.ErrorResponse(f"The request could not be executed: {_error_text(error)}")
            )
            return False
        return True

    async def _execute(self, body: _SingleResponse, uid: int) -> protocol.Response:
        match body:
            case protocol.ExecuteRequest():
                # a job from another process is run, even if this process was started to run none
                self._admission.admit_submitted()
                kind = body.kind if body.kind in ("dashboard", "script") else "script"
                session = Session(body.space, Path(body.cwd), kind, uid)
                answer = await self._executor.execute(body.text, session)
                results = [await _with_all_rows(result) for result in answer.results]
                return protocol.ExecuteResponse(tuple(results), answer.failure, session.space)
            case protocol.OverviewRequest():
                return protocol.OverviewResponse(await fetch_overview(self._storage, self._clock))
            case protocol.StatsRequest():
                return protocol.StatsResponse(await self._storage.stats(body.space, body.host))
            case protocol.LoadRequest():
                await self._storage.load(body.space, body.pairs)
                return protocol.LoadResponse()
            case protocol.SamplesRequest():
                return protocol.SamplesResponse(await self._sampler.fetch(body.job))
            case protocol.ReconnectRequest():
                if self._connection is not None:
                    self._connection.reconnect()
                return protocol.ReconnectResponse()

    async def _dump(self, space: str, writer: asyncio.StreamWriter) -> None:
        chunk: list[tuple[bytes, bytes]] = []
        size = 0
        pairs = self._storage.dump(space)
        try:
            async for pair in pairs:
                chunk.append(pair)
                size += len(pair[0]) + len(pair[1])
                if size >= CHUNK_BYTES or len(chunk) >= CHUNK_PAIRS:
                    await _send(writer, protocol.DumpResponse(tuple(chunk), last=False))
                    chunk, size = [], 0
        finally:
            await _close_dump(pairs)
        await _send(writer, protocol.DumpResponse(tuple(chunk), last=True))

    async def _stream_events(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[Sequence[EngineEvent]] = asyncio.Queue(BACKLOG)
        gone = asyncio.ensure_future(_wait_disconnected(reader))

        def enqueue(messages: Sequence[EngineEvent]) -> None:
            try:
                waiting.put_nowait(messages)
            except asyncio.QueueFull:
                # a subscriber that is far too slow is disconnected: it connects again and reads the history
                gone.cancel()

        gone.add_done_callback(lambda _: enqueue(()))  # wakes the loop below
        leave = self._events.add(enqueue)
        try:
            status = None if self._connection is None else self._connection.status
            await _send(writer, protocol.EventsMessage(() if status is None else (ConnectionChanged(status),)))
            while not gone.done():
                messages = await waiting.get()
                if messages and not gone.done():
                    _write_events(writer, messages)
                    # usually the kernel takes all at once; a task that waits for it would take as long again
                    if writer.transport.get_write_buffer_size():
                        await _wait_unless_gone(asyncio.ensure_future(writer.drain()), gone)
                await asyncio.sleep(0)  # a backlog must not keep the jobs waiting
            writer.transport.abort()  # it may not have read all that was sent
        finally:
            gone.cancel()
            leave()


async def _with_all_rows(result: Result) -> Result:
    """Return a result that can be sent: the rows of SHOW JOBS are read from the history when they are needed.

    The clients of this package read them themselves. Of more than `MAX_ROWS` rows only the newest are sent:
    the statements before this one have been carried out, so that it is too late for an error.
    """
    if isinstance(result.rows, tuple | list):
        return result
    count = len(result.rows)
    first = max(0, count - MAX_ROWS)
    rows = await asyncio.to_thread(lambda: tuple(result.rows[first:]))
    return replace(result, rows=rows, total=count if first else None)


async def _wait_disconnected(reader: asyncio.StreamReader) -> None:
    """Wait until the client disconnects; what it sends meanwhile is discarded."""
    with contextlib.suppress(OSError):
        while await reader.read(1 << 16):
            pass


async def _wait_unless_gone(work: asyncio.Future[Any], gone: asyncio.Future[None]) -> None:
    """Wait until the work is done, and raise its exception, if any; cancel it if the client disconnects."""
    try:
        await wait_first(work, gone)
        if work.done():
            work.result()
    finally:
        work.cancel()


async def _close_dump(pairs: AsyncIterator[tuple[bytes, bytes]]) -> None:
    """Close a dump that may not have been read to its end."""
    close = getattr(pairs, "aclose", None)
    if close is not None:
        await close()


async def _read_long_line(reader: asyncio.StreamReader) -> bytes:
    """Read a line in pieces of the reader's limit.

    Raises IncompleteReadError and _RequestUnread.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            pieces.append(await reader.readuntil(b"\n"))
            return b"".join(pieces)
        except asyncio.LimitOverrunError as full:
            pieces.append(await reader.readexactly(full.consumed))
            size += full.consumed
            if size > protocol.MAX_LINE_BYTES:
                raise _RequestUnread(f"it has more than {protocol.MAX_LINE_BYTES >> 20} MiB") from None


async def _send(writer: asyncio.StreamWriter, answer: protocol.Response) -> None:
    """Send a response, and wait until the client has read most of it. Raises ConnectionError."""
    line = _encode_line(answer)
    writer.write(line)
    try:
        async with asyncio.timeout(RESPONSE_SECONDS):
            await writer.drain()
    except TimeoutError:
        writer.transport.abort()
        raise ConnectionAbortedError("the client does not read the response") from None


def _write_events(writer: asyncio.StreamWriter, messages: Sequence[EngineEvent]) -> None:
    """Write a batch of messages, in as many lines as a client can read."""
    try:
        writer.write(_encode_line(protocol.EventsMessage(tuple(messages))))
    except ValueError:
        if len(messages) == 1:
            raise
        half = len(messages) // 2
        _write_events(writer, messages[:half])
        _write_events(writer, messages[half:])


def _encode_line(answer: protocol.Response) -> bytes:
    """Return the line of a response. Raises ValueError if it is longer than a client reads."""
    line = protocol.encode(answer) + b"\n"
    longest = (
        protocol.MAX_DUMP_LINE_BYTES if isinstance(answer, protocol.DumpResponse) else protocol.MAX_LINE_BYTES
    )
    if len(line) > longest:
        raise ValueError(f"the answer has more than {longest >> 20} MiB")
    return line


async def _reject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, why: str) -> None:
    """Send the reason, and read the rest of the request: a writing client reads no response."""
    await _send(writer, protocol.ErrorResponse(why))
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while await reader.read(1 << 16):
                pass


def _rejection_line(reason: str) -> bytes:
    """Return the line for a client that is rejected before its request is read."""
    return protocol.encode(protocol.ErrorResponse(reason, busy=True)) + b"\n"


def _error_text(error: BaseException) -> str:
    """Return the error's text, without characters that cannot be sent as UTF-8."""

    words = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return words.encode("utf-8", "backslashreplace").decode()
