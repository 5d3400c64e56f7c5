"""Answers that do not need an engine: parsed texts, SHOW statements, and the tables of all results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import overload

from typing_extensions import override

from jobtui.engine import lifecycle
from jobtui.engine.client import ExecuteResult, Failure, SpaceOverview
from jobtui.engine.job_log import all_requests, describe_pause, describe_stop, last_requests, paused_seconds
from jobtui.engine.schedules import (
    MAX_COUNTED,
    MAX_SET_BACK,
    RunOutcome,
    Schedule,
    ScheduleRun,
    upcoming_runs,
    zone_of,
)
from jobtui.errors import StatementRefused
from jobtui.formatting import format_bytes, format_count, format_ids, format_local_time, to_local
from jobtui.history import History, Query, QueryResult, Sort
from jobtui.language.ast import Parsed, ShowJob, ShowJobs, Statement, option_values, unparse
from jobtui.language.results import Result, Row, RowListing
from jobtui.language.schedule_times import describe_shift, find_clock_problem, next_time
from jobtui.model import Job, JobCommand, Status, Task
from jobtui.storage.base import Host
from jobtui.suggest import near_miss_hint

NEW_JOB = ("New Job Id",)
JOBS = ("Job Id", "Command", "Status", "Start Time", "Stop Time")
JOB = ("Job Id(TaskId)", "Command(Dest)", "Status", "Start Time", "Stop Time")
SPACES = ("Name", "Hosts", "Size", "In Memory", "To Compact")
HOSTS = ("Host", "Status", "Spaces", "Size", "Free")
SCHEDULES = ("Schedule", "At", "Until", "Statement", "Next", "Last", "Result", "State")

_PAGE = 500
_DAYS_SHOWN = 7
_MAX_UPCOMING = 200
"""The most times of a schedule's week that are shown."""
_MAX_TIMES = 4000
"""The most times of all schedules that are computed for an answer, each in a tenth of a millisecond."""
_MAX_RUNS = 2000
"""The most runs of all schedules in an answer: the job of each may be read from disk."""


def parse_or_answer(text: str) -> list[Parsed] | ExecuteResult:
    """Return the text's statements, or the result with the reason why it does not parse."""
    # loads pyparsing, which a dashboard without a typed text does not need
    from jobtui.language import StatementError, parse_with_spans

    try:
        return parse_with_spans(text)
    except StatementError as error:
        failed = Failure(text.strip(), error.message, error.line, error.column, syntax=True, caret=str(error))
        return ExecuteResult(failure=failed)


def typed_text(text: str, parsed: Parsed) -> str:
    """Return the statement as it was typed."""
    return text[slice(*parsed.span)].strip()


def statement_failure(text: str, parsed: Parsed, message: str) -> Failure:
    """Return the failure of one statement of the text."""
    from jobtui.language import line_and_column

    line, column = line_and_column(text, parsed.span[0])
    return Failure(typed_text(text, parsed), message, line, column)


def answer_show(
    statement: Statement,
    typed: str,
    history: History,
    find_job: Callable[[int], Job | None],
    spaces: Collection[str],
    order: Sort = Sort.ID,
) -> Result:
    """Answer SHOW JOBS, in that order, and SHOW JOB. Raises StatementRefused."""
    if isinstance(statement, ShowJobs):
        return _show_jobs(statement, typed, history, spaces, order)
    if isinstance(statement, ShowJob):
        job = require_job(find_job(statement.job), statement.job, history)
        return job_result(typed, job)
    raise StatementRefused(f"{type(statement).__name__} cannot be carried out here")


def no_such_space(name: str, spaces: Collection[str]) -> str:
    """Return `Space 'nbaa' does not exist; did you mean 'nba'?`."""
    return f"Space '{name}' does not exist{near_miss_hint(name, spaces)}"


def jobs_as_text(ids: Sequence[int]) -> str:
    """Return `Job 3`, or `2 jobs (3, 5)`."""
    return f"Job {ids[0]}" if len(ids) == 1 else f"{format_count(len(ids), 'job')} ({format_ids(ids)})"


def require_archived(job_id: int, history: History) -> None:
    """Check that a job is archived. Raises StatementRefused."""
    if not history.is_archived(job_id):
        exists = history.get(job_id) is not None
        raise StatementRefused(f"Job {job_id} is not archived" if exists else f"Job {job_id} does not exist")


def require_stoppable(job: Job | None, job_id: int, history: History) -> Job:
    """Return the job if it can be asked to stop. Raises StatementRefused."""
    job = require_job(job, job_id, history)
    if job.status.ended:
        raise StatementRefused(f"Job {job_id} has already {job.status}")
    if job.stopping:
        raise StatementRefused(f"Job {job_id} is already stopping")
    return job


