"""The statements as records. Absent parts are None."""

from __future__ import annotations

import msgspec


class Submit(msgspec.Struct, frozen=True):
    """ADMIN or SUBMIT JOB: queue a `command` ("flush" or "compact") on `space` or the chosen one."""

    command: str
    space: str | None = None


class ShowJobs(msgspec.Struct, frozen=True):
    """SHOW JOBS: `status` in lower case; `limit` keeps the newest n; `archived` shows the archive."""

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
    """BACKUP JOB: archive every ended job from `first` to `last`, both included."""

    first: int
    last: int


class Recover(msgspec.Struct, frozen=True):
    """RECOVER JOB: run jobs again; no ids means every failed or stopped one not yet recovered."""

    jobs: tuple[int, ...] = ()


class Use(msgspec.Struct, frozen=True):
    """USE: choose the space for what follows."""

    space: str


class ShowSpaces(msgspec.Struct, frozen=True):
    """SHOW SPACES: the spaces and what they hold."""


class ShowHosts(msgspec.Struct, frozen=True):
    """SHOW HOSTS: the storage hosts, and whether each answers."""


class CreateSpace(msgspec.Struct, frozen=True):
    """CREATE SPACE: on all hosts, on `count` of them, on the named `hosts`, or adopting `directories`.

    At most one of `count`, `hosts` and `directories` is given; `directories` are as typed.
    """

    space: str
    if_not_exists: bool = False
    count: int | None = None
    hosts: tuple[str, ...] | None = None
    directories: tuple[str, ...] | None = None


class DropSpace(msgspec.Struct, frozen=True):
    """DROP SPACE: delete an embedded space, or forget an adopted one."""

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
    """A statement and its place in the text it was parsed from: first character, one past its last."""

    statement: Statement
    span: tuple[int, int]
