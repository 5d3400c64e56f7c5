"""Schedules: their records, their times, and the decisions at each time, as pure functions.

The rules:
    a time that does not exist (daylight saving) is moved by the gap; one that exists twice runs once;
    times that passed without an owner, while the machine slept, or because the clock was set forward are
    skipped, in one record, and never run later; one of the last minute still runs, and records its delay;
    a run is skipped with the reason while the job of the previous run still runs, or if a user paused that job;
    UNTIL pauses the job at its next step, and the next run resumes it instead of submitting another;
    a job that was interrupted because its owner died is recovered once: by the next owner while the window is
    open, else by the next run;
    no time is run twice if the clock is set back, unless by more than a day: then the clock was wrong before,
    and waiting until it has caught up could take years; in both cases the schedule says so until its next run;
    a manual run does not move the next time, and a paused schedule records nothing.

Each decision is written before it is carried out: `starting` is a run whose job was about to be submitted.

`schedules.json` lies in the history's directory: a line with the number of schedules, then one line for each,
every line with its checksum first, as in the journal. The file is replaced as a whole. The owner copies damaged
bytes to the quarantine before that, and reports them; the intact schedules stay.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import msgspec
from msgspec.structs import replace

from jobtui.engine.job_log import is_paused_by_user
from jobtui.errors import DECODE_ERRORS, StatementRefused
from jobtui.files import read_regular
from jobtui.formatting import format_duration, format_local_time
from jobtui.history.format.codec import frame_line, split_lines
from jobtui.language.ast import Submit
from jobtui.language.schedule_times import (
    TimesError,
    check_times,
    describe_shift,
    next_time,
    parse_time_zone,
    window_end,
)
from jobtui.model import NO_OPTIONS, Job, JobOptions
from jobtui.os_errors import describe_os_error

FILE = "schedules.json"
FORMAT = 1
NO_OWNER = "No jobtui runs this profile, so no schedule will start"
GRACE = timedelta(seconds=60)
"""The longest delay of a run. A change of the owner takes seconds; cron's times are a minute apart."""
MAX_SET_BACK = timedelta(days=1)
"""If the clock was set back by more, it was wrong before, and the times since then are decided again."""
OWNER_GRACE = timedelta(minutes=10)
"""The time for the next owner to continue an interrupted job without a window: a restart takes seconds."""

MAX_CONTINUED = 5
"""How often a window's job is continued: one that crashes jobtui each time must not run forever."""
KEPT_RUNS = 100
MAX_COUNTED = 1000
"""The most skipped times that are counted: counting those of a year, every minute, would take seconds."""
NOT_OWNED = "no jobtui ran this profile at that time"
_NOT_BEGUN = "jobtui ended before the run had begun"
NOT_AWAKE = "jobtui was busy or suspended, the machine slept, or the clock was set forward"
LATE = timedelta(seconds=10)
"""The delay that a run records: the runner is at most a second late, on a busy machine a few."""


class RunOutcome(enum.StrEnum):
    """The outcome of a time of a schedule."""

    STARTING = "starting"
    SUBMITTED = "submitted"
    CONTINUED = "continued"
    SKIPPED = "skipped"
    FAILED = "failed"


MISSED = frozenset({RunOutcome.SKIPPED, RunOutcome.FAILED})
"""The outcomes of a run that did not take place."""


class ScheduleRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run of a schedule, or times that were skipped.

    Attributes:
        at: The time that was due, or at which a manual run was requested.
        job: The job that was submitted or resumed.
        end: When the run's window ends, None if it has none.
        last: The last of several skipped times.
        count: The number of skipped times; there may be more if it is `MAX_COUNTED`.
        after: The highest job id before the run: its job has a higher one.
        recovers: The interrupted job that the run continues as another one, None if there is none.
        reason: Why it was skipped or failed, or what is unusual about its time.
        notified: The results of the notifications that it did not take place, by target.
    """

    at: datetime
    outcome: RunOutcome
    job: int | None = None
    reason: str = ""
    end: datetime | None = None
    last: datetime | None = None
    count: int = 1
    after: int = 0
    by_hand: bool = False
    recovers: int | None = None
    notified: Mapping[str, str] = {}


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job that is submitted at regular times.

    Attributes:
        at: The cron expression, as typed.
        until: The time of day at which a run is paused, None if it runs to its end.
        timezone: The time zone of both, "" for that of the process that owns the profile.
        requested_by: The user and the host that created it.
        paused: Whether it submits nothing until it is resumed.
        next: The next time, None if it is paused.
        handled: The time up to which all times are decided.
        job: The job of the last run.
        held: Whether the window's end has paused that job, so that the next run resumes it.
        window_end: When that job will be paused, None if it will not.
        clock_note: How the clock was set back by more than a day since the last run, "" if it was not.
        runs: The newest runs, oldest first.
    """

    name: str
    at: str
    command: str
    space: str
    created: datetime
    handled: datetime
    options: JobOptions = NO_OPTIONS
    until: str | None = None
    timezone: str = ""
    requested_by: str = ""
    paused: bool = False
    next: datetime | None = None
    job: int | None = None
    held: bool = False
    window_end: datetime | None = None
    clock_note: str = ""
    runs: tuple[ScheduleRun, ...] = ()

    @property
    def statement(self) -> Submit:
        """The statement that each run executes."""
        return Submit(self.command, self.space, self.options)


