"""The columns of a segment, in memory and in its index, so that a query reads no record.

Between queries, a segment keeps five columns in memory, about eleven bytes a record: id, offset, status, space
and command; and the pairs of recovered and recovering jobs. The others are read when a sort or a filter needs
them. A column of repeating values has each value once, and a code per record.

The index is a cache of framed lines: a header with the length of each other line, the columns that stay in
memory, and one line per other column. If it is missing, damaged or belongs to another segment, it is rebuilt
from the records.
"""

from __future__ import annotations

import contextlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import compress, count
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from typing_extensions import override

from jobtui.errors import DECODE_ERRORS
from jobtui.history.format.codec import frame_line, is_intact, split_lines
from jobtui.history.format.disk import Disk
from jobtui.model import Job, JobCommand, Status

T = TypeVar("T")

STATUSES: Final = (Status.QUEUE, Status.RUNNING, Status.FINISHED, Status.FAILED, Status.STOPPED)
"""A status column's byte is the status's index here; `STALE` marks a record that a newer one replaced."""
STALE: Final = 255
CODE_OF: Final[dict[Status, int]] = {status: code for code, status in enumerate(STATUSES)}

MISSING: Final = -1.0
"""The value of a number column for a job without the value: lower than every real value."""
NOT_RECLAIMED: Final = -1e300
"""The value of the column of reclaimed bytes, which may be negative, for a job without them."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(when: datetime | None) -> float:
    """Return a time for a number column: microseconds since 1970, MISSING for None."""
    return MISSING if when is None else (when - EPOCH).total_seconds() * 1e6


def from_microseconds(value: float) -> datetime | None:
    """Return the time of a value of a number column, None for MISSING."""
    return None if value < 0 else EPOCH + timedelta(microseconds=value)


def to_number(value: float | None) -> float:
    """Return a value for a number column, MISSING for None."""
    return MISSING if value is None else float(value)


NUMBER_COLUMNS: Final[dict[str, Callable[[Job], float]]] = {
    "submitted": lambda job: to_microseconds(job.submitted),
    "start": lambda job: to_microseconds(job.start),
    "stop": lambda job: to_microseconds(job.stop),
    "took": lambda job: to_number(job.took),
    "progress": lambda job: to_number(job.progress),
    "reclaimed": lambda job: (
        NOT_RECLAIMED if job.reclaimed_by_compaction is None else float(job.reclaimed_by_compaction)
    ),
    "tasks": lambda job: float(len(job.tasks)),
    "origin": lambda job: to_number(job.origin.id if job.origin is not None else job.recovered_from),
}
"""The columns of numbers that are read on demand, and their value for a job."""


def hosts_of(job: Job) -> tuple[str, ...]:
    """Return the job's hosts in task order, as its `hosts` column keeps them."""
    return tuple(task.host for task in job.tasks)


def reason_of(job: Job) -> str:
    """Return the reasons of the job and of its tasks, a line for each."""
    return "\n".join(dict.fromkeys(text for text in (job.reason, *(task.reason for task in job.tasks)) if text))


def cluster_of(job: Job) -> str:
    """Return the cluster of a job that a cluster runs, "" for any other."""
    return job.origin.cluster if job.origin is not None else ""


TEXT_COLUMNS: Final[dict[str, Callable[[Job], str]]] = {
    "reasons": reason_of,
    "reason": lambda job: job.reason,
    "cluster": cluster_of,
    "requester": lambda job: job.requester,
    "because": lambda job: job.options.because,
}
"""The columns of repeating texts that are read on demand, and their value for a job."""


class CodedColumn(msgspec.Struct, Generic[T], frozen=True):
    """A column of repeating values: `values` has each once, `codes` its index per record."""

    values: tuple[T, ...]
    codes: array[int]


