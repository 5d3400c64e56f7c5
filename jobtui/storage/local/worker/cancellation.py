"""The requests to a running operation, which another thread may make at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
