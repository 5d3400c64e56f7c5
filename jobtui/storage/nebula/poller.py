"""A poller of a cluster's jobs: which queries it sends, how often, and what is new in the answers.

A cluster sends no events, and lists all jobs of a space or none. So `JobPoller` lists each space every
`interval` seconds. If listing is expensive (5,000 jobs take half a second to decode), it spends at most a tenth
of its time on it, and meanwhile queries the jobs under way one by one. It works with any `ClusterJobManager`.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from msgspec.structs import replace

from jobtui.clock import Clock, SystemClock, wait_first
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState, Status
from jobtui.storage.base import ClusterJob, ClusterJobManager, Space
from jobtui.storage.nebula.reconnect import RETRIED

INTERVAL_SECONDS = 1.0
SPACES_SECONDS = 5.0
ERROR_SECONDS = 30.0  # until a space that could not be listed is listed again
COST_SHARE = 10.0  # a list is not repeated before this many times its own duration
BATCH = 200
BATCH_SECONDS = 1.0  # of querying jobs one by one, after which the updates so far are yielded
MISSES = 2  # lists in a row without a job under way, before it counts as gone: one list can be incomplete
GONE = "the cluster no longer knows this job"
DROPPED = "the cluster no longer has this space"


class UpdateKind(enum.StrEnum):
    """What an update says about its job."""

    FIRST = "first"  # it was not known before
    CHANGED = "changed"  # another status, or its tasks moved on
    AGAIN = "again"  # it had ended, and runs, or has run, again under its id
    AFTER_END = "after end"  # the cluster now reports another end of a run that had ended


_answers = count(1)


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A job of a space as the cluster reports it now, with its tasks, and what is new about it.

    Create it as soon as the cluster has answered: `number` orders the answers to all callers.
    """

    space: str
    job: ClusterJob
    kind: UpdateKind
    number: int = field(default_factory=_answers.__next__, compare=False)


@dataclass(slots=True)
class _PolledSpace:
    """The known jobs of a space, and when to list them again."""

    seen: dict[int, ClusterJob] = field(default_factory=dict)
    due: float = 0.0
    backlog: dict[int, ClusterJob] = field(default_factory=dict)
    misses: dict[int, int] = field(default_factory=dict)
    unlisted: int = 0
    list_error: str = ""  # the last published reason why its jobs cannot be listed
    job_error: str = ""  # the last published reason why one of them cannot be shown
    newest: int = 0
    listed: bool = False

    def __post_init__(self) -> None:
        self.newest = max(self.seen, default=0)

    def active(self) -> list[ClusterJob]:
        return [job for job in self.seen.values() if not job.status.ended]


