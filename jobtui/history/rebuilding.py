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

from jobtui.history import archive, index, manifest
from jobtui.history.framing import lines
from jobtui.history.io import Disk
from jobtui.history.journal import journals
from jobtui.history.manifest import ArchiveEntry, Manifest, SegmentEntry
from jobtui.history.quarantine import DIRECTORY as QUARANTINE
from jobtui.history.quarantine import Quarantine
from jobtui.history.segment import SEGMENT_FILE, Segment, segments_in
from jobtui.history.state import Tally, nested

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
    tally: Tally = Counter()
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
