"""The move of sealed jobs from segments into an archive, and back, in steps."""

from __future__ import annotations

import contextlib
import errno
import itertools
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import StoreTooNew
from jobtui.history.format.archive import (
    RESTORED_MARKER,
    ArchiveResult,
    Archives,
    create_archive_manifest,
    describe_archive,
)
from jobtui.history.format.codec import SCHEMA
from jobtui.history.format.disk import Disk
from jobtui.history.format.index import STATUSES
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY, ArchiveEntry
from jobtui.history.format.segment import Segment, index_name, records_name
from jobtui.history.format.state import State, StatusCounts, SupersededRecord, flatten_counts, nest_counts
from jobtui.history.work_steps import Steps
from jobtui.history.write.segment_store import CommitUncertain, SegmentStore, remove_archive

_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


class _Selection(msgspec.Struct, frozen=True):
    """The rows of a segment to archive.

    Attributes:
        segment: The segment.
        rows: Their numbers in the segment.
        changed: The jobs that stay, because the journal has changes to these records.
        whole: Whether the rows are all that count in the segment.
    """

    segment: Segment
    rows: Sequence[int]
    changed: Mapping[int, SupersededRecord]
    whole: bool


class _Division(msgspec.Struct):
    """The result of dividing segments: those to archive, the rest, and the archived jobs."""

    moved: list[Segment] = []
    rest: list[Segment] = []
    replaced: dict[int, SupersededRecord] = {}
    ids: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    tally: StatusCounts = msgspec.field(default_factory=Counter)
    tasks: int = 0


def archive(store: SegmentStore, first: int, last: int) -> Steps[ArchiveResult]:
    """Move the sealed jobs from `first` to `last` into an archive.

    After an OSError nothing has changed.
    """
    state, disk = store.state, store.disk
    taken = []
    for segment in state.segments:
        if (some := _select(state, segment, first, last)) is not None:
            taken.append(some)
            yield
    if not taken:
        return ArchiveResult(array("Q"), 0)
    taken_names = disk.list_names(store.directory / ARCHIVE_DIRECTORY)
    name = _unused_archive_name(f"jobs-{first}-{last}", state.manifest.generation + 1, taken_names)
    path = store.directory / ARCHIVE_DIRECTORY / name
    disk.make_directory(path)
    gone = {some.segment.name for some in taken}
    divided = _Division()
    try:
        yield from _divide(store, taken, path, divided)
        if not state.recent.keys().isdisjoint(divided.ids):
            raise OSError(errno.EBUSY, "a journal also has these jobs")  # they would exist twice
        create_archive_manifest(disk, path, SCHEMA, [segment.entry for segment in divided.moved])
        for directory in (path, path.parent, store.directory):
            disk.sync_directory(directory)
        after = store.save_manifest(
            segments=(
                *(entry for entry in state.manifest.segments if entry.name not in gone),
                *(segment.entry for segment in divided.rest),
            ),
            counts=nest_counts(_subtract(flatten_counts(state.manifest.counts), divided.tally)),
            archives=(*state.manifest.archives, _archive_entry(name, divided)),
        )
    except CommitUncertain:
        raise
    except OSError:
        remove_archive(disk, store.directory, name)
        for segment in divided.rest:
            _remove_segment(disk, store.directory, segment.name)
        raise
    with state.mutex:
        left = [segment for segment in state.segments if segment.name not in gone]
        state.apply_manifest(after, (*left, *divided.rest))
        state.counts.subtract(divided.tally)
        state.superseded |= divided.replaced
    for taken_name in gone:
        _remove_segment(disk, store.directory, taken_name)
    return ArchiveResult(divided.ids, divided.tasks)


class _Restoration(msgspec.Struct):
    """The jobs that return from archives.

    Attributes:
        segments: The new segments of the history with the jobs that return.
        archives: The entries of all archives afterwards.
        emptied: The entries of the archives that exist no longer.
        made: The names of the new archives, with the jobs that stay.
        ids: The ids of the jobs that return.
        tally: The number of jobs that return, by space and status.
        tasks: The number of their tasks.
    """

    segments: list[Segment] = []
    archives: list[ArchiveEntry] = []
    emptied: list[ArchiveEntry] = []
    made: list[str] = []
    ids: list[int] = []
    tally: StatusCounts = msgspec.field(default_factory=Counter)
    tasks: int = 0


