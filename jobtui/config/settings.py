"""The values of the settings as records, and the default paths.

Nothing here imports Textual.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jobtui.engine.advice import AdviceThresholds
from jobtui.engine.notify_settings import NotifySettings
from jobtui.engine.profile import MIN_FREE, Profile
from jobtui.errors import HomeError
from jobtui.formatting import DateOrder
from jobtui.model import DiskReserve
from jobtui.storage.base import STEP_BYTES

if TYPE_CHECKING:
    from jobtui.storage.nebula.settings import ClusterSettings, PasswordSource, Tls


DEFAULT_PROFILE = "local"


class Confirm(enum.StrEnum):
    """The confirmations of stop, recover, archive and compact.

    DROP SPACE always asks; a flush never does.
    """

    ALWAYS = "always"
    BULK = "bulk"  # only for more than one job


SAVED_VIEWS: Mapping[str, str] = {
    "failed today": "status:failed since:today",
    "not run again": "status:unrecovered",
    "running": "status:running",
}


class TuiSettings(msgspec.Struct, frozen=True):
    """The dashboard's settings, each with a default.

    `SETTINGS["dashboard"]` has the meanings of those in the file. The others:

    Attributes:
        state_dir: The directory for columns, theme and command history across starts; None saves nothing.
        demo: Whether this is the temporary profile of `--demo`; the hints mention it.
        hint: A line for the top of an empty table.
        profile_color: The profile's color, "" for none.
        profiles: The names of the profiles that can be switched to.
    """

    state_dir: Path | None = None
    theme: str = ""
    confirm: Confirm = Confirm.ALWAYS
    keymap: Mapping[str, str] = msgspec.field(default_factory=dict)
    bell: bool = True
    terminal_notice: bool = False
    keep_failed: bool = False
    mouse: bool = True
    continue_after_hangup: bool = True
    date_order: DateOrder = DateOrder.MONTH_FIRST
    views: Mapping[str, str] = msgspec.field(default_factory=dict)
    themes: Mapping[str, Mapping[str, str]] = msgspec.field(default_factory=dict)
    glyphs: str = "auto"
    title: bool = True
    progress: bool = True
    demo: bool = False
    hint: str = ""
    profile_color: str = ""
    profiles: tuple[str, ...] = ()


UNKNOWN_CONFIG = Path("~/.config/jobtui/config.toml")
"""The path shown for the config file of a user without a home directory; it is never opened."""


def default_config() -> Path:
    """Return the default path of the config file. Raises HomeError."""
    import platformdirs  # late, here and below: shell completion with --config and --data-dir needs none

    return _in_home(lambda: platformdirs.user_config_path("jobtui", appauthor=False)) / "config.toml"


def default_data_dir() -> Path:
    """Return the default directory of the profiles' data. Raises HomeError."""
    import platformdirs

    return _in_home(lambda: platformdirs.user_data_path("jobtui", appauthor=False))


def _in_home(find: Callable[[], Path]) -> Path:
    """Return the directory that platformdirs finds.

    If there is no home, older versions of it return a path that begins with "~", and newer ones fail.
    """
    try:
        found = find()
    except RuntimeError:
        found = Path("~")
    if not found.is_absolute():
        raise HomeError(
            "there is no home directory: HOME is not set to an absolute path, and the system knows no home "
            "of this user; set HOME, or name directories with --data-dir and --config"
        )
    return found


def build_cluster_settings(name: str, settings: ProfileSettings) -> ClusterSettings | None:
    """Return the settings of a profile's cluster, None for embedded storage.

    Raises ValueError if the settings contradict each other.
    """
    if not settings.cluster:
        if settings.graphd or settings.spaces or settings.storaged:
            raise ValueError('graphd, storaged and spaces belong to a cluster: cluster = "nebula" is missing')
        return None
    if settings.hosts:
        raise ValueError("hosts belong to embedded storage: a cluster has its own")
    # late, here and below: only a cluster needs the NebulaGraph backend
    from jobtui.storage.nebula.settings import Address, ClusterSettings, RunMode

    return ClusterSettings(
        name=name,
        addresses=tuple(map(Address.parse, settings.graphd)),
        user=settings.user,
        password=_password(name, settings),
        tls=_tls(settings.tls),
        run=RunMode(settings.run),
        storaged_port=settings.storaged_port,
        storaged={host: Address.parse(one, settings.storaged_port) for host, one in settings.storaged.items()},
        spaces={space: tuple(hosts) for space, hosts in settings.spaces.items()},
    )