def require_pausable(job: Job | None, job_id: int, history: History, *, now: bool = False) -> Job:
    """Return the job if it can be paused; with `now`, also if its pause waits for work that can be canceled.

    Raises StatementRefused.
    """
    job = require_stoppable(job, job_id, history)
    if job.paused and not (now and any(task.status is Status.RUNNING for task in job.tasks)):
        raise StatementRefused(f"Job {job_id} is already paused")
    return job


def require_paused(job: Job | None, job_id: int, history: History) -> Job:
    """Return the job if it is paused. Raises StatementRefused."""
    job = require_stoppable(job, job_id, history)
    if not job.paused:
        raise StatementRefused(f"Job {job_id} is not paused")
    return job


def require_recoverable(job: Job | None, job_id: int, history: History) -> Job:
    """Return the job if it has ended, so that it can be run again. Raises StatementRefused."""
    job = require_job(job, job_id, history)
    if job.status is Status.QUEUE:
        raise StatementRefused(f"Job {job_id} is still queued; STOP JOB {job_id} first")
    if job.status is Status.RUNNING:
        if job.origin is not None and job.command in (JobCommand.FLUSH, JobCommand.COMPACT):
            # NebulaGraph refuses to stop these since 3.3; older versions only pretend to stop them
            raise StatementRefused(f"Job {job_id} is still running on the cluster: wait until it has ended")
        raise StatementRefused(f"Job {job_id} is still running; STOP JOB {job_id} first")
    return job


def require_job(job: Job | None, job_id: int, history: History) -> Job:
    """Return the job if it exists and is not archived. Raises StatementRefused."""
    if job is None:
        archived = history.is_archived(job_id)
        raise StatementRefused(f"Job {job_id} is archived" if archived else f"Job {job_id} does not exist")
    return job


def _show_jobs(
    statement: ShowJobs, typed: str, history: History, spaces: Collection[str], order: Sort
) -> Result:
    if statement.space is not None:
        known = {*spaces, *history.spaces()}
        if statement.space not in known:
            raise StatementRefused(no_such_space(statement.space, known))
    view = history.query(
        Query(
            statuses=frozenset({Status(statement.status)}) if statement.status else frozenset(),
            spaces=frozenset({statement.space}) if statement.space is not None else frozenset(),
            archived=statement.archived,
            sort=order,
        )
    )
    return jobs_result(typed, view, statement.limit)


def new_jobs_result(statement: str, jobs: Sequence[Job], notice: str = "") -> Result:
    """Return a row for each job that was queued."""
    rows = tuple(Row((str(job.id),), {"New Job Id": job.id}) for job in jobs)
    return Result(statement, NEW_JOB, rows, jobs=tuple(job.id for job in jobs), notice=notice)


def count_result(statement: str, word: str, verb: str, jobs: int, tasks: int, notice: str = "") -> Result:
    """Return `stop 1 jobs 2 tasks`, in a column `STOP Result`."""
    column = f"{word} Result"
    text = f"{verb} {jobs} jobs {tasks} tasks"
    return Result(
        statement, (column,), (Row((text,), {column: text, "jobs": jobs, "tasks": tasks}),), notice=notice
    )


def job_result(statement: str, job: Job) -> Result:
    """Return a row for a job and one for each of its tasks."""
    row = _job_row(job, JOB[0], JOB[1])
    paused = paused_seconds(job, datetime.now(UTC))
    values = {
        "paused_seconds": round(paused, 3),
        "requests": all_requests(job),
        # not in the rows of SHOW JOBS, which are read from the history: it does not have the limits
        "write_limit": job.write_limit,
        "limited_by": job.limited_by,
    }
    row = Row(row.cells, {**row.values, **values})
    rows = [row, *(_task_row(job, task) for task in job.tasks)]
    # the columns are those of NebulaGraph, which has none for the reason
    notice = _describe_reason(job) or lifecycle.describe_deferrals(job)
    return Result(statement, JOB, tuple(rows), notice=notice)


def _describe_reason(job: Job) -> str:
    """Return why the job failed, stopped, is paused or makes no progress, "" if unknown."""
    if not job.reason:
        request = describe_pause(job) or describe_stop(job)
        return f"Job {job.id} ({job.label}) {request}" if request else ""
    verb = f"{job.status}: " if job.status.ended else ""  # otherwise the reason says what it waits for
    return f"Job {job.id} ({job.label}) {verb}{job.reason}"


def jobs_result(statement: str, view: QueryResult, limit: int | None) -> Result:
    """Return the view's jobs, oldest first; `limit` keeps the newest.

    Rows are read only when used.
    """
    return Result(statement, JOBS, JobListing(view, 0 if limit is None else max(0, len(view) - limit)))


