"""The registry: a figure is a name, a goal, and a function that measures it.

A module in this package declares its figures when it is imported:

    @figure("parse of 100,000 statements ÷ a pass of a regular expression", goal=at_most(40))
    def parsing(run: Run) -> Outcome:
        ours, yardstick = alternate(5, parse_all, scan_all)
        return Outcome.ratio(ours, yardstick)

`run.quick` asks for a smaller measurement of the same kind; `run.place` is a directory for files, on a real
disk, which is removed in the end.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")
U = TypeVar("U")


class Goal(msgspec.Struct, frozen=True):
    """A bound that a figure should keep: at least, or at most."""

    bound: float
    least: bool

    def met_by(self, value: float) -> bool:
        """Return whether the value keeps it."""
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Goal:
    """Return the goal of this value or more."""
    return Goal(bound, True)


def at_most(bound: float) -> Goal:
    """Return the goal of this value or less."""
    return Goal(bound, False)


class Outcome(msgspec.Struct, frozen=True):
    """A measured value: the median of the rounds, the lowest and the highest.

    Attributes:
        value: The value that is compared with the goal.
        low: The lowest of the rounds.
        high: The highest of the rounds.
        rounds: Their number; 0 if nothing was measured.
        note: The absolute values and what else a reader should know.
        limit: What the machine itself allows, if that limits the value.
        absolute: The same in the unit of the figure's absolute goal, None if only the ratio is known.
    """

    value: float
    low: float
    high: float
    rounds: int
    note: str = ""
    limit: str = ""
    absolute: float | None = None

    @classmethod
    def of(cls, samples: Sequence[float], note: str = "", limit: str = "") -> Outcome:
        """Return the outcome of several rounds: their median."""
        return cls(statistics.median(samples), min(samples), max(samples), len(samples), note, limit)

    @classmethod
    def worst_of(cls, samples: Sequence[float], note: str = "", limit: str = "") -> Outcome:
        """Return the outcome of a figure whose highest round counts."""
        return cls(max(samples), min(samples), max(samples), len(samples), note, limit)

    @classmethod
    def ratio(
        cls, ours: Sequence[float], yardstick: Sequence[float], note: str = "", limit: str = ""
    ) -> Outcome:
        """Return the outcome of seconds, round by round, as multiples of the yardstick's seconds."""
        both = (
            f"{milliseconds(statistics.median(ours))}; yardstick {milliseconds(statistics.median(yardstick))}"
        )
        ratios = [one / another for one, another in zip(ours, yardstick, strict=True)]
        outcome = cls.of(ratios, f"{both}; {note}" if note else both, limit)
        return msgspec.structs.replace(outcome, absolute=statistics.median(ours))


class Run(msgspec.Struct, frozen=True):
    """A run of the benchmarks. `cache` keeps from run to run what takes long to make."""

    quick: bool
    place: Path
    cache: Path | None = None

    def directory(self, name: str) -> Path:
        """Create and return a new directory."""
        path = self.place / f"{name}-{sum(1 for _ in self.place.iterdir())}"
        path.mkdir()
        return path


Measure = Callable[[Run], Outcome]


class Figure(msgspec.Struct, frozen=True):
    """Something that is measured.

    Attributes:
        name: What is measured, and its yardstick.
        goal: The bound of the value, None if there is none.
        unit: The unit of the value.
        measure: The function that measures it.
        absolute: The bound of the absolute value on a quiet machine with two cores, None if there is none.
        absolute_unit: The unit of the absolute value.
    """

    name: str
    goal: Goal | None
    unit: str
    measure: Measure
    absolute: Goal | None = None
    absolute_unit: str = "s"


FIGURES: list[Figure] = []


def figure(
    name: str,
    *,
    goal: Goal | None = None,
    unit: str = "×",
    absolute: Goal | None = None,
    absolute_unit: str = "s",
) -> Callable[[Measure], Measure]:
    """Declare a figure; names are unique."""

    def declare(measure: Measure) -> Measure:
        if any(each.name == name for each in FIGURES):
            raise ValueError(f"there are two figures called {name!r}")
        FIGURES.append(Figure(name, goal, unit, measure, absolute, absolute_unit))
        return measure

    return declare


def once(make: Callable[[Run], T]) -> Callable[[Run], T]:
    """Return a function that makes something once per run, however many figures need it."""
    made: dict[Run, T] = {}

    @functools.wraps(make)
    def found(run: Run) -> T:
        if run not in made:
            made[run] = make(run)
        return made[run]

    return found


def alternate(rounds: int, ours: Callable[[], T], yardstick: Callable[[], U]) -> tuple[list[T], list[U]]:
    """Call both in turn, and each first in every second round; return what each returned.

    A slow moment of the machine then affects both, and so does what the first leaves in the caches.
    """
    mine: list[T] = []
    other: list[U] = []
    for turn in range(rounds):
        if turn % 2:
            mine.append(ours())
        other.append(yardstick())
        if not turn % 2:
            mine.append(ours())
    return mine, other


def timed(act: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def milliseconds(seconds: float) -> str:
    """Return a time for a note."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"
