"""The protocols of a storage backend, split by what a backend can do, and the records that they exchange.

    Inventory           the spaces and hosts
    SpaceAdmin          CREATE SPACE and DROP SPACE
    TaskRunner          flush and compact, one host at a time, as the engine schedules them
    PairStore           load and dump of pairs
    ClusterJobManager   a cluster that manages its jobs itself

A backend is one class that implements some of these. Every method runs in the engine's asyncio loop and never
blocks it. A failure is a `StorageError`. A stop is not a failure: a stopped
task returns a `TaskResult` with `stopped`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from jobtui.formatting import format_rate
from jobtui.model import ConnectionStatus, SpaceStats, Status, StepPosition, Task

if TYPE_CHECKING:
    import asyncio


class Space(msgspec.Struct, frozen=True):
    """A space and the hosts that hold it, in task order. `adopted`: its databases belong to another program."""

    name: str
    hosts: tuple[str, ...]
    adopted: bool = False


NO_ADDRESS = "no address configured"


class Host(msgspec.Struct, frozen=True):
    """A storage host. Sizes in bytes, None if unknown.

    Attributes:
        up: Whether it answers.
        detail: Why it does not answer.
        unconfigured: Whether jobtui has no address for it, and so cannot run its tasks.
        leaders: The number of parts that it leads, None if unknown; a rolling operation reaches the host with
            the most last.
    """

    name: str
    up: bool
    detail: str = ""
    spaces: int = 0
    size: int | None = None
    free: int | None = None
    unconfigured: bool = False
    leaders: int | None = None

    @property
    def state(self) -> str:
        """Its state as a text: `online`, `offline`, and whether no address is configured."""
        if self.unconfigured:
            return NO_ADDRESS if self.up else f"offline, {NO_ADDRESS}"
        return "online" if self.up else "offline"


class TaskResult(msgspec.Struct, frozen=True):
    """The result of a flush or compact that did not fail.

    Attributes:
        note: What was left out, and why, or a doubt about the result; "" if there is nothing to say.
        stopped: Whether it was canceled before it was complete.
        detached: Whether it was canceled while the host continues. The host is busy until `released` is done.
        released: The future of that work: why it failed or is in doubt, "" if neither.
        paused: Whether it ended after a step because a pause was requested; it can continue from `steps`.
    """

    before: SpaceStats | None = None
    after: SpaceStats | None = None
    stopped: bool = False
    paused: bool = False
    steps: StepPosition | None = None
    detached: bool = False
    released: asyncio.Future[str] | None = None
    note: str = ""


class LevelFigures(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One level of a column family: its files, their bytes, all entries, and the deletions among these."""

    files: int
    bytes: int
    entries: int
    deletions: int


