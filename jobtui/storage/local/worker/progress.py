"""The progress of a flush or compaction: RocksDB's counters, compared with their expected values.

It is an estimate: it never falls, and it never reaches the end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace
from rocksdict import Options

from jobtui.model import SpaceStats
from jobtui.storage.base import HostGauges, OperationProgress, ProgressCallback
from jobtui.storage.local.layout import bytes_of_new_tables, free_bytes, table_files
from jobtui.storage.local.worker.database import DatabaseHandle
from jobtui.storage.local.worker.options import read_tickers
from jobtui.storage.local.worker.stats import sum_property

TICK_SECONDS = 0.125  # eight frames a second of one job keep the terminal under 5 KB/s
MAX_FRACTION = 0.99
GAUGE_SECONDS = 0.8  # less than the engine's second by more than a tick: each sample finds a new measurement
FIRST_TICK_SECONDS = TICK_SECONDS / 8
_SMOOTHING = 0.3  # the weight of the newest tick in the bytes a second that are shown

# returns the bytes processed since the counter was made
ByteCounter = Callable[[], int]


class ProgressEstimator:
    """The estimator of progress: the result of `count` as a share of the bytes that are `expected`.

    `rate`: the bytes a second of the work that this continues, None if there was none.
    """

    def __init__(
        self, count: ByteCounter, expected: int, report: ProgressCallback, rate: float | None = None
    ) -> None:
        self._count = count
        self._expected = expected
        self._report = report
        self._done = 0
        self._begin = self._updated_at = time.monotonic()
        self.rate = rate
        self._fraction = 0.0

    def update(self) -> None:
        """Report the progress, unless the last report is less than `TICK_SECONDS` old.

        The first bytes of an operation are reported at once: a user who resumed it waits for a sign of work.
        """
        now = time.monotonic()
        elapsed = now - self._updated_at
        is_due = elapsed >= TICK_SECONDS
        if not is_due and (self.rate is not None or self._fraction):
            return
        done = self._count()
        if is_due:
            recent = (done - self._done) / elapsed
            self.rate = recent if self.rate is None else self.rate + _SMOOTHING * (recent - self.rate)
            self._done, self._updated_at = done, now
        elif not done:
            return
        if self._expected:
            self._fraction = max(self._fraction, min(MAX_FRACTION, done / self._expected))
        self._report(OperationProgress(self._fraction, self.rate))

    def final_rate(self) -> float | None:
        """Return the rate at the end of the work; that of the whole work if it ended before it was measured."""
        elapsed = time.monotonic() - self._begin
        return self._count() / elapsed if self.rate is None and elapsed > 0 else self.rate


class GaugeReader:
    """The reader of an operation's reads and writes, over all handles that its database has had."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: DatabaseHandle | None = None
        self._seen = (0, 0)
        self._read = self._written = 0
        self._measured_at = 0.0

    def attach(self, handle: DatabaseHandle) -> None:
        """Take the counters of this handle from now on."""
        if handle is not self._handle:
            self._handle, self._seen = handle, _bytes_moved(handle.options)

    @property
    def is_due(self) -> bool:
        """Whether the last measurement is about a second old."""
        return time.monotonic() - self._measured_at >= GAUGE_SECONDS

    def add_to(self, progress: OperationProgress, *, at_once: bool = False) -> OperationProgress:
        """Return the progress with the gauges if they are due; with `at_once` in any case."""
        handle = self._handle
        if handle is None or not (at_once or self.is_due):
            return progress
        self._measured_at = time.monotonic()
        read, written = _bytes_moved(handle.options)
        # the counters are for the whole worker, but a host runs one operation at a time
        self._read += max(0, read - self._seen[0])
        self._written += max(0, written - self._seen[1])
        self._seen = read, written
        return replace(
            progress,
            gauges=HostGauges(self._read, self._written, _count_l0_files(handle), free_bytes(self._path)),
        )


def _bytes_moved(options: Options) -> tuple[int, int]:
    """Return the bytes that compactions have read, and that they and flushes have written.

    RocksDB adds to the counters every thousand keys.
    """
    counted = read_tickers(options)
    return counted["compact.read.bytes"], counted["compact.write.bytes"] + counted["flush.write.bytes"]


def _count_l0_files(handle: DatabaseHandle) -> int | None:
    try:
        return sum_property(handle, "num-files-at-level0")
    except Exception:  # a handle that a stop has made unusable: rocksdict raises nothing narrower
        return None


def count_flushed(options: Options, path: Path) -> ByteCounter:
    """Return a counter of the bytes that flushes write, which rises a thousand keys at a time.

    Raises:
        OSError: The directory cannot be read.
    """
    start = read_tickers(options)["flush.write.bytes"]
    known = table_files(path)

    def count() -> int:
        written = read_tickers(options)["flush.write.bytes"] - start
        return max(written, bytes_of_new_tables(path, known))

    return count


def count_compacted(options: Options, start: Counter[str], stats: SpaceStats, path: Path) -> ByteCounter:
    """Return a counter of the bytes that compactions read since `start`, for a database that holds `stats`.

    RocksDB adds to its counter of bytes read from files every thousand keys. Until then, and for blocks found
    in the cache, all reads count, up to the bytes that were written and dropped.

    Raises:
        OSError: The directory cannot be read.
    """
    known = table_files(path)
    entry = stats.bytes / stats.entries if stats.entries else 0.0

    def count() -> int:
        now = read_tickers(options)
        now.subtract(start)
        read = now["last.level.read.bytes"] + now["non.last.level.read.bytes"] + now["block.cache.bytes.read"]
        dropped = sum(now[f"compaction.key.drop.{why}"] for why in ("new", "obsolete", "range_del", "user"))
        written = max(now["compact.write.bytes"], bytes_of_new_tables(path, known))
        return max(now["compact.read.bytes"], min(read, written + int(entry * dropped)))

    return count


def expected_reads(stats: SpaceStats) -> int:
    """Return the bytes that a full compaction reads: every level with files is merged into the next one."""
    sizes = [level.bytes for level in stats.levels if level.bytes]
    if len(sizes) < 2:
        return sum(sizes)
    carried = sizes[0]
    expected = 0
    for size in sizes[1:]:
        expected += carried + size
        carried += size
    return expected
