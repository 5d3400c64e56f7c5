"""A clock that advances only when a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import threading
from datetime import UTC, datetime, timedelta

from tests.support.waiting import PATIENCE


class FakeClock:
    """`advance` moves both clocks; `set_back` moves the wall clock alone. Safe from any thread."""

    def __init__(self, start: datetime = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)) -> None:
        self._wall = start
        self._steady = 1000.0
        self._lock = threading.Condition()
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        return self._wall

    def steady(self) -> float:
        return self._steady

    def boot_time(self) -> datetime | None:
        return None

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:  # as asyncio.sleep does: the clock may never move again
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._count += 1
            heapq.heappush(self._timers, (self._steady + seconds, self._count, done))
            self._lock.notify_all()
        await done

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._wall += timedelta(seconds=seconds)
            self._steady += seconds
            while self._timers and self._timers[0][0] <= self._steady:
                _, _, done = heapq.heappop(self._timers)
                loop = done.get_loop()
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_wake, done)

    def set_back(self, seconds: float) -> None:
        self._wall -= timedelta(seconds=seconds)

    def wait_for_sleepers(self, count: int) -> None:
        """Wait until this many coroutines sleep on the clock."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._sleepers() >= count, PATIENCE)

    def wait_for_sleep(self, seconds: float) -> None:
        """Wait until a coroutine has exactly this many seconds left to sleep."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._is_due_at(self._steady + seconds), PATIENCE)

    def pass_by(self, seconds: float) -> None:
        """Wait until a coroutine is due within this many seconds, and advance by them."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._is_due_within(seconds), PATIENCE)
        self.advance(seconds)

    def pass_sleep(self, seconds: float) -> None:
        """Wait until a coroutine has exactly this many seconds left to sleep, and advance by them."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._is_due_in(seconds), PATIENCE)
        self.advance(seconds)

    def _is_due_in(self, seconds: float) -> bool:
        return any(not done.done() and due == self._steady + seconds for due, _, done in self._timers)

    def _is_due_within(self, seconds: float) -> bool:
        return any(not done.done() and due <= self._steady + seconds for due, _, done in self._timers)

    def _is_due_at(self, steady: float) -> bool:
        return any(not done.done() and abs(due - steady) < 0.001 for due, _, done in self._timers)

    def _sleepers(self) -> int:
        return sum(not done.done() for _, _, done in self._timers)


def _wake(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
