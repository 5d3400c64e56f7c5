"""Compacting a database, verified.

RocksDB's compact_range never reports an error. So there must be room before it, the files must have moved after
it, and the count of background errors must not have risen. The reason of a failure comes from a flush, which
does report, or from RocksDB's own log.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

from jobtui.formatting import printable_line
from jobtui.model import SpaceStats
from jobtui.storage.base import OperationProgress, ProgressCallback
from jobtui.storage.local.errors import disk_full_error
from jobtui.storage.local.layout import free_bytes
from jobtui.storage.local.protocol import OperationReply
from jobtui.storage.local.worker.cancellation import Cancellation
from jobtui.storage.local.worker.database import Database, DatabaseHandle
from jobtui.storage.local.worker.flush import Operation, flush_families
from jobtui.storage.local.worker.options import full_compaction
from jobtui.storage.local.worker.progress import (
    TICK_SECONDS,
    ProgressEstimator,
    count_compacted,
    expected_reads,
)
from jobtui.storage.local.worker.stats import levels_of_files, sum_property, table_levels

_MAX_NAMED = 5
_LOG_ERRORS = re.compile(
    r"(?:Compaction error|Background IO error|Background flush error|Flush error"
    r"|Waiting after background \w+ error|Manual flush finished, status): ?(.*)"
)


def compact(database: Database, cancellation: Cancellation, report: ProgressCallback) -> OperationReply:
    """Merge all SST files to the last level, after a flush. Raises WorkerError."""
    return Compaction(database, cancellation, report).run()


class Compaction(Operation):
    """One compaction."""

    def _work(self, handle: DatabaseHandle) -> bool:
        if not self._flush(handle, lambda _: self._report(OperationProgress(0.0))):
            return False
        before = self._record_before(handle)
        free = free_bytes(self._database.path)
        rewritten = SpaceStats(levels=table_levels(handle), entries=before.entries)
        if free is not None and free < rewritten.bytes:
            raise disk_full_error(str(self._database.path), rewritten.bytes, free)
        files, errors = levels_of_files(handle), sum_property(handle, "background-errors")
        log_end = _log_size(self._database.log)
        # with blob files, the bytes a second of the other files do not tell when it will be complete
        has_rate = rewritten.bytes == before.bytes
        report = (
            self._report if has_rate else lambda progress: self._report(OperationProgress(progress.fraction))
        )
        self._compact(handle, rewritten, report)
        after = levels_of_files(handle)
        if self._cancellation.interrupted:  # if it was complete already, every file has been rewritten
            return files.keys().isdisjoint(after)
        self._note = _describe_skipped(handle)
        unmoved = unmoved_files(files, after, handle.is_leveled)
        if unmoved or sum_property(handle, "background-errors") > errors:
            self._raise_failure(handle, log_end, unmoved)
        self._database.check_identity()
        return True

    def _compact(self, handle: DatabaseHandle, before: SpaceStats, report: ProgressCallback) -> None:
        """Compact in a thread that a stop can interrupt, and report the progress."""
        counter = count_compacted(handle.options, before, self._database.path)
        progress = ProgressEstimator(counter, expected_reads(before), report)
        thread = threading.Thread(target=_compact_families, args=(handle,), daemon=True)
        with self._cancellation.on_cancel(handle.cancel):
            thread.start()
            while thread.is_alive():
                thread.join(TICK_SECONDS)
                if thread.is_alive():
                    progress.update()

    def _raise_failure(self, handle: DatabaseHandle, log_end: int, unmoved: list[str]) -> None:
        """Raise the reason why a compaction that returned normally has failed."""
        self._database.check_identity()
        flush_families(handle, wait=True)
        reason = _last_log_error(self._database.log, log_end)
        raise RuntimeError(reason or f"the compaction ended with {len(unmoved)} files not merged")


def unmoved_files(before: dict[str, int], after: dict[str, int], is_leveled: bool) -> list[str]:
    """Return the files that a full compaction should have moved or merged, and did not.

    Files that a writer added meanwhile do not count, nor those that were at the last level already.
    """
    last = max(after.values(), default=0)
    return sorted(
        name
        for name, level in before.items()
        if after.get(name) == level and (level < last or (is_leveled and level == 0))
    )


def _compact_families(handle: DatabaseHandle) -> None:
    for family in handle.families:
        if family not in handle.fifo.values():
            family.compact_range(None, None, full_compaction())


def _describe_skipped(handle: DatabaseHandle) -> str:
    """Return which families were not compacted and why, "" if all were."""
    if not handle.fifo:
        return ""
    names = ", ".join(printable_line(name) for name in sorted(handle.fifo)[:_MAX_NAMED])
    more = f" and {len(handle.fifo) - _MAX_NAMED} more" if len(handle.fifo) > _MAX_NAMED else ""
    return (
        f"not compacted: {names}{more}, because a compaction of a FIFO column family deletes its oldest files "
        "instead of merging them"
    )


def _log_size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _last_log_error(path: Path, start: int) -> str:
    """Return the last error in RocksDB's log from `start` on, "" if there is none."""
    try:
        with open(path, "rb") as log:
            log.seek(start)
            text = log.read(4 << 20).decode("utf-8", "replace")
    except OSError:
        return ""
    found = [reason for reason in _LOG_ERRORS.findall(text) if reason and not reason.startswith("OK")]
    return found[-1] if found else ""
