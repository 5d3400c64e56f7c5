"""Leaving an adopted database's directory as its own program knows it.

Opening a database writes an OPTIONS file of our RocksDB, which an older one may refuse, and rocksdict's own
file beside it. What was there is noted before, with a copy of the owner's newest OPTIONS file, in a directory
of ours; what we wrote is removed before the database is closed, while its LOCK keeps the owner out. After a
crash the directory is put right from the note. Needs no RocksDB: either process may do it.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import msgspec

from jobtui.storage.local.names import directory_name
from jobtui.storage.local.places import write_durably

NOTES = "adopted.notes"  # with a dot, as no host's directory has
_CONFIG = "rocksdict-config.json"
_NOTE = "visit.json"
_OPTIONS = re.compile(r"OPTIONS-(\d+)")
_VERSION = re.compile(r"^\s*rocksdb_version=(\S+)", re.MULTILINE)


class _Visit(msgspec.Struct, frozen=True, omit_defaults=True):
    """What lay there before (`options`, `config`), and the OPTIONS files that are known to be `ours`.

    A visit that is not `writing` makes no OPTIONS file, and its owner may be there at the same time.
    """

    options: tuple[str, ...]
    config: bool
    writing: bool
    ours: tuple[str, ...] = ()


def notes_of(root: Path, directory: str) -> Path:
    """Where the storage under `root` keeps its notes on an adopted directory."""
    return root / NOTES / directory_name(directory)


class Guest:
    """A visit to `directory`, noted in `notes`."""

    def __init__(self, directory: Path, notes: Path) -> None:
        self._directory = directory
        self._notes = notes

    def arrive(self, *, writing: bool) -> None:
        """Note what is there; what a crash left of an earlier visit is put right first. Raises OSError."""
        self._notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.leave()
        options = self._options()
        for old in self._notes.glob("OPTIONS-*"):
            old.unlink()
        if options:
            write_durably(self._notes / options[-1], (self._directory / options[-1]).read_bytes())
        self._note(_Visit(options, (self._directory / _CONFIG).exists(), writing))

    def settled_in(self) -> None:
        """The database is open for writing, with nobody else in it: note which OPTIONS files are ours."""
        visit = self._visit()
        if visit is not None:
            ours = tuple(name for name in self._options() if name not in visit.options)
            self._note(_Visit(visit.options, visit.config, True, ours))

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
        (self._notes / _NOTE).unlink(missing_ok=True)

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


def _matched(path: Path) -> re.Match[str] | None:
    return _OPTIONS.fullmatch(path.name)


def _version(options: Path) -> str | None:
    found = _VERSION.search(options.read_text("utf-8", "replace"))
    return found[1] if found else None
