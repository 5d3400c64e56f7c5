"""The demo's data: the graphs `nba` and `test2` as key-value pairs.

A vertex is `v:<partition>:<id>:<tag>`, an edge `e:<partition>:<source>:<type>:<rank>:<target>`; the values are
their properties as JSON. The data is the same at each start. Overwritten and deleted entries stay on disk until
a compact removes them, which takes some seconds at `COMPACT_RATE`.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
from collections.abc import Callable, Iterator

import msgspec

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.base import Pair, Placement
from jobtui.storage.local.backend import LocalStorage

COMPACT_RATE = 3 << 20  # the `compact_rate` of the demo's storage, in bytes a second
WRITE_SECONDS = 1.0

_PARTITIONS = 15
_EMBEDDING = 512
_NOISE = base64.b64encode(random.Random("noise").randbytes(3 << 18)).decode()
_CITIES = (
    "Boston",
    "Denver",
    "Dallas",
    "Chicago",
    "Miami",
    "Memphis",
    "Phoenix",
    "Portland",
    "Toronto",
    "Utah",
)
_FIRST = ("Tim", "Tony", "Manu", "Yao", "Ray", "Steve", "Chris", "Paul", "Amar'e", "Rajon", "Kyrie", "Luka")
_LAST = ("Duncan", "Parker", "Ginobili", "Ming", "Allen", "Nash", "Paul", "George", "Rondo", "Dončić", "姚明")


class _Graph(msgspec.Struct, frozen=True):
    """The size of a demo space: its vertices, the edges from each, and how often all of it is rewritten."""

    space: str
    tag: str
    edge: str
    vertices: int
    edges: int
    seasons: int


_GRAPHS = (
    _Graph("nba", "player", "follow", vertices=48_000, edges=2, seasons=3),
    _Graph("test2", "person", "knows", vertices=12_000, edges=2, seasons=2),
)


async def fill_demo_spaces(storage: LocalStorage, notify: Callable[[str], None]) -> None:
    """Create the demo's spaces on all hosts and fill them; an existing space stays unchanged.

    This takes a few seconds. `notify` is called for each space. Raises StorageError.
    """
    known = {space.name for space in await storage.spaces()}
    for graph in _GRAPHS:
        if graph.space in known:
            continue
        await storage.create_space(graph.space, Placement())
        written = 0
        for batch in _batches(_history(graph)):
            await storage.load(graph.space, batch)
            written += len(batch)
        notify(f"The demo's space {graph.space} is ready: {written:,} changes to {graph.vertices:,} vertices")


async def write_gently(storage: LocalStorage) -> None:
    """Change a few vertices and edges of the demo a second, until canceled.

    Writes that a host rejects (it is full, or just restarted) are skipped; the next round tries again.
    """
    left = {graph.space: graph for graph in _GRAPHS}
    for turn in itertools.count():
        for space, graph in list(left.items()):
            try:
                await storage.load(space, _round(graph, turn))
            except StorageError as error:
                if error.code is ErrorCode.MISSING and space not in {
                    one.name for one in await storage.spaces()
                }:
                    del left[space]
        if not left:
            return
        await asyncio.sleep(WRITE_SECONDS)


def _history(graph: _Graph) -> Iterator[Pair]:
    """Yield all writes to the graph in order: each season rewrites it and then deletes a part of it."""
    chance = random.Random(graph.space)
    for season in range(graph.seasons):
        for number in range(graph.vertices):
            if season == 0 or chance.random() < 0.55:
                yield _vertex(graph, number, season, chance)
            if season == 0 or chance.random() < 0.25:
                yield from _edges(graph, number, season, chance)
        for number in range(season, graph.vertices, 7):
            yield _vertex_key(graph, number), None


def _round(graph: _Graph, turn: int) -> list[Pair]:
    chance = random.Random(f"{graph.space} {turn}")
    numbers = [chance.randrange(graph.vertices) for _ in range(20)]
    return [
        *(_vertex(graph, number, graph.seasons + turn, chance) for number in numbers),
        *(pair for number in numbers for pair in _edges(graph, number, graph.seasons + turn, chance)),
    ]


def _vertex(graph: _Graph, number: int, season: int, chance: random.Random) -> Pair:
    at = int(chance.random() * (len(_NOISE) - _EMBEDDING))
    name = f"{_FIRST[number % len(_FIRST)]} {_LAST[number // 12 % len(_LAST)]}"
    value = (
        f'{{"name": "{name}", "age": {18 + (number + season) % 25}, "city": "{_CITIES[at % len(_CITIES)]}", '
        f'"season": {2017 + season}, "embedding": "{_NOISE[at : at + _EMBEDDING]}"}}'
    )
    return _vertex_key(graph, number), value.encode()


def _edges(graph: _Graph, number: int, season: int, chance: random.Random) -> Iterator[Pair]:
    for rank in range(graph.edges):
        target = (number * 31 + rank * 7919) % graph.vertices
        key = f"e:{number % _PARTITIONS:03}:{number:08}:{graph.edge}:{rank}:{target:08}"
        yield key.encode(), f'{{"degree": {int(chance.random() * 100)}, "season": {2017 + season}}}'.encode()


def _vertex_key(graph: _Graph, number: int) -> bytes:
    return f"v:{number % _PARTITIONS:03}:{number:08}:{graph.tag}".encode()


def _batches(pairs: Iterator[Pair], length: int = 4000) -> Iterator[list[Pair]]:
    while batch := list(itertools.islice(pairs, length)):
        yield batch
