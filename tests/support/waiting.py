"""Waiting for another process by polling, if no event reports what it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SECONDS = 30.0


def eventually(look: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """Return the result of `look` once it is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)  # the only sleep: between two polls
    raise AssertionError(f"nothing came within {seconds:g} s")
