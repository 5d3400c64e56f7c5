"""What a text can ask for: a frozen struct a statement. Absent parts are None.

`span` is where the statement stood in its text (first character, one past its last); it is no part
of a statement's identity: `Placed` compares and shows them all without it.
"""

from __future__ import annotations

import msgspec


class Placed(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Where a statement stood in the text that it was parsed from."""

    span: tuple[int, int] = (0, 0)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._said() == other._said()

    def __hash__(self) -> int:
        return hash((type(self), *self._said().values()))

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self._said().items())
        return f"{type(self).__name__}({said})"

    def _said(self) -> dict[str, object]:
        """All but where it stood."""
        names: tuple[str, ...] = type(self).__match_args__
        return {name: getattr(self, name) for name in names}


class Submit(Placed, frozen=True, eq=False):
    """ADMIN or SUBMIT JOB: queue a `command` ("flush" or "compact") on `space` or the chosen one."""

    command: str
    space: str | None = None


class ShowJobs(Placed, frozen=True, eq=False):
    """SHOW JOBS: `status` in lower case; `limit` keeps the newest n; `archived` shows the archive."""

    status: str | None = None
    space: str | None = None
    limit: int | None = None
    archived: bool = False


class ShowJob(Placed, frozen=True, eq=False):
    """SHOW JOB: one job and its tasks."""

    job: int


class Stop(Placed, frozen=True, eq=False):
    """STOP JOB: stop queued and running jobs."""

    jobs: tuple[int, ...]


class Backup(Placed, frozen=True, eq=False):
    """BACKUP JOB: archive every ended job from `first` to `last`, both included."""

    first: int
    last: int


class Recover(Placed, frozen=True, eq=False):
    """RECOVER JOB: run jobs again; no ids means every failed or stopped one not yet recovered."""

    jobs: tuple[int, ...] = ()


class Use(Placed, frozen=True, eq=False):
    """USE: choose the space for what follows."""

    space: str


class ShowSpaces(Placed, frozen=True, eq=False):
    """SHOW SPACES: the spaces and what they hold."""


class ShowHosts(Placed, frozen=True, eq=False):
    """SHOW HOSTS: the storage hosts, and whether each answers."""


class CreateSpace(Placed, frozen=True, eq=False):
    """CREATE SPACE: on all hosts, on `count` of them, on the named `hosts`, or adopting `directories`.

    At most one of `count`, `hosts` and `directories` is given; `directories` are as typed.
    """

    space: str
    if_not_exists: bool = False
    count: int | None = None
    hosts: tuple[str, ...] | None = None
    directories: tuple[str, ...] | None = None


class DropSpace(Placed, frozen=True, eq=False):
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
