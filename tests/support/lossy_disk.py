"""A disk in memory that can lose its power.

`MemoryDisk` is a whole disk behind the history's I/O layer. It writes down everything that is done to it,
and `after_power_loss` builds what may be left when the power goes after any of these steps: bytes that were
not synced are there, or not, or some sectors of them; so are sizes, and names in directories that were not
synced. With `failing`, syncs report an I/O error now and then; what they should have written may then be
lost for good, and a later sync that succeeds does not bring it back: so do real systems behave.
"""

from __future__ import annotations

import enum
import errno
import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobtui.history.io import Disk

SECTOR = 512


class PowerCut(BaseException):
    """The machine is gone: nothing may catch this."""


@dataclass(eq=False)
class Inode:
    """A file's bytes, whatever its names."""

    number: int
    data: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class Step:
    """Something that was done to the disk."""


@dataclass(frozen=True)
class Wrote(Step):
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Cut(Step):
    inode: int
    size: int


@dataclass(frozen=True)
class Synced(Step):
    inode: int


@dataclass(frozen=True)
class SyncFailed(Step):
    inode: int


@dataclass(frozen=True)
class SyncedDirectory(Step):
    directory: Path


@dataclass(frozen=True)
class Named(Step):
    """A name in a directory now means this inode, a directory (None), or nothing (`gone`)."""

    path: Path
    inode: int | None
    gone: bool = False
    source: Path | None = None


@dataclass(frozen=True)
class Said(Step):
    """What whoever uses the disk has been promised at this moment."""

    what: object


@dataclass(frozen=True)
class Concerned:
    """What a sync is about: a file by its names and `how`, or the names in a `directory`."""

    names: frozenset[str]
    directory: str = ""
    how: str = "sync_directory"

    def any(self, start: str) -> bool:
        """Whether one of the names starts so."""
        return any(name.startswith(start) for name in self.names)


Omits = Callable[[Concerned], bool]
Fails = Callable[[Concerned], float]


CutAt = Callable[[Step], bool]


class Names(enum.Enum):
    """Which of the names that were not synced survive."""

    ALL = enum.auto()
    NONE = enum.auto()
    FIRST = enum.auto()
    SOME = enum.auto()


class MemoryDisk(Disk):
    """See the module. `cut_after` is the number of steps after which the power goes.

    `omits` is asked before each sync, with the names that it concerns (the file's; or those in the directory
    that are not synced yet), and may have it left out, as a program would that cuts a corner. `fails` says
    how likely each sync is to fail. The power goes, too, after a step that `cut_at` picks.
    """

    def __init__(
        self, *, seed: int = 0, fails: Fails | None = None, omits: Omits = lambda concerned: False
    ) -> None:
        self.log: list[Step] = []
        self.files: dict[Path, Inode] = {}
        self.directories: set[Path] = {Path("/")}
        self.cut_after: float = float("inf")
        self.cut_at: CutAt | None = None
        self._fails, self._dice, self._omits = fails, random.Random(seed), omits
        self._open: dict[int, Inode] = {}
        self._unsynced: dict[Path, set[str]] = {}
        self._inodes = itertools.count(1)
        self._descriptors = itertools.count(3)

    def say(self, what: object) -> None:
        """Write a promise into the log."""
        self.log.append(Said(what))

    def healed(self) -> None:
        """Fail no more."""
        self._fails = None

    # ---- files

    def open(self, path: Path) -> int:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._opened(self.files[path])

    def open_to_write(self, path: Path) -> int:
        if path not in self.files:
            return self.create(path)
        return self.open(path)

    def create(self, path: Path) -> int:
        inode = self.files.get(path)
        if inode is None:
            inode = Inode(next(self._inodes))
            self._do(Named(path, inode.number))
            self.files[path] = inode
        else:
            self._do(Cut(inode.number, 0))
            inode.data.clear()
        return self._opened(inode)

    def close(self, file: int) -> None:
        del self._open[file]

    def is_at(self, file: int, path: str) -> bool:
        return self.files.get(Path(path)) is self._open[file]

    def whereabouts(self, file: int, directory: str) -> None:
        """Unknown: each append asks whether the file is there."""

    def write(self, file: int, data: bytes, offset: int) -> None:
        inode = self._open[file]
        self._do(Wrote(inode.number, offset, bytes(data)))
        _overwrite(inode.data, data, offset)

    def sync(self, file: int) -> None:
        self._sync(self._open[file], "sync")

    def sync_data(self, file: int) -> None:
        self._sync(self._open[file], "sync_data")

    def truncate(self, file: int, size: int) -> None:
        inode = self._open[file]
        self._do(Cut(inode.number, size))
        _resize(inode.data, size)

    def read(self, file: int, size: int, offset: int) -> bytes:
        return bytes(self._open[file].data[offset : offset + size])

    def size(self, file: int) -> int:
        return len(self._open[file].data)

    # ---- names

    def names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in (*self.files, *self.directories) if path.parent == directory)

    def identity(self, path: Path) -> tuple[int, int, int] | None:
        inode = self.files.get(path)
        return (inode.number, 0, len(inode.data)) if inode is not None else None

    def size_of(self, path: Path) -> int:
        return len(self.files[path].data)

    def is_directory(self, path: Path) -> bool:
        return path in self.directories

    def rename(self, before: Path, after: Path) -> None:
        inode = self.files[before]
        self._do(Named(after, inode.number, source=before))
        self.files[after] = self.files.pop(before)

    def link(self, existing: Path, name: Path) -> None:
        inode = self.files[existing]
        self._do(Named(name, inode.number))
        self.files[name] = inode

    def remove(self, path: Path) -> None:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._do(Named(path, None, gone=True))
        del self.files[path]

    def make_directory(self, path: Path) -> None:
        self._do(Named(path, None))
        self.directories.add(path)

    def remove_directory(self, path: Path) -> None:
        self._do(Named(path, None, gone=True))
        self.directories.discard(path)

    def sync_directory(self, path: Path) -> None:
        concerned = Concerned(directory=path.name, names=frozenset(self._unsynced.get(path, ())))
        if self._omits(concerned):
            return
        self._fail_now_and_then(concerned)
        self._do(SyncedDirectory(path))
        self._unsynced.pop(path, None)

    def try_lock(self, file: int) -> bool:
        return True

    def is_locked(self, file: int) -> bool:
        return False

    def forget_unreachable(self) -> None:
        """Drop what lies in directories whose own names did not survive."""
        for path in list(self.files):
            if not self.directories.issuperset(path.parents):
                del self.files[path]

    def number_from(self, number: int) -> None:
        """Give new files numbers from this one on."""
        self._inodes = itertools.count(number)

    def take_name(self, named: Named) -> None:
        """Have a name that survived."""
        if named.source is not None:
            self.files.pop(named.source, None)
        if named.gone:
            self.files.pop(named.path, None)
            self.directories.discard(named.path)
        elif named.inode is None:
            self.directories.add(named.path)
        else:
            same = (inode for inode in self.files.values() if inode.number == named.inode)
            self.files[named.path] = next(same, None) or Inode(named.inode)

    # ---- inside

    def _opened(self, inode: Inode) -> int:
        descriptor = next(self._descriptors)
        self._open[descriptor] = inode
        return descriptor

    def _sync(self, inode: Inode, how: str) -> None:
        names = frozenset(path.name for path, each in self.files.items() if each is inode)
        concerned = Concerned(names=names, how=how)
        if self._omits(concerned):
            return
        try:
            self._fail_now_and_then(concerned)
        except OSError:
            self._do(SyncFailed(inode.number))
            raise
        self._do(Synced(inode.number))

    def _fail_now_and_then(self, concerned: Concerned) -> None:
        if self._fails is not None and self._dice.random() < self._fails(concerned):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _do(self, step: Step) -> None:
        if len(self.log) >= self.cut_after:
            raise PowerCut
        self.log.append(step)
        if isinstance(step, Named):
            self._unsynced.setdefault(step.path.parent, set()).add(step.path.name)
        if self.cut_at is not None and self.cut_at(step):
            self.cut_after = len(self.log)


