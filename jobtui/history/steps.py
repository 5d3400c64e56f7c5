"""Long work in steps: an iterator, between whose steps others may have their turn."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final, TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
_TURN: Final = 0.002
"""Seconds."""


def finished(steps: Steps[Result]) -> Result:
    """Take all steps at once; returns what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def at_ease(steps: Steps[Result]) -> Result:
    """The same, letting other threads have their turn between the steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        time.sleep(0)


class Yielder:
    """Lets another thread have its turn, if one waits for it, but not oftener than every few milliseconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _TURN

    def give(self) -> None:
        """Call this often."""
        if time.monotonic() > self._next:
            time.sleep(0)
            self._next = time.monotonic() + _TURN
