"""The manifest, which names the files of the history.

Its rename commits a seal or an archive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import DECODE_ERRORS, StoreTooNew
from jobtui.history.format.codec import SCHEMA, frame_line, is_intact
from jobtui.history.format.disk import Disk

MANIFEST_NAME: Final = "MANIFEST.json"
ARCHIVE_DIRECTORY: Final = "archive"


class SegmentEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A sealed segment: its number of records, lowest and highest id, size and format.

    `stale` are the ids in it with a newer version that was sealed later.
    """

    name: str
    count: int
    first: int
    last: int
    bytes: int
    schema: int
    stale: tuple[int, ...] = ()


class ArchiveEntry(msgspec.Struct, frozen=True, gc=False):
    """An archive's directory: number, lowest and highest id, tasks and spaces of its jobs."""

    name: str
    count: int
    first: int
    last: int
    tasks: int
    spaces: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True):
    """The sealed and archived files, and where the journal continues.

    Attributes:
        schema: The format of the history.
        generation: How often the manifest was written.
        journal: The number of the first journal that counts.
        seq: The number of the last change before that journal.
        next_segment: The number of the next segment.
        next_id: The id of the next job.
        segments: The sealed segments.
        counts: The number of sealed jobs by space and status.
        archives: The archives.
    """

    schema: int = SCHEMA
    generation: int = 0
    journal: int = 1
    seq: int = 0
    next_segment: int = 1
    next_id: int = 1
    segments: tuple[SegmentEntry, ...] = ()
    counts: dict[str, dict[str, int]] = {}
    archives: tuple[ArchiveEntry, ...] = ()


class ManifestDamaged(Exception):
    """A manifest that exists and cannot be decoded; `data` is its content."""

    def __init__(self, data: bytes) -> None:
        super().__init__("the manifest is damaged")
        self.data = data


class FormatHeader(msgspec.Struct):
    """The field that manifests of all formats have."""

    schema: int


def load_manifest(disk: Disk, directory: Path) -> Manifest | None:
    """Return the manifest, None if there is none.

    Raises ManifestDamaged, StoreTooNew and OSError.
    """
    try:
        data = disk.read_file(directory / MANIFEST_NAME)
    except FileNotFoundError:
        return None
    line = data.removesuffix(b"\n")
    if not is_intact(line):
        raise ManifestDamaged(data)
    try:
        schema = msgspec.json.decode(line, type=FormatHeader).schema
        refuse_newer(schema)
        return msgspec.json.decode(line, type=Manifest)
    except DECODE_ERRORS:
        raise ManifestDamaged(data) from None


def write_manifest(disk: Disk, directory: Path, manifest: Manifest) -> None:
    """Replace the manifest durably.

    Raises OSError, after which the old or the new one may be there.
    """
    disk.write_atomically(directory / MANIFEST_NAME, frame_line(msgspec.json.encode(manifest)))


def refuse_newer(schema: int) -> None:
    """Raise StoreTooNew for a format that is newer than this version's."""
    if schema > SCHEMA:
        raise StoreTooNew(
            f"The history was written by a newer jobtui (format {schema}; this one knows up to {SCHEMA}): "
            "update jobtui; nothing was changed"
        )
