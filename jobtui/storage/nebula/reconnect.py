"""The state of a connection, and the patience to get it back: connecting, connected, lost, refused, closed.

`LinkKeeper` knows nothing of NebulaGraph: it is given a way to connect, is told what calls came to, and
tells whoever watches. For one loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from msgspec.structs import replace

from jobtui.clock import Clock, wait_first
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState, ConnectionStatus

WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds before each new attempt; the last one repeats
RETRIED = frozenset({ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT})


class Reconnector:
    """See the module. `connect` answers with the address that it reached, or raises StorageError."""

    def __init__(self, connect: Callable[[], Awaitable[str]], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._watchers: tuple[Callable[[ConnectionStatus], None], ...] = ()
        self._first: asyncio.Future[None] | None = None
        self._pursuit: asyncio.Task[None] | None = None
        self._kick = asyncio.Event()
        self._error: StorageError | None = None
        self.link = ConnectionStatus(ConnectionState.CONNECTING, clock.now())

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Have `listener` called with every change; the answer ends that."""
        self._watchers = (*self._watchers, listener)

        def leave() -> None:
            self._watchers = tuple(other for other in self._watchers if other is not listener)

        return leave

    def start(self) -> None:
        """Begin to connect, with the patience of a first attempt: whoever asks meanwhile waits for it."""
        self._first = asyncio.get_running_loop().create_future()
        self._tell(ConnectionStatus(ConnectionState.CONNECTING, self._clock.now()))
        self._pursue()

    async def first_attempt(self) -> None:
        """Wait until the attempt that `start` began has come to something."""
        if self._first is not None:
            await asyncio.shield(self._first)

    def check(self) -> None:
        """Raise StorageError unless there is a connection."""
        if self.link.state is ConnectionState.CONNECTED:
            return
        if self.link.state is ConnectionState.LOST and self._error is not None:
            since = self.link.since.astimezone().strftime("%H:%M:%S")
            text = f"no connection to the cluster since {since}: {self._error.detail}"
            raise StorageError(self._error.code, self._error.host, "", text)
        if self.link.state is ConnectionState.REFUSED and self._error is not None:
            raise StorageError(self._error.code, self._error.host, "", self._error.detail)
        raise StorageError(ErrorCode.UNREACHABLE, "", "", f"the connection to the cluster is {self.link.state}")

    def answered(self, address: str) -> None:
        """A call was answered, perhaps by another server than the one that was known."""
        address = address or self.link.address
        if self.link.state is ConnectionState.CONNECTED and (address, "") != (
            self.link.address,
            self.link.detail,
        ):
            self._tell(replace(self.link, address=address, detail=""))

    def unanswered(self, seconds: float) -> None:
        """A call has been without an answer for that long: tell of it until one is answered."""
        if self.link.state is ConnectionState.CONNECTED and not self.link.detail:
            asked = (self._clock.now() - timedelta(seconds=seconds)).astimezone()
            self._tell(replace(self.link, detail=f"no answer since {asked:%H:%M:%S}"))

    def lost(self, error: StorageError) -> None:
        """A call found no graphd: go on trying, unless the error is of a kind that trying does not mend."""
        if self.link.state is not ConnectionState.CONNECTED:
            return
        self._error = error
        if error.code in RETRIED:
            self._tell_lost(WAITS[0])
            self._pursue()
        else:
            self._refused(error)

    def retry_now(self) -> None:
        """Try now."""
        if self.link.state is ConnectionState.REFUSED:
            self.start()
        else:
            self._kick.set()

    async def close(self) -> None:
        """Try no more."""
        if self._pursuit is not None:
            self._pursuit.cancel()
            await asyncio.wait([self._pursuit])
        self._attempted()
        self._tell(ConnectionStatus(ConnectionState.CLOSED, self._clock.now()))

    def _pursue(self) -> None:
        if self._pursuit is None or self._pursuit.done():
            self._pursuit = asyncio.create_task(self._until_connected())

    async def _until_connected(self) -> None:
        waits = iter(WAITS)
        wait = next(waits)
        while True:
            if self.link.state is ConnectionState.LOST:
                await self._wait(wait)
                wait = next(waits, WAITS[-1])
                self._tell_lost(None)
            try:
                address = await self._tried()
            except StorageError as error:
                self._error = error
                if error.code not in RETRIED:
                    self._refused(error)
                    return
                self._tell_lost(wait)
                self._attempted()
            else:
                self._error = None
                self._tell(ConnectionStatus(ConnectionState.CONNECTED, self._clock.now(), address))
                self._attempted()
                return

    async def _tried(self) -> str:
        try:
            return await self._connect()
        except StorageError:
            raise
        except Exception as error:
            raise StorageError(ErrorCode.IO, "", "", f"{type(error).__name__}: {error}") from error

    async def _wait(self, seconds: float) -> None:
        self._kick.clear()
        await wait_first(self._clock.sleep(seconds), self._kick.wait())

    def _tell_lost(self, retry_in: float | None) -> None:
        since = self.link.since if self.link.state is ConnectionState.LOST else self._clock.now()
        detail = self._error.detail if self._error is not None else ""
        self._tell(ConnectionStatus(ConnectionState.LOST, since, detail=detail, retry_in=retry_in))

    def _refused(self, error: StorageError) -> None:
        self._tell(ConnectionStatus(ConnectionState.REFUSED, self._clock.now(), error.host, error.detail))
        self._attempted()

    def _attempted(self) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    def _tell(self, link: ConnectionStatus) -> None:
        self.link = link
        for watcher in self._watchers:
            watcher(link)
