"""What of a cluster is no job: its spaces and hosts, under the face that the engine asks any storage by.

The work itself is the cluster's: asking for it here is a defect, and is refused like all that a cluster
can't do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from jobtui.engine.cluster import lifecycle
from jobtui.engine.cluster.index import ClusterJobIndex
from jobtui.engine.cluster.requests import ClusterRequests
from jobtui.engine.jobs import Transaction
from jobtui.errors import ErrorCode, StorageError
from jobtui.history import StoreError
from jobtui.model import ClusterRef, ConnectionState, Job, Notice, SpaceStats, Status
from jobtui.storage.base import (
    Capabilities,
    ClusterJob,
    ClusterJobManager,
    Host,
    Pair,
    Placement,
    ProgressCallback,
    Space,
    TaskResult,
)
from jobtui.storage.nebula.poller import JobPoller, JobUpdate, UpdateKind

if TYPE_CHECKING:
    from jobtui.engine.engine import Engine


class ClusterInventory:
    """A `TaskRunner` that runs no task: see the module."""

    def __init__(self, mirror: ClusterJobManager) -> None:
        self._mirror = mirror

    @property
    def capabilities(self) -> Capabilities:
        """See `TaskRunner.capabilities`."""
        return self._mirror.capabilities

    async def start(self) -> None:
        """See `JobMirror.start`."""
        await self._mirror.start()

    async def close(self) -> None:
        """See `JobMirror.close`."""
        await self._mirror.close()

    async def spaces(self) -> tuple[Space, ...]:
        """See `JobMirror.spaces`."""
        return await self._mirror.spaces()

    async def hosts(self) -> tuple[Host, ...]:
        """See `JobMirror.hosts`."""
        return await self._mirror.hosts()

    async def stats(self, space: str, host: str) -> SpaceStats:
        """Refused: a cluster does not tell."""
        _refuse(space, "the cluster does not tell how large a space is on a host")

    async def flush(
        self, space: str, host: str, progress: ProgressCallback, cancel: asyncio.Event
    ) -> TaskResult:
        """Refused: the cluster runs its tasks itself."""
        _refuse(space, "the cluster runs its tasks itself")

    async def compact(
        self, space: str, host: str, progress: ProgressCallback, cancel: asyncio.Event
    ) -> TaskResult:
        """Refused: the cluster runs its tasks itself."""
        _refuse(space, "the cluster runs its tasks itself")

    async def create_space(self, name: str, placement: Placement) -> Space:
        """Refused."""
        _refuse(name, "CREATE SPACE is for embedded storage only")

    async def drop_space(self, name: str) -> None:
        """Refused."""
        _refuse(name, "DROP SPACE is for embedded storage only")

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """Refused."""
        _refuse(space, "loading pairs is for embedded storage only")

    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """Refused."""
        _refuse(space, "dumping pairs is for embedded storage only")
        yield b"", b""


def _refuse(space: str, why: str) -> NoReturn:
    raise StorageError(ErrorCode.UNSUPPORTED, "", space, why)


# ---- merged from jobtui.engine.mirroring: ----
# The engine's part for a cluster that manages its jobs itself: what is seen there becomes jobs of ours.
#
# Invariants:
#     a cluster's job is ours once: it is looked up by its origin in the edit that would make it;
#     an ended job of ours is final: a run after it is another job, `recovered_from` it, of the same origin;
#     what the follower saw before somebody else looked at the same job, and tells only now, is passed over;
#     what is seen waits for the disk (`told`), and is shown only then.
# What is asked of the cluster is in orders.py.
#
UNANSWERED = (
    "jobtui ended before the cluster had answered; if it runs this, it is listed as a job that others submitted"
)
NOT_OURS = "this profile's jobs are now those of the cluster {}, which does not have this one"
STOP_UNKNOWN = "jobtui ended before the cluster had answered to the stop"


class ClusterSync:
    """See the module. For the engine's loop alone."""

    def __init__(self, engine: Engine, mirror: ClusterJobManager) -> None:
        self.mirror = mirror
        self.origins = ClusterJobIndex(engine.history, mirror.cluster)
        engine.ledger.on_disk = self.origins.take
        self.orders = ClusterRequests(engine, self)
        self.follower: JobPoller | None = None
        self._engine = engine
        self._loaded = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._looked: dict[tuple[str, int], int] = {}

    async def begin(self) -> None:
        """Take up the jobs that the history holds, and follow the cluster from here on."""
        await self._engine.ledger.change(self._taken_up)
        self._engine.beside(self._follow())

    async def loaded(self) -> None:
        """Wait until the index of origins can be asked."""
        await self._loaded.wait()

    async def reached(self, *, whole: bool) -> None:
        """Wait for the connection and, for the `whole`, until all that the cluster tells is in the history.

        Raises StorageError where the cluster can't be connected.
        """
        await self.mirror.ready()
        if whole:
            await self._caught_up.wait()

    def look_soon(self) -> None:
        """Look at the cluster at once: something was just asked of it."""
        if self.follower is not None:
            self.follower.soon()

    async def record_newest(self, sighting: JobUpdate) -> None:
        """Take in what was seen of one job beside the follower, which may yet tell what it saw before."""
        self._looked[sighting.space, sighting.job.id] = sighting.number
        await self.record([sighting])

    async def record(self, sightings: Sequence[JobUpdate]) -> None:
        """Take what was seen into the history, all of it in one commit. Raises StoreError."""
        began = [one.job.start for one in sightings if one.job.start is not None]
        if began:
            await self.origins.reach(min(began))
        told: list[Notice] = []

        def edit(book: Transaction) -> list[Job]:
            told.clear()
            made: dict[int, Job] = {}
            for sighting in sightings:
                for job in self._noted(book, made, sighting, told):
                    made[job.id] = job
            return [*made.values()]

        jobs = await self._engine.ledger.change(edit, told=True)
        self.orders.claimed(jobs)
        if any(job.status.ended for job in jobs):
            self._engine.dispatch.wake()
        self._engine.publish(told)

    def run_of(self, book: Transaction, space: str, cluster_id: int) -> Job | None:
        """The newest run of a cluster's job among ours, be it archived; None where it is not known."""
        job_id = self.origins.get(space, cluster_id, book)
        if job_id is None:
            return None
        return book.get(job_id) or self._engine.history.archived_job(job_id)

    # ---- following

    async def _follow(self) -> None:
        engine = self._engine
        known = await self.origins.load(engine.clock.now())
        self._loaded.set()
        self.follower = JobPoller(
            self.mirror,
            {space: [*jobs.values()] for space, jobs in known.items()},
            on_trouble=self._tell_trouble,
            on_caught_up=self._caught_up.set,
            on_spaces=engine.note_spaces,
            clock=engine.clock,
        )
        async for batch in self.follower.batches():
            try:
                await self.record([one for one in batch if not self.orders.hold(one)])
            except StoreError as error:
                engine.publish([Notice(f"The cluster is no longer followed: {error}", "error")])
                return

    def _tell_trouble(self, error: StorageError) -> None:
        if self.mirror.link.state is not ConnectionState.CONNECTED:
            return  # the connection tells of that itself
        where = f"The jobs of space '{error.space}'" if error.space else "The cluster's jobs"
        self._engine.publish([Notice(f"{where} can't be listed: {error.detail}")])

    def _taken_up(self, book: Transaction) -> list[Job]:
        """What a start makes of the jobs that were under way: who can't be followed any more is told so."""
        now, cluster = self._engine.clock.now(), self.mirror.cluster
        changed = []
        for job in self._engine.ledger.active():
            if job.origin is None:
                changed.append(lifecycle.withdrawn(job, NOT_OURS.format(cluster), now))
            elif job.origin.cluster != cluster:
                changed.append(lifecycle.unfollowed(job, now))
            elif not job.origin.id:
                changed.append(lifecycle.never_made(job, UNANSWERED, now))
            elif job.stopping:
                changed.append(lifecycle.stop_refused(job, STOP_UNKNOWN, now))
        return changed

    # ---- what a sighting makes of our jobs

    def _noted(
        self, book: Transaction, made: dict[int, Job], sighting: JobUpdate, told: list[Notice]
    ) -> list[Job]:
        space, now = sighting.space, sighting.job
        if sighting.number < self._looked.get((space, now.id), 0):
            return []
        job = made.get(self.origins.get(space, now.id, book) or 0) or self.run_of(book, space, now.id)
        if job is None:
            return [self._new(book, sighting)]
        if not job.status.ended:
            return self._moved_on(book, job, sighting)
        if sighting.news is UpdateKind.AFTER_END:
            text = f"Job {job.id} had ended as {job.status}; the cluster now says that it {_ended_as(now)}"
            told.append(Notice(text, "information"))
        elif not now.status.ended or (now.start is not None and now.start != job.start):
            if sighting.news is UpdateKind.FIRST and self.orders.claimant(book, sighting) is not None:
                return [self._new(book, sighting)]  # the cluster was set up anew: an old id for our order
            return [self._run_again(book, job, sighting)]
        return []

    def _new(self, book: Transaction, sighting: JobUpdate) -> Job:
        clock, space, now = self._engine.clock, sighting.space, sighting.job
        claimant = self.orders.claimant(book, sighting)
        if claimant is not None:
            job = lifecycle.followed(lifecycle.accepted(claimant, now.id, clock.now()), now, clock.now())
        else:
            origin = ClusterRef(self.mirror.cluster, space, now.id)
            job = lifecycle.seen(book.new_id(), origin, now, clock.now())
        self.origins.put(book, job)
        return job

    def _moved_on(self, book: Transaction, job: Job, sighting: JobUpdate) -> list[Job]:
        clock, now = self._engine.clock, sighting.job
        if left := lifecycle.left_for(job, now):
            ended = lifecycle.withdrawn(job, left, clock.now())
            return [ended, self._run_again(book, ended, sighting)]
        asked_for = job.status is Status.QUEUE and now.status.ended and job.id not in self.orders.confirmed
        before = self._run_before(book, job) if asked_for else None
        if before is not None and sighting.news is UpdateKind.AFTER_END:
            return []  # this is still about that run
        if before is not None and before.start == now.start:
            self.origins.put(book, before)
            return [lifecycle.never_made(job, "the cluster did not run it again", clock.now())]
        after = lifecycle.followed(job, now, clock.now())
        return [after] if after != job else []

    def _run_again(self, book: Transaction, before: Job, sighting: JobUpdate) -> Job:
        """Another run of a job; a job of another command is no run of it: the cluster was set up anew."""
        origin = ClusterRef(self.mirror.cluster, sighting.space, sighting.job.id)
        same = before.id if before.command == sighting.job.command else None
        job = lifecycle.seen(book.new_id(), origin, sighting.job, self._engine.clock.now(), same)
        self.origins.put(book, job)
        return job

    def _run_before(self, book: Transaction, job: Job) -> Job | None:
        """The run of the same cluster's job that this one recovers."""
        if job.recovered_from is None:
            return None
        before = book.get(job.recovered_from) or self._engine.history.archived_job(job.recovered_from)
        return before if before is not None and before.origin == job.origin else None


def _ended_as(job: ClusterJob) -> str:
    return {Status.FAILED: "failed", Status.STOPPED: "was stopped"}.get(job.status, "finished")
