"""The supervisor of a storage host's worker process, which starts it again after it has died.

Every method belongs to one asyncio loop. A stop is real: if the worker does not stop within `GRACE_SECONDS` of
the request, it is killed (which loses nothing) and started again for the next command.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

import msgspec

from jobtui.clock import wait_first
from jobtui.errors import ErrorCode
from jobtui.os_errors import describe_os_error
from jobtui.storage.base import OperationControl
from jobtui.storage.local import protocol as p
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.process import Notice, OnProgress, ProtocolMismatch, WorkerDied, WorkerProcess

GRACE_SECONDS = 3.0
QUIT_SECONDS = 2.5  # more than the worker's own, after which it exits by itself
# seconds between a crash and the next start, by the number of crashes in a row
RESTART_DELAYS = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
MAX_DELAY_SECONDS = 10.0  # of a command that waits for such a start; one that would wait longer fails

W = TypeVar("W", bound=p.WorkerMessage)


class Timeouts(msgspec.Struct, frozen=True):
    """The time limits of a command.

    Attributes:
        waits_for_restart: Whether it waits for a process whose start is delayed, and does not fail at once.
        seconds: How long it waits for its reply, None for no limit.
    """

    waits_for_restart: bool = True
    seconds: float | None = None


WORK = Timeouts()
QUICK = Timeouts(waits_for_restart=False, seconds=10.0)


class OperationStopped(Exception):
    """The error of work that was stopped before its worker could report the result."""


class WorkerSupervisor:
    """The supervisor of one worker.

    `idle_timeout`: seconds after which an idle process is ended, None to keep it. `after_exit` is awaited when
    a process that died or was killed has been discarded.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        notice: Notice,
        *,
        idle_timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        after_exit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name = name
        self._arguments = tuple(arguments)
        self._notice = notice
        self._idle_timeout = idle_timeout
        self._clock = clock
        self._after_exit = after_exit
        self._process: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._crashes = 0
        self._restart_at = 0.0
        self._crash_reason = ""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process id while one runs."""
        return self._process.pid if self._process is not None and self._process.is_alive else None

    @property
    def crash_reason(self) -> str:
        """The reason of the last crash while the process keeps crashing and is not started again, or ""."""
        return self._crash_reason if self._restart_at > self._clock() else ""

    async def request(self, command: p.WorkerCommand, reply_type: type[W], timeouts: Timeouts = WORK) -> W:
        """Send a command and return the reply. Raises WorkerError."""
        process = await self._ensure_running(timeouts)
        _, reply = process.send(command)
        try:
            if isinstance(command, p.WritePairs):
                await process.drain()
            async with asyncio.timeout(timeouts.seconds):
                return self._expected(await asyncio.shield(reply), reply_type)
        except WorkerDied as death:
            raise await self._on_death(process, death) from None
        except TimeoutError:
            raise WorkerError(
                ErrorCode.TIMEOUT, f"{self.name} did not answer within {timeouts.seconds:g} s"
            ) from None
        finally:
            self._schedule_idle_exit()

    async def run_operation(
        self, command: p.WorkerCommand, on_progress: OnProgress, control: OperationControl
    ) -> p.OperationReply:
        """Run a flush or compaction as its control requests. Raises WorkerError and OperationStopped.

        It returns when the work has ended. If the caller itself is canceled, the work is stopped in the
        background.
        """
        cancel = control.cancel
        if cancel.is_set():
            raise OperationStopped
        process = await self._ensure_running(WORK, cancel)
        number, reply = process.send(command, on_progress)
        stopper = asyncio.ensure_future(self._stop_when(cancel, process, number, reply))
        pauser = asyncio.ensure_future(self._pause_when(control.pause, process, number))
        try:
            with control.on_rate(lambda rate: self._send_quietly(process, p.SetWriteRate(number, rate))):
                return self._expected(await asyncio.shield(reply), p.OperationReply)
        except WorkerDied as death:
            error = await self._on_death(process, death)
            if cancel.is_set():
                raise OperationStopped from None
            raise error from None
        except asyncio.CancelledError:
            self._spawn(self._await_stop(process, self._send_cancel(process, number), reply))
            raise
        finally:
            stopper.cancel()
            pauser.cancel()
            self._schedule_idle_exit()

    async def close(self) -> None:
        """End the process within a few seconds."""
        self._closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        async with self._starting:
            if self._process is not None:
                await self._quit(self._process)
        for task in list(self._background):
            await asyncio.wait([task])

    async def kill_now(self) -> None:
        """End the process at once, without a flush: its memory is not needed."""
        self._closed = True
        if self._process is not None:
            await self._process.kill()
        await self.close()

    async def _ensure_running(self, timeouts: Timeouts, cancel: asyncio.Event | None = None) -> WorkerProcess:
        if not timeouts.waits_for_restart:
            self._refuse_during_delay(0)
        async with self._starting:
            if self._closed:
                raise WorkerError(ErrorCode.UNREACHABLE, f"{self.name} has been closed")
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None
            if self._process is not None and self._process.is_alive:
                return self._process
            if self._process is not None:
                await self._discard(self._process)
            await self._wait_restart_delay(cancel)
            self._process = await self._start(cancel)
            return self._process

    def _refuse_during_delay(self, longest: float) -> None:
        delay = self._restart_at - self._clock()
        if delay > longest:
            reason = f"{self.name} keeps dying and is started again in {delay:.1f} s: {self._crash_reason}"
            raise WorkerError(ErrorCode.HOST_DIED, reason)

    async def _wait_restart_delay(self, cancel: asyncio.Event | None) -> None:
        self._refuse_during_delay(MAX_DELAY_SECONDS)
        delay = self._restart_at - self._clock()
        if delay <= 0:
            return
        if cancel is None:
            await asyncio.sleep(delay)
            return
        try:
            await asyncio.wait_for(cancel.wait(), delay)
        except TimeoutError:
            return
        raise OperationStopped

    async def _start(self, cancel: asyncio.Event | None) -> WorkerProcess:
        starting = asyncio.ensure_future(WorkerProcess.start(self.name, self._arguments, self._notice))
        try:
            if cancel is not None:
                await _wait_started(starting, cancel)
            return await starting
        except WorkerDied as death:
            self._record_crash(str(death))
            raise WorkerError(ErrorCode.HOST_DIED, f"{death} as it started") from None
        except TimeoutError:
            self._record_crash("it did not start")
            raise WorkerError(ErrorCode.UNREACHABLE, f"the process of {self.name} did not start") from None
        except ProtocolMismatch as mismatch:
            raise WorkerError(ErrorCode.UNSUPPORTED, str(mismatch)) from None
        except OSError as error:
            reason = f"the process of {self.name} could not be started: {describe_os_error(error)}"
            raise WorkerError(ErrorCode.UNREACHABLE, reason) from None

    async def _on_death(self, process: WorkerProcess, death: WorkerDied) -> WorkerError:
        await process.wait_ended()
        async with self._starting:
            await self._discard(process, str(death))
        return WorkerError(ErrorCode.HOST_DIED, str(death))

    async def _discard(self, process: WorkerProcess, reason: str = "") -> None:
        """Discard an exited process; idempotent."""
        if self._process is not process:
            return
        self._process = None
        await process.wait_ended()
        if not process.ended_by_us:
            self._record_crash(reason or process.exit_description)
        if self._after_exit is not None:
            await self._after_exit()

    def _record_crash(self, reason: str) -> None:
        self._crash_reason = reason
        self._restart_at = self._clock() + RESTART_DELAYS[min(self._crashes, len(RESTART_DELAYS) - 1)]
        self._crashes += 1

    def _expected(self, reply: p.WorkerMessage, reply_type: type[W]) -> W:
        # a worker that crashes in every operation may answer a ping or read stats before
        if isinstance(reply, p.OperationReply | p.Done):
            self._crashes = 0
        if isinstance(reply, p.FailureReply):
            raise WorkerError(reply.code, reply.reason)
        if not isinstance(reply, reply_type):
            raise WorkerError(ErrorCode.IO, f"{self.name} gave no fitting answer ({type(reply).__name__})")
        return reply

    async def _stop_when(
        self, cancel: asyncio.Event, process: WorkerProcess, number: int, reply: asyncio.Future[p.WorkerMessage]
    ) -> None:
        await cancel.wait()
        await self._await_stop(process, self._send_cancel(process, number), reply)

    async def _pause_when(self, pause: asyncio.Event, process: WorkerProcess, number: int) -> None:
        await pause.wait()
        self._send_quietly(process, p.PauseOperation(number))

    def _send_quietly(self, process: WorkerProcess, command: p.WorkerCommand) -> None:
        """Send a command without waiting for a reply: if the process dies, the operation reports that."""
        _, reply = process.send(command)
        reply.add_done_callback(_retrieve_exception)

    def _send_cancel(self, process: WorkerProcess, number: int) -> float:
        """Send the stop at once, so that no later command overtakes it; return its deadline."""
        self._send_quietly(process, p.CancelOperation(number))
        return self._clock() + GRACE_SECONDS

    async def _await_stop(
        self, process: WorkerProcess, until: float, reply: asyncio.Future[p.WorkerMessage]
    ) -> None:
        if not reply.done():
            await asyncio.wait([reply], timeout=until - self._clock())
        if not reply.done():
            self._notice(f"{self.name} did not stop in time: its process is ended and started again")
            await process.kill()

    def _schedule_idle_exit(self) -> None:
        """End the process after `idle_timeout` unless another command comes."""
        if self._idle_timeout is None or self._closed or self._process is None or self._process.is_busy:
            return
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(self._idle_timeout, lambda: self._spawn(self._exit_idle()))

    async def _exit_idle(self) -> None:
        async with self._starting:
            process = self._process
            if process is None or process.is_busy or self._closed:
                return
            self._process = None
            await self._quit(process)

    async def _quit(self, process: WorkerProcess) -> None:
        _, reply = process.send(p.QuitWorker())
        reply.add_done_callback(_retrieve_exception)
        await asyncio.wait([asyncio.ensure_future(process.wait_ended())], timeout=QUIT_SECONDS)
        await process.kill()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _wait_started(starting: asyncio.Future[WorkerProcess], cancel: asyncio.Event) -> None:
    """Wait for a start, and after a stop for `GRACE_SECONDS` more. Raises OperationStopped."""
    try:
        await wait_first(starting, cancel.wait())
        if not starting.done():
            await asyncio.wait([starting], timeout=GRACE_SECONDS)
        if not starting.done():
            raise OperationStopped
    finally:
        if not starting.done():
            starting.cancel()  # which ends the process
            await asyncio.wait([starting])


def _retrieve_exception(reply: asyncio.Future[p.WorkerMessage]) -> None:
    reply.exception()
