"""The embedded storage: the catalog of spaces, and a worker process for each host.

A space's pairs are distributed over its hosts by the CRC-32 of the key, and merged again in key order.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import os
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict, replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.formatting import format_bytes
from jobtui.model import DiskReserve, SpaceStats
from jobtui.storage.base import (
    STEP_BYTES,
    CompactionFigures,
    CompactionRequest,
    Host,
    OperationControl,
    OperationProgress,
    Pair,
    Placement,
    ProgressCallback,
    Space,
    TaskResult,
)
from jobtui.storage.local import protocol as p
from jobtui.storage.local.catalog import Catalog
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.layout import directory_name, is_locked
from jobtui.storage.local.process import Notice
from jobtui.storage.local.protocol import MAX_PAIR_BYTES
from jobtui.storage.local.spaces import SpaceManager
from jobtui.storage.local.supervisor import QUICK, OperationStopped, Timeouts, WorkerSupervisor

if TYPE_CHECKING:
    from jobtui.storage.local.adoption import Surveyor

BATCH_BYTES = 2 << 20  # of all hosts together: some ten milliseconds of the loop's time
PAIR_BYTES = 64  # the overhead of a pair in addition to its bytes
ADOPTED_IDLE_SECONDS = 5.0
NO_RESERVE = DiskReserve()
PING = Timeouts(waits_for_restart=False, seconds=3.0)
_LOG = logging.getLogger("jobtui.storage")
_MAX_NAMED = 5


class LocalStorage:
    """A storage of embedded RocksDB databases.

    Attributes:
        root: The directory of the catalog, and of each of `hosts` without a directory of its own.
        hosts: The data directory of each host; without hosts, local0 to local2.
        compact_rate: The limit of a host's flush and compact writes, in bytes a second.
        step_bytes: The bytes that a step of a compaction merges.
        reserve: The disk space that a compaction leaves free.
        wal_directories: The separate WAL directories of adopted databases, by the database's directory.
        without_cf_paths: The adopted databases that keep all SST files in their own directory.
        notice: Called in the loop with messages for the user that belong to no call.
        keeps_data: False if the data is not needed after the storage is closed.
    """

    is_space_admin = True

    def __init__(
        self,
        root: Path,
        hosts: Mapping[str, Path | None],
        *,
        compact_rate: int | None = None,
        step_bytes: int = STEP_BYTES,
        reserve: DiskReserve = NO_RESERVE,
        wal_directories: Mapping[str, Path] | None = None,
        without_cf_paths: Sequence[str] = (),
        notice: Notice = _LOG.warning,
    ) -> None:
        self.notice = notice
        self._wal_directories = {os.path.normpath(one): path for one, path in (wal_directories or {}).items()}
        self._without_cf_paths = frozenset(map(os.path.normpath, without_cf_paths))
        self.keeps_data = True
        self._root = root
        self._hosts = dict(hosts)
        self._limits = ["--step", str(step_bytes)]
        if compact_rate is not None:
            self._limits += ["--rate", str(compact_rate)]
        self._reserve = reserve
        self._catalog: Catalog | None = None
        self._workers: dict[str, WorkerSupervisor] = {}
        self._cursors = itertools.count(1)
        self._loads: Counter[str] = Counter()
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Read the catalog, and delete what a crash left incomplete. Raises StorageError."""
        self._catalog = await asyncio.to_thread(Catalog.open, self._root, self._hosts, self._wal_directories)
        for remark in await asyncio.to_thread(self._space_manager.complete_pending):
            self.notice(remark)

    async def close(self) -> None:
        """End all workers."""
        workers = self._workers.values()
        await asyncio.gather(*(one.close() if self.keeps_data else one.kill_now() for one in workers))
        self._workers.clear()

    async def spaces(self) -> tuple[Space, ...]:
        """Return the spaces, in name order."""
        return self.catalog.spaces()

    async def hosts(self) -> tuple[Host, ...]:
        """Return the hosts: the configured ones first, then adopted directories."""
        listed = await asyncio.to_thread(self.catalog.hosts)
        return tuple(await asyncio.gather(*(self._ping(host) for host in listed)))

    async def stats(self, space: str, host: str) -> SpaceStats:
        """Return the current stats of the space on the host."""
        with self._locate_errors(space, host):
            return (
                await self._worker(space, host).request(
                    p.ReadStats(self._directory_name(space)), p.StatsReply, QUICK
                )
            ).stats

    async def find_outage(self, space: str, host: str) -> str:
        """Return why the host's directory is unusable, or why its process keeps dying."""
        problem = await asyncio.to_thread(self.catalog.host_problem, host)
        worker = self._workers.get(host)
        return problem or ("" if worker is None else worker.crash_reason)

    def can_stall(self, space: str, host: str) -> bool:
        """Return whether pairs are being loaded: nothing else writes to an own database."""
        return self._loads[space] > 0

    async def find_stall(self, space: str, host: str) -> str:
        """Return how RocksDB stalls writes to an own database; "" for an adopted one.

        A worker that does not run has no database open, and one that does not answer may be busy.
        """
        entry, worker = self.catalog.entries.get(space), self._workers.get(host)
        if entry is None or entry.space.adopted or worker is None or worker.pid is None:
            return ""
        try:
            return (await worker.request(p.ReadStall(directory_name(space)), p.StallReply, PING)).text
        except WorkerError:
            return ""

    async def figures(
        self, space: str, host: str, request: CompactionRequest | None = None
    ) -> CompactionFigures:
        """Return the figures of the space on the host before a compaction."""
        with self._locate_errors(space, host):
            command = p.ReadFigures(self._directory_name(space), request)
            figures = (await self._worker(space, host).request(command, p.FiguresReply, QUICK)).figures
            if self._space(space).adopted:
                figures = replace(figures, refusal=await asyncio.to_thread(self._refusal, host))
            return figures

    async def flush(
        self, space: str, host: str, progress: ProgressCallback, control: OperationControl
    ) -> TaskResult:
        """Write the memtables to SST files."""
        return await self._run_operation(
            p.FlushDatabase(self._directory_name(space)), space, host, progress, control
        )

    async def compact(
        self,
        space: str,
        host: str,
        request: CompactionRequest,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        """Merge the SST files down to one level, in steps."""
        command = p.CompactDatabase(self._directory_name(space), request, self._reserve, control.rate)
        return await self._run_operation(command, space, host, progress, control)

    async def create_space(self, name: str, placement: Placement) -> Space:
        """Create a space on hosts, or adopt the databases in directories."""
        async with self._changing:
            return await self._space_manager.create(name, placement)

    async def drop_space(self, name: str) -> None:
        """Remove a space from the catalog, then delete its own data."""
        async with self._changing:
            await self._space_manager.drop(name)

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """Write pairs, each to its key's host, and return when they have reached the disk."""
        found = self._space(space)
        if found.adopted:
            reason = f"{space} is adopted: where its keys belong is known to its own program alone"
            raise StorageError(ErrorCode.UNSUPPORTED, "", space, reason)
        used: set[str] = set()
        self._loads[space] += 1
        try:
            for batch in split_into_batches(pairs, found.hosts):
                used.update(batch)
                await self._load(space, batch, sync=False)
            await self._load(space, dict.fromkeys(used, ()), sync=True)
        except ValueError as error:
            raise StorageError(ErrorCode.REJECTED, "", space, str(error)) from error
        finally:
            self._loads[space] -= 1

    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """Yield the pairs in key order over all hosts (of an adopted space: of the default column family)."""
        streams = [self._dump_host(space, host) for host in self._space(space).hosts]
        async with contextlib.aclosing(merge_streams(streams)) as pairs:
            async for pair in pairs:
                yield pair

    @property
    def catalog(self) -> Catalog:
        """The current catalog of spaces and hosts."""
        if self._catalog is None:
            raise RuntimeError("the storage has not been started")
        return self._catalog

    @catalog.setter
    def catalog(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def worker(self, host: str, *, adopted: bool) -> WorkerSupervisor:
        """Return the host's worker, whose process is started by the first request."""
        if host not in self._workers:
            self._workers[host] = self._adopted_worker(host) if adopted else self._own_worker(host)
        return self._workers[host]

    def surveyor(self, directory: str) -> Surveyor:
        """Return the reader of an adopted database's own files, with the settings about that database."""
        # late, and in all of the storage: only adopted spaces need it, and it takes 4 ms of a start
        from jobtui.storage.local.adoption import Surveyor

        path, wal_directory = Path(directory), self._wal_directories.get(directory)
        return Surveyor(path, wal_directory, without_cf_paths=directory in self._without_cf_paths)

    def _refusal(self, directory: str) -> str:
        """Return why an adopted database would not be opened for writing now, "" if it would."""
        try:
            self.surveyor(directory).survey().refuse_writing(Path(directory))
        except WorkerError as error:
            return error.reason
        return f"{directory}: another program has the database open" if is_locked(Path(directory)) else ""

    @property
    def _space_manager(self) -> SpaceManager:
        return SpaceManager(self)

    def _own_worker(self, host: str) -> WorkerSupervisor:
        arguments = ["own", str(self.catalog.directories[host]), *self._limits]
        return WorkerSupervisor(host, arguments, self._notify)

    def _adopted_worker(self, directory: str) -> WorkerSupervisor:
        from jobtui.storage.local.adopted_directory import AdoptedDirectory, notes_directory  # as above

        notes = notes_directory(self._root, directory)
        adopted = AdoptedDirectory(Path(directory), notes)

        async def restore() -> None:
            try:
                await asyncio.to_thread(adopted.restore)
            except OSError as error:
                self._notify(f"{directory} could not be restored after a crash: {error.strerror}")

        arguments = ["adopted", directory, str(notes), *self._limits]
        if (wal_directory := self._wal_directories.get(directory)) is not None:
            arguments += ["--wal", str(wal_directory)]
        if directory in self._without_cf_paths:
            arguments.append("--without-cf-paths")
        return WorkerSupervisor(
            directory, arguments, self._notify, idle_timeout=ADOPTED_IDLE_SECONDS, after_exit=restore
        )

    def _notify(self, text: str) -> None:
        self.notice(text)

    def _space(self, name: str) -> Space:
        entry = self.catalog.entries.get(name)
        if entry is None:
            raise StorageError(ErrorCode.MISSING, "", name, f"Space '{name}' does not exist")
        return entry.space

    def _worker(self, space: str, host: str) -> WorkerSupervisor:
        found = self._space(space)
        if host not in found.hosts:
            raise StorageError(ErrorCode.MISSING, host, space, f"{space} is not on {host}")
        if not found.adopted and host not in self.catalog.directories:
            raise StorageError(ErrorCode.UNREACHABLE, host, space, f"{host} is not in the configuration")
        return self.worker(host, adopted=found.adopted)

    def _directory_name(self, space: str) -> str:
        return "" if self._space(space).adopted else directory_name(space)

    async def _run_operation(
        self,
        command: p.FlushDatabase | p.CompactDatabase,
        space: str,
        host: str,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        with self._locate_errors(space, host):
            worker = self._worker(space, host)
            try:
                worked = await worker.run_operation(
                    command, lambda moved: progress(OperationProgress(**asdict(moved))), control
                )
            except OperationStopped:
                return TaskResult(stopped=True)
            return TaskResult(**asdict(worked))

    async def _load(self, space: str, batch: Mapping[str, Sequence[Pair]], *, sync: bool) -> None:
        """Have each host write its pairs, and wait for all of them even if one fails."""
        loads = (self._load_host(space, host, tuple(pairs), sync) for host, pairs in batch.items())
        for failure in await asyncio.gather(*loads, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _load_host(self, space: str, host: str, pairs: tuple[Pair, ...], sync: bool) -> None:
        with self._locate_errors(space, host):
            command = p.WritePairs(self._directory_name(space), pairs, sync)
            await self._worker(space, host).request(command, p.Done)

    async def _dump_host(self, space: str, host: str) -> AsyncGenerator[list[tuple[bytes, bytes]], None]:
        """Yield a host's pairs, a batch at a time; the next batch is requested while one is read."""
        cursor = next(self._cursors)
        with self._locate_errors(space, host):
            worker, directory = self._worker(space, host), self._directory_name(space)
            command = p.ReadPairs(directory, cursor)
            coming = asyncio.ensure_future(worker.request(command, p.PairsReply))
            try:
                while True:
                    batch = await coming
                    if batch.skipped_families:
                        self.notice(_describe_skipped(space, host, batch.skipped_families))
                    if not batch.last:
                        coming = asyncio.ensure_future(worker.request(command, p.PairsReply))
                    yield list(batch.pairs)
                    if batch.last:
                        return
            finally:
                coming.cancel()
                with contextlib.suppress(WorkerError):  # an exited worker has no cursor any more
                    await worker.request(p.EndRead(directory, cursor), p.Done, QUICK)

    async def _ping(self, host: Host) -> Host:
        if not host.up or host.name not in self.catalog.directories:
            return host
        try:
            await self.worker(host.name, adopted=False).request(p.Ping(), p.Ready, PING)
        except WorkerError as failure:
            return replace(host, up=False, detail=failure.reason)
        return host

    @contextlib.contextmanager
    def _locate_errors(self, space: str, host: str) -> Iterator[None]:
        try:
            yield
        except WorkerError as failure:
            raise StorageError(failure.code, host, space, failure.reason) from failure


def _describe_skipped(space: str, host: str, families: Sequence[str]) -> str:
    named = ", ".join(families[:_MAX_NAMED])
    more = f" and {len(families) - _MAX_NAMED} more" if len(families) > _MAX_NAMED else ""
    return f"Of {space} on {host} the default column family alone is dumped, without {named}{more}"


def split_into_batches(pairs: Sequence[Pair], hosts: Sequence[str]) -> Iterator[dict[str, list[Pair]]]:
    """Yield the pairs in batches of bounded size, each split by host; a key's pairs keep their order.

    A key's CRC-32 selects its host. This must never change, because it says where the data on disk is.
    Raises ValueError if a pair is too long.
    """
    batch: dict[str, list[Pair]] = {}
    size = 0
    for pair in pairs:
        key, value = pair
        batch.setdefault(hosts[zlib.crc32(key) % len(hosts)], []).append(pair)
        length = len(key) + (len(value) if value else 0)
        if length > MAX_PAIR_BYTES:
            raise ValueError(
                f"a pair of {format_bytes(length)} is too long: {format_bytes(MAX_PAIR_BYTES)} are the most"
            )
        size += length + PAIR_BYTES
        if size >= BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


async def merge_streams(
    streams: Sequence[AsyncGenerator[list[tuple[bytes, bytes]], None]],
) -> AsyncGenerator[tuple[bytes, bytes], None]:
    """Merge streams that are each in key order; equal keys keep the streams' order."""
    heads: list[tuple[bytes, int, bytes]] = []
    rests: list[list[tuple[bytes, bytes]]] = [[] for _ in streams]

    async def advance(number: int) -> None:
        while not rests[number]:
            batch = await anext(streams[number], None)
            if batch is None:
                return
            rests[number] = batch[::-1]
        key, value = rests[number].pop()
        heapq.heappush(heads, (key, number, value))

    try:
        for number in range(len(streams)):
            await advance(number)
        while heads:
            key, number, value = heapq.heappop(heads)
            yield key, value
            await advance(number)
    finally:
        for stream in streams:
            await stream.aclose()
