"""The poller of a cluster's jobs: its queries, their intervals, and the changes found.

A cluster sends no events, and lists all jobs of a space or none. So `JobPoller` lists each space every
`interval` seconds while jobs are under way there. If listing is expensive (5,000 jobs take half a second to
decode), it lists rarely, and meanwhile queries the jobs under way one by one. Idle spaces share a few lists a
second.

A space whose query fails is left alone for 2 seconds, then 4, 8, 16 and 30, however long the failures take.
Only a query that succeeds or a request of the caller ends this. The other spaces keep their pace, and come
first. It works with any `ClusterJobManager`.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice
from statistics import median

import msgspec
from msgspec.structs import replace

from jobtui.clock import Clock, SystemClock, wait_first
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState, Status, Task
from jobtui.storage.base import ClusterJob, ClusterJobManager, Host, Space
from jobtui.storage.nebula.reconnector import RETRIED

INTERVAL_SECONDS = 1.0
SPACES_SECONDS = 5.0
ERROR_SECONDS = 30.0  # at most between two tries of a query that fails; the pause doubles up to this
COST_SHARE = 10.0  # a list is not repeated before this many times its usual duration
COST_LISTS = 5  # the usual duration is the median of this many: one during a restart of metad takes 38 s
COST_SECONDS = 5.0  # but it is repeated after this: a job of another client must not appear minutes late
SLOW_SECONDS = 3.0  # after an answer that took longer, all spaces are listed: much may have happened meanwhile
SLOW_SHARE = 4.0  # and that took this many times as long as usual: a list of 50,000 jobs is always slow
BUSY_SECONDS = 10.0  # after the last change, a space counts as idle
IDLE_LISTS = 4.0  # lists a second of all idle spaces together: 20 spaces cost one every five seconds each
IDLE_SECONDS = 10.0  # at most between two lists of an idle space, however many there are
LINGER_SECONDS = 5.0  # between two queries of a job that has ended while some of its tasks run
BATCH = 200
MIN_LISTED_ONLY = 50
"""Ended jobs that appear at once, from which on they are reported as listed, and each is shown later: at 5 ms a
job, the first start on a cluster with thousands of jobs would take minutes."""
MAX_LISTED_ONLY = 2000  # jobs that are reported like that in one batch
BATCH_SECONDS = 1.0  # of querying jobs one by one, after which the updates so far are yielded
MISSES = 2  # lists in a row without a job under way, before it counts as gone: one list can be incomplete
GONE = "the cluster no longer knows this job"
DROPPED = "the cluster no longer has this space"
LEFT_BEHIND = "the cluster no longer reports it; the host may continue"


class UpdateKind(enum.StrEnum):
    """The kinds of updates of a job."""

    FIRST = "first"  # it was not known before
    CHANGED = "changed"  # another status, or progress of its tasks
    AGAIN = "again"  # it had ended, and is running or has run again under its id
    AFTER_END = "after end"  # the cluster now reports another end of a run that had ended


_numbers = count(1)


# a dataclass: the number takes no part in comparisons, which a Struct cannot express
@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A job of a space as the cluster reports it now, with its tasks, and the kind of the change.

    Create it as soon as the cluster has answered: `number` orders the answers to all callers. `since`: when the
    space was listed without the change, by our clock; None if it was not.
    """

    space: str
    job: ClusterJob
    kind: UpdateKind
    since: datetime | None = field(default=None, compare=False)
    number: int = field(default_factory=_numbers.__next__, compare=False)


_ListedState = tuple[str, Status, datetime | None, datetime | None]


