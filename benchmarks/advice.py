"""How good the estimates of SHOW ADVICE are: the bytes that a compaction would free, and those that it freed.

    python -m benchmarks.advice             measure nine databases, print the table of docs/performance.md

Each database is made with RocksDB itself, adopted as a space, measured, compacted by a job, and measured again.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rocksdict import DBCompressionType, Options, Rdict, WriteBatch

from benchmarks.figures import Outcome, Run, at_most, figure, timed
from benchmarks.space_data import execute
from jobtui.engine.advice import CompactionSpeed, estimate_compaction, fit_speed
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.storage.base import CompactionRequest, OperationControl, Placement
from jobtui.storage.local.backend import LocalStorage

CITIES = 150_000
MIB = 1 << 20
SPACES, HOSTS, FILES = 20, ("h1", "h2", "h3"), 2_000
_CITIES_OF_A_FILE = 600


def city(number: int, version: int = 0) -> tuple[bytes, bytes]:
    """Return a city's key and its value in that version: 60 to 200 bytes that compress by half."""
    rng = random.Random(number * 31 + version)
    count = rng.randint(10, 35)
    words = [f"{rng.choice('abcdefgh')}{rng.randrange(5000)}" for _ in range(count)]
    return b"city/%07d" % number, " ".join(words).encode()


def write(database: Rdict, numbers: Sequence[int], version: int = 0) -> None:
    """Write these cities, and flush them to a file."""
    for start in range(0, len(numbers), 2000):
        batch = WriteBatch(raw_mode=True)
        for number in numbers[start : start + 2000]:
            batch.put(*city(number, version))
        database.write(batch)
    database.flush(True)


def three_times(database: Rdict, _options: Options) -> None:
    for version in range(3):
        write(database, range(CITIES), version)


