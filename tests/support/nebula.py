"""What the tests of a NebulaGraph cluster share: settings, mirrors that are closed, errors caught."""

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
LOOKS_AND_ORDERS = 2  # a mirror's connections
STEPS_TO_WAKE = 10  # turns of the loop that a sleeper, and who waits for it, may take to get going
PASSWORD = LiteralPassword(Secret("nebula"))


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine; it fails rather than hangs."""

    async def bounded() -> T:
        async with asyncio.timeout(WAIT * 2):
            return await test

    return asyncio.run(bounded())


def settings_for(*graphds: GraphdDouble, **changes: Any) -> ClusterSettings:
    addresses = tuple(Address("127.0.0.1", graphd.port) for graphd in graphds)
    return ClusterSettings(**{"name": "prod", "addresses": addresses, "password": PASSWORD} | changes)


class PatientClock(FakeClock):
    """A clock that moves on, a second at a time, whenever all that is left to do is to sleep."""

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
        """What it comes to; the clock moves whenever somebody sleeps meanwhile."""
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


class Told:
    """The states of a mirror's connection, as its watcher was told them."""

    def __init__(self, mirror: GraphdJobManager) -> None:
        self.links: list[ConnectionStatus] = [mirror.link]
        self._changed = asyncio.Event()
        self.leave = mirror.watch(self._hear)

    def _hear(self, link: ConnectionStatus) -> None:
        self.links.append(link)
        self._changed.set()

    @property
    def states(self) -> list[ConnectionState]:
        return [link.state for link in self.links]

    async def until(self, state: ConnectionState) -> ConnectionStatus:
        """The latest link, once its state is that."""
        await self.hear(lambda: self.links[-1].state is state)
        return self.links[-1]

    async def hear(self, enough: Callable[[], bool]) -> None:
        """Listen until that was told."""
        while not enough():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), WAIT)


@asynccontextmanager
async def mirrored(
    *graphds: GraphdDouble, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[GraphdJobManager]:
    """A mirror that has begun to connect; closed at the end."""
    mirror = GraphdJobManager(settings_for(*graphds, **changes), clock=clock)
    await mirror.start()
    try:
        yield mirror
    finally:
        await mirror.close()


async def failure(asked: Awaitable[object]) -> StorageError:
    """The StorageError that it comes to."""
    try:
        answer = await asked
    except StorageError as error:
        return error
    raise AssertionError(f"it went well: {answer!r}")