def restore(store: SegmentStore, archives: Archives, first: int, last: int) -> Steps[ArchiveResult]:
    """Move the archived jobs from `first` to `last` back.

    After an OSError or StoreTooNew nothing has changed.
    """
    state, disk = store.state, store.disk
    restored = _Restoration()
    try:
        for entry in state.manifest.archives:
            yield from _restore_from(store, archives, entry, (first, last), restored)
        if not restored.ids:
            return ArchiveResult(array("Q"), 0)
        if not state.recent.keys().isdisjoint(restored.ids):
            raise OSError(errno.EBUSY, "a journal also has these jobs")  # they would exist twice
        for entry in restored.emptied:
            path = store.directory / ARCHIVE_DIRECTORY / entry.name
            disk.create_with(path / RESTORED_MARKER, [])  # a marker from a restore that failed is replaced
            disk.sync_directory(path)
        for directory in (store.directory / ARCHIVE_DIRECTORY, store.directory):
            disk.sync_directory(directory)
        tally = flatten_counts(state.manifest.counts)
        tally.update(restored.tally)
        after = store.save_manifest(
            segments=(*state.manifest.segments, *(segment.entry for segment in restored.segments)),
            counts=nest_counts(tally),
            archives=tuple(restored.archives),
        )
    except CommitUncertain:
        raise
    except (OSError, StoreTooNew):  # a newer jobtui wrote one of the archives
        for name in restored.made:
            remove_archive(disk, store.directory, name)
        for segment in restored.segments:
            _remove_segment(disk, store.directory, segment.name)
        raise
    with state.mutex:
        state.apply_manifest(after, (*state.segments, *restored.segments))
        state.counts.update(restored.tally)
    for entry in restored.emptied:
        archives.invalidate(entry)
        remove_archive(disk, store.directory, entry.name)
    return ArchiveResult(array("Q", sorted(restored.ids)), restored.tasks)


def _restore_from(
    store: SegmentStore,
    archives: Archives,
    entry: ArchiveEntry,
    wanted: tuple[int, int],
    restored: _Restoration,
) -> Steps[None]:
    """Write an archive's wanted jobs as segments of the history, the others as an archive."""
    first, last = wanted
    if entry.last < first or entry.first > last:
        restored.archives.append(entry)
        return
    found: list[tuple[Segment, list[int], list[int]]] = []
    for segment in archives.segments(entry):
        _require_intact(segment.is_available(), segment)
        ids, present = segment.columns.ids, segment.current_rows()
        rows = [row for row in present if first <= ids[row] <= last]
        chosen = set(rows)
        found.append((segment, rows, [row for row in present if row not in chosen]))
        yield
    if not any(rows for _, rows, _ in found):
        restored.archives.append(entry)
        return
    staying = yield from _write_rest(store, entry, found, restored)
    if staying is not None:
        restored.archives.append(staying)
    restored.emptied.append(entry)
    for segment, rows, _ in found:
        if rows:
            part = yield from store.write_part(store.directory, segment, segment.lines(), rows)
            restored.segments.append(part)
            tally = Counter(map(part.space_and_status, range(len(rows))))
            restored.tally.update(tally)
            restored.tasks += int(sum(part.numbers("tasks")))
            restored.ids.extend(part.columns.ids)
            yield


def _write_rest(
    store: SegmentStore,
    entry: ArchiveEntry,
    found: Sequence[tuple[Segment, list[int], list[int]]],
    restored: _Restoration,
) -> Steps[ArchiveEntry | None]:
    """Write the jobs that stay archived as a new archive; return its entry, None without any."""
    if not any(rest for _, _, rest in found):
        return None
    disk = store.disk
    taken = disk.list_names(store.directory / ARCHIVE_DIRECTORY)
    name = _unused_archive_name(f"jobs-{entry.first}-{entry.last}", store.state.manifest.generation + 1, taken)
    path = store.directory / ARCHIVE_DIRECTORY / name
    disk.make_directory(path)
    restored.made.append(name)
    kept: list[Segment] = []
    for segment, rows, rest in found:
        if rest and not rows:
            for file in (records_name(segment.name), index_name(segment.name)):
                with contextlib.suppress(FileNotFoundError):
                    link_or_copy(disk, segment.path.parent / file, path / file)
            kept.append(segment)
        elif rest:
            kept.append((yield from store.write_part(path, segment, segment.lines(), rest)))
        yield
    create_archive_manifest(disk, path, SCHEMA, [segment.entry for segment in kept])
    disk.sync_directory(path)
    return describe_archive(name, kept)


