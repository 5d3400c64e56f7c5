"""The registry: a figure is a name, a goal, and a function that measures it.

A module in this package declares its figures when it is imported:

    @figure("open and first page, 1,000,000 jobs", goal=at_most(20), unit="ms")
    def opening(run: Run) -> Outcome:
        ...
        return Outcome.of(samples)

`run.quick` asks for a smaller measurement of the same kind; `run.place` is a directory for files, on a real
disk, which is removed in the end.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure should keep: at least, or at most."""

    bound: float
    least: bool

    def met_by(self, value: float) -> bool:
        """Whether the value keeps it."""
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Goal:
    """The value should be this or more."""
    return Goal(bound, True)


def at_most(bound: float) -> Goal:
    """The value should be this or less."""
    return Goal(bound, False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured: the median of the rounds, the lowest and highest, and what to know about it."""

    value: float
    low: float
    high: float
    rounds: int
    note: str = ""

    @classmethod
    def of(cls, samples: Sequence[float], note: str = "") -> Outcome:
        """The outcome of several rounds."""
        return cls(statistics.median(samples), min(samples), max(samples), len(samples), note)

    @classmethod
    def worst_of(cls, samples: Sequence[float], note: str = "") -> Outcome:
        """The outcome where the highest is what counts."""
        return cls(max(samples), min(samples), max(samples), len(samples), note)


@dataclass(frozen=True)
class Run:
    """One run of the benchmarks. `cache` keeps from run to run what takes long to make."""

    quick: bool
    place: Path
    cache: Path | None = None

    def directory(self, name: str) -> Path:
        """A fresh directory."""
        path = self.place / f"{name}-{sum(1 for _ in self.place.iterdir())}"
        path.mkdir()
        return path


Measure = Callable[[Run], Outcome]


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is measured."""

    name: str
    goal: Goal | None
    unit: str
    measure: Measure


FIGURES: list[Figure] = []


def figure(name: str, *, goal: Goal | None = None, unit: str = "×") -> Callable[[Measure], Measure]:
    """Declare a figure; names are unique."""

    def declare(measure: Measure) -> Measure:
        if any(each.name == name for each in FIGURES):
            raise ValueError(f"there are two figures called {name!r}")
        FIGURES.append(Figure(name, goal, unit, measure))
        return measure

    return declare


def once(make: Callable[[Run], T]) -> Callable[[Run], T]:
    """Have something made once a run, however many figures need it."""
    made: dict[Run, T] = {}

    @functools.wraps(make)
    def found(run: Run) -> T:
        if run not in made:
            made[run] = make(run)
        return made[run]

    return found
