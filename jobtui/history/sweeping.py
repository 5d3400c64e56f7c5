"""Removing what an unfinished seal or archiving left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jobtui.history.archive import DIRECTORY as ARCHIVE
from jobtui.history.io import Disk, is_lost
from jobtui.history.journal import journal_number
from jobtui.history.manifest import Manifest
from jobtui.history.quarantine import Quarantine
from jobtui.history.segment import index_name, records_name
from jobtui.history.state import State

_TEMPORARY: Final = ".tmp"
_SEGMENT: Final = "seg-"
_RECORDS: Final = ".jsonl"


def sweep(disk: Disk, directory: Path, state: State, kept: Quarantine | None) -> None:
    """Remove what the manifest does not name, once it is certain that this manifest is on disk. Raises OSError.

    All that is removed is held elsewhere: an unfinished segment's jobs are in the journal, an unfinished
    archive's in the segments. What can't be removed does no harm. Any other directory among the archives is
    left alone: it may be one that was put there by hand. With `kept`, which is where something was found
    damaged, segments are put there instead: they may be all that is left of it.
    """
    manifest = state.manifest
    named = {file(entry.name) for entry in manifest.segments for file in (records_name, index_name)}
    left = [name for name in disk.names(directory) if name not in named and _is_left(name, manifest)]
    archives = [name for name in disk.names(directory / ARCHIVE) if is_unfinished(name, manifest)]
    if left or archives:
        disk.sync_directory(directory)
    for name in left:
        with contextlib.suppress(OSError):
            if kept is None or not _has_records(name):
                disk.remove(directory / name)
            else:
                kept.put_away(name, "the manifest does not name it")
    for name in archives:
        if _is_held(disk, directory, name, state):
            remove_archive(disk, directory, name)


def _is_held(disk: Disk, directory: Path, name: str, state: State) -> bool:
    """Whether all jobs in an archive are in the history anyway. Raises OSError."""
    from jobtui.history.rebuilding import segments_in

    if not disk.is_directory(directory / ARCHIVE / name):
        return False
    found = segments_in(disk, directory / ARCHIVE / name, Quarantine(disk, directory, write=False))
    ids = (job_id for segment in found for job_id in segment.columns.ids)
    return all(job_id in state.recent or state.sealed(job_id) is not None for job_id in ids)


def is_unfinished(name: str, manifest: Manifest) -> bool:
    """Whether a directory among the archives is what the manifest after this one would have named."""
    return name.endswith(f"-{manifest.generation + 1}") and all(
        entry.name != name for entry in manifest.archives
    )


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
    return name.startswith(_SEGMENT) and name.endswith(_RECORDS)


def _is_left(name: str, manifest: Manifest) -> bool:
    number = journal_number(name)
    return (
        name.endswith(_TEMPORARY)
        or name.startswith(_SEGMENT)
        or (number is not None and number < manifest.journal)
    )


def remove_archive(disk: Disk, directory: Path, name: str) -> None:
    """Remove an archive that the manifest does not name."""
    place = directory / ARCHIVE / name
    with contextlib.suppress(OSError):
        for file in disk.names(place):
            disk.remove(place / file)
        disk.remove_directory(place)
