"""An index from a cluster's job ids to our job ids.

It holds the jobs under way, the newest ones, and all of the last days; if the cluster lists an older one, the
history is read that far back, once. If a cluster ran a job several times, the index holds the newest run.
For the engine's loop alone; the history is read on a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain

from jobtui.engine.jobs import Transaction
from jobtui.history import History, Query
from jobtui.model import Job, Status
from jobtui.storage.base import ClusterJob

WEEK = timedelta(days=7)  # a cluster lists a job for so long after its start
MARGIN = timedelta(days=2)  # between a job's start by the cluster's clock and its submission by ours
NEWEST = 10_000  # jobs that are indexed whatever their age: a cluster may be set to keep its jobs for longer
PAGE = 500

_WITH_TASKS = frozenset({Status.FINISHED, Status.FAILED})
_WITHOUT_TASKS = frozenset({"leader balance", "download"})  # the cluster lists none for these
Known = dict[str, dict[int, ClusterJob]]
_Entry = tuple[str, int, int]  # the space, the job's id there, our id


class ClusterJobIndex:
    """The index of one cluster's jobs."""

    def __init__(self, history: History, cluster: str) -> None:
        self._history = history
        self._cluster = cluster
        self._ours: dict[str, dict[int, int]] = {}
        self._since: datetime | None = None

    def incomplete(self, known: Known) -> dict[str, list[int]]:
        """Return the ids, by space, of ended jobs that are recorded without tasks: they were only listed."""
        return {
            space: [
                job.id
                for job in jobs.values()
                if job.tasks == () and job.status in _WITH_TASKS and job.command not in _WITHOUT_TASKS
            ]
            for space, jobs in known.items()
        }

    async def load(self, now: datetime) -> Known:
        """Read the jobs that the cluster may still list; return each one's last version.

        Raises StoreError.
        """
        since = now - WEEK - MARGIN
        entries, known = await asyncio.to_thread(self._read_known, since)
        self._put_older(entries)
        self._since = since
        return known

    async def extend_to(self, start: datetime) -> None:
        """Extend the index to the jobs that started at that time or later. Raises StoreError."""
        since, until = start - MARGIN, self._since
        if until is not None and since < until:
            self._put_older(await asyncio.to_thread(self._read, since, until))
            self._since = since

    def put(self, transaction: Transaction, job: Job) -> None:
        """Add a job as the newest run of its origin; other transactions see it once this one is on disk."""
        if job.origin is not None and job.origin.id:
            transaction.runs[job.origin.space, job.origin.id] = job.id

    def apply(self, transaction: Transaction) -> None:
        """Add the runs of a transaction that is on disk."""
        for (space, cluster_id), job_id in transaction.runs.items():
            self._ours.setdefault(space, {})[cluster_id] = job_id

    def get(self, space: str, cluster_id: int, transaction: Transaction | None = None) -> int | None:
        """Return our job's id, archived or not; with a transaction, including the changes in it."""
        drafted = None if transaction is None else transaction.runs.get((space, cluster_id))
        return drafted or self._ours.get(space, {}).get(cluster_id)

    def _put_older(self, entries: list[_Entry]) -> None:
        for space, cluster_id, job_id in entries:
            ours = self._ours.setdefault(space, {})
            ours[cluster_id] = max(job_id, ours.get(cluster_id, 0))

    # ---- on a thread

    def _read_known(self, since: datetime) -> tuple[list[_Entry], Known]:
        entries: list[_Entry] = []
        newest: dict[tuple[str, int], Job] = {}
        for job in chain(self._cluster_jobs(since, None), self._newest(), self._history.live()):
            for space, cluster_id, job_id in self._entries(job):
                entries.append((space, cluster_id, job_id))
                before = newest.get((space, cluster_id))
                if before is None or before.id <= job_id:
                    newest[space, cluster_id] = job
        known: Known = {}
        for (space, cluster_id), job in newest.items():
            running = any(not task.status.ended for task in job.tasks) and job.status.ended
            # these are still to be followed, or to be fetched
            tasks = job.tasks if running or not job.tasks else None
            found = ClusterJob(cluster_id, job.command, job.status, job.start, job.stop, job.reason, tasks)
            known.setdefault(space, {})[cluster_id] = found
        return entries, known

    def _read(self, since: datetime, until: datetime) -> list[_Entry]:
        return [entry for job in self._cluster_jobs(since, until) for entry in self._entries(job)]

    def _entries(self, job: Job) -> Iterator[_Entry]:
        origin = job.origin
        if origin is not None and origin.id and origin.cluster == self._cluster:
            yield origin.space, origin.id, job.id

    def _newest(self) -> Iterator[Job]:
        for archived in (True, False):
            view = self._history.query(Query(archived=archived, descending=True))
            for start in range(0, NEWEST, PAGE):
                page = view.page(start, PAGE)
                yield from page
                if not page:
                    break

    def _cluster_jobs(self, since: datetime, until: datetime | None) -> Iterator[Job]:
        for archived in (True, False):
            view = self._history.query(Query(since=since, until=until, archived=archived))
            for start in range(0, len(view), PAGE):
                yield from view.page(start, PAGE)
