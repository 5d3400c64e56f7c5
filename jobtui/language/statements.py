"""What a text can ask for: a frozen dataclass a statement. Absent parts are None.

`span` is where the statement stood in its text (first character, one past its last); it is no part
of a statement's identity. `Placed` compares and shows them all: what a dataclass makes for each is paid for
at every start.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False, repr=False, kw_only=True, slots=True)
class Placed:
    """Where a statement stood in the text that it was parsed from."""

    span: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._said() == other._said()

    def __hash__(self) -> int:
        return hash((type(self), *self._said().values()))

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self._said().items())
        return f"{type(self).__name__}({said})"

    def _said(self) -> dict[str, object]:
        """All but where it stood."""
        names: tuple[str, ...] = self.__match_args__
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Submit(Placed):
    """ADMIN or SUBMIT JOB: queue a `command` ("flush" or "compact") on `space` or the chosen one."""

    command: str
    space: str | None = None


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ShowJobs(Placed):
    """SHOW JOBS: `status` in lower case; `limit` keeps the newest n; `archived` shows the archive."""

    status: str | None = None
    space: str | None = None
    limit: int | None = None
    archived: bool = False


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ShowJob(Placed):
    """SHOW JOB: one job and its tasks."""

    job: int


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Stop(Placed):
    """STOP JOB: stop queued and running jobs."""

    jobs: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Backup(Placed):
    """BACKUP JOB: archive every ended job from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Recover(Placed):
    """RECOVER JOB: run jobs again; no ids means every failed or stopped one not yet recovered."""

    jobs: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Use(Placed):
    """USE: choose the space for what follows."""

    space: str


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ShowSpaces(Placed):
    """SHOW SPACES: the spaces and what they hold."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ShowHosts(Placed):
    """SHOW HOSTS: the storage hosts, and whether each answers."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class CreateSpace(Placed):
    """CREATE SPACE: on all hosts, on `count` of them, on the named `hosts`, or adopting `directories`.

    At most one of `count`, `hosts` and `directories` is given; `directories` are as typed.
    """

    space: str
    if_not_exists: bool = False
    count: int | None = None
    hosts: tuple[str, ...] | None = None
    directories: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class DropSpace(Placed):
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
