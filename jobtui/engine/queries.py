"""What an engine and a reader share in answering a text: parsing it, the statements that only read, errors."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from jobtui.engine.client import Client, ExecuteResult, Failure
from jobtui.errors import StatementRefused
from jobtui.language.ast import Parsed, ShowJob, ShowJobs, Statement
from jobtui.language.tables import Result
from jobtui.model import Job, Status
from jobtui.suggest import did_you_mean

if TYPE_CHECKING:
    from jobtui.history import History


from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, overload

from jobtui.formatting import format_bytes, format_local_time, to_local
from jobtui.language.tables import Row
from jobtui.model import Task

if TYPE_CHECKING:
    from jobtui.engine.client import SpaceOverview
    from jobtui.history import View
    from jobtui.storage.base import Host


def parsed(text: str) -> list[Parsed] | ExecuteResult:
    """The text's statements, or the answer that says why it does not parse."""
    from jobtui.language import StatementError, parse_with_spans

    try:
        return parse_with_spans(text)
    except StatementError as error:
        failed = Failure(text.strip(), error.message, error.line, error.column, syntax=True, caret=str(error))
        return ExecuteResult(failure=failed)


def words(text: str, parsed: Parsed) -> str:
    """The statement as it was typed."""
    return text[slice(*parsed.span)].strip()


def failure(text: str, parsed: Parsed, message: str) -> Failure:
    """That this statement of the text could not be carried out."""
    from jobtui.language import line_and_column

    line, column = line_and_column(text, parsed.span[0])
    return Failure(words(text, parsed), message, line, column)


def show(statement: Statement, typed: str, desk: Client, spaces: Collection[str]) -> Result:
    """Answer SHOW JOBS and SHOW JOB. Raises StatementRefused."""
    if isinstance(statement, ShowJobs):
        return _show_jobs(statement, typed, desk, spaces)
    if isinstance(statement, ShowJob):
        return _show_job(statement, typed, desk)
    raise StatementRefused(f"{type(statement).__name__} can't be carried out here")


def no_such_space(name: str, spaces: Collection[str]) -> str:
    """`Space 'nbaa' does not exist; did you mean 'nba'?`."""
    near = did_you_mean(name, spaces)
    return f"Space '{name}' does not exist" + (f"; did you mean '{near}'?" if near else "")


def stoppable(job: Job | None, job_id: int, history: History) -> Job:
    """The job, where it can be asked to stop. Raises StatementRefused."""
    job = there(job, job_id, history)
    if job.status.ended:
        raise StatementRefused(f"Job {job_id} has already {job.status}")
    if job.stopping:
        raise StatementRefused(f"Job {job_id} is already stopping")
    return job


def recoverable(job: Job | None, job_id: int, history: History) -> Job:
    """The job, where it has ended and can be run again. Raises StatementRefused."""
    job = there(job, job_id, history)
    if job.status is Status.QUEUE:
        raise StatementRefused(f"Job {job_id} is still queued; STOP JOB {job_id} first")
    if job.status is Status.RUNNING:
        raise StatementRefused(f"Job {job_id} is still running; STOP JOB {job_id} first")
    return job


def there(job: Job | None, job_id: int, history: History) -> Job:
    """The job, where there is one that is not archived. Raises StatementRefused."""
    if job is None:
        archived = history.is_archived(job_id)
        raise StatementRefused(f"Job {job_id} is archived" if archived else f"Job {job_id} does not exist")
    return job


def _show_jobs(statement: ShowJobs, typed: str, desk: Client, spaces: Collection[str]) -> Result:
    from jobtui.history import Query

    if statement.space is not None:
        known = {*spaces, *desk.history.spaces()}
        if statement.space not in known:
            raise StatementRefused(no_such_space(statement.space, known))
    view = desk.history.query(
        Query(
            statuses=frozenset({Status(statement.status)}) if statement.status else frozenset(),
            spaces=frozenset({statement.space}) if statement.space is not None else frozenset(),
            archived=statement.archived,
        )
    )
    return all_jobs(typed, view, statement.limit)


def _show_job(statement: ShowJob, typed: str, desk: Client) -> Result:
    return one_job(typed, there(desk.job(statement.job), statement.job, desk.history))