def cluster_profile_name(cluster: str) -> str:
    """Return the name of the profile and directory of a cluster that is in no config file."""
    return f"nebula-{re.sub(r'[^A-Za-z0-9-]', '_', cluster)}"


def _password(name: str, settings: ProfileSettings) -> PasswordSource:
    from jobtui.storage.nebula.settings import EnvironmentPassword, KeyringPassword

    kind, _, where = settings.password.partition(":")
    if kind == "env":
        return EnvironmentPassword(where)
    return KeyringPassword(where or f"jobtui {name}", settings.user)


def _tls(setting: bool | Mapping[str, Path | str]) -> Tls | None:
    from jobtui.storage.nebula.settings import Tls

    if isinstance(setting, bool):
        return Tls() if setting else None
    files = {key: Path(one) for key, one in setting.items() if key != "server_name"}
    return Tls(**files, server_name=str(setting.get("server_name", "")))


class ProfileSettings(msgspec.Struct, frozen=True):
    """The settings of a profile in the file; `SETTINGS["profiles.*"]` has their meanings."""

    task_timeout: float | None = None
    color: str = ""
    read_only: bool = False
    max_running_jobs: int = 4
    compact_rate: int | None = None
    step_size: int = STEP_BYTES
    min_free: DiskReserve = MIN_FREE
    advice: AdviceThresholds = AdviceThresholds()
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
    """All settings with their defaults. `found` is whether the file at `path` exists."""

    path: Path
    found: bool = False
    profile: str = DEFAULT_PROFILE
    data_dir: Path | None = None
    profiles: Mapping[str, ProfileSettings] = msgspec.field(
        default_factory=lambda: {DEFAULT_PROFILE: ProfileSettings()}
    )
    notify: NotifySettings = NotifySettings()
    dashboard: TuiSettings = msgspec.field(default_factory=TuiSettings)

    def build_profile(self, name: str, data_dir: Path | None = None) -> Profile:
        """Return a profile of `profiles` for the engine.

        Args:
            name: The profile's name.
            data_dir: The directory of the profiles' data; None for the config's or the default one.
        """
        settings = self.profiles[name]
        return Profile(
            name=name,
            root=self._root(data_dir) / name,
            hosts=settings.hosts,
            task_timeout=settings.task_timeout,
            read_only=settings.read_only,
            max_running_jobs=settings.max_running_jobs,
            compact_rate=settings.compact_rate,
            step_size=settings.step_size,
            min_free=settings.min_free,
            advice=settings.advice,
            wal_dirs=settings.wal_dirs,
            without_cf_paths=settings.without_cf_paths,
            notify=self._notify_settings(),
            cluster=build_cluster_settings(name, settings),
        )

    def build_cluster_profile(self, settings: ProfileSettings, data_dir: Path | None = None) -> Profile:
        """Return a profile, with its own directory, for a cluster of the command line alone."""
        cluster = settings.graphd[0]
        name = cluster_profile_name(cluster)
        root = self._root(data_dir) / name
        return Profile(
            name, root, notify=self._notify_settings(), cluster=build_cluster_settings(cluster, settings)
        )

    def _notify_settings(self) -> NotifySettings | None:
        """Return the notifications of every profile, None if there is nothing to do."""
        return self.notify if self.notify.targets and self.notify.on else None

    def _root(self, data_dir: Path | None) -> Path:
        root = data_dir or self.data_dir or default_data_dir()
        # the directory before a ".." need not exist, and must not be created
        return Path(os.path.realpath(root)) if ".." in root.parts else root