class Columns(msgspec.Struct):
    """The columns of a segment that stay in memory, in the order of the records' ids.

    Attributes:
        ids: The jobs' ids.
        starts: The offsets of the records, and of the end of the last one.
        statuses: The codes of the statuses (`CODE_OF`, `STALE`).
        spaces: The spaces.
        commands: The commands.
        recovered: The ids of recovered jobs, in rising order.
        recoverers: For each of them, the id of the job that recovered it.
    """

    ids: array[int]
    starts: array[int]
    statuses: bytearray
    spaces: CodedColumn[str]
    commands: CodedColumn[str]
    recovered: array[int]
    recoverers: array[int]

    def row_of(self, job_id: int) -> int | None:
        """Return the row of a job, None if it is not here."""
        row = bisect_left(self.ids, job_id)
        return row if row < len(self.ids) and self.ids[row] == job_id else None

    def set_status(self, job_id: int, code: int) -> None:
        """Set the status of a job, if it is here."""
        row = self.row_of(job_id)
        if row is not None:
            self.statuses[row] = code


def narrow_array(values: Sequence[int]) -> array[int]:
    """Return whole numbers from 0 in the narrowest array that can hold them."""
    highest = max(values, default=0)
    code = "B" if highest < 1 << 8 else "H" if highest < 1 << 16 else "I" if highest < 1 << 32 else "Q"
    return array(code, values)


def encode_column(values: Iterable[T]) -> CodedColumn[T]:
    """Return a column of repeating values."""
    known: dict[T, int] = {}
    codes = [known.setdefault(value, len(known)) for value in values]
    return CodedColumn(tuple(known), narrow_array(codes))


def select_rows(column: CodedColumn[T], rows: Sequence[int]) -> CodedColumn[T]:
    """Return the column of some of the records; it may have values that none of them has."""
    codes = array(column.codes.typecode, map(column.codes.__getitem__, rows))
    return CodedColumn(column.values, codes)


INDEX_FORMAT: Final = 1
_MAX_HEADER_BYTES: Final = 1024
_CORE: Final = "core"
_HOSTS: Final = "hosts"


class IndexUnusable(Exception):
    """An index that is missing, damaged or another segment's, and must be rebuilt."""


class _ColumnMissing(IndexUnusable):
    """A sound index without a column; `count` is the number of its records."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(f"there is no column {name}")
        self.count = count


class _StoredArray(msgspec.Struct, gc=False):
    """An array: its element type as in Python's `array`, and its little-endian bytes."""

    type: str
    data: bytes


class _StoredTexts(msgspec.Struct, gc=False):
    values: tuple[str, ...]
    codes: _StoredArray = msgspec.field(name="places")


class _StoredLists(msgspec.Struct, gc=False):
    values: tuple[tuple[str, ...], ...]
    codes: _StoredArray = msgspec.field(name="places")


class _StoredCore(msgspec.Struct, gc=False):
    ids: _StoredArray
    starts: _StoredArray
    statuses: bytes
    spaces: _StoredTexts
    commands: _StoredTexts
    recovered: _StoredArray
    recoverers: _StoredArray


class _Header(msgspec.Struct, gc=False):
    index: int
    bytes: int
    count: int
    lines: tuple[tuple[str, int], ...]


_decode_header: Final = msgspec.json.Decoder(_Header).decode
_decode_core: Final = msgspec.json.Decoder(_StoredCore).decode
_decode_numbers: Final = msgspec.json.Decoder(_StoredArray).decode
_decode_texts: Final = msgspec.json.Decoder(_StoredTexts).decode
_decode_lists: Final = msgspec.json.Decoder(_StoredLists).decode
_encode: Final = msgspec.json.Encoder().encode


def build_columns(jobs: Sequence[Job], starts: Sequence[int]) -> Columns:
    """Return the columns that stay in memory for jobs in id order; `starts` as in Columns."""
    pairs = sorted((job.recovered_from, job.id) for job in jobs if job.recovered_from is not None)
    return Columns(
        ids=array("I" if not jobs or jobs[-1].id < 1 << 32 else "Q", [job.id for job in jobs]),
        starts=array("I" if starts[-1] < 1 << 32 else "Q", starts),
        statuses=bytearray(CODE_OF[job.status] for job in jobs),
        spaces=encode_column(job.space for job in jobs),
        commands=encode_column(job.command for job in jobs),
        recovered=narrow_array([old for old, _ in pairs]),
        recoverers=narrow_array([new for _, new in pairs]),
    )