# ---- merged from jobtui.engine.results: ----
# Jobs, spaces and hosts as the rows that statements answer with (LANGUAGE, "Statements").
NEW_JOB = ("New Job Id",)
JOBS = ("Job Id", "Command", "Status", "Start Time", "Stop Time")
JOB = ("Job Id(TaskId)", "Command(Dest)", "Status", "Start Time", "Stop Time")
SPACES = ("Name", "Hosts", "Size", "In Memory", "To Compact")
HOSTS = ("Host", "Status", "Spaces", "Size", "Free")

_PAGE = 500


def new_jobs(statement: str, jobs: Sequence[Job], notice: str = "") -> Result:
    """A row for each job that was queued."""
    rows = tuple(Row((str(job.id),), {"New Job Id": job.id}) for job in jobs)
    return Result(statement, NEW_JOB, rows, jobs=tuple(job.id for job in jobs), notice=notice)


def counted(statement: str, word: str, verb: str, jobs: int, tasks: int, notice: str = "") -> Result:
    """`stop 1 jobs 2 tasks`, in a column `STOP Result`."""
    column = f"{word} Result"
    text = f"{verb} {jobs} jobs {tasks} tasks"
    return Result(
        statement, (column,), (Row((text,), {column: text, "jobs": jobs, "tasks": tasks}),), notice=notice
    )


def one_job(statement: str, job: Job) -> Result:
    """A job and its tasks."""
    rows = [_job_row(job, JOB[0], JOB[1]), *(_task_row(job, task) for task in job.tasks)]
    return Result(statement, JOB, tuple(rows))


def all_jobs(statement: str, view: View, limit: int | None) -> Result:
    """The view's jobs, oldest first; `limit` keeps the newest. They are read as they are asked for."""
    return Result(statement, JOBS, JobListing(view, 0 if limit is None else max(0, len(view) - limit)))


def all_spaces(statement: str, looks: Iterable[SpaceOverview]) -> Result:
    """The spaces and what they hold."""
    rows = []
    for look in looks:
        cells = (
            look.space.name,
            str(len(look.space.hosts)),
            format_bytes(look.size),
            format_bytes(look.memory),
            format_bytes(look.pending),
        )
        values = {
            "Name": look.space.name,
            "Hosts": list(look.space.hosts),
            "Size": look.size,
            "In Memory": look.memory,
            "To Compact": look.pending,
            "adopted": look.space.adopted,
        }
        rows.append(Row(cells, values))
    return Result(statement, SPACES, tuple(rows))


def all_hosts(statement: str, hosts: Iterable[Host]) -> Result:
    """The storage hosts, and whether each answers."""
    rows = []
    for host in hosts:
        status = "online" if host.up else "offline"
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


class JobListing(Sequence[Row]):
    """The rows of SHOW JOBS from the `first` of the view on, decoded a page at a time as they are read."""

    def __init__(self, view: View, first: int) -> None:
        self._view, self._first = view, first

    def __len__(self) -> int:
        return len(self._view) - self._first

    def __iter__(self) -> Iterator[Row]:
        for start in range(self._first, len(self._view), _PAGE):
            for job in self._view.page(start, _PAGE):
                yield _job_row(job, "Job Id", "Command")

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return [self[position] for position in range(start, stop, step)]
            jobs = self._view.page(self._first + start, max(0, stop - start))
            return [_job_row(job, "Job Id", "Command") for job in jobs]
        position = range(len(self))[index]
        return _job_row(self._view.page(self._first + position, 1)[0], "Job Id", "Command")


def _job_row(job: Job, id_column: str, command_column: str) -> Row:
    cells = (
        str(job.id),
        job.label,
        job.status.value,
        format_local_time(job.start),
        format_local_time(job.stop),
    )
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
        "reason": job.reason,
        "recovered_from": job.recovered_from,
        "reclaimed": job.reclaimed,
    }
    if job.origin is not None:
        origin = job.origin
        values["origin"] = {"cluster": origin.cluster, "space": origin.space, "id": origin.id or None}
    return Row(cells, values)


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
