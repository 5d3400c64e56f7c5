"""The dispatcher: the queue of jobs, and the statements that act on jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from heapq import heappop, heappush

from jobtui.background import BackgroundTasks
from jobtui.clock import Clock
from jobtui.engine import lifecycle, queries, scheduler
from jobtui.engine.cluster import lifecycle as cluster_lifecycle
from jobtui.engine.control import JobCount, RecoverRequest, SubmitRequest, SubmittedJobs
from jobtui.engine.deferrals import Deferrals
from jobtui.engine.events import EventBus
from jobtui.engine.heartbeat import Heartbeat
from jobtui.engine.host_tasks import UNRESPONSIVE_AFTER, HostTasks
from jobtui.engine.inventory import InventoryCache
from jobtui.engine.job_factory import JobFactory
from jobtui.engine.jobs import Edit, JobStore, JobWaiters, Transaction
from jobtui.engine.progress import UNLIMITED, ProgressTracker, RateLimits, is_limitable
from jobtui.engine.scheduler import JobAdmission, RunPolicy
from jobtui.errors import StatementRefused
from jobtui.formatting import format_rate
from jobtui.history import History, StoreError
from jobtui.model import Job, JobCommand, Notice, Status
from jobtui.storage.base import Storage

DISK_SECONDS = 3.0  # for a full disk to accept the ends of jobs, when the process is about to end
POLL_SECONDS = 0.25
YIELD_SECONDS = 2.0  # for a step to end when this process leaves its jobs to the next owner


class Dispatcher:
    """The `JobControl` of storage whose tasks this process runs. For the engine's loop alone."""

    outlives_engine = False

    def __init__(
        self,
        store: JobStore,
        storage: Storage,
        inventory: InventoryCache,
        waiters: JobWaiters,
        *,
        admission: JobAdmission,
        progress: ProgressTracker,
        limits: RateLimits,
        heartbeat: Heartbeat,
        events: EventBus,
        tasks: BackgroundTasks,
        clock: Clock,
        max_running_jobs: int,
        task_timeout: float | None,
        check_condition: Callable[[Job, str], Awaitable[str]],
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._waiters = waiters
        self._admission = admission
        self._limits = limits
        self._heartbeat = heartbeat
        self._events = events
        self._tasks = tasks
        self._clock = clock
        self._factory = JobFactory(store, clock)
        self._max_running_jobs = max_running_jobs
        self._queues: dict[str, list[int]] = {}
        self._running: set[int] = set()
        self._starting: set[int] = set()
        self._hosts: set[str] = set()
        self._began_at: dict[int, float] = {}
        self._schedule_due = self._leaving = self._closed = False
        self._recheck: asyncio.Task[None] | None = None
        self._wake_up: asyncio.Task[None] | None = None
        self._deferrals = Deferrals(store, storage, clock, self._on_given_up)
        self._host_tasks = HostTasks(
            store,
            storage,
            waiters,
            progress=progress,
            limits=limits,
            events=events,
            tasks=tasks,
            clock=clock,
            task_timeout=task_timeout,
            on_change=self.schedule_soon,
            on_ended=self._forget,
            elapsed=self._elapsed,
            check_condition=check_condition,
        )

    async def take_over(self) -> None:
        """End the jobs of clusters that this profile is no longer connected to; queue the others."""
        now = self._clock.now()
        await self._store.update(
            lambda _: [
                cluster_lifecycle.detach(job, now) for job in self._store.active() if job.origin is not None
            ]
        )
        active = self._store.active()
        queued = [job.id for job in active if job.status is Status.QUEUE and not job.paused]
        if queued and self._admission.policy is RunPolicy.ALL:
            text = f"{queries.jobs_as_text(queued)} left in the queue: running now"
            self._events.publish([Notice(text, "information")])

    def start(self) -> None:
        """Queue the jobs of the history, and start those that may run."""
        for job in self._store.active():
            if job.origin is not None:
                continue
            if job.status is Status.QUEUE:
                self._queue(job)
            else:
                self._running.add(job.id)
                self._hosts.update(task.host for task in job.tasks)
        self.schedule_soon()

    def close(self) -> None:
        """Start nothing and record nothing from now on: the next owner reports the jobs that still run."""
        self._closed = True
        self._host_tasks.close()

    def schedule_soon(self) -> None:
        """Check, in the loop's next turn, whether something can start."""
        if not self._schedule_due and not self._closed:
            self._schedule_due = True
            asyncio.get_running_loop().call_soon(self._schedule)

    @property
    def is_settled(self) -> bool:
        """Whether no task is about to start and no end is about to be recorded."""
        return not (self._schedule_due or self._starting) and self._host_tasks.is_settled

    @property
    def is_running_jobs(self) -> bool:
        """Whether a job of this process runs."""
        return bool(self._running) and not self._closed

    # ---- submitting

    async def complete(self, job_id: int) -> None:
        """Do nothing: everything about a job of this process is recorded."""

    async def submit(self, request: SubmitRequest) -> SubmittedJobs:
        """Queue a job with a task for each host of the request."""
        return SubmittedJobs(
            tuple(await self._create(lambda transaction: [self._factory.new_job(transaction, request)]))
        )

    async def recover(self, ids: Sequence[int], request: RecoverRequest) -> SubmittedJobs:
        """Queue a new job for each of these, all or none."""
        spaces = await self._inventory.fetch_spaces()

        def edit(transaction: Transaction) -> list[Job]:
            old = [self._factory.require_recoverable(transaction, job_id, spaces) for job_id in ids]
            return [self._factory.recovered_job(transaction, job, spaces[job.space], request) for job in old]

        jobs = tuple(await self._create(edit))
        return SubmittedJobs(jobs, lifecycle.describe_continuations(jobs))

    async def recover_all(self, space: str | None, request: RecoverRequest) -> SubmittedJobs:
        """Queue a new job for each that was not recovered; skip those of dropped spaces."""
        spaces = await self._inventory.fetch_spaces()
        dropped: set[str] = set()

        def edit(transaction: Transaction) -> list[Job]:
            found = self._factory.unrecovered(transaction, space)
            dropped.update(job.space for job in found if job.space not in spaces)
            return [
                self._factory.recovered_job(transaction, job, spaces[job.space], request)
                for job in found
                if job.space in spaces
            ]

        jobs = tuple(await self._create(edit))
        notices = [lifecycle.describe_continuations(jobs)]
        if dropped:
            names = ", ".join(f"'{name}'" for name in sorted(dropped))
            notices.append(f"Skipped the jobs of spaces that no longer exist: {names}")
        return SubmittedJobs(jobs, "; ".join(filter(None, notices)))

    async def _create(self, edit: Edit) -> Sequence[Job]:
        """Commit new jobs, then queue them."""
        jobs = await self._store.update(edit)
        for job in jobs:
            self._queue(job)
            self._admission.admit_space(job.space)
        self.schedule_soon()
        return jobs

    def _queue(self, job: Job) -> None:
        heappush(self._queues.setdefault(job.space, []), job.id)
        self._hosts.update(task.host for task in job.tasks)

    # ---- stopping and pausing

    async def stop(self, ids: Sequence[int], because: str = "", *, requested_by: str = "") -> JobCount:
        """Stop these jobs, all or none."""
        tasks = 0

        def edit(transaction: Transaction) -> list[Job]:
            nonlocal tasks
            jobs = [self._require_stoppable(transaction, job_id) for job_id in ids]
            tasks = sum(not task.status.ended for job in jobs for task in job.tasks)
            now = self._clock.now()
            return [
                lifecycle.request_stop(job, now, self._elapsed(job.id), because, requested_by) for job in jobs
            ]

        await self._store.update(edit)
        self.cancel(ids)
        return JobCount(len(ids), tasks)

    async def pause(
        self, ids: Sequence[int], because: str = "", *, now: bool = False, requested_by: str = ""
    ) -> JobCount:
        """Pause these jobs, all or none: tasks end after their current step, or with `now` in its middle."""
        jobs: list[Job] = []
        require = partial(queries.require_pausable, now=now)

        def edit(transaction: Transaction) -> list[Job]:
            jobs[:] = [self._require_own(transaction, job_id, require) for job_id in ids]
            at = self._clock.now()
            return [lifecycle.pause(job, at, because, requested_by) for job in jobs if not job.paused]

        await self._store.update(edit)
        notice = "" if now else self._host_tasks.describe_unpausable(jobs)
        self._host_tasks.pause(ids, now=now)
        self._waiters.notify()
        self.schedule_soon()
        return JobCount(len(jobs), lifecycle.count_open_tasks(jobs), notice)

    async def resume(self, ids: Sequence[int], because: str = "", *, requested_by: str = "") -> JobCount:
        """Let these paused jobs continue, all or none."""

        def edit(transaction: Transaction) -> list[Job]:
            jobs = [self._require_own(transaction, job_id, queries.require_paused) for job_id in ids]
            return [lifecycle.resume(job, self._clock.now(), because, requested_by) for job in jobs]

        jobs = await self._store.update(edit)
        for job in jobs:
            if job.status is Status.QUEUE:
                self._queue(job)
            self._admission.admit_space(job.space)
        self.schedule_soon()
        return JobCount(len(jobs), lifecycle.count_open_tasks(jobs))

    async def set_rate(self, rate: int | None, job_id: int | None, *, requested_by: str = "") -> str:
        """Limit the writes of one job, or of all (None), from the next step on, until this process ends."""
        if job_id is not None:
            job = self._store.get(job_id)
            job = queries.require_stoppable(job, job_id, self._store.history)
            if job.command == JobCommand.FLUSH:
                raise StatementRefused(f"Job {job_id} is a flush, whose writes only the profile can limit")
        self._limits.set_rate(UNLIMITED if rate is None else rate, job_id, requested_by)
        self._host_tasks.apply_limits(job_id)
        whose, them = ("All jobs have", "them") if job_id is None else (f"Job {job_id} has", "it")
        limit = "no write limit" if rate is None else f"a write limit of {format_rate(rate)} on each host"
        record = "no limit" if rate is None else f"{format_rate(rate)} on each host"
        record += ", for all jobs" if job_id is None else ""

        def edit(transaction: Transaction) -> list[Job]:
            now, active = self._clock.now(), self._store.active()
            jobs = [transaction.get(job.id) or job for job in active if job_id in (None, job.id)]
            return [lifecycle.record_rate(job, now, record, requested_by) for job in jobs if is_limitable(job)]

        # the limit is in force already: it may be what a full disk needs
        self._store.update_nowait(edit, lambda _jobs, _error: None, must_persist=True)
        return (
            f"{whose} {limit} from the next step on, until the process that runs {them} ends; "
            "reading is never limited"
        )

    async def yield_hosts(self) -> None:
        """End all work after the current steps and start nothing: the next owner continues.

        A step that takes longer than `YIELD_SECONDS` is canceled. Returns when no host is at work. The jobs
        stay as they are, running or queued.
        """
        self._leaving = True
        self._host_tasks.yield_all()
        late = self._tasks.spawn(self._cancel_late_steps())
        while self._host_tasks.busy or self._starting or not self._host_tasks.is_settled:
            await self._waiters.next_change()
        late.cancel()

    async def _cancel_late_steps(self) -> None:
        await self._clock.sleep(YIELD_SECONDS)
        self._host_tasks.yield_all(now=True)

    async def stop_all(self, requested_by: str) -> None:
        """Stop every job of this process that is queued or running and not being stopped yet.

        Paused jobs stay paused; what they still do is canceled.
        """

        def edit(transaction: Transaction) -> list[Job]:
            now = self._clock.now()
            jobs = [transaction.get(job.id) or job for job in self._store.active()]
            return [
                lifecycle.request_stop(job, now, self._elapsed(job.id), requested_by=requested_by)
                for job in jobs
                if not (job.status.ended or job.stopping or job.paused) and job.origin is None
            ]

        try:
            stopped = await self._store.update(edit)
        except StoreError:
            # the work is canceled anyway: the user is leaving
            stopped = [job for job in self._store.active() if not job.paused]
        self.cancel([job.id for job in stopped])
        self._host_tasks.pause([job.id for job in self._store.active() if job.paused], now=True)

    def _require_stoppable(self, transaction: Transaction, job_id: int) -> Job:
        return self._require_own(transaction, job_id, queries.require_stoppable)

    def _require_own(
        self, transaction: Transaction, job_id: int, require: Callable[[Job | None, int, History], Job]
    ) -> Job:
        job = require(transaction.get(job_id), job_id, self._store.history)
        if job.origin is not None:
            cluster = job.origin.cluster
            raise StatementRefused(
                f"Job {job_id} belongs to cluster '{cluster}', which this profile is not connected to"
            )
        return job

    def cancel(self, ids: Iterable[int]) -> None:
        """Request the end of the work of these jobs from the hosts, even if the history does not accept it."""
        requested = set(ids)
        self._host_tasks.cancel(requested)
        for job_id in requested:
            if self._store.current(job_id) is None:
                self._forget(job_id)
        self.schedule_soon()
        self._waiters.notify()

    # ---- waiting

    def runnable_jobs(self) -> tuple[int, ...]:
        """Return the queued and running jobs that this engine would run to their end, without paused ones."""
        return tuple(
            job.id
            for job in self._store.active()
            if self._waiters.can_end(job) and self._admission.may_run(job) and not lifecycle.is_held(job)
        )

    async def wait_idle(self) -> None:
        """Wait until no job that may run here is queued or running."""
        while self.runnable_jobs():
            await self._waiters.next_change()

    async def wait_started(self) -> None:
        """Wait until the jobs whose start is being written are running, so that they can be stopped."""
        while self._starting:
            await self._waiters.next_change()

    async def limit_waiting_for_disk(self) -> None:
        """Once no host is at work, wait only a few seconds more for a disk that does not accept the ends."""
        refused = 0.0
        while refused < DISK_SECONDS and self.runnable_jobs():
            await self._clock.sleep(POLL_SECONDS)
            is_refused = bool(self._store.write_error) and not self._host_tasks.busy
            refused = refused + POLL_SECONDS if is_refused else 0.0
        self._waiters.give_up(self.runnable_jobs())
        self._waiters.notify()

    # ---- starting

    def _queue_heads(self) -> list[Job]:
        current = self._store.current
        occupied = {job.space for job in self._current_jobs(self._running | self._starting)}
        heads, emptied = [], []
        for space, queue in self._queues.items():
            if space in occupied:
                continue
            # a paused job leaves the heap, and is queued again when it is resumed
            while queue:
                job = current(queue[0])
                if job is not None and job.status is Status.QUEUE and not job.paused:
                    if self._admission.may_run(job):
                        heads.append(job)
                    break
                heappop(queue)
            else:
                emptied.append(space)
        for space in emptied:
            del self._queues[space]
        return heads

    def _current_jobs(self, ids: Iterable[int]) -> list[Job]:
        return [job for job_id in ids if (job := self._store.current(job_id)) is not None]

    def _schedule(self) -> None:
        self._schedule_due = False
        if self._store.broken:
            self._waiters.notify()
        if self._closed or self._leaving or self._store.write_error:
            return
        if self._hosts.issubset(self._host_tasks.busy):
            return
        heads = self._queue_heads()
        begun = self._current_jobs(self._running - self._starting)
        running = [job for job in begun if self._admission.may_run(job)]
        limit = self._max_running_jobs - len(self._starting)
        now = self._clock.now()
        busy, unresponsive = self._host_tasks.busy, self._host_tasks.unresponsive_jobs()
        until = self._deferrals.until(now)
        decision = scheduler.decide(running, heads, busy, unresponsive, limit, now, self._hosts, until)
        for start in decision.starts:
            job = self._store.current(start.job)
            if job is not None:
                self._starting.add(job.id)
                self._host_tasks.reserve(job.tasks[number].host for number in start.tasks)
                if self._deferrals.must_check(job, start.tasks):
                    self._tasks.spawn(self._start_ready(job, start.tasks))
                else:
                    self._start(job, start.tasks)
        if heads and self._host_tasks.busy and (self._recheck is None or self._recheck.done()):
            self._recheck = self._tasks.spawn(self._schedule_later())
        if self._wake_up is not None:
            self._wake_up.cancel()
        self._wake_up = None if decision.due is None else self._tasks.spawn(self._schedule_at(decision.due))

    async def _schedule_at(self, due: datetime) -> None:
        await self._clock.sleep(max(0.0, (due - self._clock.now()).total_seconds()))
        self._wake_up = None  # it must not be canceled by the check that it causes
        self.schedule_soon()

    async def _schedule_later(self) -> None:
        await self._clock.sleep(UNRESPONSIVE_AFTER)
        self.schedule_soon()

    async def _start_ready(self, job: Job, tasks: Sequence[int]) -> None:
        """Start the tasks whose hosts can work now, and release the hosts of the others."""
        ready = await self._deferrals.ready_tasks(job, tasks)
        for number in set(tasks) - set(ready):
            self._host_tasks.release(job.tasks[number].host)
        if ready and not self._leaving:
            self._start(job, ready)
            return
        self._starting.discard(job.id)
        self._send(job, ready, (), None)
        self._waiters.notify()

    def _start(self, job: Job, tasks: Sequence[int]) -> None:
        """Start these tasks as soon as their start is on disk."""
        begun: list[int] = []

        def edit(transaction: Transaction) -> list[Job]:
            current = transaction.get(job.id)
            if current is None or current.status.ended or current.stopping or current.paused:
                return []
            begun[:] = [n for n in tasks if current.tasks[n].status is Status.QUEUE]
            return [lifecycle.start_tasks(current, begun, self._clock.now())]

        def settled(jobs: Sequence[Job], error: Exception | None) -> None:
            if error is not None and not isinstance(error, StoreError):  # the store reports its own errors
                self._events.report_error(error)
            self._starting.discard(job.id)
            if jobs and job.start is None:  # of a job that another owner started, the steady start is not known
                self._began_at.setdefault(job.id, began_at)
            self._send(job, tasks, begun, jobs[0] if jobs else None)
            self._waiters.notify()  # for `wait_started`

        began_at = self._clock.steady()
        self._store.update_nowait(edit, settled)

    def _send(self, job: Job, claimed: Sequence[int], begun: Sequence[int], started: Job | None) -> None:
        """Send the tasks that were started to their hosts, and release the hosts of the others."""
        for number in claimed:
            if started is not None and number in begun and not self._closed:
                self._running.add(job.id)
                self._heartbeat.start(self._tasks.spawn)
                self._host_tasks.run(started, started.tasks[number])
            else:
                self._host_tasks.release(job.tasks[number].host)
        if started is None or any(task.status is Status.QUEUE for task in started.tasks):
            self.schedule_soon()
        if self._store.current(job.id) is None:
            self._forget(job.id)

    def _on_given_up(self, job_id: int) -> None:
        if self._store.current(job_id) is None:
            self._forget(job_id)
        self._waiters.notify()
        self.schedule_soon()

    def _forget(self, job_id: int) -> None:
        self._running.discard(job_id)
        self._limits.forget(job_id)
        self._began_at.pop(job_id, None)

    def _elapsed(self, job_id: int) -> float | None:
        began = self._began_at.get(job_id)
        return None if began is None else self._clock.steady() - began
