"""RocksDB's properties of a space on a host, over each storaged's HTTP port (3.0 to 3.8).

    GET /rocksdb_property?space=nba&property=rocksdb.levelstats,…  →  200, [{"Engine 0": "…"}, …]

A list in the order of the request, with an object for each property and a value, as text, for each data
directory: they are added up. An unknown property or space is a 400 with the reason. The space's name is not
percent-decoded.
"""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from jobtui.clock import Clock, SystemClock
from jobtui.errors import ErrorCode, StorageError
from jobtui.formatting import format_count, printable_line
from jobtui.model import Level, SpaceStats
from jobtui.os_errors import bare_reason
from jobtui.storage.base import NO_ADDRESS, CompactionFigures, describe_stall
from jobtui.storage.nebula.settings import Address, ClusterSettings

SENDABLE = re.compile(r"[^\x00-\x20\x7f&#\ud800-\udfff]+")
"""The name of a space that can be sent to storaged's HTTP port."""


class HostFigures(msgspec.Struct, frozen=True):
    """The figures that a storaged reports for a space, over all its data directories.

    `stats`: what a job records of it. `now`: the same, with what holds for the moment alone. `live`: RocksDB's
    estimate of the bytes that a compaction would leave.
    """

    stats: SpaceStats
    now: SpaceStats
    live: int

    def for_compaction(self) -> CompactionFigures:
        """Return the figures before a compaction; a storaged reports no deletions and no free disk space."""
        return CompactionFigures(
            memtable=self.stats.memtable,
            pending=self.stats.pending,
            size=self.stats.bytes,
            l0_files=level0_files(self.stats),
            live=self.live,
        )


def level0_files(stats: SpaceStats) -> int:
    """Return the files at level 0, which a full compaction merges."""
    return stats.levels[0].files if stats.levels else 0


def verify_compaction(before: SpaceStats, after: SpaceStats) -> str:
    """Return a doubt about a compaction that is reported as successful, "" if there is none."""
    files = level0_files(after)
    if files and files >= level0_files(before):
        text = format_count(files, "file")
        return f"{text} at level 0 after it: data was written meanwhile, or it was not compacted"
    return ""


PROPERTIES = (
    "rocksdb.total-sst-files-size",
    "rocksdb.cur-size-all-mem-tables",
    "rocksdb.estimate-num-keys",
    "rocksdb.estimate-pending-compaction-bytes",
    "rocksdb.estimate-live-data-size",
    "rocksdb.num-running-compactions",
    "rocksdb.num-running-flushes",
    "rocksdb.levelstats",
)
STALL_PROPERTIES = ("rocksdb.is-write-stopped", "rocksdb.actual-delayed-write-rate")
STATS_SECONDS = 2.0  # for an answer, which takes a few milliseconds
STATS_RETRY_SECONDS = 60.0  # until a host is asked again whose port does not answer as a storaged's
STATS_LIMIT = 1 << 16
MAX_REQUESTS = 4  # to a host at once: the overview of 200 spaces would open a connection for each
MAX_LEVELS = 64  # RocksDB has 7 unless it is built or set otherwise
_LEVEL = re.compile(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s*$", re.MULTILINE)


class StoragedStats:
    """The statistics that each storaged reports over HTTP. For the engine's loop alone."""

    def __init__(self, settings: ClusterSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._failed: dict[str, tuple[float, StorageError]] = {}
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MAX_REQUESTS))

    async def fetch(self, space: str, host: str) -> HostFigures:
        """Return the current figures of the space on the host.

        Raises StorageError; for a while after a failure at once, without another request.
        """
        async with self._turns[host]:
            if (error := self._recent_failure(host)) is not None:
                raise StorageError(error.code, host, space, error.detail)
            try:
                figures = await self._fetch(space, host)
            except StorageError as failure:
                if failure.code is not ErrorCode.MISSING:
                    self._failed[host] = self._clock.steady(), failure
                raise
            self._failed.pop(host, None)
            return figures

    async def fetch_if_known(self, space: str, host: str) -> HostFigures | None:
        """Return the same, None if it is not known."""
        try:
            return await self.fetch(space, host)
        except StorageError:
            return None

    async def fetch_stall(self, space: str, host: str) -> str:
        """Return how the host stalls the writes to the space, "" if it does not or that is unknown."""
        if self._recent_failure(host) is not None:
            return ""
        try:
            body = await self._fetch_properties(space, host, STALL_PROPERTIES)
            stopped, rates = msgspec.json.decode(body, type=tuple[dict[str, int], dict[str, int]], strict=False)
        except StorageError as failure:
            if failure.code in (ErrorCode.TIMEOUT, ErrorCode.UNREACHABLE):
                self._failed[host] = self._clock.steady(), failure
            return ""
        except (ValueError, msgspec.DecodeError):
            return ""
        slowest = min((rate for rate in rates.values() if rate > 0), default=0)
        return describe_stall(is_stopped=any(stopped.values()), rate=slowest)

    def _recent_failure(self, host: str) -> StorageError | None:
        """Return why the host is not asked again yet, None if it may be."""
        at, error = self._failed.get(host, (0.0, None))
        return error if self._clock.steady() - at < STATS_RETRY_SECONDS else None

    async def _fetch(self, space: str, host: str) -> HostFigures:
        body = await self._fetch_properties(space, host, PROPERTIES)
        try:
            return parse_properties(body)
        except (ValueError, msgspec.DecodeError) as error:
            text = f"storaged reports sizes in a form that jobtui does not know: {error}"
            raise StorageError(ErrorCode.UNSUPPORTED, host, space, text) from None

    async def _fetch_properties(self, space: str, host: str, properties: Sequence[str]) -> str:
        address = http_address(self._settings, host)
        if not SENDABLE.fullmatch(space):
            raise StorageError(ErrorCode.MISSING, host, space, "storaged's HTTP port cannot receive this name")
        target = f"/rocksdb_property?space={space}&property={','.join(properties)}"
        try:
            async with asyncio.timeout(STATS_SECONDS):
                status, body = await _get(address, target)
        except TimeoutError:
            text = f"no answer from storaged at {address} in time"
            raise StorageError(ErrorCode.TIMEOUT, host, space, text) from None
        except (OSError, UnicodeError, EOFError, ValueError) as error:
            text = f"no storaged at {address}: {bare_reason(error) if isinstance(error, OSError) else error}"
            raise StorageError(ErrorCode.UNREACHABLE, host, space, text) from None
        if status != http.client.OK:
            code = ErrorCode.MISSING if body.startswith("Space not found") else ErrorCode.UNSUPPORTED
            reason = printable_line(body, 200) or f"HTTP {status}"
            raise StorageError(code, host, space, f"storaged reports no sizes: {reason}")
        return body


