"""A reader of the updates that a job poller yields."""

from __future__ import annotations

import asyncio

from jobtui.model import Status
from jobtui.storage.nebula.poller import JobPoller, JobUpdate, UpdateKind
from tests.support.nebula import PatientClock

ConnectionLog = list[tuple[str, int, Status, UpdateKind]]


class UpdateReader:
    """A reader of the poller's batches; the clock advances while it waits."""

    def __init__(self, poller: JobPoller, clock: PatientClock) -> None:
        self.clock = clock
        self._batches = poller.batches()
        self._next: asyncio.Future[tuple[JobUpdate, ...]] | None = None

    async def batch(self) -> tuple[JobUpdate, ...]:
        batch = await self.clock.let_pass(self._next_batch())
        self._next = None
        return batch

    async def updates(self) -> ConnectionLog:
        return [(one.space, one.job.id, one.job.status, one.kind) for one in await self.batch()]

    async def silence(self, seconds: int) -> None:
        """Check that no update arrives for that long."""
        batch = self._next_batch()
        await self.clock.let_pass(self.clock.sleep(seconds))
        assert not batch.done()

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        await self._batches.aclose()  # type: ignore[attr-defined]

    def _next_batch(self) -> asyncio.Future[tuple[JobUpdate, ...]]:
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._batches))
        return self._next
