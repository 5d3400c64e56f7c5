"""A reader of the updates that a job poller yields."""

from __future__ import annotations

import asyncio

from jobtui.model import Status
from jobtui.storage.nebula.poller import JobPoller, JobUpdate, UpdateKind
from tests.support.nebula import PatientClock

ConnectionLog = list[tuple[str, int, Status, UpdateKind]]


class Reader:
    """Reads the poller's batches, and lets the clock advance while it waits."""

    def __init__(self, follower: JobPoller, clock: PatientClock) -> None:
        self.clock = clock
        self._batches = follower.batches()
        self._next: asyncio.Future[tuple[JobUpdate, ...]] | None = None

    async def batch(self) -> tuple[JobUpdate, ...]:
        batch = await self.clock.let_pass(self._asked())
        self._next = None
        return batch

    async def news(self) -> ConnectionLog:
        return [(one.space, one.job.id, one.job.status, one.kind) for one in await self.batch()]

    async def silence(self, seconds: int) -> None:
        """Check that no update arrives for that long."""
        asked = self._asked()
        await self.clock.let_pass(self.clock.sleep(seconds))
        assert not asked.done()

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        await self._batches.aclose()  # type: ignore[attr-defined]  # of the view or double at hand

    def _asked(self) -> asyncio.Future[tuple[JobUpdate, ...]]:
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._batches))
        return self._next
