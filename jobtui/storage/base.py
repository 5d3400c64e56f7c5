"""What a storage can be asked to do, and the one error that it answers with.

The codes, and what each means to a user:

    missing      the space, or a file that it needs, is not there
    locked       another program has the database open
    access       jobtui may not read or write there
    disk_full    there is no room; `detail` says how much is needed and how much is free
    corrupt      data on disk failed its check
    io           the disk or the file system failed otherwise
    timeout      the host did not finish before the task's deadline
    unreachable  the host could not be reached
    host_died    the host's process ended in the middle of the work
    rejected     the host refused; `detail` is its own word
    unsupported  this storage can't do that

A storage is asked in the engine's asyncio loop and must never block it. It has one of two faces, and a
backend is one class with the methods of either: a `TaskRunner` flushes and compacts host by host as the
engine tells it, and a stop there is not an error but an `Outcome` whose `stopped` is True; a `JobMirror`
is a cluster that manages its jobs itself, whose jobs are looked at, submitted, stopped and recovered there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from jobtui.model import ConnectionState as ConnectionState
from jobtui.model import ConnectionStatus as ConnectionStatus
from jobtui.model import SpaceStats, Status, Task

if TYPE_CHECKING:
    import asyncio  # who only reads the catalogue must not pay for it


class Capabilities(msgspec.Struct, frozen=True):
    """What a storage can and can't do.

    `exact_progress`: a running task's progress is measured, not unknown. `real_stop`: a stopped task's
    host has really ended its work (else the task ends *detached*). `create`: CREATE and DROP SPACE work.
    `load`: pairs can be loaded and dumped.
    """

    exact_progress: bool
    real_stop: bool
    create: bool
    load: bool


class Space(msgspec.Struct, frozen=True):
    """A space and the hosts that hold it, in task order. `adopted`: its databases belong to another program."""

    name: str
    hosts: tuple[str, ...]
    adopted: bool = False


class Host(msgspec.Struct, frozen=True):
    """A storage host. `up` is whether it answers and `detail` why not; sizes in bytes, None where unknown."""

    name: str
    up: bool
    detail: str = ""
    spaces: int = 0
    size: int | None = None
    free: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """How a flush or compact went that did not fail.

    `note` says what of it was left out, and why. `stopped`: it was cancelled before it was through.
    `detached`: it was cancelled but the host goes on; `settled` then ends when the host has returned, and
    the host is busy until then.
    """

    before: SpaceStats | None = None
    after: SpaceStats | None = None
    stopped: bool = False
    detached: bool = False
    settled: asyncio.Future[None] | None = None
    note: str = ""


class Placement(msgspec.Struct, frozen=True):
    """Where a new space goes: on all hosts, on `count` of them, on `hosts`, or in existing `directories`."""

    count: int | None = None
    hosts: tuple[str, ...] | None = None
    directories: tuple[str, ...] | None = None


class ProgressCallback(Protocol):
    """What a storage tells of work under way: at most 10 times a second, and never falling."""

    def __call__(self, fraction: float | None, rate: float | None, before: SpaceStats | None = None) -> None:
        """`fraction` 0..1 and `rate` in bytes a second, None where unknown.

        `before`: what the space holds on the host as the work begins, told once, where it is known.
        """
        ...


# a key and its value; None deletes the key
Pair = tuple[bytes, bytes | None]


class TaskRunner(Protocol):
    """A storage whose work the engine splits into tasks itself (embedded RocksDB; storaged over HTTP)."""

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can and can't do."""
        ...

    async def start(self) -> None:
        """Make ready; called once, in the engine's loop. Raises StorageError."""
        ...

    async def close(self) -> None:
        """End everything that was started, within a few seconds, whatever is still running."""
        ...

    async def spaces(self) -> tuple[Space, ...]:
        """The spaces, in name order. Raises StorageError where the list can't be had."""
        ...

    async def hosts(self) -> tuple[Host, ...]:
        """The storage hosts; a host that does not answer is listed with `up=False` and the reason."""
        ...

    async def stats(self, space: str, host: str) -> SpaceStats:
        """What the space holds on the host now. Raises StorageError."""
        ...

    async def flush(self, space: str, host: str, progress: ProgressCallback, cancel: asyncio.Event) -> Outcome:
        """Write the space's memtables on that host to SST files. Raises StorageError."""
        ...

    async def compact(
        self, space: str, host: str, progress: ProgressCallback, cancel: asyncio.Event
    ) -> Outcome:
        """Merge the space's SST files on that host down to one level. Raises StorageError.

        Setting `cancel` asks for a stop; the call returns, with `stopped`, once the work has truly ended.
        """
        ...

    async def create_space(self, name: str, placement: Placement) -> Space:
        """Make a space, or adopt existing databases. Raises StorageError; nothing is left half made."""
        ...

    async def drop_space(self, name: str) -> None:
        """Delete an embedded space's data, or forget an adopted one's. Raises StorageError."""
        ...

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """Write pairs, each to the host that its key's hash names; all of them are in when it returns.

        Raises StorageError.
        """
        ...

    def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """The space's pairs in key order over all its hosts. Raises StorageError, also midway."""
        ...


