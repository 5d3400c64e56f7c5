"""A disk in memory that can lose its power.

`MemoryDisk` is a whole disk behind the history's I/O layer. It logs everything that is done to it, so
that `power_cut` can build what may be left. With `failing`, syncs sometimes report an I/O error; what they
should have written may then be lost for good, and a later successful sync does not restore it, as on
real systems.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Callable
from pathlib import Path

import msgspec

from jobtui.history.format.disk import Disk


class PowerCut(BaseException):
    """The loss of power, which no code may catch."""


class Inode(msgspec.Struct, eq=False):
    """A file's bytes, apart from its names."""

    number: int
    data: bytearray = msgspec.field(default_factory=bytearray)


class Step(msgspec.Struct, frozen=True):
    """An operation on the disk."""


class Wrote(Step, frozen=True):
    inode: int
    offset: int
    data: bytes


class Cut(Step, frozen=True):
    inode: int
    size: int


class Synced(Step, frozen=True):
    inode: int


class SyncFailed(Step, frozen=True):
    inode: int


class SyncedDirectory(Step, frozen=True):
    directory: Path


class Named(Step, frozen=True):
    """A change of a name in a directory: to this inode, to a directory (None), or to nothing (`gone`)."""

    path: Path
    inode: int | None
    gone: bool = False
    source: Path | None = None


class Promise(Step, frozen=True):
    """A promise made to the user of the disk at this moment."""

    what: object


class Concerned(msgspec.Struct, frozen=True):
    """The subject of a sync: a file by its names and `how`, or the names in a `directory`."""

    names: frozenset[str]
    directory: str = ""
    how: str = "sync_directory"

    def any(self, start: str) -> bool:
        """Return whether one of the names starts with this."""
        return any(name.startswith(start) for name in self.names)


Omits = Callable[[Concerned], bool]
Fails = Callable[[Concerned], float]


CutAt = Callable[[Step], bool]


class MemoryDisk(Disk):
    """A disk in memory. `cut_after` is the number of steps after which the power is lost.

    `omits` is called before each sync with the names that it concerns (the file's, or those in the directory
    that are not synced yet) and returns whether to skip it, like a faulty program. `fails` is
    the probability that a sync fails. The power is also lost after a step that `cut_at` selects.
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

    def execute(self, what: object) -> None:
        """Add a promise to the log."""
        self.log.append(Promise(what))

    def healed(self) -> None:
        """Stop failing."""
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

    def is_same_file(self, file: int, path: str) -> bool:
        return self.files.get(Path(path)) is self._open[file]

    def location_stamp(self, file: int, directory: str) -> None:
        """Return None (unknown): each append then checks whether the file is there."""

    def write(self, file: int, data: bytes, offset: int) -> None:
        inode = self._open[file]
        self._do(Wrote(inode.number, offset, bytes(data)))
        overwrite(inode.data, data, offset)

    def sync(self, file: int) -> None:
        self._sync(self._open[file], "sync")

    def sync_data(self, file: int) -> None:
        self._sync(self._open[file], "sync_data")

    def truncate(self, file: int, size: int) -> None:
        inode = self._open[file]
        self._do(Cut(inode.number, size))
        resize(inode.data, size)

    def read(self, file: int, size: int, offset: int) -> bytes:
        return bytes(self._open[file].data[offset : offset + size])

    def size(self, file: int) -> int:
        return len(self._open[file].data)

    # ---- names

    def list_names(self, directory: Path) -> list[str]:
        # as texts: the parent of every path would take a tenth of the time of the tests of power loss
        start = f"{str(directory).rstrip('/')}/"
        below = [text for path in (*self.files, *self.directories) if (text := str(path)).startswith(start)]
        return sorted(name for text in below if (name := text.removeprefix(start)) and "/" not in name)

    def identity(self, path: Path) -> tuple[int, int, int] | None:
        inode = self.files.get(path)
        return (inode.number, 0, len(inode.data)) if inode is not None else None

    def has_second_name(self, path: Path) -> bool:
        return False  # locks are not modeled, nor copies of files with second names

    def wrong_type(self, path: Path, *, directory: bool = False) -> str:
        return ""

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
        """Drop the contents of directories whose own names did not survive."""
        for path in list(self.files):
            if not self.directories.issuperset(path.parents):
                del self.files[path]

    def with_the_same_names(self) -> MemoryDisk:
        """Return a disk with the same names, of files without content."""
        other = MemoryDisk()
        inodes: dict[int, Inode] = {}
        for path, inode in self.files.items():
            other.files[path] = inodes.setdefault(inode.number, Inode(inode.number))
        other.directories.update(self.directories)
        return other

    def number_from(self, number: int) -> None:
        """Number new files from this number on."""
        self._inodes = itertools.count(number)

    def take_name(self, named: Named) -> None:
        """Add a name that survived."""
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
    """Return a disk in memory with the contents of a real directory, under the same names."""
    disk = MemoryDisk()
    disk.directories.update(directory.parents, [directory])
    for path in directory.rglob("*"):
        if path.is_dir():
            disk.directories.add(path)
        else:
            disk.create_with(path, [path.read_bytes()])
    return disk


def resize(data: bytearray, size: int) -> None:
    """Truncate the data to this size, or extend it with zeros."""
    del data[size:]
    data.extend(bytes(size - len(data)))


def overwrite(data: bytearray, written: bytes, offset: int) -> None:
    """Overwrite a part of the data, which grows if necessary."""
    resize(data, max(len(data), offset + len(written)))
    data[offset : offset + len(written)] = written
