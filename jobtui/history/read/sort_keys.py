"""What jobs are ordered by: a number for each job, from its record or from a segment's columns.

Values that repeat (spaces, commands, statuses, reasons) are ranked among all that the segments have, and the
job's id is added to the rank, so that no two sealed jobs have the same number and equals are in the order of
their ids. A recent job's value may be one that no segment has: its number lies between those of the
neighbours, and `among` tells it from others that lie there, too.
"""

from __future__ import annotations

import math
import operator
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, Final, Generic, Protocol, TypeVar

from jobtui.history.format.index import (
    CODE_OF,
    NUMBER_COLUMNS,
    STALE,
    STATUSES,
    CodedColumn,
    Columns,
    cluster_of,
)
from jobtui.history.format.segment import Segment
from jobtui.history.query import Sort
from jobtui.history.read.sort import may_reach, sort_distinct
from jobtui.model import Job

T = TypeVar("T")
_MAX_RANKS: Final = 128
"""Values of which each is looked for by itself at most."""
_CODES: Final = 256
_ORIGIN: Final = "origin"
_MAX_ORIGIN: Final = float(1 << 40)
"""Numbers of other jobs are told apart up to here."""


class SortKey(Protocol):
    """A number for each job."""

    def of_segment(self, segment: Segment) -> array[float]:
        """Return those of a segment's jobs, in their order. Raises OSError."""
        ...

    def of_job(self, job: Job) -> float:
        """That of one job, on the same scale."""
        ...

    def tiebreak(self, job: Job) -> Any:
        """Return what orders recent jobs of the same number."""
        ...

    def ranks(self) -> Sequence[float] | None:
        """Return what jobs are ordered by before their ids, rising; None where it is no rank that many share.

        The number of a job is its rank and its id.
        """
        ...

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        """Return the ranks of a segment's jobs, where there are any. Raises OSError."""
        ...


def sort_key(sort: Sort, segments: Sequence[Segment]) -> SortKey:
    """Return what that sort orders by. Raises OSError."""
    if sort in _RANKED:
        return _RANKED[sort](segments)
    return _NumberKey("tasks" if sort is Sort.HOSTS else sort.value)


class _NumberKey:
    """A column of numbers, as it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def of_segment(self, segment: Segment) -> array[float]:
        return segment.numbers(self._name)

    def of_job(self, job: Job) -> float:
        return NUMBER_COLUMNS[self._name](job)

    def tiebreak(self, job: Job) -> None:
        return None

    def ranks(self) -> None:
        return None

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        raise NotImplementedError


class _RankScale(Generic[T]):
    """Values by rank: the known ones have the even ranks, and others lie between them."""

    def __init__(self, values: Sequence[T], width: float) -> None:
        self.values: Sequence[Any] = values
        self.width = width
        self._known: dict[Any, float] = {value: 2 * place * width for place, value in enumerate(values)}

    def rank(self, value: T) -> float:
        known = self._known.get(value)
        return known if known is not None else (2 * bisect_left(self.values, value) - 1) * self.width

    def knows(self, rank: float) -> bool:
        return rank / self.width % 2 == 0

    def ranks(self) -> list[float]:
        return [*self._known.values()]

    def of_column(self, values: Iterable[T], codes: array[int]) -> CodedColumn[float]:
        """Return a column of values, which are all known, by their ranks."""
        return CodedColumn(tuple(map(self._known.__getitem__, values)), codes)


class _RankedKey(Generic[T]):
    """Values that repeat, then the id."""

    def __init__(self, values: Sequence[T], segments: Sequence[Segment]) -> None:
        last = max((segment.entry.last for segment in segments), default=0)
        self.scale = _RankScale(values, float(1 << last.bit_length()))

    def of_segment(self, segment: Segment) -> array[float]:
        return array("d", map(operator.add, _each(self.ranked(segment)), segment.columns.ids))

    def of_job(self, job: Job) -> float:
        rank = self.scale.rank(self.tiebreak(job))
        return rank + min(job.id, self.scale.width - 1) if self.scale.knows(rank) else rank

    def ranks(self) -> Sequence[float] | None:
        return self.scale.ranks() if len(self.scale.values) <= _MAX_RANKS else None

    def tiebreak(self, job: Job) -> T:
        """Return the job's value."""
        raise NotImplementedError

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        """See Measure."""
        raise NotImplementedError


