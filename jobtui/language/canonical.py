"""A statement back into text: the one way of writing it that `parse` reads as the same statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from jobtui.language.quote import quoted
from jobtui.language.statements import (
    Backup,
    CreateSpace,
    DropSpace,
    Recover,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSpaces,
    Statement,
    Stop,
    Submit,
    Use,
)

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})


def unparse(statement: Statement) -> str:
    """`statement` in the words of the language, keywords in capitals, names quoted where they must be.

    Raises ValueError where a name in it is one that no text can hold.
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
            return f"USE {quoted(space)}"
        case ShowSpaces():
            return "SHOW SPACES"
        case ShowHosts():
            return "SHOW HOSTS"
        case CreateSpace():
            return _create(statement)
        case DropSpace(space, if_exists):
            return _joined("DROP SPACE", "IF EXISTS" if if_exists else "", quoted(space))


def _create(statement: CreateSpace) -> str:
    where = ""
    if statement.directories is not None:
        where = f"AT {_listed(map(_string, statement.directories))}"
    elif statement.hosts is not None:
        where = f"ON {_listed(map(quoted, statement.hosts))}"
    elif statement.count is not None:
        where = f"ON {statement.count} HOSTS"
    condition = "IF NOT EXISTS" if statement.if_not_exists else ""
    return _joined("CREATE SPACE", condition, quoted(statement.space), where)


def _name(name: str | None, before: str = "") -> str:
    return "" if name is None else before + quoted(name)


def _string(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))
