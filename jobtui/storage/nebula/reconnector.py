"""The state of a connection, and the attempts to restore a lost one.

It is independent of NebulaGraph.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from jobtui.clock import Clock, wait_first
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState, ConnectionStatus

WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds before each new attempt; the last one repeats."""
RETRIED = frozenset({ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT})
"""Errors after which a retry is useful. Others are not retried: repeated failed logins can lock an account."""


class Reconnector:
    """A reconnector, which waits longer after each failure and publishes each state.

    The connection itself belongs to the caller, who reports the outcome of each call with `on_answer`,
    `on_slow_answer` and `on_error`. All methods are called in one event loop.

    Args:
        connect: Connects and returns the address that it reached, or raises StorageError.
        clock: Measures the waits.
    """

    def __init__(self, connect: Callable[[], Awaitable[str]], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._watchers: tuple[Callable[[ConnectionStatus], None], ...] = ()
        self._first_attempt: asyncio.Future[None] | None = None
        self._attempts: asyncio.Task[None] | None = None
        self._failing_since: datetime | None = None
        self._retry_requested = asyncio.Event()
        self._error: StorageError | None = None
        self.status = ConnectionStatus(ConnectionState.CONNECTING, clock.now())

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Call `listener` with every change from now on. Return a function that ends this."""
        self._watchers = (*self._watchers, listener)

        def unsubscribe() -> None:
            self._watchers = tuple(other for other in self._watchers if other is not listener)

        return unsubscribe

    def start(self) -> None:
        """Begin the first attempt to connect; `wait_first_attempt` waits for it."""
        self._first_attempt = asyncio.get_running_loop().create_future()
        self._set(ConnectionStatus(ConnectionState.CONNECTING, self._clock.now()))
        self._start_attempts()

    async def wait_first_attempt(self) -> None:
        """Wait until the attempt that `start` began has succeeded or failed."""
        if self._first_attempt is not None:
            await asyncio.shield(self._first_attempt)

    def require_connection(self) -> None:
        """Raise StorageError, with the reason and since when, unless there is a connection."""
        if self.status.state is ConnectionState.CONNECTED:
            return
        if self.status.state is ConnectionState.LOST and self._error is not None:
            since = self.status.since.astimezone().strftime("%H:%M:%S")
            text = f"no connection to the cluster since {since}: {self._error.detail}"
            raise StorageError(self._error.code, self._error.host, "", text)
        if self.status.state is ConnectionState.REFUSED and self._error is not None:
            raise StorageError(self._error.code, self._error.host, "", self._error.detail)
        raise StorageError(
            ErrorCode.UNREACHABLE, "", "", f"the connection to the cluster is {self.status.state}"
        )

    def on_answer(self, address: str) -> None:
        """Record that a call was answered, perhaps by another server than the one known so far."""
        address = address or self.status.address
        self._failing_since = None
        if self.status.state is ConnectionState.CONNECTED and (address, "") != (
            self.status.address,
            self.status.detail,
        ):
            self._set(replace(self.status, address=address, detail=""))

    def on_failing_answer(self, reason: str) -> None:
        """Report that the server answers only with failures, until a call succeeds."""
        if self.status.state is ConnectionState.CONNECTED:
            self._failing_since = self._failing_since or self._clock.now()
            since = self._failing_since.astimezone()
            detail = f"no usable answer since {since:%H:%M:%S} ({reason})"
            if detail != self.status.detail:
                self._set(replace(self.status, detail=detail))

    def on_slow_answer(self, seconds: float) -> None:
        """Report that a call has had no answer for `seconds`, until a call is answered."""
        if self.status.state is ConnectionState.CONNECTED and not self.status.detail:
            sent_at = (self._clock.now() - timedelta(seconds=seconds)).astimezone()
            self._set(replace(self.status, detail=f"no answer since {sent_at:%H:%M:%S}"))

    def on_error(self, error: StorageError) -> None:
        """Record that a call failed without a connection, and reconnect if a retry is useful."""
        if self.status.state is not ConnectionState.CONNECTED:
            return
        self._error = error
        if error.code in RETRIED:
            self._set_lost(WAITS[0])
            self._start_attempts()
        else:
            self._set_refused(error)

    def retry_now(self) -> None:
        """Try to connect now. After a refusal, this is the only way to continue."""
        if self.status.state is ConnectionState.REFUSED:
            self.start()
        else:
            self._retry_requested.set()

    async def close(self) -> None:
        """Stop all attempts."""
        if self._attempts is not None:
            self._attempts.cancel()
            await asyncio.wait([self._attempts])
        self._end_first_attempt()
        self._set(ConnectionStatus(ConnectionState.CLOSED, self._clock.now()))

    def _start_attempts(self) -> None:
        if self._attempts is None or self._attempts.done():
            self._attempts = asyncio.create_task(self._attempt_until_connected())

    async def _attempt_until_connected(self) -> None:
        waits = iter(WAITS)
        wait = next(waits)
        while True:
            if self.status.state is ConnectionState.LOST:
                await self._wait_before_retry(wait)
                wait = next(waits, WAITS[-1])
                self._set_lost(None)
            try:
                address = await self._attempt()
            except StorageError as error:
                self._error = error
                if error.code not in RETRIED:
                    self._set_refused(error)
                    return
                self._set_lost(wait)
                self._end_first_attempt()
            else:
                self._error = None
                self._set(ConnectionStatus(ConnectionState.CONNECTED, self._clock.now(), address))
                self._end_first_attempt()
                return

    async def _attempt(self) -> str:
        try:
            return await self._connect()
        except StorageError:
            raise
        except Exception as error:
            raise StorageError(ErrorCode.IO, "", "", f"{type(error).__name__}: {error}") from error

    async def _wait_before_retry(self, seconds: float) -> None:
        self._retry_requested.clear()
        await wait_first(self._clock.sleep(seconds), self._retry_requested.wait())

    def _set_lost(self, retry_in: float | None) -> None:
        since = self.status.since if self.status.state is ConnectionState.LOST else self._clock.now()
        detail = self._error.detail if self._error is not None else ""
        self._set(ConnectionStatus(ConnectionState.LOST, since, detail=detail, retry_in=retry_in))

    def _set_refused(self, error: StorageError) -> None:
        self._set(ConnectionStatus(ConnectionState.REFUSED, self._clock.now(), error.host, error.detail))
        self._end_first_attempt()

    def _end_first_attempt(self) -> None:
        if self._first_attempt is not None and not self._first_attempt.done():
            self._first_attempt.set_result(None)

    def _set(self, status: ConnectionStatus) -> None:
        self.status = status
        for watcher in self._watchers:
            watcher(status)
