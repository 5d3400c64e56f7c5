"""A sealed segment: ended jobs in id order, a framed record a line, never changed."""

from __future__ import annotations

import contextlib
import errno
import re
import threading
from array import array
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import StoreError
from jobtui.history.format.codec import SCHEMA, is_intact, split_lines, try_decode_job
from jobtui.history.format.disk import Disk, is_unreadable
from jobtui.history.format.index import (
    CODE_OF,
    EPOCH,
    NUMBER_COLUMNS,
    STALE,
    STATUSES,
    TEXT_COLUMNS,
    CodedColumn,
    Columns,
    IndexUnusable,
    RecordColumns,
    SegmentIndex,
    build_columns,
    encode_column,
    from_microseconds,
    hosts_of,
    index_lines,
    read_numbers,
)
from jobtui.history.format.manifest import ManifestDamaged, SegmentEntry, load_manifest
from jobtui.history.format.quarantine import Quarantine
from jobtui.model import Job, Status

UNREADABLE: Final = "it cannot be read"
DAMAGED: Final = "a record is damaged"
_FIRST_RECORD: Final = re.compile(rb'\{"crc":"[0-9a-f]{8}","id":(\d+),')
_FIRST_RECORD_BYTES: Final = 64
"""Enough bytes for the beginning of the first record up to its id."""


def records_name(name: str) -> str:
    """Return the file name of a segment's records."""
    return f"{name}.jsonl"


def index_name(name: str) -> str:
    """Return the file name of a segment's index."""
    return f"{name}.idx.json"


