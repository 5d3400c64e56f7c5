"""How far a flush or compact has come, by RocksDB's counters against what they are expected to reach.

An estimate: it never falls, and it never says that the work is through.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rocksdict import Options

from jobtui.model import Stats
from jobtui.storage.base import Report
from jobtui.storage.local.worker.disk import bytes_of_others, table_files
from jobtui.storage.local.worker.options import tickers

TICK_SECONDS = 0.1
HIGHEST = 0.99
_SMOOTH = 0.3  # how much the newest tick counts in the bytes a second that are shown

# bytes done since it was made
Count = Callable[[], int]


class Progress:
    """Reports what `count` says, from now on, of the bytes that are `expected`."""

    def __init__(self, count: Count, expected: int, report: Report) -> None:
        self._count = count
        self._expected = expected
        self._report = report
        self._done = 0
        self._at = time.monotonic()
        self._rate: float | None = None
        self._highest = 0.0

    def tell(self) -> None:
        """Report how far it is now, unless it did less than `TICK_SECONDS` ago."""
        now = time.monotonic()
        if now - self._at < TICK_SECONDS:
            return
        done = self._count()
        recent = (done - self._done) / (now - self._at)
        self._rate = recent if self._rate is None else self._rate + _SMOOTH * (recent - self._rate)
        self._done, self._at = done, now
        if self._expected:
            self._highest = max(self._highest, min(HIGHEST, done / self._expected))
        self._report(self._highest, self._rate)


def flushed(options: Options, path: Path) -> Count:
    """Counts the bytes that flushes write; the counter rises a thousand keys at a time. Raises OSError."""
    start = tickers(options)["flush.write.bytes"]
    known = table_files(path)
    return lambda: max(tickers(options)["flush.write.bytes"] - start, bytes_of_others(path, known))


def compacted(options: Options, stats: Stats, path: Path) -> Count:
    """Counts the bytes that compactions take in, of databases that hold `stats`. Raises OSError.

    RocksDB counts those that it reads from files, a thousand keys at a time. In between, and for what it finds
    in the block cache, what was read by anybody counts as far as what was written and dropped accounts for it.
    """
    start = tickers(options)
    known = table_files(path)
    entry = stats.bytes / stats.entries if stats.entries else 0.0

    def count() -> int:
        now = tickers(options)
        now.subtract(start)
        looked_at = now["last.level.read.bytes"] + now["non.last.level.read.bytes"]
        dropped = sum(now[f"compaction.key.drop.{why}"] for why in ("new", "obsolete", "range_del", "user"))
        written = max(now["compact.write.bytes"], bytes_of_others(path, known))
        through = min(looked_at + now["block.cache.bytes.read"], written + int(entry * dropped))
        return max(now["compact.read.bytes"], through)

    return count


def expected_reads(stats: Stats) -> int:
    """Bytes that a full compaction will read: each level that holds something is merged into the next one."""
    sizes = [level.bytes for level in stats.levels if level.bytes]
    if len(sizes) < 2:
        return sum(sizes)
    carried = sizes[0]
    expected = 0
    for size in sizes[1:]:
        expected += carried + size
        carried += size
    return expected
