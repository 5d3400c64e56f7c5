"""A manifest made again from the files, where the manifest itself is lost.

Everything that lies there is taken in. Where a job is found more than once, the archive's record counts
before a segment's, and a later segment's before an earlier one's.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.history.format import archive, index, manifest
from jobtui.history.format.archive import NAME as CONTENTS
from jobtui.history.format.archive import Archives
from jobtui.history.format.codec import encode, is_whole, lines
from jobtui.history.format.disk import Disk, is_lost
from jobtui.history.format.journal import (
    END,
    UNFINISHED,
    Replay,
    ReplayPosition,
    journal_name,
    journal_number,
    journals,
    journals_among,
)
from jobtui.history.format.lock import WriterStatus
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY as ARCHIVE
from jobtui.history.format.manifest import NAME as MANIFEST
from jobtui.history.format.manifest import ArchiveEntry, Manifest, SegmentEntry
from jobtui.history.format.quarantine import DIRECTORY as QUARANTINE
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.record_finder import Scattered
from jobtui.history.format.segment import (
    SEGMENT_FILE,
    UNREADABLE,
    Segment,
    index_name,
    records_name,
    segments_in,
)
from jobtui.history.format.state import State, StatusCounts, nested

UNKNOWN_SEQ: Final = -1
_IDS: Final = (
    (re.compile(rb'(?:[{,]"id"|[{,]"set"|[{,]"last"):(\d{1,14})\b'), 0),
    (re.compile(rb'[{,]"next_id":(\d{1,14})\b'), 1),
)
"""Where ids stand, and by how much the number is higher. At most 14 digits: a damaged number may have more."""


def rebuilt(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest:
    """The manifest that names all segments, archives and journals there are. Raises OSError, StoreTooNew."""
    found = segments_in(disk, directory, quarantine)
    archives, taken = _archives(disk, directory, quarantine, found)
    segments: list[SegmentEntry] = []
    tally: StatusCounts = Counter()
    highest = max([0, *taken])
    for segment in reversed(found):
        columns = segment.columns
        stale = tuple(job_id for job_id in columns.ids if job_id in taken)
        for job_id in stale:
            segment.replaced(job_id)
        taken.update(columns.ids)
        highest = max(highest, *columns.ids)
        tally.update(map(segment.summary, segment.present()))
        segments.append(msgspec.structs.replace(segment.entry, stale=stale))
    numbers = [number for number, _ in journals(disk, directory)]
    return Manifest(
        journal=min(numbers, default=1),
        seq=UNKNOWN_SEQ if numbers and (segments or archives or numbers[0] > 1) else 0,
        next_segment=1 + max((number for number, _ in _segment_numbers(disk, directory)), default=0),
        next_id=highest + 1,
        segments=tuple(reversed(segments)),
        counts=nested(tally),
        archives=tuple(archives),
    )


def highest_id(disk: Disk, directory: Path) -> int:
    """Return the highest id that any file has of a job: records, indexes, journals, what was quarantined.

    Files that cannot be read are passed over. Raises OSError if a directory cannot be read.
    """
    archived = directory / manifest.ARCHIVE_DIRECTORY
    places = [directory, directory / QUARANTINE, archived]
    places += [archived / name for name in disk.names(archived)] if disk.is_directory(archived) else []
    highest = 0
    for place in filter(disk.is_directory, places):
        for name in disk.names(place):
            if disk.stands_in_for(place / name):
                continue
            with contextlib.suppress(OSError):
                highest = max([highest, *_ids_in(disk.read_whole(place / name), name)])
    return highest


def _ids_in(data: bytes, name: str) -> Iterator[int]:
    if ".idx.json" in name:
        for _, line, whole in lines(data):
            if whole:
                with contextlib.suppress(msgspec.MsgspecError):
                    yield from index.core_of(line).ids
    else:
        yield from (int(found) - shift for pattern, shift in _IDS for found in pattern.findall(data))


def _archives(
    disk: Disk, directory: Path, quarantine: Quarantine, segments: Sequence[Segment]
) -> tuple[list[ArchiveEntry], set[int]]:
    """The archives that there are, and the ids of the jobs in them.

    A copy of an archive is none, nor is one that was not finished: its jobs are in the segments still.
    """
    archives, entries, taken = archive.Archives(disk, directory, quarantine), [], set[int]()
    for name in disk.names(directory / manifest.ARCHIVE_DIRECTORY):
        place = directory / manifest.ARCHIVE_DIRECTORY / name
        if not disk.is_directory(place):
            continue
        found = archives.segments(ArchiveEntry(name, 0, 0, 0, 0, ()))
        entry, ids = archive.entry_of(name, found), set(archive.ids_of(found))
        is_finished = disk.identity(place / archive.NAME) is not None or not ids.issubset(
            job_id for segment in segments for job_id in segment.columns.ids
        )
        if entry is not None and is_finished and not ids <= taken:
            entries.append(entry)
            taken |= ids
    return entries, taken


def _segment_numbers(disk: Disk, directory: Path) -> Iterator[tuple[int, Path]]:
    archived = directory / manifest.ARCHIVE_DIRECTORY
    places = [directory, *(archived / name for name in disk.names(archived))]
    for place in filter(disk.is_directory, places):
        for name in disk.names(place):
            if match := SEGMENT_FILE.fullmatch(name):
                yield int(match[2]), place / name


# ---- merged from jobtui.history.sweeping: ----
# Removing what an unfinished seal or archiving left behind.
_TEMPORARY: Final = ".tmp"
_RECORDS: Final = ".jsonl"
_OURS: Final = re.compile(r"seg-\d{8,}\.(jsonl|idx\.json)")
_ARCHIVE: Final = re.compile(r"jobs-\d+-\d+(\.\d+)?-(\d+)")


def sweep(disk: Disk, directory: Path, state: State, kept: Quarantine) -> None:
    """Remove what the manifest does not name, once it is certain that this manifest is on disk. Raises OSError.

    All that is removed is held elsewhere: an unfinished segment's jobs are in the journal, an unfinished
    archive's in the segments. What can't be removed does no harm. Any other directory among the archives is
    left alone: it may be one that was put there by hand. A segment with a record that is nowhere else, and any
    segment if something was found damaged, is put into quarantine: it may be all that is left.
    """
    manifest = state.manifest
    named = {file(entry.name) for entry in manifest.segments for file in (records_name, index_name)}
    left = [name for name in disk.names(directory) if name not in named and _is_left(name, manifest)]
    archives = [name for name in disk.names(directory / ARCHIVE) if is_unfinished(name, manifest)]
    if left or archives:
        disk.sync_directory(directory)
    is_damaged = any(note.what != UNFINISHED for note in kept.notes)
    for name in left:
        with contextlib.suppress(OSError):
            if not _has_records(name) or not (is_damaged or _is_needed(disk, directory, name, state)):
                disk.remove(directory / name)
            else:
                kept.put_away(name, "the manifest does not name it")
    for name in archives:
        if _is_held(disk, directory, name, state):
            remove_archive(disk, directory, name)


def _is_needed(disk: Disk, directory: Path, name: str, state: State) -> bool:
    """Return whether a segment has a job that is in no journal, segment or archive. Raises OSError."""
    from jobtui.history.format.record_finder import records_in

    archives = Archives(disk, directory, Quarantine(disk, directory, write=False))
    for job, _ in records_in(disk.read_whole(directory / name)):
        sealed = state.sealed(job.id)
        if (
            job.id not in state.recent
            and not (sealed is not None and sealed[0].is_there())
            and archives.find(state.manifest, job.id) is None
        ):
            return True
    return False


def _is_held(disk: Disk, directory: Path, name: str, state: State) -> bool:
    """Whether an archive has nothing but records that are in the history anyway. Raises OSError."""
    from jobtui.history.format.segment import segments_in

    place = directory / ARCHIVE / name
    if not disk.is_directory(place) or not all(map(_is_made_here, disk.names(place))):
        return False
    aside = Quarantine(disk, directory, write=False)
    try:
        found = segments_in(disk, place, aside)
        is_read = not any(note.what.startswith(UNREADABLE) for note in aside.notes)
        return is_read and all(_is_copy(disk, segment, state.segments) for segment in found)
    except OSError as error:
        if not (is_lost(error) or isinstance(error, FileNotFoundError)):
            raise
        return False  # what can't be compared stays


def _is_made_here(name: str) -> bool:
    return _OURS.fullmatch(name) is not None or name in (CONTENTS, CONTENTS + _TEMPORARY)


def _is_copy(disk: Disk, segment: Segment, sealed: Sequence[Segment]) -> bool:
    """Whether all whole records of a segment are in those, too, to the byte. Raises OSError."""
    first, last = segment.entry.first, segment.entry.last
    others = [each for each in sealed if each.entry.first <= last and first <= each.entry.last]
    same = disk.identity(segment.path)
    if any(disk.identity(each.path) == same for each in others):
        return True
    held = {line for each in others for line in each.lines()}
    return all(line in held for line in segment.lines() if is_whole(line))


def is_unfinished(name: str, manifest: Manifest) -> bool:
    """Whether a directory among the archives is what the manifest after this one would have named."""
    made = _ARCHIVE.fullmatch(name)
    return (
        made is not None
        and int(made[2]) == manifest.generation + 1
        and all(entry.name != name for entry in manifest.archives)
    )


def is_archive(name: str) -> bool:
    """Return whether a name is one that archiving gives to a directory."""
    return _ARCHIVE.fullmatch(name) is not None


def is_of_other_files(disk: Disk, directory: Path, manifest: Manifest, names: Sequence[str]) -> bool:
    """Whether a manifest names what is gone and not what is there: an older one, or another history's.

    `names` are those in the directory. Then nothing may be removed that it does not name. Raises OSError.
    """
    there = set(names)
    gone = [
        entry.name
        for entry in manifest.segments
        if records_name(entry.name) not in there and index_name(entry.name) not in there
    ]
    named = {entry.name for entry in manifest.archives}
    try:
        archives = set(disk.names(directory / ARCHIVE)) if gone or named else set()
    except OSError as error:
        if not is_lost(error):
            raise
        return False  # what is archived can't be seen, and nothing else need suffer for that
    if not gone and named <= archives:
        return False
    segments = {records_name(entry.name) for entry in manifest.segments}
    return any(_has_records(name) for name in there - segments) or any(
        any(map(_has_records, disk.names(place)))
        for name in archives - named
        if disk.is_directory(place := directory / ARCHIVE / name)
    )


def _has_records(name: str) -> bool:
    return name.endswith(_RECORDS) and _OURS.fullmatch(name) is not None


def _is_left(name: str, manifest: Manifest) -> bool:
    number = journal_number(name)
    return (
        name == MANIFEST + _TEMPORARY
        or _OURS.fullmatch(name) is not None
        or (number is not None and number < manifest.journal)
    )


def remove_archive(disk: Disk, directory: Path, name: str) -> None:
    """Remove an archive that the manifest does not name."""
    place = directory / ARCHIVE / name
    with contextlib.suppress(OSError):
        for file in disk.names(place):
            disk.remove(place / file)
        disk.remove_directory(place)


# ---- merged from jobtui.history.opening: ----
# Finding out what a history holds, from its files: the same for the writer and for a reader.
IDS_OF_A_JOURNAL: Final = 100_000
"""No journal of 4 MiB holds so many jobs: the line of a new one has more than 42 bytes."""


class LoadedHistory(msgspec.Struct, frozen=True):
    """What was read: the state, and the replay that a reader goes on with.

    `journals` are the numbers of the journals that were read. `sound`: the manifest is as it was written
    and what it names is there, so that what it does not name is not needed.
    """

    state: State
    replay: Replay
    journals: tuple[int, ...]
    sound: bool


def load(
    disk: Disk, directory: Path, quarantine: Quarantine, mark: WriterStatus | None, *, alive: bool
) -> LoadedHistory:
    """Read the manifest and the journals. Raises StoreTooNew and OSError.

    `mark` is what the last writer said, and `alive` says that it is at work: then nothing is taken that
    goes beyond its mark, or no journal at all where that can't be read, and what is incomplete is no damage.
    """
    names = disk.names(directory)
    there = journals_among(directory, names)
    found = _manifest(disk, directory, quarantine)
    last_known = found.next_id if found is not None else 1
    sound = found is not None and (not there or any(number == found.journal for number, _ in there))
    if found is not None and sound and not alive and is_of_other_files(disk, directory, found, names):
        what = "it names what is gone, and not what is there: it was made again from the files"
        quarantine.add(manifest.NAME, None, what, disk.read_whole(directory / manifest.NAME))
        sound = False
    if found is None or not sound:
        found = _made_again(disk, directory, quarantine)
        found = msgspec.structs.replace(found, next_id=max(found.next_id, last_known))
    state = State()
    state.settle(found, tuple(Segment(disk, directory, entry, quarantine) for entry in found.segments))
    state.count_sealed()
    scattered = Scattered(disk, directory, state.segments)
    for segment in state.segments:
        segment.elsewhere = scattered.find
    acknowledged = mark.durable if mark is not None else 0
    reading = ReplayPosition(found.seq, durable=acknowledged if alive else None, acknowledged=acknowledged)
    replay = Replay(state, quarantine, reading, to_write=quarantine.writes)
    numbers = [number for number, _ in there if number >= found.journal]
    for number, path in there:
        if number >= found.journal:
            replay.begin(number, path.name)
            if mark is None and alive:
                break
            data = disk.read_whole(path)
            replay.take(data, final=not alive)
            if not alive:
                _note_lost_end(number, data, found, mark, replay)
    if not alive and not numbers and _has_been_sealed(found):
        what = "it is missing, and the manifest names it: what changed since the last seal is lost"
        _note_lost(journal_name(found.journal), what, mark, replay)
    if not sound and quarantine.writes:
        state.next_id = max(state.next_id, highest_id(disk, directory) + 1)
    if mark is not None and not alive:
        _note_broken_promise(mark, replay, quarantine)
    _drop_archived(Archives(disk, directory, quarantine), replay)
    return LoadedHistory(state, replay, tuple(numbers), sound)


def _drop_archived(archives: Archives, replay: Replay) -> None:
    """Have each job once: what is archived is not looked for in a journal, too. Raises OSError."""
    state = replay.state
    for job in list(state.recent.values()):
        if any(entry.first <= job.id <= entry.last for entry in state.manifest.archives) and (
            archives.find(state.manifest, job.id) is not None
        ):
            state.drop_recent(job.id)
            what = f"job {job.id} is archived, and in the journal, too: the archived one counts"
            replay.quarantine.add_anyway(replay.file, None, what, encode(job), (job.id,))


def _manifest(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest | None:
    try:
        found = manifest.load(disk, directory)
    except manifest.ManifestDamagedError as error:
        what = "it is damaged: it was made again from the files"
        quarantine.add(manifest.NAME, None, what, error.data)
        return None
    return found


def _made_again(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest:

    made = rebuilt(disk, directory, quarantine)
    if (made.segments or made.archives or made.journal > 1) and not quarantine.notes:
        what = "it is missing, or the journal that it names: it was made again from the files"
        quarantine.add(manifest.NAME, None, what)
    return made


def _note_lost_end(
    number: int, data: bytes, found: Manifest, mark: WriterStatus | None, replay: Replay
) -> None:
    """Note a journal that was emptied or cut off: the writer leaves a blank at its end at all times."""
    reading = replay.reading
    if reading.offset == 0 and number == found.journal and _has_been_sealed(found):
        what = "it is empty, or its beginning is gone: what changed since the last seal is lost"
        _note_lost(replay.file, what, mark, replay)
    elif reading.offset and mark is None and not data.endswith(END):  # a mark says what must be there
        _note_lost(replay.file, "its end was cut off: changes at its end may be missing", mark, replay)


def _has_been_sealed(found: Manifest) -> bool:
    return bool(found.generation or found.segments or found.archives)


def _note_lost(file: str, what: str, mark: WriterStatus | None, replay: Replay) -> None:
    """Note lost changes; without a mark, skip all ids that they may have had: none may be given out twice."""
    replay.quarantine.add(file, None, what)
    if mark is None:
        replay.state.next_id += IDS_OF_A_JOURNAL


def _note_broken_promise(mark: WriterStatus, replay: Replay, quarantine: Quarantine) -> None:
    """The last writer had more on disk than there is now."""
    state, seq = replay.state, replay.reading.seq
    state.next_id = max(state.next_id, mark.next_id)
    if mark.durable > seq:
        what = f"acknowledged changes are missing at the end: {seq + 1} to {mark.durable}"
        quarantine.add(replay.file, None, what)
        # numbers never go back, or what is written next might be taken for what is missing
        replay.reading.seq = mark.durable
