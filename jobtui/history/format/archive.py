"""Archived jobs: directories of segments under `archive/`, outside the normal views.

No archived job is ever deleted. A restored job returns to a segment of the history, and the others of its
archive move to a new directory. Only a repair changes a file of an archive.

A segment of which all jobs are archived is moved to the archive as a whole, by a second name; any other is
split. `ARCHIVE.json` is the archive's own manifest. The history's manifest names the archives. A directory that
it does not name was left by an unfinished archiving, or put there by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import DECODE_ERRORS
from jobtui.history.format.codec import frame_line, is_intact
from jobtui.history.format.disk import Disk, is_unreadable
from jobtui.history.format.manifest import (
    ARCHIVE_DIRECTORY,
    ArchiveEntry,
    FormatHeader,
    Manifest,
    SegmentEntry,
    refuse_newer,
)
from jobtui.history.format.quarantine import DamageNote, Quarantine
from jobtui.history.format.record_finder import RecordFinder
from jobtui.history.format.segment import UNREADABLE, Segment, scan_segments
from jobtui.model import Job

ARCHIVE_MANIFEST_NAME: Final = "ARCHIVE.json"
RESTORED_MARKER: Final = "RESTORED"
"""A file in an archive whose jobs are moved elsewhere: once the manifest does not name it, it is a leftover."""


class ArchiveResult(msgspec.Struct, frozen=True):
    """The ids of the jobs that were archived or restored, and their number of tasks."""

    ids: Sequence[int]
    tasks: int


class ArchiveManifest(msgspec.Struct, frozen=True):
    """An archive's own manifest."""

    schema: int
    segments: tuple[SegmentEntry, ...]


class ArchiveManifestDamaged(Exception):
    """An archive's manifest that exists and cannot be decoded; `data` is its content."""

    def __init__(self, data: bytes) -> None:
        super().__init__("an archive's manifest is damaged")
        self.data = data


def load_archive_manifest(disk: Disk, directory: Path, name: str) -> tuple[SegmentEntry, ...]:
    """Return the segments of an archive.

    Raises OSError, StoreTooNew and ArchiveManifestDamaged.
    """
    data = disk.read_file(directory / ARCHIVE_DIRECTORY / name / ARCHIVE_MANIFEST_NAME)
    line = data.removesuffix(b"\n")
    if not is_intact(line):
        raise ArchiveManifestDamaged(data)
    try:
        refuse_newer(msgspec.json.decode(line, type=FormatHeader).schema)
        return msgspec.json.decode(line, type=ArchiveManifest).segments
    except DECODE_ERRORS:
        raise ArchiveManifestDamaged(data) from None


def create_archive_manifest(disk: Disk, path: Path, schema: int, segments: Sequence[SegmentEntry]) -> None:
    """Write an archive's manifest; the directory is not synced. Raises OSError."""
    disk.create_with(
        path / ARCHIVE_MANIFEST_NAME,
        [frame_line(msgspec.json.encode(ArchiveManifest(schema, tuple(segments))))],
    )


def replace_archive_manifest(disk: Disk, path: Path, schema: int, segments: Sequence[SegmentEntry]) -> None:
    """Replace an archive's manifest, durably. Raises OSError."""
    disk.write_atomically(
        path / ARCHIVE_MANIFEST_NAME, frame_line(msgspec.json.encode(ArchiveManifest(schema, tuple(segments))))
    )


def current_ids(segments: Sequence[Segment]) -> Iterator[int]:
    """Yield the ids of the jobs that count in an archive's segments. Raises OSError."""
    for segment in segments:
        yield from map(segment.columns.ids.__getitem__, segment.current_rows())


def describe_archive(name: str, segments: Sequence[Segment]) -> ArchiveEntry | None:
    """Return the manifest's entry for an archive of these segments; None without any job.

    Raises OSError.
    """
    ids = sorted(current_ids(segments))
    if not ids:
        return None
    rows = [(segment, segment.current_rows()) for segment in segments]
    tasks = int(sum(sum(map(segment.numbers("tasks").__getitem__, some)) for segment, some in rows))
    spaces = sorted({segment.space_and_status(row)[0] for segment, some in rows for row in some})
    return ArchiveEntry(name, len(ids), ids[0], ids[-1], tasks, tuple(spaces))


