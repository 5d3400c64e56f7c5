"""A text without a screen: parse it, run it, print its results at once, stay until its jobs have ended.

A text that only reads starts no engine: a `Reader` answers it. One that may write takes the profile;
the engine then runs the jobs that the text submits, and those queued before them in the same spaces.
Where another process has the profile, the text is handed to that one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from jobtui.cli import streams
from jobtui.cli.args import RunCommand
from jobtui.cli.connect import profile_of, settings_of
from jobtui.cli.errors import CommandError, Exit
from jobtui.cli.output import check_format, printed
from jobtui.engine.admission import RunPolicy
from jobtui.engine.client import ExecuteResult, Failure, Session
from jobtui.engine.profile import Profile
from jobtui.engine.reader import READ_ONLY, ReadOnlyClient
from jobtui.language import StatementError, parse
from jobtui.language.ast import (
    Backup,
    Recover,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSpaces,
    Statement,
    Stop,
)
from jobtui.model import Status

if TYPE_CHECKING:
    from jobtui.cli.wait import EngineWaiter
    from jobtui.engine.local import LocalClient


CLUSTER_SECONDS = 30.0  # for a cluster to tell what it has
ABOUT_JOBS = (ShowJobs, ShowJob, Stop, Recover, Backup)
OWNERS = 20  # that may leave, one after the other, before one takes a text


def run_text(asked: RunCommand) -> int:
    """Run the text; the answer is the exit status. Raises CommandError."""
    profile = profile_of(asked, settings_of(asked))
    text = asked.text if asked.text is not None else streams.read_text(asked.file)
    label = "-e" if asked.text is not None else "stdin" if asked.file == "-" else asked.file
    try:
        statements = parse(text)
    except StatementError as error:
        return _tell_syntax(error, asked, label)
    check_format(asked.format, statements)
    if profile.cluster is None and all(isinstance(statement, READ_ONLY) for statement in statements):
        return _read(profile, text, statements, asked, label)
    return _write(profile, text, statements, asked, label)


def _read(profile: Profile, text: str, statements: Sequence[Statement], asked: RunCommand, label: str) -> int:
    from jobtui.history import StoreError

    try:
        reader = _beside_the_owner(profile) if _needs_the_owner(statements) else None
        with closing(reader or ReadOnlyClient.open(profile)) as reader:
            status = tell(reader.answer(text, Session()), asked, label)
            if not asked.quiet and any(isinstance(statement, ShowJobs | ShowJob) for statement in statements):
                _tell_of_the_interrupted(reader, profile)
            return status
    except StoreError as error:
        raise CommandError(str(error)) from None


def _tell_of_the_interrupted(reader: ReadOnlyClient, profile: Profile) -> None:
    """Say of jobs that are running by the last word on disk that nobody runs them, where that is so."""
    if not _running(reader):
        return
    from jobtui.cli.wait import counted_jobs
    from jobtui.engine.health import is_owned

    if is_owned(profile):
        return
    reader.history.refresh()  # whoever ran them may just have ended, with a word
    if jobs := _running(reader):
        was, it = ("was", "it") if len(jobs) == 1 else ("were", "them")
        begin = counted_jobs(jobs)
        streams.print_error(
            f"{begin[0].upper()}{begin[1:]} {was} running when the jobtui that ran {it} ended; "
            f"the next start calls {it} interrupted"
        )


def _running(reader: ReadOnlyClient) -> list[int]:
    return [job.id for job in reader.active() if job.status is Status.RUNNING]


def _needs_the_owner(statements: Sequence[Statement]) -> bool:
    """Whether it knows more than the disk: how far a job is, what lies in memory, which hosts answer."""
    return any(isinstance(statement, ShowJob | ShowSpaces | ShowHosts) for statement in statements)


def _beside_the_owner(profile: Profile) -> ReadOnlyClient | None:
    """A reader that asks the profile's owner; None where there is none."""
    from jobtui.engine.remote import RemoteClient
    from jobtui.errors import OwnerTimeout, OwnerUnavailable

    try:
        return RemoteClient.connect(profile)
    except OwnerTimeout as silent:
        streams.print_error(f"Another jobtui has this profile, and {silent}; shown as it is on disk")
    except OwnerUnavailable:
        return None  # nobody has it: what is on disk is all there is
    return None