def parse_properties(body: str) -> HostFigures:
    """Return the figures in an answer about PROPERTIES.

    Raises ValueError and msgspec.DecodeError.
    """
    answers = msgspec.json.decode(body, type=list[dict[str, str]])
    if len(answers) != len(PROPERTIES):
        raise ValueError(f"{len(answers)} properties instead of {len(PROPERTIES)}")
    if not answers[0] or any(answer.keys() != answers[0].keys() for answer in answers):
        raise ValueError("the properties do not name the same data directories")
    size, memtable, entries, pending, live, compactions, flushes = (
        _sum(answer.values()) for answer in answers[:-1]
    )
    files: Counter[int] = Counter()
    shares: Counter[int] = Counter()
    for text in answers[-1].values():
        for level, count, megabytes in _LEVEL.findall(text):
            files[int(level)] += _figure(count)
            shares[int(level)] += _figure(megabytes)
    stats = SpaceStats(_levels(files, shares, size), memtable, entries, pending)
    sizes = tuple(map(_figure, answers[0].values()))
    directories = sizes if len(sizes) > 1 else ()
    now = replace(stats, compactions=compactions, flushes=flushes, directories=directories)
    return HostFigures(stats, now, live)


def _sum(values: Iterable[str]) -> int:
    return _figure(sum(map(_figure, values)))


def _figure(value: str | int) -> int:
    """Return a size or a count.

    Raises ValueError for a number that RocksDB cannot mean and no record holds.
    """
    figure = int(value)
    if not 0 <= figure < 1 << 63:
        raise ValueError(f"{figure} is not a size or a count")
    return figure


def _levels(files: Counter[int], shares: Counter[int], size: int) -> tuple[Level, ...]:
    """Return the levels.

    RocksDB reports their sizes in MB, so they are scaled to the exact total.
    """
    held = sorted(level for level, count in files.items() if count)
    if held and held[-1] >= MAX_LEVELS:
        raise ValueError(f"{held[-1]} is not a level")
    if not held:
        return (Level(0, size),) if size else ()
    total = sum(shares.values())
    sizes = {level: size * shares[level] // total if total else 0 for level in held}
    sizes[held[-1]] += size - sum(sizes.values())
    return tuple(Level(files[level], sizes.get(level, 0)) for level in range(held[-1] + 1))


async def _get(address: Address, target: str) -> tuple[int, str]:
    """Return the status and the body of an answer of at most STATS_LIMIT bytes.

    Raises OSError, EOFError, TimeoutError and ValueError.
    """
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=STATS_LIMIT)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("iso-8859-1")
        length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        status = re.match(r"HTTP/1\.[01] (\d{3})", head)
        if status is None or length is None or int(length[1]) > STATS_LIMIT:
            raise ValueError("the server there is not a storaged")
        return int(status[1]), (await reader.readexactly(int(length[1]))).decode("utf-8", "replace").strip()
    except asyncio.LimitOverrunError:
        raise ValueError("the server there is not a storaged") from None
    finally:
        writer.close()


def http_address(settings: ClusterSettings, host: str) -> Address:
    """Return the HTTP address of a storage host.

    Raises StorageError (unsupported) if it is not configured.
    """
    given = settings.storaged.get(host)
    if given is not None:
        return given
    if settings.spaces:
        try:
            return Address.parse(host, settings.storaged_port)
        except ValueError as error:
            raise StorageError(ErrorCode.UNREACHABLE, host, "", str(error)) from None
    if ":" in host and not _is_ipv6(host):  # graphd's name for one of several storageds on a machine
        address = f"{host.rpartition(':')[0]}:PORT"
        text = f'{NO_ADDRESS}: storaged = {{ "{host}" = "{address}" }} in the profile gives its HTTP port'
        raise StorageError(ErrorCode.UNSUPPORTED, host, "", text)
    return Address(host, settings.storaged_port)


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
