"""What the tests of a NebulaGraph cluster share: settings, mirrors that are closed, errors caught."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from jobtui.storage.base import Link, LinkState, StorageError
from jobtui.storage.nebula.link import Clock
from jobtui.storage.nebula.mirror import GraphdMirror
from jobtui.storage.nebula.settings import Address, ClusterSettings, Given, Secret
from tests.support.clock import FakeClock
from tests.support.graphd_double import GraphdDouble

T = TypeVar("T")
WAIT = 20.0
PASSWORD = Given(Secret("nebula"))


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
    """A clock that knows how many sleep, and can move on by the second until something is so."""

    sleepers = 0

    async def sleep(self, seconds: float) -> None:
        self.sleepers += 1
        try:
            await super().sleep(seconds)
        finally:
            self.sleepers -= 1

    async def let_pass(self, until: Callable[[], bool]) -> None:
        """Move on, whenever somebody sleeps, until that is so."""
        async with asyncio.timeout(WAIT):
            while not until():
                if self.sleepers:
                    self.advance(1)
                await asyncio.sleep(0.001)


class Told:
    """The states of a mirror's connection, as its watcher was told them."""

    def __init__(self, mirror: GraphdMirror) -> None:
        self.links: list[Link] = [mirror.link]
        self._changed = asyncio.Event()
        self.leave = mirror.watch(self._hear)

    def _hear(self, link: Link) -> None:
        self.links.append(link)
        self._changed.set()

    @property
    def states(self) -> list[LinkState]:
        return [link.state for link in self.links]

    async def until(self, state: LinkState) -> Link:
        """The latest link, once its state is that."""
        while self.links[-1].state is not state:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), WAIT)
        return self.links[-1]


@asynccontextmanager
async def mirrored(
    *graphds: GraphdDouble, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[GraphdMirror]:
    """A mirror that has begun to connect; closed at the end."""
    mirror = GraphdMirror(settings_for(*graphds, **changes), clock=clock)
    await mirror.start()
    try:
        yield mirror
    finally:
        await mirror.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110 - another thread's doing sets no event of ours
            await asyncio.sleep(0.001)


async def failure(asked: Awaitable[object]) -> StorageError:
    """The StorageError that it comes to."""
    try:
        answer = await asked
    except StorageError as error:
        return error
    raise AssertionError(f"it went well: {answer!r}")
