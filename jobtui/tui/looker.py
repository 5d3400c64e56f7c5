"""For a desk that posts nothing: looking now and then whether another process wrote to the history."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jobtui.engine.client import Desk
from jobtui.history import StoreError

_SECONDS = 0.5


class Looker:
    """Looks on a daemon thread, twice a second, as long as the desk only reads. `told` must be thread-safe."""

    def __init__(self, desk: Desk, told: Callable[[], object]) -> None:
        self._desk = desk
        self._told = told
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin, where there is something to look at."""
        threading.Thread(target=self._live, name="jobtui-looker", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
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
