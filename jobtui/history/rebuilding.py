"""A manifest made again from the files, where the manifest itself is lost.

Everything that lies there is taken in. Where a job is found more than once, the archive's record counts
before a segment's, and a later segment's before an earlier one's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from jobtui.history import archive
from jobtui.history.io import Disk
from jobtui.history.journal import journals
from jobtui.history.manifest import ArchiveEntry, Manifest, SegmentEntry
from jobtui.history.quarantine import Quarantine
from jobtui.history.records import SCHEMA
from jobtui.history.segment import Segment
from jobtui.history.state import Tally, nested

_SEGMENT: Final = re.compile(r"(seg-(\d{8,}))\.jsonl")
UNKNOWN_SEQ: Final = -1


def rebuilt(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest:
    """The manifest that names all segments, archives and journals there are. Raises OSError."""
    archives = list(_archives(disk, directory, quarantine))
    taken = {job_id for entry in archives for job_id in _archived_ids(disk, directory, entry, quarantine)}
    segments: list[SegmentEntry] = []
    tally: Tally = Counter()
    highest = max([0, *taken])
    for segment in reversed(_segments(disk, directory, quarantine)):
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


def _segments(disk: Disk, directory: Path, quarantine: Quarantine) -> list[Segment]:
    """The segments in the order in which they were sealed, but those in which no record can be read."""
    found = []
    for name in disk.names(directory):
        if match := _SEGMENT.fullmatch(name):
            size = disk.size_of(directory / name)
            segment = Segment(disk, directory, SegmentEntry(match[1], 0, 0, 0, size, SCHEMA), quarantine)
            columns = segment.columns
            if columns.ids:
                ids = columns.ids
                segment.entry = SegmentEntry(match[1], len(ids), ids[0], ids[-1], size, SCHEMA)
                found.append(segment)
            else:
                quarantine.add(name, None, "no record in it can be read")
    return found


def _archives(disk: Disk, directory: Path, quarantine: Quarantine) -> Iterator[ArchiveEntry]:
    for name in disk.names(directory / archive.DIRECTORY):
        entry = ArchiveEntry(name, 0, 0, 0, 0, ())
        segments = archive.Archives(disk, directory, quarantine).segments(entry)
        places = [(segment, segment.present()) for segment in segments]
        ids = sorted(segment.columns.ids[place] for segment, some in places for place in some)
        if ids:
            tasks = int(sum(sum(map(segment.numbers("tasks").__getitem__, some)) for segment, some in places))
            spaces = sorted({segment.summary(place)[0] for segment, some in places for place in some})
            yield ArchiveEntry(name, len(ids), ids[0], ids[-1], tasks, tuple(spaces))


def _archived_ids(disk: Disk, directory: Path, entry: ArchiveEntry, quarantine: Quarantine) -> Iterator[int]:
    for segment in archive.Archives(disk, directory, quarantine).segments(entry):
        yield from map(segment.columns.ids.__getitem__, segment.present())


def _segment_numbers(disk: Disk, directory: Path) -> Iterator[tuple[int, Path]]:
    archived = directory / archive.DIRECTORY
    places = [directory, *(archived / name for name in disk.names(archived))]
    for place in places:
        for name in disk.names(place):
            if match := _SEGMENT.fullmatch(name):
                yield int(match[2]), place / name
