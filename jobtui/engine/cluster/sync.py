"""The synchronization of a cluster's jobs into our history: each becomes a job of this profile.

Invariants:
    a cluster's job is recorded once: the edit that would create it looks it up by its id on the cluster;
    an ended job changes only if the cluster reports another end later (`Transaction.amend`); a later run is
    another job, `recovered_from` it, with the same origin;
    an update from the poller that is older than one fetched for the same job is ignored;
    updates must persist: they are retried until the disk accepts them, and published only then.
requests.py sends requests to the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from jobtui.background import BackgroundTasks
from jobtui.clock import Clock, wait_all
from jobtui.engine.cluster import lifecycle
from jobtui.engine.cluster.index import ClusterJobIndex
from jobtui.engine.cluster.inventory import HostOutages, JobSizes
from jobtui.engine.events import EventBus
from jobtui.engine.inventory import InventoryCache
from jobtui.engine.jobs import JobStore, JobWaiters, Transaction
from jobtui.errors import StorageError
from jobtui.history import StoreError
from jobtui.model import ClusterRef, ConnectionChanged, ConnectionState, Job, Notice, SpaceStats, Status
from jobtui.storage.base import ClusterJob, ClusterJobManager, Host, Space
from jobtui.storage.nebula.poller import JobPoller, JobUpdate, UpdateKind

UNANSWERED = (
    "jobtui ended before the cluster had answered; if it runs this, it is listed as a job that others submitted"
)
NOT_OURS = "this profile's jobs are now those of the cluster {}, which does not have this one"
NEWEST_SECONDS = 3.0  # a submit waits for a list of its space only so long: metad may take half a minute
STOP_UNKNOWN = "jobtui ended before the cluster had answered to the stop"


class ClusterSync:
    """A follower of a cluster, which records its changes. For the engine's loop alone."""

    def __init__(
        self,
        job_manager: ClusterJobManager,
        store: JobStore,
        inventory: InventoryCache,
        waiters: JobWaiters,
        *,
        events: EventBus,
        tasks: BackgroundTasks,
        clock: Clock,
    ) -> None:
        self.job_manager = job_manager
        self.index = ClusterJobIndex(store.history, job_manager.cluster)
        self.pending = PendingRequests()
        self.poller: JobPoller | None = None
        self._store = store
        self._inventory = inventory
        self._waiters = waiters
        self._events = events
        self._tasks = tasks
        self._clock = clock
        self._loaded = asyncio.Event()
        self._caught_up = asyncio.Event()
        self.sizes = JobSizes(job_manager, inventory)
        self._outages = HostOutages()
        self._newest_update: dict[tuple[str, int], int] = {}
        store.before_publish = self.index.apply

    async def start(self) -> None:
        """Continue the jobs that the history holds, and follow the cluster from now on."""
        await self._store.update(self._resume_jobs)
        self._tasks.spawn(self._follow())

    async def wait_loaded(self) -> None:
        """Wait until the index of the cluster's jobs is read."""
        await self._loaded.wait()

    async def wait_connected(self, *, caught_up: bool, jobs: Iterable[int] = ()) -> None:
        """Wait for the connection and, if `caught_up`, until all jobs of the cluster are in the history.

        Otherwise only these jobs are recorded as the cluster has them now.

        Raises StorageError if the cluster cannot be connected.
        """
        await self.job_manager.ready()
        if caught_up:
            await self._caught_up.wait()
            return
        await self.wait_loaded()
        named = [*filter(None, map(self._store.get, jobs))]
        if named and not self._inventory.hosts:
            with contextlib.suppress(StorageError):  # it only explains what the jobs wait for
                self._on_layout(*await self.job_manager.layout())
        for job in named:
            if job.origin is not None and job.origin.id:
                with contextlib.suppress(StorageError):  # the statement itself reports what prevents it
                    found = await self.job_manager.show(job.origin.space, job.origin.id)
                    await self.record_newest(JobUpdate(job.origin.space, found, UpdateKind.CHANGED))

    def poll_soon(self, space: str = "") -> None:
        """Poll the space at once, or all of them: a request was just sent to the cluster."""
        if self.poller is not None:
            self.poller.poll_soon(space)

    async def newest_id(self, space: str) -> int:
        """Return the highest id that the cluster lists for the space.

        If the list takes long, this is the highest id in the history. Only if the answer to the next submit is
        lost as well can another client's job that was never listed before be taken for the submitted one.
        """
        poller = self.poller
        if poller is not None and poller.has_listed(space):
            return poller.newest(space)
        listing = asyncio.ensure_future(self.job_manager.jobs(space))
        if await wait_all(self._clock, NEWEST_SECONDS, listing):
            return max((job.id for job in listing.result()), default=0)
        listing.cancel()
        return 0 if poller is None else poller.newest(space)

    async def record_newest(self, update: JobUpdate) -> None:
        """Record a job that was fetched alone; older updates of it from the poller are ignored."""
        self._newest_update[update.space, update.job.id] = update.number
        await self.record([update])

    async def record(self, updates: Sequence[JobUpdate]) -> None:
        """Record updates in the history, in one commit. Raises StoreError."""
        began = [one.job.start for one in updates if one.job.start is not None]
        if began:
            await self.index.extend_to(min(began))
        notices: list[Notice] = []
        after = await self._sizes_after(updates)

        def edit(transaction: Transaction) -> list[Job]:
            notices.clear()
            changed: dict[int, Job] = {}
            for update in updates:
                for job in self._apply(transaction, changed, update, notices):
                    changed[job.id] = self._complete(transaction, job, after.get(job.space, {}))
            return [*changed.values()]

        try:
            jobs = await self._store.update(edit, must_persist=True)
        except StoreError:
            if not any(self._is_archived(update) for update in updates):
                raise
            # a job was archived after the edit had amended it; the next edit does not change it
            jobs = await self._store.update(edit, must_persist=True)
        self.pending.resolve(jobs)
        if self._outages.since:
            await self._explain_waits()
        if any(job.status.ended for job in jobs):
            self._waiters.notify()
        self._events.publish(notices)

    def run_of(self, transaction: Transaction, space: str, cluster_id: int) -> Job | None:
        """Return our job for the newest run of a cluster's job, archived or not; None if it is not known."""
        job_id = self.index.get(space, cluster_id, transaction)
        if job_id is None:
            return None
        return transaction.get(job_id) or self._store.history.get_archived(job_id)

    def _is_archived(self, update: JobUpdate) -> bool:
        job_id = self._our_id(update)
        return job_id is not None and self._store.history.is_archived(job_id)

    # ---- following

    async def _follow(self) -> None:
        known = await self.index.load(self._clock.now())
        self._loaded.set()
        self.poller = JobPoller(
            self.job_manager,
            {space: [*jobs.values()] for space, jobs in known.items()},
            incomplete=self.index.incomplete(known),
            on_error=self._report_listing_error,
            on_caught_up=self._caught_up.set,
            on_layout=self._on_layout,
            clock=self._clock,
        )
        async for batch in self.poller.batches():
            try:
                await self.record([one for one in batch if not self.pending.defer(one)])
            except StoreError as error:
                self._events.publish([Notice(f"The cluster is no longer followed: {error}", "error")])
                return

    def _report_listing_error(self, error: StorageError) -> None:
        if self.job_manager.link.state is not ConnectionState.CONNECTED:
            return  # the connection reports that itself
        where = f"The jobs of space '{error.space}'" if error.space else "The cluster's jobs"
        self._events.publish([Notice(f"{where} cannot be listed: {error.detail}")])

    def _on_layout(self, spaces: tuple[Space, ...], hosts: tuple[Host, ...]) -> None:
        self._inventory.spaces = spaces
        self._inventory.hosts = tuple(host.name for host in hosts)
        messages, changed = self._outages.update(hosts, self._clock.now())
        if changed:
            # the overview, which has the hosts, is fetched again with each change of the connection
            self._events.publish([*map(Notice, messages), ConnectionChanged(self.job_manager.link)])
        # a job may also have a reason from before this start
        if changed or self._outages.since or any(job.reason for job in self._store.active()):
            self._tasks.spawn(self._explain_waits())

    async def _explain_waits(self) -> None:
        """Record for each job under way which offline host it waits for, or that it waits no longer."""

        def edit(_: Transaction) -> list[Job]:
            jobs = [job for job in self._store.active() if job.origin is not None]
            reasons = self._outages.reasons(jobs, self._inventory.spaces)
            now = self._clock.now()
            return [
                after
                for job in jobs
                if (after := lifecycle.explain_wait(job, reasons.get(job.id, ""), now)) is not job
            ]

        with contextlib.suppress(StoreError):
            await self._store.update(edit)

    def _resume_jobs(self, _: Transaction) -> list[Job]:
        """End the jobs that were under way and cannot be followed any longer, with the reason."""
        now, cluster = self._clock.now(), self.job_manager.cluster
        changed = []
        for job in self._store.active():
            if job.origin is None:
                changed.append(lifecycle.abandon(job, NOT_OURS.format(cluster), now))
            elif job.origin.cluster != cluster:
                changed.append(lifecycle.detach(job, now))
            elif not job.origin.id:
                changed.append(lifecycle.reject(job, UNANSWERED, now))
            elif job.stopping:
                changed.append(lifecycle.refuse_stop(job, STOP_UNKNOWN, now))
        return changed

    # ---- from an update to jobs of ours

    def _apply(
        self, transaction: Transaction, changed: dict[int, Job], update: JobUpdate, notices: list[Notice]
    ) -> list[Job]:
        space, found = update.space, update.job
        if update.number < self._newest_update.get((space, found.id), 0):
            return []
        job = changed.get(self.index.get(space, found.id, transaction) or 0) or self.run_of(
            transaction, space, found.id
        )
        if job is None:
            return [self._new_job(transaction, update)]
        if not job.status.ended:
            return self._advance(transaction, job, update)
        if update.kind is not UpdateKind.AFTER_END and (
            not found.status.ended or (found.start is not None and found.start != job.start)
        ):
            is_first = update.kind is UpdateKind.FIRST
            if is_first and self.pending.match_lost_request(transaction, update) is not None:
                # the cluster was set up again, and gave our request an id that it had given before
                return [self._new_job(transaction, update)]
            return [*self._end_previous_run(transaction, job), self._new_run(transaction, job, update)]
        return self._amend(transaction, job, found, notices)

    def _amend(self, transaction: Transaction, job: Job, found: ClusterJob, notices: list[Notice]) -> list[Job]:
        """Return the ended job as the cluster reports it now; nothing if it is unchanged or archived."""
        if not found.status.ended or found.command != job.command:
            return []
        after = lifecycle.amend(job, found, self._clock.now())
        if after.status is not job.status:
            verb = lifecycle.end_verb(found.status)
            text = f"Job {job.id} had ended as {job.status}; the cluster now says that it {verb}"
            notices.append(Notice(text, "information"))
        if after == job or transaction.get(job.id) is None:
            return []
        return [transaction.amend(after)]

    def _end_previous_run(self, transaction: Transaction, job: Job) -> list[Job]:
        """Return an ended job that the cluster runs again, with the tasks that still ran marked as ended."""
        if not job.status.ended:
            return []
        after = lifecycle.end_running_tasks(job, lifecycle.RAN_AGAIN, self._clock.now())
        return [] if after == job or transaction.get(job.id) is None else [transaction.amend(after)]

    async def _sizes_after(self, updates: Sequence[JobUpdate]) -> dict[str, Mapping[str, SpaceStats]]:
        """Return the sizes of the spaces in which tasks have just ended, if those before them are known."""
        running = {(job.space, job.id) for job in self._store.active() if job.status is Status.RUNNING}
        running |= {(one.space, self._our_id(one) or 0) for one in updates if one.job.status is Status.RUNNING}
        spaces = set()
        for one in updates:
            job_id = self._our_id(one) or 0
            if one.job.status is Status.QUEUE and any(
                space == one.space and other != job_id for space, other in running
            ):
                self.sizes.discard_before(job_id)
            elif self.sizes.lacks_after(self._store.get(job_id), one.job, self._clock.now()):
                spaces.add(one.space)
        return {space: await self.sizes.sample(space) for space in spaces}

    def _our_id(self, update: JobUpdate) -> int | None:
        return self.index.get(update.space, update.job.id)

    def _complete(self, transaction: Transaction, job: Job, after: Mapping[str, SpaceStats]) -> Job:
        """Return a job with the data that the cluster itself does not report."""
        now = self._clock.now()
        noted = lifecycle.note_shared_address(self.sizes.attach(job, after, now), self._inventory.hosts, now)
        return transaction.amend(noted) if transaction.is_amended(job) else noted

    def _new_job(self, transaction: Transaction, update: JobUpdate) -> Job:
        clock, space, found = self._clock, update.space, update.job
        requested = self.pending.match_lost_request(transaction, update)
        if requested is not None:
            job = lifecycle.apply_update(lifecycle.accept(requested, found.id, clock.now()), found, clock.now())
        else:
            origin = ClusterRef(self.job_manager.cluster, space, found.id)
            job = lifecycle.discover(transaction.new_id(), origin, found, clock.now(), since=update.since)
        self.index.put(transaction, job)
        return job

    def _advance(self, transaction: Transaction, job: Job, update: JobUpdate) -> list[Job]:
        clock, found = self._clock, update.job
        if left := lifecycle.superseded_reason(job, found):
            ended = lifecycle.abandon(job, left, clock.now())
            return [ended, self._new_run(transaction, ended, update)]
        is_rerun_request = (
            job.status is Status.QUEUE and found.status.ended and job.id not in self.pending.confirmed_reruns
        )
        before = self._previous_run(transaction, job) if is_rerun_request else None
        if before is not None and update.kind is UpdateKind.AFTER_END:
            return []  # this update is still about that run
        if before is not None and before.start == found.start:
            self.index.put(transaction, before)
            return [lifecycle.reject(job, "the cluster did not run it again", clock.now())]
        after = lifecycle.apply_update(job, found, clock.now())
        if after == job:
            return []
        previous = self._previous_run(transaction, job) if job.status is Status.QUEUE else None
        return [after] if previous is None else [*self._end_previous_run(transaction, previous), after]

    def _new_run(self, transaction: Transaction, before: Job, update: JobUpdate) -> Job:
        """Return a job for another run; a new job if the command differs: the cluster was set up again."""
        origin = ClusterRef(self.job_manager.cluster, update.space, update.job.id)
        same = before.id if before.command == update.job.command else None
        job = lifecycle.discover(
            transaction.new_id(), origin, update.job, self._clock.now(), same, since=update.since
        )
        self.index.put(transaction, job)
        return job

    def _previous_run(self, transaction: Transaction, job: Job) -> Job | None:
        """Return the run of the same cluster's job that this one recovers."""
        if job.recovered_from is None:
            return None
        before = transaction.get(job.recovered_from) or self._store.history.get_archived(job.recovered_from)
        return before if before is not None and before.origin == job.origin else None


