"""The owner's side of the local socket: other jobtui processes of the profile hand their statements in here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jobtui import __version__
from jobtui.engine import wire
from jobtui.engine.desk import Message, Session
from jobtui.engine.overview import look
from jobtui.storage.base import StorageError

if TYPE_CHECKING:
    from jobtui.engine.engine import Engine

BACKLOG = 10_000


class Door:
    """Listens at the profile's socket, 0600 in a directory of the user's own. For the engine's loop alone."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. A socket that a dead owner left is taken over: whoever holds the lock is the owner."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._path.parent} belongs to another user")
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._meet, self._path, limit=wire.LONGEST_LINE)
        finally:
            os.umask(before)

    def close(self) -> None:
        """Listen no longer, and leave no socket behind."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a cancelled handler is one whose engine is closing, and asyncio would report it as a failure
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            try:
                if _peer(writer) not in (os.getuid(), 0):
                    return
                await self._serve(reader, writer)
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
        else:
            await _say(writer, await self._answer(question.want))

    async def _answer(self, want: wire.Run | wire.Look | wire.LookAt) -> wire.Answer:
        engine = self._engine
        try:
            match want:
                case wire.Run():
                    session = Session(want.space, Path(want.cwd))
                    answer = await asyncio.wrap_future(engine.execute(want.text, session))
                    return wire.Ran(answer.results, answer.failure, session.space)
                case wire.Look():
                    return wire.Looked(await look(engine.storage, engine.clock))
                case wire.LookAt():
                    return wire.LookedAt(await engine.storage.stats(want.space, want.host))
        except StorageError as error:
            return wire.Denied(error.detail, error.code, error.host, error.space)

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
            await _say(writer, wire.Posted(()))
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


async def _say(writer: asyncio.StreamWriter, answer: wire.Answer) -> None:
    writer.write(wire.encode(answer) + b"\n")
    await writer.drain()


def _peer(writer: asyncio.StreamWriter) -> int:
    connection: socket.socket = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()  # elsewhere the socket's own 0600 keeps others out
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
