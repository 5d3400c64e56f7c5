"""What the engine is told of a profile: where its data lies and how its work is run."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from jobtui.storage.nebula.settings import ClusterSettings


from collections.abc import Callable

from jobtui.engine.cluster.sync import ClusterInventory
from jobtui.engine.inventory import HasConnection
from jobtui.storage.base import ClusterJobManager, Storage


class Profile(msgspec.Struct, frozen=True):
    """One profile's settings for the engine.

    `root` is the profile's own directory, holding `history/` and `storage/`. `hosts` maps each storage
    host to the directory that it keeps its data in (None: `root/storage/<host>`); empty means `local0`
    to `local2`. `task_timeout` is seconds from a task's dispatch (None: no deadline).
    `compact_rate` limits a host's compaction and flush writes, in bytes a second (None: no limit).
    `wal_dirs` are the WAL directories of adopted databases that keep their WAL apart, `without_cf_paths` the
    adopted databases that keep all SST files in their own directory.
    `cluster`: the NebulaGraph cluster that the work is done on (None: embedded storage).
    """

    name: str
    root: Path
    hosts: Mapping[str, Path | None] = msgspec.field(default_factory=dict)
    task_timeout: float | None = None
    max_running_jobs: int = 4
    compact_rate: int | None = None
    wal_dirs: Mapping[str, Path] = msgspec.field(default_factory=dict)
    without_cf_paths: tuple[str, ...] = ()
    cluster: ClusterSettings | None = None

    @property
    def history(self) -> Path:
        """The directory of the JSON store."""
        return self.root / "history"

    @property
    def storage(self) -> Path:
        """The directory under which the embedded hosts lie by default."""
        return self.root / "storage"


class RunPolicy(enum.Enum):
    """Which queued jobs an engine runs: all, those of spaces that jobs were submitted to in it, or none."""

    ALL = "all"
    SUBMITTED = "submitted"
    NONE = "none"


# ---- merged from jobtui.engine.backends: ----
# What a profile's work is done on: embedded storage, a cluster's storage hosts, or the cluster itself.
class Backend(msgspec.Struct, frozen=True):
    """The storage, the mirror where a cluster runs the jobs itself, and what can be told of a connection."""

    storage: Storage
    mirror: ClusterJobManager | None = None
    linked: HasConnection | None = None


def given(storage: Storage | None, mirror: ClusterJobManager | None) -> Backend | None:
    """What a caller brings along; None where that is nothing."""
    if mirror is not None:
        return Backend(ClusterInventory(mirror), mirror, mirror)
    if storage is None:
        return None
    return Backend(storage, linked=storage if isinstance(storage, HasConnection) else None)


def of_profile(profile: Profile, notice: Callable[[str], None]) -> Backend:
    """What the profile asks for; `notice` is told what a person should know."""
    if profile.cluster is None:
        return Backend(embedded(profile, notice))
    from jobtui.storage.nebula.job_manager import GraphdJobManager
    from jobtui.storage.nebula.settings import RunMode
    from jobtui.storage.nebula.storaged import StoragedRunner

    if profile.cluster.run is RunMode.CLUSTER:
        mirror = GraphdJobManager(profile.cluster)
        return Backend(ClusterInventory(mirror), mirror, mirror)
    runner = StoragedRunner(profile.cluster)
    return Backend(runner, linked=None if runner.link is None else runner)


def embedded(profile: Profile, notice: Callable[[str], None]) -> Storage:
    """The profile's embedded storage."""
    from jobtui.storage.local.backend import LocalStorage

    return LocalStorage(
        profile.storage,
        profile.hosts,
        compact_rate=profile.compact_rate,
        wal_directories=profile.wal_dirs,
        without_cf_paths=profile.without_cf_paths,
        notice=notice,
    )


def at_the_demos_rate(profile: Profile) -> Profile:
    """The profile with work slow enough to be watched."""
    from jobtui.storage.local.demo import COMPACT_RATE

    return msgspec.structs.replace(profile, compact_rate=COMPACT_RATE)
