"""`jobtui -e`, `-f` and piped statements: run them and wait until their jobs have ended.

Statements that only read start no engine: a `ReadOnlyClient` answers them. Others open the profile; its
engine then runs the jobs that they submit, and those queued before in the same spaces. If another process
owns the profile, the statements are sent to that process.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from jobtui.cli import streams
from jobtui.cli.errors import SIGNAL_STATUS, CommandError, Exit
from jobtui.cli.options import RunCommand
from jobtui.cli.output import check_format, format_result, print_result, report_outcomes
from jobtui.cli.profiles import profile_options, read_settings, resolve_profile
from jobtui.config.settings import DEFAULT_PROFILE
from jobtui.engine.client import ExecuteResult, Failure, Session
from jobtui.engine.lifecycle import is_interrupted
from jobtui.engine.profile import Profile
from jobtui.engine.reader import MEASURING, READ_ONLY, ReadOnlyClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import OwnerTimeout, OwnerUnavailable, RequestNotAccepted, StorageError
from jobtui.formatting import format_local_time
from jobtui.history import StoreError, describe_damage
from jobtui.language import StatementError, parse
from jobtui.language.ast import (
    Backup,
    CreateSchedule,
    Pause,
    Recover,
    Resume,
    ResumeSchedule,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSpaces,
    Statement,
    Stop,
)
from jobtui.language.lexer import COMMENT, SEMICOLON, tokenize
from jobtui.model import Status

if TYPE_CHECKING:
    from jobtui.cli.wait import EngineWaiter
    from jobtui.engine.local import LocalClient

# the time for a cluster to report its jobs, spaces and hosts
CLUSTER_SECONDS = 30.0
# the number of owners that may exit in turn before one accepts the statements
OWNER_ATTEMPTS = 20
_MAX_NAMED = 5
# those of jobtui.tui.text.console_commands, which a run without a screen does not import
DASHBOARD_COMMANDS = frozenset({"quit", "exit", "help", "?", "clear", "profile"})


def run_text(command: RunCommand) -> int:
    """Run the statements and return the exit status. Raises CommandError."""
    profile = resolve_profile(command, read_settings(command))
    text = command.text if command.text is not None else streams.read_text(command.file)
    label = "-e" if command.text is not None else "stdin" if command.file == "-" else command.file
    try:
        statements = parse(text)
    except StatementError as error:
        return _report_syntax_error(add_dashboard_hint(error), command, label)
    check_format(command.format, statements)
    # with --read-only this process cannot measure, but an owner can
    reading = (*READ_ONLY, *MEASURING) if profile.read_only else READ_ONLY
    if profile.cluster is None and all(isinstance(statement, reading) for statement in statements):
        return _read(profile, text, statements, command, label)
    return _write(profile, text, statements, command, label)


def _read(profile: Profile, text: str, statements: Sequence[Statement], command: RunCommand, label: str) -> int:
    try:
        reader = _connect_reader(profile) if _needs_owner(statements) else None
        with closing(reader or ReadOnlyClient.open(profile)) as reader:
            status = print_result(reader.answer(text, Session()), command, label)
            if damage := describe_damage(reader.history.notes):
                streams.print_error(damage)
            if not command.quiet and any(isinstance(one, ShowJobs | ShowJob) for one in statements):
                _report_unowned_jobs(reader, profile, command)
            return status
    except StoreError as error:
        raise CommandError(str(error)) from None


def _report_unowned_jobs(reader: ReadOnlyClient, profile: Profile, command: RunCommand) -> None:
    """Print how the jobs that have not ended can be continued, if no process runs them."""
    if not reader.active_jobs() and not reader.history.orphaned_views:
        return
    # the engine: only if a job has not ended
    from jobtui.cli.wait import describe_jobs
    from jobtui.engine.reader import is_owned

    if is_owned(profile):
        return
    reader.history.refresh()  # their process may just have ended and stored how they ended
    ended = [job for job in reader.history.orphaned_views if job.status.ended]
    if ended:
        was, it = ("was", "it") if len(ended) == 1 else ("were", "them")
        begin = describe_jobs([job.id for job in ended])
        last = max(job.stop for job in ended if job.stop is not None)
        streams.print_error(
            f"{begin[0].upper()}{begin[1:]} {was} running when the jobtui that ran {it} ended; its last sign "
            f"of life was at {format_local_time(last)}, and the next start records {it} as interrupted"
        )
    if ways := list(_ways_to_continue(reader, profile, command)):
        streams.print_error(f"No jobtui runs this profile: {'; '.join(ways)}")


def _ways_to_continue(reader: ReadOnlyClient, profile: Profile, command: RunCommand) -> Iterator[str]:
    """Yield, for jobs that were paused, left at a step or not begun, the command that continues them."""
    from jobtui.cli.wait import describe_jobs

    options = profile_options(profile, command)
    jobtui = shlex.join(["jobtui", *(options[2:] if options[1] == DEFAULT_PROFILE else options)])
    active = reader.active_jobs()
    paused = [job.id for job in active if job.paused]
    left = [job.id for job in active if not job.paused and not is_interrupted(job) and job.origin is None]
    if paused:
        ids = ", ".join(map(str, paused[:_MAX_NAMED])) + (", …" if len(paused) > _MAX_NAMED else "")
        are, it = ("is", "it") if len(paused) == 1 else ("are", "them")
        yield f"{describe_jobs(paused)} {are} paused, and `{jobtui} -e 'RESUME JOB {ids}'` continues {it}"
    if left:
        was, it = ("was", "it") if len(left) == 1 else ("were", "them")
        is_begun = any(job.status is Status.RUNNING for job in active if job.id in left)
        where = "left at a step or in the queue" if is_begun else "left in the queue"
        yield f"{describe_jobs(left)} {was} {where}, and `{jobtui} serve --until-idle` continues {it}"


def _needs_owner(statements: Sequence[Statement]) -> bool:
    """Return whether the owner has data for the answer that is not on disk."""
    asked = (ShowJob, ShowSpaces, ShowHosts, *MEASURING)
    return any(isinstance(statement, asked) for statement in statements)


def _connect_reader(profile: Profile) -> ReadOnlyClient | None:
    """Return a reader that is connected to the profile's owner, None if no owner answers."""
    # the remote client: only for statements that need it
    from jobtui.engine.remote import RemoteClient

    try:
        return RemoteClient.connect(profile)
    except OwnerTimeout as error:
        streams.print_error(f"Another jobtui has this profile, and {error}; shown as it is on disk")
    except OwnerUnavailable:
        return None  # without an owner the disk has everything
    return None


