"""The functions that write pairs into a database and read them back in key order."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rocksdict import ReadOptions, WriteBatch, WriteOptions

from jobtui.errors import ErrorCode
from jobtui.formatting import format_bytes
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.protocol import MAX_PAIR_BYTES, PairsReply
from jobtui.storage.local.worker.database import Database, DatabaseHandle, DumpCursor

BATCH_PAIRS = 4096
BATCH_BYTES = 256 << 10
_STALLED = "Write stall"


def write_pairs(database: Database, pairs: Sequence[tuple[bytes, bytes | None]], sync: bool) -> None:
    """Write the pairs in their order, all or none; a value of None deletes.

    Raises WorkerError.
    """

    def write(handle: DatabaseHandle) -> None:
        if pairs:
            _write(handle, pairs)
        if sync:
            handle.main.flush_wal(True)

    database.run(write, write=True, needed=sum(len(key) + len(value or b"") for key, value in pairs))


def read_pairs(database: Database, number: int) -> PairsReply:
    """Return the next pairs from the position of that cursor. Raises WorkerError."""
    cursor = database.cursor(number)
    pairs, last, skipped_families = database.run(lambda handle: _read(handle, cursor), write=False)
    if last:
        database.end_cursor(number)
    return PairsReply(tuple(pairs), last, skipped_families)


def _write(handle: DatabaseHandle, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
    options = WriteOptions()
    # a write that waits for a flush would hold the interpreter's lock, and so delay a stop
    options.no_slowdown = True
    pause = 0.005
    while True:
        try:
            handle.main.write(_batch(pairs), options)
        except Exception as error:
            if _STALLED not in str(error) or handle.canceled:
                raise
            time.sleep(pause)
            pause = min(0.1, pause * 2)
        else:
            return


def _batch(pairs: Sequence[tuple[bytes, bytes | None]]) -> WriteBatch:
    batch = WriteBatch(raw_mode=True)
    for key, value in pairs:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch


def _read(
    handle: DatabaseHandle, cursor: DumpCursor
) -> tuple[list[tuple[bytes, bytes]], bool, tuple[str, ...]]:
    skipped_families = handle.other_families if cursor.after is None else ()
    iterator = cursor.iterator
    if iterator is None:
        options = ReadOptions()
        options.set_readahead_size(2 << 20)
        iterator = cursor.iterator = handle.main.iter(options)
        if cursor.after is None:
            iterator.seek_to_first()
        else:
            iterator.seek(cursor.after)
            if iterator.valid() and iterator.key() == cursor.after:
                iterator.next()
    pairs: list[tuple[bytes, bytes]] = []
    size = 0
    while iterator.valid() and len(pairs) < BATCH_PAIRS and size < BATCH_BYTES:
        key, value = iterator.key(), iterator.value()
        if not isinstance(key, bytes) or not isinstance(value, bytes):
            raise WorkerError(ErrorCode.UNSUPPORTED, "its keys are not plain bytes, but rocksdict's encoding")
        if len(key) + len(value) > MAX_PAIR_BYTES:
            raise WorkerError(
                ErrorCode.UNSUPPORTED, f"a value of {format_bytes(len(value))} is too long to be dumped"
            )
        pairs.append((key, value))
        size += len(key) + len(value)
        iterator.next()
    if pairs:
        cursor.after = pairs[-1][0]
    if iterator.valid():
        return pairs, False, skipped_families
    iterator.status()  # an iterator that met a corrupt block just ends; this raises
    return pairs, True, skipped_families
