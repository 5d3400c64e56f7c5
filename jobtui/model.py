"""The domain: jobs, tasks and events as immutable records, and messages about them.

A change makes a new record (`msgspec.structs.replace`), so that a record is a snapshot that never changes.
Nothing here depends on the engine, the history, a storage or a screen.

Times are aware datetimes in UTC. Durations (`took`) are seconds of a monotonic clock, so that a wall clock
that is set back never makes one negative. Sizes are bytes.
"""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec


class Status(enum.StrEnum):
    """The five statuses of a job and of a task, from NebulaGraph's first job manager (2019)."""

    QUEUE = "queue"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """Whether it is one of the three final statuses."""
        return self in ENDED

    def may_become(self, after: Status) -> bool:
        """Return whether `after` may follow: queue → running, failed or stopped; running → ended."""
        return after in _NEXT[self]


ENDED = frozenset({Status.FINISHED, Status.FAILED, Status.STOPPED})
_NEXT: dict[Status, frozenset[Status]] = {
    Status.QUEUE: frozenset({Status.RUNNING, Status.FAILED, Status.STOPPED}),
    Status.RUNNING: ENDED,
    Status.FINISHED: frozenset(),
    Status.FAILED: frozenset(),
    Status.STOPPED: frozenset(),
}


class JobCommand(enum.StrEnum):
    """The commands that jobtui itself runs.

    The command of a cluster's job is the cluster's own word.
    """

    FLUSH = "flush"
    COMPACT = "compact"