class _PolledSpace(msgspec.Struct):
    """The known jobs of a space, and the time of the next list.

    `listed_states` is what the last list says of each job. It may differ from `seen`: only SHOW JOB has the
    error code.
    """

    seen: dict[int, ClusterJob] = {}
    unsettled: dict[int, ClusterJob] = {}  # those of `seen` that are not settled: a list may have 100,000 jobs
    listed_states: dict[int, _ListedState] = {}
    durations: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=COST_LISTS))
    job_due: dict[int, float] = {}
    listed_only: dict[int, ClusterJob] = {}  # reported, but only as they were listed
    changed: float = -BUSY_SECONDS
    due: float = 0.0
    backlog: dict[int, ClusterJob] = {}
    misses: dict[int, int] = {}
    unlisted: int = 0
    failures: int = 0  # in a row
    blocked: bool = False  # since a query failed, until a list succeeds
    list_error: str = ""  # the last published reason why its jobs cannot be listed
    job_error: str = ""  # the last published reason why one of them cannot be shown
    newest: int = 0
    listed_at: tuple[datetime | None, datetime | None] = (None, None)  # the last two times, by our clock
    digest: str = ""  # of the last list, if all that it changed is in the backlog or was shown

    def __post_init__(self) -> None:
        self.newest = max(self.seen, default=0)
        self.listed_states = {job.id: _listed_state(job) for job in self.seen.values()}
        self.unsettled = {job.id: job for job in self.seen.values() if not job.is_settled}

    def take_list(self, jobs: Iterable[ClusterJob], now: float) -> list[int]:
        """Put the jobs that changed into the backlog, and return the ids of those that are no longer listed."""
        found = {job.id for job in jobs}
        self.newest = max(found, default=0)
        for job in jobs:
            if self.listed_states.get(job.id) != _listed_state(job):
                self.backlog[job.id] = job
                self.changed = now
        self.misses = {job_id: count for job_id, count in self.misses.items() if job_id not in found}
        return sorted(self.seen.keys() - found)

    def put(self, job: ClusterJob) -> None:
        """Add a job, or replace it."""
        self.seen[job.id] = job
        if job.is_settled:
            self.unsettled.pop(job.id, None)
        else:
            self.unsettled[job.id] = job

    def remove(self, job_id: int) -> ClusterJob:
        """Remove a job with all that is known of it, and return it."""
        for known in (self.unsettled, self.listed_states, self.backlog, self.listed_only):
            known.pop(job_id, None)
        self.job_due.pop(job_id, None)
        self.misses.pop(job_id, None)
        return self.seen.pop(job_id)

    @property
    def usual_duration(self) -> float:
        """The usual duration of a list of the space in seconds."""
        return median(self.durations) if self.durations else 0.0

    def is_busy(self, now: float) -> bool:
        return now - self.changed < BUSY_SECONDS or any(not job.status.ended for job in self.unsettled.values())


def _listed_state(job: ClusterJob) -> _ListedState:
    return job.command, job.status, job.start, job.stop


