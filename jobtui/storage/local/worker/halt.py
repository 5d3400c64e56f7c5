"""A stop that may be asked for at any moment of an operation, from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Halt:
    """Whether a stop was asked for, and whether it hit RocksDB (whose handle is dead then)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._act: Callable[[], None] | None = None
        self.hit = False

    @property
    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Stop what is within reach now, or what comes into reach later. Never waits for what it stops."""
        with self._lock:
            self._asked.set()
            self._strike()

    def wait(self, seconds: float) -> bool:
        """Wait so long for a stop; whether one was asked for."""
        return self._asked.wait(seconds)

    @contextmanager
    def within_reach(self, act: Callable[[], None]) -> Iterator[None]:
        """While inside, a stop calls `act`, once; immediately if it was asked for before."""
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
