"""Removing what an unfinished seal or archiving left behind."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jobtui.history.archive import NAME as CONTENTS
from jobtui.history.archive import Archives
from jobtui.history.framing import is_whole
from jobtui.history.io import Disk, is_lost
from jobtui.history.journal import journal_number
from jobtui.history.manifest import ARCHIVE_DIRECTORY as ARCHIVE
from jobtui.history.manifest import NAME as MANIFEST
from jobtui.history.manifest import Manifest
from jobtui.history.quarantine import Quarantine
from jobtui.history.replay import UNFINISHED
from jobtui.history.segment import UNREADABLE, Segment, index_name, records_name
from jobtui.history.state import State

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
    from jobtui.history.scattered import records_in

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
    from jobtui.history.segment import segments_in

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
