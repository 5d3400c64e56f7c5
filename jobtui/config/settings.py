"""Every setting with its default, its meaning and its parser; their values as records; and the default paths.

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

from jobtui.config.parsers import (
    ADVICE,
    SettingParser,
    addresses,
    advice,
    cluster,
    color,
    command,
    directories,
    directory,
    hosts,
    keymap,
    min_free,
    notify_on,
    notify_url,
    one_of,
    password,
    profile,
    rate,
    seconds,
    spaces,
    step_size,
    storaged,
    text,
    themes,
    tls,
    user,
    views,
    wal_directories,
    whole,
    yes_or_no,
)
from jobtui.engine.advice import AdviceThresholds
from jobtui.engine.notifications import SLOW_AFTER, TIMEOUT, NotifySettings
from jobtui.engine.profile import MIN_FREE, STEP_SIZE, Profile
from jobtui.errors import HomeError
from jobtui.formatting import DateOrder
from jobtui.model import DiskReserve

if TYPE_CHECKING:
    from jobtui.storage.nebula.settings import ClusterSettings, PasswordSource, Tls


DEFAULT_PROFILE = "local"


class Confirm(enum.StrEnum):
    """When stop, recover, archive and compact ask first. DROP SPACE always asks; a flush never does."""

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
        demo: Whether this is the temporary profile of `--demo`, which the hints then mention.
        hint: A line for the top of an empty table.
        profile_color: The profile's color, "" for none.
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


UNKNOWN_CONFIG = Path("~/.config/jobtui/config.toml")
"""The name shown for the config file of a user without a home directory; it is never opened."""


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
        found = UNKNOWN_CONFIG
    if not found.is_absolute():
        raise HomeError(
            "there is no home directory: HOME is not set to an absolute path, and the system knows no home "
            "of this user; set HOME, or name directories with --data-dir and --config"
        )
    return found


def cluster_of(name: str, settings: ProfileSettings) -> ClusterSettings | None:
    """Return the engine's settings of a profile's cluster, None for embedded storage.

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


def profile_name(cluster: str) -> str:
    """Return the name of the profile, and of its directory, for a cluster that no config names."""
    return f"nebula-{re.sub(r'[^A-Za-z0-9-]', '_', cluster)}"


def _password(name: str, settings: ProfileSettings) -> PasswordSource:
    from jobtui.storage.nebula.settings import FromEnvironment, FromKeyring

    kind, _, where = settings.password.partition(":")
    if kind == "env":
        return FromEnvironment(where)
    return FromKeyring(where or f"jobtui {name}", settings.user)


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
    step_size: int = STEP_SIZE
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

    def open_profile(self, name: str, data_dir: Path | None = None) -> Profile:
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
            notify=self._notify(),
            cluster=cluster_of(name, settings),
        )

    def open_cluster(self, settings: ProfileSettings, data_dir: Path | None = None) -> Profile:
        """Return a profile for a cluster that only the command line names; its data has its own directory."""
        cluster = settings.graphd[0]
        name = profile_name(cluster)
        root = self._root(data_dir) / name
        return Profile(name, root, notify=self._notify(), cluster=cluster_of(cluster, settings))

    def _notify(self) -> NotifySettings | None:
        """Return the notifications of every profile, None if there is nothing to do."""
        return self.notify if self.notify.targets and self.notify.on else None

    def _root(self, data_dir: Path | None) -> Path:
        root = data_dir or self.data_dir or default_data_dir()
        # the directory before a ".." need not exist, and must not be created
        return Path(os.path.realpath(root)) if ".." in root.parts else root


class Setting(msgspec.Struct, frozen=True):
    """A key of the file: its name, its default in TOML, its meaning, and the parser of its values."""

    name: str
    default: str
    meaning: str
    parse: SettingParser


