"""The states of a disk that are possible after a power loss at any step of its log.

Bytes that were not synced are there, or not, or some sectors of them; so are sizes, and names in directories
that were not synced.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterator, Sequence

import msgspec

from tests.support.lossy_disk import (
    Cut,
    MemoryDisk,
    Named,
    Step,
    Synced,
    SyncedDirectory,
    SyncFailed,
    Wrote,
    overwrite,
    resize,
)

SECTOR = 512


class Names(enum.Enum):
    """The unsynced names that survive."""

    ALL = enum.auto()
    NONE = enum.auto()
    FIRST = enum.auto()
    SOME = enum.auto()


class _Write(msgspec.Struct):
    step: Wrote | Cut
    durable: bool = False
    lost: bool = False


class Remains(msgspec.Struct):
    """The synced names of a log, and the names and writes that a power loss may lose in part."""

    disk: MemoryDisk
    unsynced: list[Named]
    inodes: dict[int, list[_Write]]


def read_log(log: Sequence[Step]) -> Remains:
    """Return the state at the end of the log, from which each possible state after a power loss is made."""
    disk = MemoryDisk()
    inodes: dict[int, list[_Write]] = {}
    unsynced: list[Named] = []
    for step in log:
        match step:
            case Wrote(inode) | Cut(inode):
                inodes.setdefault(inode, []).append(_Write(step))
            case Synced(inode):
                for write in inodes.get(inode, ()):
                    write.durable = write.durable or not write.lost
            case SyncFailed(inode):
                for write in inodes.get(inode, ()):
                    write.lost = write.lost or not write.durable
            case Named():
                unsynced.append(step)
            case SyncedDirectory(directory):
                for named in unsynced:
                    if named.path.parent == directory:
                        disk.take_name(named)
                unsynced = [named for named in unsynced if named.path.parent != directory]
    return Remains(disk, unsynced, inodes)


def after_power_loss(remains: Remains, names: Names, rng: random.Random) -> MemoryDisk:
    """Return a possible state of the disk after a power loss at the end of the log."""
    disk = remains.disk.with_the_same_names()
    for named in _surviving(remains.unsynced, names, rng):
        disk.take_name(named)
    disk.forget_unreachable()
    for inode in dict.fromkeys(disk.files.values()):
        inode.data = _left_of(remains.inodes.get(inode.number, ()), names, rng)
    disk.number_from(1 + max(remains.inodes, default=0))
    return disk


def _surviving(unsynced: Sequence[Named], names: Names, rng: random.Random) -> Iterator[Named]:
    match names:
        case Names.ALL:
            yield from unsynced
        case Names.FIRST:
            yield from unsynced[: rng.randrange(len(unsynced) + 1)]
        case Names.SOME:
            yield from (named for named in unsynced if rng.random() < 0.5)
        case Names.NONE:
            return


def _left_of(writes: Sequence[_Write], names: Names, rng: random.Random) -> bytearray:
    data = bytearray()
    pending = [write for write in writes if not write.durable]
    how: Callable[[_Write], bool]
    torn = False
    if names is Names.ALL:
        how = _not_lost
    else:
        kind = rng.choice(("all", "none", "first", "sectors"))
        first = set(map(id, pending[: rng.randrange(len(pending) + 1)]))
        torn = kind == "sectors"
        how = {
            "all": _not_lost,
            "none": lambda write: False,
            "first": lambda write: id(write) in first,
            "sectors": lambda write: rng.random() < 0.7,
        }[kind]
    for write in writes:
        if not write.durable and not how(write):
            continue
        match write.step:
            case Cut(_, size):
                resize(data, size)
            case Wrote(_, offset, written) if torn and not write.durable:
                _overwrite_some(data, written, offset, rng)
            case Wrote(_, offset, written):
                overwrite(data, written, offset)
    return data


def _not_lost(write: _Write) -> bool:
    return not write.lost


def _overwrite_some(data: bytearray, written: bytes, offset: int, rng: random.Random) -> None:
    end = offset + len(written)
    resize(data, max(len(data), end))
    while offset < end:
        stop = min((offset // SECTOR + 1) * SECTOR, end)
        if rng.random() < 0.7:
            data[offset:stop] = written[len(written) - (end - offset) : len(written) - (end - stop)]
        offset = stop
