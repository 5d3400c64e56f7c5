"""What a profile's work is done on: embedded storage, a cluster's storage hosts, or the cluster itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from jobtui.engine.connection import Linked
from jobtui.engine.mirror_places import MirrorPlaces
from jobtui.engine.profile import Profile
from jobtui.storage.base import JobMirror, TaskRunner


class Backend(msgspec.Struct, frozen=True):
    """The storage, the mirror where a cluster runs the jobs itself, and what can be told of a connection."""

    storage: TaskRunner
    mirror: JobMirror | None = None
    linked: Linked | None = None


def given(storage: TaskRunner | None, mirror: JobMirror | None) -> Backend | None:
    """What a caller brings along; None where that is nothing."""
    if mirror is not None:
        return Backend(MirrorPlaces(mirror), mirror, mirror)
    if storage is None:
        return None
    return Backend(storage, linked=storage if isinstance(storage, Linked) else None)


def of_profile(profile: Profile, notice: Callable[[str], None]) -> Backend:
    """What the profile asks for; `notice` is told what a person should know."""
    if profile.cluster is None:
        return Backend(embedded(profile, notice))
    from jobtui.storage.nebula import GraphdMirror, StoragedRunner
    from jobtui.storage.nebula.settings import RunMode

    if profile.cluster.run is RunMode.CLUSTER:
        mirror = GraphdMirror(profile.cluster)
        return Backend(MirrorPlaces(mirror), mirror, mirror)
    runner = StoragedRunner(profile.cluster)
    return Backend(runner, linked=None if runner.link is None else runner)


def embedded(profile: Profile, notice: Callable[[str], None]) -> TaskRunner:
    """The profile's embedded storage."""
    from jobtui.storage.local import LocalStorage

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
