"""Archived jobs: directories of segments under `archive/`, out of the normal views and never deleted.

An archive has the segments' own files: those whose jobs were all archived are moved whole, by a second
name, and others are divided. `ARCHIVE.json` in it is its manifest. The history's manifest names the
archives; a directory that it does not name is what an unfinished archiving left.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.history.framing import framed, is_whole
from jobtui.history.io import Disk
from jobtui.history.manifest import ArchiveEntry, Manifest, SegmentEntry
from jobtui.history.quarantine import Quarantine
from jobtui.history.segment import Segment

DIRECTORY: Final = "archive"
NAME: Final = "ARCHIVE.json"


class ArchiveResult(msgspec.Struct, frozen=True):
    """What was archived: the jobs' ids in rising order, and how many tasks they have."""

    ids: Sequence[int]
    tasks: int


class Contents(msgspec.Struct, frozen=True):
    """An archive's own manifest."""

    schema: int
    segments: tuple[SegmentEntry, ...]


def contents(disk: Disk, directory: Path, name: str) -> tuple[SegmentEntry, ...]:
    """The segments of an archive. Raises OSError, and ValueError where its manifest is damaged."""
    line = disk.read_whole(directory / DIRECTORY / name / NAME).removesuffix(b"\n")
    if not is_whole(line):
        raise ValueError("the archive's manifest is damaged")
    return msgspec.json.decode(line, type=Contents).segments


def write_contents(disk: Disk, path: Path, schema: int, segments: Sequence[SegmentEntry]) -> None:
    """Write an archive's manifest; the directory is not synced. Raises OSError."""
    disk.write_new(path / NAME, [framed(msgspec.json.encode(Contents(schema, tuple(segments))))])


def put_contents(disk: Disk, path: Path, schema: int, segments: Sequence[SegmentEntry]) -> None:
    """Have an archive's manifest be another one, durably. Raises OSError."""
    disk.put(path / NAME, framed(msgspec.json.encode(Contents(schema, tuple(segments)))))


class Archives:
    """The archives of a history, each opened when it is first looked into."""

    def __init__(self, disk: Disk, directory: Path, quarantine: Quarantine) -> None:
        self._disk, self._directory, self._quarantine = disk, directory, quarantine
        self._open: dict[str, tuple[Segment, ...]] = {}

    def segments(self, archive: ArchiveEntry) -> tuple[Segment, ...]:
        """An archive's segments; none where it can't be read, which is noted. Raises OSError."""
        if archive.name not in self._open:
            place = self._directory / DIRECTORY / archive.name
            try:
                entries = contents(self._disk, self._directory, archive.name)
            except (FileNotFoundError, ValueError) as error:
                what = f"jobs {archive.first} to {archive.last} can't be read: {error}"
                self._quarantine.add(f"{DIRECTORY}/{archive.name}/{NAME}", None, what)
                return ()
            self._open[archive.name] = tuple(
                Segment(self._disk, place, entry, self._quarantine) for entry in entries
            )
        return self._open[archive.name]

    def forget(self, archive: ArchiveEntry) -> None:
        """Look into this archive anew when it is asked for."""
        self._open.pop(archive.name, None)

    def all_segments(self, manifest: Manifest) -> tuple[Segment, ...]:
        """The segments of all archives. Raises OSError."""
        return tuple(segment for archive in manifest.archives for segment in self.segments(archive))

    def find(self, manifest: Manifest, job_id: int) -> tuple[Segment, int] | None:
        """Where an archived job is, None where there is no such. Raises OSError."""
        for archive in manifest.archives:
            if archive.first <= job_id <= archive.last:
                for segment in self.segments(archive):
                    if (place := segment.place_of(job_id)) is not None:
                        return segment, place
        return None
