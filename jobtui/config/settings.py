"""What the settings are at the moment: the dataclasses that hold what a file says, or the defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from jobtui.config import paths
from jobtui.config.clusters import cluster_of, profile_name
from jobtui.engine.profile import Profile
from jobtui.tui.settings import TuiSettings

DEFAULT_PROFILE = "local"


class ProfileSettings(msgspec.Struct, frozen=True):
    """What the file says of one profile; `SETTINGS["profiles.*"]` tells the meanings."""

    task_timeout: float | None = None
    max_running_jobs: int = 4
    compact_rate: int | None = None
    hosts: Mapping[str, Path | None] = msgspec.field(default_factory=dict)
    wal_dirs: Mapping[str, Path] = msgspec.field(default_factory=dict)
    without_cf_paths: tuple[str, ...] = ()
    cluster: str = ""
    graphd: tuple[str, ...] = ()
    user: str = "root"
    password: str = "env:JOBTUI_NEBULA_PASSWORD"
    tls: bool | Mapping[str, Path | str] = False
    run: str = "cluster"
    storaged_port: int = 19779
    storaged: Mapping[str, str] = msgspec.field(default_factory=dict)
    spaces: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class Config(msgspec.Struct, frozen=True):
    """All settings, defaults filled in. `found` tells whether the file at `path` was there."""

    path: Path
    found: bool = False
    profile: str = DEFAULT_PROFILE
    data_dir: Path | None = None
    profiles: Mapping[str, ProfileSettings] = msgspec.field(
        default_factory=lambda: {DEFAULT_PROFILE: ProfileSettings()}
    )
    dashboard: TuiSettings = msgspec.field(default_factory=TuiSettings)

    def open_profile(self, name: str, data_dir: Path | None = None) -> Profile:
        """The profile `name`, which must be one of `profiles`, for the engine.

        Its data lies under `data_dir`, or where the file says, or in the system's place.
        """
        settings = self.profiles[name]
        return Profile(
            name=name,
            root=self._root(data_dir) / name,
            hosts=settings.hosts,
            task_timeout=settings.task_timeout,
            max_running_jobs=settings.max_running_jobs,
            compact_rate=settings.compact_rate,
            wal_dirs=settings.wal_dirs,
            without_cf_paths=settings.without_cf_paths,
            cluster=cluster_of(name, settings),
        )

    def open_cluster(self, settings: ProfileSettings, data_dir: Path | None = None) -> Profile:
        """A profile for a cluster that the file does not name, but for its address.

        Its data has a directory of its own.
        """
        cluster = settings.graphd[0]
        name = profile_name(cluster)
        return Profile(name, self._root(data_dir) / name, cluster=cluster_of(cluster, settings))

    def _root(self, data_dir: Path | None) -> Path:
        root = data_dir or self.data_dir or paths.default_data_dir()
        # what is before a ".." need not be there, and is not to be made
        return Path(os.path.realpath(root)) if ".." in root.parts else root
