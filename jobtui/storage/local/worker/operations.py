"""Flush and compact, told honestly.

RocksDB's compact_range never reports an error, so nothing is believed: there must be room before it, the
files must have moved after it, the background errors must not have risen, and the reason is had
from a flush (which does report) or from RocksDB's own log.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rocksdict import Options

from jobtui.formatting import printable_line
from jobtui.model import SpaceStats
from jobtui.storage.base import ProgressCallback
from jobtui.storage.local.errors import WorkerError, disk_full_error
from jobtui.storage.local.protocol import OperationReply
from jobtui.storage.local.worker.database import Database, DatabaseHandle
from jobtui.storage.local.worker.disk import bytes_of_others, free_bytes, table_files
from jobtui.storage.local.worker.openers import full_compaction, tickers
from jobtui.storage.local.worker.stats import (
    levels_of_files,
    memtable_bytes,
    read_stats,
    sum_property,
    table_levels,
)

_MOST_NAMED = 5
_COMPLAINTS = re.compile(
    r"(?:Compaction error|Background IO error|Background flush error|Flush error"
    r"|Waiting after background \w+ error|Manual flush finished, status): ?(.*)"
)


def flush(database: Database, halt: Cancellation, report: ProgressCallback) -> OperationReply:
    """Write the memtables to SST files. Raises Trouble."""
    return _Operation(database, halt, report).carry_out(_Operation.flush)


def compact(database: Database, halt: Cancellation, report: ProgressCallback) -> OperationReply:
    """Merge all SST files to the last level; what is in memory is flushed first. Raises Trouble."""
    return _Operation(database, halt, report).carry_out(_Operation.compact)


def unmoved_files(before: dict[str, int], after: dict[str, int], levelled: bool) -> list[str]:
    """The files that a full compaction should have moved or merged, and did not.

    Files that a writer added meanwhile don't count, nor what was at the last level already.
    """
    last = max(after.values(), default=0)
    return sorted(
        name
        for name, level in before.items()
        if after.get(name) == level and (level < last or (levelled and level == 0))
    )


class _Operation:
    """One flush or compact. `before` is what the database held when the work proper began."""

    def __init__(self, database: Database, halt: Cancellation, report: ProgressCallback) -> None:
        self._database = database
        self._halt = halt
        self._report = report
        self._before: SpaceStats | None = None
        self._after: SpaceStats | None = None
        self._note = ""

    def carry_out(self, work: Callable[[_Operation, DatabaseHandle], bool]) -> OperationReply:
        """Do the work, and leave the database with a handle that is alive, or with none."""
        while True:
            with self._database.use(write=True) as opened:
                done, failure = self._attempt(work, opened)
            if self._halt.interrupted:
                self._database.close_quietly()
                self._after = self._database.run(read_stats, write=False)
            if failure is None:
                return OperationReply(self._before, self._after, not done, self._note)
            if self._halt.interrupted or not opened.cancelled:
                if not isinstance(failure, WorkerError):  # those are raised before anything is tried
                    self._database.close_quietly()
                raise self._database.as_worker_error(failure, self._needed()) from failure
            # another's stop killed the handle under us: once more, with the next one

    def flush(self, opened: DatabaseHandle) -> bool:
        """True once it is through, False where a stop came first. Raises what RocksDB raises, and Trouble."""
        self._look_before(opened)
        return self._flush(opened, self._report)

    def compact(self, opened: DatabaseHandle) -> bool:
        """As `flush`."""
        if not self._flush(opened, lambda _fraction, _rate, _before=None: self._report(0.0, None)):
            return False
        before = self._look_before(opened)
        free = free_bytes(self._database.path)
        rewritten = SpaceStats(levels=table_levels(opened), entries=before.entries)
        if free is not None and free < rewritten.bytes:
            raise disk_full_error(str(self._database.path), rewritten.bytes, free)
        files, errors = levels_of_files(opened), sum_property(opened, "background-errors")
        log = _log_end(self._database.log)
        # where there are blob files, bytes a second of the others tell nothing of when it will be through
        alone = rewritten.bytes == before.bytes
        report = self._report if alone else lambda fraction, _rate, _before=None: self._report(fraction, None)
        self._compact(opened, rewritten, report)
        after = levels_of_files(opened)
        if self._halt.interrupted:  # it may have been through already: then each file has been written anew
            return files.keys().isdisjoint(after)
        self._note = _left_out(opened)
        left = unmoved_files(files, after, opened.is_leveled)
        if left or sum_property(opened, "background-errors") > errors:
            self._complain(opened, log, left)
        self._database.check_identity()
        return True

    def _look_before(self, opened: DatabaseHandle) -> SpaceStats:
        self._before = read_stats(opened)
        self._report(0.0, None, self._before)
        return self._before

    def _attempt(
        self, work: Callable[[_Operation, DatabaseHandle], bool], opened: DatabaseHandle
    ) -> tuple[bool, Exception | None]:
        try:
            done = work(self, opened)
            self._after = None if self._halt.interrupted else read_stats(opened)
        except Exception as error:  # rocksdict raises nothing narrower
            return False, error
        return done, None

    def _flush(self, opened: DatabaseHandle, report: ProgressCallback) -> bool:
        """Start a flush and watch it, so that a stop need not wait; what it still writes then does no harm."""
        progress = ProgressEstimator(
            count_flushed(opened.options, self._database.path), memtable_bytes(opened), report
        )
        errors = sum_property(opened, "background-errors")
        pause = 0.005
        for begun in (False, True):  # where one is under way already, RocksDB would wait for it unstoppably
            if begun:
                _flush_all(opened, wait=False)
            while (
                sum_property(opened, "num-immutable-mem-table")
                and sum_property(opened, "background-errors") == errors
            ):
                if self._halt.wait(pause):
                    return False
                pause = min(TICK_SECONDS, pause * 2)
                progress.update()
            if self._halt.is_requested:
                return False
        _flush_all(opened, wait=True)  # this one reports what went wrong
        self._database.check_identity()
        return True

    def _compact(self, opened: DatabaseHandle, before: SpaceStats, report: ProgressCallback) -> None:
        """Compact in a thread, within reach of a stop, and report how far it has come."""
        count = count_compacted(opened.options, before, self._database.path)
        progress = ProgressEstimator(count, expected_reads(before), report)
        thread = threading.Thread(target=_compact_all, args=(opened,), daemon=True)
        with self._halt.on_cancel(opened.cancel):
            thread.start()
            while thread.is_alive():
                thread.join(TICK_SECONDS)
                if thread.is_alive():
                    progress.update()

    def _complain(self, opened: DatabaseHandle, log: int, left: list[str]) -> None:
        """Raise what RocksDB has to say about a compaction that it called done."""
        self._database.check_identity()
        _flush_all(opened, wait=True)
        words = _log_complaint(self._database.log, log)
        raise RuntimeError(words or f"the compaction ended with {len(left)} files not merged")

    def _needed(self) -> int | None:
        return self._before.bytes + self._before.memtable if self._before is not None else None


def _flush_all(opened: DatabaseHandle, *, wait: bool) -> None:
    for family in opened.families:
        family.flush(wait)


def _compact_all(opened: DatabaseHandle) -> None:
    for family in opened.families:
        if family not in opened.fifo.values():
            family.compact_range(None, None, full_compaction())


def _left_out(opened: DatabaseHandle) -> str:
    """Return what the compaction left out, "" for nothing."""
    if not opened.fifo:
        return ""
    names = ", ".join(printable_line(name) for name in sorted(opened.fifo)[:_MOST_NAMED])
    more = f" and {len(opened.fifo) - _MOST_NAMED} more" if len(opened.fifo) > _MOST_NAMED else ""
    return (
        f"not compacted: {names}{more}, because a compaction of a FIFO column family deletes its oldest files "
        "instead of merging them"
    )


def _log_end(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _log_complaint(path: Path, start: int) -> str:
    """The last complaint in RocksDB's log from `start` on, "" where there is none."""
    try:
        with open(path, "rb") as log:
            log.seek(start)
            text = log.read(4 << 20).decode("utf-8", "replace")
    except OSError:
        return ""
    found = [words for words in _COMPLAINTS.findall(text) if words and not words.startswith("OK")]
    return found[-1] if found else ""


