"""The feed of events to the dashboard, and the poller that a reading process uses.

The client calls `Feed.receive` on the engine's thread, up to ten thousand times a second. Changes are merged
by job id under a lock that is held for a few dict operations, and the screen is woken at most once until it
has drained the feed: a burst becomes one batch with the newest snapshot of each job.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import msgspec
from textual.message import Message

from jobtui.engine.client import Client, EngineEvent
from jobtui.formatting import format_count
from jobtui.history import StoreError
from jobtui.model import (
    ConnectionChanged,
    Job,
    JobChanged,
    JobsArchived,
    Notice,
    TaskLogged,
    TaskProgressed,
)


class Batch(msgspec.Struct):
    """The changes since the last batch.

    Attributes:
        jobs: The newest snapshot of each job that changed.
        rates: Bytes per second by job and task number.
        ended: The jobs that ended.
        archived: The ids of jobs that were archived, or restored from the archive.
        notices: The engine's notices.
        logged: What the storage logged.
        connection_changed: Whether the connection to the cluster has changed.
        statuses_changed: Whether a job is new or has another status: counts and filters may have changed.
        is_urgent: Whether anything but progress is in it.
        count: The number of its events.
    """

    jobs: dict[int, Job] = msgspec.field(default_factory=dict)
    rates: dict[tuple[int, int], float | None] = msgspec.field(default_factory=dict)
    ended: list[Job] = msgspec.field(default_factory=list)
    archived: list[int] = msgspec.field(default_factory=list)
    notices: list[Notice] = msgspec.field(default_factory=list)
    logged: list[TaskLogged] = msgspec.field(default_factory=list)
    connection_changed: bool = False
    statuses_changed: bool = False
    is_urgent: bool = False
    count: int = 0

    def add(self, message: EngineEvent) -> None:
        """Merge an event."""
        self.is_urgent = self.is_urgent or not isinstance(message, TaskProgressed)
        self.count += 1
        match message:
            case TaskProgressed(job, task, rate):
                self.jobs[job.id] = job
                self.rates[job.id, task] = rate
            case JobChanged(job, was):
                self.jobs[job.id] = job
                if was is not job.status:
                    self.statuses_changed = True
                    # a job that is new and has ended is one that a cluster lists: it ended long ago
                    if job.status.ended and was is not None:
                        self.ended.append(job)
            case JobsArchived(ids):
                self.archived.extend(ids)
                self.statuses_changed = True
            case TaskLogged():
                self.logged.append(message)
            case Notice():
                self.notices.append(message)
            case ConnectionChanged():
                self.connection_changed = True

    def update_rates(self, rates: dict[tuple[int, int], float | None]) -> None:
        """Add the rates of this batch to `rates`, and remove those of the jobs that ended."""
        rates.update(self.rates)
        for job in self.ended:
            for task in job.tasks:
                rates.pop((job.id, task.number), None)


class LingeringTasks:
    """The tasks that outlive their job: a cluster ends a job before its hosts finish."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def update(self, jobs: Iterable[Job]) -> None:
        """Update the counts from newer snapshots of jobs."""
        for job in jobs:
            running = sum(not task.status.ended for task in job.tasks) if job.status.ended else 0
            self._counts.pop(job.id, None)
            if running:
                self._counts[job.id] = running

    @property
    def flag(self) -> str:
        """Return `2 hosts still at work`, "" if none is."""
        count = sum(self._counts.values())
        return f"{format_count(count, 'host')} still at work" if count else ""


class Feed:
    """A collector of events, which the screen drains."""

    def __init__(self, wake: Callable[[], object]) -> None:
        """Create a feed. `wake` is called on the engine's thread and must be thread-safe."""
        self._wake = wake
        self._lock = threading.Lock()
        self._batch = Batch()
        self._filled = False
        self._awake = False

    def receive(self, messages: Sequence[EngineEvent]) -> None:
        """Merge events; called on the engine's thread."""
        with self._lock:
            for message in messages:
                self._batch.add(message)
            self._filled = True
            wake, self._awake = not self._awake, True
        if wake:
            self._wake()

    @property
    def pending_progress(self) -> int:
        """The number of events to drain if all are progress, which may wait a little; else 0."""
        with self._lock:
            return 0 if self._batch.is_urgent else self._batch.count

    def drain(self) -> Batch | None:
        """Return the changes since the last drain; None if there are none: then the next wakes."""
        with self._lock:
            if not self._filled:
                self._awake = False
                return None
            batch, self._batch = self._batch, Batch()
            self._filled = False
            return batch


class FeedReady(Message, bubble=False):
    """The message that the feed has events; posted at most once until it is drained."""

    def can_replace(self, message: Message) -> bool:
        """Replace an earlier one that is still queued."""
        return isinstance(message, FeedReady)


class HistoryChanged(Message, bubble=False):
    """The message that another process wrote to the history; posted from the poller's thread."""

    def can_replace(self, message: Message) -> bool:
        """Replace an earlier one that is still queued."""
        return isinstance(message, HistoryChanged)


class OverviewChanged(Message, bubble=False):
    """The message about a new overview of spaces and hosts; posted from the engine's thread."""

    def can_replace(self, message: Message) -> bool:
        """Replace an earlier one that is still queued."""
        return isinstance(message, OverviewChanged)


_POLL_SECONDS = 0.5


class HistoryPoller:
    """A daemon thread that checks for changes of the history while the client is read-only."""

    def __init__(self, client: Client, on_change: Callable[[], object]) -> None:
        """Create the poller. `on_change` is called on its thread and must be thread-safe."""
        self._client = client
        self._on_change = on_change
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="jobtui-history-poller", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            if self._client.writable:
                continue  # this process has taken over the profile, and its engine posts the changes
            try:
                changed = self._client.history.refresh()
            except StoreError:
                continue  # the next query of the history raises the same error, and shows it
            if changed:
                self._on_change()
