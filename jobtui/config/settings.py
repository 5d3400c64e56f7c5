"""What the dashboard can be told at its start. Importing this imports no part of Textual."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jobtui.errors import HomeError

if TYPE_CHECKING:
    from jobtui.storage.nebula.settings import ClusterSettings, PasswordSource, Tls


import os

from jobtui.engine.profile import Profile
from jobtui.formatting import DateOrder


class Confirm(enum.StrEnum):
    """When stop, recover, archive and compact ask first. DROP SPACE always asks, a flush never does."""

    ALWAYS = "always"
    BULK = "bulk"  # only where more than one job is touched


class TuiSettings(msgspec.Struct, frozen=True):
    """The dashboard's settings; every one has a default.

    `state_dir`: where the columns, the theme and the bar's history are kept across starts (None: they are not
    kept). `theme`: a theme's name, "" for the one chosen last. `keymap`: a command's id to the
    keys that it is to have, as in `{"stop": "ctrl+s,s"}`. `bell`: ring when a watched job ends.
    `terminal_notice`: tell the terminal as well (OSC 9). `keep_failed`: the bar's history keeps texts that
    did not parse. `mouse`: take the mouse. `continue_after_hangup`: a lost
    terminal does not stop the work. `date_order`: the order of day, month and year in dates. `demo`: this is
    the throw-away profile of `--demo`, and the hints say so. `hint`: one line for the top of an empty screen.
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
    demo: bool = False
    hint: str = ""


# The default directories of the config file and of the data.
UNKNOWN_CONFIG = Path("~/.config/jobtui/config.toml")
"""What stands for the config file of a user without a home directory; it is never opened."""


def default_config() -> Path:
    """Return where the config file is looked for. Raises HomeError."""
    import platformdirs  # here: a start with --version needs none

    return _in_home(lambda: platformdirs.user_config_path("jobtui", appauthor=False)) / "config.toml"


def default_data_dir() -> Path:
    """Return the directory that holds the profiles' data, a directory each. Raises HomeError."""
    import platformdirs  # here: as above

    return _in_home(lambda: platformdirs.user_data_path("jobtui", appauthor=False))


def _in_home(find: Callable[[], Path]) -> Path:
    """Return the directory that platformdirs finds.

    If there is no home, its older versions give a path that begins with "~" and the newer ones fail.
    """
    try:
        found = find()
    except RuntimeError:
        found = UNKNOWN_CONFIG
    if not found.is_absolute():
        raise HomeError(
            "there is no home directory: HOME is not set to an absolute path, and the system knows no home "
            "of this user; set HOME, or name directories with --data-dir and --config"
        )
    return found


# The conversion of a cluster's settings, from the file or the command line, for the engine.
def cluster_of(name: str, said: ProfileSettings) -> ClusterSettings | None:
    """The cluster of the profile `name`, None where it works on embedded storage.

    Raises ValueError where what is said does not fit together.
    """
    if not said.cluster:
        if said.graphd or said.spaces or said.storaged:
            raise ValueError('graphd, storaged and spaces are a cluster\'s: cluster = "nebula" is missing')
        return None
    if said.hosts:
        raise ValueError("hosts are the embedded storage's: a cluster has its own")
    from jobtui.storage.nebula.settings import Address, ClusterSettings, RunMode

    return ClusterSettings(
        name=name,
        addresses=tuple(map(Address.parse, said.graphd)),
        user=said.user,
        password=_password(name, said),
        tls=_tls(said.tls),
        run=RunMode(said.run),
        storaged_port=said.storaged_port,
        storaged={host: Address.parse(one, said.storaged_port) for host, one in said.storaged.items()},
        spaces={space: tuple(hosts) for space, hosts in said.spaces.items()},
    )


def profile_name(cluster: str) -> str:
    """The name of the profile, and of its directory, of a cluster that no config names."""
    return f"nebula-{re.sub(r'[^A-Za-z0-9-]', '_', cluster)}"


def _password(name: str, said: ProfileSettings) -> PasswordSource:
    from jobtui.storage.nebula.settings import FromEnvironment, FromKeyring

    kind, _, where = said.password.partition(":")
    if kind == "env":
        return FromEnvironment(where)
    return FromKeyring(where or f"jobtui {name}", said.user)


def _tls(said: bool | Mapping[str, Path | str]) -> Tls | None:
    from jobtui.storage.nebula.settings import Tls

    if isinstance(said, bool):
        return Tls() if said else None
    files = {key: Path(one) for key, one in said.items() if key != "server_name"}
    return Tls(**files, server_name=str(said.get("server_name", "")))


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
        root = data_dir or self.data_dir or default_data_dir()
        # what is before a ".." need not be there, and is not to be made
        return Path(os.path.realpath(root)) if ".." in root.parts else root
