"""The feed of changes from the engine's thread to the screen, and the messages that announce changes.

The client calls `Feed.receive` on the engine's thread, up to ten thousand times a second. Changes are merged
by job id under a lock that is held for a few dict operations, and the screen is woken at most once until it
has drained the feed: a burst becomes one batch with the newest snapshot of each job.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec
from textual.message import Message

from jobtui.engine.client import EngineEvent
from jobtui.model import ConnectionChanged, Job, JobChanged, JobsArchived, Notice, TaskProgressed


class Batch(msgspec.Struct):
    """What happened since the last batch.

    `jobs`: the newest snapshot of each job that changed. `rates`: bytes per second by job and task number.
    `statuses`: some job is new or has another status, so counts and filters may have changed; `born` of
    them are new. `ended`: jobs that ended. `archived`: ids of archived jobs. `link`: the connection to the
    cluster has changed.
    """

    jobs: dict[int, Job] = msgspec.field(default_factory=dict)
    rates: dict[tuple[int, int], float | None] = msgspec.field(default_factory=dict)
    born: list[int] = msgspec.field(default_factory=list)
    ended: list[Job] = msgspec.field(default_factory=list)
    archived: list[int] = msgspec.field(default_factory=list)
    notices: list[Notice] = msgspec.field(default_factory=list)
    link: bool = False
    statuses: bool = False

    def add(self, message: EngineEvent) -> None:
        """Merge an event."""
        match message:
            case TaskProgressed(job, task, rate):
                self.jobs[job.id] = job
                self.rates[job.id, task] = rate
            case JobChanged(job, was):
                self.jobs[job.id] = job
                if was is None:
                    self.born.append(job.id)
                if was is not job.status:
                    self.statuses = True
                    if job.status.ended:
                        self.ended.append(job)
            case JobsArchived(ids):
                self.archived.extend(ids)
                self.statuses = True
            case Notice():
                self.notices.append(message)
            case ConnectionChanged():
                self.link = True


class Feed:
    """Collects events until the screen drains them.

    `wake` is called on the engine's thread and must be thread-safe.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
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

    def drain(self) -> Batch | None:
        """Return what came since the last drain; None if nothing did: then the next event wakes the screen."""
        with self._lock:
            if not self._filled:
                self._awake = False
                return None
            batch, self._batch = self._batch, Batch()
            self._filled = False
            return batch


class FeedReady(Message, bubble=False):
    """The feed has events; posted from the engine's thread, at most once until it is drained."""

    def can_replace(self, message: Message) -> bool:
        """Replace an earlier one that is still queued."""
        return isinstance(message, FeedReady)


class HistoryChanged(Message, bubble=False):
    """Another process has written to the history; posted from the poller's thread."""

    def can_replace(self, message: Message) -> bool:
        """Replace an earlier one that is still queued."""
        return isinstance(message, HistoryChanged)


class OverviewChanged(Message, bubble=False):
    """There is a new overview of spaces and hosts; posted from the engine's thread."""

    def can_replace(self, message: Message) -> bool:
        """Replace an earlier one that is still queued."""
        return isinstance(message, OverviewChanged)
