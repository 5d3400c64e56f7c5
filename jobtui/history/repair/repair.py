"""Making a damaged history whole again, without throwing anything away.

What can't be read is copied to `quarantine/`; what the index still knows of a job takes the place of its
record; a segment that is written anew keeps its old file in `quarantine/`, too.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import StoreError
from jobtui.history.format.archive import NAME as CONTENTS
from jobtui.history.format.archive import ContentsDamagedError, contents, entry_of, ids_of, put_contents
from jobtui.history.format.codec import SCHEMA, encode, framed, lines
from jobtui.history.format.damage import DamageNote
from jobtui.history.format.disk import Disk, real_path
from jobtui.history.format.lock import WriterWatcher, must_be_own
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY as ARCHIVE
from jobtui.history.format.manifest import NAME as MANIFEST
from jobtui.history.format.manifest import ArchiveEntry
from jobtui.history.format.quarantine import DIRECTORY as QUARANTINE
from jobtui.history.format.quarantine import free
from jobtui.history.format.record_finder import Scattered
from jobtui.history.format.segment import UNREADABLE, Segment, index_name, records_name
from jobtui.history.format.state import SupersededRecord, nested
from jobtui.history.repair.verify import damage_of, in_the_way, miscounts, whole_job
from jobtui.history.steps import finished
from jobtui.history.write.archiver import give_second_name
from jobtui.history.write.store import Limits, Store, make
from jobtui.model import Job, Status
from jobtui.os_errors import explain

_NOT_MADE: Final = "it can't be made again, and the records tell all"


def repair(path: Path, disk: Disk | None = None) -> list[str]:
    """Make the history in `path` whole; returns what was done, a line each. Nothing: it was whole.

    Raises StoreLocked where a process has it open for writing, and StoreError where the disk fails.
    """
    disk, path = disk or Disk(), real_path(path)
    try:
        must_be_own(disk, path)
        moved = _cleared(disk, path)
        store = Store.open(disk, path, Limits())
        try:
            for note in moved:
                store.quarantine.remember(note)
            notes = map(str, (*moved, *store.quarantine.notes))
            return [*notes, *_Repair(disk, path, store).everything()]
        finally:
            store.close()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StoreError(f"The history in {path} can't be repaired: {where}{explain(error, path)}") from error


def _cleared(disk: Disk, path: Path) -> list[DamageNote]:
    """Put away what stands where a file or a directory of the history belongs. Raises OSError."""
    watch = WriterWatcher(disk, path)
    try:
        found = [] if watch.has_writer() else in_the_way(disk, path)
    finally:
        watch.close()
    moved = []
    # the quarantine's own place first: the others are put there
    for note in sorted(found, key=lambda note: note.file != QUARANTINE):
        into = path if note.file == QUARANTINE else path / QUARANTINE
        if into != path:
            make(disk, into)
        name = free(Path(note.file).name, {*disk.names(into), QUARANTINE})
        disk.rename(path / note.file, into / name)
        disk.sync_directory(into)
        moved.append(msgspec.structs.replace(note, kept=(into / name).relative_to(path).as_posix()))
    return moved


class _Repair:
    """Mends what is sealed; opening the history for writing has mended its journal and its manifest."""

    def __init__(self, disk: Disk, path: Path, store: Store) -> None:
        self._disk, self._path, self._store = disk, path, store
        self._said: list[str] = []
        self._old: dict[Path, str] = {}
        self._scattered: dict[int, tuple[Job, bytes]] = {}

    def everything(self) -> list[str]:
        state = self._store.state
        before = self._store.archives.all_segments(state.manifest)
        # before anything is moved
        self._scattered = Scattered(self._disk, self._path, (*state.segments, *before)).records()
        sealed = [self._mended(segment, self._path) for segment in state.segments]
        left = [segment for segment in sealed if segment is not None]
        found = (*state.manifest.archives, *self._readmitted(left))
        archives = [made for archive in found if (made := self._mended_archive(archive)) is not None]
        left += self._taken_in(left, archives)
        archives = self._each_once(left, archives)
        archived = self._store.archives.all_segments(state.manifest)
        if (
            self._old
            or left != list(state.segments)
            or archives != list(state.manifest.archives)
            or any(miscounts(state, archived))
        ):
            self._keep()
            self._save(left, archives)
            self._put_away()
        return self._said

    def _taken_in(self, sealed: Sequence[Segment], archives: Sequence[ArchiveEntry]) -> list[Segment]:
        """A segment of the records that are nowhere else, if there are any."""
        archived = (segment for archive in archives for segment in self._store.archives.segments(archive))
        known = set(self._store.state.recent)
        known.update(job_id for segment in (*sealed, *archived) for job_id in segment.columns.ids)
        rows = [self._scattered[job_id] for job_id in sorted(self._scattered.keys() - known)]
        if not rows:
            return []
        jobs = [job for job, _ in rows]
        steps = self._store.vault.write_segment(self._path, [line for _, line in rows], jobs)
        made = finished(steps)
        self._said.append(f"{made.file}: made of {len(rows)} records that were found in other places")
        return [made]

    def _each_once(self, sealed: Sequence[Segment], archives: Sequence[ArchiveEntry]) -> list[ArchiveEntry]:
        """Leave out what is there twice: an archive's record counts before a segment's, and a later one's."""
        known, found = set[int](), list[ArchiveEntry]()
        for archive in archives:
            segments = self._store.archives.segments(archive)
            if self._leave_out(segments, known):
                place = self._path / ARCHIVE / archive.name
                put_contents(self._disk, place, SCHEMA, [segment.entry for segment in segments])
                self._store.archives.forget(archive)
                archive = entry_of(archive.name, segments) or msgspec.structs.replace(archive, count=0)
            found.append(archive)
        self._leave_out([*reversed(sealed)], known)
        return found

    def _leave_out(self, segments: Sequence[Segment], known: set[int]) -> bool:
        is_twice = False
        for segment in segments:
            ids = {segment.columns.ids[place] for place in segment.present()}
            if twice := sorted(ids & known):
                segment.leave_out(known.__contains__)
                what = f"{len(twice)} jobs are elsewhere, too, and left out here"
                self._said.append(f"{segment.file}: {what}")
                is_twice = True
            known |= ids
        return is_twice

    def _mended(self, segment: Segment, directory: Path) -> Segment | None:
        """The segment, or another in its place; None where nothing is left of it."""
        notes = damage_of(self._disk, segment)
        if not notes:
            return segment
        if notes[0].what.startswith(UNREADABLE):
            self._said.append(f"{notes[0]}; it is left as it is")
            return segment
        index_file = segment.file.replace(records_name(segment.name), index_name(segment.name))
        if all(note.file == index_file for note in notes):
            segment.index_again()
            is_made = segment.indexed_well()
            self._said.append(f"{index_file}: {'made again from the records' if is_made else _NOT_MADE}")
            return segment
        for note in notes:
            kept = self._place_of(self._path / note.file)
            self._store.quarantine.remember(msgspec.structs.replace(note, kept=kept))
        whole = self._whole(segment)
        left = segment.left_in_index(whole.keys())
        for name in (records_name, index_name):
            self._place_of(directory / name(segment.name))
        if not whole and not left:
            self._said.append(f"{segment.file}: nothing of it can be read, and it is not looked for any more")
            self._carry_over(segment, None)
            return None
        rows = sorted(
            [*whole.values(), *((job, framed(encode(job))) for job in left)], key=lambda row: row[0].id
        )
        steps = self._store.vault.write_segment(
            directory, [line for _, line in rows], [job for job, _ in rows], segment.entry.schema
        )
        made = finished(steps)
        stale = tuple(job_id for job_id in segment.entry.stale if made.place_of(job_id) is not None)
        made.entry = msgspec.structs.replace(made.entry, stale=stale)
        for job_id in stale:
            made.replaced(job_id)
        self._carry_over(segment, made)
        self._said.append(
            f"{segment.file}: written anew as {made.file}, with {len(whole)} records as they were "
            f"and {len(left)} that only the index knew; the old file is kept in {QUARANTINE}"
        )
        return made

    def _carry_over(self, segment: Segment, made: Segment | None) -> None:
        """What the journal has newer versions of is in another segment now, or nowhere."""
        replaced = self._store.state.replaced
        for job_id in segment.changed():
            place = made.place_of(job_id) if made is not None else None
            if made is None or place is None:
                replaced.pop(job_id, None)
            else:
                replaced[job_id] = SupersededRecord(made, *made.summary(place))
                made.replaced(job_id)

    def _whole(self, segment: Segment) -> dict[int, tuple[Job, bytes]]:
        try:
            data = self._disk.read_whole(segment.path)
        except FileNotFoundError:
            data = b""
        found = {}
        foreign = self._foreign_to(segment)
        for _, line, whole in lines(data):
            job = whole_job(line, segment.entry.schema) if whole else None
            if job is not None and not foreign(job.id):
                found[job.id] = (job, line + b"\n")
        columns = segment.indexed()
        for job_id in columns.ids if columns is not None else ():
            if job_id not in found and job_id in self._scattered:
                found[job_id] = self._scattered[job_id]
        return found

    def _foreign_to(self, segment: Segment) -> Callable[[int], bool]:
        """Whether a record is another segment's, should that one's file have been put in this one's place."""
        columns = segment.indexed()
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

    def _mended_archive(self, archive: ArchiveEntry) -> ArchiveEntry | None:
        """The archive as it is named from now on; None where it is gone."""
        place, name = self._path / ARCHIVE / archive.name, f"{ARCHIVE}/{archive.name}"
        before = self._store.archives.segments(archive)
        told = self._is_told(archive)
        if not before and not told:
            self._said.append(
                f"{name}: it is gone with jobs {archive.first} to {archive.last}, and not looked for any more; "
                "once it is back there, a repair takes it in again"
            )
            return None
        if not told:
            known = self._ids_but(archive)
            for segment in before:
                segment.leave_out(known.__contains__)
        after = [each for segment in before if (each := self._mended(segment, place)) is not None]
        if list(before) == after and told:
            return archive
        self._disk.sync_directory(place)
        put_contents(self._disk, place, SCHEMA, [segment.entry for segment in after])
        if not told:
            self._said.append(f"{name}/{CONTENTS}: made again from the segments")
        self._store.archives.forget(archive)
        return msgspec.structs.replace(archive, count=len([*ids_of(after)]))

    def _ids_but(self, archive: ArchiveEntry) -> set[int]:
        """The ids of all jobs that are somewhere else."""
        state = self._store.state
        others = (each for each in state.manifest.archives if each is not archive)
        archived = (segment for each in others for segment in self._store.archives.segments(each))
        return {*state.recent, *ids_of((*state.segments, *archived))}

    def _is_told(self, archive: ArchiveEntry) -> bool:
        """Whether the archive's own manifest can be read."""
        try:
            contents(self._disk, self._path, archive.name)
        except (FileNotFoundError, NotADirectoryError, ContentsDamagedError):
            return False
        except OSError as error:
            file = f"{ARCHIVE}/{archive.name}/{CONTENTS}"
            self._said.append(f"{file}: {UNREADABLE}: {error.strerror or error}; it is left as it is")
        return True

    def _readmitted(self, sealed: Sequence[Segment]) -> Iterator[ArchiveEntry]:
        """Archives that the manifest does not name, with what is nowhere else; copies are put away."""
        manifest, archives = self._store.state.manifest, self._store.archives
        named = {entry.name for entry in manifest.archives}
        known = {*self._store.state.recent, *ids_of((*sealed, *archives.all_segments(manifest)))}
        for name in self._disk.names(self._path / ARCHIVE):
            place = self._path / ARCHIVE / name
            if name in named or not self._disk.is_directory(place):
                continue
            found = archives.segments(ArchiveEntry(name, 0, 0, 0, 0, ()))
            for segment in found:
                segment.leave_out(known.__contains__)
            entry = entry_of(name, found)
            if entry is not None:
                known.update(ids_of(found))
                put_contents(self._disk, place, SCHEMA, [segment.entry for segment in found])
                self._said.append(f"{ARCHIVE}/{name}: taken in again, with {entry.count} jobs")
                yield entry
            elif found:
                kept = self._place_of(place)
                self._said.append(f"{ARCHIVE}/{name}: its jobs are elsewhere, too; it is kept in {kept}")

    def _save(self, segments: Sequence[Segment], archives: Sequence[ArchiveEntry]) -> None:
        """Have the manifest name what there is now, and count it."""
        state, tally = self._store.state, Counter[tuple[str, Status]]()
        for segment in segments:
            tally.update(map(segment.summary, segment.present()))
        tally.update((replaced.space, replaced.status) for replaced in state.replaced.values())
        self._disk.sync_directory(self._path)
        manifest = self._store.vault.save(
            segments=tuple(segment.entry for segment in segments),
            archives=tuple(archives),
            counts=nested(tally),
        )
        state.settle(manifest, tuple(segments))
        self._said.append(f"{MANIFEST}: {sum(tally.values())} sealed jobs are named and counted")

    def _place_of(self, old: Path) -> str:
        """Where a file is put away, relative to the history's directory; "" where there is no such file."""
        if old not in self._old and self._disk.identity(old) is not None:
            taken = {*self._disk.names(self._path / QUARANTINE), *self._old.values()}
            self._old[old] = free(old.name, taken)
        return f"{QUARANTINE}/{self._old[old]}" if old in self._old else ""

    def _keep(self) -> None:
        """Have the quarantine hold what is put away before the manifest names it no more."""
        kept = self._path / QUARANTINE
        make(self._disk, kept)
        for old, name in self._old.items():
            if not self._disk.is_directory(old):
                with contextlib.suppress(FileNotFoundError):
                    give_second_name(self._disk, old, kept / name)
        self._disk.sync_directory(kept)

    def _put_away(self) -> None:
        kept = self._path / QUARANTINE
        for old, name in self._old.items():
            with contextlib.suppress(FileNotFoundError):
                if self._disk.is_directory(old):
                    self._disk.rename(old, kept / name)
                else:
                    self._disk.remove(old)
        self._disk.sync_directory(kept)