def _write(profile: Profile, text: str, statements: Sequence[Statement], asked: RunCommand, label: str) -> int:
    from jobtui.cli.connect import opened
    from jobtui.cli.remote_run import hand_in
    from jobtui.cli.wait import WaitAborted
    from jobtui.engine.remote import RemoteClient
    from jobtui.errors import RequestNotAccepted

    for _ in range(OWNERS):
        try:
            with opened(profile, RunPolicy.NONE if asked.detach else RunPolicy.SUBMITTED) as desk:
                if not isinstance(desk, RemoteClient):
                    return _carry_out(desk, text, statements, asked, label)
                try:
                    return hand_in(desk, profile, text, asked, label)
                except RequestNotAccepted:
                    continue
        except WaitAborted as left:
            return 128 + left.by
    raise CommandError(
        "Whoever had this profile left before it took the text, again and again; nothing was done"
    )


def _carry_out(
    engine: LocalClient, text: str, statements: Sequence[Statement], asked: RunCommand, label: str
) -> int:
    """Run the text here; the answer is the exit status. Raises LeftAtOnce where nobody waits for the stop."""
    from jobtui.cli.output import report_outcomes
    from jobtui.cli.wait import WaitAborted, waiting_for

    with waiting_for(engine, quiet=asked.quiet) as waiting:
        try:
            _reach_the_cluster(engine, waiting, statements)
            answer = waiting.result(engine.execute(text, Session()))
            status = tell(answer, asked, label, waiting.has_told)
            jobs = answer.jobs
            if jobs and not asked.detach:
                status = report_outcomes(waiting.until_ended(jobs), status, quiet=asked.quiet)
        except WaitAborted as left:
            waiting.say_left()
            raise WaitAborted(waiting.interrupted or left.by) from None  # past those who handed something in
    if waiting.interrupted is not None:
        return 128 + waiting.interrupted
    return status


def _reach_the_cluster(engine: LocalClient, waiting: EngineWaiter, statements: Sequence[Statement]) -> None:
    """Wait for a cluster to answer; if it does not, jobs seen before can be shown. Raises StorageError."""
    from jobtui.errors import StorageError

    whole = any(isinstance(statement, ABOUT_JOBS) for statement in statements)
    try:
        if not waiting.result(engine.reached(CLUSTER_SECONDS, whole=whole)):
            streams.print_error(f"The cluster has not told of all its jobs within {CLUSTER_SECONDS:g} s")
    except StorageError as error:
        only_shows = all(isinstance(statement, ShowJobs | ShowJob) for statement in statements)
        if not only_shows or not engine.history.last_id():
            raise
        streams.print_error(f"{error}; shown as it was last seen")


def tell(
    answer: ExecuteResult, asked: RunCommand, label: str, has_told: Callable[[str], bool] = lambda text: False
) -> int:
    """Print the results, and what went wrong; the answer is the exit status so far.

    `has_told` says what the person has read already, and need not read again.
    """
    status = _print(answer, asked)
    for result in answer.results:
        if result.notice and not asked.quiet:
            streams.print_error(result.notice)
    failure = answer.failure
    if failure is None:
        return status
    message = "refused for that reason" if has_told(failure.message) else failure.message
    streams.print_error(f"{label}:{failure.line}:{failure.column}: {message}")
    return Exit.FAILED


def _print(answer: ExecuteResult, asked: RunCommand) -> int:
    """Print the results; where they can't be printed, say so, for what was queued goes on all the same."""
    from jobtui.history import StoreError

    output = streams.Output()
    try:
        for piece in printed(answer, asked.format, output.encoding, raw=asked.raw):
            output.write(f"{piece}\n")
        output.flush()
    except (CommandError, StoreError) as error:
        streams.print_error(f"jobtui: {error}")
        return Exit.FAILED
    return Exit.DONE


def _tell_syntax(error: StatementError, asked: RunCommand, label: str) -> int:
    """Say that the text does not parse, in JSON on stdout too, where that is asked for."""
    if label != "-e":
        streams.print_error(f"{label}:{error.line}:{error.column}: nothing was run")
    streams.print_error(str(error))
    if asked.format == "json":
        failure = Failure(_statement_at(error), error.message, error.line, error.column, syntax=True)
        output = streams.Output()
        output.write(
            "".join(f"{piece}\n" for piece in printed(ExecuteResult(failure=failure), "json", "utf-8"))
        )
        output.flush()
    return Exit.USAGE


def _statement_at(error: StatementError) -> str:
    """The statement that is wrong, from its first word to its last."""
    from jobtui.language.lexer import COMMENT, SEMICOLON, tokenize

    words: list[tuple[int, int]] = []
    for kind, start, end in tokenize(error.text):
        if kind == SEMICOLON:
            if start >= error.span[0]:
                break
            words = []
        elif kind != COMMENT:
            words = [*words[:1], (start, end)]
    return error.text[words[0][0] : words[-1][1]] if words else ""
