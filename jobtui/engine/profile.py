"""A profile for the engine: its settings, its storage backend and its connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec
from msgspec.structs import replace

from jobtui.engine.advice import AdviceThresholds
from jobtui.engine.notifications import NotifySettings
from jobtui.model import ConnectionStatus, DiskReserve
from jobtui.storage.base import ClusterJobManager, Storage

if TYPE_CHECKING:
    # it imports ssl, which embedded storage does not need
    from jobtui.storage.nebula.settings import ClusterSettings

STEP_SIZE = 100 << 20
MIN_FREE = DiskReserve(share=0.05)


class Profile(msgspec.Struct, frozen=True):
    """The settings of a profile.

    Attributes:
        root: The profile's own directory, which contains `history/` and `storage/`.
        hosts: The data directory of each storage host, None for `root/storage/<host>`; empty for the hosts
            `local0` to `local2`.
        task_timeout: Seconds from a task's start to its deadline, None for no deadline.
        max_running_jobs: How many jobs may run at once.
        compact_rate: The limit of a host's compaction and flush writes in bytes a second, None for no limit.
        step_size: The bytes that a step of a compaction merges.
        min_free: The space that a compaction leaves free on the disk.
        wal_dirs: The WAL directories of adopted databases whose WAL has a directory of its own.
        without_cf_paths: The adopted databases with all SST files in their own directory.
        cluster: The NebulaGraph cluster that runs the work, None for embedded storage.
        advice: The thresholds of SHOW ADVICE and IF NEEDED.
        notify: The notifications and their recipients, None for no notifications.
        read_only: Whether this process changes nothing, and never owns the profile.
    """

    name: str
    root: Path
    hosts: Mapping[str, Path | None] = msgspec.field(default_factory=dict)
    task_timeout: float | None = None
    max_running_jobs: int = 4
    compact_rate: int | None = None
    step_size: int = STEP_SIZE
    min_free: DiskReserve = MIN_FREE
    wal_dirs: Mapping[str, Path] = msgspec.field(default_factory=dict)
    without_cf_paths: tuple[str, ...] = ()
    cluster: ClusterSettings | None = None
    advice: AdviceThresholds = AdviceThresholds()
    notify: NotifySettings | None = None
    read_only: bool = False

    @property
    def read_only_reason(self) -> str:
        """Why a change is refused, if the profile is read-only."""
        return f"Profile '{self.name}' is read-only (--read-only, or read_only = true in the config)"

    @property
    def history(self) -> Path:
        """The directory of the JSON store."""
        return self.root / "history"

    @property
    def storage(self) -> Path:
        """The directory under which the embedded hosts lie by default."""
        return self.root / "storage"


# The storage backend of a profile, and the monitor of its connection to a cluster, if it has one.
@runtime_checkable
class HasConnection(Protocol):
    """A storage that is reached over a connection; its `link` is None if it works without one."""

    @property
    def link(self) -> ConnectionStatus | None:
        """The state of the connection."""
        ...

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Call `listener` in the engine's loop at each change; the function returned ends the subscription."""
        ...

    def retry_now(self) -> None:
        """Try to connect now; in the engine's loop."""
        ...


class ConnectionMonitor:
    """The last known state of a connection; `on_change` gets each new one in the loop.

    `steady` is the clock's: seconds that never go back.
    """

    def __init__(
        self,
        storage: HasConnection,
        steady: Callable[[], float],
        on_change: Callable[[ConnectionStatus], None],
    ) -> None:
        self._storage = storage
        self._steady = steady
        self._on_change = on_change
        self._last = storage.link, steady()
        storage.watch(self._update)

    @property
    def status(self) -> ConnectionStatus | None:
        """The connection at this moment: `retry_in` counts from now. Any thread."""
        status, at = self._last
        return None if status is None else age_retry_delay(status, self._steady() - at)

    def reconnect(self) -> None:
        """Try to connect now."""
        self._storage.retry_now()

    def _update(self, status: ConnectionStatus) -> None:
        self._last = status, self._steady()
        self._on_change(status)


def age_retry_delay(status: ConnectionStatus, seconds: float) -> ConnectionStatus:
    """Return the status some seconds later: the delay until the next attempt is shorter."""
    if status.retry_in is None:
        return status
    return replace(status, retry_in=max(0.0, status.retry_in - seconds))


class Backend(msgspec.Struct, frozen=True):
    """A storage, with the job manager of a cluster that runs its own jobs and the connection, if any."""

    storage: Storage
    job_manager: ClusterJobManager | None = None
    connection: HasConnection | None = None


def backend_of(storage: Storage | None, job_manager: ClusterJobManager | None) -> Backend | None:
    """Return the backend of a storage or job manager from the caller, None without one."""
    if job_manager is not None:
        return _cluster_backend(job_manager)
    if storage is None:
        return None
    return Backend(storage, connection=storage if isinstance(storage, HasConnection) else None)


def open_backend(profile: Profile, notify: Callable[[str], None]) -> Backend:
    """Return the backend that the profile's settings name; `notify` gets the warnings."""
    if profile.cluster is None:
        return Backend(_embedded(profile, notify))
    # the client of a cluster is expensive to import, and embedded storage does not need it
    from jobtui.storage.nebula.job_manager import GraphdJobManager
    from jobtui.storage.nebula.settings import RunMode
    from jobtui.storage.nebula.storaged import StoragedRunner

    if profile.cluster.run is RunMode.CLUSTER:
        return _cluster_backend(GraphdJobManager(profile.cluster))
    runner = StoragedRunner(profile.cluster)
    return Backend(runner, connection=None if runner.link is None else runner)


def _cluster_backend(job_manager: ClusterJobManager) -> Backend:
    from jobtui.engine.cluster.inventory import ClusterInventory  # as above

    return Backend(ClusterInventory(job_manager), job_manager, job_manager)


def _embedded(profile: Profile, notify: Callable[[str], None]) -> Storage:
    # late: only the process that owns the profile needs it
    from jobtui.storage.local.backend import LocalStorage

    return LocalStorage(
        profile.storage,
        profile.hosts,
        compact_rate=profile.compact_rate,
        step_bytes=profile.step_size,
        reserve=profile.min_free,
        wal_directories=profile.wal_dirs,
        without_cf_paths=profile.without_cf_paths,
        notice=notify,
    )


def with_demo_rate(profile: Profile) -> Profile:
    """Return the profile with a write limit that makes its work slow enough to watch."""
    from jobtui.storage.local.demo import COMPACT_RATE

    return msgspec.structs.replace(profile, compact_rate=COMPACT_RATE)


def keep_owner(profile: Profile) -> str:
    """Return how a process that runs the profile's schedules is kept alive: a systemd unit, or cron."""
    import shlex  # late, like the others: few commands report this
    import shutil

    import platformdirs

    words = [shutil.which("jobtui") or "jobtui"]
    if profile.name != "local":
        words += ["--profile", profile.name]
    if profile.root.parent != platformdirs.user_data_path("jobtui", appauthor=False):
        words += ["--data-dir", str(profile.root.parent.absolute())]
    command = shlex.join([*words, "serve"])
    return (
        f"enable a systemd user unit with ExecStart={command} (docs/serve.md has it), or add this line to the "
        f"crontab: @reboot {command} --background"
    )
