"""What a screen or a script talks to: one face, whether the work is done in this process or only read.

`Engine` is the desk of the process that owns the profile; `Reader` shows a profile that another
process owns, or that nobody runs, and refuses what would write.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from jobtui.language.tables import Result
from jobtui.model import (
    ConnectionChanged,
    ConnectionStatus,
    Job,
    JobChanged,
    JobsArchived,
    Notice,
    SpaceStats,
    TaskProgressed,
)
from jobtui.storage.base import Capabilities, Host, Space

if TYPE_CHECKING:
    from concurrent.futures import Future

    from jobtui.history import History

EngineEvent = JobChanged | TaskProgressed | JobsArchived | Notice | ConnectionChanged
Listener = Callable[[Sequence[EngineEvent]], None]


class Session(msgspec.Struct, eq=False, weakref=True):
    """What one command bar or script has chosen: its space, and the directory that AT is relative to."""

    space: str | None = None
    cwd: Path = msgspec.field(default_factory=lambda: _current_directory())


def _current_directory() -> Path:
    """Where the process is; where that was deleted, the path that its shell knew it by."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.environ.get("PWD") or os.sep)


class Failure(msgspec.Struct, frozen=True):
    """The statement that failed: its words, place in the text (1-based) and the reason.

    `syntax`: the text did not parse, and nothing of it ran; `caret` is then the line, the caret line and
    what was expected, as it is to be printed.
    """

    statement: str
    message: str
    line: int
    column: int
    syntax: bool = False
    caret: str = ""


class ExecuteResult(msgspec.Struct, frozen=True):
    """What a text came to: the results in order, and the failure that ended it (None: all of it ran)."""

    results: tuple[Result, ...] = ()
    failure: Failure | None = None

    @property
    def jobs(self) -> tuple[int, ...]:
        """Ids of the jobs that the text submitted, in order."""
        return tuple(job for result in self.results for job in result.jobs)


class SpaceOverview(msgspec.Struct, frozen=True):
    """A space as SHOW SPACES tells it: bytes on disk, in memory and yet to compact, None where unknown."""

    space: Space
    size: int | None
    memory: int | None
    pending: int | None


class Overview(msgspec.Struct, frozen=True):
    """Spaces and hosts at one moment."""

    spaces: tuple[SpaceOverview, ...]
    hosts: tuple[Host, ...]


class Client(Protocol):
    """See the module. Every method may be called from any thread, and none blocks on the engine's work."""

    @property
    def profile(self) -> str:
        """The profile's name, as the prompt shows it."""
        ...

    @property
    def writable(self) -> bool:
        """Whether statements that change something are carried out here."""
        ...

    @property
    def is_owner(self) -> bool:
        """Whether the work is done in this process; where it is not, it goes on without this screen."""
        ...

    @property
    def may_hand_over(self) -> bool:
        """Whether the work can go on in this process once its screen is left."""
        ...

    def hand_over(self) -> bool:
        """Have the work go on in this process once the screen is left; whether that can be."""
        ...

    @property
    def write_error(self) -> str:
        """Why nothing can be written at the moment and what to do about it; "" while all is well."""
        ...

    @property
    def capabilities(self) -> Capabilities | None:
        """What the storage can do; None until it is known."""
        ...

    @property
    def connection(self) -> ConnectionStatus | None:
        """How it stands with the connection to the cluster; None where there is none to have.

        A `LinkChanged` is posted with every change of it.
        """
        ...

    def reconnect(self) -> None:
        """Try to connect now rather than when the wait is over; the only way on after a refusal."""
        ...

    @property
    def history(self) -> History:
        """The store's read side: pages, filters, counts."""
        ...

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """Parse `text` and run its statements in order; a USE in it changes `session`.

        The future never fails for what a user can do: a bad text, a refusal and a failed write are the
        answer's `failure`.
        """
        ...

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called with each batch of messages; the answer ends the subscription.

        It is called on the engine's thread and must return at once.
        """
        ...

    def job(self, job_id: int) -> Job | None:
        """The job as it is now, with its progress if it runs; None where there is none that is not archived."""
        ...

    def active_jobs(self) -> tuple[Job, ...]:
        """The queued and running jobs, oldest first, with their progress."""
        ...

    def space_names(self) -> tuple[str, ...]:
        """Names of the spaces as last known, in order, for completion; never waits."""
        ...

    def host_names(self) -> tuple[str, ...]:
        """Names of the storage hosts as last known; never waits."""
        ...

    def fetch_overview(self) -> Future[Overview]:
        """Look at all spaces and hosts. Fails with StorageError."""
        ...

    def fetch_stats(self, space: str, host: str) -> Future[SpaceStats]:
        """Look at one space on one host. Fails with StorageError."""
        ...

    def stop_jobs(self) -> Future[None]:
        """Ask every queued and running job to stop; done when the last has ended."""
        ...

    def wait_idle(self) -> Future[None]:
        """Done when no job is queued or running."""
        ...

    def close(self) -> None:
        """End the engine's thread and its workers, within a few seconds. What still ran is interrupted.

        Running jobs are left on disk as running: the next start tells the truth about them.
        """
        ...
