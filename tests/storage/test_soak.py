"""Concurrent work, stops and kills for a while: acknowledged data is kept."""

from __future__ import annotations

import asyncio
import os
import random
import signal

from jobtui.errors import ErrorCode, StorageError
from tests.support.storage import Watched, compact, dumped, flush, space_at

HOSTS = {"h1": None, "h2": None}


def test_stops_and_kills_lose_no_acknowledged_data(tmp_path, long):
    seed = 20191217
    asyncio.run(storm(tmp_path, random.Random(seed), turns=600 if long else 25))


async def storm(root, rng: random.Random, turns: int) -> None:
    model: dict[bytes, bytes] = {}
    async with space_at(root, HOSTS, rate=24 << 20) as storage:
        for turn in range(turns):
            pairs = changes(rng)
            works = [asyncio.ensure_future(write(storage, pairs))]
            for host in HOSTS:
                watched = Watched()
                work = rng.choice([flush, compact])
                works.append(asyncio.ensure_future(tolerated(work(storage, host, watched=watched))))
                works.append(asyncio.ensure_future(disturb(storage, host, watched, rng)))
                works.append(asyncio.ensure_future(tolerated(storage.stats("nba", host))))
            await asyncio.gather(*works)
            for key, value in pairs:
                model.pop(key, None) if value is None else model.update({key: value})
            if turn % 5 == 4:
                await quieten(storage)
                assert await dumped(storage) == sorted(model.items())
        await quieten(storage)
        assert await dumped(storage) == sorted(model.items())


def changes(rng: random.Random) -> list[tuple[bytes, bytes | None]]:
    numbers = [rng.randrange(3000) for _ in range(600)]
    return [(b"%06d" % n, rng.randbytes(1000) if rng.random() < 0.8 else None) for n in numbers]


async def write(storage, pairs) -> None:
    """Until it is acknowledged; the same pairs in the same order may well be written twice."""
    while True:
        try:
            await storage.load("nba", pairs)
        except StorageError as error:
            unless_killed(error)
        else:
            return


async def disturb(storage, host: str, watched: Watched, rng: random.Random) -> None:
    await asyncio.sleep(rng.random() * 0.2)  # any moment will do
    event = rng.random()
    if event < 0.5:
        watched.cancel.set()
    elif event < 0.6:
        pid = storage.worker(host, adopted=False).pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


async def tolerated(work) -> None:
    try:
        await work
    except StorageError as error:
        unless_killed(error)


def unless_killed(error: StorageError) -> None:
    if error.code is not ErrorCode.HOST_DIED:
        raise error


async def quieten(storage) -> None:
    """Until both workers answer again after what was done to them."""
    for host in HOSTS:
        while True:
            try:
                await flush(storage, host)
            except StorageError as error:
                unless_killed(error)
            else:
                break