# Reading, validation and `jobtui config` follow from this table. A setting needs an entry here and a field of
# the same name in the record of its table. "" is the top of the file, "profiles.*" each profile.
SETTINGS: Mapping[str, tuple[Setting, ...]] = {
    "": (
        Setting(
            "profile",
            f'"{DEFAULT_PROFILE}"',
            "The profile that is used if --profile names none.",
            profile,
        ),
        Setting(
            "data_dir",
            '""',
            "The directory with a directory for each profile's data: its history and its embedded storage. "
            "Empty: the system's directory for a user's data. --data-dir takes precedence.",
            directory,
        ),
    ),
    "profiles.*": (
        Setting(
            "task_timeout",
            "0",
            'How long a task may take before it fails, in seconds or like "15 min". 0: without limit.',
            seconds,
        ),
        Setting(
            "color",
            '""',
            "The color behind the profile's name in the dashboard, so that production looks like production: "
            'red, orange, yellow, green, cyan, blue, purple or like "#c01f3a". Empty: none.',
            color,
        ),
        Setting("read_only", "false", "Whether every change is refused, as with --read-only.", yes_or_no),
        Setting(
            "max_running_jobs",
            "4",
            "How many spaces may have a running job at the same time. A space never has two.",
            whole(1, 64),
        ),
        Setting(
            "compact_rate",
            "0",
            'How fast each host may write while it flushes and compacts, in bytes per second or like "50 MiB". '
            "0: as fast as it can.",
            rate,
        ),
        Setting(
            "step_size",
            "104857600",
            'How much of a database a compaction merges in one step, in bytes or like "100 MiB". It can be '
            "paused after each step, a stop loses one at most, and each needs about twice as much free disk.",
            step_size,
        ),
        Setting(
            "min_free",
            '"5%"',
            'How much of the disk a compaction leaves free: like "5%" or "10 GiB". Below it the compaction '
            "waits before its next step. 0: nothing.",
            min_free,
        ),
        Setting(
            "advice",
            ADVICE,
            "When SHOW ADVICE and IF NEEDED recommend a job: the least share of the size that it gives back, "
            "share of deletions, files in level 0, and size in memory (docs/advice.md).",
            advice,
        ),
        Setting(
            "hosts",
            "{}",
            "The embedded storage hosts and their directories. They are fastest with a disk each. An empty "
            "directory means one in the profile's directory. No hosts: local0, local1 and local2.",
            hosts,
        ),
        Setting(
            "wal_dirs",
            "{}",
            "The WAL directories of adopted databases that have their WAL elsewhere, by the database's "
            'directory: like { "/srv/db" = "/fast/db-wal" }. Name only what belongs to that database: '
            "files are written and deleted there (docs/adopting.md).",
            wal_directories,
        ),
        Setting(
            "without_cf_paths",
            "[]",
            "The directories of adopted databases whose program sets no cf_paths. Their column families that "
            "have no SST file yet may then be flushed (docs/adopting.md).",
            directories,
        ),
        Setting(
            "cluster",
            '""',
            'The storage of the profile: "nebula" is a NebulaGraph cluster, which the settings below describe '
            "(docs/nebulagraph.md). Empty: embedded storage.",
            cluster,
        ),
        Setting(
            "graphd",
            "[]",
            'The addresses of the cluster\'s graphds, like ["10.0.0.1:9669"]. They are tried in turn.',
            addresses,
        ),
        Setting("user", '"root"', "The user who logs in to the cluster.", user),
        Setting(
            "password",
            '"env:JOBTUI_NEBULA_PASSWORD"',
            'Where the password is: "env:VARIABLE", or "keyring:SERVICE" for the system\'s keyring. The '
            "password itself does not belong in this file.",
            password,
        ),
        Setting(
            "tls",
            "false",
            'Whether graphd uses TLS: true, or like { ca = "ca.pem" } with the files ca, certificate and key, '
            "and a server_name if the certificate has another name than the host of the address.",
            tls,
        ),
        Setting(
            "run",
            '"cluster"',
            'Who runs the jobs: "cluster" (its job manager) or "storaged" (jobtui, host by host over HTTP).',
            one_of("cluster", "storaged"),
        ),
        Setting("storaged_port", "19779", "The HTTP port of the storage hosts.", whole(1, 65535)),
        Setting("storaged", "{}", "The HTTP addresses of storage hosts with another port, by host.", storaged),
        Setting(
            "spaces",
            "{}",
            "The spaces and the hosts of each, for version 1, whose graphd does not report them: like "
            '{ nba = ["10.0.0.5"] }. Only with run = "storaged".',
            spaces,
        ),
    ),
    "notify": (
        Setting(
            "on",
            '["failed", "stopped", "slow", "skipped", "paused"]',
            "What is notified: that a job failed, was stopped, finished, is slow or was paused, or that a "
            "schedule's run was skipped (docs/notifications.md).",
            notify_on,
        ),
        Setting(
            "command",
            '""',
            "A program that is run for each notification, without a shell, and reads it as JSON from stdin.",
            command,
        ),
        Setting(
            "url",
            '""',
            'A web hook that each notification is posted to as JSON: "https://…", or "env:VARIABLE" if the URL '
            "is a secret.",
            notify_url,
        ),
        Setting(
            "slow_after",
            f"{SLOW_AFTER:g}",
            'After how long a running job is slow, in seconds or like "90 min". 0: never.',
            seconds,
        ),
        Setting(
            "timeout",
            f"{TIMEOUT:g}",
            "How long the command, or an attempt to reach the web hook, may take. 0: without limit.",
            seconds,
        ),
    ),
    "dashboard": (
        Setting("theme", '""', "The theme's name. Empty: the theme that was used last.", text),
        Setting(
            "confirm",
            '"always"',
            'When stop, recover, archive and compact ask first: "always", or "bulk" for more than one job. '
            "DROP SPACE always asks; a flush never does.",
            one_of(*Confirm, convert=Confirm),
        ),
        Setting("bell", "true", "Ring when a watched job ends.", yes_or_no),
        Setting(
            "terminal_notice",
            "false",
            "Also show a notification of the terminal (OSC 9) when a watched job ends.",
            yes_or_no,
        ),
        Setting(
            "keep_failed",
            "false",
            "Also keep texts with syntax errors in the command bar's history.",
            yes_or_no,
        ),
        Setting("mouse", "true", "Handle the mouse. false leaves it to the terminal.", yes_or_no),
        Setting(
            "continue_after_hangup",
            "true",
            "If the terminal is lost or closed, continue the jobs in the background until they have ended. "
            "false stops them.",
            yes_or_no,
        ),
        Setting(
            "date_order",
            '"mdy"',
            'The order of dates in the tables: "mdy" (12/17/19), "dmy" (17.12.19) or "ymd" (2019-12-17).',
            one_of(*DateOrder, convert=DateOrder),
        ),
        Setting(
            "themes",
            "{}",
            'Your own themes by name, like { mine = { base = "light", accent = "#9b5300" } }.',
            themes,
        ),
        Setting(
            "glyphs",
            '"auto"',
            'The characters of statuses and lines: "auto" (what the terminal promises), "ascii" or "unicode".',
            one_of("auto", "ascii", "unicode"),
        ),
        Setting("title", "true", "Show the running jobs in the terminal's title.", yes_or_no),
        Setting("progress", "true", "Show their progress on terminals that are known to (OSC 9;4).", yes_or_no),
        Setting("views", "{}", 'Filters that the palette offers, like { "slow" = "took:>1h" }.', views),
        Setting("keymap", "{}", 'Other keys for commands, like { stop = "s,delete" }.', keymap),
    ),
}
