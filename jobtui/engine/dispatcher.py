"""The dispatcher runs the queue: it starts the tasks that the scheduler picks, and records how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush

from jobtui.clock import Clock, wait_all
from jobtui.engine import lifecycle, queries, scheduler
from jobtui.engine.cluster import lifecycle as cluster_lifecycle
from jobtui.engine.control import StopCount, SubmittedJobs
from jobtui.engine.events import EventBus
from jobtui.engine.heartbeat import Heartbeat
from jobtui.engine.inventory import InventoryCache
from jobtui.engine.jobs import Edit, JobStore, JobWaiters, Transaction
from jobtui.engine.lifecycle import TaskOutcome
from jobtui.engine.progress import ProgressTracker, RunningTask, outcome_of
from jobtui.engine.scheduler import JobAdmission, RunPolicy
from jobtui.engine.tasks import BackgroundTasks
from jobtui.errors import ErrorCode, StatementRefused, StorageError
from jobtui.history import StoreError
from jobtui.model import Job, JobCommand, Notice, Status, Task, TaskProgressed
from jobtui.storage.base import (
    CompactionRequest,
    OperationProgress,
    ProgressCallback,
    Space,
    Storage,
)

UNRESPONSIVE_AFTER = 30.0  # seconds without progress until a host no longer delays the jobs of other hosts
DISK_SECONDS = 3.0  # for a full disk to take how a job ended, when the process is about to end
POLL_SECONDS = 0.25


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
        heartbeat: Heartbeat,
        events: EventBus,
        tasks: BackgroundTasks,
        clock: Clock,
        max_running_jobs: int,
        task_timeout: float | None,
    ) -> None:
        self._store = store
        self._storage = storage
        self._inventory = inventory
        self._waiters = waiters
        self._admission = admission
        self._progress = progress
        self._heartbeat = heartbeat
        self._events = events
        self._tasks = tasks
        self._clock = clock
        self._max_running_jobs = max_running_jobs
        self._task_timeout = task_timeout
        self._queues: dict[str, list[int]] = {}
        self._running: set[int] = set()
        self._starting: set[int] = set()
        self._busy: dict[str, RunningTask | None] = {}
        self._hosts: set[str] = set()
        self._began: dict[int, float] = {}
        self._schedule_due = False
        self._recording = 0
        self._closed = False
        self._recheck: asyncio.Task[None] | None = None

    async def take_over(self) -> None:
        """End the jobs of clusters that this profile is not connected to any longer; the others are queued."""
        now = self._clock.now()
        await self._store.update(
            lambda _: [
                cluster_lifecycle.detach(job, now) for job in self._store.active() if job.origin is not None
            ]
        )
        queued = [job.id for job in self._store.active() if job.status is Status.QUEUE]
        if queued and self._admission.policy is RunPolicy.ALL:
            text = f"{queries.jobs_as_text(queued)} left in the queue: running now"
            self._events.publish([Notice(text, "information")])

    def start(self) -> None:
        """Queue the jobs that the history holds, and run what may run."""
        for job in self._store.active():
            if job.status is Status.QUEUE and job.origin is None:
                self._queue(job)
        self.schedule_soon()

    def close(self) -> None:
        """Start nothing and record nothing from now on: the next owner reports what still runs."""
        self._closed = True

    def schedule_soon(self) -> None:
        """Check, in the loop's next turn, whether something can start."""
        if not self._schedule_due and not self._closed:
            self._schedule_due = True
            asyncio.get_running_loop().call_soon(self._schedule)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is about to start or to be recorded."""
        return not (self._schedule_due or self._starting or self._recording)

    @property
    def is_running_jobs(self) -> bool:
        """Whether a job of this process runs."""
        return bool(self._running) and not self._closed

    # ---- submitting

    async def submit(self, command: str, space: Space) -> SubmittedJobs:
        """Queue a job with a task for each host of the space."""
        return SubmittedJobs(
            tuple(
                await self._create(
                    lambda transaction: [self._new_job(transaction, command, space)],
                )
            )
        )

    async def recover(self, ids: Sequence[int]) -> SubmittedJobs:
        """Queue a new job for each of these, all or none."""
        spaces = await self._inventory.fetch_spaces()

        def edit(transaction: Transaction) -> list[Job]:
            old = [self._require_recoverable(transaction, job_id, spaces) for job_id in ids]
            return [self._new_job(transaction, job.command, spaces[job.space], job.id) for job in old]

        return SubmittedJobs(tuple(await self._create(edit)))

    async def recover_all(self, space: str | None) -> SubmittedJobs:
        """Queue a new job for each that was not recovered; those of dropped spaces are passed over."""
        spaces = await self._inventory.fetch_spaces()
        dropped: set[str] = set()

        def edit(transaction: Transaction) -> list[Job]:
            found = self._unrecovered(transaction, space)
            dropped.update(job.space for job in found if job.space not in spaces)
            return [
                self._new_job(transaction, job.command, spaces[job.space], job.id)
                for job in found
                if job.space in spaces
            ]

        jobs = tuple(await self._create(edit))
        if not dropped:
            return SubmittedJobs(jobs)
        names = ", ".join(f"'{name}'" for name in sorted(dropped))
        return SubmittedJobs(jobs, f"Passed over jobs of spaces that no longer exist: {names}")

    async def _create(self, edit: Edit) -> Sequence[Job]:
        """Commit new jobs, and queue them only then."""
        jobs = await self._store.update(edit)
        for job in jobs:
            self._queue(job)
            self._admission.note_submitted(job.space)
        self.schedule_soon()
        return jobs

    def _queue(self, job: Job) -> None:
        heappush(self._queues.setdefault(job.space, []), job.id)
        self._hosts.update(task.host for task in job.tasks)

    def _new_job(
        self, transaction: Transaction, command: str, space: Space, recovered_from: int | None = None
    ) -> Job:
        self._store.require_available(space.name)
        if not space.hosts:
            raise StatementRefused(f"Space '{space.name}' has no storage host")
        now = self._clock.now()
        return lifecycle.new_job(transaction.new_id(), command, space.name, space.hosts, now, recovered_from)

    def _require_recoverable(self, transaction: Transaction, job_id: int, spaces: Mapping[str, Space]) -> Job:
        job = queries.require_recoverable(transaction.get(job_id), job_id, self._store.history)
        if job.space not in spaces:
            raise StatementRefused(queries.no_such_space(job.space, spaces))
        return job

    def _unrecovered(self, transaction: Transaction, space: str | None) -> list[Job]:
        claimed = {job.recovered_from for job in transaction.drafts.values()}
        ids = self._store.history.unrecovered(space)
        found = (transaction.get(job_id) for job_id in ids if job_id not in claimed)
        return [job for job in found if job is not None]

    # ---- stopping

    async def stop(self, ids: Sequence[int]) -> StopCount:
        """Stop these jobs, all or none."""
        tasks = 0

        def edit(transaction: Transaction) -> list[Job]:
            nonlocal tasks
            jobs = [self._require_stoppable(transaction, job_id) for job_id in ids]
            tasks = sum(not task.status.ended for job in jobs for task in job.tasks)
            now = self._clock.now()
            return [lifecycle.request_stop(job, now, self._elapsed(job.id)) for job in jobs]

        await self._store.update(edit)
        self.cancel(ids)
        return StopCount(len(ids), tasks)

    async def stop_all(self) -> None:
        """Stop every job of this process that is queued or running and not being stopped yet."""

        def edit(transaction: Transaction) -> list[Job]:
            now = self._clock.now()
            jobs = [transaction.get(job.id) or job for job in self._store.active()]
            return [
                lifecycle.request_stop(job, now, self._elapsed(job.id))
                for job in jobs
                if not job.status.ended and not job.stopping and job.origin is None
            ]

        try:
            stopped = await self._store.update(edit)
        except StoreError:
            stopped = self._store.active()  # what runs is stopped all the same: the user is leaving
        self.cancel([job.id for job in stopped])

    def _require_stoppable(self, transaction: Transaction, job_id: int) -> Job:
        job = queries.require_stoppable(transaction.get(job_id), job_id, self._store.history)
        if job.origin is not None:
            cluster = job.origin.cluster
            raise StatementRefused(
                f"Job {job_id} belongs to cluster '{cluster}', which this profile is not connected to"
            )
        return job

    def cancel(self, ids: Iterable[int]) -> None:
        """Ask the hosts to end the work of these jobs, whether or not the history knows of it."""
        requested = set(ids)
        for work in self._busy.values():
            if work is not None and work.job in requested:
                work.control.cancel.set()
        for job_id in requested:
            if self._store.current(job_id) is None:
                self._forget(job_id)
        self.schedule_soon()
        self._waiters.notify()

    # ---- waiting

    def runnable_jobs(self) -> tuple[int, ...]:
        """Return the queued and running jobs that this engine would run to their end."""
        return tuple(
            job.id
            for job in self._store.active()
            if self._waiters.can_end(job) and self._admission.may_run(job)
        )

    async def wait_idle(self) -> None:
        """Wait until no job that may run here is queued or running."""
        while self.runnable_jobs():
            await self._waiters.next_change()

    async def limit_waiting_for_disk(self) -> None:
        """Stop waiting for ends that the disk does not take, once no host is at work and it had its time."""
        refused = 0.0
        while refused < DISK_SECONDS and self.runnable_jobs():
            await self._clock.sleep(POLL_SECONDS)
            is_refused = bool(self._store.write_error) and not self._busy
            refused = refused + POLL_SECONDS if is_refused else 0.0
        self._waiters.give_up(self.runnable_jobs())
        self._waiters.notify()

    # ---- starting

    def _queue_heads(self) -> list[Job]:
        current = self._store.current
        occupied = {job.space for job in self._current_jobs(self._running | self._starting)}
        heads, through = [], []
        for space, queue in self._queues.items():
            if space in occupied:
                continue
            while queue and ((job := current(queue[0])) is None or job.status is not Status.QUEUE):
                heappop(queue)
            if not queue:
                through.append(space)
            elif job is not None and self._admission.may_run(job):
                heads.append(job)
        for space in through:
            del self._queues[space]
        return heads

    def _current_jobs(self, ids: Iterable[int]) -> list[Job]:
        return [job for job_id in ids if (job := self._store.current(job_id)) is not None]

    def _schedule(self) -> None:
        self._schedule_due = False
        if self._store.broken:
            self._waiters.notify()
        if self._closed or self._store.write_error:
            return
        if self._busy.keys() >= self._hosts:
            return
        heads = self._queue_heads()
        running = self._current_jobs(self._running - self._starting)
        limit = self._max_running_jobs - len(self._starting)
        unresponsive = self._unresponsive_jobs()
        starts = scheduler.decide(running, heads, self._busy.keys(), unresponsive, limit, self._hosts)
        for start in starts:
            job = self._store.current(start.job)
            if job is not None:
                self._starting.add(job.id)
                self._busy.update((job.tasks[number].host, None) for number in start.tasks)
                self._start(job, start.tasks)
        if heads and self._busy and (self._recheck is None or self._recheck.done()):
            self._recheck = self._tasks.spawn(self._schedule_later())

    async def _schedule_later(self) -> None:
        await self._clock.sleep(UNRESPONSIVE_AFTER)
        self.schedule_soon()

    def _unresponsive_jobs(self) -> set[int]:
        now = self._clock.steady()
        quiet: set[int] = set()
        alive: set[int] = set()
        for work in self._busy.values():
            if work is not None:
                (quiet if now - work.last_sign >= UNRESPONSIVE_AFTER else alive).add(work.job)
        return quiet - alive

    def _start(self, job: Job, tasks: Sequence[int]) -> None:
        """Start these tasks as soon as it is on disk that they run."""
        begun: list[int] = []

        def edit(transaction: Transaction) -> list[Job]:
            current = transaction.get(job.id)
            if current is None or current.status.ended or current.stopping:
                return []
            begun[:] = [n for n in tasks if current.tasks[n].status is Status.QUEUE]
            return [lifecycle.start_tasks(current, begun, self._clock.now())]

        def settled(jobs: Sequence[Job], error: Exception | None) -> None:
            if error is not None and not isinstance(error, StoreError):  # the store reports those
                self._events.report_error(error)
            self._starting.discard(job.id)
            self._send(job, tasks, begun, jobs[0] if jobs else None)

        self._began.setdefault(job.id, self._clock.steady())
        self._store.update_nowait(edit, settled)

    def _send(self, job: Job, claimed: Sequence[int], begun: Sequence[int], started: Job | None) -> None:
        """Send the tasks that were started to their hosts, and release the hosts of the others."""
        for number in claimed:
            if started is not None and number in begun and not self._closed:
                self._running.add(job.id)
                self._heartbeat.start(self._tasks.spawn)
                self._run_on_host(started, started.tasks[number])
            else:
                self._busy.pop(job.tasks[number].host, None)
        if started is None or any(task.status is Status.QUEUE for task in started.tasks):
            self.schedule_soon()
        if self._store.current(job.id) is None:
            self._forget(job.id)

    # ---- a task on its host

    def _run_on_host(self, job: Job, task: Task) -> None:
        now = self._clock.steady()
        work = RunningTask(job.id, task.number, task.host, started_at=now, last_sign=now)
        self._busy[task.host] = work
        current = self._store.current(job.id)
        if current is not None and current.stopping:
            work.control.cancel.set()
        self._tasks.spawn(self._run_task(job, work))

    async def _run_task(self, job: Job, work: RunningTask) -> None:
        timeout = self._task_timeout
        try:
            if timeout is None:
                self._on_operation_end(work, await self._operation(job, work))
            else:
                await self._run_with_timeout(timeout, job, work)
            if work.released is not None:
                await asyncio.wait([work.released])
        finally:
            self._release_host(work)

    async def _run_with_timeout(self, seconds: float, job: Job, work: RunningTask) -> None:
        operation = asyncio.ensure_future(self._operation(job, work))
        if await wait_all(self._clock, seconds, operation):
            self._on_operation_end(work, operation.result())
        else:
            work.control.cancel.set()
            reason = f"{work.host} did not answer within {seconds:g} s (task_timeout)"
            self._record(work, TaskOutcome(Status.FAILED, reason=reason, code=ErrorCode.TIMEOUT))
            await asyncio.wait([operation])

    def _on_operation_end(self, work: RunningTask, end: TaskOutcome) -> None:
        if work.released is None:
            # released first: the next task on the host is committed with this end or after it, and then sent
            self._release_host(work)
        self._record(work, end)

    def _release_host(self, work: RunningTask) -> None:
        if self._busy.get(work.host) is work:
            del self._busy[work.host]
            self.schedule_soon()

    async def _operation(self, job: Job, work: RunningTask) -> TaskOutcome:
        report = self._progress_callback(work)
        try:
            if job.command == JobCommand.FLUSH:
                outcome = await self._storage.flush(job.space, work.host, report, work.control)
            else:
                request = CompactionRequest()
                outcome = await self._storage.compact(job.space, work.host, request, report, work.control)
        except StorageError as error:
            # the task names its host: the reason need not repeat it, and an adopted host's name is a long path
            return TaskOutcome(
                Status.FAILED, reason=error.detail.removeprefix(f"{work.host}: "), code=error.code
            )
        except Exception as error:
            return TaskOutcome(Status.FAILED, reason=f"{type(error).__name__}: {error}", code=ErrorCode.IO)
        work.released = outcome.released
        return outcome_of(outcome)

    def _progress_callback(self, work: RunningTask) -> ProgressCallback:
        def report(progress: OperationProgress) -> None:
            work.last_sign = self._clock.steady()
            job = self._store.current(work.job)
            if job is not None and not work.recorded:
                tracker = self._progress
                tracker.update(work.job, work.task, progress.fraction, progress.before)
                self._events.publish([TaskProgressed(tracker.apply_to(job), work.task, progress.rate)])

        return report

    def _record(self, work: RunningTask, end: TaskOutcome) -> None:
        """Write how the task ended; until that is on disk, the job is as it was."""
        work.recorded = True
        seen = self._progress.pop(work.job, work.task)
        now = self._clock.now()
        took = round(self._clock.steady() - work.started_at, 3)
        before = end.before or seen.before
        end = TaskOutcome(
            end.status, took, seen.fraction, before, end.after, end.reason, end.code, end.detached
        )

        def edit(transaction: Transaction) -> list[Job]:
            job = transaction.get(work.job)
            if job is None:
                return []
            return [lifecycle.finish_task(job, work.task, end, now, self._elapsed(work.job))]

        def settled(jobs: Sequence[Job], error: Exception | None) -> None:
            self._recording -= 1
            if error is not None:
                reason = f"How task {work.job}-{work.task} ended ({end.status}) could not be written: {error}"
                self._events.publish([Notice(reason, "error")])
                self._waiters.give_up([work.job])
            if self._store.current(work.job) is None:
                self._forget(work.job)
            self._waiters.notify()
            self.schedule_soon()

        if not self._closed:
            self._recording += 1
            self._store.update_nowait(edit, settled, must_persist=True)

    def _forget(self, job_id: int) -> None:
        self._running.discard(job_id)
        self._began.pop(job_id, None)

    def _elapsed(self, job_id: int) -> float | None:
        began = self._began.get(job_id)
        return None if began is None else round(self._clock.steady() - began, 3)
