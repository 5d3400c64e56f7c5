"""The statements as records, and `unparse`, which writes a record as text.

Parts that were not given are None.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from jobtui.language.identifiers import quote_host, quote_name, quote_text
from jobtui.language.quantities import write_duration, write_share, write_size
from jobtui.model import NO_OPTIONS, JobOptions


class Submit(msgspec.Struct, frozen=True):
    """ADMIN or SUBMIT JOB: queue "flush" or "compact" on `space`, or on the chosen space."""

    command: str
    space: str | None = None
    options: JobOptions = NO_OPTIONS


class Explain(msgspec.Struct, frozen=True):
    """EXPLAIN: show the effect that a job would have, without running it."""

    statement: Submit


class ShowJobs(msgspec.Struct, frozen=True):
    """SHOW JOBS: `status` in lower case; `limit` is the number of newest jobs to show."""

    status: str | None = None
    space: str | None = None
    limit: int | None = None
    archived: bool = False


class ShowJob(msgspec.Struct, frozen=True):
    """SHOW JOB: one job and its tasks."""

    job: int


class Stop(msgspec.Struct, frozen=True):
    """STOP JOB: stop queued and running jobs."""

    jobs: tuple[int, ...]
    because: str = ""


class Pause(msgspec.Struct, frozen=True):
    """PAUSE JOB: pause jobs. `now` cancels the step at work instead of waiting for its end."""

    jobs: tuple[int, ...]
    because: str = ""
    now: bool = False


class Resume(msgspec.Struct, frozen=True):
    """RESUME JOB: let paused jobs continue."""

    jobs: tuple[int, ...]
    because: str = ""


class SetRate(msgspec.Struct, frozen=True):
    """SET RATE: limit the writes of a job, or of all, to `rate` bytes a second; None: OFF."""

    rate: int | None = None
    job: int | None = None


class Backup(msgspec.Struct, frozen=True):
    """BACKUP JOB: archive every ended job from `first` to `last`, inclusive."""

    first: int
    last: int


class Restore(msgspec.Struct, frozen=True):
    """RESTORE JOB: move the archived jobs from `first` to `last` back; without `last` one job."""

    first: int
    last: int | None = None


class Recover(msgspec.Struct, frozen=True):
    """RECOVER JOB: run jobs again; without ids, all that failed or were stopped.

    Attributes:
        failed_only: Whether only the hosts that did not finish run again.
        whole: Whether compactions start over, instead of continuing after the last finished step.
    """

    jobs: tuple[int, ...] = ()
    because: str = ""
    failed_only: bool = False
    whole: bool = False


class Use(msgspec.Struct, frozen=True):
    """USE: choose the space of the following statements."""

    space: str


class ShowSpaces(msgspec.Struct, frozen=True):
    """SHOW SPACES: the spaces with their sizes."""


class ShowHosts(msgspec.Struct, frozen=True):
    """SHOW HOSTS: the storage hosts, and whether each answers."""


class ShowAdvice(msgspec.Struct, frozen=True):
    """SHOW ADVICE: the spaces with a recommended job, and the reason."""

    space: str | None = None


class CreateSpace(msgspec.Struct, frozen=True):
    """CREATE SPACE: create a space on hosts, or adopt directories.

    At most one of `count`, `hosts` and `directories` is given; with none, it is on all hosts.
    `directories` are as typed, relative or absolute.
    """

    space: str
    if_not_exists: bool = False
    count: int | None = None
    hosts: tuple[str, ...] | None = None
    directories: tuple[str, ...] | None = None


class DropSpace(msgspec.Struct, frozen=True):
    """DROP SPACE: delete an embedded space, or release an adopted one."""

    space: str
    if_exists: bool = False


class CreateSchedule(msgspec.Struct, frozen=True):
    """CREATE SCHEDULE: submit a job at regular times.

    Attributes:
        at: The cron expression, as typed.
        until: The time of day at which a run is paused, `06:00` as typed; None if it runs to its end.
        timezone: The time zone of both, None for the owner's.
    """

    name: str
    at: str
    statement: Submit
    if_not_exists: bool = False
    until: str | None = None
    timezone: str | None = None


class ShowSchedules(msgspec.Struct, frozen=True):
    """SHOW SCHEDULES: the schedules, their next times and last results."""


class PauseSchedule(msgspec.Struct, frozen=True):
    """PAUSE SCHEDULE: submit nothing until it is resumed."""

    name: str


class ResumeSchedule(msgspec.Struct, frozen=True):
    """RESUME SCHEDULE: submit again at its times."""

    name: str


class RunSchedule(msgspec.Struct, frozen=True):
    """RUN SCHEDULE: submit its job now. Its next time stays the same."""

    name: str


class DropSchedule(msgspec.Struct, frozen=True):
    """DROP SCHEDULE: delete a schedule."""

    name: str
    if_exists: bool = False


Statement = (
    Submit
    | Explain
    | ShowJobs
    | ShowJob
    | Stop
    | Pause
    | Resume
    | SetRate
    | Backup
    | Restore
    | Recover
    | Use
    | ShowSpaces
    | ShowHosts
    | ShowAdvice
    | CreateSpace
    | DropSpace
    | CreateSchedule
    | ShowSchedules
    | PauseSchedule
    | ResumeSchedule
    | RunSchedule
    | DropSchedule
)


class Parsed(msgspec.Struct, frozen=True):
    """A statement and its span in the parsed text: the first character, and one past the last."""

    statement: Statement
    span: tuple[int, int]


def unparse(statement: Statement) -> str:
    """Return the text of `statement`, which `parse` reads as the same statement.

    Keywords are in capitals, and names are quoted if necessary.

    Raises:
        ValueError: If no text can hold one of its names.
    """
    match statement:
        case Submit():
            return _submit(statement)
        case Explain(explained):
            return f"EXPLAIN {_submit(explained)}"
        case ShowJobs(status, space, limit, archived):
            return _joined(
                "SHOW",
                "ARCHIVED" if archived else (status or "").upper(),
                "JOBS",
                _name(space, "IN "),
                "" if limit is None else f"LIMIT {limit}",
            )
        case ShowJob(job):
            return f"SHOW JOB {job}"
        case Stop() | Pause() | Resume() | Recover():
            return _job_control(statement)
        case SetRate(rate, job):
            limit_text = "OFF" if rate is None else write_size(rate)
            return _joined("SET RATE", limit_text, "" if job is None else f"FOR JOB {job}")
        case Backup(first, last):
            return f"BACKUP JOB {first} {last}"
        case Restore(first, last):
            return _joined(f"RESTORE JOB {first}", "" if last is None else str(last))
        case Use(space):
            return f"USE {quote_name(space)}"
        case ShowSpaces():
            return "SHOW SPACES"
        case ShowHosts():
            return "SHOW HOSTS"
        case ShowAdvice(space):
            return _joined("SHOW ADVICE", _name(space, "IN "))
        case CreateSpace():
            return _create_space(statement)
        case DropSpace(space, if_exists):
            return _joined("DROP SPACE", "IF EXISTS" if if_exists else "", quote_name(space))
        case CreateSchedule():
            return _create_schedule(statement)
        case ShowSchedules():
            return "SHOW SCHEDULES"
        case PauseSchedule(name):
            return f"PAUSE SCHEDULE {quote_name(name)}"
        case ResumeSchedule(name):
            return f"RESUME SCHEDULE {quote_name(name)}"
        case RunSchedule(name):
            return f"RUN SCHEDULE {quote_name(name)}"
        case DropSchedule(name, if_exists):
            return _joined("DROP SCHEDULE", "IF EXISTS" if if_exists else "", quote_name(name))


def write_options(options: JobOptions) -> dict[str, list[str]]:
    """Return the options that are not at their defaults, as after WITH: names and values.

    `hosts` and `condition` are left out, because they are not written after WITH.
    """
    given: dict[str, list[str]] = {}
    if options.rolling is not None:
        given["rolling"] = [str(options.rolling)]
    if options.wait != NO_OPTIONS.wait:
        given["wait"] = [write_duration(options.wait)]
    if options.order is not NO_OPTIONS.order:
        given["order"] = [options.order]
    if options.on_failure is not NO_OPTIONS.on_failure:
        given["on_failure"] = [options.on_failure]
    if options.retry != NO_OPTIONS.retry:
        given["retry"] = [str(options.retry)]
    if options.retry_wait != NO_OPTIONS.retry_wait:
        given["retry_wait"] = [write_duration(options.retry_wait)]
    if options.rate is not None:
        given["rate"] = [write_size(options.rate)]
    if options.families:
        given["family"] = list(map(quote_text, options.families))
    if options.from_key is not None:
        given["from"] = [_key(options.from_key)]
    if options.to_key is not None:
        given["to"] = [_key(options.to_key)]
    if options.room is not None:
        given["room"] = [write_size(options.room)]
    elif options.room_share is not None:
        given["room"] = [write_share(options.room_share)]
    if options.because:
        given["because"] = [quote_text(options.because)]
    return given


def _submit(statement: Submit) -> str:
    options = statement.options
    return _joined(
        "ADMIN",
        statement.command.upper(),
        _name(statement.space),
        f"ON {_listed(map(quote_host, options.hosts))}" if options.hosts else "",
        f"IF {options.condition}" if options.condition else "",
        _with(write_options(options)),
    )


def _job_control(statement: Stop | Pause | Resume | Recover) -> str:
    given: dict[str, list[str]] = {}
    match statement:
        case Pause(now=True):
            given["now"] = ["true"]
        case Recover(failed_only=failed_only, whole=whole):
            flags = {"failed_only": failed_only, "whole": whole}
            given.update({name: ["true"] for name, flag in flags.items() if flag})
    if statement.because:
        given["because"] = [quote_text(statement.because)]
    verb = type(statement).__name__.upper()
    return _joined(f"{verb} JOB", _listed(map(str, statement.jobs)), _with(given))


def _create_space(statement: CreateSpace) -> str:
    where = ""
    if statement.directories is not None:
        where = f"AT {_listed(map(quote_text, statement.directories))}"
    elif statement.hosts is not None:
        where = f"ON {_listed(map(quote_host, statement.hosts))}"
    elif statement.count is not None:
        where = f"ON {statement.count} HOSTS"
    condition = "IF NOT EXISTS" if statement.if_not_exists else ""
    return _joined("CREATE SPACE", condition, quote_name(statement.space), where)


def _create_schedule(statement: CreateSchedule) -> str:
    return _joined(
        "CREATE SCHEDULE",
        "IF NOT EXISTS" if statement.if_not_exists else "",
        quote_name(statement.name),
        f"AT {quote_text(statement.at)}",
        "" if statement.until is None else f"UNTIL {quote_text(statement.until)}",
        "" if statement.timezone is None else _with({"timezone": [quote_text(statement.timezone)]}),
        f"DO {_submit(statement.statement)}",
    )


def _with(options: dict[str, list[str]]) -> str:
    given = [f"{name} = {value}" for name, values in options.items() for value in values]
    return f"WITH {_listed(given)}" if given else ""


def option_values(options: JobOptions) -> dict[str, object]:
    """Return the options that differ from their defaults, by name, with full values for JSON.

    Sizes are bytes, durations seconds, shares fractions, families a list; a key is text, or hexadecimal
    (`0x00ff`) if it is not printable text. `hosts` and `condition` are left out.
    """
    found: dict[str, object] = {}
    if options == NO_OPTIONS:
        return found
    fields = {"families": "family", "from_key": "from", "to_key": "to", "room_share": "room"}
    for name in options.__struct_fields__:
        value = getattr(options, name)
        if name in ("hosts", "condition") or value == getattr(NO_OPTIONS, name):
            continue
        if isinstance(value, bytes):
            value = _printable_key(value) or f"0x{value.hex()}"
        found[fields.get(name, name)] = list(value) if isinstance(value, tuple) else value
    return found


def _key(key: bytes) -> str:
    """Return a key as text in quotes, in hexadecimal if it is not printable text."""
    text = _printable_key(key)
    return f"0x{key.hex()}" if text is None else quote_text(text)


def _printable_key(key: bytes) -> str | None:
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _name(name: str | None, before: str = "") -> str:
    return "" if name is None else before + quote_name(name)


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))
