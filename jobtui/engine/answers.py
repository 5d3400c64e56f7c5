"""What an engine and a reader share in answering a text: parsing it, the statements that only read, errors."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from jobtui.engine import results
from jobtui.engine.desk import Answer, Desk, Failure, Refused
from jobtui.language.ast import Parsed, ShowJob, ShowJobs, Statement
from jobtui.language.tables import Result
from jobtui.model import Job, Status
from jobtui.suggest import did_you_mean

if TYPE_CHECKING:
    from jobtui.history import History


def parsed(text: str) -> list[Parsed] | Answer:
    """The text's statements, or the answer that says why it does not parse."""
    from jobtui.language import StatementError, parse_with_spans

    try:
        return parse_with_spans(text)
    except StatementError as error:
        failed = Failure(text.strip(), error.message, error.line, error.column, syntax=True, caret=str(error))
        return Answer(failure=failed)


def words(text: str, parsed: Parsed) -> str:
    """The statement as it was typed."""
    return text[slice(*parsed.span)].strip()


def failure(text: str, parsed: Parsed, message: str) -> Failure:
    """That this statement of the text could not be carried out."""
    from jobtui.language import line_and_column

    line, column = line_and_column(text, parsed.span[0])
    return Failure(words(text, parsed), message, line, column)


def show(statement: Statement, typed: str, desk: Desk, spaces: Collection[str]) -> Result:
    """Answer SHOW JOBS and SHOW JOB. Raises Refused."""
    if isinstance(statement, ShowJobs):
        return _show_jobs(statement, typed, desk, spaces)
    if isinstance(statement, ShowJob):
        return _show_job(statement, typed, desk)
    raise Refused(f"{type(statement).__name__} can't be carried out here")


def no_such_space(name: str, spaces: Collection[str]) -> str:
    """`Space 'nbaa' does not exist; did you mean 'nba'?`."""
    near = did_you_mean(name, spaces)
    return f"Space '{name}' does not exist" + (f"; did you mean '{near}'?" if near else "")


def stoppable(job: Job | None, job_id: int, history: History) -> Job:
    """The job, where it can be asked to stop. Raises Refused."""
    job = there(job, job_id, history)
    if job.status.ended:
        raise Refused(f"Job {job_id} has already {job.status}")
    if job.stopping:
        raise Refused(f"Job {job_id} is already stopping")
    return job


def recoverable(job: Job | None, job_id: int, history: History) -> Job:
    """The job, where it has ended and can be run again. Raises Refused."""
    job = there(job, job_id, history)
    if job.status is Status.QUEUE:
        raise Refused(f"Job {job_id} is still queued; STOP JOB {job_id} first")
    if job.status is Status.RUNNING:
        raise Refused(f"Job {job_id} is still running; STOP JOB {job_id} first")
    return job


def there(job: Job | None, job_id: int, history: History) -> Job:
    """The job, where there is one that is not archived. Raises Refused."""
    if job is None:
        archived = history.is_archived(job_id)
        raise Refused(f"Job {job_id} is archived" if archived else f"Job {job_id} does not exist")
    return job


def _show_jobs(statement: ShowJobs, typed: str, desk: Desk, spaces: Collection[str]) -> Result:
    from jobtui.history import Query

    if statement.space is not None:
        known = {*spaces, *desk.history.spaces()}
        if statement.space not in known:
            raise Refused(no_such_space(statement.space, known))
    view = desk.history.query(
        Query(
            statuses=frozenset({Status(statement.status)}) if statement.status else frozenset(),
            spaces=frozenset({statement.space}) if statement.space is not None else frozenset(),
            archived=statement.archived,
        )
    )
    return results.all_jobs(typed, view, statement.limit)


def _show_job(statement: ShowJob, typed: str, desk: Desk) -> Result:
    return results.one_job(typed, there(desk.job(statement.job), statement.job, desk.history))