class Archives:
    """The archives of a history, each opened when it is first needed."""

    def __init__(self, disk: Disk, directory: Path, quarantine: Quarantine) -> None:
        self._disk, self._directory, self._quarantine = disk, directory, quarantine
        self._open: dict[str, tuple[Segment, ...]] = {}
        self._finder: RecordFinder | None = None

    @property
    def notes(self) -> tuple[DamageNote, ...]:
        """The notes about damage in the quarantine that is used here."""
        return self._quarantine.notes

    @property
    def opened(self) -> tuple[Segment, ...]:
        """The segments of the archives that are open."""
        return tuple(segment for segments in tuple(self._open.values()) for segment in segments)

    def segments(self, archive: ArchiveEntry) -> tuple[Segment, ...]:
        """Return an archive's segments, none if it is missing, which is noted.

        Raises OSError, StoreTooNew.
        """
        if archive.name not in self._open:
            path = self._directory / ARCHIVE_DIRECTORY / archive.name
            try:
                entries = load_archive_manifest(self._disk, self._directory, archive.name)
            except (FileNotFoundError, NotADirectoryError):
                return self._scan(archive, "it is missing", b"")
            except ArchiveManifestDamaged as error:
                return self._scan(archive, "it is damaged", error.data)
            except OSError as error:
                if not is_unreadable(error):
                    raise
                return self._scan(archive, f"{UNREADABLE}: {error.strerror or error}", b"")
            found = tuple(Segment(self._disk, path, entry, self._quarantine) for entry in entries)
            for segment in found:
                segment.find_elsewhere = self._find_elsewhere
            self._open[archive.name] = found
        return self._open[archive.name]

    def _find_elsewhere(self, job_id: int) -> Job | None:
        if self._finder is None:
            self._finder = RecordFinder(self._disk, self._directory, self.opened)
        return self._finder.find(job_id)

    def _scan(self, archive: ArchiveEntry, what: str, data: bytes) -> tuple[Segment, ...]:
        """Return the segments in the directory of an archive whose own manifest cannot be read."""
        path = self._directory / ARCHIVE_DIRECTORY / archive.name
        file = f"{ARCHIVE_DIRECTORY}/{archive.name}/{ARCHIVE_MANIFEST_NAME}"
        found = scan_segments(self._disk, path, self._quarantine) if self._disk.is_directory(path) else []
        if found:
            self._quarantine.add(file, None, f"{what}: the segments next to it show what is archived", data)
            newer = set[int]()
            for segment in reversed(found):
                segment.mark_superseded(newer.__contains__)
                newer.update(segment.columns.ids)
            for segment in found if archive.count else ():
                segment.mark_superseded(lambda job_id: not archive.first <= job_id <= archive.last)
            self._open[archive.name] = tuple(found)
        elif archive.count:
            jobs = f"jobs {archive.first} to {archive.last}"
            self._quarantine.add(file, None, f"{what}: {jobs} cannot be read", data)
        return tuple(found)

    def invalidate(self, archive: ArchiveEntry) -> None:
        """Read this archive's manifest again at its next use."""
        self._open.pop(archive.name, None)

    def all_segments(self, manifest: Manifest) -> tuple[Segment, ...]:
        """Return the segments of all archives. Raises OSError."""
        return tuple(segment for archive in manifest.archives for segment in self.segments(archive))

    def find(self, manifest: Manifest, job_id: int) -> tuple[Segment, int] | None:
        """Return the segment and the row of an archived job, None if there is none.

        Raises OSError.
        """
        for archive in manifest.archives:
            if archive.first <= job_id <= archive.last:
                for segment in self.segments(archive):
                    if (row := segment.row_of(job_id)) is not None:
                        return segment, row
        return None


_ARCHIVE_NAME: Final = r"jobs-\d+-\d+(\.\d+)?-(\d+)"


def is_unfinished(name: str, manifest: Manifest) -> bool:
    """Return whether a directory is the archive that the next manifest would have named."""
    made = re.fullmatch(_ARCHIVE_NAME, name)
    return (
        made is not None
        and int(made[2]) == manifest.generation + 1
        and all(entry.name != name for entry in manifest.archives)
    )


def is_archive_name(name: str) -> bool:
    """Return whether a name has the form of an archive's directory."""
    return re.fullmatch(_ARCHIVE_NAME, name) is not None
