"""The repair of a damaged history, without deleting anything.

Unreadable bytes are copied to `quarantine/`. A lost record is replaced by one with the fields that the index
has. The old file of a segment that is rewritten is moved to `quarantine/`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import StoreError
from jobtui.history.format.archive import (
    ARCHIVE_MANIFEST_NAME,
    ArchiveManifestDamaged,
    current_ids,
    describe_archive,
    load_archive_manifest,
    replace_archive_manifest,
)
from jobtui.history.format.codec import SCHEMA, encode, frame_line, split_lines, try_decode_job
from jobtui.history.format.disk import Disk, resolve_directory
from jobtui.history.format.lock import WriterWatcher, require_ownership
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY, MANIFEST_NAME, ArchiveEntry
from jobtui.history.format.quarantine import QUARANTINE_DIRECTORY, DamageNote, unused_name
from jobtui.history.format.record_finder import RecordFinder
from jobtui.history.format.segment import UNREADABLE, Segment, index_name, records_name
from jobtui.history.format.state import SupersededRecord, nest_counts
from jobtui.history.verify import check_counts, check_segment, find_wrong_types
from jobtui.history.work_steps import run_steps
from jobtui.history.write.archiver import link_or_copy
from jobtui.history.write.store import Limits, Store, make_directories
from jobtui.model import Job, Status
from jobtui.os_errors import describe_os_error

_INDEX_NOT_WRITTEN: Final = "it cannot be rebuilt now; nothing is lost, it only speeds up reading"


def repair(path: Path, disk: Disk | None = None) -> list[str]:
    """Repair the history in `path`; return a line for each repair, none if it was undamaged.

    Raises StoreLocked if a process has it open for writing, and StoreError if the disk fails.
    """
    disk, path = disk or Disk(), resolve_directory(path)
    try:
        require_ownership(disk, path)
        moved = _clear_wrong_types(disk, path)
        store = Store.open(disk, path, Limits())
        try:
            for note in moved:
                store.quarantine.remember(note)
            notes = map(str, (*moved, *store.quarantine.notes))
            return [*notes, *_Repair(disk, path, store).run()]
        finally:
            store.close()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StoreError(
            f"The history in {path} cannot be repaired: {where}{describe_os_error(error, path)}"
        ) from error


def _clear_wrong_types(disk: Disk, path: Path) -> list[DamageNote]:
    """Move entries of a wrong type, such as links, from the history to the quarantine.

    Raises OSError.
    """
    watcher = WriterWatcher(disk, path)
    try:
        found = [] if watcher.has_writer() else find_wrong_types(disk, path)
    finally:
        watcher.close()
    moved = []
    # first the one in the place of the quarantine, to which the others are moved
    for note in sorted(found, key=lambda note: note.file != QUARANTINE_DIRECTORY):
        into = path if note.file == QUARANTINE_DIRECTORY else path / QUARANTINE_DIRECTORY
        if into != path:
            make_directories(disk, into)
        name = unused_name(Path(note.file).name, {*disk.list_names(into), QUARANTINE_DIRECTORY})
        disk.rename(path / note.file, into / name)
        disk.sync_directory(into)
        moved.append(msgspec.structs.replace(note, kept=(into / name).relative_to(path).as_posix()))
    return moved


class _Repair:
    """The repair of the sealed files; opening for writing has repaired journal and manifest."""

    def __init__(self, disk: Disk, path: Path, store: Store) -> None:
        self._disk, self._path, self._store = disk, path, store
        self._report: list[str] = []
        self._replaced_files: dict[Path, str] = {}
        self._found_elsewhere: dict[int, tuple[Job, bytes]] = {}

    def run(self) -> list[str]:
        state = self._store.state
        before = self._store.archives.all_segments(state.manifest)
        # before anything is moved
        self._found_elsewhere = RecordFinder(self._disk, self._path, (*state.segments, *before)).records()
        sealed = [self._repair_segment(segment, self._path) for segment in state.segments]
        left = [segment for segment in sealed if segment is not None]
        found = (*state.manifest.archives, *self._readmit_archives(left))
        archives = [made for archive in found if (made := self._repair_archive(archive)) is not None]
        left += self._collect_strays(left, archives)
        archives = self._remove_duplicates(left, archives)
        archived = self._store.archives.all_segments(state.manifest)
        if (
            self._replaced_files
            or tuple(segment.entry for segment in left) != state.manifest.segments
            or archives != list(state.manifest.archives)
            or any(check_counts(state, archived))
        ):
            self._copy_to_quarantine()
            self._save_manifest(left, archives)
            self._remove_replaced()
        return self._report

    def _collect_strays(self, sealed: Sequence[Segment], archives: Sequence[ArchiveEntry]) -> list[Segment]:
        """Write the records that are in no segment as a new one, and return it, if there are any."""
        archived = (segment for archive in archives for segment in self._store.archives.segments(archive))
        known = set(self._store.state.recent)
        known.update(job_id for segment in (*sealed, *archived) for job_id in segment.columns.ids)
        rows = [self._found_elsewhere[job_id] for job_id in sorted(self._found_elsewhere.keys() - known)]
        if not rows:
            return []
        jobs = [job for job, _ in rows]
        steps = self._store.segments.write_segment(self._path, [line for _, line in rows], jobs)
        made = run_steps(steps)
        self._report.append(f"{made.file}: created from {len(rows)} records that were found in other places")
        return [made]

    def _remove_duplicates(
        self, sealed: Sequence[Segment], archives: Sequence[ArchiveEntry]
    ) -> list[ArchiveEntry]:
        """Hide duplicates.

        An archive's record counts before a segment's, and a later one before an earlier one.
        """
        known, found = set[int](), list[ArchiveEntry]()
        for archive in archives:
            segments = self._store.archives.segments(archive)
            if self._hide_duplicates(segments, known):
                path = self._path / ARCHIVE_DIRECTORY / archive.name
                replace_archive_manifest(self._disk, path, SCHEMA, [segment.entry for segment in segments])
                self._store.archives.invalidate(archive)
                archive = describe_archive(archive.name, segments) or msgspec.structs.replace(archive, count=0)
            found.append(archive)
        self._hide_duplicates([*reversed(sealed)], known)
        return found

    def _hide_duplicates(self, segments: Sequence[Segment], known: set[int]) -> bool:
        is_twice = False
        for segment in segments:
            ids = {segment.columns.ids[row] for row in segment.current_rows()}
            if twice := sorted(ids & known):
                segment.mark_superseded(known.__contains__)
                what = f"{len(twice)} jobs are also elsewhere, and are ignored here"
                self._report.append(f"{segment.file}: {what}")
                is_twice = True
            known |= ids
        return is_twice

    def _repair_segment(self, segment: Segment, directory: Path) -> Segment | None:
        """Return the segment, or one that replaces it; None if nothing is left of it."""
        notes = check_segment(self._disk, segment)
        if not notes:
            return segment
        if notes[0].what.startswith(UNREADABLE):
            self._report.append(f"{notes[0]}; it is left unchanged")
            return segment
        index_file = segment.file.replace(records_name(segment.name), index_name(segment.name))
        if all(note.file == index_file for note in notes):
            segment.rebuild_index()
            is_made = segment.index_is_intact()
            self._report.append(
                f"{index_file}: {'rebuilt from the records' if is_made else _INDEX_NOT_WRITTEN}"
            )
            return segment
        for note in notes:
            kept = self._quarantine_name(self._path / note.file)
            self._store.quarantine.remember(msgspec.structs.replace(note, kept=kept))
        whole = self._intact_records(segment)
        salvaged = segment.salvage_missing(whole.keys())
        for name in (records_name, index_name):
            self._quarantine_name(directory / name(segment.name))
        if not whole and not salvaged:
            self._report.append(f"{segment.file}: nothing in it can be read; the manifest no longer names it")
            self._move_superseded(segment, None)
            return None
        rows = sorted(
            [*whole.values(), *((job, frame_line(encode(job))) for job in salvaged)], key=lambda row: row[0].id
        )
        steps = self._store.segments.write_segment(
            directory, [line for _, line in rows], [job for job, _ in rows], segment.entry.schema
        )
        made = run_steps(steps)
        stale = tuple(job_id for job_id in segment.entry.stale if made.row_of(job_id) is not None)
        made.entry = msgspec.structs.replace(made.entry, stale=stale)
        for job_id in stale:
            made.hide(job_id)
        self._move_superseded(segment, made)
        self._report.append(
            f"{segment.file}: rewritten as {made.file}, with {len(whole)} unchanged records "
            f"and {len(salvaged)} from the index only; the old file is in {QUARANTINE_DIRECTORY}"
        )
        return made

    def _move_superseded(self, segment: Segment, made: Segment | None) -> None:
        """Point the newer versions in the journal to the segment that replaces this one, if any."""
        replaced = self._store.state.superseded
        for job_id in segment.pending_changes():
            row = made.row_of(job_id) if made is not None else None
            if made is None or row is None:
                replaced.pop(job_id, None)
            else:
                replaced[job_id] = SupersededRecord(made, *made.space_and_status(row))
                made.hide(job_id)

    def _intact_records(self, segment: Segment) -> dict[int, tuple[Job, bytes]]:
        try:
            data = self._disk.read_file(segment.path)
        except FileNotFoundError:
            data = b""
        found = {}
        foreign = self._is_foreign_to(segment)
        for _, line, whole in split_lines(data):
            job = try_decode_job(line, segment.entry.schema) if whole else None
            if job is not None and not foreign(job.id):
                found[job.id] = (job, line + b"\n")
        columns = segment.indexed_columns()
        for job_id in columns.ids if columns is not None else ():
            if job_id not in found and job_id in self._found_elsewhere:
                found[job_id] = self._found_elsewhere[job_id]
        return found

    def _is_foreign_to(self, segment: Segment) -> Callable[[int], bool]:
        """Return a function that returns whether a job belongs to another segment.

        The file of another segment may have replaced this one's.
        """
        columns = segment.indexed_columns()
        if columns is not None:
            own = set(columns.ids)
            return lambda job_id: job_id not in own
        state = self._store.state
        others = (*state.segments, *self._store.archives.all_segments(state.manifest))
        elsewhere = {
            job_id
            for other in others
            if other is not segment
            for job_id in set(other.columns.ids).difference(other.entry.stale)
        }
        return elsewhere.difference(segment.entry.stale).__contains__

    def _repair_archive(self, archive: ArchiveEntry) -> ArchiveEntry | None:
        """Return the archive's entry from now on, None if it is missing."""
        path, name = self._path / ARCHIVE_DIRECTORY / archive.name, f"{ARCHIVE_DIRECTORY}/{archive.name}"
        before = self._store.archives.segments(archive)
        has_manifest = self._has_manifest(archive)
        if not before and not has_manifest:
            self._report.append(
                f"{name}: it is missing with jobs {archive.first} to {archive.last}, and the manifest no "
                "longer names it; if you put it back, a repair adds it again"
            )
            return None
        if not has_manifest:
            known = self._ids_outside(archive)
            for segment in before:
                segment.mark_superseded(known.__contains__)
        after = [each for segment in before if (each := self._repair_segment(segment, path)) is not None]
        if list(before) == after and has_manifest:
            return archive
        self._disk.sync_directory(path)
        replace_archive_manifest(self._disk, path, SCHEMA, [segment.entry for segment in after])
        if not has_manifest:
            self._report.append(f"{name}/{ARCHIVE_MANIFEST_NAME}: rebuilt from the segments")
        self._store.archives.invalidate(archive)
        return msgspec.structs.replace(archive, count=len([*current_ids(after)]))

    def _ids_outside(self, archive: ArchiveEntry) -> set[int]:
        """Return the ids of all jobs outside the archive."""
        state = self._store.state
        others = (each for each in state.manifest.archives if each is not archive)
        archived = (segment for each in others for segment in self._store.archives.segments(each))
        return {*state.recent, *current_ids((*state.segments, *archived))}

    def _has_manifest(self, archive: ArchiveEntry) -> bool:
        """Return whether the archive's own manifest can be read."""
        try:
            load_archive_manifest(self._disk, self._path, archive.name)
        except (FileNotFoundError, NotADirectoryError, ArchiveManifestDamaged):
            return False
        except OSError as error:
            file = f"{ARCHIVE_DIRECTORY}/{archive.name}/{ARCHIVE_MANIFEST_NAME}"
            self._report.append(f"{file}: {UNREADABLE}: {error.strerror or error}; it is left unchanged")
        return True

    def _readmit_archives(self, sealed: Sequence[Segment]) -> Iterator[ArchiveEntry]:
        """Add the archives that the manifest does not name, and yield them.

        A copy is moved to the quarantine.
        """
        manifest, archives = self._store.state.manifest, self._store.archives
        named = {entry.name for entry in manifest.archives}
        known = {*self._store.state.recent, *current_ids((*sealed, *archives.all_segments(manifest)))}
        for name in self._disk.list_names(self._path / ARCHIVE_DIRECTORY):
            path = self._path / ARCHIVE_DIRECTORY / name
            if name in named or not self._disk.is_directory(path):
                continue
            found = archives.segments(ArchiveEntry(name, 0, 0, 0, 0, ()))
            for segment in found:
                segment.mark_superseded(known.__contains__)
            entry = describe_archive(name, found)
            if entry is not None:
                known.update(current_ids(found))
                replace_archive_manifest(self._disk, path, SCHEMA, [segment.entry for segment in found])
                self._report.append(f"{ARCHIVE_DIRECTORY}/{name}: added again, with {entry.count} jobs")
                yield entry
            elif found:
                kept = self._quarantine_name(path)
                self._report.append(
                    f"{ARCHIVE_DIRECTORY}/{name}: its jobs are also elsewhere; it was moved to {kept}"
                )

    def _save_manifest(self, segments: Sequence[Segment], archives: Sequence[ArchiveEntry]) -> None:
        """Save a manifest with these segments and archives, and their counts."""
        state, tally = self._store.state, Counter[tuple[str, Status]]()
        for segment in segments:
            tally.update(map(segment.space_and_status, segment.current_rows()))
        tally.update((replaced.space, replaced.status) for replaced in state.superseded.values())
        self._disk.sync_directory(self._path)
        manifest = self._store.segments.save_manifest(
            segments=tuple(segment.entry for segment in segments),
            archives=tuple(archives),
            counts=nest_counts(tally),
        )
        state.apply_manifest(manifest, tuple(segments))
        self._report.append(f"{MANIFEST_NAME}: {sum(tally.values())} sealed jobs are named and counted")

    def _quarantine_name(self, old: Path) -> str:
        """Return the file's future name in the quarantine, "" if there is no file."""
        if old not in self._replaced_files and self._disk.identity(old) is not None:
            taken = {*self._disk.list_names(self._path / QUARANTINE_DIRECTORY), *self._replaced_files.values()}
            self._replaced_files[old] = unused_name(old.name, taken)
        return f"{QUARANTINE_DIRECTORY}/{self._replaced_files[old]}" if old in self._replaced_files else ""

    def _copy_to_quarantine(self) -> None:
        """Link the replaced files into the quarantine, before the manifest stops naming them."""
        kept = self._path / QUARANTINE_DIRECTORY
        make_directories(self._disk, kept)
        for old, name in self._replaced_files.items():
            if not self._disk.is_directory(old):
                with contextlib.suppress(FileNotFoundError):
                    link_or_copy(self._disk, old, kept / name)
        self._disk.sync_directory(kept)

    def _remove_replaced(self) -> None:
        kept = self._path / QUARANTINE_DIRECTORY
        for old, name in self._replaced_files.items():
            with contextlib.suppress(FileNotFoundError):
                if self._disk.is_directory(old):
                    self._disk.rename(old, kept / name)
                else:
                    self._disk.remove(old)
        self._disk.sync_directory(kept)
