"""A worker process, from its start to its exit, for the engine's loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import itertools
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from jobtui import __version__
from jobtui.errors import DECODE_ERRORS
from jobtui.formatting import printable_line
from jobtui.interpreter import interpreter_command, interpreter_environment
from jobtui.os_errors import describe_limit
from jobtui.storage.local import protocol as p

START_SECONDS = 30.0
MAX_LINE_BYTES = 4 * p.MAX_PAIR_BYTES
KEPT_LINES = 20
SHOWN_LINES = 3
_MAX_LOGGED = 100  # lines on stderr that are reported after each command
_EXIT_SECONDS = 1.0  # for a process whose output has ended; then it is killed
_MAX_GARBAGE_REPORTS = 3  # invalid lines that are reported for each process; more would not be informative

OnProgress = Callable[[p.ProgressReply], None]
Notice = Callable[[str], None]


class ProtocolMismatch(Exception):
    """The error of a worker with another protocol; the text states what to do."""


class WorkerDied(Exception):
    """The error of an exited process; the text says how it ended, with its last lines on stderr."""


class _Pending(msgspec.Struct):
    reply: asyncio.Future[p.WorkerMessage]
    on_progress: OnProgress | None


class WorkerProcess:
    """A running worker. Every command that is under way when it exits fails with WorkerDied."""

    def __init__(self, name: str, process: Process, notice: Notice) -> None:
        self._name = name
        self._process = process
        self._notice = notice
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {0: _Pending(asyncio.get_running_loop().create_future(), None)}
        self._stderr_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._garbage = 0
        self._logged = 0  # since the last command
        self.exit_description = ""
        self.ended_by_us = False
        self._ended = asyncio.ensure_future(self._read_replies())

    @classmethod
    async def start(cls, name: str, arguments: Sequence[str], notice: Notice) -> WorkerProcess:
        """Start a worker and wait for its first message.

        Raises WorkerDied, ProtocolMismatch, OSError and TimeoutError.
        """
        process = await asyncio.create_subprocess_exec(
            *interpreter_command(),
            "-m",
            "jobtui.storage.local.worker",
            str(os.getpid()),
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=_environment(),
            start_new_session=True,
        )
        _enlarge_pipes(process)
        worker = cls(name, process, notice)
        try:
            async with asyncio.timeout(START_SECONDS):
                _check_protocol(await worker._pending[0].reply)
        except BaseException:
            await worker.kill()
            raise
        del worker._pending[0]
        return worker

    @property
    def is_alive(self) -> bool:
        """Whether commands can still be sent."""
        return not self._ended.done() and self._process.returncode is None

    @property
    def is_busy(self) -> bool:
        """Whether a command is under way."""
        return bool(self._pending)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(
        self, command: p.WorkerCommand, on_progress: OnProgress | None = None
    ) -> tuple[int, asyncio.Future[p.WorkerMessage]]:
        """Send a command; return its number, and the future of its reply (or WorkerDied)."""
        number = next(self._numbers)
        self._logged = 0
        reply: asyncio.Future[p.WorkerMessage] = asyncio.get_running_loop().create_future()
        if self._ended.done():
            reply.set_exception(WorkerDied(self.exit_description))
            return number, reply
        self._pending[number] = _Pending(reply, on_progress)
        reply.add_done_callback(lambda _: self._pending.pop(number, None))
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(p.WorkerRequest(number, command)) + b"\n")
        return number, reply

    async def drain(self) -> None:
        """Wait until the pipe has accepted the sent data; only loads need it, as other commands are short."""
        assert self._process.stdin is not None
        # if the process has just died, the command's future fails
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await self._process.stdin.drain()

    async def kill(self) -> None:
        """Kill the process and wait until it has exited."""
        self.ended_by_us = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.wait_ended()

    async def wait_ended(self) -> None:
        """Wait until the process has exited and every command under way has failed."""
        await asyncio.wait([self._ended])

    async def _read_replies(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        stderr_reader = asyncio.ensure_future(self._collect_stderr(self._process.stderr))
        decoder = msgspec.json.Decoder(p.WorkerResponse)
        try:
            async for line in _lines(self._process.stdout):
                self._handle_line(line, decoder)
        finally:
            # its output has ended: a process that keeps running is useless
            with contextlib.suppress(ProcessLookupError):
                if await _wait_exit(self._process) is None:
                    self._process.kill()
            code = await self._process.wait()
            await asyncio.wait([stderr_reader], timeout=1.0)
            stderr_reader.cancel()
            self.exit_description = self._describe_exit(code)
            if self._process.stdin is not None:
                self._process.stdin.close()
            for pending in list(self._pending.values()):
                if not pending.reply.done():
                    pending.reply.set_exception(WorkerDied(self.exit_description))
                    pending.reply.exception()  # marks it as retrieved: there may be no caller that waits for it

    def _handle_line(self, line: bytes, decoder: msgspec.json.Decoder[p.WorkerResponse]) -> None:
        try:
            response = decoder.decode(line)
        except DECODE_ERRORS:
            self._report_garbage(line)
            return
        if isinstance(response.reply, p.WarningReply):
            self._notice(f"{self._name}: {printable_line(response.reply.text)}")
            return
        pending = self._pending.get(response.number)
        if pending is None or pending.reply.done():
            return
        if isinstance(response.reply, p.ProgressReply):
            if pending.on_progress is not None:
                pending.on_progress(response.reply)
        else:
            pending.reply.set_result(response.reply)

    def _report_garbage(self, line: bytes) -> None:
        self._garbage += 1
        if self._garbage <= _MAX_GARBAGE_REPORTS:
            text = printable_line(line[:400].decode("utf-8", "replace"), 80)
            self._notice(f"{self._name}: its process wrote a line that is not a message, skipped: '{text}'")

    async def _collect_stderr(self, stderr: asyncio.StreamReader) -> None:
        async for line in _lines(stderr):
            text = printable_line(line[:4000].decode("utf-8", "replace"))
            if text:
                self._stderr_lines.append(text)
                self._report_logged(text)

    def _report_logged(self, line: str) -> None:
        """Report a line on stderr to the operations under way; the worker does not say whose it is."""
        self._logged += 1
        if self._logged > _MAX_LOGGED:
            return
        for pending in list(self._pending.values()):
            if pending.on_progress is not None:
                pending.on_progress(p.ProgressReply(None, None, log=(line,)))

    def _describe_exit(self, code: int) -> str:
        text = f"the process of {self._name} {_describe_code(code)}"
        if self._stderr_lines:
            text += f"; its last lines on stderr: {' | '.join(list(self._stderr_lines)[-SHOWN_LINES:])}"
        # C++ aborts if it gets no memory or thread, and its message does not name the limit
        if code == -signal.SIGABRT and (limit := describe_limit(errno.ENOMEM)):
            text += f"; {limit}"
        return text


def _check_protocol(first: p.WorkerMessage) -> None:
    if isinstance(first, p.Ready) and first.protocol != p.PROTOCOL:
        installed = f"jobtui {first.version}" if first.version else "another version of jobtui"
        raise ProtocolMismatch(
            f"{installed} has been installed since this process of jobtui {__version__} started: "
            "quit this process and start jobtui again"
        )


def _describe_code(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    ending = f"was killed by {name}"
    return f"{ending} (the system does that if memory runs out)" if name == "SIGKILL" else ending


async def _wait_exit(process: Process) -> int | None:
    try:
        return await asyncio.wait_for(process.wait(), _EXIT_SECONDS)
    except TimeoutError:
        return None


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the reader's lines; one longer than `MAX_LINE_BYTES` is cut at the end of a chunk."""
    parts: list[bytes] = []
    size = 0
    while chunk := await reader.read(1 << 18):
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            yield b"".join((*parts, line))
            parts, size = [], 0
        if rest and size < MAX_LINE_BYTES:
            parts.append(rest)
            size += len(rest)
    if parts:
        yield b"".join(parts)


def _enlarge_pipes(process: Process) -> None:
    """Let a batch of pairs pass the pipes in a few pieces, if the system supports it."""
    for stream in (process.stdin, process.stdout):
        transport = getattr(stream, "_transport", None)  # a reader has no public name for it
        pipe = transport.get_extra_info("pipe") if transport is not None else None
        if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
            # ValueError: the process has exited already, which is reported elsewhere, and the pipe is closed
            with contextlib.suppress(OSError, ValueError):
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _environment() -> dict[str, str]:
    return interpreter_environment() | {"MALLOC_ARENA_MAX": "2", "PYTHONIOENCODING": "utf-8:backslashreplace"}