class RunAction(enum.Enum):
    """The action for a schedule after a decision."""

    SUBMIT = "submit"
    CONTINUE = "continue"
    RECOVER = "recover"
    PAUSE = "pause"


class ScheduleStep(msgspec.Struct, frozen=True):
    """The schedule after a decision, to be written first, and the action that follows, None for none."""

    schedule: Schedule
    action: RunAction | None = None


# ---- times


def zone_of(schedule: Schedule) -> tzinfo | None:
    """Return a schedule's time zone; None, the machine's own, if it names none.

    Raises TimesError.
    """
    return parse_time_zone(schedule.timezone) if schedule.timezone else None


def upcoming_runs(
    schedule: Schedule, now: datetime, days: int, most: int
) -> list[tuple[datetime, datetime | None]]:
    """Return the times of the next days with the ends of their windows, at most `most` of them."""
    found: list[tuple[datetime, datetime | None]] = []
    at = schedule.next
    if at is None:
        return found
    zone = zone_of(schedule)
    while at is not None and at - now <= timedelta(days=days):
        found.append((at, window_end(schedule.until, at, zone, schedule.at)))
        if len(found) == most:
            break
        at = next_time(schedule.at, at, zone)
    return found


def find_times_problem(schedule: Schedule) -> str:
    """Return why the schedule's times cannot be used here, "" if they can: another jobtui may know more."""
    try:
        zone_of(schedule)
    except TimesError as error:
        return f"{error}; install the system's time zones, or the Python package tzdata"
    try:
        check_times(schedule.at)
        window_end(schedule.until, schedule.created, None)
    except TimesError as error:
        return str(error)
    return ""


# ---- decisions


def activate(schedule: Schedule, now: datetime) -> Schedule:
    """Return a schedule that was created or resumed now: no time that has passed is run.

    If the clock was set back meanwhile, neither is a time that was decided before.
    """
    handled = max(now, schedule.handled) if now >= schedule.handled - MAX_SET_BACK else now
    return replace(
        schedule, paused=False, handled=handled, next=next_time(schedule.at, handled, zone_of(schedule))
    )


def suspend(schedule: Schedule) -> Schedule:
    """Return the schedule paused. A window that is open still ends."""
    return replace(schedule, paused=True, next=None)


def advance(
    schedule: Schedule,
    now: datetime,
    job: Job | None,
    last_id: int = 0,
    interrupted: Job | None = None,
    absence: str = NOT_AWAKE,
) -> ScheduleStep:
    """Return the next decision; called again after each action, until a decision has no action.

    Args:
        schedule: The schedule as it is written.
        now: The time of the wall clock.
        job: The current version of `schedule.job`, None if it has ended.
        last_id: The highest id of a job.
        interrupted: `schedule.job` if a crash ended it and no job has recovered it since.
        absence: Why a time that has passed was not decided when it came.
    """
    step = end_window(schedule, now, job, interrupted)
    schedule = step.schedule
    if step.action is not None or schedule.paused:
        return step
    if now < schedule.handled - MAX_SET_BACK:
        note = f"the clock was set back from {format_local_time(schedule.handled)}"
        schedule = replace(activate(schedule, now), clock_note=note)
    if interrupted is not None and _may_continue(schedule, now, interrupted):
        run = ScheduleRun(now, RunOutcome.STARTING, end=schedule.window_end, after=last_id)
        return _begin(schedule, run, RunAction.RECOVER)
    if schedule.next is None or schedule.next > now:
        return ScheduleStep(schedule)
    submit = RunAction.SUBMIT if interrupted is None else RunAction.RECOVER
    return _decide_due(schedule, schedule.next, now, job, last_id, submit, absence)


def _may_continue(schedule: Schedule, now: datetime, interrupted: Job) -> bool:
    """Return whether an interrupted job is continued now, before the schedule's next time."""
    end = schedule.window_end
    if end is None and schedule.until is None and interrupted.stop is not None:
        end = interrupted.stop + OWNER_GRACE
    again = itertools.takewhile(
        lambda run: run.recovers is not None and run.end == schedule.window_end, reversed(schedule.runs)
    )
    return end is not None and now < end and sum(1 for _ in again) < MAX_CONTINUED


