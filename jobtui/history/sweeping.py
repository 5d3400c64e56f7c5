"""Removing what an unfinished seal or archiving left behind."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from jobtui.history.archive import DIRECTORY as ARCHIVE
from jobtui.history.io import Disk
from jobtui.history.journal import journal_number
from jobtui.history.manifest import Manifest
from jobtui.history.segment import index_name, records_name

_TEMPORARY: Final = ".tmp"
_SEGMENT: Final = "seg-"


def sweep(disk: Disk, directory: Path, manifest: Manifest) -> None:
    """Remove what the manifest does not name, once it is certain that this manifest is on disk. Raises OSError.

    All that is removed is held elsewhere: an unfinished segment's jobs are in the journal, an unfinished
    archive's in the segments. What can't be removed does no harm.
    """
    named = {file(entry.name) for entry in manifest.segments for file in (records_name, index_name)}
    left = [name for name in disk.names(directory) if name not in named and _is_left(name, manifest)]
    archives = set(disk.names(directory / ARCHIVE)) - {entry.name for entry in manifest.archives}
    if left or archives:
        disk.sync_directory(directory)
    for name in left:
        with contextlib.suppress(OSError):
            disk.remove(directory / name)
    for name in archives:
        remove_archive(disk, directory, name)


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
