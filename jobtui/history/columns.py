"""A segment's columns: what is known of its records without reading them.

At rest a segment keeps five columns, about eleven bytes a record: id, place, status, space and command,
and which of its jobs recovered which. The others, that a sort or a filter may need, are read when asked.
Values that repeat (spaces, commands, sets of hosts, reasons) are kept once, in a list; the column holds
places in that list.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

import msgspec

from jobtui.model import Job, Status

T = TypeVar("T")

STATUSES: Final = (Status.QUEUE, Status.RUNNING, Status.FINISHED, Status.FAILED, Status.STOPPED)
"""A status column's byte is the status's place in this; `STALE` marks a record that a newer one replaced."""
STALE: Final = 255
CODE_OF: Final[dict[Status, int]] = {status: code for code, status in enumerate(STATUSES)}

MISSING: Final = -1.0
"""What a number column holds where a job has no such value: below all that it may have."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(when: datetime | None) -> float:
    """A time as a number column holds it: microseconds since 1970, MISSING for none."""
    return MISSING if when is None else (when - _EPOCH).total_seconds() * 1e6


def number(value: float | None) -> float:
    """A value as a number column holds it."""
    return MISSING if value is None else float(value)


NUMBERS: Final[dict[str, Callable[[Job], float]]] = {
    "submitted": lambda job: moment(job.submitted),
    "start": lambda job: moment(job.start),
    "stop": lambda job: moment(job.stop),
    "took": lambda job: number(job.took),
    "progress": lambda job: number(job.progress),
    "reclaimed": lambda job: -1e300 if job.reclaimed is None else float(job.reclaimed),
    "tasks": lambda job: float(len(job.tasks)),
    "origin": lambda job: number(job.origin.id if job.origin is not None else job.recovered_from),
}
"""The columns of numbers that are read when asked, and what each holds of a job."""


def hosts_of(job: Job) -> tuple[str, ...]:
    """The job's hosts in task order, as its `hosts` column keeps them."""
    return tuple(task.host for task in job.tasks)


def reason_of(job: Job) -> str:
    """The words that tell why: the job's reason and its tasks', a line each."""
    return "\n".join(dict.fromkeys(text for text in (job.reason, *(task.reason for task in job.tasks)) if text))


def cluster_of(job: Job) -> str:
    """The cluster that a mirrored job lives in, "" for any other."""
    return job.origin.cluster if job.origin is not None else ""


TEXTS: Final[dict[str, Callable[[Job], str]]] = {
    "reasons": reason_of,
    "reason": lambda job: job.reason,
    "cluster": cluster_of,
}
"""The columns of texts that repeat and are read when asked, and what each holds of a job."""


class Coded(msgspec.Struct, Generic[T], frozen=True):
    """A column of repeating values: `values` once each, `codes` a place in it for each record."""

    values: tuple[T, ...]
    codes: array[int]


class Columns(msgspec.Struct):
    """What is kept of a segment at rest, in the order of its records, which is that of their ids.

    `starts` has one entry more than there are records: where the last one ends. `recovered` are pairs of
    a recovered job's id and the id of the job that recovered it, as two columns sorted by the first.
    """

    ids: array[int]
    starts: array[int]
    statuses: bytearray
    spaces: Coded[str]
    commands: Coded[str]
    recovered: array[int]
    recoverers: array[int]


def narrow(values: Sequence[int]) -> array[int]:
    """Whole numbers from 0 in the narrowest array that holds them."""
    highest = max(values, default=0)
    code = "B" if highest < 1 << 8 else "H" if highest < 1 << 16 else "I" if highest < 1 << 32 else "Q"
    return array(code, values)


def coded(values: Iterable[T]) -> Coded[T]:
    """A column of repeating values."""
    known: dict[T, int] = {}
    codes = [known.setdefault(value, len(known)) for value in values]
    return Coded(tuple(known), narrow(codes))


def part_of(column: Coded[T], places: Sequence[int]) -> Coded[T]:
    """The column of some of the records; values that none of them has may be left in it."""
    codes = array(column.codes.typecode, map(column.codes.__getitem__, places))
    return Coded(column.values, codes)
