"""Pollers and caches: the history that another process writes, and the stats and overview of the storage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from jobtui.engine.client import Client, Overview
from jobtui.history import StoreError
from jobtui.model import SpaceStats
from jobtui.tui.tabs.storage import Look

_SECONDS = 0.5


class HistoryPoller:
    """Looks on a daemon thread, twice a second, as long as the desk only reads. `told` must be thread-safe."""

    def __init__(self, desk: Client, told: Callable[[], object]) -> None:
        self._desk = desk
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
            if self._desk.writable:
                continue  # whoever took the profile over posts what happens
            try:
                changed = self._desk.history.refresh()
            except StoreError:
                continue  # what is asked of the history says so itself
            if changed:
                self._told()


Spot = tuple[str, str]


class StatsCache:
    """Asks the desk for the stats of a space on a host, once at a time each, and keeps the newest answers.

    `told` is called on the engine's thread after each answer.
    """

    def __init__(self, desk: Client, told: Callable[[], object]) -> None:
        self._desk = desk
        self._told = told
        self._asking: set[Spot] = set()
        self._seen: Mapping[Spot, Look] = {}

    def ask(self, space: str, host: str) -> None:
        """Fetch the stats again, unless a request is under way."""
        spot = space, host
        if spot not in self._asking:
            self._asking.add(spot)
            self._desk.fetch_stats(space, host).add_done_callback(lambda done: self._answered(spot, done))

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
    """Asks the desk for an overview, one at a time, and keeps the newest. `told` must be thread-safe."""

    def __init__(self, desk: Client, told: Callable[[], object]) -> None:
        self._desk = desk
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
            self._desk.fetch_overview().add_done_callback(self._answered)

    def _answered(self, done: Future[Overview]) -> None:
        # on the engine's thread
        self._asking = False
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self.trouble = str(error)
        elif not done.cancelled():
            self.overview, self.trouble = done.result(), ""
        self._told()