class Segment:
    """A segment, which reads only the needed parts of its files. Any thread.

    A record is stale if a newer version of its job is elsewhere: in a later segment or an archive (its id is in
    `entry.stale`), or in a journal (`pending_changes`). A stale record is not found.
    """

    def __init__(self, disk: Disk, directory: Path, entry: SegmentEntry, quarantine: Quarantine) -> None:
        self.entry = entry
        self.name = entry.name
        self._disk, self._directory, self._quarantine = disk, directory, quarantine
        self._mutex = threading.RLock()
        self._columns: Columns | None = None
        self._index_differs = False  # the columns were built from the records, and the index has other rows
        self._stale: set[int] = set(entry.stale)
        # its own records by id, if the file also has records of other segments
        self._own_lines: dict[int, bytes] | None = None
        self.find_elsewhere: Callable[[int], Job | None] = lambda job_id: None
        """Returns the record of a job that is not where the index says."""

    @cached_property
    def path(self) -> Path:
        """The path of its records, made when it is first needed: there are thousands of segments."""
        return self._directory / records_name(self.name)

    @property
    def file(self) -> str:
        """The path of its records, relative to the history's directory."""
        return self.path.relative_to(self._quarantine.history_directory).as_posix()

    @property
    def _index(self) -> SegmentIndex:
        return SegmentIndex(self._disk, self._index_path, self.entry.bytes)

    @cached_property
    def _index_path(self) -> Path:
        # made once: a sort reads the index of each segment, and making the path takes a tenth of that
        return self._directory / index_name(self.name)

    @property
    def columns(self) -> Columns:
        """The columns that stay in memory, loaded on first use. Raises OSError."""
        return self._columns or self._load()

    @property
    def is_loaded(self) -> bool:
        """Whether the columns are in memory."""
        return self._columns is not None

    def load(self) -> None:
        """Load the columns that stay in memory. Raises OSError."""
        _ = self.columns

    def set_columns(self, columns: Columns) -> None:
        """Set the columns of a segment that was just written."""
        self._columns = columns

    # ---- finding

    def covers(self, job_id: int) -> bool:
        """Return whether the id is between the segment's lowest and highest."""
        return self.entry.first <= job_id <= self.entry.last

    def row_of(self, job_id: int) -> int | None:
        """Return the row of a job, None if it is not here or stale. Raises OSError."""
        row = self._row_of(job_id)
        return None if row is None or self.columns.statuses[row] == STALE else row

    def sealed_row_of(self, job_id: int) -> int | None:
        """Return the row of a job, None if it is not here or has a newer sealed version.

        Raises OSError.
        """
        return None if job_id in self.entry.stale else self._row_of(job_id)

    def _row_of(self, job_id: int) -> int | None:
        return self.columns.row_of(job_id) if self.covers(job_id) else None

    def current_rows(self) -> list[int]:
        """Return the rows of jobs that have no newer version elsewhere. Raises OSError."""
        return [row for row, status in enumerate(self.columns.statuses) if status != STALE]

    def space_and_status(self, row: int) -> tuple[str, Status]:
        """Return the space and the status of the job in a row."""
        columns = self.columns
        return columns.spaces.values[columns.spaces.codes[row]], STATUSES[columns.statuses[row]]

    def hide(self, job_id: int) -> None:
        """Note that a job has a newer version elsewhere, so that this one is not found."""
        with self._mutex:
            self._stale.add(job_id)
            if self._columns is not None:
                self._columns.set_status(job_id, STALE)

    def mark_superseded(self, is_elsewhere: Callable[[int], bool]) -> None:
        """Note in the entry which jobs have a newer sealed version elsewhere. Raises OSError."""
        known = set(self.entry.stale)
        stale = [job_id for job_id in self.columns.ids if job_id not in known and is_elsewhere(job_id)]
        self.entry = msgspec.structs.replace(self.entry, stale=(*self.entry.stale, *stale))
        for job_id in stale:
            self.hide(job_id)

    def pending_changes(self) -> set[int]:
        """Return the ids of jobs that have a newer version which is not sealed."""
        with self._mutex:
            return self._stale.difference(self.entry.stale)

    def unhide(self, job_id: int, status: Status) -> None:
        """Undo `hide` for a job whose newer version is not sealed."""
        with self._mutex:
            self._stale.discard(job_id)
            if self._columns is not None:
                self._columns.set_status(job_id, CODE_OF[status])

    # ---- records

    def job(self, row: int) -> Job:
        """Return the job in a row, with the index's fields if its record cannot be read.

        Raises FileNotFoundError if the segment does not exist (any more), and OSError.
        """
        self.load()
        if self._own_lines is not None:
            job_id = self.columns.ids[row]
            line = self._own_lines.get(job_id)
            job = try_decode_job(line, self.entry.schema) if line is not None else self.find_elsewhere(job_id)
            return job if job is not None else self._from_index(self.columns, row)
        try:
            line = self.line(row)
        except OSError as error:
            if not is_unreadable(error):
                raise
            self._note_unreadable(error)
            return self._from_index(self.columns, row)
        return self._decode_row(row, line)

    def matches_entry(self) -> bool:
        """Return whether size and first record are those of the entry; True if unreadable."""
        return self._has_its_size() and self._begins_with(self.entry.first)

    def is_available(self) -> bool:
        """Return whether its file exists and matches its entry."""
        return self._disk.identity(self.path) is not None and self.matches_entry()

    def _begins_with(self, job_id: int) -> bool:
        """Return whether this job's record is the first one; True if that is unreadable."""
        try:
            file = self._disk.open(self.path)
        except OSError:
            return True
        try:
            found = _FIRST_RECORD.match(self._disk.read(file, _FIRST_RECORD_BYTES, 0))
        except OSError:
            return True
        finally:
            self._disk.close(file)
        return found is None or int(found[1]) == job_id

    def line(self, row: int) -> bytes:
        """Return the bytes of the record in a row, without its newline. Raises OSError."""
        self._refuse_if_mixed()
        starts = self.columns.starts
        file = self._disk.open(self.path)
        try:
            data = self._disk.read(file, starts[row + 1] - starts[row], starts[row])
        finally:
            self._disk.close(file)
        return _first_line(data)

    def lines(self) -> list[bytes]:
        """Return the bytes of all records, without their newlines. Raises OSError."""
        self._refuse_if_mixed()
        data, starts = self._disk.read_file(self.path), self.columns.starts
        return [_first_line(data[start:end]) for start, end in pairwise(starts)]

    def _refuse_if_mixed(self) -> None:
        self.load()
        if self._own_lines is not None:
            raise OSError(
                errno.EBADMSG, "it has records of other segments: a repair separates them", str(self.path)
            )

    def salvage(self, row: int) -> Job:
        """Return a lost record's job with the index's fields, and note it. Raises OSError."""
        self._note_missing()
        if (job := self.find_elsewhere(self.columns.ids[row])) is not None:
            return job
        return self._from_index(self.columns, row)

    def salvage_missing(self, but: Collection[int]) -> list[Job]:
        """Return all jobs except `but` with the fields that the index has; none if it is unusable."""
        columns = self.indexed_columns()
        if columns is None:
            return []
        return [self._from_index(columns, row) for row, job_id in enumerate(columns.ids) if job_id not in but]

    def rebuild_index(self) -> None:
        """Rebuild the index from the records. Raises OSError."""
        with self._mutex:
            self._columns = self._scan_records(None)
            for job_id in self._stale:
                self._columns.set_status(job_id, STALE)

    # ---- columns that are read on demand

    def numbers(self, name: str) -> array[float]:
        """Read one of NUMBER_COLUMNS. Raises OSError."""
        try:
            return read_numbers(self._matching_index(), name, self.columns.commands)
        except IndexUnusable:
            return array("d", map(NUMBER_COLUMNS[name], self._read_all()))

    def hosts(self) -> CodedColumn[tuple[str, ...]]:
        """Read each job's hosts. Raises OSError."""
        try:
            return self._matching_index().hosts()
        except IndexUnusable:
            return encode_column(map(hosts_of, self._read_all()))

    def texts(self, name: str) -> CodedColumn[str]:
        """Read one of TEXT_COLUMNS. Raises OSError."""
        try:
            return self._matching_index().texts(name)
        except IndexUnusable:
            return encode_column(map(TEXT_COLUMNS[name], self._read_all()))

    def index_is_intact(self) -> bool:
        """Return whether the whole index is intact."""
        return self._index.is_whole()

    def _load(self) -> Columns:
        with self._mutex:
            if self._columns is None:
                columns = self.indexed_columns()
                if columns is None or not self._has_its_size() or not self._begins_with(columns.ids[0]):
                    columns = self._scan_records(columns)
                for job_id in self._stale:
                    columns.set_status(job_id, STALE)
                self._columns = columns
            return self._columns

    def indexed_columns(self) -> Columns | None:
        """Return the columns that stay in memory from the index; None if it is unusable."""
        try:
            columns = self._index.core()
        except IndexUnusable:
            return None
        ids, entry = columns.ids, self.entry
        if not ids or (entry.count and (len(ids), ids[0], ids[-1]) != (entry.count, entry.first, entry.last)):
            return None  # it belongs to another segment
        return columns

    def _matching_index(self) -> SegmentIndex:
        """Return the index if it has the rows of the columns. Raises IndexUnusable and OSError."""
        self.load()
        if self._index_differs:
            raise IndexUnusable("the columns have only the records that can be read")
        return self._index

    def _has_its_size(self) -> bool:
        try:
            return self._disk.size_of(self.path) == self.entry.bytes
        except OSError:
            return True

    def _scan_records(self, indexed: Columns | None) -> Columns:
        """Rebuild the columns from the readable records, and note damaged and missing ones."""
        try:
            data = self._disk.read_file(self.path)
        except OSError as error:
            self._note_unreadable(error)
            self._index_differs = True
            return build_columns([], [0])
        jobs, starts = list[Job](), list[int]()
        apart: set[int] = set()
        own, others = set(indexed.ids) if indexed is not None else None, dict[int, bytes]()
        for start, line, whole in split_lines(data):
            job = try_decode_job(line, self.entry.schema) if whole else None
            if job is None:
                self._quarantine.add_in_place(self.file, start, DAMAGED, line)
            elif not self._may_be_own(job.id, own):
                others[job.id] = line
            elif jobs and job.id <= jobs[-1].id:
                apart.add(job.id)  # the columns are searched by bisection, so they must be sorted
            else:
                jobs.append(job)
                starts.append(start)
        if apart:
            what = "records occur twice, or are not in the order of their ids"
            self._quarantine.add(self.file, None, what, jobs=tuple(sorted(apart)))
        if others:
            what = "it has records of other segments"
            self._quarantine.add(self.file, None, what, jobs=tuple(sorted(others)))
            if indexed is not None:
                # the other jobs of the index are searched for elsewhere, or restored from the index
                self._own_lines = {
                    job.id: _first_line(data[start:]) for job, start in zip(jobs, starts, strict=True)
                }
                return indexed
        columns = build_columns(jobs, [*starts, len(data)])
        has_its_size, has_its_count = len(data) == self.entry.bytes, len(jobs) == self.entry.count
        will_rebuild = self._quarantine.can_write and has_its_size and not others
        self._index_differs = not (will_rebuild or (has_its_size and has_its_count and not others))
        if will_rebuild:
            self._write_index(columns, jobs)
        elif not (has_its_size or others):
            lost = sorted(set(indexed.ids).difference(columns.ids)) if indexed is not None else []
            what = f"it has {len(data)} bytes instead of {self.entry.bytes}"
            self._quarantine.add(self.file, None, what, jobs=tuple(lost))
        return columns

    def _may_be_own(self, job_id: int, indexed: Collection[int] | None) -> bool:
        if indexed is not None:
            return job_id in indexed
        return not self.entry.count or self.covers(job_id)

    def _read_all(self) -> list[Job]:
        """Return all jobs of the columns, and write the index again."""
        columns = self.columns
        try:
            jobs = [self._decode_row(row, line) for row, line in enumerate(self.lines())]
        except OSError as error:
            self._note_unreadable(error)
            return [self._from_index(columns, row) for row in range(len(columns.ids))]
        if not self._index_differs:  # otherwise the index still has jobs whose records are gone
            self._write_index(columns, jobs)
        return jobs

    def _write_index(self, columns: Columns, jobs: Sequence[Job]) -> None:
        if self._quarantine.can_write:
            # the sealed statuses, not STALE: if the newer version is in a journal, its replay needs this record
            statuses = bytearray(CODE_OF[job.status] for job in jobs)
            sealed = msgspec.structs.replace(columns, statuses=statuses)
            self._index.write(len(jobs), list(index_lines(sealed, RecordColumns(jobs))))

    def _decode_row(self, row: int, line: bytes) -> Job:
        job = try_decode_job(line, self.entry.schema) if is_intact(line) else None
        columns = self.columns
        job_id = columns.ids[row]
        if job is not None and job.id == job_id:
            return job
        self._quarantine.add_in_place(self.file, columns.starts[row], DAMAGED, line, jobs=(job_id,))
        return self._from_index(columns, row)

    def _note_unreadable(self, error: OSError) -> None:
        """Note that the file is missing or unreadable; raise any other error."""
        if isinstance(error, FileNotFoundError):
            self._note_missing()
        elif not is_unreadable(error):
            raise error
        else:
            self._quarantine.add(self.file, None, f"{UNREADABLE}: {error.strerror or error}")

    def _note_missing(self) -> None:
        if not self._is_in_manifest():
            return
        what = f"the segment is missing: jobs between {self.entry.first} and {self.entry.last} cannot be read"
        self._quarantine.add(self.file, None, what)

    def _is_in_manifest(self) -> bool:
        """Return whether the manifest still names it.

        A reader finds a file missing that was just archived, and any thread one that was just restored.
        """
        history = self._quarantine.history_directory
        is_archived = self._directory != history
        if self._quarantine.can_write and not is_archived:
            return True
        try:
            found = load_manifest(self._disk, history)
        except (ManifestDamaged, StoreError, OSError):
            return True
        if found is None:
            return True
        if is_archived:
            return any(entry.name == self._directory.name for entry in found.archives)
        return any(entry.name == self.name for entry in found.segments)

    def _from_index(self, columns: Columns, row: int) -> Job:
        times: dict[str, datetime | None] = {}
        with contextlib.suppress(IndexUnusable):
            known = self._index if columns is not self._columns else self._matching_index()
            times = {
                name: from_microseconds(known.numbers(name)[row]) for name in ("submitted", "start", "stop")
            }
        status = columns.statuses[row]
        return Job(
            id=columns.ids[row],
            command=columns.commands.values[columns.commands.codes[row]],
            space=columns.spaces.values[columns.spaces.codes[row]],
            submitted=times.get("submitted") or EPOCH,
            status=STATUSES[status] if status != STALE else Status.FAILED,
            start=times.get("start"),
            stop=times.get("stop"),
            reason="the record of this job is damaged: this is what the index knows of it",
        )


