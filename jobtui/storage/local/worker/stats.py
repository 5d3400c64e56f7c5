"""What a database holds, read from an open handle."""

from __future__ import annotations

import re

from jobtui.model import Level, SpaceStats
from jobtui.storage.local.worker.database import DatabaseHandle

_LISTED = re.compile(r"^ (\d+):\d+\[", re.MULTILINE)  # a file of a family, as RocksDB lists them
_NUMBER = re.compile(r"\d+")


def read_stats(opened: DatabaseHandle) -> SpaceStats:
    """Return levels, memtable, entries and bytes to compact, summed over the column families."""
    levels = list(table_levels(opened))
    blobs = sum_property(opened, "live-blob-file-size")
    if levels and blobs:
        levels[-1] = Level(levels[-1].files, levels[-1].bytes + blobs)
    return SpaceStats(
        levels=tuple(levels),
        memtable=memtable_bytes(opened),
        entries=sum_property(opened, "estimate-num-keys"),
        pending=sum_property(opened, "estimate-pending-compaction-bytes"),
    )


def table_levels(opened: DatabaseHandle) -> tuple[Level, ...]:
    """Return the levels without blob files, most of which a compaction does not rewrite."""
    levels: list[Level] = []
    for file in opened.main.live_files():
        while len(levels) <= file["level"]:
            levels.append(Level(0, 0))
        level = levels[file["level"]]
        levels[file["level"]] = Level(level.files + 1, level.bytes + file["size"])
    return tuple(levels)


def memtable_bytes(opened: DatabaseHandle) -> int:
    """Return the bytes not yet flushed; an empty memtable's own overhead does not count."""
    size = 0
    for family in opened.families:
        entries = sum(
            family.property_int_value(f"rocksdb.num-entries-{which}") or 0
            for which in ("active-mem-table", "imm-mem-tables")
        )
        if entries:
            size += family.property_int_value("rocksdb.cur-size-all-mem-tables") or 0
    return size


def sum_property(opened: DatabaseHandle, name: str) -> int:
    """Return the property `rocksdb.<name>`, summed over the column families."""
    return sum(family.property_int_value(f"rocksdb.{name}") or 0 for family in opened.families)


def levels_of_files(opened: DatabaseHandle) -> dict[str, int]:
    """Return the level of each live SST file, except for those that no compaction moves."""
    still: set[int] = set()
    for family in opened.unmoved:
        still.update(int(number) for number in _LISTED.findall(family.property_value("rocksdb.sstables") or ""))
    return {
        file["name"]: file["level"]
        for file in opened.main.live_files()
        if not still or int(_NUMBER.findall(file["name"])[0]) not in still
    }