def spaces_result(statement: str, overviews: Iterable[SpaceOverview]) -> Result:
    """Return a row for each space, with its sizes."""
    rows = []
    for overview in overviews:
        cells = (
            overview.space.name,
            str(len(overview.space.hosts)),
            format_bytes(overview.size),
            format_bytes(overview.memory),
            format_bytes(overview.pending),
        )
        values = {
            "Name": overview.space.name,
            "Hosts": list(overview.space.hosts),
            "Size": overview.size,
            "In Memory": overview.memory,
            "To Compact": overview.pending,
            "adopted": overview.space.adopted,
        }
        rows.append(Row(cells, values))
    return Result(statement, SPACES, tuple(rows))


def hosts_result(statement: str, hosts: Iterable[Host]) -> Result:
    """Return a row for each storage host, with its status."""
    rows = []
    for host in hosts:
        status = host.state
        cells = (host.name, status, str(host.spaces), format_bytes(host.size), format_bytes(host.free))
        values = {
            "Host": host.name,
            "Status": status,
            "Spaces": host.spaces,
            "Size": host.size,
            "Free": host.free,
            "reason": host.detail,
        }
        rows.append(Row(cells, values))
    return Result(statement, HOSTS, tuple(rows))


def schedules_result(
    statement: str,
    found: Iterable[Schedule],
    find_job: Callable[[int], Job | None],
    now: datetime,
    notice: str = "",
) -> Result:
    """Return a row for each schedule, with its next time, the result of its last run, and what is unusual.

    If there are many, each has fewer runs and fewer times to come: the engine does nothing else meanwhile.
    """
    rows = []
    found = list(found)
    most_runs = max(1, _MAX_RUNS // max(1, len(found)))
    most_times = max(1, min(_MAX_UPCOMING, _MAX_TIMES // max(1, len(found))))
    for schedule in found:
        run = schedule.runs[-1] if schedule.runs else None
        last = None if run is None else run.last or run.at
        note, upcoming = _describe_times(schedule, now), upcoming_runs(schedule, now, _DAYS_SHOWN, most_times)
        result = "; ".join(filter(None, ("" if run is None else _describe_run(run, find_job), note)))
        state = "paused" if schedule.paused else "active"
        text = unparse(schedule.statement)
        cells = (
            schedule.name,
            schedule.at,
            schedule.until or "",
            text,
            format_local_time(schedule.next),
            format_local_time(last),
            result,
            state,
        )
        values = dict(zip(SCHEDULES, cells, strict=True)) | {
            "Until": schedule.until,
            "Next": _iso(schedule.next),
            "Last": _iso(last),
            "timezone": schedule.timezone or None,
            "created": _iso(schedule.created),
            "requested_by": schedule.requested_by,
            "job": schedule.job,
            "window_end": _iso(schedule.window_end),
            "note": note,
            "runs": [_run_value(each, find_job) for each in schedule.runs[-most_runs:]],
            "upcoming": [[_iso(start), _iso(end)] for start, end in upcoming],
            # the last of them, if there are more than the answer has
            "upcoming_until": _iso(upcoming[-1][0]) if len(upcoming) == most_times else None,
        }
        rows.append(Row(cells, values))
    return Result(statement, SCHEDULES, tuple(rows), notice=notice)


def _describe_times(schedule: Schedule, now: datetime) -> str:
    """Return what is unusual about a schedule's next time, "" for nothing."""
    if schedule.paused:
        return ""
    if schedule.next is None:
        return find_clock_problem(now)
    zone, notes = zone_of(schedule), [schedule.clock_note]
    if schedule.handled > now >= schedule.handled - MAX_SET_BACK:
        following = next_time(schedule.at, now, zone)
        if following is not None and following <= schedule.handled:
            until = format_local_time(schedule.handled)
            notes.append(f"the clock was set back: the times until {until} do not run again")
    if shift := describe_shift(schedule.at, schedule.next, zone):
        notes.append(f"next: {shift}")
    return "; ".join(filter(None, notes))


def _describe_run(run: ScheduleRun, find_job: Callable[[int], Job | None]) -> str:
    if run.job is None or run.outcome not in (RunOutcome.SUBMITTED, RunOutcome.CONTINUED):
        times = f" {run.count} times" if run.count > 1 else ""
        if run.count == MAX_COUNTED:
            times = f" {run.count} times or more"
        return f"{run.outcome}{times}" + (f": {run.reason}" if run.reason else "")
    job = find_job(run.job)
    if job is None:
        return f"job {run.job} is archived"
    paused = f"paused {job.ended_tasks}/{len(job.tasks)}" if job.paused else ""
    held = next((lifecycle.describe_deferral(task.deferred) for task in job.tasks if task.deferred), "")
    reason = "; ".join(filter(None, (job.reason or ("" if job.paused else held), run.reason)))
    return f"job {job.id} {paused or job.status.value}" + (f": {reason}" if reason else "")


def _run_value(run: ScheduleRun, find_job: Callable[[int], Job | None]) -> dict[str, object]:
    job = None if run.job is None else find_job(run.job)
    return {
        "at": _iso(run.at),
        "last": _iso(run.last),
        "outcome": run.outcome.value,
        "count": run.count,
        "job": run.job,
        "reason": run.reason,
        "by_hand": run.by_hand,
        "recovers": run.recovers,
        "notified": run.notified,
        "until": _iso(run.end),
        "status": None if job is None else job.status.value,
        "start": None if job is None else _iso(job.start),
        "stop": None if job is None else _iso(job.stop),
        "result": _describe_run(run, find_job),
    }


class JobListing(RowListing):
    """The rows of SHOW JOBS from index `first` of the view on, decoded a page at a time."""

    def __init__(self, view: QueryResult, first: int) -> None:
        self._view, self._first = view, first

    def __len__(self) -> int:
        return len(self._view) - self._first

    def __iter__(self) -> Iterator[Row]:
        return self._rows(0, len(self))

    @override
    def cells(self) -> Iterator[tuple[str, ...]]:
        return map(_job_cells, self._jobs(0, len(self)))

    def _rows(self, start: int, stop: int) -> Iterator[Row]:
        for job in self._jobs(start, stop):
            yield _job_row(job, "Job Id", "Command")

    def _jobs(self, start: int, stop: int) -> Iterator[Job]:
        for at in range(start, stop, _PAGE):
            yield from self._view.page(self._first + at, min(_PAGE, stop - at))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return [self[position] for position in range(start, stop, step)]
            return list(self._rows(start, stop))
        position = range(len(self))[index]
        return _job_row(self._view.page(self._first + position, 1)[0], "Job Id", "Command")


def _job_cells(job: Job) -> tuple[str, ...]:
    return (
        str(job.id),
        job.label,
        job.status.value,
        format_local_time(job.start),
        format_local_time(job.stop),
    )


def _job_row(job: Job, id_column: str, command_column: str) -> Row:
    values: dict[str, object] = {
        id_column: job.id,
        command_column: job.label,
        "Status": job.status.value,
        "Start Time": _iso(job.start),
        "Stop Time": _iso(job.stop),
        "command": job.command,
        "space": job.space,
        "submitted": _iso(job.submitted),
        "took": job.took,
        "progress": job.progress,
        "stopping": f"{job.ended_tasks}/{len(job.tasks)}" if job.stopping else None,
        "paused": job.paused,
        "options": option_values(job.options),
        "condition": job.options.condition,
        "because": job.options.because,
        "requested_by": job.requested_by,
        **last_requests(job),
        "schedule": job.schedule,
        "reason": job.reason,
        "recovered_from": job.recovered_from,
        "reclaimed": job.reclaimed,
        "not_needed": job.not_needed,
    }
    if job.origin is not None:
        origin = job.origin
        values["origin"] = {"cluster": origin.cluster, "space": origin.space, "id": origin.id or None}
    return Row(_job_cells(job), values)


def _task_row(job: Job, task: Task) -> Row:
    task_id = f"{job.id}-{task.number}"
    cells = (task_id, task.host, task.status.value, format_local_time(task.start), format_local_time(task.stop))
    before, after = task.before, task.after
    values: dict[str, object] = {
        JOB[0]: task_id,
        JOB[1]: task.host,
        "Status": task.status.value,
        "Start Time": _iso(task.start),
        "Stop Time": _iso(task.stop),
        "took": task.took,
        "progress": task.progress,
        "steps_done": None if task.steps is None else task.steps.done,
        "steps": None if task.steps is None else task.steps.total,
        "attempts": task.attempts,
        "waiting": task.waiting,
        "room_needed": task.room_needed,
        "deferred": None if task.deferred is None else lifecycle.describe_deferral(task.deferred),
        "deferred_since": None if task.deferred is None else _iso(task.deferred.since),
        "reason": task.reason,
        "code": task.code,
        "detached": task.detached,
        "bytes_before": None if before is None else before.bytes,
        "bytes_after": None if after is None else after.bytes,
        "files_before": None if before is None else [level.files for level in before.levels],
        "files_after": None if after is None else [level.files for level in after.levels],
        "memtable_before": None if before is None else before.memtable,
        "memtable_after": None if after is None else after.memtable,
    }
    return Row(cells, values)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else to_local(moment).isoformat()
