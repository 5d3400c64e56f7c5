"""The manifest: which files make up the history. Its rename commits a seal or an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import DECODE_ERRORS, StoreTooNew
from jobtui.history.format.codec import SCHEMA, frame, is_intact
from jobtui.history.format.disk import Disk

MANIFEST_NAME: Final = "MANIFEST.json"


class SegmentEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A sealed segment: how many records, the lowest and highest id, the file's bytes, the records' format.

    `stale` are ids in it of which a newer version was sealed later.
    """

    name: str
    count: int
    first: int
    last: int
    bytes: int
    schema: int
    stale: tuple[int, ...] = ()


class ArchiveEntry(msgspec.Struct, frozen=True, gc=False):
    """A directory under `archive/`: its jobs' number, lowest and highest id, tasks and spaces."""

    name: str
    count: int
    first: int
    last: int
    tasks: int
    spaces: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True):
    """Everything that is sealed or archived, and where the journal goes on.

    `journal` is the first journal that counts, `seq` the number of the last change before it, `counts` how
    many sealed jobs there are by space and status.
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
    """The manifest is there and cannot be read; `data` is what it holds."""

    def __init__(self, data: bytes) -> None:
        super().__init__("the manifest is damaged")
        self.data = data


class FormatHeader(msgspec.Struct):
    """What a manifest of any format says first."""

    schema: int


def load(disk: Disk, directory: Path) -> Manifest | None:
    """Return the manifest, None where there is none. Raises ManifestDamagedError, StoreTooNew and OSError."""
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


def save(disk: Disk, directory: Path, manifest: Manifest) -> None:
    """Put the manifest in place, durably. Raises OSError, after which either may be there."""
    disk.write_atomically(directory / MANIFEST_NAME, frame(msgspec.json.encode(manifest)))


def refuse_newer(schema: int) -> None:
    """Raise StoreTooNew for a format above ours."""
    if schema > SCHEMA:
        raise StoreTooNew(
            f"The history was written by a newer jobtui (format {schema}; this one knows up to {SCHEMA}): "
            "update jobtui; nothing was changed"
        )


ARCHIVE_DIRECTORY: Final = "archive"