class JobPoller:
    """A source of job updates for one event loop, with one consumer at a time.

    Args:
        manager: The cluster.
        known: The jobs of the last week in the history, and all that have not ended, by space. Their tasks
            are not needed. `start` is the cluster's time: another start is another run.
        incomplete: The ids of those of them that are known only as they were listed, without tasks.
        on_error: Called for a space whose jobs cannot be listed, once for each new reason.
        on_caught_up: Called when every update has been yielded and the consumer asks for more.
        on_layout: Called with the spaces and the hosts each time that they are listed.
        interval: Seconds between two lists of a space in which jobs are under way.
        clock: Measures the waits.
    """

    def __init__(
        self,
        manager: ClusterJobManager,
        known: Mapping[str, Iterable[ClusterJob]] | None = None,
        *,
        incomplete: Mapping[str, Iterable[int]] | None = None,
        on_error: Callable[[StorageError], None] = lambda error: None,
        on_caught_up: Callable[[], None] = lambda: None,
        on_layout: Callable[[tuple[Space, ...], tuple[Host, ...]], None] = lambda spaces, hosts: None,
        interval: float = INTERVAL_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._manager = manager
        self._spaces = {
            space: _PolledSpace({job.id: job for job in jobs}) for space, jobs in (known or {}).items()
        }
        for space, ids in (incomplete or {}).items():
            polled = self._spaces[space]
            polled.listed_only = {job_id: polled.seen[job_id] for job_id in ids}
        self._on_error = on_error
        self._on_caught_up = on_caught_up
        self._on_layout = on_layout
        self._interval = interval
        self._clock = clock or SystemClock()
        self._spaces_due = 0.0
        self._failures = 0  # of the list of spaces, in a row
        self._error = ""  # the last published reason why the cluster cannot be queried
        self._poll_requested = asyncio.Event()
        self._requested_spaces: set[str] = set()
        self._updates: list[JobUpdate] = []

    def poll_soon(self, space: str = "") -> None:
        """List the space, or all spaces, at once, because a command was just sent."""
        self._requested_spaces.add(space)
        self._poll_requested.set()

    def newest(self, space: str) -> int:
        """Return the highest id seen in the space, 0 if there is none.

        A command whose answer was lost can only have become a job above this id.
        """
        polled = self._spaces.get(space)
        return polled.newest if polled else 0

    def has_listed(self, space: str) -> bool:
        """Return whether the space has been listed: `newest` is then the cluster's, not the history's."""
        polled = self._spaces.get(space)
        return polled is not None and polled.listed_at[1] is not None

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
            elif not any(polled.backlog and not polled.blocked for polled in self._spaces.values()):
                self._on_caught_up()
                await self._pause(self._interval)

    # ---- one round of queries

    async def _poll(self) -> StorageError | None:
        """Run the due queries and collect the updates; return the error that ended the round early, if any."""
        if self._poll_requested.is_set():
            self._poll_requested.clear()
            requested, self._requested_spaces = self._requested_spaces, set()
            for space, polled in self._spaces.items():
                if space in requested or "" in requested:
                    polled.due = 0.0
        try:
            await self._list_spaces()
            await self._list_due([one for one in self._spaces.items() if not one[1].blocked])
            listed_only = self._report_listed_only()
            began = self._clock.steady()
            for space, job in self._due_jobs():
                if listed_only and job.status.ended:
                    break  # in the first batch those under way matter
                await self._show(space, job)
                if self._updates and self._clock.steady() - began >= BATCH_SECONDS:
                    break  # a job of hundreds of tasks takes long to show
            for polled in self._spaces.values():
                if not polled.blocked:
                    polled.failures, polled.list_error = 0, ""
            await self._list_due([one for one in self._spaces.items() if one[1].blocked])
        except StorageError as error:
            return error
        self._failures, self._error = 0, ""
        return None

    async def _list_due(self, spaces: Iterable[tuple[str, _PolledSpace]]) -> None:
        for space, polled in spaces:
            if not polled.unlisted and self._clock.steady() >= polled.due:
                await self._list(space, polled)

    async def _list_spaces(self) -> None:
        if self._clock.steady() < self._spaces_due:
            return
        spaces, hosts = await self._manager.layout()
        self._on_layout(spaces, hosts)
        names = {space.name for space in spaces}
        self._spaces_due = self._clock.steady() + SPACES_SECONDS
        for name in names:
            self._spaces.setdefault(name, _PolledSpace()).unlisted = 0
        for name in sorted(self._spaces.keys() - names):
            polled = self._spaces[name]
            polled.unlisted += 1
            polled.backlog.clear()
            polled.digest = ""
            if polled.unlisted >= MISSES and self._clock.steady() >= polled.due:
                await self._drop_unless_hidden(name, polled)

    async def _drop_unless_hidden(self, name: str, polled: _PolledSpace) -> None:
        """Remove a space that is no longer listed, unless the user has only lost the role there."""
        try:
            await self._manager.list_jobs(name, polled.digest)
        except StorageError as error:
            if error.code in RETRIED:
                self._postpone(polled)  # otherwise it would end every round before the other spaces are listed
                raise
            if error.code is ErrorCode.ACCESS:
                await self._block(polled, error)
                return
        else:
            return  # only the list of spaces lacks it
        for job_id in [*polled.unsettled]:
            self._report_gone(name, polled, job_id, DROPPED)
        del self._spaces[name]

    async def _list(self, space: str, polled: _PolledSpace) -> None:
        began, at = self._clock.steady(), self._clock.now()
        try:
            listed, digest = await self._manager.list_jobs(space, polled.digest)
        except StorageError as error:
            await self._block(polled, error)
            return
        polled.blocked = False
        polled.listed_at = polled.listed_at[1], at
        now = self._clock.steady()
        if now - began > max(SLOW_SECONDS, SLOW_SHARE * polled.usual_duration):
            self._list_at_once()
        polled.durations.append(now - began)
        missing = sorted(polled.misses) if listed is None else polled.take_list(listed, now)
        polled.digest = digest
        polled.due = now + self._pause_after_list(polled, now)
        for job_id in missing:
            if job_id not in polled.unsettled:
                polled.remove(job_id)  # the cluster has deleted it; the history keeps it
                continue
            polled.misses[job_id] = polled.misses.get(job_id, 0) + 1
            if polled.misses[job_id] >= MISSES:
                self._report_gone(space, polled, job_id, GONE)

    def _pause_after_list(self, polled: _PolledSpace, now: float) -> float:
        """Return the seconds until the next list of a space that has just been listed."""
        cost = min(COST_SECONDS, COST_SHARE * polled.usual_duration)
        if polled.is_busy(now):
            return max(self._interval, cost)
        idle = min(IDLE_SECONDS, len(self._spaces) / IDLE_LISTS)
        return max(self._interval, cost, idle)

    def _due_jobs(self) -> list[tuple[str, ClusterJob]]:
        """Return at most BATCH jobs to query: changed ones, then those with running tasks.

        A job in the queue has no tasks: the list alone shows when it begins.
        """
        now = self._clock.steady()
        # of a space that cannot be listed, no job can be shown
        spaces = {space: polled for space, polled in self._spaces.items() if not polled.blocked}
        changed = [(space, job) for space, polled in spaces.items() for job in polled.backlog.values()]
        changed.sort(key=lambda one: (one[1].status.ended, one[1].id))
        active = [
            (space, job)
            for space, polled in spaces.items()
            for job in polled.unsettled.values()
            if job.id not in polled.backlog
            and not polled.unlisted
            and job.status is not Status.QUEUE
            and polled.job_due.get(job.id, 0.0) <= now
        ]
        active.sort(key=lambda one: (one[1].status.ended, one[1].id))
        incomplete = (
            (space, job)
            for space, polled in spaces.items()
            for job in polled.listed_only.values()
            if not polled.unlisted
        )
        return [*changed, *active, *islice(incomplete, BATCH)][:BATCH]

    def _report_listed_only(self) -> bool:
        """Report the ended jobs of spaces with many new ones as listed; return whether there were any."""
        for space, polled in self._spaces.items():
            old = [job for job in polled.backlog.values() if job.status.ended and job.id not in polled.seen]
            if len(old) < MIN_LISTED_ONLY:
                continue
            for job in old[: MAX_LISTED_ONLY - len(self._updates)]:
                del polled.backlog[job.id]
                polled.put(job)
                polled.listed_only[job.id] = job
                polled.listed_states[job.id] = _listed_state(job)
                self._updates.append(JobUpdate(space, job, UpdateKind.FIRST, polled.listed_at[0]))
        return bool(self._updates)

    async def _show(self, space: str, job: ClusterJob) -> None:
        polled = self._spaces.get(space)
        if polled is None or polled.blocked:
            return  # another job of the space was just refused, or the space was dropped
        listed, detail = polled.backlog.pop(job.id, None), polled.listed_only.pop(job.id, None)
        try:
            now = await self._manager.show(space, job.id)
        except StorageError as error:
            if error.code in (ErrorCode.REJECTED, ErrorCode.MISSING):
                polled.digest = ""
                return  # it was deleted after the list: the next list shows that
            if error.code is ErrorCode.ACCESS or error.code in RETRIED:  # e.g. the role in this space is lost
                polled.backlog.update({job.id: listed} if listed else {})
                polled.listed_only.update({job.id: detail} if detail else {})
                await self._block(polled, error)
                return
            polled.job_error = self._publish_once(polled.job_error, error)
            known = polled.seen.get(job.id)
            now = replace(job, tasks=known.tasks if known is not None and known.tasks else ())
        else:
            polled.job_error = ""
        before = polled.seen.get(job.id)
        polled.put(now)
        if listed is not None:
            polled.listed_states[job.id] = _listed_state(listed)
        if now.status.ended and not now.is_settled:
            polled.job_due[job.id] = self._clock.steady() + LINGER_SECONDS
        else:
            polled.job_due.pop(job.id, None)
        if before != now:
            polled.changed = self._clock.steady()
            self._updates.append(JobUpdate(space, now, _update_kind(before, now), polled.listed_at[0]))

    def _report_gone(self, space: str, polled: _PolledSpace, job_id: int, reason: str) -> None:
        known = polled.remove(job_id)
        tasks = tuple(task if task.status.ended else _lost_task(task) for task in known.tasks or ())
        if known.status.ended:
            self._updates.append(JobUpdate(space, replace(known, tasks=tasks), UpdateKind.AFTER_END))
            return
        job = replace(known, status=Status.FAILED, reason=reason, tasks=tasks)
        self._updates.append(JobUpdate(space, job, UpdateKind.CHANGED))

    async def _block(self, polled: _PolledSpace, error: StorageError) -> None:
        """Leave a space alone for a while, since it could not be queried, and publish why.

        Raises StorageError if the spaces cannot be listed either, which ends the round.
        """
        self._postpone(polled)
        if error.code in RETRIED:
            self._spaces_due = 0.0
            await self._list_spaces()
        polled.list_error = self._publish_once(polled.list_error, error)

    def _postpone(self, polled: _PolledSpace) -> None:
        """Leave a space alone whose query has failed, each time for longer."""
        polled.blocked, polled.failures = True, polled.failures + 1
        polled.due = self._clock.steady() + self._pause_after_failures(polled.failures)

    def _pause_after_failures(self, failures: int) -> float:
        """Return the seconds until a query is repeated that has failed this many times in a row."""
        return min(ERROR_SECONDS, self._interval * 2.0 ** min(failures, 10))

    def _list_at_once(self) -> None:
        """Make all spaces due, except those that fail: much may have happened meanwhile."""
        for polled in self._spaces.values():
            if not polled.failures:
                polled.due = 0.0

    def _publish_once(self, before: str, error: StorageError) -> str:
        """Publish an error unless its reason is `before`, and return the reason to keep."""
        if error.code is ErrorCode.MISSING:
            return before
        if error.detail != before:
            self._on_error(error)
        return error.detail

    # ---- waiting

    async def _pause(self, seconds: float) -> None:
        await wait_first(self._clock.sleep(seconds), self._poll_requested.wait())

    async def _wait_after(self, error: StorageError) -> None:
        await self._wait_for_cluster(error)
        self._list_at_once()
        self._spaces_due = 0.0

    async def _wait_for_cluster(self, error: StorageError) -> None:
        pause = self._interval  # the status of the connection reports this error
        if error.code not in RETRIED:
            self._error = self._publish_once(self._error, error)
            self._failures += 1
            pause = self._pause_after_failures(self._failures)
        if self._manager.link.state is ConnectionState.CONNECTED:
            await self._pause(pause)
            return
        again = asyncio.Event()
        unsubscribe = self._manager.watch(
            lambda link: again.set() if link.state is ConnectionState.CONNECTED else None
        )
        try:
            await again.wait()
        finally:
            unsubscribe()


def _lost_task(task: Task) -> Task:
    return replace(task, status=Status.STOPPED, reason=LEFT_BEHIND, detached=True)


def _update_kind(before: ClusterJob | None, now: ClusterJob) -> UpdateKind:
    if before is None:
        return UpdateKind.FIRST
    if not before.status.ended:
        return UpdateKind.CHANGED
    if not now.status.ended or now.start != before.start:
        return UpdateKind.AGAIN
    return UpdateKind.AFTER_END
