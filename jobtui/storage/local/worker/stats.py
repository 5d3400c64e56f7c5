"""The stats of a database, read from an open handle."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from rocksdict import Rdict

from jobtui.model import Level, SpaceStats
from jobtui.storage.base import describe_stall
from jobtui.storage.local.worker.database import DatabaseHandle

_LISTED = re.compile(r"^ (\d+):\d+\[", re.MULTILINE)  # a file of a family, as RocksDB lists them
_NUMBER = re.compile(r"\d+")


class LiveFile(msgspec.Struct, frozen=True, gc=False):
    """An SST file. `first` and `last` bound its keys, None if these are not plain bytes."""

    number: int
    level: int
    size: int
    first: bytes | None
    last: bytes | None
    entries: int = 0
    deletions: int = 0


def read_stats(handle: DatabaseHandle) -> SpaceStats:
    """Return levels, memtable, entries and bytes to compact, summed over the column families."""
    levels = list(table_levels(handle))
    blobs = sum_property(handle, "live-blob-file-size")
    if levels and blobs:
        levels[-1] = Level(levels[-1].files, levels[-1].bytes + blobs)
    return SpaceStats(
        levels=tuple(levels),
        memtable=memtable_bytes(handle),
        entries=sum_property(handle, "estimate-num-keys"),
        pending=sum_property(handle, "estimate-pending-compaction-bytes"),
    )


def read_stall(handle: DatabaseHandle) -> str:
    """Return how RocksDB stalls writes, "" if it does not."""
    return describe_stall(
        is_stopped=bool(handle.main.property_int_value("rocksdb.is-write-stopped")),
        rate=handle.main.property_int_value("rocksdb.actual-delayed-write-rate") or 0,
    )


def table_levels(handle: DatabaseHandle) -> tuple[Level, ...]:
    """Return the levels without blob files: a compaction does not rewrite most of those."""
    return sum_levels((file["level"], file["size"]) for file in handle.main.live_files())


def sum_levels(files: Iterable[tuple[int, int]]) -> tuple[Level, ...]:
    """Return the levels of files, from level 0, of each file's level and size."""
    levels: list[Level] = []
    for number, size in files:
        levels += [Level(0, 0)] * (number + 1 - len(levels))
        level = levels[number]
        levels[number] = Level(level.files + 1, level.bytes + size)
    return tuple(levels)


def memtable_bytes(handle: DatabaseHandle) -> int:
    """Return the bytes not yet flushed; an empty memtable's own overhead does not count."""
    size = 0
    for rdict in handle.rdicts:
        if count_in_memtables(rdict, "entries"):
            size += rdict.property_int_value("rocksdb.cur-size-all-mem-tables") or 0
    return size


def count_in_memtables(rdict: Rdict, which: str) -> int:
    """Return the `entries` or `deletes` in the memtables of a column family."""
    return sum(
        rdict.property_int_value(f"rocksdb.num-{which}-{memtable}") or 0
        for memtable in ("active-mem-table", "imm-mem-tables")
    )


def sum_property(handle: DatabaseHandle, name: str) -> int:
    """Return the property `rocksdb.<name>`, summed over the column families."""
    return sum(rdict.property_int_value(f"rocksdb.{name}") or 0 for rdict in handle.rdicts)


def tables_by_family(handle: DatabaseHandle) -> dict[str, tuple[LiveFile, ...]]:
    """Return the live SST files of each column family."""
    tables = {}
    for file in handle.main.live_files():
        first, last = file["start_key"], file["end_key"]
        plain = isinstance(first, bytes) and isinstance(last, bytes)
        number = int(_NUMBER.findall(file["name"])[0])
        tables[number] = LiveFile(
            number,
            file["level"],
            file["size"],
            first if plain else None,
            last if plain else None,
            file["num_entries"],
            file["num_deletions"],
        )
    if len(handle.families) == 1:
        return {handle.families[0].name: tuple(tables.values())}
    # live_files names no families
    return {
        family.name: tuple(
            tables[number]
            for number in map(int, _LISTED.findall(family.rdict.property_value("rocksdb.sstables") or ""))
            if number in tables  # a file that a flush wrote in between is not
        )
        for family in handle.families
    }
