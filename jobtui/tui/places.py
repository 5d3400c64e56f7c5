"""Spaces and hosts as they were last seen, for the header, the views and the storage tab."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from jobtui.engine.client import Desk, Overview


class Places:
    """Asks the desk for an overview, one at a time, and keeps the newest. `told` must be thread-safe."""

    def __init__(self, desk: Desk, told: Callable[[], object]) -> None:
        self._desk = desk
        self._told = told
        self._asking = False
        self.overview: Overview | None = None
        self.trouble = ""

    def adopted(self, space: str) -> bool | None:
        """Whether the space is another program's; None where that is not known."""
        if self.overview is None:
            return None
        return next((look.space.adopted for look in self.overview.spaces if look.space.name == space), None)

    def ask(self) -> None:
        """Look again, unless a look is under way."""
        if not self._asking:
            self._asking = True
            self._desk.overview().add_done_callback(self._answered)

    def _answered(self, done: Future[Overview]) -> None:
        # on the engine's thread
        self._asking = False
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self.trouble = str(error)
        elif not done.cancelled():
            self.overview, self.trouble = done.result(), ""
        self._told()
