"""The data that reaches the dashboard: the feed of events, and polled history, stats and overview.

The client calls `Feed.receive` on the engine's thread, up to ten thousand times a second. Changes are merged
by job id under a lock that is held for a few dict operations, and the screen is woken at most once until it
has drained the feed: a burst becomes one batch with the newest snapshot of each job.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import msgspec
from textual.message import Message

from jobtui.engine.client import Client, EngineEvent, Overview
from jobtui.history import StoreError
from jobtui.model import ConnectionChanged, Job, JobChanged, JobsArchived, Notice, SpaceStats, TaskProgressed
from jobtui.tui.tabs.storage import Look


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


_SECONDS = 0.5


class HistoryPoller:
    """Looks on a daemon thread, twice a second, as long as the client only reads. `told` must be thread-safe."""

    def __init__(self, client: Client, told: Callable[[], object]) -> None:
        self._client = client
        self._told = told
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._live, name="jobtui-looker", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()

    def _live(self) -> None:
        while not self._ended.wait(_SECONDS):
            if self._client.writable:
                continue  # whoever took the profile over posts what happens
            try:
                changed = self._client.history.refresh()
            except StoreError:
                continue  # what is asked of the history says so itself
            if changed:
                self._told()


Spot = tuple[str, str]


class StatsCache:
    """Asks the client for the stats of a space on a host, once at a time each, and keeps the newest answers.

    `told` is called on the engine's thread after each answer.
    """

    def __init__(self, client: Client, told: Callable[[], object]) -> None:
        self._client = client
        self._told = told
        self._asking: set[Spot] = set()
        self._seen: Mapping[Spot, Look] = {}

    def ask(self, space: str, host: str) -> None:
        """Fetch the stats again, unless a request is under way."""
        spot = space, host
        if spot not in self._asking:
            self._asking.add(spot)
            self._client.fetch_stats(space, host).add_done_callback(lambda done: self._answered(spot, done))

    def at(self, space: str, host: str) -> Look:
        """Return the newest answer."""
        return self._seen.get((space, host), Look())

    def forget(self) -> None:
        """Forget all answers."""
        self._seen = {}

    def _answered(self, spot: Spot, done: Future[SpaceStats]) -> None:
        self._asking.discard(spot)
        if done.cancelled():
            look = Look(trouble="not answered")
        elif (error := done.exception()) is not None:
            look = Look(trouble=str(error))
        else:
            look = Look(done.result())
        self._seen = {**self._seen, spot: look}
        self._told()


class OverviewCache:
    """Asks the client for an overview, one at a time, and keeps the newest. `told` must be thread-safe."""

    def __init__(self, client: Client, told: Callable[[], object]) -> None:
        self._client = client
        self._told = told
        self._asking = False
        self.overview: Overview | None = None
        self.trouble = ""

    def adopted(self, space: str) -> bool | None:
        """Return whether another program owns the space; None if that is not known."""
        if self.overview is None:
            return None
        return next((look.space.adopted for look in self.overview.spaces if look.space.name == space), None)

    def ask(self) -> None:
        """Fetch a new overview, unless a request is under way."""
        if not self._asking:
            self._asking = True
            self._client.fetch_overview().add_done_callback(self._answered)

    def _answered(self, done: Future[Overview]) -> None:
        # on the engine's thread
        self._asking = False
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self.trouble = str(error)
        elif not done.cancelled():
            self.overview, self.trouble = done.result(), ""
        self._told()
