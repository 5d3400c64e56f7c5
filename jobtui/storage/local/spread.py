"""How pairs are spread over a space's hosts, and brought together again in key order."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from jobtui.formatting import format_bytes
from jobtui.storage.base import Pair
from jobtui.storage.local.protocol import LONGEST_PAIR

BATCH_BYTES = 2 << 20  # of all hosts together: some ten milliseconds of the loop's time
PAIR_BYTES = 64  # what a pair costs beside its bytes


def batches(pairs: Sequence[Pair], hosts: Sequence[str]) -> Iterator[dict[str, list[Pair]]]:
    """The pairs in batches of bounded size, each split by host; a key's pairs keep their order.

    Raises ValueError where a pair is too long. A key's host is told by its CRC-32, and that is never to
    change: data on disk lies where it says.
    """
    batch: dict[str, list[Pair]] = {}
    size = 0
    for pair in pairs:
        key, value = pair
        batch.setdefault(hosts[zlib.crc32(key) % len(hosts)], []).append(pair)
        length = len(key) + (len(value) if value else 0)
        if length > LONGEST_PAIR:
            raise ValueError(
                f"a pair of {format_bytes(length)} is too long: {format_bytes(LONGEST_PAIR)} are the most"
            )
        size += length + PAIR_BYTES
        if size >= BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


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
