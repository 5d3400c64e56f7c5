"""The reader of MANIFEST files: the families, their files, and the WAL files that are still needed."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from jobtui.storage.local.rocksdb_files import ByteReader, Unreadable
from jobtui.storage.local.rocksdb_files.wal import RecordReader, Tail

_SAFE_TO_IGNORE = 1 << 13
_FILE_TAG_NOT_SAFE = 1 << 6
_END_OF_FILE_TAGS = 1
_PATH = 65
_NUMBERS = {2: "log", 3: "next", 4: "sequence", 9: "previous log", 10: "least log", 203: "greatest family"}
_WITHOUT_LENGTH = range(8194, 8198)  # of formats that were given up
_MAX_NAME_BYTES = 1024


class ManifestFile(msgspec.Struct, frozen=True):
    """An SST file: the directory it is in (0: the first of its family's paths) and its user keys' range."""

    path: int
    smallest: bytes
    largest: bytes


class ManifestFamily(msgspec.Struct):
    """A column family: its comparator, its oldest needed WAL file and its SST files."""

    name: str
    comparator: str = ""
    log: int = 0
    files: dict[int, ManifestFile] = msgspec.field(default_factory=dict)


class RocksdbManifest(msgspec.Struct):
    """The state that a MANIFEST describes, by family id.

    `gone` are the numbers of SST files that were part of the database and are no longer; `least_log` is the
    oldest WAL file with a prepared transaction, 0 if there is none; `next` is the next number of a file.
    """

    families: dict[int, ManifestFamily] = msgspec.field(default_factory=lambda: {0: ManifestFamily("default")})
    blobs: set[int] = msgspec.field(default_factory=set)
    gone: set[int] = msgspec.field(default_factory=set)
    least_log: int = 0
    next: int = 0
    tail: Tail = Tail.WHOLE

    @property
    def tables(self) -> set[int]:
        """The numbers of the SST files that are part of the database."""
        return {number for family in self.families.values() for number in family.files}

    @property
    def oldest_log(self) -> int:
        """The number of the oldest WAL file that an opening replays."""
        oldest = min(family.log for family in self.families.values())
        return min(oldest, self.least_log) if self.least_log else oldest

    def has_first_wal(self, number: int, wals: Collection[int]) -> bool:
        """Return whether the WAL files exist from the first one that this state needs.

        RocksDB deletes WAL files from the oldest on, so the first one is enough. After a flush it is the file
        that the MANIFEST names. After a replay the MANIFEST names the number after the last replayed file,
        which no file has: the first one is then the file that the same opening made, directly before or after
        the MANIFEST.

        Args:
            number: The MANIFEST's own.
            wals: The numbers of the WAL files in the directory.
        """
        named = max(family.log for family in self.families.values())
        first = min((wal for wal in wals if wal >= named), default=0)
        return first == named or (named < number and first in (number - 1, number + 1))


def parse_manifest(data: bytes) -> RocksdbManifest:
    """Read a MANIFEST.

    Raises:
        Unreadable: It has content that this reader does not know.
    """
    manifest = RocksdbManifest()
    reader = RecordReader(data)
    edits = 0
    for record in reader:
        _Edit(manifest, ByteReader(record)).apply()
        edits += 1
    if not edits:
        raise Unreadable("holds nothing")
    manifest.tail = reader.tail
    return manifest


class _Edit:
    """A record: changes of one family, and of the database."""

    def __init__(self, manifest: RocksdbManifest, cursor: ByteReader) -> None:
        self._manifest = manifest
        self._cursor = cursor
        self._family = 0
        self._comparator = ""
        self._log: int | None = None
        self._added: dict[int, ManifestFile] = {}
        self._deleted: set[int] = set()
        self._new_name: str | None = None
        self._dropped = False

    def apply(self) -> None:
        """Read the record, then change the manifest."""
        while not self._cursor.at_end:
            self._read(self._cursor.varint())
        families = self._manifest.families
        if self._dropped:
            dropped = families.pop(self._family, None)
            self._manifest.gone.update(dropped.files if dropped else ())
            return
        if self._new_name is not None:
            families[self._family] = ManifestFamily(self._new_name)
        family = families.get(self._family)
        if family is None:
            raise Unreadable(f"changes a column family that it did not add ({self._family})")
        family.comparator = self._comparator or family.comparator
        family.log = max(family.log, self._log or 0)
        for number in self._deleted:
            family.files.pop(number, None)
            self._manifest.gone.add(number)
        family.files.update(self._added)
        self._manifest.gone.difference_update(self._added)

    def _read(self, tag: int) -> None:
        """Read a field; its tag is one of RocksDB's `Tag` in db/version_edit.h."""
        cursor = self._cursor
        match tag:
            case 1:
                self._comparator = _named(cursor.text())
            case _ if tag in _NUMBERS:
                self._read_number(_NUMBERS[tag], cursor.varint())
            case 5:  # where the next compaction of a level begins
                cursor.varint(), cursor.text()
            case 6:  # a file that is no longer part of a level
                cursor.varint()
                self._deleted.add(cursor.varint())
            case 7 | 100 | 102 | 103:  # a new file, in the forms of four versions
                self._read_file(tag)
            case 200:
                self._family = cursor.varint()
            case 201:
                self._new_name = _named(cursor.text())
            case 202:
                self._dropped = True
            case 300:  # edits left of an atomic group
                cursor.varint()
            case 400:
                self._read_blob()
            case 401:  # values of a blob file that are no longer needed
                for _ in range(3):
                    cursor.varint()
                self._skip_fields(end=0)
            case _:
                self._read_ignorable(tag)

    def _read_number(self, what: str, number: int) -> None:
        if what == "log":
            self._log = number
        elif what == "next":
            self._manifest.next = number
        elif what == "least log":
            self._manifest.least_log = max(self._manifest.least_log, number)

    def _read_file(self, tag: int) -> None:
        cursor = self._cursor
        cursor.varint()  # level
        number = cursor.varint()
        path = cursor.varint() if tag == 102 else 0
        cursor.varint()  # size
        smallest, largest = cursor.text(), cursor.text()
        if tag != 7:
            cursor.varint(), cursor.varint()  # sequence numbers
        if tag == 103:
            path = self._skip_fields(end=_END_OF_FILE_TAGS)
        self._added[number] = ManifestFile(path, smallest[:-8], largest[:-8])

    def _read_blob(self) -> None:
        cursor = self._cursor
        self._manifest.blobs.add(cursor.varint())
        cursor.varint(), cursor.varint()  # the number and the bytes of its values
        cursor.text(), cursor.text()  # the method and the value of its checksum
        self._skip_fields(end=0)

    def _skip_fields(self, end: int) -> int:
        """Skip the fields of a file and return its path's number."""
        path = 0
        while (tag := self._cursor.varint()) != end:
            field = self._cursor.text()
            if tag == _PATH and end == _END_OF_FILE_TAGS:
                path = field[0] if len(field) == 1 else 1
            elif tag & _FILE_TAG_NOT_SAFE:
                raise Unreadable(f"says something of a file that is not known ({tag})")
        return path

    def _read_ignorable(self, tag: int) -> None:
        if not tag & _SAFE_TO_IGNORE or tag in _WITHOUT_LENGTH:
            raise Unreadable(f"holds something that is not known ({tag})")
        self._cursor.text()


def _named(text: bytes) -> str:
    if len(text) > _MAX_NAME_BYTES:
        raise Unreadable("has a name that is too long")
    return text.decode("utf-8", "surrogateescape")
