"""Every setting, declared once.

Reading, checking and `jobtui config` all work from `SETTINGS`: a setting that stands there, and has a
field of the same name in its table's dataclass (settings.py), is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobtui.config import cluster_values, values
from jobtui.config.settings import DEFAULT_PROFILE


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the file: its name, its default as TOML writes it, its meaning, and what it may be."""

    name: str
    default: str
    meaning: str
    kind: values.Kind


# by table: "" is the file's top, "profiles.*" each profile's own; the dashboard's are jobtui.tui.settings' own
SETTINGS: Mapping[str, tuple[Setting, ...]] = {
    "": (
        Setting(
            "profile",
            f'"{DEFAULT_PROFILE}"',
            "The profile that is used where --profile names none.",
            values.profile_name,
        ),
        Setting(
            "data_dir",
            '""',
            "The directory that holds the profiles' data, a directory each: the history and the embedded "
            "storage. Empty: the system's place for a user's data. --data-dir goes before it.",
            values.directory,
        ),
    ),
    "profiles.*": (
        Setting(
            "task_timeout",
            "0",
            'How long a task may take before it fails, in seconds or like "15 min". 0: as long as it needs.',
            values.seconds,
        ),
        Setting(
            "max_running_jobs",
            "4",
            "How many spaces may have a running job at the same time. A space never has two.",
            values.whole(1, 64),
        ),
        Setting(
            "compact_rate",
            "0",
            'How fast each host may write while it flushes and compacts, in bytes a second or like "50 MiB". '
            "0: as fast as it can.",
            values.rate,
        ),
        Setting(
            "hosts",
            "{}",
            "The embedded storage hosts and the directory of each, a disk each for best speed; an empty "
            "directory is one in the profile's own. No hosts: local0, local1 and local2.",
            values.hosts,
        ),
        Setting(
            "wal_dirs",
            "{}",
            "The WAL directories of adopted databases that keep their WAL apart, by the database's directory: "
            'like { "/srv/db" = "/fast/db-wal" }. Only what really belongs to that database: files are written '
            "and deleted there (docs/adopting.md).",
            values.wal_directories,
        ),
        Setting(
            "without_cf_paths",
            "[]",
            "The adopted databases whose program sets no cf_paths, by their directories. A column family of "
            "theirs that has no SST file yet may then be flushed (docs/adopting.md).",
            values.directories,
        ),
        Setting(
            "cluster",
            '""',
            'What the profile works on: "nebula" is a NebulaGraph cluster, which the settings below are about '
            "(docs/nebulagraph.md tells more). Empty: embedded storage.",
            cluster_values.cluster,
        ),
        Setting(
            "graphd",
            "[]",
            'The addresses of the cluster\'s graphds, like ["10.0.0.1:9669"]. They are tried in turn.',
            cluster_values.addresses,
        ),
        Setting("user", '"root"', "Whom to log in to the cluster as.", cluster_values.user),
        Setting(
            "password",
            '"env:JOBTUI_NEBULA_PASSWORD"',
            'Where the password is: "env:VARIABLE", or "keyring:SERVICE" for the system\'s keyring. The '
            "password itself has no place here.",
            cluster_values.password,
        ),
        Setting(
            "tls",
            "false",
            'Whether TLS is spoken with graphd: true, or like { ca = "ca.pem" } with the files ca, certificate '
            "and key, and a server_name where the certificate's is not the address's host.",
            cluster_values.tls,
        ),
        Setting(
            "run",
            '"cluster"',
            'Who runs the jobs: "cluster", its own job manager, or "storaged", jobtui, host by host over HTTP.',
            cluster_values.run,
        ),
        Setting("storaged_port", "19779", "The HTTP port of the storage hosts.", values.whole(1, 65535)),
        Setting(
            "storaged",
            "{}",
            "The HTTP addresses of storage hosts whose port is another, by the host's name.",
            cluster_values.storaged,
        ),
        Setting(
            "spaces",
            "{}",
            "The spaces and the hosts of each, for version 1, whose graphd can't be asked: like "
            '{ nba = ["10.0.0.5"] }. Only with run = "storaged".',
            cluster_values.spaces,
        ),
    ),
    "dashboard": (
        Setting("theme", '""', "The theme's name. Empty: the one that was chosen last.", values.text),
        Setting(
            "confirm",
            '"always"',
            'When stop, recover, archive and compact ask first: "always", or "bulk" for more than one job. '
            "DROP SPACE always asks, a flush never does.",
            values.confirm,
        ),
        Setting("bell", "true", "Ring when a watched job ends.", values.yes_or_no),
        Setting(
            "terminal_notice",
            "false",
            "Have the terminal show a notice as well when a watched job ends (OSC 9).",
            values.yes_or_no,
        ),
        Setting(
            "keep_failed",
            "false",
            "Keep texts that did not parse in the command bar's history, too.",
            values.yes_or_no,
        ),
        Setting("mouse", "true", "Take the mouse. false leaves it to the terminal.", values.yes_or_no),
        Setting(
            "continue_after_hangup",
            "true",
            "When the terminal is lost or closed, go on with the jobs in the background until they have ended. "
            "false stops them.",
            values.yes_or_no,
        ),
        Setting("keymap", "{}", 'Other keys for commands, like { stop = "s,delete" }.', values.keymap),
    ),
}
