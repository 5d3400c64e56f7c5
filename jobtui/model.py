"""Jobs and tasks as plain, immutable data, and which status may follow which.

Nothing here knows the engine, the history, a storage or a screen. A change makes a new record
(`msgspec.structs.replace`); whoever holds a record holds a snapshot that never changes under them.

Times are aware datetimes in UTC. Durations (`took`) are seconds of a monotonic clock, so that a wall
clock that steps back never makes one negative. Sizes are bytes.
"""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec


class Status(enum.StrEnum):
    """The five statuses of a job and of a task (NebulaGraph's first job manager, December 2019)."""

    QUEUE = "queue"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """True for the three from which nothing follows."""
        return self in ENDED

    def may_become(self, after: Status) -> bool:
        """Whether `after` may follow this status: queue → running → an end; queue → stopped."""
        return after in _NEXT[self]


ENDED = frozenset({Status.FINISHED, Status.FAILED, Status.STOPPED})
_NEXT: dict[Status, frozenset[Status]] = {
    Status.QUEUE: frozenset({Status.RUNNING, Status.STOPPED}),
    Status.RUNNING: ENDED,
    Status.FINISHED: frozenset(),
    Status.FAILED: frozenset(),
    Status.STOPPED: frozenset(),
}


class JobCommand(enum.StrEnum):
    """What jobtui itself can have a storage host do. A mirrored job's command is the cluster's own word."""

    FLUSH = "flush"
    COMPACT = "compact"


