"""A segment's columns: what is known of its records without reading them.

At rest a segment keeps five columns, about eleven bytes a record: id, place, status, space and command,
and which of its jobs recovered which. The others, that a sort or a filter may need, are read when asked.
Values that repeat (spaces, commands, sets of hosts, reasons) are kept once, in a list; the column holds
places in that list.
"""

from __future__ import annotations

import contextlib
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from jobtui.errors import DECODE_ERRORS
from jobtui.history.format.codec import framed, is_whole
from jobtui.history.format.codec import lines as framed_lines
from jobtui.history.format.disk import Disk
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


# ---- merged from jobtui.history.index: ----
# A segment's index: its columns in a file beside it, so that no record is read to find one.
#
# It is a cache. Its lines are framed: the first tells how long each of the others is, the second holds the
# columns that stay in memory, and each column that is read when asked has a line of its own. An index that
# is missing, damaged or of another segment is made again from the records.
#
FORMAT: Final = 1
_HEAD_ROOM: Final = 1024
_CORE: Final = "core"
_HOSTS: Final = "hosts"


class IndexUnusableError(Exception):
    """There is no index that fits the segment: it must be made again."""


class _Numbers(msgspec.Struct, gc=False):
    """An array: its element type as in Python's array module, and its little-endian bytes in base64."""

    type: str
    data: bytes


class _Texts(msgspec.Struct, gc=False):
    values: tuple[str, ...]
    places: _Numbers


class _Lists(msgspec.Struct, gc=False):
    values: tuple[tuple[str, ...], ...]
    places: _Numbers


class _Core(msgspec.Struct, gc=False):
    ids: _Numbers
    starts: _Numbers
    statuses: bytes
    spaces: _Texts
    commands: _Texts
    recovered: _Numbers
    recoverers: _Numbers


class _Head(msgspec.Struct, gc=False):
    index: int
    bytes: int
    count: int
    lines: tuple[tuple[str, int], ...]


_decode_head: Final = msgspec.json.Decoder(_Head).decode
_decode_core: Final = msgspec.json.Decoder(_Core).decode
_decode_numbers: Final = msgspec.json.Decoder(_Numbers).decode
_decode_texts: Final = msgspec.json.Decoder(_Texts).decode
_decode_lists: Final = msgspec.json.Decoder(_Lists).decode
_encode: Final = msgspec.json.Encoder().encode


def columns_of(jobs: Sequence[Job], starts: Sequence[int]) -> Columns:
    """The columns that stay in memory, of jobs in id order; `starts` as in Columns."""
    pairs = sorted((job.recovered_from, job.id) for job in jobs if job.recovered_from is not None)
    return Columns(
        ids=array("I" if not jobs or jobs[-1].id < 1 << 32 else "Q", [job.id for job in jobs]),
        starts=array("I" if starts[-1] < 1 << 32 else "Q", starts),
        statuses=bytearray(CODE_OF[job.status] for job in jobs),
        spaces=coded(job.space for job in jobs),
        commands=coded(job.command for job in jobs),
        recovered=narrow([old for old, _ in pairs]),
        recoverers=narrow([new for _, new in pairs]),
    )


def columns_of_part(columns: Columns, places: Sequence[int], starts: Sequence[int]) -> Columns:
    """The columns of some of a segment's records, which start elsewhere now."""
    ids = array(columns.ids.typecode, map(columns.ids.__getitem__, places))
    chosen = set(ids)
    pairs = [pair for pair in zip(columns.recovered, columns.recoverers, strict=True) if pair[1] in chosen]
    return Columns(
        ids=ids,
        starts=array("I" if starts[-1] < 1 << 32 else "Q", starts),
        statuses=bytearray(map(columns.statuses.__getitem__, places)),
        spaces=part_of(columns.spaces, places),
        commands=part_of(columns.commands, places),
        recovered=narrow([old for old, _ in pairs]),
        recoverers=narrow([new for _, new in pairs]),
    )


class Source(Protocol):
    """Where the columns come from that are read when asked."""

    def numbers(self, name: str) -> array[float]:
        """A column of columns.NUMBERS."""
        ...

    def hosts(self) -> Coded[tuple[str, ...]]:
        """Each job's hosts."""
        ...

    def texts(self, name: str) -> Coded[str]:
        """A column of columns.TEXTS."""
        ...


