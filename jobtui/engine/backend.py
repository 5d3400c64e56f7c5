"""The storage backend of a profile, and the monitor of its connection to a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec
from msgspec.structs import replace

from jobtui.engine.profile import Profile
from jobtui.model import ConnectionStatus
from jobtui.storage.base import ClusterJobManager, Storage


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
