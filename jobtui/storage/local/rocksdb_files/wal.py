"""The reader of WAL files: their records, the kinds of their entries, and the families that these belong to.

A MANIFEST has the same records: blocks of 32 KiB, with each record cut into fragments.

    crc 4 bytes | length 2 | type 1 | (recyclable types: number of the log file 4) | payload

Checksums are not verified here: RocksDB does that when it opens the database.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

import msgspec

from jobtui.storage.local.rocksdb_files import ByteReader, Unreadable

_BLOCK = 32 << 10
_HEADER = 7
_RECYCLABLE_HEADER = 11
_FULL, _FIRST, _MIDDLE, _LAST = range(1, 5)
_RECYCLABLE = range(5, 9)
_COMPRESSION = 9
_LENGTH_AND_KIND = struct.Struct("<4xHB")
_TIMESTAMP_SIZE = (10, 11)

_BATCH_HEADER = 12
_SEQUENCE_AND_COUNT = struct.Struct("<QI")
_MERGE = (2, 6)
_COMMENT = 3
_BEGIN_PREPARE = 9
_END_PREPARE, _COMMIT, _ROLLBACK = 10, 11, 12
_NOTHING = 13
_OF_BLOB_DB = (16, 17)
_OF_OTHER_POLICIES = (18, 19)  # WritePrepared, WriteUnprepared
_COMMIT_WITH_TIMESTAMP = 21
# kinds of entries: whether a family's number comes first, and how many texts follow
_ENTRIES: dict[int, tuple[bool, int]] = {
    0: (False, 1),  # delete
    1: (False, 2),  # put
    2: (False, 2),  # merge
    4: (True, 1),
    5: (True, 2),
    6: (True, 2),
    7: (False, 1),  # single delete
    8: (True, 1),
    14: (True, 2),  # delete a range
    15: (False, 2),
    22: (False, 2),  # wide columns
    23: (True, 2),
    24: (False, 2),  # put with a preferred sequence number
    25: (True, 2),
}


class Tail(enum.Enum):
    """The end of a file of records."""

    WHOLE = "whole"
    TORN = "torn"  # in the middle of a record, as after the end of the program that wrote it
    RECYCLED = "recycled"  # with records of an earlier log in the same file


class RecordReader:
    """The reader of the records in one file's `data`; `number` is the file's own, None for a MANIFEST.

    After the last record `tail` says how the file ends, and `recycled` whether its records are of the
    recyclable kind.
    """

    def __init__(self, data: bytes, number: int | None = None) -> None:
        self.tail = Tail.WHOLE
        self.recycled = False
        self._data = data
        self._number = number

    def __iter__(self) -> Iterator[bytes]:
        """Yield the payload of each whole record.

        A WAL holds a record for each write, millions of them, hence one loop without calls.

        Raises:
            Unreadable: A kind of record is not known; compressed records are among these, if there are any.
        """
        data, position, end = self._data, 0, len(self._data)
        parts: list[bytes] = []
        while position < end:
            left = _BLOCK - position % _BLOCK
            if left < _HEADER:
                position += left
                continue
            if end - position < _HEADER:
                self.tail = Tail.TORN
                return
            length, kind = _LENGTH_AND_KIND.unpack_from(data, position)
            header = _HEADER
            if not _FULL <= kind <= _LAST or self.recycled:
                if not kind and not length and not data[position:].strip(b"\0"):
                    self.tail = Tail.TORN  # space that was reserved and not written
                    return
                if kind in _RECYCLABLE:
                    header = _RECYCLABLE_HEADER
                if self._is_old(kind, position, header + length <= left):
                    self.tail = Tail.RECYCLED
                    return
            after = position + header + length
            if header + length > left:
                raise Unreadable("has a record that is longer than its block")
            if after > end:
                self.tail = Tail.TORN
                return
            payload = data[position + header : after]
            position = after
            if kind in _RECYCLABLE:
                self.recycled = True
                kind -= 4
            if kind == _FULL and not parts:
                yield payload
            elif not _FULL <= kind <= _LAST:
                # a WAL begins with its compression; before the first write there is nothing to decompress
                is_first = position == header + length
                if kind != _COMPRESSION or not is_first or data[position:].strip(b"\0"):
                    _refuse_unknown(kind, payload)
            elif kind == _FULL or (kind == _FIRST) is bool(parts):
                raise Unreadable("has a record without an end or a beginning")
            else:
                parts.append(payload)
                if kind == _LAST:
                    yield b"".join(parts)
                    parts = []
        if parts:
            self.tail = Tail.TORN

    def _is_old(self, kind: int, position: int, whole: bool) -> bool:
        """Return whether the record at the position is from an earlier use of a recycled file."""
        if self._number is None or not (self.recycled or kind in _RECYCLABLE):
            return False
        if kind not in _RECYCLABLE or not whole:
            return True
        number = self._data[position + _HEADER : position + _RECYCLABLE_HEADER]
        return int.from_bytes(number, "little") != self._number & 0xFFFFFFFF


def _refuse_unknown(kind: int, payload: bytes) -> None:
    if kind == _COMPRESSION:
        if payload.strip(b"\0"):
            raise Unreadable("is compressed (wal_compression)")
    elif kind in _TIMESTAMP_SIZE:
        raise Unreadable("has keys with user-defined timestamps")
    else:
        raise Unreadable(f"has a kind of record that is not known ({kind})")


class WalContent(msgspec.Struct):
    """The content of a WAL file.

    `written` and `merged` are the ids of the families with entries, and of those with merges. `prepared` and
    `ended` are the names of transactions that were prepared, and of those committed or rolled back.
    `other_policy`: transactions of the kinds WritePrepared or WriteUnprepared wrote here.
    """

    written: set[int] = msgspec.field(default_factory=set)
    merged: set[int] = msgspec.field(default_factory=set)
    prepared: set[bytes] = msgspec.field(default_factory=set)
    ended: set[bytes] = msgspec.field(default_factory=set)
    other_policy: bool = False
    tail: Tail = Tail.WHOLE
    recycled: bool = False
    records: int = 0


def read_wal(data: bytes, number: int) -> WalContent:
    """Return the content of the WAL file of that number.

    Raises:
        Unreadable: It has content that this reader does not know.
    """
    content = WalContent()
    reader = RecordReader(data, number)
    expected = 0
    for record in reader:
        if len(record) < _BATCH_HEADER:
            raise Unreadable("has a record that is too short")
        sequence, count = _SEQUENCE_AND_COUNT.unpack_from(record)
        prepares = _read_entries(record, content)
        # overlapping numbers count batches instead of entries, as the other write policies do
        if sequence < expected:
            content.other_policy = True
        expected = sequence if prepares else sequence + count
        content.records += 1
    content.tail, content.recycled = reader.tail, reader.recycled
    return content


def _read_entries(record: bytes, content: WalContent) -> bool:
    """Read a batch's entries; return whether it prepares a transaction."""
    prepares = False
    position, end = _BATCH_HEADER, len(record)
    try:
        while position < end:
            kind = record[position]
            position += 1
            entry = _ENTRIES.get(kind)
            if entry is None:
                position, prepared = _read_mark(record, position, kind, content)
                prepares = prepares or prepared
                continue
            family, texts = 0, entry[1]
            if entry[0]:
                family, position = _varint(record, position)
            for _ in range(texts):
                length = record[position]
                position += 1
                if length >= 0x80:
                    length, position = _varint(record, position - 1)
                position += length
            content.written.add(family)
            if kind in _MERGE:
                content.merged.add(family)
    except IndexError:
        position = end + 1
    if position > end:
        raise Unreadable("has a record that ends in the middle")
    return prepares


def _varint(record: bytes, position: int) -> tuple[int, int]:
    cursor = ByteReader(record, position)
    return cursor.varint(), cursor.position


def _read_mark(record: bytes, position: int, kind: int, content: WalContent) -> tuple[int, bool]:
    """Read a mark of a transaction; return the position after it, and whether it prepares a transaction."""
    batch = ByteReader(record, position)
    prepares = kind == _BEGIN_PREPARE or kind in _OF_OTHER_POLICIES
    if kind in _OF_OTHER_POLICIES:
        content.other_policy = True
    elif kind == _END_PREPARE:
        content.prepared.add(batch.text())
    elif kind in (_COMMIT, _ROLLBACK):
        content.ended.add(batch.text())
    elif kind == _COMMIT_WITH_TIMESTAMP:
        raise Unreadable("has keys with user-defined timestamps")
    elif kind == _COMMENT:
        batch.text()
    elif kind in _OF_BLOB_DB:
        raise Unreadable("was written by the old BlobDB")
    elif kind not in (_NOTHING, _BEGIN_PREPARE):
        raise Unreadable(f"has a kind of entry that is not known ({kind})")
    return batch.position, prepares
