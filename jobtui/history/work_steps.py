"""Long work in steps, so that other threads run in between.

Python switches threads only between bytecodes: one call that sorts or encodes for 100 ms delays every other
thread by that. Both reading and writing use this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Final, TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
_YIELD_INTERVAL: Final = 0.002
"""Seconds between two yields: below what a user or a commit notices."""


def run_steps(steps: Steps[Result], between: Callable[[], object] = lambda: None) -> Result:
    """Run all steps, call `between` after each but the last, and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        between()


def run_cooperatively(steps: Steps[Result]) -> Result:
    """Run all steps, yielding to other threads between them, and return their result."""
    return run_steps(steps, partial(time.sleep, 0))


class Yielder:
    """A rate-limited yield to other threads, for a loop that calls it often."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _YIELD_INTERVAL

    def yield_gil(self) -> None:
        """Let another thread run, if the last time was at least `_YIELD_INTERVAL` ago."""
        if time.monotonic() > self._next:
            time.sleep(0)
            self._next = time.monotonic() + _YIELD_INTERVAL
