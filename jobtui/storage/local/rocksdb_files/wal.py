"""What a WAL file holds: the kinds of its entries and the families that they belong to."""

from __future__ import annotations

import msgspec

from jobtui.storage.local.rocksdb_files import Unreadable
from jobtui.storage.local.rocksdb_files.records import Cursor, RecordReader, Tail

_BATCH_HEADER = 12
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
    """What was found in a WAL file.

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
    """Return what the WAL file of that number holds.

    Raises:
        Unreadable: It holds what this reader does not know.
    """
    content = WalContent()
    reader = RecordReader(data, number)
    expected = 0
    for record in reader:
        if len(record) < _BATCH_HEADER:
            raise Unreadable("has a record that is too short")
        batch = Cursor(record)
        sequence, count = batch.fixed64(), batch.fixed32()
        prepares = _read_entries(batch, content)
        # numbers that overlap are those of batches and not of entries, as the other policies count
        content.other_policy = content.other_policy or sequence < expected
        expected = sequence if prepares else sequence + count
        content.records += 1
    content.tail, content.recycled = reader.tail, reader.recycled
    return content


def _read_entries(batch: Cursor, content: WalContent) -> bool:
    """Read a batch's entries; return whether it prepares a transaction."""
    prepares = False
    while not batch.at_end:
        kind = batch.data[batch.position]
        batch.position += 1
        if entry := _ENTRIES.get(kind):
            family = batch.varint() if entry[0] else 0
            for _ in range(entry[1]):
                batch.text()
            content.written.add(family)
            if kind in _MERGE:
                content.merged.add(family)
        elif kind == _BEGIN_PREPARE:
            prepares = True
        elif kind in _OF_OTHER_POLICIES:
            prepares = content.other_policy = True
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
        elif kind != _NOTHING:
            raise Unreadable(f"has a kind of entry that is not known ({kind})")
    return prepares
