"""Waiting for what another process does: by looking again, as there is nobody to tell us."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SECONDS = 30.0


def eventually(look: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """What `look` finds, once that is something; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing came within {seconds:g} s")
