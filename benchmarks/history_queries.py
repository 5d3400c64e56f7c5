"""The cost of opening a long history, of keeping it in memory, of filtering it and of archiving from it."""

from __future__ import annotations

import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import Outcome, Run, alternate, at_most, figure, once, timed
from benchmarks.history_commits import changes
from benchmarks.history_data import (
    HOSTS,
    SHORT,
    SPACES,
    copied,
    count_of,
    huge_count_of,
    huge_history,
    long_database,
    long_history,
    open_database,
    short_history,
)
from jobtui.history import History, Query
from jobtui.history.format.manifest import MANIFEST_NAME
from jobtui.model import Status

_FAILED_HERE: Final = Query(statuses=frozenset({Status.FAILED}), spaces=frozenset({"space_01"}))
_TEXT: Final = Query(words=("no space",))
_PAGE: Final = 100
_decode: Final = msgspec.json.Decoder().decode


# ---- opening


@figure("history: open and first page of 100, 1,000,000 jobs ÷ 10,000", goal=at_most(2), absolute=at_most(0.02))
def opening_long(run: Run) -> Outcome:
    return _opened(run, long_history(run))


@figure("history: open and first page of 100, 10,000,000 jobs ÷ 10,000", goal=at_most(2))
def opening_huge(run: Run) -> Outcome:
    return _opened(run, huge_history(run))


def _opened(run: Run, path: Path) -> Outcome:
    rounds = 10 if run.quick else 30
    return Outcome.ratio(
        *alternate(rounds, partial(_open_and_look, path), partial(_open_and_look, short_history(run)))
    )


@figure("history: open and first page of 100, 1,000,000 jobs ÷ reading and decoding them", goal=at_most(8))
def opening(run: Run) -> Outcome:
    """The yardstick reads and decodes the manifest, one index and a hundred records: the least possible."""
    path = long_history(run)
    rounds = 10 if run.quick else 30
    return Outcome.ratio(*alternate(rounds, partial(_open_and_look, path), partial(timed, lambda: _look(path))))


def _open_and_look(path: Path) -> float:
    def act() -> None:
        history = History.open(path)
        view = history.query(Query(descending=True))
        len(view)
        view.page(0, _PAGE)
        history.close()

    return timed(act)


def _look(path: Path) -> None:
    _decode((path / MANIFEST_NAME).read_bytes())
    index = max(path.glob("seg-*.idx.json"))
    _decode_core(index)
    with open(index.with_name(index.name.replace(".idx.json", ".jsonl")), "rb") as records:
        records.seek(-_PAGE * 4096, 2)
        for line in records.read().splitlines()[-_PAGE:]:
            _decode(line)


def _decode_core(index: Path) -> None:
    """Read and decode the first lines of an index: the columns that stay in memory."""
    with open(index, "rb") as lines:
        for line in islice(lines, 2):
            _decode(line)


@figure(
    "history: open after kill -9 with a full journal ÷ reading and decoding it",
    goal=at_most(8),
    absolute=at_most(0.15),
)
def opening_after_a_kill(run: Run) -> Outcome:
    left = _killed_with_a_full_journal(run)
    journal = max(left.glob("journal-*"))

    def ours() -> float:
        path = run.directory("killed") / "history"
        shutil.copytree(left, path)
        begin = time.perf_counter()
        history = History.open(path)
        took = time.perf_counter() - begin
        history.close()
        return took

    def plain() -> None:
        for line in journal.read_bytes().rstrip().splitlines():
            _decode(line)

    ours_times, yardstick = alternate(3 if run.quick else 9, ours, partial(timed, plain))
    return Outcome.ratio(ours_times, yardstick, f"a journal of {journal.stat().st_size / 2**20:.1f} MiB")


def _killed_with_a_full_journal(run: Run) -> Path:
    """Return the files as they are just before the journal is sealed: what a killed writer leaves."""
    place = run.directory("killed")
    history = History.open(place / "history")
    journal = next(history.path.glob("journal-*"))
    stream = changes(1)
    while journal.exists() and journal.stat().st_size < 4 << 20:
        history.commit(*islice(stream, 64)).result()
    shutil.copytree(history.path, place / "left")
    history.close()
    return place / "left"


# ---- loading


@contextmanager
def _gaps() -> Iterator[list[float]]:
    """Yield how long a thread that wants to run every millisecond is kept waiting within the block."""
    found: list[float] = [0.0]
    ended = threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not ended.is_set():
            time.sleep(0.001)  # the thread's period
            now = time.perf_counter()
            found.append(now - last - 0.001)
            last = now

    ticker = threading.Thread(target=tick)
    ticker.start()
    time.sleep(0.02)  # the first ticks, with the start of the thread, do not count
    found.clear()
    try:
        yield found
    finally:
        ended.set()
        ticker.join()


