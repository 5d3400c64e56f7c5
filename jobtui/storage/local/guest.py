"""Leaving an adopted database's directory as its own program knows it.

Opening a database writes an OPTIONS file of our RocksDB, which an older one may refuse, and rocksdict's own
file beside it. What was there is noted before, with a copy of the owner's newest OPTIONS file, in a directory
of ours; what we wrote is removed before the database is closed, while its LOCK keeps the owner out. After a
crash the directory is put right from the note. Where root works on another user's database, the files that
stay are given to that user, who could not open it any more. Needs no RocksDB: either process may do it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

import msgspec

from jobtui.storage.local.names import directory_name
from jobtui.storage.local.places import write_durably

NOTES = "adopted.notes"  # with a dot, as no host's directory has
_CONFIG = "rocksdict-config.json"
_NOTE = "visit.json"
_OPTIONS = re.compile(r"OPTIONS-(\d+)")
_FILES = re.compile(r"\d+\.(?:sst|log|blob)|(?:MANIFEST|OPTIONS)-\d+|CURRENT|IDENTITY|LOCK|LOG(?:\.old\.\d+)?")
_VERSION = re.compile(r"^\s*rocksdb_version=(\S+)", re.MULTILINE)


class _Visit(msgspec.Struct, frozen=True, omit_defaults=True):
    """What lay there before (`options`, `config`), and the OPTIONS files that are known to be `ours`.

    A visit that is not `writing` makes no OPTIONS file, and its owner may be there at the same time. `owner`:
    the user and the group that its files belong to.
    """

    options: tuple[str, ...]
    config: bool
    writing: bool
    ours: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None


def notes_of(root: Path, directory: str) -> Path:
    """Where the storage under `root` keeps its notes on an adopted directory."""
    return root / NOTES / directory_name(directory)


class Guest:
    """A visit to `directory`, noted in `notes`."""

    def __init__(self, directory: Path, notes: Path) -> None:
        self._directory = directory
        self._notes = notes
        self._owner: tuple[int, int] | None = None

    def arrive(self, *, writing: bool) -> None:
        """Note what is there; what a crash left of an earlier visit is put right first. Raises OSError."""
        self._notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.leave()
        options = self._options()
        for old in self._notes.glob("OPTIONS-*"):
            old.unlink()
        if options:
            write_durably(self._notes / options[-1], (self._directory / options[-1]).read_bytes())
        self._owner = self._owned_by() if writing else None
        self._note(_Visit(options, (self._directory / _CONFIG).exists(), writing, owner=self._owner))

    def settled_in(self) -> None:
        """The database is open for writing, with nobody else in it: note which OPTIONS files are ours."""
        visit = self._visit()
        if visit is not None:
            ours = tuple(name for name in self._options() if name not in visit.options)
            self._note(_Visit(visit.options, visit.config, True, ours, visit.owner))

    def leave(self) -> None:
        """Remove what we wrote, and put the owner's newest OPTIONS file back if it is gone. Raises OSError."""
        visit = self._visit()
        if visit is None:
            return
        for name in self._options() if visit.writing else ():
            if name in visit.ours or (name not in visit.options and self._is_strange(name, visit)):
                (self._directory / name).unlink(missing_ok=True)
        if visit.options and not self._options():
            newest = visit.options[-1]
            write_durably(self._directory / newest, (self._notes / newest).read_bytes())
        if not visit.config:
            (self._directory / _CONFIG).unlink(missing_ok=True)
        self._give(visit.owner)
        (self._notes / _NOTE).unlink(missing_ok=True)

    def left(self) -> None:
        """Give the owner what closing the database wrote. Raises OSError."""
        self._give(self._owner)

    def _owned_by(self) -> tuple[int, int] | None:
        try:
            current = (self._directory / "CURRENT").stat()
        except FileNotFoundError:
            return None
        return current.st_uid, current.st_gid

    def _give(self, owner: tuple[int, int] | None) -> None:
        if owner is None or os.geteuid() != 0 or owner[0] == 0:
            return
        for path in self._directory.iterdir():
            if _FILES.fullmatch(path.name):
                with contextlib.suppress(OSError):  # gone, a link, or a disk on which not even root may do that
                    _give_file(path, owner)

    def _is_strange(self, name: str, visit: _Visit) -> bool:
        """Whether an OPTIONS file that nobody noted is of another RocksDB than the owner's, and so ours."""
        if visit.ours or not visit.options:
            return False  # ours are known, or nothing is known of the owner's
        kept = self._notes / visit.options[-1]
        with contextlib.suppress(OSError):
            return _version(self._directory / name) != _version(kept)
        return False

    def _options(self) -> tuple[str, ...]:
        """Names of the OPTIONS files, the newest last."""
        found = [(int(match[1]), path.name) for path in self._directory.iterdir() if (match := _matched(path))]
        return tuple(name for _, name in sorted(found))

    def _visit(self) -> _Visit | None:
        try:
            return msgspec.json.decode((self._notes / _NOTE).read_bytes(), type=_Visit)
        except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
            return None

    def _note(self, visit: _Visit) -> None:
        write_durably(self._notes / _NOTE, msgspec.json.encode(visit))


def _give_file(path: Path, owner: tuple[int, int]) -> None:
    """Give a file of root's away, but none that another name or a link makes of something else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == 0 and found.st_nlink == 1:
            os.fchown(descriptor, *owner)
    finally:
        os.close(descriptor)


def _matched(path: Path) -> re.Match[str] | None:
    return _OPTIONS.fullmatch(path.name)


def _version(options: Path) -> str | None:
    found = _VERSION.search(options.read_text("utf-8", "replace"))
    return found[1] if found else None
