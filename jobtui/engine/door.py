"""The owner's side of the local socket: other jobtui processes of the profile hand their statements in here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from jobtui import __version__
from jobtui.engine import wire
from jobtui.engine.address import candidates, listen
from jobtui.engine.desk import Message, Session
from jobtui.engine.overview import look
from jobtui.engine.profile import Run
from jobtui.model import LinkChanged
from jobtui.storage.base import StorageError

if TYPE_CHECKING:
    from jobtui.engine.engine import Engine

BACKLOG = 10_000
CHUNK_BYTES = 1 << 20
CHUNK_PAIRS = 5_000
HEARD_OUT_SECONDS = 5.0

# since 3.13 asyncio removes the socket by the name that it was bound by, which may be another file's by then
_NO_CLEANUP: dict[str, Any] = {} if sys.version_info < (3, 13) else {"cleanup_socket": False}

_Short = wire.Run | wire.Look | wire.LookAt | wire.Load | wire.Retry
_Question = _Short | wire.Dump


class Door:
    """The server at the profile's socket, for the engine's loop alone."""

    def __init__(self, engine: Engine, root: Path) -> None:
        self._engine = engine
        self._root = root
        self._path: Path | None = None
        self._server: asyncio.Server | None = None
        self._answering = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def open(self) -> None:
        """Listen at the first address that can be had, and record it in LOCK.

        Raises OSError with the reason for each address if there is none.
        """
        reasons: list[str] = []
        for path, recorded in candidates(self._root):
            try:
                listener = listen(path)
            except OSError as error:
                reasons.append(f"{path.parent}: {error.strerror or error}")
                continue
            try:
                self._server = await asyncio.start_unix_server(
                    self._meet, sock=listener, limit=wire.LONGEST_LINE, **_NO_CLEANUP
                )
            except BaseException:
                listener.close()
                raise
            self._path = path
            self._engine.history.listens_at(recorded)
            return
        raise OSError("; ".join(reasons))

    def close(self) -> None:
        """Listen no longer, and remove the socket. What was asked before is still answered."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    async def quiet(self) -> None:
        """Wait until no question is being answered; followers don't count."""
        while self._answering:
            await self._quiet.wait()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a cancelled handler is one whose engine is closing, and asyncio would report it as a failure
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            try:
                if _peer(writer) in (os.getuid(), 0):
                    await self._serve(reader, writer)
                else:
                    await _turn_away(reader, writer)
            finally:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = wire.decode_ask(await reader.readuntil(b"\n"))
        except (msgspec.MsgspecError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            await _say(writer, wire.Denied(f"The question was not understood: {error}"))
            return
        if question.protocol != wire.PROTOCOL:
            mine = f"This profile is run by jobtui {__version__}"
            await _say(
                writer, wire.Denied(f"{mine}; jobtui {question.version} can't talk to it: use one version")
            )
        elif isinstance(question.want, wire.Follow):
            await self._post(reader, writer)
        elif self._server is not None:  # one who leaves takes no more questions, not even those half read
            with self._counted():
                await _say(writer, wire.Taken())
                await self._answer(question.want, writer)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._answering += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._answering -= 1
            if not self._answering:
                self._quiet.set()

    async def _answer(self, want: _Question, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(want, wire.Dump):
                await self._dump(want.space, writer)
            else:
                await _say(writer, await self._answer_of(want))
        except StorageError as error:
            await _say(writer, wire.Denied(error.detail, error.code, error.host, error.space))

    async def _answer_of(self, want: _Short) -> wire.Answer:
        engine = self._engine
        match want:
            case wire.Run():
                if engine.run is Run.NONE:
                    engine.run = Run.SUBMITTED  # what is handed in is not left lying
                session = Session(want.space, Path(want.cwd))
                answer = await asyncio.wrap_future(engine.execute(want.text, session))
                return wire.Ran(answer.results, answer.failure, session.space)
            case wire.Look():
                return wire.Looked(await look(engine.storage, engine.clock))
            case wire.LookAt():
                return wire.LookedAt(await engine.storage.stats(want.space, want.host))
            case wire.Load():
                await asyncio.wrap_future(engine.load(want.space, want.pairs))
                return wire.Loaded()
            case wire.Retry():
                engine.retry_now()
                return wire.Retrying()

    async def _dump(self, space: str, writer: asyncio.StreamWriter) -> None:
        chunk: list[tuple[bytes, bytes]] = []
        size = 0
        pairs = self._engine.storage.dump(space)
        try:
            async for pair in pairs:
                chunk.append(pair)
                size += len(pair[0]) + len(pair[1])
                if size >= CHUNK_BYTES or len(chunk) >= CHUNK_PAIRS:
                    await _say(writer, wire.Dumped(tuple(chunk), last=False))
                    chunk, size = [], 0
        finally:
            await _end(pairs)
        await _say(writer, wire.Dumped(tuple(chunk), last=True))

    async def _post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[Sequence[Message]] = asyncio.Queue(BACKLOG)
        gone = asyncio.ensure_future(reader.read())

        def take(messages: Sequence[Message]) -> None:
            try:
                waiting.put_nowait(messages)
            except asyncio.QueueFull:
                gone.cancel()  # a follower that is far too slow is let go: it comes back and reads the history

        leave = self._engine.subscribe(take)
        try:
            link = self._engine.link
            await _say(writer, wire.Posted(() if link is None else (LinkChanged(link),)))
            while not gone.done():
                messages = asyncio.ensure_future(waiting.get())
                await asyncio.wait([messages, gone], return_when=asyncio.FIRST_COMPLETED)
                if messages.done():
                    await _say(writer, wire.Posted(tuple(messages.result())))
                else:
                    messages.cancel()
        finally:
            gone.cancel()
            leave()


async def _end(pairs: AsyncIterator[tuple[bytes, bytes]]) -> None:
    """Let go of a dump that may not have been read to its end."""
    close = getattr(pairs, "aclose", None)
    if close is not None:
        await close()


async def _say(writer: asyncio.StreamWriter, answer: wire.Answer) -> None:
    writer.write(wire.encode(answer) + b"\n")
    await writer.drain()


async def _turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say why, and hear the question out: who is still writing when the line is cut never reads the answer."""
    await _say(writer, wire.Denied("This profile is run by another user"))
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEARD_OUT_SECONDS):
            while await reader.read(1 << 16):
                pass


def _peer(writer: asyncio.StreamWriter) -> int:
    connection: socket.socket = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()  # elsewhere the socket's own 0600 keeps others out
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
