"""Following a cluster's jobs: what a mirror is asked, how often, and what of the answers is news.

A cluster tells nothing by itself, and lists all jobs of a space or none. So `Follower` looks at each space
every `interval` seconds; where listing costs much (5,000 jobs: half a second of decoding) it lists so
rarely that it spends a tenth of its time on it, and meanwhile looks at the jobs under way one by one. It works
with any `JobMirror`. One loop, one iteration at a time.
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
TROUBLE_SECONDS = 30.0  # until a space that could not be listed is asked for again
COST_SHARE = 10.0
BATCH = 200
LOOK_SECONDS = 1.0  # of looking at jobs one by one, after which what was found is told
MISSES = 2  # looks in a row that don't find a job under way, before it counts as gone
GONE = "the cluster no longer knows this job"
DROPPED = "the cluster no longer has this space"


class UpdateKind(enum.StrEnum):
    """What a sighting says of its job."""

    FIRST = "first"  # it was not known before
    CHANGED = "changed"  # another status, or its tasks moved on
    AGAIN = "again"  # it had ended, and runs, or has run, once more under its id
    AFTER_END = "after end"  # the cluster now says of an ended run that it ended otherwise


_answers = count(1)


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A job of a space as the cluster now tells it, with its tasks, and what is new about it.

    To be made as soon as the cluster has answered: `number` rises from one answer to the next, whoever asked.
    """

    space: str
    job: ClusterJob
    news: UpdateKind
    number: int = field(default_factory=_answers.__next__, compare=False)


@dataclass(slots=True)
class _Watched:
    """What is known of one space's jobs."""

    seen: dict[int, ClusterJob] = field(default_factory=dict)
    due: float = 0.0
    backlog: dict[int, ClusterJob] = field(default_factory=dict)
    misses: dict[int, int] = field(default_factory=dict)
    unlisted: int = 0
    trouble: str = ""  # the reason told last why its jobs can't be listed
    job_trouble: str = ""  # … and why one of them can't be looked at
    newest: int = 0
    listed: bool = False

    def __post_init__(self) -> None:
        self.newest = max(self.seen, default=0)

    def active(self) -> list[ClusterJob]:
        return [job for job in self.seen.values() if not job.status.ended]


