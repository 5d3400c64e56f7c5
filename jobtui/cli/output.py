"""A text's answer as it is printed on stdout: box, JSON, JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobtui.cli.errors import Exit, UsageError
from jobtui.cli.streams import print_error
from jobtui.engine.client import ExecuteResult
from jobtui.formatting import format_bytes, format_duration
from jobtui.language import tables
from jobtui.language.ast import CreateSpace, DropSpace, Statement, Use
from jobtui.model import Job, SpaceStats, Status

_WITHOUT_TABLE = (Use, CreateSpace, DropSpace)


def check_format(form: str, statements: Sequence[Statement]) -> None:
    """Refuse, before anything runs, a text whose results the format can't hold. Raises UsageError."""
    if form == "csv" and sum(not isinstance(one, _WITHOUT_TABLE) for one in statements) > 1:
        raise UsageError("--format csv holds the result of one statement; jsonl and json hold those of several")


def printed(answer: ExecuteResult, form: str, encoding: str, *, raw: bool = False) -> Iterator[str]:
    """The answer in that format, piece by piece, each piece to be ended with a line end.

    `encoding` is what the box is going to be printed in; `raw` leaves a CSV's cells as they are.
    """
    match form:
        case "json":
            yield tables.format_json(answer.results, answer.failure)
        case "jsonl":
            lines = tables.format_jsonl(answer.results)
            if lines:
                yield lines
        case "csv":
            yield from (tables.format_csv(result, raw=raw) for result in answer.results if result.columns)
        case _:
            boxes = [result for result in answer.results if result.columns]
            for number, result in enumerate(boxes):
                yield ("\n" if number else "") + tables.format_table(result, encoding)


# ---- merged from jobtui.cli.verdicts: ----
# How jobs ended: in words on stderr, and as an exit status.
def report_outcomes(jobs: Sequence[Job], status: int, *, quiet: bool) -> int:
    """Say how each job ended, where `quiet` of those alone that did not finish.

    The answer is the exit status with them in it; `status` is what it was without.
    """
    lost = [job for job in jobs if job.status is not Status.FINISHED]
    for job in lost if quiet else jobs:
        print_error(describe_outcome(job))
    return Exit.JOB_FAILED if lost and status == Exit.DONE else status


def describe_outcome(job: Job) -> str:
    """`Job 3 (compact nba) finished in 2.4 s, from 1.2 GiB to 612 MiB`; of another end its reason."""
    if job.status is Status.FINISHED:
        took = f" in {format_duration(job.took)}" if job.took is not None else ""
        note = f"; {job.reason}" if job.reason else ""
        return f"Job {job.id} ({job.label}) finished{took}{_worth(job)}{note}"
    ended = f"{job.status}" if job.status.ended else "did not end as it should"
    reason = job.reason or next((task.reason for task in job.tasks if task.detached), "")
    return f"Job {job.id} ({job.label}) {ended}{': ' if reason else ''}{reason}"


def _worth(job: Job) -> str:
    """What the job changed; "" where the storage does not tell."""
    measured = [
        (task.before, task.after) for task in job.tasks if task.before is not None and task.after is not None
    ]
    if not measured or len(measured) < len(job.tasks):
        return ""
    before, after = ([pair[side] for pair in measured] for side in (0, 1))
    if job.command == "flush":
        written = _in_memory(before) - _in_memory(after)
        return f", {format_bytes(written)} of memory written" if written > 0 else ""
    return f", from {format_bytes(_on_disk(before))} to {format_bytes(_on_disk(after))}"


def _on_disk(stats: Sequence[SpaceStats]) -> int:
    return sum(one.bytes for one in stats)


def _in_memory(stats: Sequence[SpaceStats]) -> int:
    return sum(one.memtable for one in stats)
