"""The storage backend of a profile: embedded, hosts of a cluster, or a cluster that runs its own jobs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from jobtui.engine.connection import HasConnection
from jobtui.engine.profile import Profile
from jobtui.storage.base import ClusterJobManager, Storage


class Backend(msgspec.Struct, frozen=True):
    """A storage, with the job manager of a cluster that runs its own jobs and the connection, if any."""

    storage: Storage
    job_manager: ClusterJobManager | None = None
    connection: HasConnection | None = None


def backend_of(storage: Storage | None, job_manager: ClusterJobManager | None) -> Backend | None:
    """Return the backend of a storage or job manager that the caller supplies, None if it supplies neither."""
    if job_manager is not None:
        return _cluster_backend(job_manager)
    if storage is None:
        return None
    return Backend(storage, connection=storage if isinstance(storage, HasConnection) else None)


def open_backend(profile: Profile, notify: Callable[[str], None]) -> Backend:
    """Return the backend that the profile's settings name; `notify` is called with warnings for the user."""
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
