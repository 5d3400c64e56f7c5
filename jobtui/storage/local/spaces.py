"""CREATE SPACE and DROP SPACE, in an order that is safe after a crash at any time.

Create: record the space as pending, create its databases on each host, then name it in the catalog. Drop:
remove the space from the catalog and record it as pending, have the workers close its databases, delete them,
and remove the record. At a start, pending spaces are deleted: they were not visible yet, or are not any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.os_errors import describe_os_error
from jobtui.storage.base import Placement, Space
from jobtui.storage.local import layout
from jobtui.storage.local import protocol as p
from jobtui.storage.local.catalog import Catalog, CatalogEntry, PendingSpace
from jobtui.storage.local.errors import WorkerError, system_error
from jobtui.storage.local.layout import directory_name
from jobtui.storage.local.process import Notice
from jobtui.storage.local.supervisor import WorkerSupervisor

if TYPE_CHECKING:
    from jobtui.storage.local.adoption import Surveyor


class SpaceHost(Protocol):
    """The part of the storage that the creation and deletion of spaces needs."""

    catalog: Catalog
    notice: Notice

    def worker(self, host: str, *, adopted: bool) -> WorkerSupervisor:
        """Return the host's worker."""
        ...

    def surveyor(self, directory: str) -> Surveyor:
        """Return the reader of an adopted database's own files."""
        ...


