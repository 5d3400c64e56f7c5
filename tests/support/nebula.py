"""Shared helpers of the NebulaGraph tests: settings, job managers that are closed, caught errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from jobtui.clock import Clock
from jobtui.errors import StorageError
from jobtui.model import ConnectionState, ConnectionStatus
from jobtui.storage.nebula.job_manager import GraphdJobManager
from jobtui.storage.nebula.settings import Address, ClusterSettings, LiteralPassword, Secret
from tests.support.clock import FakeClock
from tests.support.graphd_double import GraphdDouble

T = TypeVar("T")
WAIT = 20.0
SESSIONS = 3  # of a job manager: for lists of jobs, other queries, and commands
STEPS_TO_WAKE = 10  # turns of the loop that a sleeper and its waiter may take to start
PASSWORD = LiteralPassword(Secret("nebula"))


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine with a timeout, so that it fails instead of hanging."""

    async def bounded() -> T:
        async with asyncio.timeout(WAIT * 2):
            return await test

    return asyncio.run(bounded())


def settings_for(*graphds: GraphdDouble, **changes: Any) -> ClusterSettings:
    addresses = tuple(Address("127.0.0.1", graphd.port) for graphd in graphds)
    return ClusterSettings(**{"name": "prod", "addresses": addresses, "password": PASSWORD} | changes)


class PatientClock(FakeClock):
    """A clock that advances by a second whenever everything else is asleep."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self._asleep.set()
        await super().sleep(seconds)

    @property
    def sleepers(self) -> int:
        return self._sleepers()

    async def let_pass(self, until: Awaitable[T]) -> T:
        """Return the coroutine's result; the clock advances whenever a coroutine sleeps meanwhile."""
        done = asyncio.ensure_future(until)
        async with asyncio.timeout(WAIT):
            while not done.done():
                if self.sleepers:
                    self.advance(1)
                    for _ in range(STEPS_TO_WAKE):
                        await asyncio.sleep(0)
                    continue
                self._asleep.clear()
                asleep = asyncio.ensure_future(self._asleep.wait())
                await asyncio.wait([done, asleep], return_when=asyncio.FIRST_COMPLETED)
                asleep.cancel()
        return done.result()


class ConnectionLog:
    """The states of a job manager's connection, as its watcher received them."""

    def __init__(self, manager: GraphdJobManager) -> None:
        self.links: list[ConnectionStatus] = [manager.link]
        self._changed = asyncio.Event()
        self.leave = manager.watch(self._record)

    def _record(self, link: ConnectionStatus) -> None:
        self.links.append(link)
        self._changed.set()

    @property
    def states(self) -> list[ConnectionState]:
        return [link.state for link in self.links]

    async def until(self, state: ConnectionState) -> ConnectionStatus:
        """Wait until the connection has this state, and return it."""
        await self.wait_for(lambda: self.links[-1].state is state)
        return self.links[-1]

    async def wait_for(self, enough: Callable[[], bool]) -> None:
        """Wait until this was reported."""
        while not enough():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), WAIT)


@asynccontextmanager
async def job_manager(
    *graphds: GraphdDouble, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[GraphdJobManager]:
    """Yield a job manager that has begun to connect; it is closed at the end."""
    manager = GraphdJobManager(settings_for(*graphds, **changes), clock=clock)
    await manager.start()
    try:
        yield manager
    finally:
        await manager.close()


async def failure(call: Awaitable[object]) -> StorageError:
    """Return the StorageError that the coroutine raises."""
    try:
        answer = await call
    except StorageError as error:
        return error
    raise AssertionError(f"it went well: {answer!r}")
