"""The catalog of spaces in `spaces.json`, readable without a loop or a worker.

    {"crc":"0b8ce7f3","catalogue":{"format":1,"spaces":[{"name":"nba","hosts":["local0","local1"]}]}}

A space of our own is on its hosts, an adopted one in `directories` that belong to another program. `unsettled`
contains the spaces that are being created or deleted. A space is named only when all its databases exist, and
removed from the catalog before the first of them is deleted: after a crash at any time, the next start knows
which databases to delete. The file is replaced atomically. A damaged file is kept under another name, and the
catalog is rebuilt from the directories of the hosts.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec.structs import replace

from jobtui.errors import DECODE_ERRORS, ErrorCode, StorageError
from jobtui.files import read_regular, write_atomically
from jobtui.storage.base import Host, Space
from jobtui.storage.local import layout
from jobtui.storage.local.errors import system_error
from jobtui.storage.local.layout import directory_name

FILE = "spaces.json"
FORMAT = 1
DEFAULT_HOSTS = ("local0", "local1", "local2")


class CatalogEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A space: on `hosts`, or adopted in `directories`."""

    name: str
    hosts: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()

    @property
    def space(self) -> Space:
        """The record of the space that the engine uses."""
        return Space(self.name, self.hosts or self.directories, bool(self.directories))


class PendingSpace(msgspec.Struct, frozen=True):
    """A space that is being created or deleted on these hosts."""

    name: str
    hosts: tuple[str, ...]


class _Content(msgspec.Struct, frozen=True, omit_defaults=True):
    format: int
    spaces: tuple[CatalogEntry, ...] = ()
    pending: tuple[PendingSpace, ...] = msgspec.field(default=(), name="unsettled")


class _CatalogFile(msgspec.Struct, frozen=True):
    crc: str
    catalog: msgspec.Raw = msgspec.field(name="catalogue")


class _Damaged(Exception):
    """The error of a damaged file; the text describes the damage."""


class Catalog(msgspec.Struct, frozen=True):
    """The spaces and hosts at one moment.

    `damage` is why the file could not be read and this was rebuilt instead, "" if it was read.
    `wal_directories` are the separate WAL directories of adopted databases, by the database's.
    """

    root: Path
    directories: Mapping[str, Path]
    entries: Mapping[str, CatalogEntry]
    pending: tuple[PendingSpace, ...] = ()
    damage: str = ""
    wal_directories: Mapping[str, Path] = msgspec.field(default_factory=dict)

    @classmethod
    def open(
        cls, root: Path, hosts: Mapping[str, Path | None], wal_directories: Mapping[str, Path] | None = None
    ) -> Catalog:
        """Read the catalog without changing anything on disk. Raises StorageError.

        No hosts: `local0` to `local2`; a host without a directory has one under `root`.
        """
        directories = host_directories(root, hosts)
        stated = {os.path.normpath(one): path for one, path in (wal_directories or {}).items()}
        empty = cls(root, directories, {}, wal_directories=stated)
        try:
            content = _decode(read_regular(root / FILE))
        except FileNotFoundError:
            found = _rebuilt(empty, f"{root / FILE} is missing")
            return found if found.entries else empty
        except OSError as error:
            raise _unreadable(root / FILE, error) from error
        except _Damaged as damaged:
            return _rebuilt(empty, f"{root / FILE} {damaged}")
        entries = {entry.name: entry for entry in content.spaces}
        return replace(empty, entries=entries, pending=content.pending)

    def spaces(self) -> tuple[Space, ...]:
        """Return the spaces, in name order."""
        return tuple(self.entries[name].space for name in sorted(self.entries))

    def hosts(self) -> tuple[Host, ...]:
        """Return the hosts with the sizes of their files: the configured ones, then others that spaces name."""
        spaces: dict[str, list[str]] = {name: [] for name in self.directories}
        for space in self.spaces():
            for host in space.hosts:
                spaces.setdefault(host, []).append(space.name)
        return tuple(self._host(name, held) for name, held in spaces.items())

    def host_problem(self, host: str, *, holds: bool = True) -> str:
        """Return why the host's directory is unusable, "" if it is not or if the host has none.

        One that `holds` nothing may be missing.
        """
        own = self.directories.get(host)
        if own is not None:
            return layout.host_problem(own, holds=holds)
        return layout.database_problem(Path(host)) if Path(host).is_absolute() else ""

    def size(self, space: str) -> int:
        """Return the bytes of the space's files on all readable hosts, 0 if the space does not exist."""
        entry = self.entries.get(space)
        if entry is None:
            return 0
        return sum(self._size(path) for host in entry.space.hosts if (path := self.path(space, host)))

    def missing_databases(self) -> Iterator[str]:
        """Yield a line for each database of a space that is not where the catalog has it."""
        for space in self.spaces():
            for host in space.hosts:
                path = self.path(space.name, host)
                problem = f"{host} is not in the config" if path is None else layout.database_problem(path)
                if problem:
                    yield f"space '{space.name}': {problem}"

    def path(self, space: str, host: str) -> Path | None:
        """Return the directory of the space's database on the host, None if it has none there."""
        entry = self.entries.get(space)
        if entry is not None and host in entry.directories:
            return Path(host)
        if host not in self.directories:
            return None
        return self.directories[host] / directory_name(space)

    def with_entry(self, entry: CatalogEntry) -> Catalog:
        """Return the catalog with this space, which is no longer pending."""
        pending = tuple(one for one in self.pending if one.name != entry.name)
        return replace(self, entries={**self.entries, entry.name: entry}, pending=pending)

    def without(self, name: str) -> Catalog:
        """Return the catalog without this space; its databases on hosts are pending."""
        entries = {key: entry for key, entry in self.entries.items() if key != name}
        entry = self.entries[name]
        if not entry.hosts:
            return replace(self, entries=entries)
        return replace(self, entries=entries, pending=(*self.pending, PendingSpace(name, entry.hosts)))

    def with_pending(self, space: PendingSpace) -> Catalog:
        """Return the catalog with a space that is about to be created."""
        return replace(self, pending=(*self.pending, space))

    def without_pending(self, name: str) -> Catalog:
        """Return the catalog without a pending space of that name."""
        return replace(self, pending=tuple(one for one in self.pending if one.name != name))

    def save(self) -> None:
        """Write the catalog durably; after a crash before the return, the old one is still there.

        Raises StorageError. A damaged file is renamed first.
        """
        file = self.root / FILE
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.damage and file.exists():
                layout.set_aside(file)
            write_atomically(file, _encode(self))
        except OSError as error:
            raise _unwritable(file, error) from error

    def _size(self, path: Path) -> int:
        return layout.database_size(path, self.wal_directories.get(str(path)))

    def _host(self, name: str, held: list[str]) -> Host:
        own = self.directories.get(name)
        path = own if own is not None else Path(name) if Path(name).is_absolute() else None
        if path is None:
            return Host(name, False, "it is not in the configuration", len(held))
        sizes = [self._size(place) for space in held if (place := self.path(space, name))]
        problem = self.host_problem(name, holds=bool(held))
        return Host(name, not problem, problem, len(held), sum(sizes), layout.free_bytes(path))


