"""The time, passed in: the wall clock that records carry and the steady one that durations come from."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol


class Clock(Protocol):
    """What the engine asks the time of."""

    def now(self) -> datetime:
        """Wall-clock time in UTC, aware."""
        ...

    def steady(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def booted(self) -> datetime | None:
        """Return the wall-clock time at which the machine was started; None if that is not known."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of the steady clock."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall-clock time in UTC, to the millisecond."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def steady(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    def booted(self) -> datetime | None:
        """Return when the machine was started, on Linux."""
        if sys.platform != "linux":
            return None
        return self.now() - timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))

    async def sleep(self, seconds: float) -> None:
        """Wait in the running loop."""
        await asyncio.sleep(seconds)


async def within(clock: Clock, seconds: float, *work: asyncio.Future[Any]) -> bool:
    """Wait until all the work is done, but no longer than that; whether it was. The work itself goes on."""
    timer = asyncio.ensure_future(clock.sleep(seconds))
    left = set(work)
    while left and not timer.done():
        done, _ = await asyncio.wait({*left, timer}, return_when=asyncio.FIRST_COMPLETED)
        left -= done
    timer.cancel()
    return not left
