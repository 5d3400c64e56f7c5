"""Queries of jobs, and their evaluation over segments and single jobs.

Over columns, every test creates a mask, a byte of 0 or 1 for each record, with a few fast calls into C code: a
value is tested once for each segment, not once for each job.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache, reduce
from typing import Any, Final, TypeVar

import msgspec

from jobtui.history.format.index import (
    NUMBER_COLUMNS,
    STATUSES,
    TEXT_COLUMNS,
    CodedColumn,
    hosts_of,
    reason_of,
    to_microseconds,
)
from jobtui.history.format.segment import Segment
from jobtui.model import Job, Status


class Sort(enum.Enum):
    """The value that jobs are sorted by, then by id; a job without it comes first.

    `COMMAND` is the command, then the space; `HOSTS` the number of hosts; `ORIGIN` the job that it was
    recovered from, and for cluster jobs the cluster and the number there; `REASON` the job's own reason;
    `REQUESTER` the user and host that requested it, and `BECAUSE` the reason of the request.
    """

    ID = "id"
    COMMAND = "command"
    SPACE = "space"
    HOSTS = "hosts"
    STATUS = "status"
    PROGRESS = "progress"
    SUBMITTED = "submitted"
    START = "start"
    STOP = "stop"
    TOOK = "took"
    RECLAIMED = "reclaimed"
    ORIGIN = "origin"
    REASON = "reason"
    REQUESTER = "requester"
    BECAUSE = "because"


class Bound(msgspec.Struct, frozen=True):
    """A range of a number, both ends included; `negated` excludes the jobs in the range.

    `column` is "id" or one of `NUMBER_COLUMNS`. A job without the number has MISSING or NOT_RECLAIMED there,
    which `low` must exceed.
    """

    column: str
    low: float
    high: float
    negated: bool = False


class Query(msgspec.Struct, frozen=True):
    """A filter and an order of jobs: those that pass every filter. An empty filter passes all.

    A job must have one of the `statuses`, `spaces` and `commands`, a task on one of the `hosts`, each of the
    `words`, a submission at or after `since` and before `until`, a number within each of the `bounds`, and one
    of the `ids`, if there are any. Words are looked for, ignoring case, in the command, the space, the status,
    the hosts and the reasons; a number also matches the job's id. `reasons` are looked for in the reasons only,
    `requesters` in the requester, and `becauses` in the reason of the request.

    Each `not_…` excludes the jobs that have any of these. `archived` selects the archived jobs, and only those.
    """

    statuses: frozenset[Status] = frozenset()
    spaces: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    not_statuses: frozenset[Status] = frozenset()
    not_spaces: frozenset[str] = frozenset()
    not_hosts: frozenset[str] = frozenset()
    not_commands: frozenset[str] = frozenset()
    not_words: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    not_reasons: tuple[str, ...] = ()
    requesters: tuple[str, ...] = ()
    not_requesters: tuple[str, ...] = ()
    becauses: tuple[str, ...] = ()
    not_becauses: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    ids: frozenset[int] | None = None
    not_ids: frozenset[int] = frozenset()
    archived: bool = False
    sort: Sort = Sort.ID
    descending: bool = False


T = TypeVar("T")
_BYTE_VALUES: Final = 256
"""The length of a table for `bytes.translate`."""
_NOT: Final = bytes([1, 0]).ljust(_BYTE_VALUES, b"\0")
_MAX_ID_DIGITS: Final = 19


def match_segment(query: Query, segment: Segment) -> bytes:
    """Return a byte for each record of the segment: 1 if the query finds it. Raises OSError."""
    columns = segment.columns
    masks = [_by_status(query, segment)]
    if query.spaces or query.not_spaces:
        masks.append(match_values(columns.spaces, _includes(query.spaces, query.not_spaces)))
    if query.commands or query.not_commands:
        masks.append(match_values(columns.commands, _includes(query.commands, query.not_commands)))
    if query.since is not None or query.until is not None:
        masks += _by_time(query, segment)
    if query.hosts or query.not_hosts:
        masks.append(match_values(segment.hosts(), _wanted_hosts(query)))
    if query.words or query.not_words:
        masks += _by_words(query, segment)
    for column, words, not_words in _texts(query):
        masks += _by_texts(segment.texts(column), words, not_words)
    masks += [_by_bound(bound, segment) for bound in query.bounds]
    if query.ids is not None:
        masks.append(bytes(map(query.ids.__contains__, segment.columns.ids)))
    if query.not_ids:
        masks.append(bytes(map(query.not_ids.__contains__, segment.columns.ids)).translate(_NOT))
    return combine_masks(masks, operator.and_)


def match_job(query: Query) -> Callable[[Job], bool]:
    """Return a function that returns whether the query finds a job."""
    tests = list(_tests(query))
    if len(tests) == 1:
        return tests[0]
    return lambda job: all(test(job) for test in tests)


def can_use_counts(query: Query) -> bool:
    """Return whether the counts by space and status give the number of jobs found."""
    return query == Query(
        statuses=query.statuses,
        spaces=query.spaces,
        not_statuses=query.not_statuses,
        not_spaces=query.not_spaces,
        archived=query.archived,
        sort=query.sort,
        descending=query.descending,
    )


# ---- one job at a time


def _tests(query: Query) -> Iterable[Callable[[Job], bool]]:
    if query.statuses or query.not_statuses:
        status = _includes(query.statuses, query.not_statuses)
        yield lambda job: status(job.status)
    if query.spaces or query.not_spaces:
        space = _includes(query.spaces, query.not_spaces)
        yield lambda job: space(job.space)
    if query.commands or query.not_commands:
        command = _includes(query.commands, query.not_commands)
        yield lambda job: command(job.command)
    if (since := query.since) is not None:
        yield lambda job: job.submitted >= since
    if (until := query.until) is not None:
        yield lambda job: job.submitted < until
    if query.hosts or query.not_hosts:
        hosts = _wanted_hosts(query)
        yield lambda job: hosts(hosts_of(job))
    for word in query.words:
        yield _containing(word)
    for word in query.not_words:
        contains = _containing(word)
        yield lambda job, contains=contains: not contains(job)  # type: ignore[misc]
    for column, words, not_words in _texts(query):
        value = TEXT_COLUMNS[column]
        for holds in map(_contains, words):
            yield lambda job, value=value, holds=holds: holds(value(job))  # type: ignore[misc]
        for holds in map(_contains, not_words):
            yield lambda job, value=value, holds=holds: not holds(value(job))  # type: ignore[misc]
    for bound in query.bounds:
        yield lambda job, bound=bound: _is_within(bound, _number_of(bound, job))  # type: ignore[misc]
    if (ids := query.ids) is not None:
        yield lambda job: job.id in ids
    if query.not_ids:
        yield lambda job: job.id not in query.not_ids


def _texts(query: Query) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """Yield each searched text column, with the words that it must and must not contain."""
    for column, words, not_words in (
        ("reasons", query.reasons, query.not_reasons),
        ("requester", query.requesters, query.not_requesters),
        ("because", query.becauses, query.not_becauses),
    ):
        if words or not_words:
            yield column, words, not_words


def _number_of(bound: Bound, job: Job) -> float:
    return float(job.id) if bound.column == "id" else NUMBER_COLUMNS[bound.column](job)


def _is_within(bound: Bound, number: float) -> bool:
    return (bound.low <= number <= bound.high) is not bound.negated


def _containing(word: str) -> Callable[[Job], bool]:
    holds, number = _contains(word), _number(word)

    def contains(job: Job) -> bool:
        return (
            job.id == number
            or holds(job.command)
            or holds(job.space)
            or holds(job.status)
            or any(map(holds, hosts_of(job)))
            or holds(reason_of(job))
        )

    return contains


# ---- over columns


def _by_status(query: Query, segment: Segment) -> bytes:
    return bytes(segment.columns.statuses.translate(_status_table(query.statuses, query.not_statuses)))


# a query asks for the same table once for each segment
@lru_cache(maxsize=8)
def _status_table(statuses: frozenset[Status], not_statuses: frozenset[Status]) -> bytes:
    return bytes(map(_includes(statuses, not_statuses), STATUSES)).ljust(_BYTE_VALUES, b"\0")


def match_values(column: CodedColumn[Any], wanted: Callable[[Any], bool]) -> bytes:
    """Return a mask of the records whose value is wanted."""
    table = bytes(map(wanted, column.values))
    if column.codes.typecode == "B":
        return column.codes.tobytes().translate(table.ljust(_BYTE_VALUES, b"\0"))
    return bytes(map(table.__getitem__, column.codes))


def _by_time(query: Query, segment: Segment) -> Iterable[bytes]:
    submitted = segment.numbers("submitted")
    if query.since is not None:
        yield bytes(map(to_microseconds(query.since).__le__, submitted))
    if query.until is not None:
        yield bytes(map(to_microseconds(query.until).__gt__, submitted))


def _by_words(query: Query, segment: Segment) -> Iterable[bytes]:
    hosts, reasons = segment.hosts(), segment.texts("reasons")
    for word in query.words:
        yield _by_word(word, segment, hosts, reasons)
    for word in query.not_words:
        yield _by_word(word, segment, hosts, reasons).translate(_NOT)


def _by_texts(texts: CodedColumn[str], words: Sequence[str], not_words: Sequence[str]) -> Iterable[bytes]:
    for word in words:
        yield match_values(texts, _contains(word))
    for word in not_words:
        yield match_values(texts, _contains(word)).translate(_NOT)


def _by_bound(bound: Bound, segment: Segment) -> bytes:
    numbers: Iterable[float]
    numbers = segment.columns.ids if bound.column == "id" else segment.numbers(bound.column)
    return bytes([_is_within(bound, number) for number in numbers])


def _by_word(
    word: str, segment: Segment, hosts: CodedColumn[tuple[str, ...]], reasons: CodedColumn[str]
) -> bytes:
    columns, holds, number = segment.columns, _contains(word), _number(word)
    found = [
        bytes(columns.statuses).translate(bytes(map(holds, STATUSES)).ljust(_BYTE_VALUES, b"\0")),
        match_values(columns.spaces, holds),
        match_values(columns.commands, holds),
        match_values(hosts, lambda names: any(map(holds, names))),
        match_values(reasons, holds),
    ]
    if number is not None:
        found.append(_by_id(segment, number))
    return combine_masks(found, operator.or_)


def _by_id(segment: Segment, job_id: int) -> bytes:
    found = bytearray(len(segment.columns.ids))
    if (row := segment.row_of(job_id)) is not None:
        found[row] = 1
    return bytes(found)


def combine_masks(masks: Sequence[bytes], join: Callable[[int, int], int]) -> bytes:
    """Return masks combined by `and_` or `or_`.

    As long integers, this is the fastest way without another library.
    """
    if len(masks) == 1:
        return masks[0]
    numbers = (int.from_bytes(each, "little") for each in masks)
    return reduce(join, numbers).to_bytes(len(masks[0]), "little")


# ---- tests of one value


def _includes(some: Collection[T], others: Collection[T]) -> Callable[[T], bool]:
    return lambda value: (not some or value in some) and value not in others


def _wanted_hosts(query: Query) -> Callable[[tuple[str, ...]], bool]:
    some, others = query.hosts, query.not_hosts
    return lambda names: (not some or not some.isdisjoint(names)) and others.isdisjoint(names)


def _contains(word: str) -> Callable[[str], bool]:
    folded = word.casefold()
    return lambda text: folded in text.casefold()


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdecimal() and len(word) <= _MAX_ID_DIGITS else None
