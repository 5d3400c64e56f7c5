"""The clocks that the engine reads, which tests can replace, and bounded waits.

The wall clock dates records. The steady clock measures durations, since it never goes back.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol


class Clock(Protocol):
    """A source of the time."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware and in UTC."""
        ...

    def steady(self) -> float:
        """Return the seconds of a clock that never goes back."""
        ...

    def boot_time(self) -> datetime | None:
        """Return the wall-clock time at which the machine was started, None if it is not known."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of the steady clock."""
        ...


class SystemClock(Clock):
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall-clock time to the millisecond, in UTC."""
        return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)

    def steady(self) -> float:
        """Return the seconds of the machine's monotonic clock."""
        return time.monotonic()

    def boot_time(self) -> datetime | None:
        """Return when the machine was started, on Linux."""
        if sys.platform != "linux":
            return None
        return self.now() - timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))

    async def sleep(self, seconds: float) -> None:
        """Wait in the running loop."""
        await asyncio.sleep(seconds)


async def wait_first(*work: Awaitable[object]) -> None:
    """Wait until the first of these has ended, whatever its outcome.

    Coroutines that have not ended are canceled then; futures that were passed in are not.
    """
    futures = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future, given in zip(futures, work, strict=True):
            if future is not given:
                future.cancel()


async def wait_all(clock: Clock, seconds: float, *work: asyncio.Future[Any]) -> bool:
    """Wait until all the work has ended, for at most `seconds`, and return whether it has.

    No work is canceled.
    """
    timer = asyncio.ensure_future(clock.sleep(seconds))
    left = set(work)
    try:
        while left and not timer.done():
            done, _ = await asyncio.wait({*left, timer}, return_when=asyncio.FIRST_COMPLETED)
            left -= done
    finally:
        timer.cancel()
    return not left
