"""How fast changes become durable, compared with SQLite (WAL, a sync for each commit)."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.figures import Outcome, Run, at_least, at_most, figure, timed
from benchmarks.history_data import copied, life, long_history, make_database, make_history, open_database
from jobtui.history import History
from jobtui.history.format.codec import encode
from jobtui.model import Job

T = TypeVar("T")

_WARM: Final = 400


def changes(first: int, seed: int = 1) -> Iterator[Job]:
    """Versions of job after job, each through its whole life, four jobs at a time."""
    dice = random.Random(seed)
    lives = [life(first + place, dice) for place in range(4)]
    following = first + len(lives)
    for turn in range(10**9):
        place = turn % len(lives)
        job = next(lives[place], None)
        if job is None:
            lives[place] = life(following, dice)
            following += 1
            job = next(lives[place])
        yield job


class Ready:
    """Changes that are made ahead, so that what is timed is only to have them on disk."""

    def __init__(self, first: int) -> None:
        self._changes, self._ready = changes(first), deque[Job]()

    def make(self, count: int) -> None:
        """Have `count` of them ready."""
        self._ready.extend(islice(self._changes, count - len(self._ready)))

    def __iter__(self) -> Iterator[Job]:
        return self

    def __next__(self) -> Job:
        return self._ready.popleft() if self._ready else next(self._changes)


class Ours:
    """Changes to a history."""

    def __init__(self, path: Path) -> None:
        self.history = History.open(path)
        self.changes = Ready(self.history.last_id() + 1)

    def prepare(self, count: int) -> None:
        self.changes.make(count)

    def one(self) -> None:
        self.history.commit(next(self.changes)).result()

    def many_at_once(self, count: int) -> None:
        self.history.commit(*islice(self.changes, count)).result()

    def outstanding(self, count: int, limit: int) -> None:
        """`count` commits, of which up to `limit` are on their way at any time."""
        waiting: deque[Future[None]] = deque()
        for job in islice(self.changes, count):
            waiting.append(self.history.commit(job))
            if len(waiting) >= limit:
                waiting.popleft().result()
        for future in waiting:
            future.result()

    def close(self) -> None:
        self.history.close()


class Theirs:
    """The same changes to an SQLite database."""

    def __init__(self, path: Path) -> None:
        self.database = open_database(path)
        last = self.database.execute("SELECT max(id) FROM job").fetchone()[0] or 0
        self.changes = Ready(last + 1)

    def prepare(self, count: int) -> None:
        self.changes.make(count)

    def one(self) -> None:
        self._put(next(self.changes))

    def many_at_once(self, count: int) -> None:
        self.database.execute("BEGIN")
        for job in islice(self.changes, count):
            self._put(job)
        self.database.execute("COMMIT")

    def close(self) -> None:
        self.database.close()

    def _put(self, job: Job) -> None:
        row = (job.id, str(job.status), job.space, encode(job).decode())
        if len(job.events) == 1:
            self.database.execute("INSERT INTO job VALUES (?, ?, ?, ?)", row)
        else:
            self.database.execute("UPDATE job SET status = ?2, space = ?3, record = ?4 WHERE id = ?1", row)


class Bare:
    """As many bytes written and synced as a change has, and nothing else: no store above it can be quicker."""

    def __init__(self, path: Path, size: int = 320, room: int = 4 << 20) -> None:
        path.write_bytes(b" " * room)
        self._file = os.open(path, os.O_RDWR)
        os.fsync(self._file)
        self._data, self._room, self._end = b"x" * size, room, 0

    def prepare(self, count: int) -> None: ...

    def one(self) -> None:
        os.pwrite(self._file, self._data, self._end)
        os.fdatasync(self._file)
        self._end = (self._end + len(self._data)) % (self._room - len(self._data))

    def close(self) -> None:
        os.close(self._file)


def off_the_main_thread(act: Callable[[], T]) -> T:
    """Have it done in another thread, as the product does: the main one is the screen's."""
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(act()))
    thread.start()
    thread.join()
    return done[0]


@contextlib.contextmanager
def _both(run: Run) -> Iterator[tuple[Ours, Theirs]]:
    """A history and a database of ten thousand jobs each, both in steady state."""
    place = run.directory("writing")
    ours = Ours(make_history(place / "history", 10_000))
    theirs = Theirs(make_database(place / "jobs.db", 10_000))
    for _ in range(_WARM):
        ours.one()
        theirs.one()
    try:
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()


Side = tuple[Ours | Theirs | Bare, Callable[[], object]]
"""Who changes, and how."""


def _compared(run: Run, count: int, ours: Side, theirs: Side) -> Outcome:
    """How many times as fast ours does `count` changes as theirs, round by round, in turns."""
    mine: list[float] = []
    other: list[float] = []
    ours[1](), theirs[1]()
    for turn in range(5 if run.quick else 11):
        for (store, act), times in ((ours, mine), (theirs, other))[:: 1 if turn % 2 else -1]:
            store.prepare(count)
            times.append(off_the_main_thread(partial(timed, act)))
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    rates = [count / statistics.median(times) for times in (mine, other)]
    return Outcome.of(ratios, f"{rates[0]:,.0f} changes a second; SQLite {rates[1]:,.0f}")


def _repeat(act: Callable[[], object], times: int) -> Callable[[], None]:
    def all_of_them() -> None:
        for _ in range(times):
            act()

    return all_of_them


