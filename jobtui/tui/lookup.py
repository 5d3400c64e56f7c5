"""Searches of the history beside the screen's own thread, the newest question first and only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class WorkerReply(msgspec.Struct, Generic[T], frozen=True):
    """An answer to a question, or the error that it ended in."""

    question: int
    answer: T | None
    error: Exception | None = None


class Lookup(Generic[T]):
    """One daemon thread that answers one question at a time; a newer question ends an older one.

    The work for a question may give several answers, each better than the one before. `told` is called on that
    thread with each of them and must be thread-safe.
    """

    def __init__(self, told: Callable[[WorkerReply[T]], object]) -> None:
        self._told = told
        self._changed = threading.Condition()
        self._next: tuple[int, Callable[[], Iterator[T]]] | None = None
        self._asked = 0
        self._ended = False
        self._thread: threading.Thread | None = None

    def ask(self, work: Callable[[], Iterator[T]]) -> int:
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
            self._answer(number, work)

    def _answer(self, number: int, work: Callable[[], Iterator[T]]) -> None:
        try:
            for answer in work():
                if self._ended or self._next is not None:
                    return
                self._told(WorkerReply(number, answer))
        except Exception as error:  # told to the one who asked, on the screen's thread
            self._told(WorkerReply(number, None, error))
