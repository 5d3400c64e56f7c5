"""A look at every space and host at once, with a bound on how long a slow host is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from jobtui.clock import Clock, within
from jobtui.engine.desk import Overview, SpaceLook
from jobtui.errors import StorageError
from jobtui.model import Stats
from jobtui.storage.base import Host, Space, TaskRunner

PATIENCE_SECONDS = 3.0


async def look(storage: TaskRunner, clock: Clock) -> Overview:
    """Spaces and hosts as they are now; what a host does not tell in time is unknown (None).

    Raises StorageError where even the lists can't be had.
    """
    spaces, hosts = await asyncio.gather(_look_at_all(storage, clock), storage.hosts())
    return Overview(_measured(spaces, hosts), hosts)


async def look_at_spaces(storage: TaskRunner, clock: Clock) -> tuple[SpaceLook, ...]:
    """The spaces alone; raises StorageError where the list can't be had."""
    spaces = await _look_at_all(storage, clock)
    if any(look.space.adopted for look in spaces):
        spaces = _measured(spaces, await storage.hosts())
    return spaces


def _measured(looks: tuple[SpaceLook, ...], hosts: Iterable[Host]) -> tuple[SpaceLook, ...]:
    """With the sizes of adopted spaces, whose hosts hold nothing else, as their hosts tell them."""
    sizes = {host.name: host.size for host in hosts if host.up}
    return tuple(
        msgspec.structs.replace(look, size=_whole([sizes.get(host) for host in look.space.hosts]))
        if look.space.adopted
        else look
        for look in looks
    )


async def _look_at_all(storage: TaskRunner, clock: Clock) -> tuple[SpaceLook, ...]:
    spaces = await storage.spaces()
    return tuple(await asyncio.gather(*(_look_at(storage, space, clock) for space in spaces)))


async def _look_at(storage: TaskRunner, space: Space, clock: Clock) -> SpaceLook:
    if space.adopted:  # opening an adopted database writes to it: it is only looked at when asked for by name
        return SpaceLook(space, None, None, None)
    asked = [asyncio.ensure_future(_stats(storage, space.name, host)) for host in space.hosts]
    await within(clock, PATIENCE_SECONDS, *asked)
    for one in asked:
        one.cancel()
    stats = [one.result() if one.done() and not one.cancelled() else None for one in asked]
    known = [one for one in stats if one is not None]
    if len(known) < len(stats):
        return SpaceLook(space, None, None, None)
    return SpaceLook(
        space,
        sum(one.bytes for one in known),
        sum(one.memtable for one in known),
        _sum(one.pending for one in known),
    )


async def _stats(storage: TaskRunner, space: str, host: str) -> Stats | None:
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