def end_window(
    schedule: Schedule, now: datetime, job: Job | None, interrupted: Job | None = None
) -> ScheduleStep:
    """Return whether the job of the last run must be paused now, because its window has ended."""
    if job is None:
        is_open = schedule.window_end is not None and now < schedule.window_end
        if not (interrupted and is_open) and (schedule.held or schedule.window_end is not None):
            schedule = replace(schedule, held=False, window_end=None)
    elif schedule.window_end is not None and now >= schedule.window_end:
        if job.paused or job.stopping:
            return ScheduleStep(replace(schedule, window_end=None))
        return ScheduleStep(replace(schedule, held=True), RunAction.PAUSE)
    elif schedule.held and is_paused_by_user(job):
        schedule = replace(schedule, held=False)  # resumed and paused again meanwhile, by a user
    return ScheduleStep(schedule)


def _decide_due(
    schedule: Schedule,
    first: datetime,
    now: datetime,
    job: Job | None,
    last_id: int,
    submit: RunAction,
    absence: str,
) -> ScheduleStep:
    zone = zone_of(schedule)
    due = first if first > now - GRACE else next_time(schedule.at, now - GRACE, zone)
    if due is not None and due > now:
        due = None
    if first <= now - GRACE:
        schedule = _with_run(schedule, _missed(schedule, first, now - GRACE, zone, absence))
    schedule = replace(schedule, handled=now, next=next_time(schedule.at, now, zone))
    if due is None:
        return ScheduleStep(schedule)
    note, schedule = _note(schedule, due, now, absence, zone), replace(schedule, clock_note="")
    end = window_end(schedule.until, due, zone, schedule.at)
    if end is not None and end <= now:
        return ScheduleStep(_skip(schedule, due, "its window had ended before it could begin", note))
    run = ScheduleRun(due, RunOutcome.STARTING, reason=note, end=end, after=last_id)
    if job is None:
        return _begin(schedule, run, submit)
    if not job.paused:
        working = replace(schedule, window_end=end, held=False)
        return ScheduleStep(_skip(working, due, f"job {job.id} of the previous run is still running", note))
    if schedule.held:
        return _begin(schedule, run, RunAction.CONTINUE)
    paused = f"job {job.id} is paused; RESUME JOB {job.id} continues it"
    return ScheduleStep(_skip(schedule, due, paused, note))


def run_now(
    schedule: Schedule, now: datetime, job: Job | None, last_id: int, interrupted: Job | None = None
) -> ScheduleStep:
    """Return the decision for a manual run.

    Raises StatementRefused while the previous run's job works.
    """
    end = window_end(schedule.until, now, zone_of(schedule))
    run = ScheduleRun(now, RunOutcome.STARTING, end=end, after=last_id, by_hand=True)
    if job is None:
        submit = RunAction.SUBMIT if interrupted is None else RunAction.RECOVER
        return _begin(schedule, run, submit)
    if not job.paused or job.stopping:
        raise StatementRefused(f"Job {job.id} of schedule '{schedule.name}' is still running")
    return _begin(schedule, run, RunAction.CONTINUE)


def _begin(schedule: Schedule, run: ScheduleRun, action: RunAction) -> ScheduleStep:
    if action is RunAction.CONTINUE:
        run = replace(run, job=schedule.job)
    elif action is RunAction.RECOVER:
        why = f"continues job {schedule.job}, which was interrupted"
        run = replace(run, recovers=schedule.job, reason=_joined(why, run.reason))
    return ScheduleStep(_with_run(schedule, run), action)


def record_start(schedule: Schedule, job_id: int) -> Schedule:
    """Return the schedule after its run has begun, with that job."""
    run = schedule.runs[-1]
    is_new = run.job is None and run.recovers is None
    outcome = RunOutcome.SUBMITTED if is_new else RunOutcome.CONTINUED
    run = replace(run, outcome=outcome, job=job_id)
    return replace(schedule, runs=(*schedule.runs[:-1], run), job=job_id, held=False, window_end=run.end)


def record_failed_start(schedule: Schedule, reason: str) -> Schedule:
    """Return the schedule after its run could not begin."""
    run = replace(schedule.runs[-1], outcome=RunOutcome.FAILED, reason=reason)
    return replace(schedule, runs=(*schedule.runs[:-1], run))


def is_starting(schedule: Schedule) -> bool:
    """Return whether the last run was decided, and its result is not written yet."""
    return bool(schedule.runs) and schedule.runs[-1].outcome is RunOutcome.STARTING