class PendingRequest(msgspec.Struct, frozen=True, eq=False):
    """A job that was requested from the cluster.

    Attributes:
        newest: The highest id that the cluster listed for the space before the request.
        twin: Our job with the same command that was under way at that time, None if there was none.
    """

    job: int
    space: str
    command: str
    newest: int
    twin: int | None

    def may_have_made(self, update: JobUpdate) -> bool:
        """Return whether the update may be about the requested job."""
        job = update.job
        return (update.space, job.command) == (self.space, self.command) and job.id > self.newest


class PendingRequests:
    """The pending requests, and the updates that wait for their answers.

    For the engine's loop alone.

    `confirmed_reruns`: recovered jobs whose new run the cluster has confirmed. A run may end within the second
    in which the one before it began, and then only this distinguishes the two.
    """

    def __init__(self) -> None:
        self.confirmed_reruns: set[int] = set()
        self._awaited: list[PendingRequest] = []
        self._lost: list[PendingRequest] = []
        self._deferred: dict[tuple[str, int], JobUpdate] = {}

    def add(self, request: PendingRequest) -> None:
        """Add a request before it is sent: its answer is awaited."""
        self._awaited.append(request)

    def answer_lost(self, request: PendingRequest) -> None:
        """Mark a request as sent without an answer: only the cluster's list can show its outcome."""
        self._lost.append(request)

    def is_lost(self, request: PendingRequest) -> bool:
        """Return whether the request's job has not been found yet."""
        return request in self._lost

    def give_up(self, request: PendingRequest) -> None:
        """Stop looking for the job of a request whose answer was lost."""
        self._lost.remove(request)

    def answered(self, request: PendingRequest) -> list[JobUpdate]:
        """Stop waiting for an answer, and return the updates that cannot be about any other awaited job."""
        self._awaited.remove(request)
        free = [update for update in self._deferred.values() if not self._may_be_awaited(update)]
        for update in free:
            del self._deferred[update.space, update.job.id]
        return free

    def defer(self, update: JobUpdate) -> bool:
        """Defer an update that may be the first of an awaited job; return whether it was deferred."""
        key = update.space, update.job.id
        first = update.kind is UpdateKind.FIRST or key in self._deferred
        if first and self._may_be_awaited(update):
            self._deferred[key] = dataclasses.replace(update, kind=UpdateKind.FIRST)
            return True
        return False

    def match_lost_request(self, transaction: Transaction, update: JobUpdate) -> Job | None:
        """Return the job with a lost answer that the update must be about, None if there is none."""
        for request in self._lost:
            job = transaction.get(request.job)
            if request.may_have_made(update) and job is not None and _is_unanswered(job):
                return job
        return None

    def resolve(self, jobs: Iterable[Job]) -> None:
        """Stop looking for these jobs, which were found and are on disk."""
        found = {job.id for job in jobs}
        self._lost = [request for request in self._lost if request.job not in found]

    def _may_be_awaited(self, update: JobUpdate) -> bool:
        return any(request.may_have_made(update) for request in self._awaited)


def _is_unanswered(job: Job) -> bool:
    return not job.status.ended and job.origin is not None and not job.origin.id