class FamilyFigures(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The figures of a column family on one host before a compaction, each None if it is unknown.

    Attributes:
        name, levels: The family, and its levels from level 0.
        live: RocksDB's estimate of the bytes that are not overwritten or deleted.
        live_share: The share of live entries, 0..1, among those in files and `memtable_entries`, from samples.
        key_bytes, value_bytes: The mean lengths of the keys and values that were read.
        all_value_bytes: The bytes of the values of all entries in files, before compression.
        compressibility: The size of the sampled entries after compression, as a share of their size before.
        memtable_entries, memtable_deletions: The entries that a flush would write; the deletions of these.
        blob_bytes, blob_garbage: The bytes of its blob files, and those that RocksDB knows to be unused.
        blob_copied: The bytes of its blob files whose values a compaction copies, at most.
        is_fifo: A compaction would delete its oldest files, so that jobtui leaves it out.
        is_guess: Whether `live_share` may be wrong by more than a factor of two.
    """

    name: str
    levels: tuple[LevelFigures, ...] = ()
    live: int | None = None
    live_share: float | None = None
    key_bytes: float | None = None
    value_bytes: float | None = None
    all_value_bytes: int | None = None
    compressibility: float | None = None
    memtable_entries: int = 0
    memtable_deletions: int = 0
    blob_bytes: int = 0
    blob_garbage: int = 0
    blob_copied: int = 0
    is_fifo: bool = False
    is_guess: bool = False


class CompactionFigures(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The figures of a space on one host before a compaction, each None if it is unknown.

    Attributes:
        families: Its column families.
        memtable, pending: Bytes not yet flushed, and RocksDB's estimate of the bytes to compact.
        free, disk: The free bytes and the size of the disk.
        size, deletions, l0_files, live: The bytes of all files, the share of deletions among all entries, the
            files in level 0, and RocksDB's estimate of the live bytes, if the families are not known.
        steps, rewrites: The steps of the requested compaction, and the bytes of the files that it reads.
        room_needed: The bytes of disk that its largest step takes.
        refusal: Why a job would be refused now, "" if it would not.
    """

    families: tuple[FamilyFigures, ...] = ()
    memtable: int | None = None
    pending: int | None = None
    free: int | None = None
    disk: int | None = None
    size: int | None = None
    deletions: float | None = None
    l0_files: int | None = None
    live: int | None = None
    steps: int | None = None
    rewrites: int | None = None
    room_needed: int | None = None
    refusal: str = ""


def describe_stall(*, is_stopped: bool, rate: int) -> str:
    """Return how RocksDB stalls writes, "" if it does not.

    `rate`: the limit in bytes a second, 0 without one.
    """
    if is_stopped:
        return "writes are stopped"
    return f"writes are limited to {format_rate(rate)}" if rate else ""


class Placement(msgspec.Struct, frozen=True):
    """The hosts of a new space: all, `count` of them, `hosts`, or existing databases in `directories`."""

    count: int | None = None
    hosts: tuple[str, ...] | None = None
    directories: tuple[str, ...] | None = None


class HostGauges(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The measurements of a flush or compaction on its host: its work so far, and the host's state.

    Attributes:
        read: Bytes that it has read from files.
        written: Bytes that it has written to files.
        l0_files: The files in level 0 of the space, None if unknown.
        free: The free bytes of the disk, None if unknown.
    """

    read: int
    written: int
    l0_files: int | None = None
    free: int | None = None


class OperationProgress(msgspec.Struct, frozen=True):
    """The progress of a flush or compaction.

    Attributes:
        fraction: From 0 to 1, None if unknown; it never falls.
        rate: Bytes a second, None if unknown.
        before: What the space holds on the host as the work begins; reported once, if known.
        steps: How far a compaction in steps has come; reported when the plan is known and after each step. A
            step that was reported is finished and need not be done again.
        room_needed: The bytes of disk that the current or next step needs, None if unknown.
        waiting: Why the work waits (`3.1 GiB free, reserve 5 GiB`), "" while it works.
        gauges: What was measured on the host; reported about once a second, if it can be.
        log: Lines that the storage logged during the work. A report with lines sets no other field.
    """

    fraction: float | None = None
    rate: float | None = None
    before: SpaceStats | None = None
    steps: StepPosition | None = None
    room_needed: int | None = None
    waiting: str = ""
    gauges: HostGauges | None = None
    log: tuple[str, ...] = ()


# called at most 8 times a second, and after each step
ProgressCallback = Callable[[OperationProgress], None]


class OperationControl:
    """The requests to a running flush or compaction, which may arrive at any time. For the engine's loop.

    `cancel` stops the work at once. `pause` ends it after the step that it is in. `rate` limits its writes, in
    bytes a second, from the next step on; None: the storage's own limit.
    """

    def __init__(self, rate: int | None = None) -> None:
        # late: a reader of the history, which runs no operation, imports this module and not asyncio (40 ms)
        import asyncio

        self.cancel = asyncio.Event()
        self.pause = asyncio.Event()
        self._rate = rate
        self._on_rate: Callable[[int | None], None] | None = None

    @property
    def rate(self) -> int | None:
        """The write limit, in bytes a second."""
        return self._rate

    def set_rate(self, rate: int | None) -> None:
        """Change the write limit from the next step on."""
        self._rate = rate
        if self._on_rate is not None:
            self._on_rate(rate)

    @contextlib.contextmanager
    def on_rate(self, change: Callable[[int | None], None]) -> Iterator[None]:
        """Within the block, call `change` with each new limit."""
        self._on_rate = change
        try:
            yield
        finally:
            self._on_rate = None


STEP_BYTES = 84 << 20
"""The default size of a step of a compaction: five files of jobtui's own databases, each just over 16 MiB.

A step is one merge, which takes as much free disk as it reads. With 100 MiB, that was 21 % of a database of
500 MB.
"""


class CompactionRequest(msgspec.Struct, frozen=True):
    """The part of a space to compact on a host, and the disk space that it may take; all by default.

    Attributes:
        families: The column families, all if empty.
        from_key: The first key, None for the first of all.
        to_key: The key before which it ends, None for the last of all.
        room: The bytes of disk that a step may take, None for the default (twice the step's cap).
        room_share: The same as a share of the disk, 0..1.
        resume: The position after which to continue; ignored if the database is another one.
    """

    families: tuple[str, ...] = ()
    from_key: bytes | None = None
    to_key: bytes | None = None
    room: int | None = None
    room_share: float | None = None
    resume: StepPosition | None = None


# a key and its value; None deletes the key
Pair = tuple[bytes, bytes | None]


class Inventory(Protocol):
    """A backend's spaces and hosts."""

    async def spaces(self) -> tuple[Space, ...]:
        """Return the spaces, in name order. Raises StorageError."""
        ...

    async def hosts(self) -> tuple[Host, ...]:
        """Return the storage hosts; one that does not answer has `up=False` and the reason."""
        ...


class SpaceAdmin(Protocol):
    """A backend that can create and drop spaces."""

    async def create_space(self, name: str, placement: Placement) -> Space:
        """Create a space, or adopt existing databases. Raises StorageError, and then leaves nothing behind."""
        ...

    async def drop_space(self, name: str) -> None:
        """Delete a space's data, or only release an adopted space. Raises StorageError."""
        ...


class TaskRunner(Inventory, Protocol):
    """A backend whose jobs the engine splits into tasks (embedded RocksDB; storaged over HTTP)."""

    async def start(self) -> None:
        """Start the backend; called once, in the engine's loop. Raises StorageError."""
        ...

    async def close(self) -> None:
        """Close the backend within a few seconds, even if work is still running."""
        ...

    async def stats(self, space: str, host: str) -> SpaceStats:
        """Return the current stats of the space on the host. Raises StorageError."""
        ...

    async def find_outage(self, space: str, host: str) -> str:
        """Return why the host, which holds the space, is down; "" if it is up or that is not known.

        It starts and opens nothing, and raises nothing.
        """
        ...

    def can_stall(self, space: str, host: str) -> bool:
        """Return whether writes to the space could be stalled now: only then call `find_stall`."""
        ...

    async def find_stall(self, space: str, host: str) -> str:
        """Return how RocksDB stalls writes to the space, "" if it does not or is not known.

        It starts and opens nothing, and raises nothing.
        """
        ...

    async def figures(
        self, space: str, host: str, request: CompactionRequest | None = None
    ) -> CompactionFigures:
        """Return the figures of the space on the host before a compaction. Raises StorageError.

        It writes nothing. With a `request`, the steps of that compaction are planned as well.
        """
        ...

    async def flush(
        self, space: str, host: str, progress: ProgressCallback, control: OperationControl
    ) -> TaskResult:
        """Write the space's memtables on that host to SST files. Raises StorageError."""
        ...

    async def compact(
        self,
        space: str,
        host: str,
        request: CompactionRequest,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        """Merge the space's SST files on that host down to one level, in steps if it can. Raises StorageError.

        After a stop or a pause was requested, the call returns when the work has ended.
        """
        ...


class PairStore(Protocol):
    """A backend that can load and dump pairs."""

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """Write each pair to the host that its key's hash selects, and return when all are written.

        Raises StorageError.
        """
        ...

    def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """Yield the space's pairs in key order over all its hosts. Raises StorageError, even after some."""
        ...


class Storage(TaskRunner, SpaceAdmin, PairStore, Protocol):
    """Everything that the engine may call on a backend that runs its tasks.

    The methods of a protocol that it does not implement raise StorageError with `unsupported`.
    """

    @property
    def is_space_admin(self) -> bool:
        """Whether spaces can be created and dropped, as on embedded storage."""
        ...


class ClusterJob(msgspec.Struct, frozen=True):
    """A job as its cluster reports it: the cluster's id and times (aware, UTC), our statuses.

    `command` is the cluster's word in lower case (`flush`, `rebuild tag index`). A list of jobs has no `tasks`.
    """

    id: int
    command: str
    status: Status
    start: datetime | None = None
    stop: datetime | None = None
    reason: str = ""
    tasks: tuple[Task, ...] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it has ended and none of its tasks runs: a cluster ends a job before its hosts finish."""
        return self.status.ended and all(task.status.ended for task in self.tasks or ())


class ClusterJobManager(Inventory, Protocol):
    """A cluster that manages its jobs itself (NebulaGraph's own job manager).

    Every method except `start`, `watch`, `retry_now` and `close` raises StorageError, immediately while the
    connection is lost. `submit`, `stop` and `recover` send their request at most once; see
    `StorageError.outcome_unknown`.
    """

    @property
    def cluster(self) -> str:
        """The cluster's name, as a job's origin records it."""
        ...

    @property
    def link(self) -> ConnectionStatus:
        """The state of the connection."""
        ...

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Call `listener` in the loop when the connection's state changes; the function returned ends that."""
        ...

    async def start(self) -> None:
        """Start to connect in the background and return at once. Called once, in the engine's loop."""
        ...

    async def ready(self) -> None:
        """Wait for the first attempt to connect. Raises StorageError if it failed."""
        ...

    def retry_now(self) -> None:
        """Try to connect now; after a refusal, this is the only way to connect again."""
        ...

    async def close(self) -> None:
        """Close the connections within a few seconds."""
        ...

    async def layout(self) -> tuple[tuple[Space, ...], tuple[Host, ...]]:
        """Return the spaces and the storage hosts at one moment."""
        ...

    async def stats(self, space: str, host: str) -> SpaceStats:
        """Return the current stats of the space on the host. Raises StorageError; works without graphd."""
        ...

    async def figures(self, space: str, host: str) -> CompactionFigures:
        """Return the figures before a compaction. Raises StorageError; works without graphd."""
        ...

    async def jobs(self, space: str, since: int = 0) -> tuple[ClusterJob, ...]:
        """Return the jobs that the cluster still knows of the space, above id `since`, newest first."""
        ...

    async def list_jobs(self, space: str, known: str) -> tuple[tuple[ClusterJob, ...] | None, str]:
        """Return the jobs with a digest of the list, None instead of them if the digest is still `known`."""
        ...

    async def show(self, space: str, job: int) -> ClusterJob:
        """Return one job of the space, with its tasks."""
        ...

    async def submit(self, command: str, space: str) -> int:
        """Submit a job and return its id on the cluster; an equal job in flight shares its id."""
        ...

    async def stop(self, space: str, job: int) -> None:
        """Stop a job of the space; if the cluster refuses, the error quotes it."""
        ...

    async def recover(self, space: str, jobs: Sequence[int] = ()) -> int:
        """Run failed and stopped jobs again under their ids, these or all of the space; return how many."""
        ...