class _StatusKey(_RankedKey[int]):
    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(range(len(STATUSES)), segments)

    def tiebreak(self, job: Job) -> int:
        return CODE_OF[job.status]

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        table = self.scale.ranks()
        gone = [math.inf] * (STALE + 1 - len(table))
        return CodedColumn((*table, *gone), array("B", segment.columns.statuses))


class _SpaceKey(_RankedKey[str]):
    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(sort_distinct([segment.columns.spaces.values for segment in segments]), segments)

    def tiebreak(self, job: Job) -> str:
        return job.space

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        return self.scale.of_column(segment.columns.spaces.values, segment.columns.spaces.codes)


class _CommandKey(_RankedKey[tuple[str, str]]):
    """Command, then space: as the job's command is shown."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__(sort_distinct([_labels(segment.columns) for segment in segments]), segments)

    def tiebreak(self, job: Job) -> tuple[str, str]:
        return job.command, job.space

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        columns = segment.columns
        width = len(columns.spaces.values)
        starts = [width * place for place in range(len(columns.commands.values))]
        places = map(operator.add, map(starts.__getitem__, columns.commands.codes), columns.spaces.codes)
        few = width * len(starts) <= _CODES
        return self.scale.of_column(_labels(columns), array("B" if few else "I", places))


def _labels(columns: Columns) -> list[tuple[str, str]]:
    return list(product(columns.commands.values, columns.spaces.values))


class _ReasonKey(_RankedKey[str]):
    def __init__(self, segments: Sequence[Segment]) -> None:
        self._columns = {segment.name: segment.texts("reason") for segment in segments}
        super().__init__(sort_distinct([column.values for column in self._columns.values()]), segments)

    def tiebreak(self, job: Job) -> str:
        return job.reason

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        column = self._columns[segment.name]
        return self.scale.of_column(column.values, column.codes)


class _OriginKey:
    """The job that it was recovered from, or its cluster and its number there."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._columns = {segment.name: segment.texts("cluster") for segment in segments}
        self._scale = _RankScale(
            sort_distinct([column.values for column in self._columns.values()]), _MAX_ORIGIN
        )

    def of_segment(self, segment: Segment) -> array[float]:
        column = self._columns[segment.name]
        ranks = self._scale.of_column(column.values, column.codes)
        numbers = segment.numbers(_ORIGIN)
        if may_reach(numbers, _MAX_ORIGIN):
            numbers = array("d", map(_bounded, numbers))
        return numbers if not any(ranks.values) else array("d", map(operator.add, _each(ranks), numbers))

    def of_job(self, job: Job) -> float:
        rank = self._scale.rank(cluster_of(job))
        return rank + _bounded(NUMBER_COLUMNS[_ORIGIN](job)) if self._scale.knows(rank) else rank

    def tiebreak(self, job: Job) -> tuple[str, float]:
        return cluster_of(job), _bounded(NUMBER_COLUMNS[_ORIGIN](job))

    def ranks(self) -> None:
        return None

    def ranked(self, segment: Segment) -> CodedColumn[float]:
        raise NotImplementedError


def _each(ranks: CodedColumn[float]) -> Iterable[float]:
    return map(ranks.values.__getitem__, ranks.codes)


def _bounded(number: float) -> float:
    return min(number, _MAX_ORIGIN - 1)


_RANKED: Final[dict[Sort, Callable[[Sequence[Segment]], SortKey]]] = {
    Sort.STATUS: _StatusKey,
    Sort.SPACE: _SpaceKey,
    Sort.COMMAND: _CommandKey,
    Sort.REASON: _ReasonKey,
    Sort.ORIGIN: _OriginKey,
}
