"""Results as box, JSON, JSON lines or CSV; outcomes of jobs as text and exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from jobtui.cli.errors import CommandError, Exit, UsageError
from jobtui.cli.options import RunCommand
from jobtui.cli.streams import StdoutWriter, print_error
from jobtui.engine.client import ExecuteResult
from jobtui.engine.job_log import describe_request, last_stop
from jobtui.formatting import format_bytes, format_duration
from jobtui.history import StoreError
from jobtui.language.ast import (
    CreateSchedule,
    CreateSpace,
    DropSchedule,
    DropSpace,
    PauseSchedule,
    ResumeSchedule,
    SetRate,
    Statement,
    Use,
)
from jobtui.language.results import csv_lines, json_lines, jsonl_lines, table_lines
from jobtui.model import Job, Status

_WITHOUT_TABLE = (
    Use,
    SetRate,
    CreateSpace,
    DropSpace,
    CreateSchedule,
    PauseSchedule,
    ResumeSchedule,
    DropSchedule,
)


def check_format(form: str, statements: Sequence[Statement]) -> None:
    """Refuse statements whose results the format cannot hold, before any runs.

    Raises UsageError.
    """
    if form == "csv" and sum(not isinstance(statement, _WITHOUT_TABLE) for statement in statements) > 1:
        raise UsageError(
            "--format csv holds the result of one statement; use jsonl or json for those of several"
        )


def print_result(
    result: ExecuteResult,
    command: RunCommand,
    label: str,
    was_printed: Callable[[str], bool] = lambda text: False,
) -> int:
    """Print the results on stdout and the failure on stderr; return the exit status so far.

    Args:
        label: where the statements come from, for the position of a failure.
        was_printed: whether a message is on stderr already and need not be repeated.
    """
    status = _print_tables(result, command)
    for statement_result in result.results:
        if statement_result.notice and not command.quiet:
            print_error(statement_result.notice)
    failure = result.failure
    if failure is None:
        return status
    message = "refused for that reason" if was_printed(failure.message) else failure.message
    print_error(f"{label}:{failure.line}:{failure.column}: {message}")
    return Exit.FAILED


def _print_tables(result: ExecuteResult, command: RunCommand) -> int:
    """Print the results; an error does not end the command, since queued jobs run in any case."""
    output = StdoutWriter()
    try:
        for line in format_result(result, command.format, output.encoding, raw=command.raw):
            output.write(f"{line}\n")
            if output.closed:
                break  # the reader has enough: the rest of a long history is not read
        output.flush()
    except (CommandError, StoreError) as error:
        print_error(f"jobtui: {error}")
        return Exit.FAILED
    return Exit.DONE


def format_result(result: ExecuteResult, form: str, encoding: str, *, raw: bool = False) -> Iterator[str]:
    """Yield the lines of the result in that format; the caller adds a line end to each.

    Args:
        encoding: of the output, which decides how a box is drawn.
        raw: write the cells of a CSV as they are.
    """
    match form:
        case "json":
            yield from json_lines(result.results, result.failure)
        case "jsonl":
            yield from jsonl_lines(result.results)
        case "csv":
            for table in result.results:
                if table.columns:
                    yield from csv_lines(table, raw=raw)
        case _:
            boxes = [table for table in result.results if table.columns]
            for number, box in enumerate(boxes):
                if number:
                    yield ""
                yield from table_lines(box, encoding)


def report_outcomes(jobs: Sequence[Job], status: int, *, quiet: bool) -> int:
    """Print each job's outcome (with `quiet` only if it did not finish) and return the exit status.

    Args:
        status: the exit status without these jobs.
    """
    unfinished = [job for job in jobs if job.status is not Status.FINISHED]
    for job in unfinished if quiet else jobs:
        print_error(describe_outcome(job))
    return Exit.JOB_FAILED if unfinished and status == Exit.DONE else status


def describe_outcome(job: Job) -> str:
    """Return `Job 3 (compact nba) finished in 2.4 s, from 1.2 GiB to 612 MiB`, or why it did not finish."""
    if job.status is Status.FINISHED:
        took = f" in {format_duration(job.took)}" if job.took is not None else ""
        note = f"; {job.reason}" if job.reason else ""
        return f"Job {job.id} ({job.label}) finished{took}{_describe_effect(job)}{note}"
    ended = f"{job.status}" if job.status.ended else "did not end as it should"
    reason = job.reason or next((task.reason for task in job.tasks if task.detached), "")
    request = describe_request(last_stop(job))
    return f"Job {job.id} ({job.label}) {ended}" + (f": {reason}" if reason else request)


def _describe_effect(job: Job) -> str:
    """Return the effect of the job, "" if the storage does not report it."""
    measured = [
        (task.before, task.after) for task in job.tasks if task.before is not None and task.after is not None
    ]
    if not measured or len(measured) < len(job.tasks):
        return ""
    before, after = ([pair[side] for pair in measured] for side in (0, 1))
    if job.command == "flush":
        written = sum(stats.memtable for stats in before) - sum(stats.memtable for stats in after)
        return f", {format_bytes(written)} of memory written" if written > 0 else ""
    disk_before, disk_after = sum(stats.bytes for stats in before), sum(stats.bytes for stats in after)
    return f", from {format_bytes(disk_before)} to {format_bytes(disk_after)}"
