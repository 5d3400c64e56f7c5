"""Archived jobs: directories of segments under `archive/`, out of the normal views and never deleted.

An archive has the segments' own files: those whose jobs were all archived are moved whole, by a second
name, and others are divided. `ARCHIVE.json` in it is its manifest. The history's manifest names the
archives; a directory that it does not name is what an unfinished archiving left, or was put there by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from jobtui.errors import DECODE_ERRORS
from jobtui.history.format.codec import framed, is_whole
from jobtui.history.format.damage import DamageNote
from jobtui.history.format.disk import Disk, is_lost
from jobtui.history.format.manifest import (
    ARCHIVE_DIRECTORY,
    ArchiveEntry,
    Format,
    Manifest,
    SegmentEntry,
    refuse_newer,
)
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.segment import UNREADABLE, Segment
from jobtui.model import Job

if TYPE_CHECKING:
    from jobtui.history.format.record_finder import Scattered

NAME: Final = "ARCHIVE.json"


class ArchiveResult(msgspec.Struct, frozen=True):
    """What was archived: the jobs' ids in rising order, and how many tasks they have."""

    ids: Sequence[int]
    tasks: int


class ArchiveManifest(msgspec.Struct, frozen=True):
    """An archive's own manifest."""

    schema: int
    segments: tuple[SegmentEntry, ...]


class ContentsDamagedError(Exception):
    """An archive's manifest is there and can't be read; `data` is what it holds."""

    def __init__(self, data: bytes) -> None:
        super().__init__("an archive's manifest is damaged")
        self.data = data


def contents(disk: Disk, directory: Path, name: str) -> tuple[SegmentEntry, ...]:
    """The segments of an archive. Raises OSError, StoreTooNew, and ContentsDamagedError."""
    data = disk.read_whole(directory / ARCHIVE_DIRECTORY / name / NAME)
    line = data.removesuffix(b"\n")
    if not is_whole(line):
        raise ContentsDamagedError(data)
    try:
        refuse_newer(msgspec.json.decode(line, type=Format).schema)
        return msgspec.json.decode(line, type=ArchiveManifest).segments
    except DECODE_ERRORS:
        raise ContentsDamagedError(data) from None


def write_contents(disk: Disk, path: Path, schema: int, segments: Sequence[SegmentEntry]) -> None:
    """Write an archive's manifest; the directory is not synced. Raises OSError."""
    disk.write_new(path / NAME, [framed(msgspec.json.encode(ArchiveManifest(schema, tuple(segments))))])


def put_contents(disk: Disk, path: Path, schema: int, segments: Sequence[SegmentEntry]) -> None:
    """Have an archive's manifest be another one, durably. Raises OSError."""
    disk.put(path / NAME, framed(msgspec.json.encode(ArchiveManifest(schema, tuple(segments)))))


def ids_of(segments: Sequence[Segment]) -> Iterator[int]:
    """The ids of the jobs that count in an archive's segments. Raises OSError."""
    for segment in segments:
        yield from map(segment.columns.ids.__getitem__, segment.present())


def entry_of(name: str, segments: Sequence[Segment]) -> ArchiveEntry | None:
    """How the history's manifest names an archive of these segments; None: no job in them counts.

    Raises OSError.
    """
    ids = sorted(ids_of(segments))
    if not ids:
        return None
    places = [(segment, segment.present()) for segment in segments]
    tasks = int(sum(sum(map(segment.numbers("tasks").__getitem__, some)) for segment, some in places))
    spaces = sorted({segment.summary(place)[0] for segment, some in places for place in some})
    return ArchiveEntry(name, len(ids), ids[0], ids[-1], tasks, tuple(spaces))


class Archives:
    """The archives of a history, each opened when it is first looked into."""

    def __init__(self, disk: Disk, directory: Path, quarantine: Quarantine) -> None:
        self._disk, self._directory, self._quarantine = disk, directory, quarantine
        self._open: dict[str, tuple[Segment, ...]] = {}
        self._scattered: Scattered | None = None

    @property
    def notes(self) -> tuple[DamageNote, ...]:
        """What was found damaged, here or by whom this shares its quarantine with."""
        return self._quarantine.notes

    def segments(self, archive: ArchiveEntry) -> tuple[Segment, ...]:
        """An archive's segments; none where there are none, which is noted. Raises OSError, StoreTooNew."""
        if archive.name not in self._open:
            place = self._directory / ARCHIVE_DIRECTORY / archive.name
            try:
                entries = contents(self._disk, self._directory, archive.name)
            except (FileNotFoundError, NotADirectoryError):
                return self._found_again(archive, "it is missing", b"")
            except ContentsDamagedError as error:
                return self._found_again(archive, "it is damaged", error.data)
            except OSError as error:
                if not is_lost(error):
                    raise
                return self._found_again(archive, f"{UNREADABLE}: {error.strerror or error}", b"")
            found = tuple(Segment(self._disk, place, entry, self._quarantine) for entry in entries)
            for segment in found:
                segment.elsewhere = self._find_elsewhere
            self._open[archive.name] = found
        return self._open[archive.name]

    def _find_elsewhere(self, job_id: int) -> Job | None:
        from jobtui.history.format.record_finder import Scattered  # which knows where archives are

        if self._scattered is None:
            archived = (segment for segments in self._open.values() for segment in segments)
            self._scattered = Scattered(self._disk, self._directory, archived)
        return self._scattered.find(job_id)

    def _found_again(self, archive: ArchiveEntry, what: str, data: bytes) -> tuple[Segment, ...]:
        """The segments that lie in the directory of an archive whose own manifest can't be read."""
        from jobtui.history.format.segment import segments_in

        place, file = (
            self._directory / ARCHIVE_DIRECTORY / archive.name,
            f"{ARCHIVE_DIRECTORY}/{archive.name}/{NAME}",
        )
        found = segments_in(self._disk, place, self._quarantine) if self._disk.is_directory(place) else []
        if found:
            self._quarantine.add(file, None, f"{what}: the segments beside it tell what is archived", data)
            newer = set[int]()
            for segment in reversed(found):
                segment.leave_out(newer.__contains__)
                newer.update(segment.columns.ids)
            for segment in found if archive.count else ():
                segment.leave_out(lambda job_id: not archive.first <= job_id <= archive.last)
            self._open[archive.name] = tuple(found)
        elif archive.count:
            jobs = f"jobs {archive.first} to {archive.last}"
            self._quarantine.add(file, None, f"{what}: {jobs} can't be read", data)
        return tuple(found)

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