@figure("history: bare writes and syncs per second, without any store ÷ SQLite's changes")
def without_a_store(run: Run) -> Outcome:
    """What can be had of the figure below at best."""
    count = 200 if run.quick else 600
    with _both(run) as (_, theirs), contextlib.closing(Bare(run.directory("bare") / "file")) as bare:
        return _compared(run, count, (bare, _repeat(bare.one, count)), (theirs, _repeat(theirs.one, count)))


@figure("history: durable changes per second, one at a time ÷ SQLite's", goal=at_least(1.2))
def one_at_a_time(run: Run) -> Outcome:
    count = 200 if run.quick else 600
    with _both(run) as (ours, theirs):
        return _compared(run, count, (ours, _repeat(ours.one, count)), (theirs, _repeat(theirs.one, count)))


@figure("history: the same with 8 outstanding", goal=at_least(3.5))
def eight_outstanding(run: Run) -> Outcome:
    count = 800 if run.quick else 2400
    with _both(run) as (ours, theirs):
        return _compared(
            run, count, (ours, lambda: ours.outstanding(count, 8)), (theirs, _repeat(theirs.one, count))
        )


@figure("history: the same with 64 outstanding", goal=at_least(6))
def sixty_four_outstanding(run: Run) -> Outcome:
    count = 1600 if run.quick else 4800
    with _both(run) as (ours, theirs):
        return _compared(
            run, count, (ours, lambda: ours.outstanding(count, 64)), (theirs, _repeat(theirs.one, count))
        )


@figure("history: 64 changes in one commit ÷ SQLite's, 64 per transaction", goal=at_least(0.7))
def sixty_four_at_once(run: Run) -> Outcome:
    turns = 10 if run.quick else 40
    with _both(run) as (ours, theirs):
        many, others = partial(ours.many_at_once, 64), partial(theirs.many_at_once, 64)
        return _compared(run, 64 * turns, (ours, _repeat(many, turns)), (theirs, _repeat(others, turns)))


@figure("history: changes per second, with 1,000,000 jobs ÷ with none", goal=at_least(0.95))
def long_and_short(run: Run) -> Outcome:
    count = 200 if run.quick else 600
    none = Ours(run.directory("none") / "history")
    many = Ours(copied(long_history(run), run.directory("many") / "history"))
    try:
        outcome = _compared(run, count, (many, _repeat(many.one, count)), (none, _repeat(none.one, count)))
        return replace(outcome, note=outcome.note.replace("SQLite", "with none"))
    finally:
        none.close()
        many.close()


@figure("history: p99 acknowledgement of a bare write and sync, without any store ÷ SQLite's")
def slow_without_a_store(run: Run) -> Outcome:
    """What can be had of the figure below at best."""
    with _both(run) as (_, theirs), contextlib.closing(Bare(run.directory("bare") / "file")) as bare:
        return _p99_compared(run, bare, theirs, "without a store")


@figure("history: p99 acknowledgement ÷ SQLite's", goal=at_most(0.8))
def slow_acknowledgements(run: Run) -> Outcome:
    with _both(run) as (ours, theirs):
        return _p99_compared(run, ours, theirs, "of the history")


def _p99_compared(run: Run, mine: Ours | Bare, theirs: Theirs, whose: str) -> Outcome:
    """Each round's p99 of mine as a share of theirs: as many of both, a few at a time, in turns."""
    rounds, turns = (4, 10) if run.quick else (8, 30)
    sides = (mine, theirs)

    def one_round() -> list[list[float]]:
        times: list[list[float]] = [[], []]
        for turn in range(turns):
            for place in (0, 1)[:: 1 if turn % 2 else -1]:
                times[place] += _each(sides[place], 50)
        return times

    found = off_the_main_thread(lambda: [one_round() for _ in range(rounds)])
    each = [_p99([*chain(*times)]) * 1e3 for times in zip(*found, strict=True)]
    return Outcome.of(
        [_p99(ours) / _p99(other) for ours, other in found],
        f"p99 {whose} {each[0]:.2f} ms; SQLite's {each[1]:.2f} ms",
    )


@figure("history: worst acknowledgement while sealing and indexing", goal=at_most(30), unit="ms")
def worst_acknowledgement(run: Run) -> Outcome:
    count = 30_000 if run.quick else 100_000
    ours = Ours(run.directory("sealing") / "history")
    bare = Bare(run.directory("bare") / "file")
    slowest = max(timed(bare.one) for _ in range(count // 10))
    bare.close()
    times = off_the_main_thread(lambda: _acknowledgements(ours.history, count))
    ours.close()
    times.sort()
    p999 = times[-count // 1000] * 1e3
    note = (
        f"{count:,} changes, 8 outstanding; p99.9 {p999:.1f} ms; a bare write and sync: {slowest * 1e3:.1f} ms"
    )
    return Outcome(times[-1] * 1e3, times[0] * 1e3, times[-1] * 1e3, 1, note)


def _acknowledgements(history: History, count: int) -> list[float]:
    """How long each of `count` commits took, with 8 of them outstanding."""
    times: list[float] = []
    waiting: deque[Future[None]] = deque()

    def note(begin: float, _: Future[None]) -> None:
        times.append(time.perf_counter() - begin)

    for job in islice(changes(1), count):
        begin = time.perf_counter()
        done = history.commit(job)
        done.add_done_callback(partial(note, begin))
        waiting.append(done)
        if len(waiting) >= 8:
            waiting.popleft().result()
    for done in waiting:
        done.result()
    return times


def _each(side: Ours | Theirs | Bare, count: int) -> list[float]:
    side.prepare(count)
    return [timed(side.one) for _ in range(count)]


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
