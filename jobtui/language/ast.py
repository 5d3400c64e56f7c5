"""The statements as records, and `unparse`, which writes a record as text.

Parts that were not given are None.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from jobtui.language.identifiers import quote_name


class Submit(msgspec.Struct, frozen=True):
    """ADMIN or SUBMIT JOB: queue "flush" or "compact" on `space`, or on the chosen space."""

    command: str
    space: str | None = None


class ShowJobs(msgspec.Struct, frozen=True):
    """SHOW JOBS: `status` in lower case; `limit` is how many of the newest to show."""

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


class Backup(msgspec.Struct, frozen=True):
    """BACKUP JOB: archive every ended job from `first` to `last`, inclusive."""

    first: int
    last: int


class Recover(msgspec.Struct, frozen=True):
    """RECOVER JOB: run jobs again; without ids, all that failed or were stopped."""

    jobs: tuple[int, ...] = ()


class Use(msgspec.Struct, frozen=True):
    """USE: choose the space of the following statements."""

    space: str


class ShowSpaces(msgspec.Struct, frozen=True):
    """SHOW SPACES: the spaces with their sizes."""


class ShowHosts(msgspec.Struct, frozen=True):
    """SHOW HOSTS: the storage hosts, and whether each answers."""


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


Statement = (
    Submit
    | ShowJobs
    | ShowJob
    | Stop
    | Backup
    | Recover
    | Use
    | ShowSpaces
    | ShowHosts
    | CreateSpace
    | DropSpace
)


class Parsed(msgspec.Struct, frozen=True):
    """A statement and its place in the parsed text: first character, one past the last."""

    statement: Statement
    span: tuple[int, int]


_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})


def unparse(statement: Statement) -> str:
    """Return the text of `statement`, which `parse` reads as the same statement.

    Keywords are in capitals, and names are quoted if necessary.

    Raises:
        ValueError: If no text can hold one of its names.
    """
    match statement:
        case Submit(command, space):
            return _joined("ADMIN", command.upper(), _name(space))
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
        case Stop(jobs):
            return _joined("STOP JOB", _listed(map(str, jobs)))
        case Backup(first, last):
            return f"BACKUP JOB {first} {last}"
        case Recover(jobs):
            return _joined("RECOVER JOB", _listed(map(str, jobs)))
        case Use(space):
            return f"USE {quote_name(space)}"
        case ShowSpaces():
            return "SHOW SPACES"
        case ShowHosts():
            return "SHOW HOSTS"
        case CreateSpace():
            return _create(statement)
        case DropSpace(space, if_exists):
            return _joined("DROP SPACE", "IF EXISTS" if if_exists else "", quote_name(space))


def _create(statement: CreateSpace) -> str:
    where = ""
    if statement.directories is not None:
        where = f"AT {_listed(map(_string, statement.directories))}"
    elif statement.hosts is not None:
        where = f"ON {_listed(map(quote_name, statement.hosts))}"
    elif statement.count is not None:
        where = f"ON {statement.count} HOSTS"
    condition = "IF NOT EXISTS" if statement.if_not_exists else ""
    return _joined("CREATE SPACE", condition, quote_name(statement.space), where)


def _name(name: str | None, before: str = "") -> str:
    return "" if name is None else before + quote_name(name)


def _string(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))
