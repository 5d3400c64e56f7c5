"""How pairs are spread over a space's hosts, and brought together again in key order."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from jobtui.storage.base import Pair

BATCH_PAIRS = 10_000
BATCH_BYTES = 1 << 20


def host_number(key: bytes, hosts: int) -> int:
    """Which of so many hosts a key belongs to. Never to change: data on disk lies where this says."""
    return zlib.crc32(key) % hosts


def batches(pairs: Sequence[Pair], hosts: int) -> list[list[tuple[Pair, ...]]]:
    """For each host its pairs in their order, cut into batches of bounded size."""
    spread: list[list[Pair]] = [[] for _ in range(hosts)]
    for pair in pairs:
        spread[host_number(pair[0], hosts)].append(pair)
    return [_cut(one) for one in spread]


async def merged(
    streams: Sequence[AsyncIterator[list[tuple[bytes, bytes]]]],
) -> AsyncGenerator[tuple[bytes, bytes], None]:
    """The pairs of streams that are each in key order, in key order; equal keys in the streams' order."""
    heads: list[tuple[bytes, int, bytes]] = []
    rests: list[list[tuple[bytes, bytes]]] = [[] for _ in streams]

    async def advance(number: int) -> None:
        while not rests[number]:
            batch = await anext(streams[number], None)
            if batch is None:
                return
            rests[number] = batch[::-1]
        key, value = rests[number].pop()
        heapq.heappush(heads, (key, number, value))

    try:
        for number in range(len(streams)):
            await advance(number)
        while heads:
            key, number, value = heapq.heappop(heads)
            yield key, value
            await advance(number)
    finally:
        for stream in streams:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()


def _cut(pairs: list[Pair]) -> list[tuple[Pair, ...]]:
    cut: list[tuple[Pair, ...]] = []
    batch: list[Pair] = []
    size = 0
    for pair in pairs:
        batch.append(pair)
        size += len(pair[0]) + len(pair[1] or b"")
        if len(batch) >= BATCH_PAIRS or size >= BATCH_BYTES:
            cut.append(tuple(batch))
            batch, size = [], 0
    if batch:
        cut.append(tuple(batch))
    return cut
