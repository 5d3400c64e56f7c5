"""The store of a history's sealed files: segments, and the manifest that commits them.

Long work is done in steps (`jobtui.history.work_steps`), so that other threads run in between. One thread at a
time may use it. `remove_leftovers` removes the files that an unfinished seal or archiving left behind.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from jobtui.history.format.archive import (
    ARCHIVE_MANIFEST_NAME,
    RESTORED_MARKER,
    Archives,
    is_archive_name,
    is_unfinished,
)
from jobtui.history.format.codec import SCHEMA, encode, frame_line, is_intact
from jobtui.history.format.disk import Disk, is_unreadable
from jobtui.history.format.index import (
    CODE_OF,
    Columns,
    ColumnSource,
    PartialColumns,
    RecordColumns,
    SegmentIndex,
    build_columns,
    index_lines,
    select_columns,
)
from jobtui.history.format.journal import UNFINISHED_CHANGE, journal_number, list_journals
from jobtui.history.format.manifest import (
    ARCHIVE_DIRECTORY,
    MANIFEST_NAME,
    Manifest,
    ManifestDamaged,
    SegmentEntry,
    load_manifest,
    write_manifest,
)
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.record_finder import read_records
from jobtui.history.format.segment import (
    SEGMENT_FILES,
    UNREADABLE,
    Segment,
    index_name,
    is_records_file,
    records_name,
    scan_segments,
)
from jobtui.history.format.state import State, SupersededRecord, flatten_counts, nest_counts
from jobtui.history.read.reader import TEMPORARY_SUFFIX
from jobtui.history.work_steps import Steps
from jobtui.model import Job

_STEP: Final = 32
"""The number of records that are encoded in one step."""


class CommitUncertain(OSError):
    """A manifest that was renamed, perhaps not durably.

    Nothing may be removed or written from then on.
    """


class SealRequest(msgspec.Struct, frozen=True):
    """Ended jobs to seal, and where the journals continue without them."""

    jobs: tuple[Job, ...]
    journal: int
    seq: int


class SegmentStore:
    """The sealed side of a history that is open for writing."""

    def __init__(self, disk: Disk, directory: Path, state: State, quarantine: Quarantine) -> None:
        self.disk, self.directory, self.state = disk, directory, state
        self._quarantine = quarantine
        self._next_segment = state.manifest.next_segment

    def save_manifest(self, **changes: Any) -> Manifest:
        """Write a manifest with these changes.

        Raises OSError, and CommitUncertain if it may count already.
        """
        before = self.state.manifest
        after = msgspec.structs.replace(
            before,
            generation=before.generation + 1,
            next_id=max(before.next_id, self.state.next_id),
            next_segment=self._next_segment,
            schema=SCHEMA,
            **changes,
        )
        try:
            write_manifest(self.disk, self.directory, after)
        except OSError as error:
            if self._may_be_committed(after):
                raise CommitUncertain(*error.args) from None
            raise
        return after

    def _may_be_committed(self, manifest: Manifest) -> bool:
        try:
            return load_manifest(self.disk, self.directory) == manifest
        except (OSError, ManifestDamaged):
            return True

    def seal(self, seal_request: SealRequest) -> Steps[None]:
        """Seal the ended jobs, then remove older journals. After an OSError nothing has changed."""
        if not seal_request.jobs:
            self._commit(
                self.save_manifest(journal=seal_request.journal, seq=seal_request.seq), self.state.segments
            )
            return
        lines = (frame_line(encode(job)) for job in seal_request.jobs)
        segment = yield from self.write_segment(self.directory, lines, seal_request.jobs)
        self.disk.sync_directory(self.directory)
        with self.state.mutex:
            older = {
                job.id: self.state.superseded[job.id]
                for job in seal_request.jobs
                if job.id in self.state.superseded
            }
        kept = _with_stale(self.state.manifest.segments, older)
        counts = _updated_counts(self.state.manifest.counts, seal_request.jobs, older.values())
        manifest = self.save_manifest(
            journal=seal_request.journal, seq=seal_request.seq, segments=(*kept, segment.entry), counts=counts
        )
        with self.state.mutex:
            for each, entry in zip(self.state.segments, kept, strict=True):
                each.entry = entry
            self.state.apply_manifest(manifest, (*self.state.segments, segment))
            self.state.mark_sealed(seal_request.jobs, segment, seal_request.journal)
        self.remove_old_journals()

    def remove_old_journals(self) -> None:
        """Remove the journals that the manifest no longer needs; one that remains does no harm."""
        for number, path in list_journals(self.disk, self.directory):
            if number < self.state.manifest.journal:
                with contextlib.suppress(OSError):
                    self.disk.remove(path)

    def write_segment(
        self, directory: Path, lines: Iterable[bytes], jobs: Sequence[Job], schema: int = SCHEMA
    ) -> Steps[Segment]:
        """Write framed records in id order, and their index, without syncing the directory.

        Raises OSError.
        """
        pieces = []
        for line in lines:
            pieces.append(line)
            if len(pieces) % _STEP == 0:
                yield
        columns = build_columns(jobs, [*accumulate(map(len, pieces), initial=0)])
        yield
        return (yield from self._write(directory, pieces, columns, RecordColumns(jobs), schema))

    def write_part(
        self,
        directory: Path,
        segment: Segment,
        lines: Sequence[bytes],
        rows: Sequence[int],
        changed: Mapping[int, SupersededRecord] = MappingProxyType({}),
    ) -> Steps[Segment]:
        """Write some records of a segment as a new segment, without syncing the directory.

        Raises OSError.

        Args:
            directory: The directory of the new segment.
            segment: The segment that has the records.
            lines: All its records.
            rows: The row numbers of the records to write.
            changed: Those among them that have newer versions in the journal.
        """
        pieces = [lines[row] + b"\n" for row in rows]
        columns = select_columns(segment.columns, rows, [*accumulate(map(len, pieces), initial=0)])
        for job_id, replaced in changed.items():
            columns.statuses[bisect_left(columns.ids, job_id)] = CODE_OF[replaced.status]
        yield
        part = yield from self._write(
            directory, pieces, columns, PartialColumns(segment, rows), segment.entry.schema
        )
        for job_id in changed:
            part.hide(job_id)
        return part

    def _write(
        self, directory: Path, pieces: Sequence[bytes], columns: Columns, source: ColumnSource, schema: int
    ) -> Steps[Segment]:
        name = self._unused_segment_name(directory)
        parts = []
        for part in index_lines(columns, source):
            parts.append(part)
            yield
        self.disk.create_with(directory / records_name(name), [b"".join(pieces)])
        yield
        size, ids = columns.starts[-1], columns.ids
        SegmentIndex(self.disk, directory / index_name(name), size).write(len(ids), parts)
        entry = SegmentEntry(name, len(ids), ids[0], ids[-1], size, schema)
        segment = Segment(self.disk, directory, entry, self._quarantine)
        segment.set_columns(columns)
        return segment

    def _unused_segment_name(self, directory: Path) -> str:
        """Return the next unused name of a segment.

        An interrupted repair may have left files with the next number.
        """
        while True:
            name = f"seg-{self._next_segment:08d}"
            self._next_segment += 1
            if self.disk.identity(directory / records_name(name)) is None:
                return name

    def _commit(self, manifest: Manifest, segments: tuple[Segment, ...]) -> None:
        self.state.apply_manifest(manifest, segments)
        self.remove_old_journals()


def _with_stale(entries: tuple[SegmentEntry, ...], older: Mapping[int, SupersededRecord]) -> list[SegmentEntry]:
    stale: dict[str, list[int]] = {}
    for job_id, replaced in older.items():
        stale.setdefault(replaced.segment.name, []).append(job_id)
    return [
        msgspec.structs.replace(entry, stale=(*entry.stale, *stale[entry.name]))
        if entry.name in stale
        else entry
        for entry in entries
    ]


def _updated_counts(
    counts: Mapping[str, Mapping[str, int]], jobs: Iterable[Job], older: Iterable[SupersededRecord]
) -> dict[str, dict[str, int]]:
    tally = Counter(flatten_counts(counts))
    tally.update((job.space, job.status) for job in jobs)
    tally.subtract((replaced.space, replaced.status) for replaced in older)
    return nest_counts(tally)


def remove_leftovers(disk: Disk, directory: Path, state: State, quarantine: Quarantine) -> None:
    """Remove files that the manifest does not name, after syncing the directory.

    Raises OSError.

    Their jobs are elsewhere: those of an unfinished segment in the journal, those of an unfinished archive in
    the segments. A file that cannot be removed does no harm. Any other directory among the archives stays: it
    may have been put there by hand. A segment with a record that is nowhere else is moved to the quarantine,
    and so is any segment if damage was found: it may be the only copy.
    """
    manifest = state.manifest
    named = {file(entry.name) for entry in manifest.segments for file in (records_name, index_name)}
    leftovers = [
        name for name in disk.list_names(directory) if name not in named and _is_leftover(name, manifest)
    ]
    archives = [
        name
        for name in disk.list_names(directory / ARCHIVE_DIRECTORY)
        if is_unfinished(name, manifest) or _is_emptied(disk, directory, name, manifest)
    ]
    if leftovers or archives:
        disk.sync_directory(directory)
    is_damaged = any(note.what != UNFINISHED_CHANGE for note in quarantine.notes)
    for name in leftovers:
        with contextlib.suppress(OSError):
            if not is_records_file(name) or not (
                is_damaged or _has_unique_record(disk, directory, name, state)
            ):
                disk.remove(directory / name)
            else:
                quarantine.move_in(name)
    for name in archives:
        if _is_redundant_archive(disk, directory, name, state):
            remove_archive(disk, directory, name)


def _has_unique_record(disk: Disk, directory: Path, name: str, state: State) -> bool:
    """Return whether a segment has a job that is in no journal, segment or archive.

    Raises OSError.
    """
    archives = Archives(disk, directory, Quarantine(disk, directory, write=False))
    for job, _ in read_records(disk.read_file(directory / name)):
        sealed = state.find_sealed(job.id)
        if (
            job.id not in state.recent
            and not (sealed is not None and sealed[0].is_available())
            and archives.find(state.manifest, job.id) is None
        ):
            return True
    return False


def _is_redundant_archive(disk: Disk, directory: Path, name: str, state: State) -> bool:
    """Return whether all records of an archive are also elsewhere in the history.

    Raises OSError.
    """
    path = directory / ARCHIVE_DIRECTORY / name
    if not disk.is_directory(path) or not all(map(_is_archive_file, disk.list_names(path))):
        return False
    aside = Quarantine(disk, directory, write=False)
    try:
        found = scan_segments(disk, path, aside)
        is_read = not any(note.what.startswith(UNREADABLE) for note in aside.notes)
        archived = Archives(disk, directory, aside).all_segments(state.manifest)
        return is_read and all(
            _is_copied_elsewhere(disk, segment, (*state.segments, *archived)) for segment in found
        )
    except OSError as error:
        if not (is_unreadable(error) or isinstance(error, FileNotFoundError)):
            raise
        return False  # an archive that cannot be compared stays


def _is_emptied(disk: Disk, directory: Path, name: str, manifest: Manifest) -> bool:
    """Return whether a directory is an archive whose jobs were all restored."""
    if not is_archive_name(name) or any(entry.name == name for entry in manifest.archives):
        return False
    return disk.identity(directory / ARCHIVE_DIRECTORY / name / RESTORED_MARKER) is not None


def _is_archive_file(name: str) -> bool:
    known = (ARCHIVE_MANIFEST_NAME, ARCHIVE_MANIFEST_NAME + TEMPORARY_SUFFIX, RESTORED_MARKER)
    return SEGMENT_FILES.fullmatch(name) is not None or name in known


def _is_copied_elsewhere(disk: Disk, segment: Segment, sealed: Sequence[Segment]) -> bool:
    """Return whether all intact records of a segment are, byte by byte, in other segments.

    Raises OSError.
    """
    first, last = segment.entry.first, segment.entry.last
    others = [each for each in sealed if each.entry.first <= last and first <= each.entry.last]
    same = disk.identity(segment.path)
    if any(disk.identity(each.path) == same for each in others):
        return True
    held = {line for each in others for line in each.lines()}
    return all(line in held for line in segment.lines() if is_intact(line))


def _is_leftover(name: str, manifest: Manifest) -> bool:
    number = journal_number(name)
    return (
        name == MANIFEST_NAME + TEMPORARY_SUFFIX
        or SEGMENT_FILES.fullmatch(name) is not None
        or (number is not None and number < manifest.journal)
    )


def remove_archive(disk: Disk, directory: Path, name: str) -> None:
    """Remove an archive that the manifest does not name; files that are not an archive's stay."""
    path = directory / ARCHIVE_DIRECTORY / name
    with contextlib.suppress(OSError):
        # the marker last: by it, the next opening knows that the other files may be removed
        for file in sorted(filter(_is_archive_file, disk.list_names(path)), key=RESTORED_MARKER.__eq__):
            disk.remove(path / file)
        disk.remove_directory(path)