# ---- merged from jobtui.storage.local.worker.halt: ----
# A stop that may be asked for at any moment of an operation, from another thread.
class Cancellation:
    """Whether a stop was asked for, and whether it hit RocksDB (whose handle is dead then)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._act: Callable[[], None] | None = None
        self.interrupted = False

    @property
    def is_requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked.is_set()

    def request(self) -> None:
        """Stop what is within reach now, or what comes into reach later. Never waits for what it stops."""
        with self._lock:
            self._asked.set()
            self._interrupt()

    def wait(self, seconds: float) -> bool:
        """Wait so long for a stop; whether one was asked for."""
        return self._asked.wait(seconds)

    @contextmanager
    def on_cancel(self, act: Callable[[], None]) -> Iterator[None]:
        """While inside, a stop calls `act`, once; immediately if it was asked for before."""
        with self._lock:
            self._act = act
            if self.is_requested:
                self._interrupt()
        try:
            yield
        finally:
            with self._lock:
                self._act = None

    def _interrupt(self) -> None:
        if self._act is not None and not self.interrupted:
            self.interrupted = True
            self._act()


# ---- merged from jobtui.storage.local.worker.progress: ----
# How far a flush or compact has come, by RocksDB's counters against what they are expected to reach.
#
# An estimate: it never falls, and it never says that the work is through.
#
TICK_SECONDS = 0.1
HIGHEST = 0.99
_SMOOTH = 0.3  # how much the newest tick counts in the bytes a second that are shown

# bytes done since it was made
Count = Callable[[], int]


class ProgressEstimator:
    """Reports what `count` says, from now on, of the bytes that are `expected`."""

    def __init__(self, count: Count, expected: int, report: ProgressCallback) -> None:
        self._count = count
        self._expected = expected
        self._report = report
        self._done = 0
        self._at = time.monotonic()
        self._rate: float | None = None
        self._highest = 0.0

    def update(self) -> None:
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


def count_flushed(options: Options, path: Path) -> Count:
    """Counts the bytes that flushes write; the counter rises a thousand keys at a time. Raises OSError."""
    start = tickers(options)["flush.write.bytes"]
    known = table_files(path)
    return lambda: max(tickers(options)["flush.write.bytes"] - start, bytes_of_others(path, known))


def count_compacted(options: Options, stats: SpaceStats, path: Path) -> Count:
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


def expected_reads(stats: SpaceStats) -> int:
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
