"""From the queue to the hosts: starts what `schedule` decides, waits for it, and records how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import msgspec

from jobtui.clock import wait_all
from jobtui.engine import lifecycle, queries, scheduler
from jobtui.engine.jobs import Transaction
from jobtui.engine.lifecycle import TaskOutcome
from jobtui.engine.profile import RunPolicy
from jobtui.errors import ErrorCode, StatementRefused, StorageError
from jobtui.history import StoreError
from jobtui.model import Job, JobCommand, Notice, SpaceStats, Status, Task, TaskProgressed
from jobtui.storage.base import ProgressCallback, TaskResult

if TYPE_CHECKING:
    from jobtui.engine.engine import Engine


from msgspec.structs import replace

SILENT_SECONDS = 30.0
DISK_SECONDS = 3.0  # for a full disk to take how a job ended, when the process is about to end
BETWEEN_LOOKS_SECONDS = 0.25
DETACHED = "no longer waiting; the host goes on"


class _RunningTask(msgspec.Struct):
    """One task under way on a host."""

    job: int
    task: int
    host: str
    cancel: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    dispatched: float = 0.0
    heard: float = 0.0
    settled: asyncio.Future[None] | None = None
    recorded: bool = False  # how it ended has been told, though the host may go on


class Dispatcher:
    """See the module. For the engine's loop alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._clock = engine.clock
        self._queues: dict[str, list[int]] = {}
        self._running: set[int] = set()
        self._starting: set[int] = set()
        self._busy: dict[str, _RunningTask | None] = {}
        self._hosts: set[str] = set()
        self._began: dict[int, float] = {}
        self._allowed: set[str] = set()
        self._unwritten: set[int] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._pump_due = False
        self._recording = 0
        self._ended = False
        self._watch: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Take up the queue that the history holds."""
        for job in self._engine.ledger.active():
            if job.status is Status.QUEUE and job.origin is None:
                self._queue(job)
        self.pump()

    def end(self) -> None:
        """Start nothing and record nothing from here on: what still runs is the next start's to tell."""
        self._ended = True

    def enqueue(self, jobs: Sequence[Job]) -> None:
        """Take jobs that have just been made durable into the queue."""
        for job in jobs:
            self._queue(job)
            self._allowed.add(job.space)
        self.pump()

    def _queue(self, job: Job) -> None:
        heappush(self._queues.setdefault(job.space, []), job.id)
        self._hosts.update(task.host for task in job.tasks)

    def pump(self) -> None:
        """Look, once the loop gets to it, whether something can start."""
        if not self._pump_due and not self._ended:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    @property
    def settled(self) -> bool:
        """Whether nothing is about to start or to be recorded."""
        return not (self._pump_due or self._starting or self._recording)

    @property
    def is_at_work(self) -> bool:
        """Whether a job of this process runs."""
        return bool(self._running) and not self._ended

    # ---- stopping

    async def stop(self, ids: Sequence[int]) -> tuple[int, int]:
        """Stop these jobs, all or none: how many jobs, and how many of their tasks had not ended.

        Raises StatementRefused where one can't be stopped, StoreError where the disk did not take it.
        """
        counted = 0

        def edit(book: Transaction) -> list[Job]:
            nonlocal counted
            jobs = [self._stoppable(book, job_id) for job_id in ids]
            counted = sum(not task.status.ended for job in jobs for task in job.tasks)
            now = self._clock.now()
            return [lifecycle.stop_asked(job, now, self._took(job.id)) for job in jobs]

        await self._engine.ledger.change(edit)
        self.cancel(ids)
        return len(ids), counted

    async def stop_all(self) -> None:
        """Stop whatever is queued or running and not being stopped yet."""

        def edit(book: Transaction) -> list[Job]:
            now = self._clock.now()
            jobs = [book.get(job.id) or job for job in self._engine.ledger.active()]
            return [
                lifecycle.stop_asked(job, now, self._took(job.id))
                for job in jobs
                if not job.status.ended and not job.stopping and job.origin is None
            ]

        try:
            stopped = await self._engine.ledger.change(edit)
        except StoreError:
            stopped = self._engine.ledger.active()  # what runs is stopped all the same: somebody is leaving
        self.cancel([job.id for job in stopped])

    def _stoppable(self, book: Transaction, job_id: int) -> Job:
        job = queries.stoppable(book.get(job_id), job_id, self._engine.history)
        if job.origin is not None:
            cluster = job.origin.cluster
            raise StatementRefused(
                f"Job {job_id} is the cluster {cluster}'s, which this profile does not work on"
            )
        return job

    def cancel(self, ids: Iterable[int]) -> None:
        """Ask the hosts to stop the work of these jobs."""
        asked = set(ids)
        for work in self._busy.values():
            if work is not None and work.job in asked:
                work.cancel.set()
        for job_id in asked:
            if self._engine.ledger.current(job_id) is None:
                self._forget(job_id)
        self.pump()
        self.wake()

    # ---- waiting

    @property
    def unwritten(self) -> tuple[int, ...]:
        """Ids of jobs whose end nobody waits for any more, since the disk did not take it."""
        return tuple(sorted(self._unwritten))

    async def limit_waiting_for_disk(self) -> None:
        """Stop waiting for ends that the disk does not take, once no host is at work and it had its time."""
        refused = 0.0
        while refused < DISK_SECONDS and self.may_run_here():
            await self._clock.sleep(BETWEEN_LOOKS_SECONDS)
            is_refused = bool(self._engine.trouble) and not self._busy
            refused = refused + BETWEEN_LOOKS_SECONDS if is_refused else 0.0
        self._unwritten.update(self.may_run_here())
        self.wake()

    async def idle(self) -> None:
        """Wait until no job that may run here is queued or running."""
        while self.may_run_here():
            await self._next_end()

    def may_run_here(self) -> tuple[int, ...]:
        """Ids of the jobs that are queued or running and that this engine would see to their end."""
        return tuple(
            job.id for job in self._engine.ledger.active() if self._can_end(job) and self._may_run(job)
        )

    def _can_end(self, job: Job) -> bool:
        if self._engine.ledger.broken and job.status is Status.QUEUE:
            return False
        return job.id not in self._unwritten

    async def ended(self, ids: Sequence[int]) -> tuple[Job, ...]:
        """Wait until these jobs have ended; one whose end could not be written comes back as it is on disk."""
        for job_id in ids:
            while (job := self._engine.ledger.current(job_id)) is not None and self._can_end(job):
                await self._next_end()
        found = (self._engine.history.get(i) or self._engine.history.archived_job(i) for i in ids)
        return tuple(job for job in found if job is not None)

    def _next_end(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def wake(self) -> None:
        """Have whoever waits for jobs look again: some have ended."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ---- starting

    def _may_run(self, job: Job) -> bool:
        if job.origin is not None:
            return False
        if job.status is Status.RUNNING or self._engine.run is RunPolicy.ALL:
            return True
        return self._engine.run is RunPolicy.SUBMITTED and job.space in self._allowed

    def _heads(self) -> list[Job]:
        current = self._engine.ledger.current
        occupied = {job.space for job in self._jobs(self._running | self._starting)}
        heads, through = [], []
        for space, queue in self._queues.items():
            if space in occupied:
                continue
            while queue and ((job := current(queue[0])) is None or job.status is not Status.QUEUE):
                heappop(queue)
            if not queue:
                through.append(space)
            elif job is not None and self._may_run(job):
                heads.append(job)
        for space in through:
            del self._queues[space]
        return heads

    def _jobs(self, ids: Iterable[int]) -> list[Job]:
        return [job for job_id in ids if (job := self._engine.ledger.current(job_id)) is not None]

    def _pump(self) -> None:
        self._pump_due = False
        if self._engine.ledger.broken:
            self.wake()
        if self._ended or self._engine.trouble:
            return
        if self._busy.keys() >= self._hosts:
            return
        heads = self._heads()
        running = self._jobs(self._running - self._starting)
        limit = self._engine.settings.max_running_jobs - len(self._starting)
        silent = self._silent()
        starts = scheduler.decide(running, heads, self._busy.keys(), silent, limit, self._hosts)
        for start in starts:
            job = self._engine.ledger.current(start.job)
            if job is not None:
                self._starting.add(job.id)
                self._busy.update((job.tasks[number].host, None) for number in start.tasks)
                self._start(job, start.tasks)
        if heads and self._busy and (self._watch is None or self._watch.done()):
            self._watch = self._engine.beside(self._look_again())

    async def _look_again(self) -> None:
        await self._clock.sleep(SILENT_SECONDS)
        self.pump()

    def _silent(self) -> set[int]:
        now = self._clock.steady()
        quiet: set[int] = set()
        alive: set[int] = set()
        for work in self._busy.values():
            if work is not None:
                (quiet if now - work.heard >= SILENT_SECONDS else alive).add(work.job)
        return quiet - alive

    def _start(self, job: Job, tasks: Sequence[int]) -> None:
        """Have these tasks begin as soon as it is on disk that they do."""
        begun: list[int] = []

        def edit(book: Transaction) -> list[Job]:
            current = book.get(job.id)
            if current is None or current.status.ended or current.stopping:
                return []
            begun[:] = [n for n in tasks if current.tasks[n].status is Status.QUEUE]
            return [lifecycle.begun(current, begun, self._clock.now())]

        def settled(jobs: Sequence[Job], error: Exception | None) -> None:
            if error is not None and not isinstance(error, StoreError):  # those are told already
                self._engine.tell_of(error)
            self._starting.discard(job.id)
            self._send(job, tasks, begun, jobs[0] if jobs else None)

        self._began.setdefault(job.id, self._clock.steady())
        self._engine.ledger.put(edit, settled)

    def _send(self, job: Job, claimed: Sequence[int], begun: Sequence[int], started: Job | None) -> None:
        """Hand the tasks that have begun to their hosts, and let go of hosts that were claimed in vain."""
        for number in claimed:
            if started is not None and number in begun and not self._ended:
                self._running.add(job.id)
                self._engine.heartbeat.start(self._engine.beside)
                self._hand_over(started, started.tasks[number])
            else:
                self._busy.pop(job.tasks[number].host, None)
        if started is None or any(task.status is Status.QUEUE for task in started.tasks):
            self.pump()
        if self._engine.ledger.current(job.id) is None:
            self._forget(job.id)

    # ---- a task on its host

    def _hand_over(self, job: Job, task: Task) -> None:
        now = self._clock.steady()
        work = _RunningTask(job.id, task.number, task.host, dispatched=now, heard=now)
        self._busy[task.host] = work
        current = self._engine.ledger.current(job.id)
        if current is not None and current.stopping:
            work.cancel.set()
        self._engine.beside(self._carry_out(job, work))

    async def _carry_out(self, job: Job, work: _RunningTask) -> None:
        timeout = self._engine.settings.task_timeout
        try:
            if timeout is None:
                self._came_to_an_end(work, await self._operation(job, work))
            else:
                await self._carry_out_within(timeout, job, work)
            if work.settled is not None:
                await asyncio.wait([work.settled])
        finally:
            self._free(work)

    async def _carry_out_within(self, seconds: float, job: Job, work: _RunningTask) -> None:
        operation = asyncio.ensure_future(self._operation(job, work))
        if await wait_all(self._clock, seconds, operation):
            self._came_to_an_end(work, operation.result())
        else:
            work.cancel.set()
            reason = f"{work.host} did not answer within {seconds:g} s (task_timeout)"
            self._record(work, TaskOutcome(Status.FAILED, reason=reason, code=ErrorCode.TIMEOUT))
            await asyncio.wait([operation])

    def _came_to_an_end(self, work: _RunningTask, end: TaskOutcome) -> None:
        if work.settled is None:
            # what starts on the host next is written with this end or after it, and sent only then
            self._free(work)
        self._record(work, end)

    def _free(self, work: _RunningTask) -> None:
        if self._busy.get(work.host) is work:
            del self._busy[work.host]
            self.pump()

    async def _operation(self, job: Job, work: _RunningTask) -> TaskOutcome:
        storage = self._engine.storage
        act = storage.flush if job.command == JobCommand.FLUSH else storage.compact
        try:
            outcome = await act(job.space, work.host, self._reporter(work), work.cancel)
        except StorageError as error:
            # the host is told beside the reason: an adopted one's name is the path that the reason begins with
            return TaskOutcome(
                Status.FAILED, reason=error.detail.removeprefix(f"{work.host}: "), code=error.code
            )
        except Exception as error:
            return TaskOutcome(Status.FAILED, reason=f"{type(error).__name__}: {error}", code=ErrorCode.IO)
        work.settled = outcome.released
        return _end_of(outcome)

    def _reporter(self, work: _RunningTask) -> ProgressCallback:
        def report(fraction: float | None, rate: float | None, before: SpaceStats | None = None) -> None:
            work.heard = self._clock.steady()
            job = self._engine.ledger.current(work.job)
            if job is not None and not work.recorded:
                progress = self._engine.progress
                progress.note(work.job, work.task, fraction, before)
                self._engine.publish([TaskProgressed(progress.put_into(job), work.task, rate)])

        return report

    def _record(self, work: _RunningTask, end: TaskOutcome) -> None:
        """Write how the task ended; until that is done the job is as it was."""
        work.recorded = True
        seen = self._engine.progress.forget(work.job, work.task)
        now = self._clock.now()
        took = round(self._clock.steady() - work.dispatched, 3)
        before = end.before or seen.before
        end = TaskOutcome(
            end.status, took, seen.fraction, before, end.after, end.reason, end.code, end.detached
        )

        def edit(book: Transaction) -> list[Job]:
            job = book.get(work.job)
            if job is None:
                return []
            return [lifecycle.task_ended(job, work.task, end, now, self._took(work.job))]

        def settled(jobs: Sequence[Job], error: Exception | None) -> None:
            self._recording -= 1
            if error is not None:
                reason = f"How task {work.job}-{work.task} ended ({end.status}) could not be written: {error}"
                self._engine.publish([Notice(reason, "error")])
                self._unwritten.add(work.job)
            if self._engine.ledger.current(work.job) is None:
                self._forget(work.job)
            self.wake()
            self.pump()

        if not self._ended:
            self._recording += 1
            self._engine.ledger.put(edit, settled, told=True)

    def _forget(self, job_id: int) -> None:
        self._running.discard(job_id)
        self._began.pop(job_id, None)

    def _took(self, job_id: int) -> float | None:
        began = self._began.get(job_id)
        return None if began is None else round(self._clock.steady() - began, 3)


def _end_of(outcome: TaskResult) -> TaskOutcome:
    if not outcome.stopped and not outcome.detached:
        return TaskOutcome(Status.FINISHED, before=outcome.before, after=outcome.after, reason=outcome.note)
    reason = DETACHED if outcome.detached else ""
    return TaskOutcome(
        Status.STOPPED, before=outcome.before, after=outcome.after, reason=reason, detached=outcome.detached
    )


# ---- merged from jobtui.engine.progress: ----
# How far the running tasks are, and what they began with: posted as it comes, put into the snapshots shown.
#
# Neither is journaled: what a task began with is written with its end.
#
class LiveProgress(msgspec.Struct, frozen=True):
    """How far a task is (0..1, None: unknown), and what its host held when the work began, once it has told."""

    fraction: float | None = None
    before: SpaceStats | None = None


_NOTHING = LiveProgress()


class ProgressTracker:
    """What is known by job and task. Noted in the engine's loop, read by any thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], LiveProgress] = {}

    def note(self, job_id: int, task: int, fraction: float | None, before: SpaceStats | None = None) -> None:
        """The task is so far (None: unknown); a `before` of None leaves what was told."""
        known = self._known.get((job_id, task), _NOTHING)
        self._known[job_id, task] = LiveProgress(fraction, before or known.before)

    def forget(self, job_id: int, task: int) -> LiveProgress:
        """What was known of the task, and let go of it."""
        return self._known.pop((job_id, task), _NOTHING)

    def put_into(self, job: Job) -> Job:
        """The job with what is known of its running tasks."""
        if job.status is not Status.RUNNING or not self._known:
            return job
        tasks = []
        for task in job.tasks:
            seen = self._known.get((job.id, task.number)) if task.status is Status.RUNNING else None
            tasks.append(task if seen is None else replace(task, progress=seen.fraction, before=seen.before))
        return replace(job, tasks=tuple(tasks))
