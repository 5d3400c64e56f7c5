"""What jobs are ordered by: a number for each job, from its record or from a segment's columns.

Values that repeat (spaces, commands, statuses) are ranked among all that there are, and the job's id is
added to the rank, so that no two jobs have the same number and equals are in the order of their ids.
"""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Generic, Protocol, TypeVar

from jobtui.history.columns import NUMBERS, STATUSES, Columns
from jobtui.history.query import Query, Sort
from jobtui.history.segment import Segment
from jobtui.model import Job, Status

T = TypeVar("T")


class Measure(Protocol):
    """A number for each job."""

    def of_segment(self, segment: Segment) -> array[float]:
        """Those of a segment's jobs, in their order. Raises OSError."""
        ...

    def of_job(self, job: Job) -> float:
        """That of one job, on the same scale."""
        ...

    def parts(self, query: Query, *, descending: bool) -> Iterator[tuple[float, Query]] | None:
        """Queries that find the jobs of one rank each, in order, and what to add to their ids.

        None where jobs have no ranks.
        """
        ...


def measure(sort: Sort, segments: Sequence[Segment]) -> Measure:
    """What that sort orders by. Raises OSError."""
    if sort.value in NUMBERS:
        return _Number(sort.value)
    kind = _RANKED[sort]
    return kind(segments)


class _Number:
    """A column of numbers, as it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def of_segment(self, segment: Segment) -> array[float]:
        return segment.numbers(self._name)

    def of_job(self, job: Job) -> float:
        return NUMBERS[self._name](job)

    def parts(self, query: Query, *, descending: bool) -> None:
        return None


class _Ranked(Generic[T]):
    """Values that repeat, by rank; unknown ones are between the known."""

    def __init__(self, values: Sequence[T], segments: Sequence[Segment]) -> None:
        last = max((segment.entry.last for segment in segments), default=0)
        self._width = float(1 << last.bit_length())
        self._values: Sequence[Any] = values
        self._ranks = {value: 2 * place * self._width for place, value in enumerate(values)}

    def of_segment(self, segment: Segment) -> array[float]:
        columns = segment.columns
        return array("d", map(operator.add, self.of_columns(columns, self._ranks), columns.ids))

    def of_job(self, job: Job) -> float:
        value = self.value_of(job)
        rank = self._ranks.get(value)
        if rank is None:
            rank = (2 * bisect_left(self._values, value) - 1) * self._width
        return rank + min(job.id, self._width - 1)

    def parts(self, query: Query, *, descending: bool) -> Iterator[tuple[float, Query]]:
        for value in reversed(self._values) if descending else self._values:
            narrowed = self.narrowed(query, value)
            if narrowed is not None:
                yield self._ranks[value], narrowed

    def value_of(self, job: Job) -> T:
        """The job's value."""
        raise NotImplementedError

    def of_columns(self, columns: Columns, ranks: Mapping[T, float]) -> Iterable[float]:
        """The ranks of a segment's jobs."""
        raise NotImplementedError

    def narrowed(self, query: Query, value: T) -> Query | None:
        """The query for jobs of this value alone; None where it asks for none of them."""
        raise NotImplementedError


class _Statuses(_Ranked[Status]):
    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(STATUSES, segments)

    def value_of(self, job: Job) -> Status:
        return job.status

    def of_columns(self, columns: Columns, ranks: Mapping[Status, float]) -> Iterable[float]:
        return map([*(ranks[status] for status in STATUSES), *([0.0] * 256)].__getitem__, columns.statuses)

    def narrowed(self, query: Query, value: Status) -> Query | None:
        return replace(query, statuses=frozenset({value})) if value in (query.statuses or {value}) else None


class _Spaces(_Ranked[str]):
    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(
            sorted({name for segment in segments for name in segment.columns.spaces.values}), segments
        )

    def value_of(self, job: Job) -> str:
        return job.space

    def of_columns(self, columns: Columns, ranks: Mapping[str, float]) -> Iterable[float]:
        return map([ranks[name] for name in columns.spaces.values].__getitem__, columns.spaces.codes)

    def narrowed(self, query: Query, value: str) -> Query | None:
        return replace(query, spaces=frozenset({value})) if value in (query.spaces or {value}) else None


class _Labels(_Ranked[tuple[str, str]]):
    """Command, then space: as the job's command is shown."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(
            sorted({label for segment in segments for label in _labels(segment.columns)}), segments
        )

    def value_of(self, job: Job) -> tuple[str, str]:
        return job.command, job.space

    def of_columns(self, columns: Columns, ranks: Mapping[tuple[str, str], float]) -> Iterable[float]:
        width = len(columns.spaces.values)
        table = [ranks[label] for label in _labels(columns)]
        starts = [width * place for place in range(len(columns.commands.values))]
        places = map(operator.add, map(starts.__getitem__, columns.commands.codes), columns.spaces.codes)
        return map(table.__getitem__, places)

    def narrowed(self, query: Query, value: tuple[str, str]) -> Query | None:
        command, space = value
        if command not in (query.commands or {command}) or space not in (query.spaces or {space}):
            return None
        return replace(query, commands=frozenset({command}), spaces=frozenset({space}))


def _labels(columns: Columns) -> Iterable[tuple[str, str]]:
    return product(columns.commands.values, columns.spaces.values)


_RANKED: dict[Sort, Callable[[Sequence[Segment]], Measure]] = {
    Sort.STATUS: _Statuses,
    Sort.SPACE: _Spaces,
    Sort.COMMAND: _Labels,
}