def _require_intact(intact: bool, segment: Segment) -> None:
    if not intact:
        what = "it does not match its entry: a repair finds out what is left"
        raise OSError(errno.EBADMSG, what, str(segment.path))


def _remove_segment(disk: Disk, directory: Path, name: str) -> None:
    for file in (records_name(name), index_name(name)):
        with contextlib.suppress(OSError):
            disk.remove(directory / file)


def _unused_archive_name(jobs: str, generation: int, taken: Collection[str]) -> str:
    names = (f"{jobs}{f'.{turn}' if turn else ''}-{generation}" for turn in itertools.count())
    return next(name for name in names if name not in taken)


def _select(state: State, segment: Segment, first: int, last: int) -> _Selection | None:
    entry = segment.entry
    if entry.last < first or entry.first > last:
        return None
    present, ids = segment.current_rows(), segment.columns.ids
    if first <= entry.first and entry.last <= last:
        rows = present
    else:
        rows = [row for row in present if first <= ids[row] <= last]
    if not rows:
        return None
    with state.mutex:
        changed = {job_id: state.superseded[job_id] for job_id in segment.pending_changes().intersection(ids)}
    return _Selection(segment, rows, changed, len(rows) == len(present) and not changed)


def _divide(store: SegmentStore, taken: Sequence[_Selection], path: Path, divided: _Division) -> Steps[None]:
    """Write the selected rows as segments of the archive, and the others as new segments."""
    for some in taken:
        segment, rows = some.segment, some.rows
        _count(some, divided)
        yield
        if some.whole:
            _require_intact(segment.matches_entry(), segment)
            for file in (records_name(segment.name), index_name(segment.name)):
                with contextlib.suppress(FileNotFoundError):
                    link_or_copy(store.disk, store.directory / file, path / file)
            divided.moved.append(segment)
            continue
        lines = segment.lines()
        ids = segment.columns.ids
        changed = (bisect_left(ids, job_id) for job_id in some.changed)
        others = sorted({*segment.current_rows(), *changed}.difference(rows))
        yield
        divided.moved.append((yield from store.write_part(path, segment, lines, rows)))
        rest = yield from store.write_part(store.directory, segment, lines, others, some.changed)
        divided.rest.append(rest)
        for job_id, each in some.changed.items():
            divided.replaced[job_id] = SupersededRecord(rest, each.space, each.status)
    divided.ids = array("Q", sorted(divided.ids))


def _count(some: _Selection, divided: _Division) -> None:
    columns, rows = some.segment.columns, some.rows
    spaces, statuses = columns.spaces, columns.statuses
    found = Counter(zip(map(spaces.codes.__getitem__, rows), map(statuses.__getitem__, rows), strict=True))
    for (space, status), count in found.items():
        divided.tally[spaces.values[space], STATUSES[status]] += count
    divided.tasks += int(sum(map(some.segment.numbers("tasks").__getitem__, rows)))
    divided.ids.extend(map(columns.ids.__getitem__, rows))


def link_or_copy(disk: Disk, existing: Path, name: Path) -> None:
    """Link a file, or copy it if the file system has no links. Raises OSError."""
    try:
        disk.link(existing, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        disk.create_with(name, [disk.read_file(existing)])


def _archive_entry(name: str, divided: _Division) -> ArchiveEntry:
    ids, spaces = divided.ids, {space for space, _ in divided.tally}
    return ArchiveEntry(name, len(ids), ids[0], ids[-1], divided.tasks, tuple(sorted(spaces)))


def _subtract(counts: StatusCounts, gone: StatusCounts) -> StatusCounts:
    counts.subtract(gone)
    return counts