def select_columns(columns: Columns, rows: Sequence[int], starts: Sequence[int]) -> Columns:
    """Return the columns of some of a segment's records, with their new offsets."""
    ids = array(columns.ids.typecode, map(columns.ids.__getitem__, rows))
    chosen = set(ids)
    pairs = [pair for pair in zip(columns.recovered, columns.recoverers, strict=True) if pair[1] in chosen]
    return Columns(
        ids=ids,
        starts=array("I" if starts[-1] < 1 << 32 else "Q", starts),
        statuses=bytearray(map(columns.statuses.__getitem__, rows)),
        spaces=select_rows(columns.spaces, rows),
        commands=select_rows(columns.commands, rows),
        recovered=narrow_array([old for old, _ in pairs]),
        recoverers=narrow_array([new for _, new in pairs]),
    )


class ColumnSource(Protocol):
    """A source of the columns that are read on demand."""

    def numbers(self, name: str) -> array[float]:
        """Return one of NUMBER_COLUMNS."""
        ...

    def hosts(self) -> CodedColumn[tuple[str, ...]]:
        """Return each job's hosts."""
        ...

    def texts(self, name: str) -> CodedColumn[str]:
        """Return one of TEXT_COLUMNS."""
        ...


class RecordColumns(ColumnSource):
    """The columns that are made from the jobs themselves."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs

    @override
    def numbers(self, name: str) -> array[float]:
        return array("d", map(NUMBER_COLUMNS[name], self._jobs))

    @override
    def hosts(self) -> CodedColumn[tuple[str, ...]]:
        return encode_column(map(hosts_of, self._jobs))

    @override
    def texts(self, name: str) -> CodedColumn[str]:
        return encode_column(map(TEXT_COLUMNS[name], self._jobs))


def read_numbers(source: ColumnSource, name: str, commands: CodedColumn[str]) -> array[float]:
    """Return one of NUMBER_COLUMNS for records with these commands. Raises IndexUnusable."""
    numbers = source.numbers(name)
    if name == "reclaimed" and JobCommand.FLUSH in commands.values:
        # earlier versions recorded by how much the files shrank during a flush, which reclaims nothing
        flush = commands.values.index(JobCommand.FLUSH)
        for row in compress(count(), map(flush.__eq__, commands.codes)):
            numbers[row] = NOT_RECLAIMED
    return numbers


class PartialColumns(ColumnSource):
    """The columns of some of the records of another source."""

    def __init__(self, whole: ColumnSource, rows: Sequence[int]) -> None:
        self._whole, self._rows = whole, rows

    @override
    def numbers(self, name: str) -> array[float]:
        return array("d", map(self._whole.numbers(name).__getitem__, self._rows))

    @override
    def hosts(self) -> CodedColumn[tuple[str, ...]]:
        return select_rows(self._whole.hosts(), self._rows)

    @override
    def texts(self, name: str) -> CodedColumn[str]:
        return select_rows(self._whole.texts(name), self._rows)


def index_lines(columns: Columns, source: ColumnSource) -> Iterator[tuple[str, bytes]]:
    """Yield the index's lines after the header, by name.

    Each takes time if there are many jobs.
    """
    core = _StoredCore(
        _pack(columns.ids),
        _pack(columns.starts),
        bytes(columns.statuses),
        _StoredTexts(columns.spaces.values, _pack(columns.spaces.codes)),
        _StoredTexts(columns.commands.values, _pack(columns.commands.codes)),
        _pack(columns.recovered),
        _pack(columns.recoverers),
    )
    yield _CORE, frame_line(_encode(core))
    for name in NUMBER_COLUMNS:
        yield name, frame_line(_encode(_pack(source.numbers(name))))
    hosts = source.hosts()
    yield _HOSTS, frame_line(_encode(_StoredLists(hosts.values, _pack(hosts.codes))))
    for name in TEXT_COLUMNS:
        texts = source.texts(name)
        yield name, frame_line(_encode(_StoredTexts(texts.values, _pack(texts.codes))))


class SegmentIndex:
    """A segment's index file, which is opened for each request."""

    def __init__(self, disk: Disk, path: Path, size: int) -> None:
        self._disk, self._path, self._size = disk, path, size

    def write(self, count: int, lines: Sequence[tuple[str, bytes]]) -> None:
        """Write the index of `count` records, if possible: it is only a cache."""
        head = _Header(INDEX_FORMAT, self._size, count, tuple((name, len(line)) for name, line in lines))
        with contextlib.suppress(OSError):
            self._disk.create_with(
                self._path, [frame_line(_encode(head)), *(line for _, line in lines)], sync=False
            )

    def is_whole(self) -> bool:
        """Return whether all its lines are intact, and it belongs to this segment."""
        try:
            data = self._disk.read_file(self._path)
            found = list(split_lines(data))
            head = self._head(found[0][1])
        except (OSError, IndexError, *DECODE_ERRORS, IndexUnusable):
            return False
        return all(whole for _, _, whole in found) and len(found) == 1 + len(head.lines)

    def core(self) -> Columns:
        """Return the columns that stay in memory. Raises IndexUnusable."""
        columns = decode_core(self._line(_CORE))
        if STALE in columns.statuses:
            raise IndexUnusable("it was rebuilt when a newer version of a job was known")
        return columns

    def numbers(self, name: str) -> array[float]:
        """Return one of NUMBER_COLUMNS. Raises IndexUnusable."""
        with _refused_content():
            packed = _decode_numbers(self._line(name))
            values = array("d", packed.data)
        _swap_if_big_endian(values)
        return values

    def hosts(self) -> CodedColumn[tuple[str, ...]]:
        """Return each job's hosts. Raises IndexUnusable."""
        with _refused_content():
            packed = _decode_lists(self._line(_HOSTS))
            return CodedColumn(packed.values, _unpack(packed.codes))

    def texts(self, name: str) -> CodedColumn[str]:
        """Return one of TEXT_COLUMNS. Raises IndexUnusable."""
        try:
            line = self._line(name)
        except _ColumnMissing as error:
            if name != "requester":
                raise
            # the index is older than this column, and so are its jobs: they have no value in it
            return CodedColumn(("",), array("B", bytes(error.count)))
        with _refused_content():
            packed = _decode_texts(line)
            return CodedColumn(packed.values, _unpack(packed.codes))

    def _line(self, name: str) -> bytes:
        """Return the line of a column. Raises IndexUnusable."""
        try:
            file = self._disk.open(self._path)
        except OSError as error:
            raise IndexUnusable(str(error)) from None
        try:
            start = self._disk.read(file, _MAX_HEADER_BYTES, 0)
            first = start[: start.find(b"\n") + 1]
            head, offset = self._head(first[:-1]), len(first)
            for each, length in head.lines:
                if each == name:
                    line = self._disk.read(file, length, offset)[:-1]
                    break
                offset += length
            else:
                raise _ColumnMissing(name, head.count)
        except (OSError, *DECODE_ERRORS) as error:
            raise IndexUnusable(str(error)) from None
        finally:
            self._disk.close(file)
        if not is_intact(line):
            raise IndexUnusable(f"the column {name} is damaged")
        return line

    def _head(self, line: bytes) -> _Header:
        if not is_intact(line):
            raise IndexUnusable("the header is damaged")
        head = _decode_header(line)
        if head.index != INDEX_FORMAT or head.bytes != self._size:
            raise IndexUnusable("it belongs to another segment")
        return head