def host_directories(root: Path, hosts: Mapping[str, Path | None]) -> dict[str, Path]:
    """Return each host's directory. Raises StorageError if two of them would share one."""
    named: Mapping[str, Path | None] = hosts or dict.fromkeys(DEFAULT_HOSTS)
    found = {name: path or root / directory_name(name) for name, path in named.items()}
    real = sorted((os.path.realpath(path), name) for name, path in found.items())
    for (one, host), (other, second) in pairwise(real):
        if one == other or other.startswith(one.rstrip(os.sep) + os.sep):
            reason = f"the hosts {host} and {second} would share a directory: {other}"
            raise StorageError(ErrorCode.REJECTED, second, "", reason)
    return found


def _rebuilt(empty: Catalog, damage: str) -> Catalog:
    held: dict[str, list[str]] = {}
    for host, directory in empty.directories.items():
        for name in layout.spaces_in(directory):
            held.setdefault(name, []).append(host)
    entries = {name: CatalogEntry(name, tuple(hosts)) for name, hosts in held.items()}
    return replace(empty, entries=entries, damage=damage)


def _encode(catalog: Catalog) -> bytes:
    entries = tuple(catalog.entries[name] for name in sorted(catalog.entries))
    content = msgspec.json.encode(_Content(FORMAT, entries, catalog.pending))
    return msgspec.json.encode(_CatalogFile(_crc(content), msgspec.Raw(content))) + b"\n"


def _decode(data: bytes) -> _Content:
    try:
        file = msgspec.json.decode(data, type=_CatalogFile)
        raw = bytes(file.catalog)
        if file.crc != _crc(raw):
            raise _Damaged("does not match its checksum")
        written = msgspec.json.decode(raw, type=dict[str, object]).get("format")
        if isinstance(written, int) and written > FORMAT:
            reason = f"{FILE} was written by a newer jobtui (format {written}, this one knows {FORMAT})"
            raise StorageError(ErrorCode.UNSUPPORTED, "", "", reason)
        return msgspec.json.decode(raw, type=_Content)
    except DECODE_ERRORS as error:
        raise _Damaged(f"is damaged ({error})") from error


def _crc(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _unreadable(file: Path, error: OSError) -> StorageError:
    code = ErrorCode.ACCESS if isinstance(error, PermissionError) else ErrorCode.IO
    return StorageError(code, "", "", f"{file} cannot be read: {error.strerror or error}")


def _unwritable(file: Path, error: OSError) -> StorageError:
    failure = system_error(error, str(file))
    return StorageError(failure.code, "", "", failure.reason)
