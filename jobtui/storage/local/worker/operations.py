"""Flush and compact, told honestly.

RocksDB's compact_range never reports an error, so nothing is believed: there must be room before it, the
files must have moved after it, the background errors must not have risen, and the reason is had
from a flush (which does report) or from RocksDB's own log.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from jobtui.model import Stats
from jobtui.storage.local.protocol import Worked
from jobtui.storage.local.reasons import Trouble, full
from jobtui.storage.local.worker.database import Database, Opened
from jobtui.storage.local.worker.disk import free_bytes
from jobtui.storage.local.worker.halt import Halt
from jobtui.storage.local.worker.look import files_by_level, look, total
from jobtui.storage.local.worker.options import full_compaction, ticker

TICK_SECONDS = 0.1
_SHUTDOWN = "Shutdown in progress"  # how RocksDB says that a stop hit it
_SMOOTH = 0.3  # how much the newest tick counts in the bytes a second that are shown
_COMPLAINTS = re.compile(
    r"(?:Compaction error|Background IO error|Background flush error|Flush error"
    r"|Waiting after background \w+ error|Manual flush finished, status): ?(.*)"
)

# fraction of the work done (None: unknown) and bytes a second
Report = Callable[[float | None, float | None], None]


def flush(database: Database, halt: Halt, report: Report) -> Worked:
    """Write the memtables to SST files. Raises Trouble."""
    return _Operation(database, halt, report).carry_out(_Operation.flush)


def compact(database: Database, halt: Halt, report: Report) -> Worked:
    """Merge all SST files to the last level; what is in memory is flushed first. Raises Trouble."""
    return _Operation(database, halt, report).carry_out(_Operation.compact)


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


def left_behind(before: dict[str, int], after: dict[str, int], levelled: bool) -> list[str]:
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

    def __init__(self, database: Database, halt: Halt, report: Report) -> None:
        self._database = database
        self._halt = halt
        self._report = report
        self._before: Stats | None = None

    def carry_out(self, work: Callable[[_Operation, Opened], bool]) -> Worked:
        """Do the work, and leave the database with a handle that is alive, or with none."""
        after: Stats | None = None
        try:
            with self._database.use(write=True) as opened:
                self._before = look(opened)
                done = work(self, opened)
                if not self._halt.hit:
                    after = look(opened)
        except Exception as error:  # rocksdict raises nothing narrower
            trouble = self._database.trouble(error, self._needed())
            if not isinstance(error, Trouble):  # which is raised before anything is tried
                self._let_go()
            if not self._halt.hit or _SHUTDOWN not in str(error):
                raise trouble from error
            done = False
        if self._halt.hit:
            self._let_go()
            with self._database.use(write=False) as opened:
                after = look(opened)
        return Worked(self._before, after, not done)

    def flush(self, opened: Opened) -> bool:
        """True once it is through, False where a stop came first. Raises what RocksDB raises, and Trouble."""
        return self._flush(opened, self._report)

    def compact(self, opened: Opened) -> bool:
        """As `flush`."""
        if not self._flush(opened, lambda _fraction, _rate: self._report(0.0, None)):
            return False
        before = self._before = look(opened)
        free = free_bytes(self._database.path)
        if free is not None and free < before.bytes:
            raise full(str(self._database.path), before.bytes, free)
        files, errors = files_by_level(opened), total(opened, "background-errors")
        log = _log_end(self._database.path)
        self._watched(opened, _compact_all, "compact.read.bytes", expected_reads(before), self._report)
        after = files_by_level(opened)
        if self._halt.hit:  # it may have been through already, and then it is done
            return not any(after.get(name) == level for name, level in files.items())
        left = left_behind(files, after, opened.levelled)
        if left or total(opened, "background-errors") > errors:
            self._complain(opened, log, left)
        self._database.present()
        return True

    def _flush(self, opened: Opened, report: Report) -> bool:
        if self._halt.asked:
            return False
        self._watched(opened, _flush_all, "flush.write.bytes", look(opened).memtable, report)
        self._database.present()
        return True

    def _watched(
        self, opened: Opened, work: Callable[[Opened], None], counter: str, expected: int, report: Report
    ) -> None:
        """Do `work` in a thread, within reach of a stop, and report how far a counter has come."""
        failure: list[Exception] = []
        done = threading.Event()

        def run() -> None:
            try:
                work(opened)
            except Exception as error:  # handed to the thread that waits
                failure.append(error)
            finally:
                done.set()

        start = ticker(opened.options, counter)
        with self._halt.within_reach(lambda: opened.main.cancel_all_background(False)):
            threading.Thread(target=run, daemon=True).start()
            _report_until(done, lambda: ticker(opened.options, counter) - start, expected, report)
        if failure:
            raise failure[0]

    def _complain(self, opened: Opened, log: int, left: list[str]) -> None:
        """Raise what RocksDB has to say about a compaction that it called done."""
        self._database.present()
        _flush_all(opened)
        words = _log_complaint(self._database.path, log)
        raise RuntimeError(words or f"the compaction ended with {len(left)} files not merged")

    def _let_go(self) -> None:
        """Close a handle that is dead or has failed; what it could not flush is in its WAL."""
        try:
            self._database.close()
        except Trouble:
            return  # the failure that led here is the one that is told

    def _needed(self) -> int | None:
        return self._before.bytes + self._before.memtable if self._before is not None else None


def _flush_all(opened: Opened) -> None:
    for family in opened.families:
        family.flush(True)


def _compact_all(opened: Opened) -> None:
    for family in opened.families:
        family.compact_range(None, None, full_compaction())


def _report_until(done: threading.Event, count: Callable[[], int], expected: int, report: Report) -> None:
    highest, counted, rate, at = 0.0, 0, None, time.monotonic()
    while not done.wait(TICK_SECONDS):
        now, bytes_done = time.monotonic(), count()
        recent = (bytes_done - counted) / (now - at)
        rate = recent if rate is None else rate + _SMOOTH * (recent - rate)
        counted, at = bytes_done, now
        highest = max(highest, min(0.99, bytes_done / expected) if expected else 0.0)
        report(highest, rate)


def _log_end(path: Path) -> int:
    try:
        return (path / "LOG").stat().st_size
    except OSError:
        return 0


def _log_complaint(path: Path, start: int) -> str:
    """The last complaint in RocksDB's log from `start` on, "" where there is none."""
    try:
        with open(path / "LOG", "rb") as log:
            log.seek(start)
            text = log.read(4 << 20).decode("utf-8", "replace")
    except OSError:
        return ""
    found = [words for words in _COMPLAINTS.findall(text) if words and not words.startswith("OK")]
    return found[-1] if found else ""