def deleted_30(database: Rdict, _options: Options) -> None:
    write(database, range(CITIES))
    database.compact_range(None, None)
    for number in random.Random(1).sample(range(CITIES), CITIES * 3 // 10):
        database.delete(b"city/%07d" % number)
    database.flush(True)


def ranges(database: Rdict, _options: Options) -> None:
    write(database, range(CITIES))
    database.compact_range(None, None)
    for first in (10_000, 50_000, 90_000):
        database.delete_range(b"city/%07d" % first, b"city/%07d" % (first + 12_000))
    database.flush(True)


def one_family(database: Rdict, options: Options) -> None:
    families = [database.create_column_family(name, options) for name in "abcd"]
    for family in (database, *families):
        write(family, range(CITIES // 5))
    for number in range(CITIES // 5 - 100):
        families[3].delete(b"city/%07d" % number)
    families[3].flush(True)
    for family in families:
        family.close()


def compacted(database: Rdict, options: Options) -> None:
    three_times(database, options)
    database.compact_range(None, None)


def level_0(database: Rdict, _options: Options) -> None:
    numbers = list(range(CITIES))
    random.Random(2).shuffle(numbers)
    for part in range(10):
        write(database, numbers[part::10])


def third_again(database: Rdict, _options: Options) -> None:
    write(database, range(CITIES))
    database.compact_range(None, None)
    write(database, random.Random(3).sample(range(CITIES), CITIES // 3), 1)


def foreign(database: Rdict, options: Options) -> None:
    """As a graph store writes: binary keys, two families, updates of hot vertices, deleted edges."""
    rng = random.Random(4)
    edges = database.create_column_family("edges", options)
    for _ in range(3):
        for family in (database, edges):
            batch = WriteBatch(raw_mode=True)
            for _ in range(60_000):
                key = rng.randrange(90_000).to_bytes(8, "big") + b"\x01"
                batch.put(key, rng.randbytes(rng.randrange(20, 200)))
            family.write(batch)
            family.flush(True)
    for number in range(0, 90_000, 4):
        edges.delete(number.to_bytes(8, "big") + b"\x01")
    edges.flush(True)
    edges.close()


SHAPES: dict[str, Callable[[Rdict, Options], None]] = {
    "cities loaded three times": three_times,
    "30 % of the cities deleted": deleted_30,
    "three ranges deleted, 24 %": ranges,
    "one of five families full of deletions": one_family,
    "freshly compacted": compacted,
    "level 0 only, different keys": level_0,
    "a third written again at random": third_again,
    "blob files, loaded three times": three_times,
    "a foreign graph database": foreign,
}


_EARLIER = "cities loaded three times"


def make(directory: Path, shape: str) -> None:
    """Make the database of a shape."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_disable_auto_compactions(True)
    options.set_write_buffer_size(64 << 20)
    options.set_target_file_size_base(8 << 20)
    options.set_compression_type(DBCompressionType.lz4())
    if shape.startswith("blob"):
        options.set_enable_blob_files(True)
        options.set_min_blob_size(20)
    database = Rdict(str(directory), options=options, column_families={"default": options})
    SHAPES[shape](database, options)
    database.close()
    (directory / "rocksdict-config.json").unlink(missing_ok=True)


class _Comparison(msgspec.Struct, frozen=True):
    """The estimate and the outcome for a shape: bytes, and seconds of which two are predicted."""

    shape: str
    size: int
    predicted: int
    is_guess: bool
    has_blobs: bool
    actual: int
    assumed_seconds: float
    known_seconds: float
    seconds: float

    @property
    def error(self) -> float:
        """The error of the bytes; of a compaction that gives nothing back, it is a share of the size."""
        return abs(self.predicted - self.actual) / (self.actual if self.actual > self.size / 50 else self.size)

    @property
    def factor(self) -> float:
        """How many times too long or too short the time was that followed from earlier runs."""
        return max(self.known_seconds / self.seconds, self.seconds / self.known_seconds)


async def measure(root: Path) -> list[_Comparison]:
    """Return the comparison of each shape.

    Another database is compacted on the host before the first of them. The times follow from the assumed
    speed, and from the last runs on the host, as those that EXPLAIN shows.
    """
    found = []
    runs: list[tuple[int, float]] = []
    storage = LocalStorage(root / "data", {"h1": None})
    await storage.start()
    try:
        for number, shape in enumerate([_EARLIER, *SHAPES]):
            directory = root / f"db{number}"
            await asyncio.to_thread(make, directory, shape)
            space, host = f"s{number}", str(directory)
            await storage.create_space(space, Placement(directories=(host,)))
            estimate = estimate_compaction(await storage.figures(space, host))
            started = time.perf_counter()
            done = await storage.compact(space, host, CompactionRequest(), lambda _: None, OperationControl())
            took = time.perf_counter() - started
            assert done.before is not None
            assert done.after is not None
            rewritten = estimate.rewritten or 0
            found.append(
                _Comparison(
                    shape,
                    done.before.bytes,
                    estimate.gain or 0,
                    estimate.is_guess,
                    estimate.has_blobs,
                    done.before.bytes - done.after.bytes,
                    CompactionSpeed().seconds(rewritten),
                    fit_speed(runs).seconds(rewritten),
                    took,
                )
            )
            runs.append((done.before.bytes, took))
    finally:
        await storage.close()
    return found[1:]


def print_estimates() -> None:
    """Print the table, the median error of the bytes, and the largest factor of the times."""
    with tempfile.TemporaryDirectory() as root:
        rows = asyncio.run(measure(Path(root)))
    print(
        "| shape | size | predicted | given back | error | time, from the default (a guess) "
        "| after earlier runs | time taken | factor |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        guess = " (a guess)" if row.is_guess else ""
        sizes = f"{row.size / MIB:.1f} MiB | {row.predicted / MIB:.2f} MiB{guess} | {row.actual / MIB:.2f} MiB"
        time_guess = " (a guess)" if row.has_blobs else ""
        times = f"{row.assumed_seconds:.2f} s | {row.known_seconds:.2f} s{time_guess} | {row.seconds:.2f} s"
        print(f"| {row.shape} | {sizes} | {row.error * 100:.1f} % | {times} | {row.factor:.2f} |")
    print(f"\nMedian error: {statistics.median(row.error for row in rows) * 100:.1f} %")
    print(f"Largest factor after earlier runs: {max(row.factor for row in rows if not row.has_blobs):.2f}")


def _time_advice(root: Path, *, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds that the statement took each time, and those that reading the files took."""
    asyncio.run(_fill(root))
    engine = LocalClient.open(Profile("local", root, hosts=dict.fromkeys(HOSTS)))
    ours: list[float] = []
    yardstick: list[float] = []
    try:
        for number in range(1 + rounds):
            took = timed(lambda: execute(engine, Session(None, root), "SHOW ADVICE"))
            if number:  # the first opens the databases
                ours.append(took)
                yardstick.append(timed(lambda: _read_tables(root)))
    finally:
        engine.close()
    return ours, yardstick


async def _fill(root: Path) -> None:
    """Fill every space of a profile on every host, with FILES files in all that overlap."""
    layers = [
        [city(number, layer) for number in range(_CITIES_OF_A_FILE)]
        for layer in range(FILES // SPACES // len(HOSTS))
    ]
    storage = LocalStorage(root / "storage", dict.fromkeys(HOSTS))
    await storage.start()
    try:
        for space in range(SPACES):
            await storage.create_space(f"s{space}", Placement())
            for cities in layers:
                await storage.load(f"s{space}", cities)
                flushes = (
                    storage.flush(f"s{space}", host, lambda _: None, OperationControl()) for host in HOSTS
                )
                await asyncio.gather(*flushes)
    finally:
        await storage.close()


def _read_tables(root: Path) -> None:
    """Read every table file."""
    for table in root.rglob("*.sst"):
        table.read_bytes()


@figure(
    "SHOW ADVICE, 20 spaces on 3 hosts with 2,000 files ÷ reading the files",
    goal=at_most(6),
    absolute=at_most(1),
)
def advice(run: Run) -> Outcome:
    times = _time_advice(run.directory("advice"), rounds=3 if run.quick else 7)
    return Outcome.ratio(*times)


if __name__ == "__main__":
    print_estimates()