class JobPoller:
    """See the module. `known` is what the history holds of the last week's jobs and of those not ended.

    A known job's `start` is the cluster's own: another start is another run. Its tasks are not needed.
    `on_trouble` is told of a space whose jobs can't be listed, once for each new reason; `on_caught_up` after
    each look that left nothing untold, once its news has been taken; `on_spaces` of the spaces at each look
    for them.
    """

    def __init__(
        self,
        mirror: ClusterJobManager,
        known: Mapping[str, Iterable[ClusterJob]] | None = None,
        *,
        on_trouble: Callable[[StorageError], None] = lambda error: None,
        on_caught_up: Callable[[], None] = lambda: None,
        on_spaces: Callable[[tuple[Space, ...]], None] = lambda spaces: None,
        interval: float = INTERVAL_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._mirror = mirror
        self._spaces = {space: _Watched({job.id: job for job in jobs}) for space, jobs in (known or {}).items()}
        self._on_trouble = on_trouble
        self._on_caught_up = on_caught_up
        self._on_spaces = on_spaces
        self._interval = interval
        self._clock = clock or SystemClock()
        self._spaces_due = 0.0
        self._trouble = ""  # the reason told last why the cluster can't be looked at
        self._soon = asyncio.Event()
        self._news: list[JobUpdate] = []

    def soon(self) -> None:
        """Look again at once: something was just ordered."""
        self._soon.set()

    def newest(self, space: str) -> int:
        """The highest id seen in the space, 0 for none.

        An order whose answer was lost can only have become a job above what this was when it was given.
        """
        watched = self._spaces.get(space)
        return watched.newest if watched else 0

    def has_listed(self, space: str) -> bool:
        """Whether the space's jobs have been listed: `newest` is then the cluster's, not the history's."""
        watched = self._spaces.get(space)
        return watched is not None and watched.listed

    async def batches(self) -> AsyncIterator[tuple[JobUpdate, ...]]:
        """News for as long as it is iterated; a lost connection is waited out.

        Jobs come in the order of their ids; where more are new than can be looked at in a second, or than 200,
        those under way come first. A job that was under way and is gone from the cluster is told as failed.
        """
        while True:
            error = await self._look()
            news, self._news = tuple(sorted(self._news, key=lambda one: one.job.id)), []
            if news:
                yield news
            if error is not None:
                await self._wait_out(error)
            elif not any(watched.backlog for watched in self._spaces.values()):
                self._on_caught_up()
                await self._pause(self._interval)

    # ---- one look

    async def _look(self) -> StorageError | None:
        """Add what is new to the news; the error that ended the look early."""
        if self._soon.is_set():
            self._soon.clear()
            for watched in self._spaces.values():
                watched.due = 0.0
        try:
            await self._look_for_spaces()
            for space, watched in self._spaces.items():
                if not watched.unlisted and self._clock.steady() >= watched.due:
                    await self._list(space, watched)
            began = self._clock.steady()
            for space, job in self._worth_a_look():
                await self._look_at(space, self._spaces[space], job)
                if self._news and self._clock.steady() - began >= LOOK_SECONDS:
                    break  # a job of hundreds of tasks takes long to tell
        except StorageError as error:
            return error
        self._trouble = ""
        return None

    async def _look_for_spaces(self) -> None:
        if self._clock.steady() < self._spaces_due:
            return
        spaces = await self._mirror.spaces()
        self._on_spaces(spaces)
        names = {space.name for space in spaces}
        self._spaces_due = self._clock.steady() + SPACES_SECONDS
        for name in names:
            self._spaces.setdefault(name, _Watched()).unlisted = 0
        for name in sorted(self._spaces.keys() - names):
            watched = self._spaces[name]
            watched.unlisted += 1
            watched.backlog.clear()
            if watched.unlisted >= MISSES:
                for job in watched.active():
                    self._tell_gone(name, watched, job.id, DROPPED)
                del self._spaces[name]

    async def _list(self, space: str, watched: _Watched) -> None:
        began = self._clock.steady()
        try:
            listed = await self._mirror.jobs(space)
        except StorageError as error:
            watched.trouble = self._told_once(watched.trouble, error)
            watched.due = self._clock.steady() + TROUBLE_SECONDS
            return
        watched.trouble = ""
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
                del watched.seen[job_id]  # the cluster has forgotten it: the history has not
                continue
            watched.misses[job_id] = watched.misses.get(job_id, 0) + 1
            if watched.misses[job_id] >= MISSES:
                self._tell_gone(space, watched, job_id, GONE)

    def _worth_a_look(self) -> list[tuple[str, ClusterJob]]:
        """A batch: the jobs that changed, unended ones first, and, as far as there is room, those under way."""
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

    async def _look_at(self, space: str, watched: _Watched, job: ClusterJob) -> None:
        watched.backlog.pop(job.id, None)
        try:
            now = await self._mirror.show(space, job.id)
        except StorageError as error:
            if error.code in RETRIED:
                watched.backlog[job.id] = job
            if error.code in (ErrorCode.REJECTED, ErrorCode.MISSING):
                return  # it went between the list and the look: the next list says so
            watched.job_trouble = self._told_once(watched.job_trouble, error)
            now = replace(job, tasks=())
        else:
            watched.job_trouble = ""
        before = watched.seen.get(job.id)
        watched.seen[job.id] = now
        if before != now:
            self._news.append(JobUpdate(space, now, _news(before, now)))

    def _tell_gone(self, space: str, watched: _Watched, job_id: int, reason: str) -> None:
        job = replace(watched.seen.pop(job_id), status=Status.FAILED, reason=reason)
        watched.backlog.pop(job_id, None)
        self._news.append(JobUpdate(space, job, UpdateKind.CHANGED))

    def _told_once(self, before: str, error: StorageError) -> str:
        """Tell of it unless that was the reason told `before`; go on unless no graphd answers."""
        if error.code in RETRIED:
            raise error
        if error.code is ErrorCode.MISSING:
            return before
        if error.detail != before:
            self._on_trouble(error)
        return error.detail

    # ---- waiting

    async def _pause(self, seconds: float) -> None:
        await wait_first(self._clock.sleep(seconds), self._soon.wait())

    async def _wait_out(self, error: StorageError) -> None:
        if error.code not in RETRIED:
            self._trouble = self._told_once(self._trouble, error)
        if self._mirror.link.state is ConnectionState.CONNECTED:
            await self._pause(self._interval if error.code in RETRIED else TROUBLE_SECONDS)
            return
        again = asyncio.Event()
        leave = self._mirror.watch(
            lambda link: again.set() if link.state is ConnectionState.CONNECTED else None
        )
        try:
            await again.wait()
        finally:
            leave()


def _news(before: ClusterJob | None, now: ClusterJob) -> UpdateKind:
    if before is None:
        return UpdateKind.FIRST
    if not before.status.ended:
        return UpdateKind.CHANGED
    if not now.status.ended or now.start != before.start:
        return UpdateKind.AGAIN
    return UpdateKind.AFTER_END