def _write(
    profile: Profile, text: str, statements: Sequence[Statement], command: RunCommand, label: str
) -> int:
    # the engine: only for statements that write
    from jobtui.cli.connect import connect_client
    from jobtui.cli.wait import WaitAborted, run_remotely
    from jobtui.engine.remote import RemoteClient

    for _ in range(OWNER_ATTEMPTS):
        try:
            with connect_client(profile, RunPolicy.NONE if command.detach else RunPolicy.SUBMITTED) as client:
                if not isinstance(client, RemoteClient):
                    status = _run_here(client, text, statements, command, label)
                    if status == Exit.DONE and not command.quiet:
                        _report_unowned_schedules(profile, statements)
                    return status
                try:
                    return run_remotely(client, profile, text, command, label)
                except RequestNotAccepted:
                    continue
        except WaitAborted as aborted:
            return SIGNAL_STATUS + aborted.by
    raise CommandError(
        f"{OWNER_ATTEMPTS} other jobtui processes had this profile one after the other, and each exited before "
        "it accepted the statements; nothing was done"
    )


def _report_unowned_schedules(profile: Profile, statements: Sequence[Statement]) -> None:
    """Print how the schedules get an owner, if the statements made one active: this process ends."""
    if not any(isinstance(statement, CreateSchedule | ResumeSchedule) for statement in statements):
        return
    # the engine, as above
    from jobtui.engine.profile import describe_autostart
    from jobtui.engine.schedules import NO_OWNER, load_schedules

    if not all(schedule.paused for schedule in load_schedules(profile.history).schedules.values()):
        streams.print_error(f"{NO_OWNER}: {describe_autostart(profile)}")


