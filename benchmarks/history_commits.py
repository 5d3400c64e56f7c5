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
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from benchmarks.figures import Outcome, Run, alternate, at_least, at_most, figure, once, timed
from benchmarks.history_data import copied, life, long_history, make_database, make_history, open_database
from jobtui.history import History
from jobtui.history.format.codec import encode
from jobtui.model import Job

T = TypeVar("T")

_WARM: Final = 400
_OUTSTANDING: Final = 8
"""The changes that wait for their acknowledgment at any time, while journals are sealed."""


def changes(first: int, seed: int = 1) -> Iterator[Job]:
    """Yield the versions of one job after another, each through its whole life, four jobs at a time."""
    rng = random.Random(seed)
    lives = [life(first + place, rng) for place in range(4)]
    following = first + len(lives)
    for turn in range(10**9):
        place = turn % len(lives)
        job = next(lives[place], None)
        if job is None:
            lives[place] = life(following, rng)
            following += 1
            job = next(lives[place])
        yield job


class Ready:
    """Changes that are made in advance, so that only their commit is timed."""

    def __init__(self, first: int) -> None:
        self._changes, self._ready = changes(first), deque[Job]()

    def make(self, count: int) -> None:
        """Make changes until `count` of them are ready."""
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
        """Commit `count` changes, of which up to `limit` are outstanding at any time."""
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
    """Writes and syncs of as many bytes as a change has: no store can be faster."""

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
    """Call it in another thread, as the product does: the main one is the screen's."""
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(act()))
    thread.start()
    thread.join()
    return done[0]


@contextlib.contextmanager
def _both(run: Run) -> Iterator[tuple[Ours, Theirs]]:
    """Yield a history and a database of ten thousand jobs each, both in steady state."""
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
"""A store, and a call that changes it."""


def _compared(run: Run, count: int, ours: Side, theirs: Side) -> Outcome:
    """Return how many times as fast ours does `count` changes as theirs, round by round, in turn."""
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
    """The limit of the next figure."""
    return _without_a_store(run)


@once
def _without_a_store(run: Run) -> Outcome:
    count = 200 if run.quick else 600
    with _both(run) as (_, theirs), contextlib.closing(Bare(run.directory("bare") / "file")) as bare:
        return _compared(run, count, (bare, _repeat(bare.one, count)), (theirs, _repeat(theirs.one, count)))


@figure("history: durable changes per second, one at a time ÷ SQLite's", goal=at_least(0.9))
def one_at_a_time(run: Run) -> Outcome:
    count = 200 if run.quick else 600
    with _both(run) as (ours, theirs):
        outcome = _compared(run, count, (ours, _repeat(ours.one, count)), (theirs, _repeat(theirs.one, count)))
    limit = f"{_without_a_store(run).value:.2f}× with a bare write and sync"
    return msgspec.structs.replace(outcome, limit=limit)


@figure("history: the same with 8 outstanding", goal=at_least(4))
def eight_outstanding(run: Run) -> Outcome:
    count = 800 if run.quick else 2400
    with _both(run) as (ours, theirs):
        return _compared(
            run, count, (ours, lambda: ours.outstanding(count, 8)), (theirs, _repeat(theirs.one, count))
        )


@figure("history: the same with 64 outstanding", goal=at_least(8))
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
        return msgspec.structs.replace(outcome, note=outcome.note.replace("SQLite", "with none"))
    finally:
        none.close()
        many.close()


@figure("history: p99 acknowledgment of a bare write and sync, without any store ÷ SQLite's")
def slow_without_a_store(run: Run) -> Outcome:
    """The limit of the next figure."""
    return _slow_without_a_store(run)


@once
def _slow_without_a_store(run: Run) -> Outcome:
    with _both(run) as (_, theirs), contextlib.closing(Bare(run.directory("bare") / "file")) as bare:
        return _p99_compared(run, bare, theirs, "without a store")


@figure("history: p99 acknowledgment ÷ SQLite's", goal=at_most(1.5))
def slow_acknowledgments(run: Run) -> Outcome:
    with _both(run) as (ours, theirs):
        outcome = _p99_compared(run, ours, theirs, "of the history")
    limit = f"{_slow_without_a_store(run).value:.2f}× with a bare write and sync"
    return msgspec.structs.replace(outcome, limit=limit)


def _p99_compared(run: Run, mine: Ours | Bare, theirs: Theirs, whose: str) -> Outcome:
    """Return each round's p99 as a share of theirs: as many of both, a few at a time, in turn."""
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


@figure(
    "history: worst acknowledgment while sealing and indexing ÷ SQLite's worst",
    goal=at_most(4),
    absolute=at_most(0.03),
)
def worst_acknowledgment(run: Run) -> Outcome:
    """Eight changes are outstanding all the time, SQLite has one; a journal is sealed about once a round.

    The limit is the slowest of as many bare writes and syncs as those changes share, in the same rounds.
    """
    count, theirs_count = (12_000, 1_000) if run.quick else (15_000, 3_000)
    place = run.directory("sealing")
    ours, theirs = Ours(place / "history"), Theirs(make_database(place / "jobs.db", 10_000))
    mine = partial(off_the_main_thread, partial(_acknowledgments, ours, count))
    bare = Bare(place / "bare")

    def others() -> tuple[float, float]:
        return max(_each(theirs, theirs_count)), max(_each(bare, count // _OUTSTANDING))

    found, slowest = alternate(3 if run.quick else 7, mine, partial(off_the_main_thread, others))
    for each in (ours, theirs, bare):
        each.close()
    limit = statistics.median(least / other for other, least in slowest)
    everything = sorted(chain(*found))
    p999 = everything[-len(everything) // 1000] * 1e3
    note = f"{len(everything):,} changes, p99.9 {p999:.1f} ms, worst of all {everything[-1] * 1e3:.1f} ms"
    return Outcome.ratio(
        [max(times) for times in found],
        [other for other, _ in slowest],
        note,
        f"{limit:.2f}× with as many bare writes and syncs",
    )


def _acknowledgments(ours: Ours, count: int) -> list[float]:
    """Return how long each of `count` commits took, with _OUTSTANDING of them outstanding."""
    ours.prepare(count)
    times: list[float] = []
    waiting: deque[Future[None]] = deque()

    def note(begin: float, _: Future[None]) -> None:
        times.append(time.perf_counter() - begin)

    for job in islice(ours.changes, count):
        begin = time.perf_counter()
        done = ours.history.commit(job)
        done.add_done_callback(partial(note, begin))
        waiting.append(done)
        if len(waiting) >= _OUTSTANDING:
            waiting.popleft().result()
    for done in waiting:
        done.result()
    return times


def _each(side: Ours | Theirs | Bare, count: int) -> list[float]:
    side.prepare(count)
    return [timed(side.one) for _ in range(count)]


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