class SpaceManager:
    """The creation and deletion of spaces. The caller must not run two changes at a time."""

    def __init__(self, storage: SpaceHost) -> None:
        self._storage = storage

    async def create(self, name: str, placement: Placement) -> Space:
        """Create or adopt a space. Raises StorageError, and then leaves nothing behind."""
        if name in self._storage.catalog.entries:
            raise _refused(name, f"Space '{name}' exists already")
        for text in (name, *(placement.directories or ())):
            if not _is_text(text):
                raise _refused(name, f"{text!r} cannot be stored as UTF-8")
        if placement.directories is not None:
            return await self._adopt(name, placement.directories)
        hosts = self._choose_hosts(name, placement)
        await self._finish_deleting(name)
        for host in hosts:
            self._refuse_remains(name, host)
        await self._save(self._storage.catalog.with_pending(PendingSpace(name, hosts)))
        try:
            await self._create_databases(name, hosts)
            await self._save(self._storage.catalog.with_entry(CatalogEntry(name, hosts)))
        except BaseException:
            await self._delete_databases(name, hosts)
            raise
        return self._storage.catalog.entries[name].space

    async def drop(self, name: str) -> None:
        """Remove a space from the catalog and delete its own data.

        Raises StorageError if it stays.
        """
        entry = self._storage.catalog.entries.get(name)
        if entry is None:
            raise StorageError(ErrorCode.MISSING, "", name, f"Space '{name}' does not exist")
        await self._save(self._storage.catalog.without(name))
        if entry.hosts:
            await self._delete_databases(name, entry.hosts)

    def complete_pending(self) -> list[str]:
        """Delete the pending spaces at the start, and return messages for the user. Blocks.

        Raises StorageError if a rebuilt catalog cannot be written.
        """
        remarks = self._save_rebuilt()
        for entry in self._storage.catalog.entries.values():
            for directory in entry.directories:
                self._restore_directory(directory)
        remarks += [self._remove(one.name, one.hosts) for one in self._storage.catalog.pending]
        return [remark for remark in (*remarks, *self._unknown_directories()) if remark]

    def _save_rebuilt(self) -> list[str]:
        catalog = self._storage.catalog
        if not catalog.damage:
            return []
        catalog.save()
        self._storage.catalog = replace(catalog, damage="")
        names = ", ".join(sorted(catalog.entries)) or "none"
        return [
            f"{catalog.damage}; spaces found on the hosts: {names}. "
            "Adopted ones must be adopted again (CREATE SPACE … AT)"
        ]

    def _choose_hosts(self, name: str, placement: Placement) -> tuple[str, ...]:
        known = tuple(self._storage.catalog.directories)
        if placement.hosts is not None:
            for host in placement.hosts:
                if host not in known:
                    raise _refused(name, f"Host '{host}' does not exist; there are {', '.join(known)}")
            return tuple(dict.fromkeys(placement.hosts))
        count = len(known) if placement.count is None else placement.count
        if not 1 <= count <= len(known):
            raise _refused(name, f"{count} hosts were asked for; there are {len(known)}: {', '.join(known)}")
        held = [host for entry in self._storage.catalog.entries.values() for host in entry.hosts]
        emptiest = sorted(known, key=held.count)[:count]
        return tuple(host for host in known if host in emptiest)

    def _refuse_remains(self, name: str, host: str) -> None:
        path = self._storage.catalog.directories[host] / directory_name(name)
        if os.path.lexists(path):
            raise _refused(
                name, f"{path} exists already and is none of the known spaces: move it away first", host
            )

    async def _create_databases(self, name: str, hosts: Sequence[str]) -> None:
        results = await asyncio.gather(*(self._create_on(name, host) for host in hosts), return_exceptions=True)
        for failure in results:
            if failure is not None:
                raise failure

    async def _create_on(self, name: str, host: str) -> None:
        directory = self._storage.catalog.directories[host]
        try:
            await asyncio.to_thread(layout.prepare_host, directory, name)
            worker = self._storage.worker(host, adopted=False)
            await worker.request(p.CreateDatabase(directory_name(name)), p.Done)
        except OSError as error:
            reason = system_error(error, str(directory))
            raise StorageError(reason.code, host, name, reason.reason) from error
        except WorkerError as error:
            raise StorageError(error.code, host, name, error.reason) from error

    async def _adopt(self, name: str, directories: Sequence[str]) -> Space:
        adopted = await asyncio.to_thread(self._check_adoption, name, directories)
        for directory in adopted:
            try:
                await self._storage.worker(directory, adopted=True).request(p.ReadStats(""), p.StatsReply)
            except WorkerError as error:
                raise StorageError(error.code, directory, name, error.reason) from error
        await self._save(self._storage.catalog.with_entry(CatalogEntry(name, directories=adopted)))
        return self._storage.catalog.entries[name].space

    def _check_adoption(self, name: str, directories: Sequence[str]) -> tuple[str, ...]:
        adopted = tuple(os.path.normpath(directory) for directory in directories)
        for number, directory in enumerate(adopted):
            self._refuse_adoption(name, directory, adopted[:number])
            try:
                self._storage.surveyor(directory).survey()
            except WorkerError as error:
                raise StorageError(error.code, directory, name, error.reason) from error
        return adopted

    def _refuse_adoption(self, name: str, directory: str, others: Sequence[str]) -> None:
        catalog = self._storage.catalog
        if not Path(directory).is_absolute():
            raise _refused(name, f"{directory} is not an absolute path")
        try:
            there = Path(directory).is_dir()
        except OSError as error:
            raise StorageError(
                ErrorCode.ACCESS, directory, name, f"{directory}: {describe_os_error(error)}"
            ) from None
        if not there and Path(directory).exists():
            raise StorageError(ErrorCode.REJECTED, directory, name, f"{directory} is a file, not a directory")
        if not there:
            raise StorageError(ErrorCode.MISSING, directory, name, f"{directory}: there is no such directory")
        for entry in catalog.entries.values():
            for taken in entry.directories:
                if relation := _relation(directory, taken):
                    raise _refused(
                        name, f"{directory} {relation}, which the space {entry.name} has adopted", directory
                    )
        for other in others:
            if relation := _relation(directory, other):
                raise _refused(name, f"{directory} {relation}, which is named too", directory)
        real = os.path.realpath(directory)
        for own in (catalog.root, *catalog.directories.values()):
            if Path(real).is_relative_to(os.path.realpath(own)):
                raise _refused(name, f"{directory} lies in jobtui's own storage", directory)

    async def _finish_deleting(self, name: str) -> None:
        """Try again to delete a dropped space of that name before its directory is used."""
        for one in self._storage.catalog.pending:
            if one.name == name:
                await self._delete_databases(name, one.hosts)
        if any(one.name == name for one in self._storage.catalog.pending):
            raise _refused(
                name,
                f"the data of the dropped space '{name}' cannot be deleted, and it is in the same directory",
            )

    async def _delete_databases(self, name: str, hosts: Sequence[str]) -> None:
        for host in hosts:
            if host in self._storage.catalog.directories:
                try:
                    await self._storage.worker(host, adopted=False).request(
                        p.CloseDatabase(directory_name(name)), p.Done
                    )
                except WorkerError as error:  # its files are deleted in any case
                    self._storage.notice(f"{name} on {host} did not close cleanly: {error.reason}")
        remark = await asyncio.to_thread(self._remove, name, hosts)
        if remark:
            self._storage.notice(remark)

    def _remove(self, name: str, hosts: Sequence[str]) -> str:
        """Delete a pending space; if that fails, it stays pending, and the returned text is the reason."""
        catalog = self._storage.catalog
        try:
            for host in hosts if name not in catalog.entries else ():
                if host in catalog.directories:
                    layout.delete_database(catalog.directories[host], name)
            settled = catalog.without_pending(name)
            settled.save()
            self._storage.catalog = settled
        except (OSError, StorageError) as error:
            why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
            return f"what is left of the space {name} could not be deleted, the next start tries again: {why}"
        beyond = ", ".join(host for host in hosts if host not in catalog.directories)
        return f"what the space {name} held on {beyond} stays there: not in the configuration" if beyond else ""

    def _restore_directory(self, directory: str) -> None:
        """Restore an adopted directory after a crash; an unreachable one is reported when it is used."""
        # late: only adopted spaces need it
        from jobtui.storage.local.adopted_directory import AdoptedDirectory, notes_directory

        with contextlib.suppress(OSError):
            AdoptedDirectory(Path(directory), notes_directory(self._storage.catalog.root, directory)).restore()

    def _unknown_directories(self) -> list[str]:
        catalog = self._storage.catalog
        remarks = []
        for host, directory in catalog.directories.items():
            known = {directory_name(entry.name) for entry in catalog.entries.values() if host in entry.hosts}
            known |= {directory_name(one.name) for one in catalog.pending if host in one.hosts}
            unknown = layout.unknown_directories(directory, known)
            if unknown:
                names = ", ".join(unknown)
                remarks.append(f"{directory} holds directories of no known space, left alone: {names}")
        return remarks

    async def _save(self, catalog: Catalog) -> None:
        await asyncio.to_thread(catalog.save)
        self._storage.catalog = catalog


def _relation(directory: str, other: str) -> str:
    """Return the relation of two directories with the same database as text, "" if they differ.

    A bind mount has the inodes of the mounted directory; a hard-linked copy has the same inodes for each file.
    """
    if os.path.realpath(directory) == os.path.realpath(other) or _is_same_file(directory, other):
        return f"is the same directory as {other}"
    with contextlib.suppress(OSError):
        manifests = [name for name in os.listdir(directory) if name.startswith("MANIFEST-")]  # noqa: PTH208
        for name in ("CURRENT", "IDENTITY", "LOCK", *manifests):
            if _is_same_file(f"{directory}/{name}", f"{other}/{name}"):
                return f"is a hard-linked copy of {other} ({name} is the same file)"
    return ""


def _is_same_file(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(space: str, reason: str, host: str = "") -> StorageError:
    return StorageError(ErrorCode.REJECTED, host, space, reason)
