"""The reader of WAL files: the kinds of their entries, and the families that these belong to."""

from __future__ import annotations

import struct

import msgspec

from jobtui.storage.local.rocksdb_files import Unreadable
from jobtui.storage.local.rocksdb_files.records import ByteReader, RecordReader, Tail

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
