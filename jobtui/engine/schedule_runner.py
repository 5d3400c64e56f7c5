"""The runner of a profile's schedules: it carries out decisions, and the statements about schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from jobtui.clock import Clock, wait_all, wait_first
from jobtui.engine import lifecycle, schedules
from jobtui.engine.control import JobControl, RecoverRequest, SubmittedJobs
from jobtui.engine.events import EventBus
from jobtui.engine.job_log import describe_next_run, describe_window_end, is_paused_by_user
from jobtui.engine.jobs import JobStore, Transaction
from jobtui.engine.scheduler import JobAdmission, RunPolicy
from jobtui.engine.schedules import FILE, RunAction, Schedule, ScheduleRun, ScheduleStep
from jobtui.errors import StatementRefused, StorageError, StoreError
from jobtui.files import write_atomically
from jobtui.formatting import format_local_time
from jobtui.language.ast import CreateSchedule, Submit
from jobtui.language.schedule_times import find_clock_problem, parse_time_of_day, window_end
from jobtui.model import Job
from jobtui.os_errors import describe_os_error
from jobtui.suggest import near_miss_hint

CHECK_SECONDS = 30.0  # at most between two checks, since the wall clock may be set at any time
SUBMIT_SECONDS = 60.0  # to wait for a cluster that does not answer: the other schedules wait meanwhile


class ActionEnd(msgspec.Struct, frozen=True):
    """A schedule after its action, whether that was carried out, and a notice for the user, "" for none."""

    schedule: Schedule
    is_done: bool
    notice: str = ""


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
        self._lines: schedules.LineCache = {}
        # the jobs that have ended for good; their records are not read from disk at each check
        self._complete: set[int] = set()
        self._absence = schedules.NOT_OWNED  # until this process has checked the schedules once
        self._refusal = ""
        self._write_error = ""
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self.on_run: Callable[[Schedule, ScheduleRun], None] = lambda _schedule, _run: None

    async def take_over(self) -> None:
        """Load the schedules, and pause the jobs whose windows ended while no owner was alive."""
        loaded = schedules.load_schedules(self._directory)
        self._schedules, self._refusal = dict(loaded.schedules), loaded.refusal
        for problem in filter(None, (loaded.refusal, loaded.warning)):
            self._events.notify(problem)
        if loaded.damage:
            kept = self._store.history.keep_damaged(FILE, loaded.damage, loaded.data)
            if kept:
                self._events.notify(
                    f"{FILE}: {loaded.damage}; SHOW SCHEDULES lists what is left; the file is kept in {kept}"
                )
                try:
                    await self._rewrite(self._schedules)
                except StoreError as error:
                    self._events.notify(str(error))
            else:
                # without a copy, replacing the file would lose data that a repair could still read
                self._refusal = f"The schedules cannot be changed: {FILE} is damaged, and cannot be copied"
                self._events.notify(self._refusal)
        left = self._resolve_starts(loaded.schedules.values())
        await self._carry_out(
            [
                schedules.end_window(each, self._clock.now(), self._job_of(each), self._interrupted(each))
                for each in left
            ]
        )

    def _resolve_starts(self, found: Iterable[Schedule]) -> list[Schedule]:
        """Return the schedules, with the results of runs that were starting when the last owner ended."""
        found = list(found)
        first = min((each.runs[-1].after + 1 for each in found if schedules.is_starting(each)), default=None)
        if first is None:
            return found
        newer: dict[str, list[Job]] = {}
        for job_id in range(first, self._store.history.last_id() + 1):
            job = self._store.get(job_id)
            if job is not None and job.schedule:
                newer.setdefault(job.schedule, []).append(job)
        return [self._resolve_start(each, newer) if schedules.is_starting(each) else each for each in found]

    def _resolve_start(self, schedule: Schedule, newer: Mapping[str, Sequence[Job]]) -> Schedule:
        run = schedule.runs[-1]
        jobs = [job for job in newer.get(schedule.name, ()) if job.id > run.after]
        return schedules.resolve_start(
            schedule, jobs, None if run.job is None else self._store.current(run.job)
        )

    async def run(self) -> None:
        """Check the schedules whenever one of them is due.

        An engine without schedules is never woken.
        """
        while True:
            self._changed.clear()
            async with self._lock:
                if self._admission.policy is not RunPolicy.NONE:
                    await self._check()
            now = self._clock.now()
            moments = [schedules.next_decision_time(schedule) for schedule in self._schedules.values()]
            due = [moment for moment in moments if moment is not None]
            if due or (self._schedules and find_clock_problem(now)):
                # without a time to wait for, the clock is checked: it may be set right
                left = (min(due) - now).total_seconds() if due else CHECK_SECONDS
                seconds = CHECK_SECONDS if self._write_error else min(CHECK_SECONDS, max(left, 1.0))
                await wait_first(self._clock.sleep(seconds), self._changed.wait())
            else:
                await self._changed.wait()

    async def _check(self) -> None:
        """Decide and act until nothing is left to do now.

        The decisions of all schedules are written together: the file is replaced as a whole, and a thousand
        schedules may have the same time.
        """
        names = list(self._schedules)
        while names:
            last_id = self._store.history.last_id()
            now = self._clock.now()
            found = [self._schedules[name] for name in names]
            names = await self._carry_out(
                [
                    schedules.advance(
                        each, now, self._job_of(each), last_id, self._interrupted(each), self._absence
                    )
                    for each in found
                ]
            )
            self._explain_missed_runs(found)
        self._absence = schedules.NOT_AWAKE

    async def _carry_out(self, steps: Sequence[ScheduleStep], requested_by: str = "") -> list[str]:
        """Write decisions, then act; return the names of the schedules that have acted.

        `requested_by`: the user who runs a schedule by hand, "" if it runs by itself.
        """
        if not await self._try_save([step.schedule for step in steps]):
            return []
        acting = [step for step in steps if step.action is not None]
        ends = await asyncio.gather(*(self._act(step, requested_by) for step in acting))
        await self._try_save([end.schedule for end in ends])
        for notice in filter(None, (end.notice for end in ends)):
            self._events.notify(notice)
        return [end.schedule.name for end in ends if end.is_done]

    async def _act(self, step: ScheduleStep, requested_by: str) -> ActionEnd:
        schedule, notice = step.schedule, ""
        requested_by = requested_by or f"schedule {schedule.name}"
        try:
            match step.action:
                case RunAction.PAUSE if schedule.job is not None:
                    now = self._clock.now()
                    end, start = schedule.window_end or now, schedule.next
                    because = describe_window_end(schedule.job, end, start, now)
                    await self._control.pause([schedule.job], because, requested_by=requested_by)
                case RunAction.CONTINUE if schedule.job is not None:
                    await self._control.resume([schedule.job], requested_by=requested_by)
                    schedule = schedules.record_start(schedule, schedule.job)
                case RunAction.RECOVER if schedule.job is not None:
                    how = RecoverRequest(failed_only=True, schedule=schedule.name)
                    jobs = (await self._in_time(self._control.recover([schedule.job], how))).jobs
                    notice = (
                        f"Schedule '{schedule.name}' continues job {schedule.job}, which was interrupted, as "
                        f"job {jobs[0].id}"
                    )
                    schedule = schedules.record_start(schedule, jobs[0].id)
                case RunAction.SUBMIT:
                    jobs = (await self._in_time(self._submit(schedule))).jobs
                    schedule = schedules.record_start(schedule, jobs[0].id)
        except (StatementRefused, StorageError, StoreError, OSError) as error:
            return self._after_failure(step, error, str(error))
        except Exception as error:  # reported: a defect in one schedule must not end the others
            return self._after_failure(step, error, f"{type(error).__name__}: {error}")
        return ActionEnd(schedule, True, notice)

    async def _in_time(self, submit: Awaitable[SubmittedJobs]) -> SubmittedJobs:
        submitting = asyncio.ensure_future(submit)
        if not await wait_all(self._clock, SUBMIT_SECONDS, submitting):
            submitting.cancel()
            raise StatementRefused(f"the storage did not answer within {SUBMIT_SECONDS:g} s")
        return submitting.result()

    def _after_failure(self, step: ScheduleStep, error: Exception, why: str) -> ActionEnd:
        schedule = step.schedule
        if step.action is RunAction.RECOVER:
            schedule = msgspec.structs.replace(schedule, job=None)  # the next run starts over
        if step.action is not RunAction.PAUSE:
            notice = f"Schedule '{schedule.name}' could not start its job: {why}"
            return ActionEnd(schedules.record_failed_start(schedule, why), False, notice)
        if isinstance(error, StatementRefused) and self._job_of(schedule) is not None:
            # a refused request would be refused again; one that a full disk rejected is repeated later
            schedule = msgspec.structs.replace(schedule, held=False, window_end=None)
            return ActionEnd(schedule, False, f"Schedule '{schedule.name}' could not pause its job: {why}")
        return ActionEnd(schedule, False)

    # ---- the file

    async def _try_save(self, after: Sequence[Schedule]) -> bool:
        """Write the new versions of schedules; if the disk refuses them, notify the user once."""
        changed = [each for each in after if each != self._schedules.get(each.name)]
        if not changed:
            return True
        try:
            await self._save(*changed)
        except StoreError as error:
            if str(error) != self._write_error:
                self._write_error = str(error)
                self._events.notify(str(error))
            # An action that was carried out must be remembered, or it would be carried out again. A run that
            # could not be written as starting has not begun, and is decided again at the next check.
            self._schedules |= {each.name: each for each in changed if not schedules.is_starting(each)}
            return False
        self._write_error = ""
        return True

    async def _save(self, *changed: Schedule) -> None:
        """Write the file with these schedules, changed or new. Raises StoreError."""
        await self._write({**self._schedules, **{each.name: each for each in changed}})
        for schedule in changed:
            for run in schedule.runs:
                self.on_run(schedule, run)

    async def _write(self, after: dict[str, Schedule]) -> None:
        if self._refusal:
            raise StoreError(self._refusal)
        await self._rewrite(after)
        self._schedules = after
        self._changed.set()

    async def _rewrite(self, found: Mapping[str, Schedule]) -> None:
        """Write the file with these schedules alone. Raises StoreError."""
        try:
            await asyncio.to_thread(self._replace_file, list(found.values()))
        except OSError as error:
            raise StoreError(f"The schedules cannot be written: {describe_os_error(error)}") from None

    def _replace_file(self, found: Sequence[Schedule]) -> None:
        """Replace the file; on a thread, one after the other."""
        write_atomically(self._directory / FILE, schedules.encode_schedules(found, self._lines))

    # ---- statements

    def all(self) -> tuple[Schedule, ...]:
        """Return all schedules, by name."""
        return tuple(self._schedules[name] for name in sorted(self._schedules))

    def windows(self, statement: Submit) -> Mapping[str, float]:
        """Return the seconds of the next run of each schedule that runs the statement until a time, by name."""
        found: dict[str, float] = {}
        for schedule in self.all():
            start = schedule.next
            if schedule.until is None or start is None or schedule.statement != statement:
                continue
            end = window_end(schedule.until, start, schedules.zone_of(schedule), schedule.at)
            if end is not None:
                found[schedule.name] = (end - start).total_seconds()
        return found

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
        _require_clock(now)
        async with self._lock:
            if statement.name in self._schedules:
                if statement.if_not_exists:
                    return f"Schedule '{statement.name}' exists already"
                raise StatementRefused(
                    f"Schedule '{statement.name}' exists already; DROP SCHEDULE {statement.name} deletes it"
                )
            schedule = Schedule(
                name=statement.name,
                at=" ".join(statement.at.split()),
                command=statement.statement.command,
                space=space,
                created=now,
                handled=now,
                options=statement.statement.options,
                until=None if statement.until is None else f"{parse_time_of_day(statement.until):%H:%M}",
                timezone=statement.timezone or "",
                requested_by=requested_by,
            )
            schedule = schedules.activate(schedule, now)
            await self._save(schedule)
        return _next_window(schedule)

    async def pause(self, name: str, requested_by: str = "") -> None:
        """Pause a schedule: it submits nothing until it is resumed.

        Raises StatementRefused and StoreError.
        """
        async with self._lock:
            schedule = self._require(name)
            if schedule.paused:
                raise StatementRefused(f"Schedule '{name}' is already paused")
            await self._save(schedules.suspend(schedule))
            self._explain_pause(self._schedules[name], "was paused", requested_by)

    async def resume(self, name: str, requested_by: str = "") -> None:
        """Resume a schedule. Raises StatementRefused and StoreError."""
        async with self._lock:
            schedule = self._require(name)
            if not schedule.paused:
                raise StatementRefused(f"Schedule '{name}' is not paused")
            _require_times(schedule)
            now = self._clock.now()
            _require_clock(now)
            await self._save(schedules.activate(schedule, now))
            self._explain_pause(self._schedules[name], "was resumed", requested_by)

    async def run_now(self, name: str, requested_by: str = "") -> tuple[Job, bool]:
        """Run a schedule now; return its job, and whether it is the previous one, resumed.

        Raises StatementRefused, StorageError and StoreError.
        """
        async with self._lock:
            schedule = self._require(name)
            _require_times(schedule)
            now = self._clock.now()
            _require_clock(now)
            last_id = self._store.history.last_id()
            job, interrupted = self._job_of(schedule), self._interrupted(schedule)
            step = schedules.run_now(schedule, now, job, last_id, interrupted)
            await self._save(step.schedule)
            if not await self._carry_out([step], requested_by):
                raise StatementRefused(self._schedules[name].runs[-1].reason)
            job_id = self._schedules[name].job
            started = None if job_id is None else self._store.get(job_id)
            if started is None:
                raise StatementRefused(f"Schedule '{name}' has started, but its job is no longer there")
            return started, step.action is RunAction.CONTINUE

    async def drop(self, name: str, *, if_exists: bool, requested_by: str = "") -> str:
        """Delete a schedule; return a notice about its job.

        Raises StatementRefused and StoreError.
        """
        async with self._lock:
            if if_exists and name not in self._schedules:
                return f"Schedule '{name}' does not exist"
            schedule = self._require(name)
            job = self._job_of(schedule)
            await self._write({each: found for each, found in self._schedules.items() if each != name})
            self._lines.pop(name, None)
            self._explain_pause(schedules.suspend(schedule), "was dropped", requested_by)
        if job is None:
            return ""
        if job.paused:
            return f"Job {job.id} stays paused; RESUME JOB {job.id} continues it, STOP JOB {job.id} ends it"
        return f"Job {job.id} continues, and no schedule pauses it"

    def _explain_missed_runs(self, before: Sequence[Schedule]) -> None:
        """Record with each paused job what continues it now, if its run did not take place."""
        for each in before:
            after = self._schedules[each.name]
            if each.held and after.held and each.next != after.next:
                self._explain_pause(after, "did not continue it when it was due", "")

    def _explain_pause(self, schedule: Schedule, change: str, requested_by: str) -> None:
        """Record with a job that the end of its window paused what continues it now."""
        job_id = schedule.job
        if job_id is None or not schedule.held:
            return
        next_run = describe_next_run(job_id, schedule.next, self._clock.now())
        reason = f"schedule '{schedule.name}' {change}; {next_run}"

        def edit(transaction: Transaction) -> Sequence[Job]:
            job = transaction.get(job_id)
            if job is None or not job.paused or is_paused_by_user(job):
                return ()
            return (lifecycle.explain_pause(job, self._clock.now(), reason, requested_by),)

        # the schedule has changed already: a full disk does not undo it
        self._store.update_nowait(edit, lambda _jobs, _error: None, must_persist=True)

    async def record_notification(self, name: str, at: datetime, target: str, text: str) -> None:
        """Record the result of a notification of the run that was missed at that time.

        If the disk rejects it, this process remembers it, and writes it with the next change of a schedule.
        """
        async with self._lock:
            schedule = self._schedules.get(name)
            if schedule is not None:
                await self._try_save([_with_notification(schedule, at, target, text)])

    def _require(self, name: str) -> Schedule:
        if self._refusal:
            raise StatementRefused(self._refusal)
        if name not in self._schedules:
            raise StatementRefused(_no_such_schedule(name, self._schedules))
        return self._schedules[name]

    def _job_of(self, schedule: Schedule) -> Job | None:
        """Return the job of the last run if it has not ended."""
        return None if schedule.job is None else self._store.current(schedule.job)

    def _interrupted(self, schedule: Schedule) -> Job | None:
        """Return the job of the last run if a crash ended it and no job has recovered it since."""
        job_id = schedule.job
        if job_id is None or job_id in self._complete or self._store.current(job_id) is not None:
            return None
        try:
            job = self._store.get(job_id)
            if (
                job is not None
                and lifecycle.was_interrupted(job)
                and not self._store.history.recovered_as(job_id)
            ):
                return job
        except StoreError:
            return None  # the record is damaged, which is reported elsewhere
        self._complete.add(job_id)
        return None


def _next_window(schedule: Schedule) -> str:
    """Return a notice with the next time of a schedule: a window may be longer than its author expects."""
    start = schedule.next
    if start is None:
        return f"Schedule '{schedule.name}' never runs: there is no such time"
    end = window_end(schedule.until, start, schedules.zone_of(schedule), schedule.at)
    until = "" if end is None else f", until {format_local_time(end)}"
    return f"Schedule '{schedule.name}' runs next at {format_local_time(start)}{until}"


def _require_times(schedule: Schedule) -> None:
    """Raise StatementRefused if the schedule's times or its time zone are unknown here."""
    if problem := schedules.find_times_problem(schedule):
        raise StatementRefused(problem)


def _require_clock(now: datetime) -> None:
    """Raise StatementRefused if the clock is so wrong that no times can be computed."""
    if problem := find_clock_problem(now):
        raise StatementRefused(problem)


def _no_such_schedule(name: str, known: Iterable[str]) -> str:
    """Return `Schedule 'nigthly' does not exist; did you mean 'nightly'?`."""
    return f"Schedule '{name}' does not exist{near_miss_hint(name, known)}"


def _with_notification(schedule: Schedule, at: datetime, target: str, text: str) -> Schedule:
    """Return the schedule after a notification of the run that was missed at that time."""
    runs = (
        msgspec.structs.replace(run, notified={**run.notified, target: text})
        if run.outcome in schedules.MISSED and (run.last or run.at) == at
        else run
        for run in schedule.runs
    )
    return msgspec.structs.replace(schedule, runs=tuple(runs))
