"""The removal of what an unfinished seal or archiving left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from jobtui.history.format.archive import ARCHIVE_MANIFEST_NAME as CONTENTS
from jobtui.history.format.archive import Archives, is_unfinished
from jobtui.history.format.codec import is_intact
from jobtui.history.format.disk import Disk, is_unreadable
from jobtui.history.format.journal import journal_number
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY as ARCHIVE
from jobtui.history.format.manifest import MANIFEST_NAME as MANIFEST
from jobtui.history.format.manifest import Manifest
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.recovery import TEMPORARY_SUFFIX
from jobtui.history.format.replay import UNFINISHED_CHANGE
from jobtui.history.format.segment import (
    SEGMENT_FILES,
    UNREADABLE,
    Segment,
    index_name,
    is_records_file,
    records_name,
)
from jobtui.history.format.state import State


def remove_leftovers(disk: Disk, directory: Path, state: State, kept: Quarantine) -> None:
    """Remove what the manifest does not name, once it is certain that this manifest is on disk. Raises OSError.

    All that is removed is held elsewhere: an unfinished segment's jobs are in the journal, an unfinished
    archive's in the segments. What can't be removed does no harm. Any other directory among the archives is
    left alone: it may be one that was put there by hand. A segment with a record that is nowhere else, and any
    segment if something was found damaged, is put into quarantine: it may be all that is left.
    """
    manifest = state.manifest
    named = {file(entry.name) for entry in manifest.segments for file in (records_name, index_name)}
    left = [name for name in disk.list_names(directory) if name not in named and _is_leftover(name, manifest)]
    archives = [name for name in disk.list_names(directory / ARCHIVE) if is_unfinished(name, manifest)]
    if left or archives:
        disk.sync_directory(directory)
    is_damaged = any(note.what != UNFINISHED_CHANGE for note in kept.notes)
    for name in left:
        with contextlib.suppress(OSError):
            if not is_records_file(name) or not (is_damaged or _has_only_copy(disk, directory, name, state)):
                disk.remove(directory / name)
            else:
                kept.move_in(name, "the manifest does not name it")
    for name in archives:
        if _holds_only_copies(disk, directory, name, state):
            remove_archive(disk, directory, name)


def _has_only_copy(disk: Disk, directory: Path, name: str, state: State) -> bool:
    """Return whether a segment has a job that is in no journal, segment or archive. Raises OSError."""
    from jobtui.history.format.record_finder import read_records

    archives = Archives(disk, directory, Quarantine(disk, directory, write=False))
    for job, _ in read_records(disk.read_file(directory / name)):
        sealed = state.find_sealed(job.id)
        if (
            job.id not in state.recent
            and not (sealed is not None and sealed[0].exists())
            and archives.find(state.manifest, job.id) is None
        ):
            return True
    return False


def _holds_only_copies(disk: Disk, directory: Path, name: str, state: State) -> bool:
    """Return whether an archive has nothing but records that are in the history anyway. Raises OSError."""
    from jobtui.history.format.segment import scan_segments

    place = directory / ARCHIVE / name
    if not disk.is_directory(place) or not all(map(_is_archive_file, disk.list_names(place))):
        return False
    aside = Quarantine(disk, directory, write=False)
    try:
        found = scan_segments(disk, place, aside)
        is_read = not any(note.what.startswith(UNREADABLE) for note in aside.notes)
        return is_read and all(_is_copy(disk, segment, state.segments) for segment in found)
    except OSError as error:
        if not (is_unreadable(error) or isinstance(error, FileNotFoundError)):
            raise
        return False  # what can't be compared stays


def _is_archive_file(name: str) -> bool:
    return SEGMENT_FILES.fullmatch(name) is not None or name in (CONTENTS, CONTENTS + TEMPORARY_SUFFIX)


def _is_copy(disk: Disk, segment: Segment, sealed: Sequence[Segment]) -> bool:
    """Return whether all whole records of a segment are in those, too, to the byte. Raises OSError."""
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
        name == MANIFEST + TEMPORARY_SUFFIX
        or SEGMENT_FILES.fullmatch(name) is not None
        or (number is not None and number < manifest.journal)
    )


def remove_archive(disk: Disk, directory: Path, name: str) -> None:
    """Remove an archive that the manifest does not name."""
    place = directory / ARCHIVE / name
    with contextlib.suppress(OSError):
        for file in disk.list_names(place):
            disk.remove(place / file)
        disk.remove_directory(place)
