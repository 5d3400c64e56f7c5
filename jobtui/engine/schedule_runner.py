"""The runner of a profile's schedules: it carries out decisions, and the statements about schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from jobtui.clock import Clock, wait_all, wait_first
from jobtui.engine import lifecycle, schedules
from jobtui.engine.control import JobControl, RecoverRequest, SubmittedJobs
from jobtui.engine.events import EventBus
from jobtui.engine.jobs import JobStore
from jobtui.engine.scheduler import JobAdmission, RunPolicy
from jobtui.engine.schedules import FILE, RunAction, Schedule, ScheduleRun, ScheduleStep
from jobtui.errors import StatementRefused, StorageError, StoreError
from jobtui.files import write_atomically
from jobtui.language.ast import CreateSchedule
from jobtui.model import Job
from jobtui.os_errors import explain

CHECK_SECONDS = 30.0  # at most between two checks, since the wall clock may be set at any time
SUBMIT_SECONDS = 60.0  # to wait for a cluster that does not answer: the other schedules wait meanwhile


class ScheduleRunner:
    """The schedules of a profile, run in its owner. For the engine's loop alone.

    `submit` submits a schedule's job; `on_run` is called with each run of a schedule that was written. Each
    decision is on disk before it is carried out; if the disk rejects it, nothing is done, and it is made again
    at the next check.
    """

    def __init__(
        self,
        store: JobStore,
        control: JobControl,
        *,
        admission: JobAdmission,
        events: EventBus,
        clock: Clock,
        submit: Callable[[Schedule], Awaitable[SubmittedJobs]],
    ) -> None:
        self._store = store
        self._control = control
        self._admission = admission
        self._events = events
        self._clock = clock
        self._submit = submit
        self._directory = store.history.path
        self._schedules: dict[str, Schedule] = {}
        self._refusal = ""
        self._write_error = ""
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self.on_run: Callable[[Schedule, ScheduleRun], None] = lambda _schedule, _run: None

    async def take_over(self) -> None:
        """Load the schedules, and pause the jobs whose windows ended while no owner was alive."""
        loaded = schedules.load(self._directory)
        self._schedules, self._refusal = dict(loaded.schedules), loaded.refusal
        if loaded.refusal:
            self._events.notify(loaded.refusal)
        if loaded.damage:
            kept = self._store.history.keep_damaged(FILE, loaded.damage, loaded.data)
            if kept:
                self._events.notify(
                    f"{FILE}: {loaded.damage}; SHOW SCHEDULES lists what is left; the file is kept in {kept}"
                )
                await self._rewrite()
            else:
                # without a copy, replacing the file would lose data that a repair could still read
                self._refusal = f"The schedules cannot be changed: {FILE} is damaged, and cannot be copied"
                self._events.notify(self._refusal)
        for schedule in loaded.schedules.values():
            if schedules.is_starting(schedule):
                schedule = self._settled(schedule)
            step = schedules.end_window(
                schedule, self._clock.now(), self._job_of(schedule), self._interrupted(schedule)
            )
            await self._carry_out(step)

    def _settled(self, schedule: Schedule) -> Schedule:
        first, last = schedule.runs[-1].after + 1, self._store.history.last_id()
        newer = [job for job_id in range(first, last + 1) if (job := self._store.get(job_id)) is not None]
        job_id = schedule.runs[-1].job
        return schedules.settle(schedule, newer, None if job_id is None else self._store.current(job_id))

    async def run(self) -> None:
        """Check the schedules whenever one of them is due. An engine without schedules is never woken."""
        while True:
            self._changed.clear()
            async with self._turn:
                if self._admission.policy is not RunPolicy.NONE:
                    for name in list(self._schedules):
                        await self._check(name)
            moments = [schedules.next_moment(schedule) for schedule in self._schedules.values()]
            due = [moment for moment in moments if moment is not None]
            if due:
                left = (min(due) - self._clock.now()).total_seconds()
                seconds = CHECK_SECONDS if self._write_error else min(CHECK_SECONDS, max(left, 1.0))
                await wait_first(self._clock.sleep(seconds), self._changed.wait())
            else:
                await self._changed.wait()

    async def _check(self, name: str) -> None:
        """Decide and act for one schedule until nothing is left to do now."""
        action: RunAction | None = RunAction.SUBMIT
        while action is not None:
            schedule = self._schedules[name]
            job, interrupted = self._job_of(schedule), self._interrupted(schedule)
            last_id = self._store.history.last_id()
            step = schedules.advance(schedule, self._clock.now(), job, last_id, interrupted)
            action = step.action if await self._carry_out(step) else None

    async def _carry_out(self, step: ScheduleStep) -> bool:
        """Write a decision, then act; return whether it was written and carried out."""
        schedule = step.schedule
        if schedule != self._schedules.get(schedule.name) and not await self._try_save(schedule):
            return False
        try:
            match step.action:
                case RunAction.PAUSE if schedule.job is not None:
                    because = f"the window of schedule '{schedule.name}' ended at {schedule.until}"
                    await self._control.pause([schedule.job], because)
                case RunAction.CONTINUE if schedule.job is not None:
                    await self._control.resume([schedule.job], f"schedule '{schedule.name}'")
                    await self._try_save(schedules.started(schedule, schedule.job))
                case RunAction.RECOVER if schedule.job is not None:
                    how = RecoverRequest(failed_only=True, schedule=schedule.name)
                    jobs = (await self._in_time(self._control.recover([schedule.job], how))).jobs
                    await self._try_save(schedules.started(schedule, jobs[0].id))
                    self._events.notify(
                        f"Schedule '{schedule.name}' continues job {schedule.job}, which was interrupted, as "
                        f"job {jobs[0].id}"
                    )
                case RunAction.SUBMIT:
                    jobs = (await self._in_time(self._submit(schedule))).jobs
                    await self._try_save(schedules.started(schedule, jobs[0].id))
        except (StatementRefused, StorageError, StoreError, OSError) as error:
            await self._give_up(step, error)
            return False
        return True

    async def _in_time(self, submit: Awaitable[SubmittedJobs]) -> SubmittedJobs:
        submitting = asyncio.ensure_future(submit)
        if not await wait_all(self._clock, SUBMIT_SECONDS, submitting):
            submitting.cancel()
            raise StatementRefused(f"the storage did not answer within {SUBMIT_SECONDS:g} s")
        return submitting.result()

    async def _give_up(self, step: ScheduleStep, error: Exception) -> None:
        schedule = step.schedule
        if step.action is RunAction.RECOVER:
            schedule = msgspec.structs.replace(schedule, job=None)  # the next run starts over
        if step.action is not RunAction.PAUSE:
            await self._try_save(schedules.not_started(schedule, str(error)))
            self._events.notify(f"Schedule '{schedule.name}' could not start its job: {error}")
        elif isinstance(error, StatementRefused) and self._job_of(schedule) is not None:
            # a refused request would be refused again; one that a full disk rejected is repeated later
            await self._try_save(msgspec.structs.replace(schedule, held=False, window_end=None))
            self._events.notify(f"Schedule '{schedule.name}' could not pause its job: {error}")

    # ---- the file

    async def _try_save(self, schedule: Schedule) -> bool:
        """Write a schedule's new version; if the disk refuses it, notify the user once."""
        try:
            await self._save(schedule.name, schedule)
        except StoreError as error:
            if str(error) != self._write_error:
                self._write_error = str(error)
                self._events.notify(str(error))
            # this process remembers the change, even though it is not on disk
            if not schedules.is_starting(schedule):
                self._schedules[schedule.name] = schedule
            return False
        self._write_error = ""
        return True

    async def _rewrite(self) -> None:
        try:
            data = schedules.encode(self._schedules.values())
            await asyncio.to_thread(write_atomically, self._directory / FILE, data)
        except OSError as error:
            self._events.notify(f"The schedules cannot be written: {explain(error)}")

    async def _save(self, name: str, schedule: Schedule | None) -> None:
        """Write the file with one schedule changed, new or deleted (None). Raises StoreError."""
        if self._refusal:
            raise StoreError(self._refusal)
        after = {**self._schedules, name: schedule}
        kept = {each: found for each, found in after.items() if found is not None}
        try:
            await asyncio.to_thread(write_atomically, self._directory / FILE, schedules.encode(kept.values()))
        except OSError as error:
            raise StoreError(f"The schedules cannot be written: {explain(error)}") from None
        self._schedules = kept
        self._changed.set()
        if schedule is not None:
            for run in schedule.runs:
                self.on_run(schedule, run)

    # ---- statements

    def all(self) -> tuple[Schedule, ...]:
        """Return all schedules, by name."""
        return tuple(self._schedules[name] for name in sorted(self._schedules))

    @property
    def refusal(self) -> str:
        """Why the schedules cannot be read, "" if they can."""
        return self._refusal

    async def create(self, statement: CreateSchedule, space: str, requested_by: str) -> str:
        """Create a schedule on a space that exists; return a notice for the user.

        Raises StatementRefused and StoreError.
        """
        if statement.until is not None and self._control.outlives_engine:
            raise StatementRefused(
                "UNTIL is not possible: a cluster that runs its jobs itself cannot pause them"
            )
        now = self._clock.now()
        async with self._turn:
            if statement.name in self._schedules:
                if statement.if_not_exists:
                    return f"Schedule '{statement.name}' exists already"
                raise StatementRefused(
                    f"Schedule '{statement.name}' exists already; DROP SCHEDULE {statement.name} deletes it"
                )
            schedule = Schedule(
                name=statement.name,
                at=statement.at,
                command=statement.statement.command,
                space=space,
                created=now,
                handled=now,
                options=statement.statement.options,
                until=statement.until,
                timezone=statement.timezone or "",
                requested_by=requested_by,
            )
            await self._save(schedule.name, schedules.activate(schedule, now))
        return ""

    async def pause(self, name: str) -> None:
        """Pause a schedule: it submits nothing until it is resumed. Raises StatementRefused and StoreError."""
        async with self._turn:
            schedule = self._require(name)
            if schedule.paused:
                raise StatementRefused(f"Schedule '{name}' is already paused")
            await self._save(name, schedules.suspend(schedule))

    async def resume(self, name: str) -> None:
        """Resume a schedule. Raises StatementRefused and StoreError."""
        async with self._turn:
            schedule = self._require(name)
            if not schedule.paused:
                raise StatementRefused(f"Schedule '{name}' is not paused")
            await self._save(name, schedules.activate(schedule, self._clock.now()))

    async def run_now(self, name: str) -> tuple[Job, bool]:
        """Run a schedule now; return its job, and whether it is the previous one, resumed.

        Raises StatementRefused, StorageError and StoreError.
        """
        async with self._turn:
            schedule = self._require(name)
            last_id = self._store.history.last_id()
            job, interrupted = self._job_of(schedule), self._interrupted(schedule)
            step = schedules.run_now(schedule, self._clock.now(), job, last_id, interrupted)
            await self._save(name, step.schedule)
            if not await self._carry_out(step):
                raise StatementRefused(self._schedules[name].runs[-1].reason)
            job_id = self._schedules[name].job
            started = None if job_id is None else self._store.get(job_id)
            if started is None:
                raise StatementRefused(f"Schedule '{name}' has started, but its job is no longer there")
            return started, step.action is RunAction.CONTINUE

    async def drop(self, name: str, *, if_exists: bool) -> str:
        """Delete a schedule; return a notice about its job. Raises StatementRefused and StoreError."""
        async with self._turn:
            if if_exists and name not in self._schedules:
                return f"Schedule '{name}' does not exist"
            job = self._job_of(self._require(name))
            await self._save(name, None)
        if job is None:
            return ""
        if job.paused:
            return f"Job {job.id} stays paused; RESUME JOB {job.id} continues it, STOP JOB {job.id} ends it"
        return f"Job {job.id} continues, and no schedule pauses it"

    async def record_notification(self, name: str, at: datetime, target: str, text: str) -> None:
        """Record what became of a notification of the run that was due, and missed, at that time.

        Raises StoreError.
        """
        async with self._turn:
            schedule = self._schedules.get(name)
            if schedule is not None:
                await self._save(name, schedules.with_notification(schedule, at, target, text))

    def _require(self, name: str) -> Schedule:
        if self._refusal:
            raise StatementRefused(self._refusal)
        if name not in self._schedules:
            raise StatementRefused(schedules.no_such_schedule(name, self._schedules))
        return self._schedules[name]

    def _job_of(self, schedule: Schedule) -> Job | None:
        """Return the job of the last run if it has not ended."""
        return None if schedule.job is None else self._store.current(schedule.job)

    def _interrupted(self, schedule: Schedule) -> Job | None:
        """Return the job of the last run if a crash ended it and no job has recovered it since."""
        if schedule.job is None:
            return None
        try:
            job = self._store.get(schedule.job)
        except StoreError:
            return None  # the record is damaged, which is reported elsewhere
        if job is None or not lifecycle.was_interrupted(job):
            return None
        return None if self._store.history.known_recoveries([job.id]) else job
