"""A stop that may be asked for at any moment of an operation, from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Halt:
    """Whether a stop was asked for, and whether it hit RocksDB.

    A handle that was hit is dead: whatever is asked of it later silently does nothing, so it must be closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._act: Callable[[], None] | None = None
        self.asked = False
        self.hit = False

    def ask(self) -> None:
        """Stop what is within reach now, or what comes into reach later. Never waits."""
        with self._lock:
            self.asked = True
            self._strike()

    @contextmanager
    def within_reach(self, act: Callable[[], None]) -> Iterator[None]:
        """While inside, a stop calls `act`; at once if it was asked for before."""
        with self._lock:
            self._act = act
            if self.asked:
                self._strike()
        try:
            yield
        finally:
            with self._lock:
                self._act = None

    def _strike(self) -> None:
        if self._act is not None and not self.hit:
            self.hit = True
            self._act()
