"""The loading of a history from its files, and a history that is open for reading.

If the manifest is lost or names other files, it is built again from all segments, archives and journals that
are there. Of a job that is found more than once, the version in an archive counts, otherwise the one in the
latest segment.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.history.format.archive import ARCHIVE_MANIFEST_NAME, Archives, current_ids, describe_archive
from jobtui.history.format.codec import encode, split_lines
from jobtui.history.format.disk import Disk, is_unreadable
from jobtui.history.format.index import IndexUnusable, decode_core
from jobtui.history.format.journal import (
    JOURNAL_END,
    Replay,
    ReplayPosition,
    journal_name,
    list_journals,
    select_journals,
)
from jobtui.history.format.lock import WriterStatus, WriterWatcher
from jobtui.history.format.manifest import (
    ARCHIVE_DIRECTORY,
    MANIFEST_NAME,
    ArchiveEntry,
    Manifest,
    ManifestDamaged,
    SegmentEntry,
    load_manifest,
)
from jobtui.history.format.quarantine import QUARANTINE_DIRECTORY, Quarantine
from jobtui.history.format.record_finder import RecordFinder
from jobtui.history.format.segment import (
    SEGMENT_FILE,
    Segment,
    index_name,
    is_records_file,
    records_name,
    scan_segments,
)
from jobtui.history.format.state import State, StatusCounts, nest_counts
from jobtui.model import Job

OrphanedJobView = Callable[[Job], Job]
"""Returns a live job as it is shown while no process writes the history."""
_LOAD_ATTEMPTS: Final = 50
"""A writer replaces the manifest between two attempts only if it seals or archives at the same time."""
TEMPORARY_SUFFIX: Final = ".tmp"
MAX_IDS_PER_JOURNAL: Final = 100_000
"""A journal of 4 MiB has fewer new jobs: the line of one has more than 42 bytes."""
UNKNOWN_SEQ: Final = -1
_IDS: Final = (
    (re.compile(rb'(?:[{,]"id"|[{,]"set"|[{,]"last"):(\d{1,14})\b'), 0),
    (re.compile(rb'[{,]"next_id":(\d{1,14})\b'), 1),
)
"""The forms of ids, each with the offset to the id. A damaged number may have more than 14 digits."""


def rebuild_manifest(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest:
    """Return a manifest of all existing segments, archives and journals.

    Raises OSError, StoreTooNew.
    """
    found = scan_segments(disk, directory, quarantine)
    archives, taken = _find_archives(disk, directory, quarantine, found)
    segments: list[SegmentEntry] = []
    tally: StatusCounts = Counter()
    highest = max([0, *taken])
    for segment in reversed(found):
        columns = segment.columns
        stale = tuple(job_id for job_id in columns.ids if job_id in taken)
        for job_id in stale:
            segment.hide(job_id)
        taken.update(columns.ids)
        highest = max(highest, *columns.ids)
        tally.update(map(segment.space_and_status, segment.current_rows()))
        segments.append(msgspec.structs.replace(segment.entry, stale=stale))
    numbers = [number for number, _ in list_journals(disk, directory)]
    return Manifest(
        journal=min(numbers, default=1),
        seq=UNKNOWN_SEQ if numbers and (segments or archives or numbers[0] > 1) else 0,
        next_segment=1 + max((number for number, _ in _segment_numbers(disk, directory)), default=0),
        next_id=highest + 1,
        segments=tuple(reversed(segments)),
        counts=nest_counts(tally),
        archives=tuple(archives),
    )


def highest_id(disk: Disk, directory: Path) -> int:
    """Return the highest id of a job in any file, quarantined copies included.

    Files that cannot be read are skipped. Raises OSError if a directory cannot be read.
    """
    archived = directory / ARCHIVE_DIRECTORY
    parents = [directory, directory / QUARANTINE_DIRECTORY, archived]
    parents += [archived / name for name in disk.list_names(archived)] if disk.is_directory(archived) else []
    highest = 0
    for parent in filter(disk.is_directory, parents):
        for name in disk.list_names(parent):
            if disk.wrong_type(parent / name):
                continue
            with contextlib.suppress(OSError):
                highest = max([highest, *_ids_in(disk.read_file(parent / name), name)])
    return highest


def _ids_in(data: bytes, name: str) -> Iterator[int]:
    if ".idx.json" in name:
        for _, line, whole in split_lines(data):
            if whole:
                with contextlib.suppress(IndexUnusable):  # the line of another column
                    yield from decode_core(line).ids
    else:
        yield from (int(found) - shift for pattern, shift in _IDS for found in pattern.findall(data))


def _find_archives(
    disk: Disk, directory: Path, quarantine: Quarantine, segments: Sequence[Segment]
) -> tuple[list[ArchiveEntry], set[int]]:
    """Return the existing archives, and the ids of the jobs in them.

    A copy of an archive does not count, nor does an unfinished one: its jobs are still in the segments.
    """
    archives = Archives(disk, directory, quarantine)
    entries, taken = list[ArchiveEntry](), set[int]()
    for name in disk.list_names(directory / ARCHIVE_DIRECTORY):
        path = directory / ARCHIVE_DIRECTORY / name
        if not disk.is_directory(path):
            continue
        found = archives.segments(ArchiveEntry(name, 0, 0, 0, 0, ()))
        entry, ids = describe_archive(name, found), set(current_ids(found))
        is_finished = disk.identity(path / ARCHIVE_MANIFEST_NAME) is not None or not ids.issubset(
            job_id for segment in segments for job_id in segment.columns.ids
        )
        if entry is not None and is_finished and not ids <= taken:
            entries.append(entry)
            taken |= ids
    return entries, taken


def _segment_numbers(disk: Disk, directory: Path) -> Iterator[tuple[int, Path]]:
    archived = directory / ARCHIVE_DIRECTORY
    parents = [directory, *(archived / name for name in disk.list_names(archived))]
    for parent in filter(disk.is_directory, parents):
        for name in disk.list_names(parent):
            if match := SEGMENT_FILE.fullmatch(name):
                yield int(match[2]), parent / name


def names_other_files(disk: Disk, directory: Path, manifest: Manifest, names: Sequence[str]) -> bool:
    """Return whether a manifest names missing files and not the existing ones. Raises OSError.

    It is then an older one, or another history's, and files that it does not name must not be removed. `names`
    are the names in the directory.
    """
    there = set(names)
    gone = [
        entry.name
        for entry in manifest.segments
        if records_name(entry.name) not in there and index_name(entry.name) not in there
    ]
    named = {entry.name for entry in manifest.archives}
    try:
        archives = set(disk.list_names(directory / ARCHIVE_DIRECTORY)) if gone or named else set()
    except OSError as error:
        if not is_unreadable(error):
            raise
        return False  # the archives cannot be read; the rest of the history is used
    if not gone and named <= archives:
        return False
    segments = {records_name(entry.name) for entry in manifest.segments}
    return any(is_records_file(name) for name in there - segments) or any(
        any(map(is_records_file, disk.list_names(path)))
        for name in archives - named
        if disk.is_directory(path := directory / ARCHIVE_DIRECTORY / name)
    )


class LoadedHistory(msgspec.Struct, frozen=True):
    """A history that was loaded.

    Attributes:
        state: Its state.
        replay: The replay of its journals, which a reader continues.
        journals: The numbers of the journals that were read.
        manifest_is_valid: Whether the manifest is intact and names existing files, so that files that it does
            not name are not needed.
    """

    state: State
    replay: Replay
    journals: tuple[int, ...]
    manifest_is_valid: bool


def load_history(
    disk: Disk, directory: Path, quarantine: Quarantine, status: WriterStatus | None, *, alive: bool
) -> LoadedHistory:
    """Read the manifest and the journals. Raises StoreTooNew and OSError.

    Args:
        disk: The disk.
        directory: The history's directory.
        quarantine: Receives the notes about damage.
        status: The status of the last writer, None if it cannot be read.
        alive: Whether that writer is at work. Then changes after its status are not read, without a status no
            journal is read, and incomplete data is not damage.
    """
    names = disk.list_names(directory)
    manifest, is_valid = _manifest_of(disk, directory, quarantine, names, alive=alive)
    journals = [each for each in select_journals(directory, names) if each[0] >= manifest.journal]
    state = State()
    segments = tuple(Segment(disk, directory, entry, quarantine) for entry in manifest.segments)
    state.apply_manifest(manifest, segments)
    state.reset_counts()
    finder = RecordFinder(disk, directory, segments)
    for segment in segments:
        segment.find_elsewhere = finder.find
    acknowledged = status.durable if status is not None else 0
    position = ReplayPosition(manifest.seq, durable=acknowledged if alive else None, acknowledged=acknowledged)
    replay = Replay(state, quarantine, position, for_writing=quarantine.can_write)
    for number, path in journals:
        replay.start_journal(number, path.name)
        if status is None and alive:
            break
        data = disk.read_file(path)
        replay.apply(data, final=not alive)
        if not alive:
            _note_truncated_journal(number, data, manifest, status, replay)
    if not alive and not journals and _has_been_sealed(manifest):
        what = "it is missing, and the manifest names it: changes since the last seal are lost"
        _note_lost(journal_name(manifest.journal), what, status, replay)
    if not is_valid and quarantine.can_write:
        state.next_id = max(state.next_id, highest_id(disk, directory) + 1)
    if status is not None and not alive:
        _note_missing_commits(status, replay, quarantine)
    _drop_archived_jobs(Archives(disk, directory, quarantine), replay)
    return LoadedHistory(state, replay, tuple(number for number, _ in journals), is_valid)


def _manifest_of(
    disk: Disk, directory: Path, quarantine: Quarantine, names: Sequence[str], *, alive: bool
) -> tuple[Manifest, bool]:
    """Return the manifest that counts, and whether it is on disk instead of rebuilt."""
    journals = select_journals(directory, names)
    stored = _load_manifest(disk, directory, quarantine)
    if stored is not None and (not journals or any(number == stored.journal for number, _ in journals)):
        if alive or not names_other_files(disk, directory, stored, names):
            return stored, True
        what = "it names missing files, and not the existing ones: it was rebuilt from the files"
        quarantine.add(MANIFEST_NAME, None, what, disk.read_file(directory / MANIFEST_NAME))
    rebuilt = _rebuild_and_note(disk, directory, quarantine)
    last_known = stored.next_id if stored is not None else 1
    return msgspec.structs.replace(rebuilt, next_id=max(rebuilt.next_id, last_known)), False


def _drop_archived_jobs(archives: Archives, replay: Replay) -> None:
    """Discard the journal's versions of archived jobs, so that each job occurs once.

    Raises OSError.
    """
    state = replay.state
    for job in list(state.recent.values()):
        if any(entry.first <= job.id <= entry.last for entry in state.manifest.archives) and (
            archives.find(state.manifest, job.id) is not None
        ):
            state.drop_recent(job.id)
            what = f"job {job.id} is archived and also in the journal: the archived version counts"
            replay.quarantine.add_in_place(replay.file, None, what, encode(job), (job.id,))


def _load_manifest(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest | None:
    try:
        return load_manifest(disk, directory)
    except ManifestDamaged as error:
        what = "it is damaged: it was rebuilt from the files"
        quarantine.add(MANIFEST_NAME, None, what, error.data)
        return None


def _rebuild_and_note(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest:
    rebuilt = rebuild_manifest(disk, directory, quarantine)
    if (rebuilt.segments or rebuilt.archives or rebuilt.journal > 1) and not quarantine.notes:
        what = "it is missing, or the journal that it names is: it was rebuilt from the files"
        quarantine.add(MANIFEST_NAME, None, what)
    return rebuilt


def _note_truncated_journal(
    number: int, data: bytes, found: Manifest, status: WriterStatus | None, replay: Replay
) -> None:
    """Note a journal that was emptied or truncated: a writer always leaves a blank at its end."""
    position = replay.position
    if position.offset == 0 and number == found.journal and _has_been_sealed(found):
        what = "it is empty, or its beginning is missing: changes since the last seal are lost"
        _note_lost(replay.file, what, status, replay)
    elif position.offset and status is None and not _ends_in_blanks(data, position.offset):
        # the status names the last durable change
        _note_lost(replay.file, "its end was cut off: changes at its end may be missing", status, replay)


def _ends_in_blanks(data: bytes, end: int) -> bool:
    """Return whether blanks follow the last change, as a writer leaves them.

    A loss of power while it adds more of them may leave zeros, after those that were there.
    """
    blanks = data[end:]
    return data.endswith(JOURNAL_END) or (blanks.startswith(b" ") and not blanks.strip(b" \n\0"))


def _has_been_sealed(found: Manifest) -> bool:
    return bool(found.generation or found.segments or found.archives)


def _note_lost(file: str, what: str, status: WriterStatus | None, replay: Replay) -> None:
    """Note lost changes; without a status, skip all ids that they may have had."""
    replay.quarantine.add(file, None, what)
    if status is None:
        replay.state.next_id += MAX_IDS_PER_JOURNAL


def _note_missing_commits(status: WriterStatus, replay: Replay, quarantine: Quarantine) -> None:
    """Note changes that are missing although the last writer had them on disk."""
    state, seq = replay.state, replay.position.seq
    state.next_id = max(state.next_id, status.next_id)
    if status.durable > seq:
        what = f"acknowledged changes are missing at the end: {seq + 1} to {status.durable}"
        quarantine.add(replay.file or "journal", None, what)  # "" if the file is missing
        # numbers continue after the missing ones: a later change must not be mistaken for one of them
        replay.position.seq = status.durable


class HistoryReader:
    """A history that is open for reading. It changes nothing on disk.

    Attributes:
        orphaned_views: The jobs that are not shown as they are on disk, because no process writes the history.
    """

    def __init__(self, disk: Disk, directory: Path, view_orphaned: OrphanedJobView | None = None) -> None:
        """Load the history. Without `view_orphaned` all jobs are shown as they are on disk."""
        self._disk, self._directory = disk, directory
        self._view_orphaned = view_orphaned
        self._shows_orphaned = False
        self.orphaned_views: tuple[Job, ...] = ()
        self._watcher = WriterWatcher(disk, directory)
        self._refresh_lock = threading.Lock()
        self._status_bytes = b""
        self._identity: tuple[int, int, int] | None = None
        self._must_reload = False
        self.quarantine = Quarantine(disk, directory, write=False)
        self._loaded = self._load()

    @property
    def state(self) -> State:
        """The state of the history at the last refresh."""
        return self._loaded.state

    def refresh(self) -> bool:
        """Read the writer's changes; return whether there were any. Raises StoreError, OSError."""
        with self._refresh_lock:
            return self._refresh()

    def close(self) -> None:
        """Close the files."""
        self._watcher.close()

    def _refresh(self) -> bool:
        seen = self._watcher.read_raw()
        identity = self._disk.identity(self._directory / MANIFEST_NAME)
        if not self._must_reload and seen == self._status_bytes and identity == self._identity:
            # nothing was written, but the writer may have been killed, which changes no file
            return bool(self._view_orphaned and self.state.live) and self._apply_orphaned_view()
        # after orphaned jobs were shown, all is read again: a journal's change applies to the version on disk
        if self._must_reload or identity != self._identity or self.orphaned_views:
            self._loaded = self._load()
            return True
        return self._read_changes(seen)

    def _apply_orphaned_view(self) -> bool:
        """Show live jobs as orphaned unless a process writes; return whether any has changed."""
        if self._view_orphaned is None or self._shows_orphaned or self._watcher.has_writer():
            return False
        self._shows_orphaned = True
        shown = [(job, self._view_orphaned(job)) for job in list(self.state.live.values())]
        self.orphaned_views = tuple(after for before, after in shown if after is not before)
        for job in self.orphaned_views:
            self.state.publish(job)
        return bool(self.orphaned_views)

    def _load(self) -> LoadedHistory:
        # after an error, the next attempt loads everything again
        self._must_reload = True
        for left in reversed(range(_LOAD_ATTEMPTS)):
            self._status_bytes = self._watcher.read_raw()
            self._identity = self._disk.identity(self._directory / MANIFEST_NAME)
            quarantine = Quarantine(self._disk, self._directory, write=False)
            status, alive = self._watcher.read_status(), self._watcher.has_writer()
            try:
                found = load_history(self._disk, self._directory, quarantine, status, alive=alive)
            except FileNotFoundError:
                if not left:
                    raise
                continue
            if self._identity == self._disk.identity(self._directory / MANIFEST_NAME):
                break
        if status is None and alive:
            self._status_bytes = b""
        self.quarantine, self._must_reload = quarantine, False
        self._shows_orphaned, self.orphaned_views = False, ()
        self._loaded = found
        self._apply_orphaned_view()
        return found

    def _read_changes(self, seen: bytes) -> bool:
        status, alive = self._watcher.read_status(), self._watcher.has_writer()
        if status is None and alive:
            return False  # without its status it is unknown what is durable
        replay = self._loaded.replay
        position = replay.position
        before = position.seq, position.journal
        position.durable = status.durable if status is not None and alive else None
        last = status.journal if status is not None else position.journal
        self._must_reload = True
        try:
            self._read_journal()
            while position.journal < last:
                number = position.journal + 1
                path = self._directory / journal_name(number)
                replay.start_journal(number, path.name)
                if self._disk.identity(path) is not None:
                    self._read_journal()
        except FileNotFoundError:
            self._loaded = self._load()
            return True
        self._status_bytes, self._must_reload = seen, False
        self._shows_orphaned = False
        return self._apply_orphaned_view() or (position.seq, position.journal) != before

    def _read_journal(self) -> None:
        position = self._loaded.replay.position
        file = self._disk.open(self._directory / journal_name(position.journal))
        try:
            data = self._disk.read(file, self._disk.size(file) - position.offset, position.offset)
        finally:
            self._disk.close(file)
        self._loaded.replay.apply(data, final=False)
