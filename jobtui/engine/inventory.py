"""The spaces and hosts of a storage: a cache of them, and the functions that fetch them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from jobtui.clock import Clock, wait_all
from jobtui.engine.client import Overview, SpaceOverview
from jobtui.errors import StorageError
from jobtui.model import ConnectionState, ConnectionStatus, SpaceStats
from jobtui.storage.base import Host, Space, Storage

STATS_SECONDS = 3.0  # for a host to answer, so that a slow one does not hold up the others


class InventoryCache:
    """The last known spaces and host names, for the engine's loop; any thread may read them.

    `has_connection`: the storage is reached over a connection; `past_spaces` returns the spaces of the
    history, which are known before the first connection; `spawn` runs a coroutine in the background.
    """

    def __init__(
        self,
        storage: Storage,
        has_connection: bool,
        past_spaces: Callable[[], tuple[str, ...]],
        spawn: Callable[[Coroutine[Any, Any, object]], object],
    ) -> None:
        self.spaces: tuple[Space, ...] = ()
        self.hosts: tuple[str, ...] = ()
        self._storage = storage
        self._has_connection = has_connection
        self._past_spaces = past_spaces
        self._spawn = spawn
        self._address: str | None = None  # of the connection, perhaps ""; None while there is none
        self._due = self._refreshing = False

    def space_names(self) -> tuple[str, ...]:
        """Return the names of the spaces as last known. Any thread."""
        if self._has_connection and not self.spaces:
            return self._past_spaces()
        return tuple(space.name for space in self.spaces)

    async def fetch_overview(self, clock: Clock) -> Overview:
        """Return spaces and hosts as they are now. Raises StorageError."""
        overview = await fetch_overview(self._storage, clock)
        self.hosts = tuple(host.name for host in overview.hosts)
        return overview

    async def fetch_spaces(self) -> dict[str, Space]:
        """Fetch the spaces, and return them by name. Raises StorageError."""
        self.spaces = await self._storage.spaces()
        return {space.name: space for space in self.spaces}

    def on_connection(self, status: ConnectionStatus) -> None:
        """Fetch spaces and hosts once per connection, although its status changes often."""
        before = self._address
        self._address = status.address if status.state is ConnectionState.CONNECTED else None
        if self._address not in (None, before):
            self.refresh_soon()

    def refresh_soon(self) -> None:
        """Fetch all spaces and hosts; if that is under way, fetch them once more after it."""
        self._due = True
        if not self._refreshing:
            self._refreshing = True
            self._spawn(self._refresh())

    async def _refresh(self) -> None:
        try:
            while self._due:
                self._due = False
                await self._fetch()
        finally:
            self._refreshing = False

    async def _fetch(self) -> None:
        try:
            await self.fetch_spaces()
            # asking an embedded host would start its process
            if self._has_connection:
                self.hosts = tuple(host.name for host in await self._storage.hosts())
        except StorageError:
            # the connection reports its own failure, and the next connection fetches again
            if not self._has_connection:
                raise


async def fetch_overview(storage: Storage, clock: Clock) -> Overview:
    """Return spaces and hosts as they are now, with None for the stats of a host that does not answer in time.

    Raises StorageError if the lists of spaces or hosts are not available.
    """
    spaces, hosts = await asyncio.gather(_fetch_all(storage, clock), storage.hosts())
    return Overview(_with_host_sizes(spaces, hosts), hosts)


async def fetch_space_overviews(storage: Storage, clock: Clock) -> tuple[SpaceOverview, ...]:
    """Return the spaces alone. Raises StorageError if their list is not available."""
    spaces = await _fetch_all(storage, clock)
    if any(one.space.adopted for one in spaces):
        spaces = _with_host_sizes(spaces, await storage.hosts())
    return spaces


def _with_host_sizes(overviews: tuple[SpaceOverview, ...], hosts: Iterable[Host]) -> tuple[SpaceOverview, ...]:
    """Fill in the sizes of adopted spaces from their hosts, which hold nothing else."""
    sizes = {host.name: host.size for host in hosts if host.up}
    return tuple(
        msgspec.structs.replace(one, size=_sum_if_all_known([sizes.get(host) for host in one.space.hosts]))
        if one.space.adopted
        else one
        for one in overviews
    )


async def _fetch_all(storage: Storage, clock: Clock) -> tuple[SpaceOverview, ...]:
    spaces = await storage.spaces()
    return tuple(await asyncio.gather(*(_fetch_one(storage, space, clock) for space in spaces)))


async def _fetch_one(storage: Storage, space: Space, clock: Clock) -> SpaceOverview:
    if space.adopted:
        # opening an adopted database writes to it: its statistics are read only on an explicit request
        return SpaceOverview(space, None, None, None)
    requests = [asyncio.ensure_future(_stats(storage, space.name, host)) for host in space.hosts]
    await wait_all(clock, STATS_SECONDS, *requests)
    for one in requests:
        one.cancel()
    stats = [one.result() if one.done() and not one.cancelled() else None for one in requests]
    known = [one for one in stats if one is not None]
    if len(known) < len(stats):
        return SpaceOverview(space, None, None, None)
    return SpaceOverview(
        space,
        sum(one.bytes for one in known),
        sum(one.memtable for one in known),
        _sum_of_known(one.pending for one in known),
    )


async def _stats(storage: Storage, space: str, host: str) -> SpaceStats | None:
    try:
        return await storage.stats(space, host)
    except StorageError:
        return None  # the host's own row says why


def _sum_if_all_known(counts: Sequence[int | None]) -> int | None:
    """Return the sum, None if one is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _sum_of_known(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
