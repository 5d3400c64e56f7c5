"""Searches of the history beside the screen's own thread, the newest question first and only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The answer to one question, or the error that it ended in."""

    question: int
    answer: T | None
    error: Exception | None = None


class Lookup(Generic[T]):
    """One daemon thread that answers one question at a time; a question not yet begun is replaced by a newer.

    `told` is called on that thread with each answer and must be thread-safe.
    """

    def __init__(self, told: Callable[[Found[T]], object]) -> None:
        self._told = told
        self._changed = threading.Condition()
        self._next: tuple[int, Callable[[], T]] | None = None
        self._asked = 0
        self._ended = False
        self._thread: threading.Thread | None = None

    def ask(self, work: Callable[[], T]) -> int:
        """Have `work` done on the thread; the answer is the question's number, rising."""
        with self._changed:
            self._asked += 1
            self._next = self._asked, work
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="jobtui-lookup", daemon=True)
                self._thread.start()
            self._changed.notify()
            return self._asked

    def close(self) -> None:
        """Answer nothing any more."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _live(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._next is not None)
                if self._ended or self._next is None:
                    return
                (number, work), self._next = self._next, None
            try:
                found: Found[T] = Found(number, work())
            except Exception as error:  # told to the one who asked, on the screen's thread
                found = Found(number, None, error)
            if not self._ended:
                self._told(found)
