"""How far a flush or compact has come, by a counter of RocksDB's against what it is expected to reach.

An estimate: it never falls, and it never says that the work is through.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rocksdict import Options

from jobtui.model import Stats
from jobtui.storage.local.worker.options import ticker

TICK_SECONDS = 0.1
HIGHEST = 0.99
_SMOOTH = 0.3  # how much the newest tick counts in the bytes a second that are shown

# fraction of the work done (None: unknown) and bytes a second
Report = Callable[[float | None, float | None], None]


class Progress:
    """Follows the counter `rocksdb.<counter>` from now on."""

    def __init__(self, options: Options, counter: str, expected: int, report: Report) -> None:
        self._options = options
        self._counter = counter
        self._expected = expected
        self._report = report
        self._start = ticker(options, counter)
        self._done = 0
        self._at = time.monotonic()
        self._rate: float | None = None
        self._highest = 0.0

    def tell(self) -> None:
        """Report how far it is now, unless it did less than `TICK_SECONDS` ago."""
        now = time.monotonic()
        if now - self._at < TICK_SECONDS:
            return
        done = ticker(self._options, self._counter) - self._start
        recent = (done - self._done) / (now - self._at)
        self._rate = recent if self._rate is None else self._rate + _SMOOTH * (recent - self._rate)
        self._done, self._at = done, now
        if self._expected:
            self._highest = max(self._highest, min(HIGHEST, done / self._expected))
        self._report(self._highest, self._rate)


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
