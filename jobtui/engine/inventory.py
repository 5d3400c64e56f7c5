"""The engine's connection to a cluster, as whoever shows it wants to know of it. Embedded storage has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec.structs import replace

from jobtui.model import ConnectionStatus

if TYPE_CHECKING:
    from jobtui.clock import Clock  # with asyncio, which a reader does without


import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from jobtui.clock import Clock, wait_all
from jobtui.engine.client import Overview, SpaceOverview
from jobtui.errors import StorageError
from jobtui.model import ConnectionState, SpaceStats
from jobtui.storage.base import Host, Space, TaskRunner


@runtime_checkable
class HasConnection(Protocol):
    """A storage that is reached over a connection. A link of None: it can do without."""

    @property
    def link(self) -> ConnectionStatus | None:
        """How it stands with the connection."""
        ...

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Have `listener` called, in the engine's loop, when that changes; the answer ends it."""
        ...

    def retry_now(self) -> None:
        """Try to connect now; in the engine's loop."""
        ...


class ConnectionMonitor:
    """The newest state of a connection; `changed` is called with each, in the engine's loop."""

    def __init__(
        self, linked: HasConnection, clock: Clock, changed: Callable[[ConnectionStatus], None]
    ) -> None:
        self._linked = linked
        self._clock = clock
        self._changed = changed
        self._told = linked.link, clock.steady()
        linked.watch(self._hear)

    @property
    def link(self) -> ConnectionStatus | None:
        """The connection at this moment: `retry_in` counts from now. Any thread."""
        link, at = self._told
        return None if link is None else age_retry_delay(link, self._clock.steady() - at)

    def retry_now(self) -> None:
        """See `Linked.retry_now`."""
        self._linked.retry_now()

    def _hear(self, link: ConnectionStatus) -> None:
        self._told = link, self._clock.steady()
        self._changed(link)


def age_retry_delay(link: ConnectionStatus, seconds: float) -> ConnectionStatus:
    """A connection that was told so many seconds ago: the next attempt is that much nearer."""
    if link.retry_in is None:
        return link
    return replace(link, retry_in=max(0.0, link.retry_in - seconds))


# ---- merged from jobtui.engine.known_places: ----
# Which spaces and hosts there are, as far as the engine has been told; and when it asks again.
class Inventory:
    """See the module. For the engine's loop; `spaces` and `hosts` may be read by any thread.

    `connected` says that the storage is reached over a connection, and `beside` runs a coroutine.
    """

    def __init__(
        self,
        storage: TaskRunner,
        connected: bool,
        beside: Callable[[Coroutine[Any, Any, object]], object],
    ) -> None:
        self.spaces: tuple[Space, ...] = ()
        self.hosts: tuple[str, ...] = ()
        self._storage = storage
        self._connected = connected
        self._beside = beside
        self._address: str | None = None  # of the connection, perhaps ""; None while there is none
        self._due = self._learning = False

    async def fresh_spaces(self) -> dict[str, Space]:
        """The spaces by name, as the storage now tells them. Raises StorageError."""
        self.spaces = await self._storage.spaces()
        return {space.name: space for space in self.spaces}

    def note_link(self, link: ConnectionStatus) -> None:
        """Learn the places once for each connection: what else is told of one changes often."""
        before = self._address
        self._address = link.address if link.state is ConnectionState.CONNECTED else None
        if self._address not in (None, before):
            self.learn_soon()

    def learn_soon(self) -> None:
        """Ask for all places; where that is under way, once more after it."""
        self._due = True
        if not self._learning:
            self._learning = True
            self._beside(self._learn())

    async def _learn(self) -> None:
        try:
            while self._due:
                self._due = False
                await self._ask()
        finally:
            self._learning = False

    async def _ask(self) -> None:
        try:
            await self.fresh_spaces()
            # to ask an embedded host starts its process: not before it has to be
            if self._connected:
                self.hosts = tuple(host.name for host in await self._storage.hosts())
        except StorageError:
            if not self._connected:
                raise  # else how it stands with the connection is told as such, and this is done again


# ---- merged from jobtui.engine.overview: ----
# A look at every space and host at once, with a bound on how long a slow host is waited for.
PATIENCE_SECONDS = 3.0


async def look(storage: TaskRunner, clock: Clock) -> Overview:
    """Spaces and hosts as they are now; what a host does not tell in time is unknown (None).

    Raises StorageError where even the lists can't be had.
    """
    spaces, hosts = await asyncio.gather(_look_at_all(storage, clock), storage.hosts())
    return Overview(_measured(spaces, hosts), hosts)


async def look_at_spaces(storage: TaskRunner, clock: Clock) -> tuple[SpaceOverview, ...]:
    """The spaces alone; raises StorageError where the list can't be had."""
    spaces = await _look_at_all(storage, clock)
    if any(look.space.adopted for look in spaces):
        spaces = _measured(spaces, await storage.hosts())
    return spaces


def _measured(looks: tuple[SpaceOverview, ...], hosts: Iterable[Host]) -> tuple[SpaceOverview, ...]:
    """With the sizes of adopted spaces, whose hosts hold nothing else, as their hosts tell them."""
    sizes = {host.name: host.size for host in hosts if host.up}
    return tuple(
        msgspec.structs.replace(look, size=_whole([sizes.get(host) for host in look.space.hosts]))
        if look.space.adopted
        else look
        for look in looks
    )


async def _look_at_all(storage: TaskRunner, clock: Clock) -> tuple[SpaceOverview, ...]:
    spaces = await storage.spaces()
    return tuple(await asyncio.gather(*(_look_at(storage, space, clock) for space in spaces)))


async def _look_at(storage: TaskRunner, space: Space, clock: Clock) -> SpaceOverview:
    if space.adopted:  # opening an adopted database writes to it: it is only looked at when asked for by name
        return SpaceOverview(space, None, None, None)
    asked = [asyncio.ensure_future(_stats(storage, space.name, host)) for host in space.hosts]
    await wait_all(clock, PATIENCE_SECONDS, *asked)
    for one in asked:
        one.cancel()
    stats = [one.result() if one.done() and not one.cancelled() else None for one in asked]
    known = [one for one in stats if one is not None]
    if len(known) < len(stats):
        return SpaceOverview(space, None, None, None)
    return SpaceOverview(
        space,
        sum(one.bytes for one in known),
        sum(one.memtable for one in known),
        _sum(one.pending for one in known),
    )


async def _stats(storage: TaskRunner, space: str, host: str) -> SpaceStats | None:
    try:
        return await storage.stats(space, host)
    except StorageError:
        return None  # the host's own row says why


def _whole(counts: Sequence[int | None]) -> int | None:
    """Their sum, None where one is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