@contextlib.contextmanager
def _refused_content() -> Iterator[None]:
    """Raise IndexUnusable for an intact line whose content is not that of its column."""
    try:
        yield
    except (ValueError, *DECODE_ERRORS) as error:  # ValueError: an array's unknown type, or part of an item
        raise IndexUnusable(str(error)) from None


def decode_core(line: bytes) -> Columns:
    """Decode the line of the columns that stay in memory.

    Raises IndexUnusable for any other line.
    """
    with _refused_content():
        core = _decode_core(line)
        return Columns(
            ids=_unpack(core.ids),
            starts=_unpack(core.starts),
            statuses=bytearray(core.statuses),
            spaces=CodedColumn(core.spaces.values, _unpack(core.spaces.codes)),
            commands=CodedColumn(core.commands.values, _unpack(core.commands.codes)),
            recovered=_unpack(core.recovered),
            recoverers=_unpack(core.recoverers),
        )


def _pack(values: array[int] | array[float]) -> _StoredArray:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return _StoredArray(values.typecode, values.tobytes())


def _unpack(packed: _StoredArray) -> array[int]:
    values: array[int] = array(packed.type, packed.data)
    _swap_if_big_endian(values)
    return values


def _swap_if_big_endian(values: array[int] | array[float]) -> None:
    if sys.byteorder == "big":
        values.byteswap()