def _run_here(
    engine: LocalClient, text: str, statements: Sequence[Statement], command: RunCommand, label: str
) -> int:
    """Run the statements in this process and return the exit status.

    Raises WaitAborted if the user does not want to wait until the jobs have stopped.
    """
    from jobtui.cli.wait import (
        WaitAborted,
        engine_waiter,  # the engine, as above
    )

    with engine_waiter(engine, quiet=command.quiet) as waiter:
        try:
            _await_cluster(engine, waiter, statements)
            result = waiter.result(engine.execute(text, Session()))
            status = print_result(result, command, label, waiter.was_printed)
            if result.jobs and not command.detach:
                status = report_outcomes(waiter.wait_ended(result.jobs), status, quiet=command.quiet)
            if waiter.interrupted is None:
                waiter.wait_for_other_jobs()
        except WaitAborted as aborted:
            waiter.report_abort()
            raise WaitAborted(waiter.interrupted or aborted.by) from None
    if waiter.interrupted is not None:
        return SIGNAL_STATUS + waiter.interrupted
    return status


def _await_cluster(engine: LocalClient, waiter: EngineWaiter, statements: Sequence[Statement]) -> None:
    """Wait for a cluster to answer; if it does not, jobs seen before can be shown.

    Raises StorageError.
    """
    jobs = required_jobs(statements, engine.history.last_id(), [job.id for job in engine.active_jobs()])
    try:
        if not waiter.result(engine.wait_connected(CLUSTER_SECONDS, caught_up=jobs is None, jobs=jobs or ())):
            why = engine.connection.detail if engine.connection is not None else ""
            text = f"The cluster has not reported all its jobs within {CLUSTER_SECONDS:g} s"
            streams.print_error(f"{text}: {why}" if why else text)
    except StorageError as error:
        only_shows = all(isinstance(statement, ShowJobs | ShowJob) for statement in statements)
        if not only_shows or not engine.history.last_id():
            raise
        streams.print_error(f"{error}; shown as it was last seen")


def required_jobs(
    statements: Iterable[Statement], last_id: int, active: Sequence[int]
) -> tuple[int, ...] | None:
    """Return the jobs that must be fetched from a cluster before the statements run; None for all jobs.

    A list of a space can take half a minute: a statement about jobs that the history has does not wait for it.

    Args:
        last_id: The highest job id in the history.
        active: The jobs that had not ended when the history was written.
    """
    jobs: dict[int, None] = {}
    for statement in statements:
        match statement:
            case ShowJob(job=job):
                named: Sequence[int] = (job,)
            case Stop(jobs=named) | Pause(jobs=named) | Resume(jobs=named):
                pass
            case Recover(jobs=named) if named:
                pass
            case Backup(first=first, last=last) if last <= last_id:
                named = [job for job in active if first <= job <= last]
            case ShowJobs() | Recover() | Backup():
                return None
            case _:
                continue
        if any(job > last_id for job in named):
            return None  # the cluster may have it
        jobs |= dict.fromkeys(named)
    return tuple(jobs)


def add_dashboard_hint(error: StatementError) -> StatementError:
    """Return the error; where a statement begins with a command of the dashboard, with a hint about that."""
    word = error.text[slice(*error.span)]
    is_first_word = {"ADMIN", "SHOW"} <= set(error.expected)
    if not is_first_word or error.near is not None or word.lower() not in DASHBOARD_COMMANDS:
        return error
    hint = f"{word} works in the dashboard's command bar; jobtui help lists the statements"
    return StatementError(f"{error.message}; {hint}", text=error.text, span=error.span, expected=error.expected)


def _report_syntax_error(error: StatementError, command: RunCommand, label: str) -> int:
    """Print the syntax error, with --format json also on stdout; return the exit status."""
    if label != "-e":
        streams.print_error(f"{label}:{error.line}:{error.column}: nothing was run")
    streams.print_error(str(error))
    if command.format == "json":
        failure = Failure(_statement_at(error), error.message, error.line, error.column, syntax=True)
        result = ExecuteResult(failure=failure)
        output = streams.StdoutWriter()
        output.write("".join(f"{line}\n" for line in format_result(result, "json", "utf-8")))
        output.flush()
    return Exit.USAGE


def _statement_at(error: StatementError) -> str:
    """Return the wrong statement, from its first word to its last."""
    words: list[tuple[int, int]] = []
    for kind, start, end in tokenize(error.text):
        if kind == SEMICOLON:
            if start >= error.span[0]:
                break
            words = []
        elif kind != COMMENT:
            words = [*words[:1], (start, end)]
    return error.text[words[0][0] : words[-1][1]] if words else ""
