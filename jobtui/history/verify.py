"""The verification of a history, which changes nothing and may run next to a writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import ge
from pathlib import Path
from typing import Final

from jobtui.history.format.archive import ARCHIVE_MANIFEST_NAME, Archives, is_archive_name, is_unfinished
from jobtui.history.format.codec import split_lines, try_decode_job
from jobtui.history.format.disk import Disk, is_unreadable, resolve_directory
from jobtui.history.format.journal import journal_number
from jobtui.history.format.lock import LOCK_NAME, WriterWatcher
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY, MANIFEST_NAME, Manifest
from jobtui.history.format.quarantine import (
    NOTES_NAME,
    QUARANTINE_DIRECTORY,
    DamageNote,
    convert_read_errors,
    job_ids_in,
    read_notes,
)
from jobtui.history.format.segment import DAMAGED, UNREADABLE, Segment, index_name, records_name
from jobtui.history.format.state import State, StatusCounts, flatten_counts
from jobtui.history.read.reader import HistoryReader

_FILES: Final = frozenset(
    {LOCK_NAME, MANIFEST_NAME, f"{MANIFEST_NAME}.tmp", ARCHIVE_MANIFEST_NAME, f"{ARCHIVE_MANIFEST_NAME}.tmp"}
)
_KEPT: Final = frozenset({NOTES_NAME, f"{NOTES_NAME}.tmp"})
_SEGMENT: Final = "seg-"
_VERIFY_ATTEMPTS: Final = 5
"""A writer moves files between two attempts only if it seals or archives at the same time."""


def past_notes(path: Path, disk: Disk | None = None) -> list[DamageNote]:
    """Return the notes of earlier damage, repaired or not, the oldest first.

    Raises StoreError.
    """
    with convert_read_errors():
        return list(read_notes(disk or Disk(), resolve_directory(path)))


def verify(path: Path, disk: Disk | None = None) -> list[DamageNote]:
    """Return a note for each damaged part, with its file, byte and jobs.

    Raises StoreTooNew, and StoreError if the history cannot be read at all.
    """
    disk, path = disk or Disk(), resolve_directory(path)
    with convert_read_errors():
        for left in reversed(range(_VERIFY_ATTEMPTS)):
            named = disk.identity(path / MANIFEST_NAME)
            notes = _verify_once(disk, path)
            if not (notes and left) or disk.identity(path / MANIFEST_NAME) == named:
                break  # otherwise a writer moved files meanwhile, and missing files may be elsewhere
    return notes


def check_segment(disk: Disk, segment: Segment) -> list[DamageNote]:
    """Return a note for each fault of a segment and its index. Raises OSError."""
    try:
        data = disk.read_file(segment.path)
    except FileNotFoundError:
        entry = segment.entry
        what = f"the segment is missing: jobs between {entry.first} and {entry.last} cannot be read"
        return [DamageNote(segment.file, None, (), what)]
    except OSError as error:
        if not is_unreadable(error):
            raise
        return [DamageNote(segment.file, None, (), f"{UNREADABLE}: {error.strerror or error}")]
    columns = segment.indexed_columns()
    known = list(zip(columns.starts, columns.ids, strict=False)) if columns is not None else []
    notes, found = [], []
    for start, line, whole in split_lines(data):
        job = try_decode_job(line, segment.entry.schema) if whole else None
        if job is not None:
            found.append(job.id)
        else:
            within = tuple(job_id for at, job_id in known if start <= at < start + len(line))
            jobs = within or job_ids_in(line)
            notes.append(DamageNote(segment.file, start, jobs, DAMAGED))
    if len(data) != segment.entry.bytes:
        lost = {job_id for _, job_id in known}.difference(found, *(note.jobs for note in notes))
        what = f"it has {len(data)} bytes instead of {segment.entry.bytes}"
        notes.append(DamageNote(segment.file, None, tuple(sorted(lost)), what))
    if not notes and len(found) != segment.entry.count:
        what = f"it has {len(found)} records instead of {segment.entry.count}"
        notes.append(DamageNote(segment.file, None, (), what))
    own = set(columns.ids) if columns is not None else None
    others = {job_id for job_id in found if not (segment.covers(job_id) if own is None else job_id in own)}
    if others and segment.entry.count:
        entry = segment.entry
        what = f"it has records of other segments; its own are between job {entry.first} and {entry.last}"
        missing = set(own or range(entry.first, entry.last + 1)).difference(found, entry.stale)
        notes.append(DamageNote(segment.file, None, tuple(sorted(missing)), what))
    if any(map(ge, found, found[1:])):
        notes.append(DamageNote(segment.file, None, (), "its records are not in the order of their ids"))
    if not segment.index_is_intact() or (not notes and columns is not None and list(columns.ids) != found):
        file = segment.file.replace(records_name(segment.name), index_name(segment.name))
        notes.append(DamageNote(file, None, (), "the index is missing or damaged; a repair rebuilds it"))
    return notes


def find_wrong_types(disk: Disk, directory: Path) -> list[DamageNote]:
    """Return a note for each file of the history that has another type, such as a link.

    Raises OSError.
    """
    archived, kept = directory / ARCHIVE_DIRECTORY, directory / QUARANTINE_DIRECTORY
    notes = [
        DamageNote(path.relative_to(directory).as_posix(), None, (), what)
        for path in (archived, kept)
        if (what := disk.wrong_type(path, directory=True))
    ]
    if disk.is_directory(archived):
        notes += (
            DamageNote(f"{ARCHIVE_DIRECTORY}/{name}", None, (), what)
            for name in disk.list_names(archived)
            if is_archive_name(name) and (what := disk.wrong_type(archived / name, directory=True))
        )
    parents = [directory, *(archived / name for name in _directories(disk, archived))]
    files = [parent / name for parent in parents for name in disk.list_names(parent)]
    kept_files = [kept / name for name in disk.list_names(kept)] if disk.is_directory(kept) else []
    for file in (*filter(_is_ours, files), *(file for file in kept_files if file.name in _KEPT)):
        if what := disk.wrong_type(file):
            notes.append(DamageNote(file.relative_to(directory).as_posix(), None, (), what))
    return notes


def _directories(disk: Disk, path: Path) -> list[str]:
    if not disk.is_directory(path):
        return []
    return [name for name in disk.list_names(path) if disk.is_directory(path / name)]


def _is_ours(file: Path) -> bool:
    return file.name in _FILES or file.name.startswith(_SEGMENT) or journal_number(file.name) is not None


def find_unnamed_archives(
    disk: Disk, directory: Path, manifest: Manifest, *, is_written: bool
) -> Iterator[DamageNote]:
    """Yield archives that the manifest does not name, except one that is being written.

    `is_written`: a writer is at work, and may have made some after this manifest. Raises OSError.
    """
    named = {entry.name for entry in manifest.archives}
    for name in _directories(disk, directory / ARCHIVE_DIRECTORY):
        made = name.rpartition("-")[2]
        is_later = is_written and made.isdecimal() and int(made) > manifest.generation
        if name in named or is_later or is_unfinished(name, manifest):
            continue
        if any(each.startswith(_SEGMENT) for each in disk.list_names(directory / ARCHIVE_DIRECTORY / name)):
            what = "the manifest does not name it: the jobs in it are not shown"
            yield DamageNote(f"{ARCHIVE_DIRECTORY}/{name}", None, (), what)


def check_counts(state: State, archived: Sequence[Segment]) -> Iterator[DamageNote]:
    """Yield a note for each wrong count, and for jobs that occur twice. Raises OSError."""
    tally: StatusCounts = Counter()
    with state.mutex:
        seen = set(state.recent)
    for segment in (*state.segments, *archived):
        rows = segment.current_rows()
        ids = [segment.columns.ids[row] for row in rows]
        twice = seen.intersection(ids)
        if twice:
            yield DamageNote(segment.file, None, tuple(sorted(twice)), "these jobs are also elsewhere")
        seen.update(ids)
        if segment not in archived:
            tally.update(map(segment.space_and_status, rows))
    tally.update((replaced.space, replaced.status) for replaced in state.superseded.values())
    counted = flatten_counts(state.manifest.counts)
    if +tally != +counted:
        what = f"its counts of {sum(counted.values())} sealed jobs are wrong; there are {sum(tally.values())}"
        yield DamageNote(MANIFEST_NAME, None, (), what)


def _verify_once(disk: Disk, path: Path) -> list[DamageNote]:
    wrong_types = find_wrong_types(disk, path)
    try:
        return [*wrong_types, *_damage_in(disk, path)]
    except OSError:
        if not wrong_types:
            raise
        return wrong_types  # the files behind them cannot be read


def _damage_in(disk: Disk, path: Path) -> list[DamageNote]:
    reader = HistoryReader(disk, path)
    reader.close()
    state, quarantine = reader.state, reader.quarantine
    archived = Archives(disk, path, quarantine).all_segments(state.manifest)
    notes = [note for segment in (*state.segments, *archived) for note in check_segment(disk, segment)]
    notes += check_counts(state, archived)
    strays = find_unnamed_archives(disk, path, state.manifest, is_written=_is_written(disk, path))
    return [*quarantine.notes, *notes, *strays]


def _is_written(disk: Disk, path: Path) -> bool:
    watcher = WriterWatcher(disk, path)
    try:
        return watcher.has_writer()
    finally:
        watcher.close()
