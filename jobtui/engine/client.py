"""The client interface through which the dashboard and the commands reach an engine.

`LocalClient` runs the engine in this process; `RemoteClient` sends statements to the process that owns the
profile; `ReadOnlyClient` shows a profile and refuses what would write; `FailoverClient` uses one of the three,
and changes to another when the owner exits.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from jobtui.language.results import Result
from jobtui.model import (
    ConnectionChanged,
    ConnectionStatus,
    Job,
    JobChanged,
    JobsArchived,
    Notice,
    SpaceStats,
    TaskLogged,
    TaskProgressed,
)
from jobtui.storage.base import Host, Space

if TYPE_CHECKING:
    from concurrent.futures import Future

    from jobtui.engine.samples import JobSamples
    from jobtui.history import History

EngineEvent = JobChanged | TaskProgressed | TaskLogged | JobsArchived | Notice | ConnectionChanged
Listener = Callable[[Sequence[EngineEvent]], None]


class Session(msgspec.Struct, eq=False, weakref=True):
    """The state of one command bar or script.

    Attributes:
        space: The chosen space, None if there is none.
        cwd: The directory that AT is relative to.
        kind: The source of the statements: `dashboard`, `script`, `schedule`, or the signal that ended this
            process (`SIGTERM`).
        uid: The user who requests them, None for the user of this process.
    """

    space: str | None = None
    cwd: Path = msgspec.field(default_factory=lambda: _current_directory())
    kind: str = "script"
    uid: int | None = None

    @property
    def requested_by(self) -> str:
        """The user, the host and the kind: `anna@db1, dashboard`."""
        return f"{_user_at_host(os.geteuid() if self.uid is None else self.uid)}, {self.kind}"


# cached, because each statement needs it: the system reads a file, or asks a directory server, for the name of
# a user, and the thread gives the processor away in both calls
@lru_cache(maxsize=64)
def _user_at_host(uid: int) -> str:
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = f"uid {uid}"  # a container need not have an entry for its user
    return f"{user}@{os.uname().nodename}"


def _current_directory() -> Path:
    """Return the current directory; if it was deleted, its last path in the shell."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.environ.get("PWD") or os.sep)


class Failure(msgspec.Struct, frozen=True):
    """The statement that failed, as typed, with its position in the text (1-based) and the reason.

    `syntax`: the text did not parse, and nothing of it ran; `caret` is then the text to print: the line, the
    caret line, and what was expected.
    """

    statement: str
    message: str
    line: int
    column: int
    syntax: bool = False
    caret: str = ""


class ExecuteResult(msgspec.Struct, frozen=True):
    """The results of a text, in order, and the failure that ended it, None if all statements ran."""

    results: tuple[Result, ...] = ()
    failure: Failure | None = None

    @property
    def jobs(self) -> tuple[int, ...]:
        """The ids of the jobs that the text submitted, in order, each once."""
        # for a job that equals one in flight, a cluster returns the id of the earlier one
        return tuple(dict.fromkeys(job for result in self.results for job in result.jobs))


class SpaceOverview(msgspec.Struct, frozen=True):
    """A space with its bytes on disk, in memory and still to compact, each None if it is unknown."""

    space: Space
    size: int | None
    memory: int | None
    pending: int | None


class Overview(msgspec.Struct, frozen=True):
    """Spaces and hosts at one moment."""

    spaces: tuple[SpaceOverview, ...]
    hosts: tuple[Host, ...]


class Client(Protocol):
    """The interface of an engine.

    Any thread may call any method; none blocks on the engine's work.
    """

    @property
    def profile(self) -> str:
        """The profile's name."""
        ...

    @property
    def writable(self) -> bool:
        """Whether statements that change something are accepted."""
        ...

    @property
    def is_owner(self) -> bool:
        """Whether this process runs the jobs; if not, they continue when it ends."""
        ...

    @property
    def write_error(self) -> str:
        """Why nothing can be written at the moment, and what to do about it; "" if it can."""
        ...

    @property
    def connection(self) -> ConnectionStatus | None:
        """The state of the connection to the cluster; None for a storage without one.

        A `ConnectionChanged` is published at every change.
        """
        ...

    def reconnect(self) -> None:
        """Try to connect now instead of after the delay; after a rejected login, only this connects again."""
        ...

    @property
    def history(self) -> History:
        """The history, for reading: pages, filters, counts."""
        ...

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """Parse `text` and run its statements in order; a USE in it changes `session`.

        A fault that a user can cause never fails the future: a syntax error, a refusal or a failed write is the
        result's `failure`.
        """
        ...

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each batch of messages; the function returned ends the subscription.

        It is called on a thread of the client and must return at once.
        """
        ...

    def job(self, job_id: int) -> Job | None:
        """Return the job as it is now, with its progress; None if there is none or it is archived."""
        ...

    def active_jobs(self) -> tuple[Job, ...]:
        """Return the queued and running jobs, oldest first, with their progress."""
        ...

    def space_names(self) -> tuple[str, ...]:
        """Return the names of the spaces as last known, in order; never waits."""
        ...

    def host_names(self) -> tuple[str, ...]:
        """Return the names of the storage hosts as last known; never waits."""
        ...

    def fetch_overview(self) -> Future[Overview]:
        """Return all spaces and hosts as they are now. The future fails with StorageError."""
        ...

    def fetch_stats(self, space: str, host: str) -> Future[SpaceStats]:
        """Return the statistics of a space on a host. The future fails with StorageError."""
        ...

    def fetch_samples(self, job_id: int) -> Future[JobSamples | None]:
        """Return what a job's hosts read and wrote each second, None if nothing was recorded or it is lost."""
        ...

    def stop_jobs(self) -> Future[None]:
        """Stop every queued and running job; done when the last one has ended."""
        ...

    def yield_jobs(self) -> Future[None]:
        """End the work of this process at the next steps, so that the profile's next owner continues it.

        Done when no host is at work; no job is started from then on. Nothing happens if another process owns
        the profile.
        """
        ...

    def wait_idle(self) -> Future[None]:
        """Return a future that is done when no job is queued or running."""
        ...

    def close(self) -> None:
        """End the engine's thread and its workers within a few seconds; jobs that run are interrupted.

        They stay `running` on disk, and the next owner marks them as interrupted.
        """
        ...
