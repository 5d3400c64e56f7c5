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
_SMOOTH = 0.3  # how much the newest tick counts in the bytes a second that are shown
_COMPLAINTS = re.compile(
    r"(?:Compaction error|Background IO error|Background flush error|Flush error"
    r"|Waiting after background \w+ error|Manual flush finished, status): ?(.*)"
)

# fraction of the work done (None: unknown) and bytes a second
Report = Callable[[float | None, float | None], None]


def flush(database: Database, halt: Halt, report: Report) -> Worked:
    """Write the memtables to SST files. Raises Trouble."""
    return _carry_out(database, halt, report, _flush)


def compact(database: Database, halt: Halt, report: Report) -> Worked:
    """Merge all SST files to the last level. Raises Trouble."""
    return _carry_out(database, halt, report, _compact)


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


def _carry_out(
    database: Database, halt: Halt, report: Report, work: Callable[[Database, Opened, Halt, Report], bool]
) -> Worked:
    before: Stats | None = None
    try:
        with database.use(write=True) as opened:
            before = look(opened)
            done = work(database, opened, halt, report)
            after = None if halt.hit else look(opened)
    except Exception as error:  # rocksdict raises nothing narrower
        needed = before.bytes + before.memtable if before is not None else None
        trouble = database.trouble(error, needed)
        _let_go(database)
        if halt.hit and "Shutdown in progress" in str(error):
            return Worked(before, _look_again(database), True)
        raise trouble from error
    if halt.hit:
        _let_go(database)
        after = _look_again(database)
    database.worked()
    return Worked(before, after, not done)


def _let_go(database: Database) -> None:
    """Close a handle that is dead or has failed; what it could not flush is in its WAL."""
    try:
        database.close()
    except Trouble:
        return  # the failure that led here is the one that is told


def _look_again(database: Database) -> Stats:
    with database.use(write=True) as opened:
        return look(opened)


def _flush(database: Database, opened: Opened, halt: Halt, report: Report) -> bool:
    if halt.asked:
        return False
    expected = look(opened).memtable
    with halt.within_reach(lambda: opened.main.cancel_all_background(False)):
        _watched(lambda: _flush_all(opened), opened, "flush.write.bytes", expected, report)
    database.present()
    return True


def _compact(database: Database, opened: Opened, halt: Halt, report: Report) -> bool:
    if not _flush(database, opened, halt, lambda _fraction, rate: report(0.0, rate)):
        return False
    stats = look(opened)
    free = free_bytes(database.path)
    if free is not None and free < stats.bytes:
        raise full(str(database.path), stats.bytes, free)
    before = files_by_level(opened)
    errors = total(opened, "background-errors")
    log = _log_end(database.path)
    if halt.asked:
        return False
    with halt.within_reach(lambda: opened.main.cancel_all_background(False)):
        _watched(lambda: _compact_all(opened), opened, "compact.read.bytes", expected_reads(stats), report)
    after = files_by_level(opened)
    if halt.hit:  # it may have been through already, and then it is done
        return not any(after.get(name) == level for name, level in before.items())
    left = left_behind(before, after, opened.levelled)
    if left or total(opened, "background-errors") > errors:
        _complain(database, opened, log, left)
    database.present()
    return True


def _flush_all(opened: Opened) -> None:
    for family in opened.families:
        family.flush(True)


def _compact_all(opened: Opened) -> None:
    for family in opened.families:
        family.compact_range(None, None, full_compaction())


def _complain(database: Database, opened: Opened, log: int, left: list[str]) -> None:
    """Raise what RocksDB has to say about a compaction that it called done."""
    database.present()
    _flush_all(opened)
    words = _log_complaint(database.path, log)
    raise database.trouble(RuntimeError(words or f"the compaction ended with {len(left)} files not merged"))


def _watched(work: Callable[[], None], opened: Opened, name: str, expected: int, report: Report) -> None:
    """Do `work` in a thread and report how far a counter has come; raises what it raises."""
    failure: list[Exception] = []
    done = threading.Event()

    def run() -> None:
        try:
            work()
        except Exception as error:  # handed to the thread that waits
            failure.append(error)
        finally:
            done.set()

    start = ticker(opened.options, name)
    threading.Thread(target=run, daemon=True).start()
    _report_until(done, lambda: ticker(opened.options, name) - start, expected, report)
    if failure:
        raise failure[0]


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
