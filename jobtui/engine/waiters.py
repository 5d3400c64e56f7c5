"""Waiting for jobs to end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from jobtui.engine.jobs import JobStore
from jobtui.model import Job, Status


class JobWaiters:
    """The coroutines that wait for jobs, and the jobs whose end cannot be waited for.

    For the engine's loop alone, except `unwritten`.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._unwritten: set[int] = set()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def unwritten(self) -> tuple[int, ...]:
        """Ids of the jobs that have ended but whose end the disk did not take. Any thread."""
        return tuple(sorted(self._unwritten))

    def give_up(self, ids: Iterable[int]) -> None:
        """Stop waiting for the ends of these jobs: the disk does not take them."""
        self._unwritten.update(ids)

    def can_end(self, job: Job) -> bool:
        """Return whether the end of a job, queued or running, can still come to the history."""
        if self._store.broken and job.status is Status.QUEUE:
            return False
        return job.id not in self._unwritten

    async def ended(self, ids: Sequence[int]) -> tuple[Job, ...]:
        """Wait until these jobs have ended; one whose end could not be written is returned as it is on disk."""
        for job_id in ids:
            while (job := self._store.current(job_id)) is not None and self.can_end(job):
                await self.next_change()
        history = self._store.history
        found = (history.get(job_id) or history.get_archived(job_id) for job_id in ids)
        return tuple(job for job in found if job is not None)

    def next_change(self) -> asyncio.Future[None]:
        """Return a future that is done at the next `notify`."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return waiting

    def notify(self) -> None:
        """Have every waiting coroutine check its jobs again: some have ended."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)