def in_the_background(act: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that it takes in another thread, and the longest gap of a third thread meanwhile."""
    with _gaps() as gaps:
        took: list[float] = []
        worker = threading.Thread(target=lambda: took.append(timed(act)))
        worker.start()
        worker.join()
    return took[0], max(gaps, default=0.0)


def longest_gap(seconds: float) -> float:
    """Return the longest gap of a thread while another one computes for so long: Python's own switching."""

    def compute() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            sum(range(1000))

    return in_the_background(compute)[1]


@figure(
    "history: the index of 1,000,000 jobs, in the background ÷ reading and decoding it",
    goal=at_most(3),
    absolute=at_most(0.4),
)
def index(run: Run) -> Outcome:
    loads = _index_loads(run)
    return Outcome.ratio([took for took, _, _, _ in loads], [plain for _, _, plain, _ in loads])


@figure(
    "history: longest gap of another thread meanwhile ÷ next to a loop in Python",
    goal=at_most(8),
    absolute=at_most(0.015),
)
def index_gap(run: Run) -> Outcome:
    loads = _index_loads(run)
    return Outcome.ratio([gap for _, gap, _, _ in loads], [bare for _, _, _, bare in loads])


@once
def _index_loads(run: Run) -> list[tuple[float, float, float, float]]:
    """Return seconds and the longest gap, of the history and of the yardsticks; a tuple a round."""
    path = long_history(run)
    indexes = sorted(path.glob("seg-*.idx.json"))

    def plain() -> None:
        for each in indexes:
            _decode_core(each)

    def ours() -> tuple[float, float]:
        history = History.open(path, write=False)
        took = in_the_background(history.load_indexes)
        history.close()
        return took

    loads, bare = alternate(3 if run.quick else 9, ours, lambda: timed(plain))
    return [
        (took, gap, plain_took, longest_gap(took)) for (took, gap), plain_took in zip(loads, bare, strict=True)
    ]


@figure("history: memory per job, 1,000,000 jobs, at rest", goal=at_most(24), unit="bytes")
def memory(run: Run) -> Outcome:
    note = "with the indexes loaded, or after a sort whose result was released, if that is more"
    return Outcome.of([_memory(run, long_history(run), count_of(run), "sort")], note)


@figure("history: memory per job, 10,000,000 jobs, at rest", goal=at_most(24), unit="bytes")
def memory_of_a_huge_history(run: Run) -> Outcome:
    return Outcome.of([_memory(run, huge_history(run), huge_count_of(run))], "with the indexes loaded")


def _memory(run: Run, path: Path, count: int, *words: str) -> float:
    """Return the bytes for each job by which a history needs more than the short one.

    The modules and buffers of a load and a sort are the same for both, so they are no bytes of a job.
    """

    def resident(directory: Path) -> int:
        command = [sys.executable, "-m", "benchmarks._index_memory", str(directory), *words]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    return (resident(path) - resident(short_history(run))) / (count - SHORT)


# ---- filtering


@figure(
    "history: filter 1,000,000 by status and space ÷ a pass over as many pairs",
    goal=at_most(1),
    absolute=at_most(0.03),
)
def filter_by_status(run: Run) -> Outcome:
    rng = random.Random(1)
    pairs = [(rng.randrange(5), rng.randrange(len(SPACES))) for _ in range(count_of(run))]
    return _filtered(run, _FAILED_HERE, lambda: sum(1 for pair in pairs if pair == (3, 1)))


@figure(
    "history: filter 1,000,000 by text ÷ a pass of a regular expression over their lines",
    goal=at_most(1),
    absolute=at_most(1),
)
def filter_by_text(run: Run) -> Outcome:
    """The yardstick's lines have what the table shows; as many of them match."""
    rng = random.Random(1)
    reasons = ("no space left on device", "interrupted", *[""] * 30)
    text = "\n".join(
        f"{job_id} compact {rng.choice(SPACES)} {HOSTS[0]} {rng.choice(reasons)}"
        for job_id in range(count_of(run))
    )
    pattern = re.compile("no space", re.IGNORECASE)
    return _filtered(run, _TEXT, lambda: sum(1 for _ in pattern.finditer(text)))


def _filtered(run: Run, query: Query, plain: Callable[[], object]) -> Outcome:
    history = History.open(long_history(run), write=False)
    history.load_indexes()
    rounds = 5 if run.quick else 15
    both, yardstick = alternate(
        rounds, lambda: in_the_background(lambda: history.query(query).prepare()), partial(timed, plain)
    )
    found = len(history.query(query))
    history.close()
    worst = max(gap for _, gap in both) * 1e3
    note = f"finds {found:,}; longest gap of another thread {worst:.1f} ms"
    return Outcome.ratio([took for took, _ in both], yardstick, note)


# ---- archiving


@figure("history: archive 100,000 of 1,000,000 ÷ moving those rows in SQLite", goal=at_most(0.1))
def archive(run: Run) -> Outcome:
    many = count_of(run)
    first = many + many // 2 + 1
    last = first + many // 10 - 1
    ratios, ours, theirs = [], [], []
    for _ in range(1 if run.quick else 3):
        path = run.directory("archive") / "history"
        copied(long_history(run), path)
        history = History.open(path)
        begin = time.perf_counter()
        result = history.archive(first, last).result()
        ours.append(time.perf_counter() - begin)
        assert len(result.ids) == last - first + 1
        history.close()
        shutil.rmtree(path)
        theirs.append(_moved_in_sqlite(run, first, last))
        ratios.append(ours[-1] / theirs[-1])
    note = f"{statistics.median(ours) * 1e3:.0f} ms; SQLite {statistics.median(theirs) * 1e3:,.0f} ms"
    return Outcome.of(ratios, note)


def _moved_in_sqlite(run: Run, first: int, last: int) -> float:
    path = run.directory("archive") / "jobs.db"
    shutil.copyfile(long_database(run), path)
    database = open_database(path)
    database.execute("CREATE TABLE archive (id INTEGER PRIMARY KEY, status TEXT, space TEXT, record TEXT)")

    def move() -> None:
        database.execute("BEGIN")
        database.execute("INSERT INTO archive SELECT * FROM job WHERE id BETWEEN ? AND ?", (first, last))
        database.execute("DELETE FROM job WHERE id BETWEEN ? AND ?", (first, last))
        database.execute("COMMIT")

    took = timed(move)
    database.close()
    path.unlink()
    return took
