"""Looks into the storage, host by host, without anybody waiting for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future

from jobtui.engine.client import Desk
from jobtui.model import Stats
from jobtui.tui.panes.storage import Look

Spot = tuple[str, str]


class Looks:
    """Asks the desk for the stats of a space on a host, once at a time each, and keeps the newest answers.

    `told` is called on the engine's thread after each answer.
    """

    def __init__(self, desk: Desk, told: Callable[[], object]) -> None:
        self._desk = desk
        self._told = told
        self._asking: set[Spot] = set()
        self._seen: Mapping[Spot, Look] = {}

    def ask(self, space: str, host: str) -> None:
        """Look again, unless a look is under way there."""
        spot = space, host
        if spot not in self._asking:
            self._asking.add(spot)
            self._desk.stats(space, host).add_done_callback(lambda done: self._answered(spot, done))

    def at(self, space: str, host: str) -> Look:
        """What was seen there last."""
        return self._seen.get((space, host), Look())

    def forget(self) -> None:
        """Let go of what was seen."""
        self._seen = {}

    def _answered(self, spot: Spot, done: Future[Stats]) -> None:
        self._asking.discard(spot)
        if done.cancelled():
            look = Look(trouble="not answered")
        elif (error := done.exception()) is not None:
            look = Look(trouble=str(error))
        else:
            look = Look(done.result())
        self._seen = {**self._seen, spot: look}
        self._told()