def holding(directory: Path) -> MemoryDisk:
    """A disk in memory that holds what a real directory does, under the same names."""
    disk = MemoryDisk()
    disk.directories.update(directory.parents, [directory])
    for path in directory.rglob("*"):
        if path.is_dir():
            disk.directories.add(path)
        else:
            disk.write_new(path, [path.read_bytes()])
    return disk


def after_power_loss(log: Sequence[Step], names: Names, dice: random.Random) -> MemoryDisk:
    """A disk as it may be when the power went after the last step of `log`."""
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
    for named in _surviving(unsynced, names, dice):
        disk.take_name(named)
    disk.forget_unreachable()
    for inode in dict.fromkeys(disk.files.values()):
        inode.data = _left_of(inodes.get(inode.number, ()), names, dice)
    disk.number_from(1 + max(inodes, default=0))
    return disk


@dataclass
class _Write:
    step: Wrote | Cut
    durable: bool = False
    lost: bool = False


def _surviving(unsynced: Sequence[Named], names: Names, dice: random.Random) -> Iterator[Named]:
    match names:
        case Names.ALL:
            yield from unsynced
        case Names.FIRST:
            yield from unsynced[: dice.randrange(len(unsynced) + 1)]
        case Names.SOME:
            yield from (named for named in unsynced if dice.random() < 0.5)
        case Names.NONE:
            return


def _left_of(writes: Sequence[_Write], names: Names, dice: random.Random) -> bytearray:
    data = bytearray()
    pending = [write for write in writes if not write.durable]
    how: Callable[[_Write], bool]
    torn = False
    if names is Names.ALL:
        how = _not_lost
    else:
        kind = dice.choice(("all", "none", "first", "sectors"))
        first = set(map(id, pending[: dice.randrange(len(pending) + 1)]))
        torn = kind == "sectors"
        how = {
            "all": _not_lost,
            "none": lambda write: False,
            "first": lambda write: id(write) in first,
            "sectors": lambda write: dice.random() < 0.7,
        }[kind]
    for write in writes:
        if not write.durable and not how(write):
            continue
        match write.step:
            case Cut(_, size):
                _resize(data, size)
            case Wrote(_, offset, written) if torn and not write.durable:
                _overwrite_some(data, written, offset, dice)
            case Wrote(_, offset, written):
                _overwrite(data, written, offset)
    return data


def _not_lost(write: _Write) -> bool:
    return not write.lost


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


def _overwrite(data: bytearray, written: bytes, offset: int) -> None:
    _resize(data, max(len(data), offset + len(written)))
    data[offset : offset + len(written)] = written


def _overwrite_some(data: bytearray, written: bytes, offset: int, dice: random.Random) -> None:
    end = offset + len(written)
    _resize(data, max(len(data), end))
    while offset < end:
        stop = min((offset // SECTOR + 1) * SECTOR, end)
        if dice.random() < 0.7:
            data[offset:stop] = written[len(written) - (end - offset) : len(written) - (end - stop)]
        offset = stop