def _first_line(data: bytes) -> bytes:
    newline = data.find(b"\n")
    return data if newline < 0 else data[:newline]


SEGMENT_FILE: Final = re.compile(r"(seg-(\d{8,}))\.jsonl")


def scan_segments(disk: Disk, directory: Path, quarantine: Quarantine) -> list[Segment]:
    """Return a directory's readable segments in the order of sealing. Raises OSError."""
    found = []
    for name in disk.list_names(directory):
        if match := SEGMENT_FILE.fullmatch(name):
            file = (directory / name).relative_to(quarantine.history_directory).as_posix()
            try:
                size = disk.size_of(directory / name)
            except FileNotFoundError as error:
                quarantine.add(file, None, f"{UNREADABLE}: {error.strerror}")
                continue
            segment = Segment(disk, directory, SegmentEntry(match[1], 0, 0, 0, size, SCHEMA), quarantine)
            ids = segment.columns.ids
            if ids:
                segment.entry = SegmentEntry(match[1], len(ids), ids[0], ids[-1], size, SCHEMA)
                found.append(segment)
            else:
                quarantine.add(file, None, "no record in it can be read")
    return found


SEGMENT_FILES: Final = re.compile(r"seg-\d{8,}\.(jsonl|idx\.json)")


def is_records_file(name: str) -> bool:
    """Return whether a file name is that of a segment's records, not of its index."""
    return SEGMENT_FILE.fullmatch(name) is not None
