"""The tasks at work on their hosts: their start, progress and end.

A task is started only after its start is on disk. Its finished steps are committed at most once a second, its
end at once; the job changes only when the end is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from jobtui.background import BackgroundTasks
from jobtui.clock import Clock, wait_all
from jobtui.engine import lifecycle
from jobtui.engine.events import EventBus
from jobtui.engine.jobs import JobStore, JobWaiters, Transaction
from jobtui.engine.lifecycle import TaskOutcome
from jobtui.engine.progress import ProgressTracker, RateLimits
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import Job, JobCommand, Notice, Status, StepPosition, Task, TaskLogged, TaskProgressed
from jobtui.os_errors import explain_shortage
from jobtui.storage.base import (
    CompactionRequest,
    OperationControl,
    OperationProgress,
    ProgressCallback,
    Storage,
    TaskResult,
)

UNRESPONSIVE_AFTER = 30.0  # seconds without progress until a host no longer delays the jobs of other hosts
STEP_SECONDS = 1.0  # between two commits of finished steps; steps that a crash loses are done again
DETACHED = "no longer waiting; the host continues"
_MAX_NAMED = 5  # hosts of a job in a notice, which a toast of a few lines has room for


class RunningTask(msgspec.Struct):
    """A task at work on a host; the times are those of the steady clock.

    Attributes:
        released: Done when the host has ended work that the engine no longer waits for.
        recorded: Whether its end has been written, although its host may still be at work.
        yields: Whether it was canceled in order to pause, so that its end is not a stop.
        steps: The steps that it has finished.
        waiting: Why it waited by its last report, "" if it worked.
        waits_since: Since when it waits for disk space, None while it works.
        waited: The seconds that it has waited before.
    """

    job: int
    task: int
    host: str
    control: OperationControl = msgspec.field(default_factory=OperationControl)
    started_at: float = 0.0
    last_sign: float = 0.0
    released: asyncio.Future[str] | None = None
    recorded: bool = False
    yields: bool = False
    steps: StepPosition | None = None
    waiting: str = ""
    waits_since: float | None = None
    waited: float = 0.0

    def note_waiting(self, waits: bool, now: float) -> None:
        """Count the time in which it waits from now on, or no longer waits."""
        if self.waits_since is not None:
            self.waited += now - self.waits_since
        self.waits_since = now if waits else None

    @property
    def is_whole(self) -> bool:
        """Whether it has no step to pause after: a flush, or a compaction in one step or not planned yet."""
        return self.steps is None or self.steps.total <= 1


class HostTasks:
    """The tasks at work, by host. For the engine's loop alone.

    `on_change` is called when a task may be able to start. `elapsed` returns the seconds since a job began in
    this process, None if it did not. `check_condition` returns why the job's condition excludes a host now, ""
    if it does not.
    """

    def __init__(
        self,
        store: JobStore,
        storage: Storage,
        waiters: JobWaiters,
        *,
        progress: ProgressTracker,
        limits: RateLimits,
        events: EventBus,
        tasks: BackgroundTasks,
        clock: Clock,
        task_timeout: float | None,
        on_change: Callable[[], None],
        on_ended: Callable[[int], None],
        elapsed: Callable[[int], float | None],
        check_condition: Callable[[Job, str], Awaitable[str]],
    ) -> None:
        self._store = store
        self._storage = storage
        self._waiters = waiters
        self._progress = progress
        self._limits = limits
        self._events = events
        self._tasks = tasks
        self._clock = clock
        self._task_timeout = task_timeout
        self._on_change = on_change
        self._on_ended = on_ended
        self._elapsed = elapsed
        self._check_condition = check_condition
        self._busy: dict[str, RunningTask | None] = {}
        self._steps: dict[tuple[int, int], StepPosition] = {}
        self._steps_due = False
        self._recording = 0
        self._yielding = False
        self._closed = False

    def close(self) -> None:
        """Record nothing from now on."""
        self._closed = True

    @property
    def busy(self) -> Collection[str]:
        """The hosts with a task, or for which one is about to start."""
        return self._busy.keys()

    @property
    def is_settled(self) -> bool:
        """Whether no end is about to be recorded."""
        return not self._recording

    def reserve(self, hosts: Iterable[str]) -> None:
        """Keep hosts free for tasks whose start is being written."""
        for host in hosts:
            self._busy[host] = None

    def release(self, host: str) -> None:
        """Give up the reservation of a host."""
        self._busy.pop(host, None)

    def unresponsive_jobs(self) -> set[int]:
        """Return the jobs without progress of any running task for `UNRESPONSIVE_AFTER` seconds."""
        now, working = self._clock.steady(), self._at_work()
        quiet = {work.job for work in working if now - work.last_sign >= UNRESPONSIVE_AFTER}
        if not quiet:
            return quiet
        return quiet - {work.job for work in working if now - work.last_sign < UNRESPONSIVE_AFTER}

    def run(self, job: Job, task: Task) -> None:
        """Run a task, whose start is on disk, on its host."""
        now = self._clock.steady()
        work = RunningTask(
            job.id,
            task.number,
            task.host,
            OperationControl(self._limits.rate_of(job)),
            started_at=now,
            last_sign=now,
            steps=task.steps,
        )
        self._busy[task.host] = work
        current = self._store.current(job.id)
        if current is not None and current.stopping:
            work.control.cancel.set()
        if current is not None and current.paused:
            work.control.pause.set()
        if self._yielding:
            self._pause(work, now=True)
        self._tasks.spawn(self._run_task(job, work))

    def cancel(self, jobs: Collection[int]) -> None:
        """Ask the hosts to end the work of these jobs at once."""
        for work in self._at_work():
            if work.job in jobs:
                work.control.cancel.set()

    def pause(self, jobs: Collection[int], *, now: bool = False) -> None:
        """Ask the hosts to end the work of these jobs after the current step, or with `now` in its middle."""
        for work in self._at_work():
            if work.job in jobs:
                self._pause(work, now=now)

    def yield_all(self, *, now: bool = False) -> None:
        """Return all tasks to the queue: after the current step, or with `now` in the middle of it.

        Work without a further step is canceled at once, and is done again: the dialog has named what is lost,
        and a grace too short for most of such work would only delay the exit.
        """
        self._yielding = True
        for work in self._at_work():
            self._pause(work, now=now or work.is_whole)

    def _pause(self, work: RunningTask, *, now: bool) -> None:
        work.yields = work.yields or now
        (work.control.cancel if now else work.control.pause).set()

    def describe_unpausable(self, jobs: Sequence[Job]) -> str:
        """Return a text about the tasks that finish instead of pausing, because they have no further step."""
        flushes = {job.id for job in jobs if job.command == JobCommand.FLUSH}
        paused = {job.id for job in jobs}
        whole: dict[int, list[str]] = {}
        for work in self._at_work():
            one_step = work.steps is not None and work.steps.total <= 1
            if work.job in paused and (work.job in flushes or one_step):
                whole.setdefault(work.job, []).append(work.host)
        if not whole:
            return ""
        named = " and ".join(f"job {job} on {_name_hosts(hosts)}" for job, hosts in whole.items())
        return (
            f"No step to pause at: the work of {named} is completed first; "
            "WITH now = true cancels it instead, and it is lost"
        )

    def apply_limits(self, job_id: int | None) -> None:
        """Send the hosts of a job, or of all jobs (None), the limits of their next steps."""
        for work in self._at_work():
            job = self._store.current(work.job)
            if job is not None and job_id in (None, work.job):
                work.control.set_rate(self._limits.rate_of(job))

    def _at_work(self) -> list[RunningTask]:
        return [work for work in self._busy.values() if work is not None]

    # ---- a task on its host

    async def _run_task(self, job: Job, work: RunningTask) -> None:
        timeout = self._task_timeout
        try:
            if timeout is None:
                self._on_operation_end(work, await self._operation(job, work))
            else:
                await self._run_with_timeout(timeout, job, work)
            if work.released is not None:
                await asyncio.wait([work.released])
                self._report_detached_end(job, work.host, work.released)
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

    def _report_detached_end(self, job: Job, host: str, released: asyncio.Future[str]) -> None:
        """Publish how a host has ended detached work: the record of its task is final."""
        if not released.cancelled():
            outcome = f": {released.result()}" if released.result() else ""
            text = f"Host {host} has ended the detached work of job {job.id} ({job.label}){outcome}"
            self._events.publish([Notice(text, "warning" if outcome else "information")])

    def _release_host(self, work: RunningTask) -> None:
        if self._busy.get(work.host) is work:
            del self._busy[work.host]
            self._on_change()

    async def _operation(self, job: Job, work: RunningTask) -> TaskOutcome:
        report = self._progress_callback(work)
        try:
            if job.options.condition and not (work.steps is not None and work.steps.done):
                # checked when the host's turn comes, and not again between the steps of a paused compaction
                reason = await self._check_condition(job, work.host)
                if reason:
                    return TaskOutcome(Status.FINISHED, reason=reason)
            if job.command == JobCommand.FLUSH:
                result = await self._storage.flush(job.space, work.host, report, work.control)
            else:
                request = _compaction_request(job, work.steps)
                result = await self._storage.compact(job.space, work.host, request, report, work.control)
        except StorageError as error:
            # the task shows its host: the reason need not repeat it, and an adopted host's name is a long path
            return TaskOutcome(
                Status.FAILED, reason=error.detail.removeprefix(f"{work.host}: "), code=error.code
            )
        except Exception as error:
            reason = explain_shortage(error) or f"{type(error).__name__}: {error}"
            return TaskOutcome(Status.FAILED, reason=reason, code=ErrorCode.IO)
        work.released = result.released
        return _outcome_of(result, work)

    def _progress_callback(self, work: RunningTask) -> ProgressCallback:
        def report(progress: OperationProgress) -> None:
            if progress.log:
                self._events.publish([TaskLogged(work.job, work.host, progress.log)])
                return
            if not progress.waiting or progress.waiting != work.waiting:
                work.last_sign = self._clock.steady()  # a repeated reason to wait comes with the gauges alone
            work.waiting = progress.waiting
            work.note_waiting(bool(progress.waiting), self._clock.steady())
            job = self._store.current(work.job)
            if job is None or work.recorded:
                return
            if progress.steps is not None and progress.steps != work.steps:
                work.steps = progress.steps
                self._steps[work.job, work.task] = progress.steps
                self._commit_steps_soon()
            self._progress.update(work.job, work.task, progress)
            self._events.publish([TaskProgressed(self._progress.apply_to(job), work.task, progress.rate)])

        return report

    # ---- finished steps

    def _commit_steps_soon(self) -> None:
        if not self._steps_due:
            self._steps_due = True
            self._tasks.spawn(self._commit_steps())

    async def _commit_steps(self) -> None:
        """Commit the finished steps of all tasks together, then wait for the next ones."""
        try:
            while self._steps and not self._closed:
                steps, self._steps = self._steps, {}
                by_job: dict[int, dict[int, StepPosition]] = {}
                for (job_id, number), position in steps.items():
                    by_job.setdefault(job_id, {})[number] = position

                def edit(
                    transaction: Transaction, found: Mapping[int, Mapping[int, StepPosition]] = by_job
                ) -> list[Job]:
                    jobs = [(transaction.get(job_id), positions) for job_id, positions in found.items()]
                    return [
                        lifecycle.record_steps(job, positions)
                        for job, positions in jobs
                        if job is not None and not job.status.ended
                    ]

                # if the disk is full, the step is done again unless this process records the task's end
                self._store.update_nowait(edit, lambda _jobs, _error: None)
                await self._clock.sleep(STEP_SECONDS)
        finally:
            self._steps_due = False

    # ---- how a task ended

    def _record(self, work: RunningTask, end: TaskOutcome) -> None:
        """Write the end of a task; the job changes only when that is on disk."""
        work.recorded = True
        self._steps.pop((work.job, work.task), None)
        seen = self._progress.pop(work.job, work.task)
        now, steady = self._clock.now(), self._clock.steady()
        work.note_waiting(False, steady)
        took = round(steady - work.started_at - work.waited, 3)
        end = msgspec.structs.replace(
            end,
            took=took,
            progress=seen.fraction,
            before=end.before or seen.before,
            steps=end.steps or work.steps,
        )

        def edit(transaction: Transaction) -> list[Job]:
            job = transaction.get(work.job)
            elapsed = self._elapsed(work.job)
            elapsed = None if elapsed is None else elapsed - work.waited
            return [] if job is None else [_settle(job, work, end, now, elapsed)]

        def settled(jobs: Sequence[Job], error: Exception | None) -> None:
            self._recording -= 1
            if error is not None:
                reason = f"How task {work.job}-{work.task} ended ({end.status}) could not be written: {error}"
                self._events.publish([Notice(reason, "error")])
                self._waiters.give_up([work.job])
            if self._store.current(work.job) is None:
                self._on_ended(work.job)
            self._waiters.notify()
            self._on_change()

        if not self._closed:
            self._recording += 1
            self._store.update_nowait(edit, settled, must_persist=True)


def _settle(job: Job, work: RunningTask, end: TaskOutcome, now: datetime, elapsed: float | None) -> Job:
    """Return the job after the work on a task of it has ended: the task has ended, or is queued again."""
    if end.status is Status.QUEUE:
        if not job.stopping:
            return lifecycle.requeue_task(job, work.task, end, now)
        end = msgspec.structs.replace(end, status=Status.STOPPED, reason="")
    if end.status is Status.FAILED:
        delay = lifecycle.retry_delay(job, work.task, end.code)
        if delay is not None:
            return lifecycle.requeue_task(job, work.task, end, now, retry_after=delay)
    return lifecycle.finish_task(job, work.task, end, now, elapsed)


def _outcome_of(result: TaskResult, work: RunningTask) -> TaskOutcome:
    """Return the outcome of a task's work, with the status `queue` if it was paused."""

    if result.paused or (result.stopped and work.yields and not result.detached):
        status, reason = Status.QUEUE, ""
    elif result.stopped or result.detached:
        status, reason = Status.STOPPED, DETACHED if result.detached else ""
    else:
        status, reason = Status.FINISHED, result.note
    return TaskOutcome(
        status,
        before=result.before,
        after=result.after,
        reason=reason,
        detached=result.detached,
        steps=result.steps,
    )


def _compaction_request(job: Job, steps: StepPosition | None) -> CompactionRequest:
    options = job.options
    return CompactionRequest(
        families=options.families,
        from_key=options.from_key,
        to_key=options.to_key,
        room=options.room,
        room_share=options.room_share,
        resume=steps,
    )


def _name_hosts(hosts: Sequence[str]) -> str:
    """Return the hosts as text; of many, the first few and the number of the others."""
    more = len(hosts) - _MAX_NAMED
    return ", ".join(hosts[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
