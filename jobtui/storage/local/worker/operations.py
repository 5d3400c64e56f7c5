"""The operations on a database: requests, their base class, and the flush."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from typing_extensions import override

from jobtui.model import SpaceStats, StepPosition
from jobtui.storage.base import OperationProgress, ProgressCallback
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.protocol import OperationReply
from jobtui.storage.local.worker.database import Database, DatabaseHandle
from jobtui.storage.local.worker.options import WriteLimits
from jobtui.storage.local.worker.progress import (
    MAX_FRACTION,
    TICK_SECONDS,
    GaugeReader,
    ProgressEstimator,
    count_flushed,
)
from jobtui.storage.local.worker.stats import memtable_bytes, read_stats, sum_property


class Cancellation:
    """The stop request of one operation.

    `interrupted`: the stop reached RocksDB, and the handle that it was called on is unusable.
    """

    def __init__(self) -> None:
        # a request must either see the action or be seen by `on_cancel`, so both hold the lock
        self._lock = threading.Lock()
        self._requested = threading.Event()
        self._action: Callable[[], None] | None = None
        self.interrupted = False

    @property
    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self._requested.is_set()

    def request(self) -> None:
        """Request the stop of the operation, even if it starts later; never wait for its end."""
        with self._lock:
            self._requested.set()
            self._interrupt()

    def wait(self, seconds: float) -> bool:
        """Wait up to that long for a stop, and return whether one was requested."""
        return self._requested.wait(seconds)

    @contextmanager
    def on_cancel(self, action: Callable[[], None]) -> Iterator[None]:
        """Within the block, let a stop call `action` once; call it at once if a stop was requested before."""
        with self._lock:
            self._action = action
            if self.is_requested:
                self._interrupt()
        try:
            yield
        finally:
            with self._lock:
                self._action = None

    def _interrupt(self) -> None:
        if self._action is not None and not self.interrupted:
            self.interrupted = True
            self._action()


class OperationRequests:
    """All requests to one operation: to stop, to pause after a step, and to write faster or slower.

    `rate`: the limit from the next step on, in bytes a second; 0 for none, None for the worker's own.
    """

    def __init__(self, rate: int | None = None) -> None:
        self.cancellation = Cancellation()
        self.pause = threading.Event()
        self.rate = rate


def flush(database: Database, cancellation: Cancellation, report: ProgressCallback) -> OperationReply:
    """Write the memtables to SST files. Raises WorkerError."""
    return Flush(database, cancellation, report).run()


class Ending(enum.Enum):
    """The ending of an attempt at an operation that did not fail."""

    COMPLETE = enum.auto()
    STOPPED = enum.auto()
    PAUSED = enum.auto()
    REOPEN = enum.auto()  # it continues when the database has been opened with other limits


class Operation:
    """One flush or compaction of a database; a subclass does the work."""

    def __init__(self, database: Database, cancellation: Cancellation, report: ProgressCallback) -> None:
        self._database = database
        self._cancellation = cancellation
        self._publish = report
        self._gauges = GaugeReader(database.path)
        self._before: SpaceStats | None = None
        self._after: SpaceStats | None = None
        self._steps: StepPosition | None = None
        self._note = ""

    def run(self) -> OperationReply:
        """Run the operation, and leave the database with a usable handle or none.

        Raises WorkerError.
        """
        while True:
            with self._database.use(write=True, limits=self._limits()) as handle:
                ending, failure = self._attempt(handle)
            if self._cancellation.interrupted:
                self._database.close_quietly()
                self._after = self._database.run(read_stats, write=False)
            if failure is None and ending is Ending.REOPEN:
                continue
            if failure is None:
                return OperationReply(
                    self._before,
                    self._after,
                    ending is Ending.STOPPED,
                    self._note,
                    ending is Ending.PAUSED,
                    self._steps,
                )
            if self._cancellation.interrupted or not handle.canceled:
                if not isinstance(failure, WorkerError):  # those are raised before the work begins
                    self._database.close_quietly()
                raise self._database.as_worker_error(failure, self._needed_bytes()) from failure
            # the stop of another operation made the handle unusable: try again with the next one

    def _report(self, progress: OperationProgress, *, at_once: bool = False) -> None:
        """Report the progress, about once a second with the gauges of the host; with `at_once` in any case."""
        self._publish(self._gauges.add_to(progress, at_once=at_once))

    def _limits(self) -> WriteLimits | None:
        """Return the limits with which the database must be open, None if they do not matter."""
        return None

    def _work(self, handle: DatabaseHandle) -> Ending:
        """Work until it is complete or a request ends it.

        Raises:
            WorkerError: The work cannot be started.
            Exception: RocksDB failed.
        """
        raise NotImplementedError

    def _attempt(self, handle: DatabaseHandle) -> tuple[Ending, Exception | None]:
        try:
            self._gauges.attach(handle)
            ending = self._work(handle)
            self._after = None if self._cancellation.interrupted else read_stats(handle)
        except Exception as error:  # rocksdict raises nothing narrower
            return Ending.STOPPED, error
        return ending, None

    def _record_before(self, handle: DatabaseHandle) -> SpaceStats:
        self._before = read_stats(handle)
        self._report(OperationProgress(0.0, before=self._before), at_once=True)
        return self._before

    def _flush(self, handle: DatabaseHandle, report: ProgressCallback) -> bool:
        """Start a flush and watch it; a stop does not wait for it, as its remaining writes do no harm."""
        counter = count_flushed(handle.options, self._database.path)
        progress = ProgressEstimator(counter, memtable_bytes(handle), report)
        errors = sum_property(handle, "background-errors")
        pause = 0.005
        # wait for a flush that is under way first: RocksDB would wait for it in a way that cannot be stopped
        for is_started in (False, True):
            if is_started:
                flush_families(handle, wait=False)
            while (
                sum_property(handle, "num-immutable-mem-table")
                and sum_property(handle, "background-errors") == errors
            ):
                if self._cancellation.wait(pause):
                    return False
                pause = min(TICK_SECONDS, pause * 2)
                progress.update()
            if self._cancellation.is_requested:
                return False
        flush_families(handle, wait=True)  # this call reports errors
        self._database.check_identity()
        return True

    def _needed_bytes(self) -> int | None:
        return self._before.bytes + self._before.memtable if self._before is not None else None


class Flush(Operation):
    """One flush."""

    @override
    def _work(self, handle: DatabaseHandle) -> Ending:
        self._record_before(handle)
        if not self._flush(handle, self._report):
            return Ending.STOPPED
        self._report(OperationProgress(MAX_FRACTION), at_once=True)
        return Ending.COMPLETE


def flush_families(handle: DatabaseHandle, *, wait: bool) -> None:
    """Flush every column family. Raises RocksDB's exceptions."""
    for rdict in handle.rdicts:
        rdict.flush(wait)