class Records:
    """Those of jobs."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs

    def numbers(self, name: str) -> array[float]:
        """See Source."""
        return array("d", map(NUMBERS[name], self._jobs))

    def hosts(self) -> Coded[tuple[str, ...]]:
        """See Source."""
        return coded(map(hosts_of, self._jobs))

    def texts(self, name: str) -> Coded[str]:
        """See Source."""
        return coded(map(TEXTS[name], self._jobs))


class Part:
    """Those of some of the records of another source."""

    def __init__(self, whole: Source, places: Sequence[int]) -> None:
        self._whole, self._places = whole, places

    def numbers(self, name: str) -> array[float]:
        """See Source."""
        return array("d", map(self._whole.numbers(name).__getitem__, self._places))

    def hosts(self) -> Coded[tuple[str, ...]]:
        """See Source."""
        return part_of(self._whole.hosts(), self._places)

    def texts(self, name: str) -> Coded[str]:
        """See Source."""
        return part_of(self._whole.texts(name), self._places)


def index_lines(columns: Columns, source: Source) -> Iterator[tuple[str, bytes]]:
    """The index's lines but the first, by name, one at a time: each takes its while for many jobs."""
    core = _Core(
        _packed(columns.ids),
        _packed(columns.starts),
        bytes(columns.statuses),
        _Texts(columns.spaces.values, _packed(columns.spaces.codes)),
        _Texts(columns.commands.values, _packed(columns.commands.codes)),
        _packed(columns.recovered),
        _packed(columns.recoverers),
    )
    yield _CORE, framed(_encode(core))
    for name in NUMBERS:
        yield name, framed(_encode(_packed(source.numbers(name))))
    hosts = source.hosts()
    yield _HOSTS, framed(_encode(_Lists(hosts.values, _packed(hosts.codes))))
    for name in TEXTS:
        texts = source.texts(name)
        yield name, framed(_encode(_Texts(texts.values, _packed(texts.codes))))


class Index:
    """A segment's index file, which is opened for each look at it."""

    def __init__(self, disk: Disk, path: Path, size: int) -> None:
        self._disk, self._path, self._size = disk, path, size

    def write(self, count: int, lines: Sequence[tuple[str, bytes]]) -> None:
        """Write the lines (index_lines) of the index of `count` records, where that works: it is a cache."""
        head = _Head(FORMAT, self._size, count, tuple((name, len(line)) for name, line in lines))
        with contextlib.suppress(OSError):
            self._disk.write_new(self._path, [framed(_encode(head)), *(line for _, line in lines)], sync=False)

    def is_whole(self) -> bool:
        """Whether every line of it is as it was written, and of this segment."""
        try:
            data = self._disk.read_whole(self._path)
            found = list(framed_lines(data))
            head = self._head(found[0][1])
        except (OSError, IndexError, *DECODE_ERRORS, IndexUnusableError):
            return False
        return all(whole for _, _, whole in found) and len(found) == 1 + len(head.lines)

    def core(self) -> Columns:
        """The columns that stay in memory. Raises IndexUnusableError."""
        columns = core_of(self._line(_CORE))
        if STALE in columns.statuses:
            raise IndexUnusableError("it was made again where a newer version of a job was known")
        return columns

    def numbers(self, name: str) -> array[float]:
        """A column of numbers, of those in columns.NUMBERS. Raises IndexUnusableError."""
        packed = _decode_numbers(self._line(name))
        values = array("d", packed.data)
        _little_endian(values)
        return values

    def hosts(self) -> Coded[tuple[str, ...]]:
        """Each job's hosts. Raises IndexUnusableError."""
        packed = _decode_lists(self._line(_HOSTS))
        return Coded(packed.values, _unpacked(packed.places))

    def texts(self, name: str) -> Coded[str]:
        """A column of texts, of those in columns.TEXTS. Raises IndexUnusableError."""
        packed = _decode_texts(self._line(name))
        return Coded(packed.values, _unpacked(packed.places))

    def _line(self, name: str) -> bytes:
        try:
            file = self._disk.open(self._path)
        except OSError as error:
            raise IndexUnusableError(str(error)) from None
        try:
            start = self._disk.read(file, _HEAD_ROOM, 0)
            first = start[: start.find(b"\n") + 1]
            offset = len(first)
            for each, length in self._head(first[:-1]).lines:
                if each == name:
                    line = self._disk.read(file, length, offset)[:-1]
                    break
                offset += length
            else:
                raise IndexUnusableError(f"there is no column {name}")
        except (OSError, *DECODE_ERRORS) as error:
            raise IndexUnusableError(str(error)) from None
        finally:
            self._disk.close(file)
        if not is_whole(line):
            raise IndexUnusableError(f"the column {name} is damaged")
        return line

    def _head(self, line: bytes) -> _Head:
        if not is_whole(line):
            raise IndexUnusableError("the head is damaged")
        head = _decode_head(line)
        if head.index != FORMAT or head.bytes != self._size:
            raise IndexUnusableError("it is another segment's")
        return head


def core_of(line: bytes) -> Columns:
    """Decode the line of the columns that stay in memory. Raises MsgspecError for any other line."""
    core = _decode_core(line)
    return Columns(
        ids=_unpacked(core.ids),
        starts=_unpacked(core.starts),
        statuses=bytearray(core.statuses),
        spaces=Coded(core.spaces.values, _unpacked(core.spaces.places)),
        commands=Coded(core.commands.values, _unpacked(core.commands.places)),
        recovered=_unpacked(core.recovered),
        recoverers=_unpacked(core.recoverers),
    )


def _packed(values: array[int] | array[float]) -> _Numbers:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return _Numbers(values.typecode, values.tobytes())


def _unpacked(packed: _Numbers) -> array[int]:
    values: array[int] = array(packed.type, packed.data)
    _little_endian(values)
    return values


def _little_endian(values: array[int] | array[float]) -> None:
    if sys.byteorder == "big":
        values.byteswap()
