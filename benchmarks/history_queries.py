"""What it costs to open a long history, to keep it in memory, to ask it and to archive from it."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.history_commits import changes, timed
from benchmarks.history_data import (
    count_of,
    long_database,
    long_history,
    open_database,
    short_history,
)
from jobtui.history import History, Query, Sort
from jobtui.model import Status

_FAILED_HERE = Query(statuses=frozenset({Status.FAILED}), spaces=frozenset({"space_01"}))
_TEXT = Query(words=("no space",))


def _open_and_look(path: Path) -> None:
    history = History.open(path)
    view = history.query(Query(descending=True))
    len(view)
    view.page(0, 100)
    history.close()


@figure("history: open and first page of 100, 1,000,000 jobs ÷ 10,000", goal=at_most(2))
def opening_long_and_short(run: Run) -> Outcome:
    long, short = long_history(run), short_history(run)
    ratios = []
    for _ in range(10 if run.quick else 30):
        times = [timed(lambda path=path: _open_and_look(path)) for path in (long, short)]
        ratios.append(times[0] / times[1])
    return Outcome.of(ratios)


@figure("history: open and first page of 100, 1,000,000 jobs", goal=at_most(20), unit="ms")
def opening(run: Run) -> Outcome:
    path = long_history(run)
    return Outcome.of([timed(lambda: _open_and_look(path)) * 1e3 for _ in range(10 if run.quick else 30)])


@figure("history: open after kill -9 with a full journal", goal=at_most(150), unit="ms")
def opening_after_a_kill(run: Run) -> Outcome:
    left = _killed_with_a_full_journal(run)
    times = []
    for turn in range(3 if run.quick else 9):
        path = left.with_name(f"copy-{turn}")
        shutil.copytree(left, path)
        begin = time.perf_counter()
        history = History.open(path)
        times.append((time.perf_counter() - begin) * 1e3)
        history.close()
    journal = next(left.glob("journal-*")).stat().st_size
    return Outcome.of(times, f"a journal of {journal / 2**20:.1f} MiB")


def _killed_with_a_full_journal(run: Run) -> Path:
    """The files as they are just before the journal is sealed: what a killed writer leaves."""
    place = run.directory("killed")
    history = History.open(place / "history")
    journal = next(history.path.glob("journal-*"))
    stream = changes(1)
    while journal.exists() and journal.stat().st_size < 4 << 20:
        history.commit(*islice(stream, 64)).result()
    shutil.copytree(history.path, place / "left")
    history.close()
    return place / "left"


@contextmanager
def _gaps() -> Iterator[list[float]]:
    """How long another thread, that wants to run every millisecond, was kept waiting meanwhile."""
    found: list[float] = [0.0]
    ended = threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not ended.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            found.append(now - last - 0.001)
            last = now

    ticker = threading.Thread(target=tick)
    ticker.start()
    time.sleep(0.02)
    found.clear()
    try:
        yield found
    finally:
        ended.set()
        ticker.join()


def _in_the_background(history: History, act: Callable[[], object]) -> tuple[float, float]:
    """Seconds that it takes in a thread of its own, and the longest gap of another thread meanwhile."""
    with _gaps() as gaps:
        took: list[float] = []
        worker = threading.Thread(target=lambda: took.append(timed(act)))
        worker.start()
        worker.join()
    return took[0], max(gaps, default=0.0)


@figure("history: the index of 1,000,000 jobs, in the background", goal=at_most(0.4), unit="s")
def index(run: Run) -> Outcome:
    return Outcome.of([took for took, _ in _index_loads(run)])


@figure("history: longest gap of another thread meanwhile", goal=at_most(15), unit="ms")
def index_gap(run: Run) -> Outcome:
    return Outcome.of([gap * 1e3 for _, gap in _index_loads(run)])


def _index_loads(run: Run) -> list[tuple[float, float]]:
    found = []
    for _ in range(3 if run.quick else 7):
        history = History.open(long_history(run), write=False)
        found.append(_in_the_background(history, history.load_indexes))
        history.close()
    return found


@figure("history: memory per historical job, at rest", goal=at_most(24), unit="bytes")
def memory(run: Run) -> Outcome:
    command = [sys.executable, "-m", "benchmarks._index_memory", str(long_history(run))]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    each = int(ended.stdout) / count_of(run)
    return Outcome.of(
        [each], "with the indexes loaded, or after a sort whose result was released, if that is more"
    )


@figure("history: filter 1,000,000 by status and space", goal=at_most(30), unit="ms")
def filter_by_status(run: Run) -> Outcome:
    return _filtered(run, _FAILED_HERE)


@figure("history: filter 1,000,000 by text", goal=at_most(1000), unit="ms")
def filter_by_text(run: Run) -> Outcome:
    return _filtered(run, _TEXT)


def _filtered(run: Run, query: Query) -> Outcome:
    history = History.open(long_history(run), write=False)
    history.load_indexes()
    times, gaps = [], []
    found = 0
    for _ in range(5 if run.quick else 15):
        took, gap = _in_the_background(history, lambda: history.query(query).prepare())
        times.append(took * 1e3)
        gaps.append(gap * 1e3)
        found = len(history.query(query))
    history.close()
    return Outcome.of(times, f"finds {found:,}; longest gap of another thread {max(gaps):.1f} ms")


@figure("history: sort 1,000,000 by duration, first page", goal=at_most(100), unit="ms")
def sort_first_page(run: Run) -> Outcome:
    return _sorted(run, lambda history: history.query(_by_took()).page(0, 100))


@figure("history: sort 1,000,000 by duration, whole", goal=at_most(1500), unit="ms")
def sort_whole(run: Run) -> Outcome:
    return _sorted(run, lambda history: history.query(_by_took()).prepare())


def _by_took() -> Query:
    return Query(sort=Sort.TOOK, descending=True)


def _sorted(run: Run, act: Callable[[History], object]) -> Outcome:
    history = History.open(long_history(run), write=False)
    history.load_indexes()
    times, gaps = [], []
    for _ in range(3 if run.quick else 7):
        took, gap = _in_the_background(history, lambda: act(history))
        times.append(took * 1e3)
        gaps.append(gap * 1e3)
    history.close()
    return Outcome.of(times, f"longest gap of another thread {max(gaps):.1f} ms")


@figure("history: archive 100,000 of 1,000,000 ÷ moving those rows in SQLite", goal=at_most(0.1))
def archive(run: Run) -> Outcome:
    many = count_of(run)
    first, last = many // 2 + 1, many // 2 + many // 10
    ratios, ours, theirs = [], [], []
    for _ in range(1 if run.quick else 3):
        path = run.directory("archive") / "history"
        shutil.copytree(long_history(run), path)
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