class Level(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One level of a space's SST files on one host.

    Blob files count in the bytes of the deepest level.
    """

    files: int
    bytes: int


class SpaceStats(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The contents of a space on one host at one moment.

    Attributes:
        levels: The levels, from level 0.
        memtable: Bytes not yet flushed.
        entries: RocksDB's estimate of the entries in all files and memtables, None if unknown. A key counts
            once for each time that it was written, until a compaction merges these. Its key on disk is `keys`.
        pending: RocksDB's estimate of the bytes to compact, None if unknown.
        compactions: How many compactions run, automatic ones included; never recorded with a task.
        flushes: How many flushes run; never recorded with a task.
        directories: The bytes of the SST files in each data directory, if there are several; never recorded.
    """

    levels: tuple[Level, ...] = ()
    memtable: int = 0
    entries: int | None = msgspec.field(default=None, name="keys")
    pending: int | None = None
    compactions: int = 0
    flushes: int = 0
    directories: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        """The bytes of all SST and blob files."""
        return sum(level.bytes for level in self.levels)

    @property
    def files(self) -> int:
        """The number of SST files."""
        return sum(level.files for level in self.levels)


class HostOrder(enum.StrEnum):
    """The orders in which the hosts of a job take their turns."""

    LISTED = "listed"
    LARGEST = "largest"
    SMALLEST = "smallest"


class FailurePolicy(enum.StrEnum):
    """The treatment of the other hosts of a job after one has failed."""

    CONTINUE = "continue"
    STOP = "stop"


class JobOptions(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The options of a job's statement; those that were not given have their defaults.

    Attributes:
        hosts: The hosts that the job is limited to (ON); all of the space if empty.
        condition: The text after IF in its canonical form, `NEEDED` or `deletions > 10%`; "" if there is none.
        rolling: How many hosts may work at once, None for all.
        wait: Seconds between the end of one host and the start of the next.
        order: Which host comes first.
        on_failure: What follows a failed host.
        retry: Attempts after a failure that can pass.
        retry_wait: Seconds before the first of these attempts; doubled before each further one.
        rate: The write limit of each task in bytes a second, None for the profile's.
        families: The column families to compact; all if empty.
        from_key: The first key to compact, None for the first of all.
        to_key: The key before which the compaction ends, None for the last of all.
        room: How much more disk a step may take, in bytes; None if not given, or given as a share.
        room_share: The same as a share of the disk, 0..1.
        because: Why the job was requested, in the user's words.
    """

    hosts: tuple[str, ...] = ()
    condition: str = ""
    rolling: int | None = None
    wait: float = 0.0
    order: HostOrder = HostOrder.LISTED
    on_failure: FailurePolicy = FailurePolicy.CONTINUE
    retry: int = 0
    retry_wait: float = 60.0
    rate: int | None = None
    families: tuple[str, ...] = ()
    from_key: bytes | None = None
    to_key: bytes | None = None
    room: int | None = None
    room_share: float | None = None
    because: str = ""


NO_OPTIONS = JobOptions()


class StepPosition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The committed position of a compaction in steps, from which another job can continue.

    Attributes:
        done: The finished steps, those of the jobs that this one continues included.
        total: All steps of the compaction, as planned when the last one began.
        database: The identity of the database (the content of its IDENTITY file).
        family: The column family of the last finished step; the families before it, in the database's order,
            are done.
        key: The key up to which `family` is done, excluded; None if all of it is.
        read: Bytes of SST files that the finished steps read.
        written: Bytes of SST files that the finished steps wrote.
    """

    done: int = 0
    total: int = 0
    database: str = ""
    family: str = ""
    key: bytes | None = None
    read: int = 0
    written: int = 0


class DiskReserve(msgspec.Struct, frozen=True):
    """The part of a disk that a compaction leaves free: bytes, and a share from 0 to 1."""

    bytes: int = 0
    share: float = 0.0

    def of(self, disk: int) -> int:
        """Return the bytes that stay free on a disk of that size."""
        return self.bytes + int(self.share * disk)


NOT_NEEDED = "not needed"
"""The beginning of the reason of a task that did nothing because its job's condition excluded the host."""
INTERRUPTED_CODE = "interrupted"
"""The code of a task that was running when jobtui ended."""


class Deferral(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The reason why a queued task lets the other hosts go first, although its turn has come.

    Attributes:
        reason: What holds it up: `host h2 is down`.
        since: When that was noticed.
        detail: What the host, or the connection to it, says.
    """

    reason: str
    since: datetime
    detail: str = ""


class Task(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A job's part on one storage host. Its id is shown as `<job>-<number>`.

    Attributes:
        progress: 0..1, None if the storage does not report it.
        took: Seconds of work; less than from start to stop if it was paused, tried again, or waited for disk.
        before: The space on the host before the work, None if unknown.
        after: The same after the work.
        reason: Why the task failed or was stopped.
        code: The `ErrorCode` of a failure, "" if there was none.
        detached: The task has ended for jobtui, but its host may still be working on it.
        steps: How far a compaction in steps has come, None before the first step and for other work.
        attempts: How often the task was started; 0 if never, or if an older version recorded it.
        not_before: When the next attempt of a queued task may begin; None if it may begin at once.
        deferred: Why a queued task has not begun although its turn has come, None if nothing prevents it.
        waiting: Why a running task does not work now (`3.1 GiB free, reserve 5 GiB`), "" if it does. Published
            with the progress, never committed.
        room_needed: The bytes of disk that its current or next step needs, None if unknown. Published with the
            progress, never committed.
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
    steps: StepPosition | None = None
    attempts: int = 0
    not_before: datetime | None = None
    deferred: Deferral | None = None
    waiting: str = ""
    room_needed: int | None = None

    @property
    def reclaimed(self) -> int | None:
        """The bytes that the task freed, negative if the files grew, None if a side is unknown."""
        if self.before is None or self.after is None:
            return None
        return self.before.bytes - self.after.bytes


class EventKind(enum.StrEnum):
    """The kinds of events in a job's log."""

    SUBMITTED = "submitted"
    STARTED = "started"
    TASK_STARTED = "task started"
    STOP_ASKED = "stop asked"
    PAUSED = "paused"
    STILL_PAUSED = "still paused"
    RESUMED = "resumed"
    RATE_SET = "rate set"
    RETRIED = "retried"
    DEFERRED = "deferred"
    TASK_ENDED = "task ended"
    ENDED = "ended"
    INTERRUPTED = "interrupted"
    SLOW = "slow"
    NOTIFIED = "notified"
    NOT_NOTIFIED = "not notified"
    NOTE = "note"


DELIVERIES = frozenset({EventKind.NOTIFIED, EventKind.NOT_NOTIFIED})
"""The events that record the result of a notification. Only they may be added to a job that has ended."""

SHARED_ADDRESS = "tasks on one address"
"""The beginning of the note that several tasks of a cluster's job show the same address as their host."""


class JobEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An entry of a job's log: when, what, which task, the new status, and why.

    `about` names a notification and the target it went to (`engine/notifications.py`), `requested_by` who
    requested the change and from where: `anna@db1, dashboard`, `schedule nightly`; "" if that is not known.
    """

    at: datetime
    kind: EventKind
    task: int | None = None
    status: Status | None = None
    reason: str = ""
    about: str = ""
    requested_by: str = ""


class ClusterRef(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The identity of a job on its cluster: the cluster's name, the space and the id there.

    The id is 0 as long as the cluster has not answered the request for the job.
    """

    cluster: str
    space: str
    id: int


class Job(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A command on a space, split into a task for each of its storage hosts.

    Attributes:
        took: Seconds from start to stop in which at least one of its hosts worked.
        reason: Why the job failed or was stopped.
        stopping: A stop was requested and some task has not ended yet.
        recovered_from: The id of the job that this one runs again.
        origin: The job's identity on its cluster, None for a job of the embedded storage.
        options: How it runs, as its statement said.
        paused: The job is held: no step of it begins before it is resumed. Not a status: a paused job is
            queued or running.
        requested_by: Who requested it and from where: `anna@db1, dashboard`; `cluster prod` if only the cluster
            knows; "" if that is not known.
        schedule: The schedule that submitted it, "" if none did.
        events: The job's log, oldest first.
        write_limit: The bytes a second that each host may write, 0 if SET RATE lifted the limit. Not committed.
        limited_by: Who set that limit, or what did: `anna@db1, script, for all jobs`. Not committed.
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
    options: JobOptions = NO_OPTIONS
    paused: bool = False
    requested_by: str = ""
    schedule: str = ""
    tasks: tuple[Task, ...] = ()
    events: tuple[JobEvent, ...] = ()
    write_limit: int | None = None
    limited_by: str = ""

    @property
    def has_distinct_hosts(self) -> bool:
        """Whether no two tasks have the same host: a cluster does not name ports."""
        return self.origin is None or len({task.host for task in self.tasks}) == len(self.tasks)

    @property
    def requester(self) -> str:
        """The requester of the job, with the source, or its schedule; "" if unknown."""
        return f"schedule {self.schedule}" if self.schedule else self.requested_by

    @property
    def label(self) -> str:
        """The command and the space as they are shown: `flush nba`."""
        return f"{self.command} {self.space}"

    @property
    def progress(self) -> float | None:
        """The progress of the tasks, 0..1, weighted by their bytes if these are known.

        A finished task counts in full, any other by its progress. None if no task's progress is known. None
        also for an interrupted job: the progress of its running tasks is lost, and the rest would look like a
        step back.
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
        """The bytes freed by all tasks that know it, None if none does."""
        known = [freed for task in self.tasks if (freed := task.reclaimed) is not None]
        return sum(known) if known else None

    @property
    def reclaimed_by_compaction(self) -> int | None:
        """The bytes that the job freed, None for a flush, which reclaims nothing."""
        return None if self.command == JobCommand.FLUSH else self.reclaimed

    @property
    def not_needed(self) -> int:
        """The number of tasks that did nothing, because the job's condition excluded their hosts."""
        return sum(task.status is Status.FINISHED and task.reason.startswith(NOT_NEEDED) for task in self.tasks)

    @property
    def ended_tasks(self) -> int:
        """The number of ended tasks: the 2 of `stopping 2/3`."""
        return sum(task.status.ended for task in self.tasks)


def _is_lost(task: Task) -> bool:
    """Return whether the task was interrupted, so that its progress is not known."""
    return task.progress is None and task.code == INTERRUPTED_CODE


def _fraction(task: Task) -> float | None:
    if task.status is Status.FINISHED:
        return 1.0
    if task.status is Status.QUEUE:
        return task.progress or 0.0  # not 0 if it was paused or is to be tried again
    return task.progress


class JobChanged(msgspec.Struct, frozen=True, gc=False, tag="Change"):
    """A committed change of a job: the job now, and its status before (None: it is new)."""

    job: Job
    was: Status | None


class TaskProgressed(msgspec.Struct, frozen=True, gc=False, tag="Progress"):
    """The progress of a running task. Published as it comes, never committed.

    Attributes:
        job: The job with the progress in it.
        task: The task's number.
        rate: Bytes a second, None if unknown.
    """

    job: Job
    task: int
    rate: float | None = None


class JobsArchived(msgspec.Struct, frozen=True, gc=False, tag="Archived"):
    """The rising ids of jobs that have just been archived, or `restored` from the archive."""

    ids: tuple[int, ...]
    restored: bool = False


class TaskLogged(msgspec.Struct, frozen=True, gc=False, tag="Logged"):
    """Lines that the storage logged while a task worked on a host; nothing stores them."""

    job: int
    host: str
    lines: tuple[str, ...]


class Notice(msgspec.Struct, frozen=True, gc=False, tag="Notice"):
    """A message to the user: damage found, a full disk, a worker that died."""

    text: str
    severity: str = "warning"  # information, warning or error


class ConnectionState(enum.StrEnum):
    """The states of a connection to a cluster."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"
    REFUSED = "refused"
    CLOSED = "closed"


class ConnectionStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The connection to a cluster at one moment.

    Attributes:
        since: When the state began.
        address: The server's address while connected, "" otherwise.
        detail: Connected: since when the server has not answered, "" if it does. Lost and refused: the reason.
            After a refusal nothing is tried again until the user requests it, since failed logins can lock an
            account.
        retry_in: Lost: the seconds until the next attempt, None while it is under way.
    """

    state: ConnectionState
    since: datetime
    address: str = ""
    detail: str = ""
    retry_in: float | None = None


class ConnectionChanged(msgspec.Struct, frozen=True, gc=False, tag="LinkChanged"):
    """A change of the connection to the cluster."""

    connection: ConnectionStatus = msgspec.field(name="link")
