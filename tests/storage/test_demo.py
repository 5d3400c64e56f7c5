"""The demo's data: the same each time, worth compacting, and changing continuously."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from msgspec.structs import replace

from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.storage.base import Placement
from jobtui.storage.local import demo
from tests.support.storage import compact, dumped, flush, storage_at

HOSTS = {"local0": None, "local1": None, "local2": None}


@pytest.fixture(autouse=True)
def small(monkeypatch, long):
    if not long:
        graphs = tuple(replace(graph, vertices=graph.vertices // 20) for graph in demo._GRAPHS)
        monkeypatch.setattr(demo, "_GRAPHS", graphs)


def test_demo_has_two_reproducible_spaces_to_compact(tmp_path):
    messages: list[str] = []

    async def fill(root):
        async with storage_at(root, HOSTS) as storage:
            await demo.fill_demo_spaces(storage, messages.append)
            assert [space.name for space in await storage.spaces()] == ["nba", "test2"]
            before = 0
            for host in HOSTS:
                before += (await flush(storage, host)).after.bytes
            compacted = [await compact(storage, host) for host in HOSTS]
            assert sum(outcome.after.bytes for outcome in compacted) <= before
            await demo.fill_demo_spaces(storage, messages.append)
            return [await dumped(storage, name) for name in ("nba", "test2")]

    one, other = asyncio.run(fill(tmp_path / "one")), asyncio.run(fill(tmp_path / "other"))
    assert one == other
    assert len(messages) == 4
    assert one[0][0][0].startswith(b"e:000:")
    assert one[0][-1][0].startswith(b"v:014:")


def test_writer_stops_when_its_spaces_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "WRITE_SECONDS", 0.01)

    async def run():
        async with storage_at(tmp_path, HOSTS) as storage:
            await demo.fill_demo_spaces(storage, lambda text: None)
            for host in HOSTS:
                await flush(storage, host)
            writer = asyncio.ensure_future(demo.write_gently(storage))
            await written(storage, "nba")
            await storage.drop_space("nba")
            await written(storage, "test2")
            assert not writer.done()
            await storage.drop_space("test2")
            await asyncio.wait_for(writer, 10)

    asyncio.run(run())


async def written(storage, space):
    """Wait until something has been written to the space since it was last flushed."""
    while not (await storage.stats(space, "local0")).memtable:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize("kept", [True, False])
def test_discarded_data_is_not_flushed_first(tmp_path, kept):
    async def run():
        async with storage_at(tmp_path, HOSTS) as storage:
            storage.keeps_data = kept
            await storage.create_space("nba", Placement())
            await storage.load("nba", [(bytes([number]), b"value") for number in range(100)])
            return [storage.worker(host, adopted=False).pid for host in HOSTS]

    for pid in asyncio.run(run()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert bool(list(tmp_path.rglob("*.sst"))) is kept


def test_data_of_a_demo_is_deleted(tmp_path, monkeypatch):
    filled = threading.Event()

    async def fill(storage, notify):
        await storage.create_space("nba", Placement())
        await storage.load("nba", [(b"key", b"value")])
        filled.set()

    monkeypatch.setattr(demo, "fill_demo_spaces", fill)
    engine = LocalClient.open(Profile("demo", tmp_path), demo=True)
    assert filled.wait(20)
    engine.close()
    assert not list(tmp_path.rglob("*.sst"))
