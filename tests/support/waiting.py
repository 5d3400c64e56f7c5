"""Waiting for another process by polling, if no event reports what it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SECONDS = 30.0
PATIENCE = 60.0
"""How long a test waits for another thread: a machine may have ten times as many processes as cores."""


def eventually(look: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """Return the result of `look` once it is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)  # the only sleep: between two polls
    raise AssertionError(f"nothing came within {seconds:g} s")


def wait_on(changed: threading.Condition, look: Callable[[], T | None], seconds: float = PATIENCE) -> T | None:
    """Return the result of `look` once it is true, or its last result after `seconds`; hold `changed`.

    `look` is called at each notification, and ten times a second: its result may depend on a state that is
    set just after the notification.
    """
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end:
        changed.wait(0.1)
    return found
