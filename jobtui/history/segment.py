"""A sealed segment: ended jobs in id order, a framed record a line, never changed after it was written."""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec

from jobtui.history import index
from jobtui.history.columns import NUMBERS, STALE, STATUSES, Coded, Columns, coded, hosts_of, reason_of
from jobtui.history.framing import is_whole, lines
from jobtui.history.io import Disk
from jobtui.history.manifest import SegmentEntry
from jobtui.history.quarantine import Quarantine
from jobtui.history.records import decode_job
from jobtui.model import Job, Status


def records_name(name: str) -> str:
    """The file of a segment's records."""
    return f"{name}.jsonl"


def index_name(name: str) -> str:
    """The file of a segment's index."""
    return f"{name}.idx.json"


class Segment:
    """A segment that is looked into as much as is asked for, and no more."""

    def __init__(self, disk: Disk, directory: Path, entry: SegmentEntry, quarantine: Quarantine) -> None:
        self.entry = entry
        self.name = entry.name
        self._disk, self._directory, self._quarantine = disk, directory, quarantine
        self._columns: Columns | None = None
        self._stale: set[int] = set(entry.stale)

    @property
    def loaded(self) -> bool:
        """Whether its columns are in memory."""
        return self._columns is not None

    @property
    def columns(self) -> Columns:
        """The columns that stay in memory, read or made now if they are not there yet. Raises OSError."""
        if self._columns is None:
            try:
                columns = self._index().core()
            except index.IndexUnusableError:
                self._rebuilt()
                return self.columns
            for job_id in self._stale:
                _make_stale(columns, job_id)
            self._columns = columns
        return self._columns

    def adopt(self, columns: Columns) -> None:
        """Take the columns that were made when the segment was written."""
        self._columns = columns

    def covers(self, job_id: int) -> bool:
        """Whether the id is between the lowest and the highest here."""
        return self.entry.first <= job_id <= self.entry.last

    def place_of(self, job_id: int) -> int | None:
        """Where the job's record is, None where it is not here or a newer one replaced it."""
        if not self.covers(job_id):
            return None
        columns = self.columns
        place = bisect_left(columns.ids, job_id)
        if place == len(columns.ids) or columns.ids[place] != job_id or columns.statuses[place] == STALE:
            return None
        return place

    def present(self) -> list[int]:
        """The places of the records that no newer one replaced. Raises OSError."""
        return [place for place, status in enumerate(self.columns.statuses) if status != STALE]

    def job(self, place: int) -> Job:
        """The record at a place; what the index knows of it where it is damaged. Raises OSError."""
        return self._decoded(place, self.line(place))

    def summary(self, place: int) -> tuple[str, Status]:
        """The space and the status of the job at a place, as it is counted."""
        columns = self.columns
        return columns.spaces.values[columns.spaces.codes[place]], STATUSES[columns.statuses[place]]

    def line(self, place: int) -> bytes:
        """The bytes of the record at a place, without its newline. Raises OSError."""
        starts = self.columns.starts
        file = self._disk.open(self._directory / records_name(self.name))
        try:
            data = self._disk.read(file, starts[place + 1] - starts[place], starts[place])
        finally:
            self._disk.close(file)
        return _first_line(data).removesuffix(b"\n")

    def records(self) -> tuple[list[bytes], list[Job]]:
        """All records: their lines with the newline, as they lie there, and the jobs. Raises OSError."""
        data, starts = self._disk.read_whole(self._directory / self._file), self.columns.starts
        found = [_first_line(data[start:end]) for start, end in pairwise(starts)]
        return found, [self._decoded(place, line[:-1]) for place, line in enumerate(found)]

    def replaced(self, job_id: int) -> None:
        """A newer version of this job is known elsewhere: this one is not to be found any more."""
        self._stale.add(job_id)
        if self._columns is not None:
            _make_stale(self._columns, job_id)

    def as_sealed(self) -> None:
        """Forget what was said of newer versions that are not sealed themselves."""
        self._stale = set(self.entry.stale)
        self._columns = None

    def numbers(self, name: str) -> array[float]:
        """A column of numbers (columns.NUMBERS), read now. Raises OSError."""
        try:
            return self._index().numbers(name)
        except index.IndexUnusableError:
            return array("d", map(NUMBERS[name], self._rebuilt()))

    def hosts(self) -> Coded[tuple[str, ...]]:
        """Each job's hosts, read now. Raises OSError."""
        try:
            return self._index().hosts()
        except index.IndexUnusableError:
            return coded(map(hosts_of, self._rebuilt()))

    def reasons(self) -> Coded[str]:
        """Each job's reasons, read now. Raises OSError."""
        try:
            return self._index().reasons()
        except index.IndexUnusableError:
            return coded(map(reason_of, self._rebuilt()))

    @property
    def _file(self) -> str:
        return records_name(self.name)

    def _index(self) -> index.Index:
        return index.Index(self._disk, self._directory / index_name(self.name), self.entry.bytes)

    def _rebuilt(self) -> list[Job]:
        """The jobs, read from the records; the index is made again where the history may be written."""
        jobs, starts = self._read()
        columns = index.columns_of(jobs, starts)
        if self._quarantine.writes:
            path = self._directory / index_name(self.name)
            parts = list(index.index_lines(columns, jobs))
            index.write_index(self._disk, path, self.entry.bytes, len(jobs), parts)
        for job_id in self._stale:
            _make_stale(columns, job_id)
        self._columns = columns
        return jobs

    def _read(self) -> tuple[list[Job], list[int]]:
        data = self._disk.read_whole(self._directory / self._file)
        found: list[tuple[Job, int]] = []
        for start, line, whole in lines(data):
            try:
                if whole:
                    found.append((decode_job(line, self.entry.schema), start))
                    continue
            except msgspec.ValidationError:
                pass
            self._quarantine.add(self._file, start, "a record is damaged", line)
        return [job for job, _ in found], [*(start for _, start in found), len(data)]

    def _decoded(self, place: int, line: bytes) -> Job:
        if is_whole(line):
            with contextlib.suppress(msgspec.ValidationError):
                return decode_job(line, self.entry.schema)
        columns = self.columns
        job_id, start = columns.ids[place], columns.starts[place]
        self._quarantine.add(self._file, start, f"the record of job {job_id} is damaged", line, jobs=(job_id,))
        return self._remains(place)

    def _remains(self, place: int) -> Job:
        columns = self.columns
        times = {name: _moment(self.numbers(name)[place]) for name in ("submitted", "start", "stop")}
        return Job(
            id=columns.ids[place],
            command=columns.commands.values[columns.commands.codes[place]],
            space=columns.spaces.values[columns.spaces.codes[place]],
            submitted=times["submitted"] or datetime.fromtimestamp(0, UTC),
            status=STATUSES[columns.statuses[place]],
            start=times["start"],
            stop=times["stop"],
            reason="the record of this job is damaged: this is what the index still knows of it",
        )


def _first_line(data: bytes) -> bytes:
    newline = data.find(b"\n")
    return data if newline < 0 else data[: newline + 1]


def _make_stale(columns: Columns, job_id: int) -> None:
    place = bisect_left(columns.ids, job_id)
    if place < len(columns.ids) and columns.ids[place] == job_id:
        columns.statuses[place] = STALE


def _moment(value: float) -> datetime | None:
    return None if value < 0 else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=value)