def resolve_start(schedule: Schedule, newer: Sequence[Job], job: Job | None) -> Schedule:
    """Return the schedule after its owner ended while a run was starting.

    Args:
        schedule: The schedule as it was left, starting.
        newer: The jobs with higher ids than the run's `after`.
        job: The current version of the job to resume, None if it has ended or if there is none.
    """
    run = schedule.runs[-1]
    if run.job is not None:
        resumed = job is None or not job.paused
        return record_start(schedule, run.job) if resumed else record_failed_start(schedule, _NOT_BEGUN)
    found = next((each.id for each in newer if each.schedule == schedule.name), None)
    return record_failed_start(schedule, _NOT_BEGUN) if found is None else record_start(schedule, found)


def _missed(
    schedule: Schedule, first: datetime, until: datetime, zone: tzinfo | None, absence: str
) -> ScheduleRun:
    """Return one record of all times from `first` to `until`."""
    last, count = first, 1
    while count < MAX_COUNTED:
        following = next_time(schedule.at, last, zone)
        if following is None or following > until:
            break
        last, count = following, count + 1
    return ScheduleRun(first, RunOutcome.SKIPPED, reason=absence, last=last if count > 1 else None, count=count)


def _skip(schedule: Schedule, at: datetime, reason: str, note: str) -> Schedule:
    return _with_run(schedule, ScheduleRun(at, RunOutcome.SKIPPED, reason=_joined(reason, note)))


def _note(schedule: Schedule, due: datetime, now: datetime, absence: str, zone: tzinfo | None) -> str:
    """Return what is unusual about a time that is decided now, "" for nothing."""
    late = f"{format_duration((now - due).total_seconds())} late: {absence}"
    shift = describe_shift(schedule.at, due, zone)
    return _joined(schedule.clock_note, shift, late if now - due >= LATE else "")


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _with_run(schedule: Schedule, run: ScheduleRun) -> Schedule:
    return replace(schedule, runs=(*schedule.runs, run)[-KEPT_RUNS:])


def next_decision_time(schedule: Schedule) -> datetime | None:
    """Return the time of the next decision for the schedule, None if there is none."""
    moments = [moment for moment in (schedule.next, schedule.window_end) if moment is not None]
    return min(moments, default=None)


# ---- the file

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Schedule).decode
LineCache = dict[str, tuple[Schedule, bytes]]


class _SchedulesHeader(msgspec.Struct, frozen=True):
    format: int
    schedules: int


class LoadedSchedules(msgspec.Struct, frozen=True):
    """The contents of the file.

    Attributes:
        damage: A description of the damage, "" if there is none; the loaded schedules are intact.
        warning: Which schedules are paused because their times or zones are unknown here, "" if none is.
        refusal: Why the file must not be replaced, "" if it may be.
    """

    schedules: Mapping[str, Schedule] = {}
    damage: str = ""
    refusal: str = ""
    data: bytes = b""
    warning: str = ""


def load_schedules(directory: Path) -> LoadedSchedules:
    """Return the schedules of a history's directory; none if it has no such file."""
    try:
        data = read_regular(directory / FILE)
    except FileNotFoundError:
        return LoadedSchedules()
    except OSError as error:
        return LoadedSchedules(refusal=f"The schedules cannot be read: {describe_os_error(error)}")
    header: _SchedulesHeader | None = None
    found: dict[str, Schedule] = {}
    warnings: list[str] = []
    damaged = 0
    for number, (_, line, whole) in enumerate(split_lines(data)):
        try:
            if number == 0 and whole:
                header = msgspec.json.decode(line, type=_SchedulesHeader)
            elif whole:
                schedule = _decode(line)
                if problem := find_times_problem(schedule):
                    schedule = suspend(schedule)
                    warnings.append(f"Schedule '{schedule.name}' is paused: {problem}")
                found[schedule.name] = schedule
            else:
                damaged += 1
        except DECODE_ERRORS:
            damaged += 1
        if header is not None and header.format > FORMAT:
            return LoadedSchedules(refusal="The schedules were written by a newer jobtui: use that one")
    missing = max(damaged, 1 if header is None else header.schedules - len(found))
    damage = f"{missing} of its lines cannot be read" if missing else ""
    return LoadedSchedules(found, damage, "", data, "; ".join(warnings))


def encode_schedules(found: Iterable[Schedule], known: LineCache | None = None) -> bytes:
    """Return the file's contents; `known` has the lines of schedules that were written before."""
    known = {} if known is None else known
    lines = []
    for schedule in found:
        if schedule.name not in known or known[schedule.name][0] is not schedule:
            known[schedule.name] = schedule, frame_line(_encode(schedule))
        lines.append(known[schedule.name][1])
    return frame_line(_encode(_SchedulesHeader(FORMAT, len(lines)))) + b"".join(lines)