class ClusterJob(msgspec.Struct, frozen=True):
    """A job as its cluster tells it: the cluster's id and times (aware, UTC), our statuses.

    `command` is the cluster's word in lower case (`flush`, `rebuild tag index`). `tasks` is None in a
    list of jobs, where the cluster does not tell them. `reason` says why it failed.
    """

    id: int
    command: str
    status: Status
    start: datetime | None = None
    stop: datetime | None = None
    reason: str = ""
    tasks: tuple[Task, ...] | None = None


class ClusterJobManager(Protocol):
    """A cluster that manages its jobs itself (NebulaGraph's own job manager).

    Every method but `start`, `watch`, `retry_now` and `close` raises StorageError, at once while the
    connection is lost. What is asked for with `submit`, `stop` and `recover` is sent at most once; see
    `StorageError.outcome_unknown`.
    """

    @property
    def cluster(self) -> str:
        """The cluster's name, as a job's origin records it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can and can't do."""
        ...

    @property
    def link(self) -> ConnectionStatus:
        """How it stands with the connection."""
        ...

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Have `listener` called, in the loop, when the connection's state changes; the answer ends that."""
        ...

    async def start(self) -> None:
        """Begin to connect, in the background; returns at once. Called once, in the engine's loop."""
        ...

    async def ready(self) -> None:
        """Wait for the first attempt to connect; raises StorageError where it failed."""
        ...

    def retry_now(self) -> None:
        """Try to connect now rather than when the wait is over; the only way on after a refusal."""
        ...

    async def close(self) -> None:
        """End everything that was started, within a few seconds."""
        ...

    async def spaces(self) -> tuple[Space, ...]:
        """The spaces that the user may see, in name order."""
        ...

    async def hosts(self) -> tuple[Host, ...]:
        """The storage hosts; `up` is what the cluster says."""
        ...

    async def jobs(self, space: str, since: int = 0) -> tuple[ClusterJob, ...]:
        """The jobs that the cluster still knows of the space, above id `since`, newest first, without tasks."""
        ...

    async def show(self, space: str, job: int) -> ClusterJob:
        """One job of the space, with its tasks."""
        ...

    async def submit(self, command: str, space: str) -> int:
        """Have the cluster run `command` on the space; its id there.

        A cluster gives a job that is the same as one in flight that one's id: it may be known already.
        """
        ...

    async def stop(self, space: str, job: int) -> None:
        """Stop a job of the space; where the cluster refuses, the error is its own words."""
        ...

    async def recover(self, space: str, jobs: Sequence[int] = ()) -> int:
        """Run failed and stopped jobs again under their ids, those or all of the space; how many it was."""
        ...