class JobPoller:
    """A source of job updates for one event loop, with one consumer at a time.

    Args:
        manager: The cluster.
        known: The jobs of the last week in the history, and all that have not ended, by space. Their tasks
            are not needed. `start` is the cluster's time: another start is another run.
        on_error: Called for a space whose jobs cannot be listed, once for each new reason.
        on_caught_up: Called when every update has been yielded and the consumer asks for more.
        on_spaces: Called with the spaces each time that they are listed.
        interval: Seconds between two lists of a space.
        clock: Measures the waits.
    """

    def __init__(
        self,
        manager: ClusterJobManager,
        known: Mapping[str, Iterable[ClusterJob]] | None = None,
        *,
        on_error: Callable[[StorageError], None] = lambda error: None,
        on_caught_up: Callable[[], None] = lambda: None,
        on_spaces: Callable[[tuple[Space, ...]], None] = lambda spaces: None,
        interval: float = INTERVAL_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._manager = manager
        self._spaces = {
            space: _PolledSpace({job.id: job for job in jobs}) for space, jobs in (known or {}).items()
        }
        self._on_error = on_error
        self._on_caught_up = on_caught_up
        self._on_spaces = on_spaces
        self._interval = interval
        self._clock = clock or SystemClock()
        self._spaces_due = 0.0
        self._error = ""  # the last published reason why the cluster cannot be queried
        self._poll_requested = asyncio.Event()
        self._updates: list[JobUpdate] = []

    def poll_soon(self) -> None:
        """List all spaces at once: a command was just sent."""
        self._poll_requested.set()

    def newest(self, space: str) -> int:
        """Return the highest id seen in the space, 0 if there is none.

        A command whose answer was lost can only have become a job above this id.
        """
        watched = self._spaces.get(space)
        return watched.newest if watched else 0

    def has_listed(self, space: str) -> bool:
        """Return whether the space has been listed: `newest` is then the cluster's, not the history's."""
        watched = self._spaces.get(space)
        return watched is not None and watched.listed

    async def batches(self) -> AsyncIterator[tuple[JobUpdate, ...]]:
        """Yield updates until the iteration is closed. While the connection is lost, it waits.

        The jobs of a batch are in the order of their ids. If more have changed than can be queried in a second,
        or more than 200, those under way come in the first batch. A job that was under way and is gone from the
        cluster is reported as failed.
        """
        while True:
            error = await self._poll()
            updates, self._updates = tuple(sorted(self._updates, key=lambda one: one.job.id)), []
            if updates:
                yield updates
            if error is not None:
                await self._wait_after(error)
            elif not any(watched.backlog for watched in self._spaces.values()):
                self._on_caught_up()
                await self._pause(self._interval)

    # ---- one round of queries

    async def _poll(self) -> StorageError | None:
        """Query what is due and collect the updates. Return the error that ended the round early, if any."""
        if self._poll_requested.is_set():
            self._poll_requested.clear()
            for watched in self._spaces.values():
                watched.due = 0.0
        try:
            await self._list_spaces()
            for space, watched in self._spaces.items():
                if not watched.unlisted and self._clock.steady() >= watched.due:
                    await self._list(space, watched)
            began = self._clock.steady()
            for space, job in self._due_jobs():
                await self._show(space, self._spaces[space], job)
                if self._updates and self._clock.steady() - began >= BATCH_SECONDS:
                    break  # a job of hundreds of tasks takes long to show
        except StorageError as error:
            return error
        self._error = ""
        return None

    async def _list_spaces(self) -> None:
        if self._clock.steady() < self._spaces_due:
            return
        spaces = await self._manager.spaces()
        self._on_spaces(spaces)
        names = {space.name for space in spaces}
        self._spaces_due = self._clock.steady() + SPACES_SECONDS
        for name in names:
            self._spaces.setdefault(name, _PolledSpace()).unlisted = 0
        for name in sorted(self._spaces.keys() - names):
            watched = self._spaces[name]
            watched.unlisted += 1
            watched.backlog.clear()
            if watched.unlisted >= MISSES:
                for job in watched.active():
                    self._report_gone(name, watched, job.id, DROPPED)
                del self._spaces[name]

    async def _list(self, space: str, watched: _PolledSpace) -> None:
        began = self._clock.steady()
        try:
            listed = await self._manager.jobs(space)
        except StorageError as error:
            watched.list_error = self._publish_once(watched.list_error, error)
            watched.due = self._clock.steady() + ERROR_SECONDS
            return
        watched.list_error = ""
        watched.listed = True
        now = self._clock.steady()
        watched.due = now + max(self._interval, COST_SHARE * (now - began))
        found = {job.id for job in listed}
        watched.newest = max(found, default=0)
        for job in listed:
            before = watched.seen.get(job.id)
            if before is None or (before.status, before.start) != (job.status, job.start):
                watched.backlog[job.id] = job
        watched.misses = {job_id: count for job_id, count in watched.misses.items() if job_id not in found}
        for job_id in sorted(watched.seen.keys() - found):
            if watched.seen[job_id].status.ended:
                del watched.seen[job_id]  # the cluster has deleted it; the history keeps it
                continue
            watched.misses[job_id] = watched.misses.get(job_id, 0) + 1
            if watched.misses[job_id] >= MISSES:
                self._report_gone(space, watched, job_id, GONE)

    def _due_jobs(self) -> list[tuple[str, ClusterJob]]:
        """Return at most BATCH jobs: the changed ones, those under way first, then the others under way."""
        changed = [(space, job) for space, watched in self._spaces.items() for job in watched.backlog.values()]
        changed.sort(key=lambda one: (one[1].status.ended, one[1].id))
        active = [
            (space, job)
            for space, watched in self._spaces.items()
            for job in watched.active()
            if job.id not in watched.backlog and not watched.unlisted
        ]
        active.sort(key=lambda one: (one[1].status is Status.QUEUE, one[1].id))
        return [*changed, *active][:BATCH]

    async def _show(self, space: str, watched: _PolledSpace, job: ClusterJob) -> None:
        watched.backlog.pop(job.id, None)
        try:
            now = await self._manager.show(space, job.id)
        except StorageError as error:
            if error.code in RETRIED:
                watched.backlog[job.id] = job
            if error.code in (ErrorCode.REJECTED, ErrorCode.MISSING):
                return  # it was deleted after the list: the next list shows that
            watched.job_error = self._publish_once(watched.job_error, error)
            now = replace(job, tasks=())
        else:
            watched.job_error = ""
        before = watched.seen.get(job.id)
        watched.seen[job.id] = now
        if before != now:
            self._updates.append(JobUpdate(space, now, _update_kind(before, now)))

    def _report_gone(self, space: str, watched: _PolledSpace, job_id: int, reason: str) -> None:
        job = replace(watched.seen.pop(job_id), status=Status.FAILED, reason=reason)
        watched.backlog.pop(job_id, None)
        self._updates.append(JobUpdate(space, job, UpdateKind.CHANGED))

    def _publish_once(self, before: str, error: StorageError) -> str:
        """Publish an error unless its reason is `before`, and return the reason to keep.

        Raises the error if no graphd answered, which ends the round.
        """
        if error.code in RETRIED:
            raise error
        if error.code is ErrorCode.MISSING:
            return before
        if error.detail != before:
            self._on_error(error)
        return error.detail

    # ---- waiting

    async def _pause(self, seconds: float) -> None:
        await wait_first(self._clock.sleep(seconds), self._poll_requested.wait())

    async def _wait_after(self, error: StorageError) -> None:
        if error.code not in RETRIED:
            self._error = self._publish_once(self._error, error)
        if self._manager.link.state is ConnectionState.CONNECTED:
            await self._pause(self._interval if error.code in RETRIED else ERROR_SECONDS)
            return
        again = asyncio.Event()
        unsubscribe = self._manager.watch(
            lambda link: again.set() if link.state is ConnectionState.CONNECTED else None
        )
        try:
            await again.wait()
        finally:
            unsubscribe()


def _update_kind(before: ClusterJob | None, now: ClusterJob) -> UpdateKind:
    if before is None:
        return UpdateKind.FIRST
    if not before.status.ended:
        return UpdateKind.CHANGED
    if not now.status.ended or now.start != before.start:
        return UpdateKind.AGAIN
    return UpdateKind.AFTER_END