class Level(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One level of a space's SST files on one host; blob files count in the bytes of the deepest."""

    files: int
    bytes: int


class SpaceStats(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a space holds on one host at one moment.

    `levels` from level 0; `memtable` is bytes not yet flushed; `entries` is RocksDB's estimate of the entries
    in all files and memtables, in which a key counts once for each time that it was written until a compaction
    merges these; `pending` is its estimate of bytes to compact. Both are None where the storage can't tell.
    Records on disk name the entries `keys`, as they always have.
    """

    levels: tuple[Level, ...] = ()
    memtable: int = 0
    entries: int | None = msgspec.field(default=None, name="keys")
    pending: int | None = None

    @property
    def bytes(self) -> int:
        """Bytes of all SST and blob files."""
        return sum(level.bytes for level in self.levels)

    @property
    def files(self) -> int:
        """How many SST files there are."""
        return sum(level.files for level in self.levels)


INTERRUPTED_CODE = "interrupted"  # of a task that ran when jobtui ended


class Task(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A job's part on one storage host. Its id is shown as `<job>-<number>`.

    `progress` is 0..1, or None where the storage can't tell. `code` is the StorageError's code of a
    failure ("" where there was none) and `reason` says in words why the task failed or was stopped.
    `detached`: nobody waits for it any longer, but the host may still be at work.
    """

    number: int
    host: str
    status: Status = Status.QUEUE
    progress: float | None = None
    start: datetime | None = None
    stop: datetime | None = None
    took: float | None = None
    before: SpaceStats | None = None
    after: SpaceStats | None = None
    reason: str = ""
    code: str = ""
    detached: bool = False

    @property
    def reclaimed(self) -> int | None:
        """Bytes of files given back (negative where they grew), None until both sides are known."""
        if self.before is None or self.after is None:
            return None
        return self.before.bytes - self.after.bytes


class EventKind(enum.StrEnum):
    """What can happen to a job in its life."""

    SUBMITTED = "submitted"
    STARTED = "started"
    TASK_STARTED = "task started"
    STOP_ASKED = "stop asked"
    TASK_ENDED = "task ended"
    ENDED = "ended"
    INTERRUPTED = "interrupted"
    NOTE = "note"


class JobEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One entry of a job's own log: when, what, of which task, to which status, and why."""

    at: datetime
    kind: EventKind
    task: int | None = None
    status: Status | None = None
    reason: str = ""


class ClusterRef(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where a mirrored job lives: the cluster, the space there and the job's id there.

    The id is 0 while the cluster has not told it: the job was only asked for.
    """

    cluster: str
    space: str
    id: int


class Job(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A command on a space, split into a task for each of its storage hosts.

    `stopping`: a stop was asked for and some task has not ended yet. `took` is seconds from start to
    stop. `events` is the job's whole life, oldest first.
    """

    id: int
    command: str
    space: str
    submitted: datetime
    status: Status = Status.QUEUE
    start: datetime | None = None
    stop: datetime | None = None
    took: float | None = None
    reason: str = ""
    stopping: bool = False
    recovered_from: int | None = None
    origin: ClusterRef | None = None
    tasks: tuple[Task, ...] = ()
    events: tuple[JobEvent, ...] = ()

    @property
    def label(self) -> str:
        """The job's command as it is shown: `flush nba`."""
        return f"{self.command} {self.space}"

    @property
    def progress(self) -> float | None:
        """0..1: the tasks' progress weighted by their bytes, evenly where any task's are unknown.

        None where no task's progress is known, and where it would be less than was shown: of a job that was
        interrupted nobody knows how far the tasks were that ran. An ended task counts as done in full when it
        finished, and as far as it came otherwise.
        """
        if not self.tasks:
            return None
        if self.status is Status.FINISHED:
            return 1.0
        known = [(task, _fraction(task)) for task in self.tasks]
        if all(fraction is None for _, fraction in known) or any(_is_lost(task) for task in self.tasks):
            return None
        sizes = [task.before.bytes if task.before is not None else 0 for task in self.tasks]
        weights = [float(size) for size in sizes] if all(sizes) else [1.0] * len(sizes)
        done = sum(weight * (fraction or 0.0) for weight, (_, fraction) in zip(weights, known, strict=True))
        return done / sum(weights)

    @property
    def reclaimed(self) -> int | None:
        """Bytes given back by all tasks that know it, None where none does."""
        known = [task.reclaimed for task in self.tasks if task.reclaimed is not None]
        return sum(known) if known else None

    @property
    def ended_tasks(self) -> int:
        """How many tasks have ended: the 2 of `stopping 2/3`."""
        return sum(task.status.ended for task in self.tasks)


def _is_lost(task: Task) -> bool:
    """Whether it had begun, and ended with nobody there to see how far it was."""
    return task.progress is None and task.code == INTERRUPTED_CODE


def _fraction(task: Task) -> float | None:
    if task.status is Status.FINISHED:
        return 1.0
    if task.status is Status.QUEUE:
        return 0.0
    return task.progress


class JobChanged(msgspec.Struct, frozen=True, gc=False, tag="Change"):
    """A job as it now is on disk, and the status that it had before (None: it is new)."""

    job: Job
    was: Status | None


class TaskProgressed(msgspec.Struct, frozen=True, gc=False, tag="Progress"):
    """How far a running task is. Posted as it comes, never journaled.

    `job` is the job's snapshot with the progress in it; `rate` is bytes a second, None where unknown.
    """

    job: Job
    task: int
    rate: float | None = None


class JobsArchived(msgspec.Struct, frozen=True, gc=False, tag="Archived"):
    """Jobs that have just been archived, by id in rising order."""

    ids: tuple[int, ...]


class Notice(msgspec.Struct, frozen=True, gc=False, tag="Notice"):
    """Something that a person should be told: damage found, a disk that is full, a worker that died."""

    text: str
    severity: str = "warning"  # information, warning or error


class ConnectionState(enum.StrEnum):
    """How it stands with the connection to a cluster."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"
    REFUSED = "refused"
    CLOSED = "closed"


class ConnectionStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The connection to a cluster at the moment of telling.

    `since` (aware, UTC) is when the state began. Connected: `address` is the server's, and `detail` says since
    when it has not answered ("" while it does). Lost: `detail` says why, and `retry_in` in how many seconds
    from now the next attempt begins (None: it is under way).
    Refused: the cluster or its certificate said no, `detail` says how; nothing is tried again until
    somebody asks for it, since repeated failures can lock an account.
    """

    state: ConnectionState
    since: datetime
    address: str = ""
    detail: str = ""
    retry_in: float | None = None


class ConnectionChanged(msgspec.Struct, frozen=True, gc=False, tag="LinkChanged"):
    """The connection to the cluster is another than it was."""

    link: ConnectionStatus
