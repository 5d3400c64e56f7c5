"""A storage host's worker process as the engine sees it: always there, started again when it has died.

All of it belongs to one asyncio loop. A stop is real: the worker is asked, and one that has not obeyed
within `GRACE_SECONDS` is killed (which loses nothing) and started again for the next order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from jobtui.clock import wait_first
from jobtui.errors import ErrorCode
from jobtui.os_errors import explain
from jobtui.storage.local import protocol as p
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.process import Notice, OnProgress, WorkerDied, WorkerProcess

GRACE_SECONDS = 3.0
QUIT_SECONDS = 2.5
# seconds between one death and the next start, by how many deaths in a row there have been
PAUSES = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LONGEST_WAIT = 10.0  # for work that finds its worker in such a pause

W = TypeVar("W", bound=p.WorkerMessage)


class Timeouts(msgspec.Struct, frozen=True):
    """How long who asks waits: through a pause before a start, `seconds` for the answer (None: for ever)."""

    pause: bool = True
    seconds: float | None = None


WORK = Timeouts()
LOOK = Timeouts(pause=False, seconds=10.0)


class Stopped(Exception):
    """A stop ended the work before its worker could say how far it was."""


class WorkerSupervisor:
    """See the module. `linger`: seconds after which an idle process is ended; None keeps it."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        notice: Notice,
        *,
        linger: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_death: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name = name
        self._arguments = tuple(arguments)
        self._notice = notice
        self._linger = linger
        self._clock = clock
        self._on_death = on_death
        self._life: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._deaths = 0
        self._not_before = 0.0
        self._why = ""
        self._idle: asyncio.TimerHandle | None = None
        self._side_work: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process id while one runs."""
        return self._life.pid if self._life is not None and self._life.alive else None

    async def ask(self, order: p.WorkerCommand, answer: type[W], patience: Timeouts = WORK) -> W:
        """Have an order carried out. Raises Trouble."""
        life = await self._living(patience)
        _, word = life.send(order)
        try:
            if isinstance(order, p.WritePairs):
                await life.drain()
            async with asyncio.timeout(patience.seconds):
                return self._expected(await asyncio.shield(word), answer)
        except WorkerDied as death:
            raise await self._mourn(life, death) from None
        except TimeoutError:
            raise WorkerError(
                ErrorCode.TIMEOUT, f"{self.name} did not answer within {patience.seconds:g} s"
            ) from None
        finally:
            self._rest()

    async def work(self, order: p.WorkerCommand, heard: OnProgress, cancel: asyncio.Event) -> p.OperationReply:
        """Have a Flush or Compact carried out, and stopped once `cancel` is set. Raises Trouble and Stopped.

        It returns when the work has truly ended. Where the caller itself is cancelled, the work is stopped
        behind its back.
        """
        if cancel.is_set():
            raise Stopped
        life = await self._living(WORK, cancel)
        number, word = life.send(order, heard)
        stopper = asyncio.ensure_future(self._stop_when(cancel, life, number, word))
        try:
            return self._expected(await asyncio.shield(word), p.OperationReply)
        except WorkerDied as death:
            trouble = await self._mourn(life, death)
            if cancel.is_set():
                raise Stopped from None
            raise trouble from None
        except asyncio.CancelledError:
            self._beside(self._obeyed(life, self._order_stop(life, number), word))
            raise
        finally:
            stopper.cancel()
            self._rest()

    async def close(self) -> None:
        """End the process, in any case, within a few seconds."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
        async with self._starting:
            if self._life is not None:
                await self._end(self._life)
        for task in list(self._side_work):
            await asyncio.wait([task])

    async def abandon(self) -> None:
        """As `close`, but at once: what it holds in memory is not needed any more."""
        self._closed = True
        if self._life is not None:
            await self._life.kill()
        await self.close()

    async def _living(self, patience: Timeouts, cancel: asyncio.Event | None = None) -> WorkerProcess:
        if not patience.pause:
            self._refuse_in_pause(0)
        async with self._starting:
            if self._closed:
                raise WorkerError(ErrorCode.UNREACHABLE, f"{self.name} has been closed")
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            if self._life is not None and self._life.alive:
                return self._life
            if self._life is not None:
                await self._bury(self._life)
            await self._sit_out_pause(cancel)
            self._life = await self._start(cancel)
            return self._life

    def _refuse_in_pause(self, longest: float) -> None:
        pause = self._not_before - self._clock()
        if pause > longest:
            reason = f"{self.name} keeps dying and is started again in {pause:.1f} s: {self._why}"
            raise WorkerError(ErrorCode.HOST_DIED, reason)

    async def _sit_out_pause(self, cancel: asyncio.Event | None) -> None:
        self._refuse_in_pause(LONGEST_WAIT)
        pause = self._not_before - self._clock()
        if pause <= 0:
            return
        if cancel is None:
            await asyncio.sleep(pause)
            return
        try:
            await asyncio.wait_for(cancel.wait(), pause)
        except TimeoutError:
            return
        raise Stopped

    async def _start(self, cancel: asyncio.Event | None) -> WorkerProcess:
        beginning = asyncio.ensure_future(WorkerProcess.begin(self.name, self._arguments, self._notice))
        try:
            if cancel is not None:
                await _begun(beginning, cancel)
            return await beginning
        except WorkerDied as death:
            self._count_death(str(death))
            raise WorkerError(ErrorCode.HOST_DIED, f"{death} as it started") from None
        except TimeoutError:
            self._count_death("it did not start")
            raise WorkerError(ErrorCode.UNREACHABLE, f"the process of {self.name} did not start") from None
        except OSError as error:
            reason = f"the process of {self.name} could not be started: {explain(error)}"
            raise WorkerError(ErrorCode.UNREACHABLE, reason) from None

    async def _mourn(self, life: WorkerProcess, death: WorkerDied) -> WorkerError:
        await life.gone()
        async with self._starting:
            await self._bury(life, str(death))
        return WorkerError(ErrorCode.HOST_DIED, str(death))

    async def _bury(self, life: WorkerProcess, why: str = "") -> None:
        """Take leave of a dead process, once."""
        if self._life is not life:
            return
        self._life = None
        await life.gone()
        if not life.ended_by_us:
            self._count_death(why or life.epitaph)
        if self._on_death is not None:
            await self._on_death()

    def _count_death(self, why: str) -> None:
        self._why = why
        self._not_before = self._clock() + PAUSES[min(self._deaths, len(PAUSES) - 1)]
        self._deaths += 1

    def _expected(self, word: p.WorkerMessage, answer: type[W]) -> W:
        if isinstance(word, p.OperationReply | p.Done):
            self._deaths = 0
        if isinstance(word, p.FailureReply):
            raise WorkerError(word.code, word.detail)
        if not isinstance(word, answer):
            raise WorkerError(ErrorCode.IO, f"{self.name} gave no fitting answer ({type(word).__name__})")
        return word

    async def _stop_when(
        self, cancel: asyncio.Event, life: WorkerProcess, number: int, word: asyncio.Future[p.WorkerMessage]
    ) -> None:
        await cancel.wait()
        await self._obeyed(life, self._order_stop(life, number), word)

    def _order_stop(self, life: WorkerProcess, number: int) -> float:
        """Send the stop at once, so that no later order overtakes it; until when it must have been obeyed."""
        _, heard = life.send(p.CancelOperation(number))
        heard.add_done_callback(_look_at)
        return self._clock() + GRACE_SECONDS

    async def _obeyed(self, life: WorkerProcess, until: float, word: asyncio.Future[p.WorkerMessage]) -> None:
        if not word.done():
            await asyncio.wait([word], timeout=until - self._clock())
        if not word.done():
            self._notice(f"{self.name} did not stop in time: its process is ended and started again")
            await life.kill()

    def _rest(self) -> None:
        """Note that an order is through: an idle process that is not to be kept is ended after a while."""
        if self._linger is None or self._closed or self._life is None or self._life.busy:
            return
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(self._linger, lambda: self._beside(self._retire()))

    async def _retire(self) -> None:
        async with self._starting:
            life = self._life
            if life is None or life.busy or self._closed:
                return
            self._life = None
            await self._end(life)

    async def _end(self, life: WorkerProcess) -> None:
        _, word = life.send(p.QuitWorker())
        word.add_done_callback(_look_at)
        await asyncio.wait([asyncio.ensure_future(life.gone())], timeout=QUIT_SECONDS)
        await life.kill()

    def _beside(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._side_work.add(task)
        task.add_done_callback(self._side_work.discard)


async def _begun(beginning: asyncio.Future[WorkerProcess], cancel: asyncio.Event) -> None:
    """Wait for a start; one that a stop overtakes has the time that any work has. Raises Stopped."""
    try:
        await wait_first(beginning, cancel.wait())
        if not beginning.done():
            await asyncio.wait([beginning], timeout=GRACE_SECONDS)
        if not beginning.done():
            raise Stopped
    finally:
        if not beginning.done():
            beginning.cancel()  # which ends the process
            await asyncio.wait([beginning])


def _look_at(word: asyncio.Future[p.WorkerMessage]) -> None:
    if not word.cancelled():
        word.exception()
