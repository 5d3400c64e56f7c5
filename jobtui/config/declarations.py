"""Every setting with its default, its meaning and its parser."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from jobtui.config.parsers import (
    DEFAULT_ADVICE,
    SettingParser,
    choice_parser,
    integer_parser,
    parse_addresses,
    parse_advice,
    parse_bool,
    parse_cluster,
    parse_color,
    parse_command,
    parse_directories,
    parse_directory,
    parse_hosts,
    parse_keymap,
    parse_min_free,
    parse_notify_on,
    parse_notify_url,
    parse_password,
    parse_profile,
    parse_rate,
    parse_seconds,
    parse_spaces,
    parse_step_size,
    parse_storaged,
    parse_text,
    parse_themes,
    parse_tls,
    parse_user,
    parse_views,
    parse_wal_directories,
)
from jobtui.config.settings import DEFAULT_PROFILE, Confirm
from jobtui.engine.notify_settings import SLOW_AFTER, TIMEOUT
from jobtui.formatting import DateOrder


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
            parse_profile,
        ),
        Setting(
            "data_dir",
            '""',
            "The directory that has a subdirectory for each profile's data: its history and embedded storage. "
            "Empty: the system's directory for a user's data. --data-dir takes precedence.",
            parse_directory,
        ),
    ),
    "profiles.*": (
        Setting(
            "task_timeout",
            "0",
            'How long a task may take before it fails, in seconds or like "15 min". 0: without limit.',
            parse_seconds,
        ),
        Setting(
            "color",
            '""',
            "The color behind the profile's name in the dashboard, so that production looks like production: "
            'red, orange, yellow, green, cyan, blue, purple or like "#c01f3a". Empty: none.',
            parse_color,
        ),
        Setting("read_only", "false", "Whether every change is refused, as with --read-only.", parse_bool),
        Setting(
            "max_running_jobs",
            "4",
            "How many spaces may have a running job at the same time. A space never has two.",
            integer_parser(1, 64),
        ),
        Setting(
            "compact_rate",
            "0",
            'How fast each host may write while it flushes and compacts, in bytes per second or like "50 MiB". '
            "0: as fast as it can.",
            parse_rate,
        ),
        Setting(
            "step_size",
            "88080384",
            'How much of a database a compaction merges in one step, in bytes or like "80 MiB". It can be '
            "paused after each step, a stop loses one at most, and each needs free disk for what it merges.",
            parse_step_size,
        ),
        Setting(
            "min_free",
            '"5%"',
            'How much of the disk a compaction leaves free: like "5%" or "10 GiB". Below it the compaction '
            "waits before its next step. 0: nothing.",
            parse_min_free,
        ),
        Setting(
            "advice",
            DEFAULT_ADVICE,
            "When SHOW ADVICE and IF NEEDED recommend a job: the least share of the size that it gives back, "
            "share of deletions, files in level 0, and size in memory (docs/advice.md).",
            parse_advice,
        ),
        Setting(
            "hosts",
            "{}",
            "The embedded storage hosts and their directories. They are fastest with a disk each. An empty "
            "directory means one in the profile's directory. No hosts: local0, local1 and local2.",
            parse_hosts,
        ),
        Setting(
            "wal_dirs",
            "{}",
            "The WAL directories of adopted databases that have their WAL elsewhere, by the database's "
            'directory: like { "/srv/db" = "/fast/db-wal" }. Name only what belongs to that database: '
            "files are written and deleted there (docs/adopting.md).",
            parse_wal_directories,
        ),
        Setting(
            "without_cf_paths",
            "[]",
            "The directories of adopted databases whose program sets no cf_paths. Their column families that "
            "have no SST file yet may then be flushed (docs/adopting.md).",
            parse_directories,
        ),
        Setting(
            "cluster",
            '""',
            'The storage of the profile: "nebula" is a NebulaGraph cluster, which the settings below describe '
            "(docs/nebulagraph.md). Empty: embedded storage.",
            parse_cluster,
        ),
        Setting(
            "graphd",
            "[]",
            'The addresses of the cluster\'s graphds, like ["10.0.0.1:9669"]. They are tried in turn.',
            parse_addresses,
        ),
        Setting("user", '"root"', "The user who logs in to the cluster.", parse_user),
        Setting(
            "password",
            '"env:JOBTUI_NEBULA_PASSWORD"',
            'Where the password is: "env:VARIABLE", or "keyring:SERVICE" for the system\'s keyring. The '
            "password itself does not belong in this file.",
            parse_password,
        ),
        Setting(
            "tls",
            "false",
            'Whether graphd uses TLS: true, or like { ca = "ca.pem" } with the files ca, certificate and key, '
            "and a server_name if the certificate has another name than the host of the address.",
            parse_tls,
        ),
        Setting(
            "run",
            '"cluster"',
            'Who runs the jobs: "cluster" (its job manager) or "storaged" (jobtui, host by host over HTTP).',
            choice_parser("cluster", "storaged"),
        ),
        Setting("storaged_port", "19779", "The HTTP port of the storage hosts.", integer_parser(1, 65535)),
        Setting(
            "storaged", "{}", "The HTTP addresses of storage hosts with another port, by host.", parse_storaged
        ),
        Setting(
            "spaces",
            "{}",
            "The spaces and the hosts of each, for version 1, whose graphd does not report them: like "
            '{ nba = ["10.0.0.5"] }. Only with run = "storaged".',
            parse_spaces,
        ),
    ),
    "notify": (
        Setting(
            "on",
            '["failed", "stopped", "slow", "skipped", "paused"]',
            "What is notified: that a job failed, was stopped, finished, is slow or was paused, or that a "
            "schedule's run was skipped (docs/notifications.md).",
            parse_notify_on,
        ),
        Setting(
            "command",
            '""',
            "A program that is run for each notification, without a shell, and reads it as JSON from stdin.",
            parse_command,
        ),
        Setting(
            "url",
            '""',
            'A web hook that each notification is posted to as JSON: "https://…", or "env:VARIABLE" if the URL '
            "is a secret.",
            parse_notify_url,
        ),
        Setting(
            "slow_after",
            f"{SLOW_AFTER:g}",
            'After how long a running job is slow, in seconds or like "90 min". 0: never.',
            parse_seconds,
        ),
        Setting(
            "timeout",
            f"{TIMEOUT:g}",
            "How long the command, or an attempt to reach the web hook, may take. 0: without limit.",
            parse_seconds,
        ),
    ),
    "dashboard": (
        Setting("theme", '""', "The theme's name. Empty: the theme that was used last.", parse_text),
        Setting(
            "confirm",
            '"always"',
            'When stop, recover, archive and compact ask first: "always", or "bulk" for more than one job. '
            "DROP SPACE always asks; a flush never does.",
            choice_parser(*Confirm, convert=Confirm),
        ),
        Setting("bell", "true", "Ring when a watched job ends.", parse_bool),
        Setting(
            "terminal_notice",
            "false",
            "Also show a notification of the terminal (OSC 9) when a watched job ends.",
            parse_bool,
        ),
        Setting(
            "keep_failed",
            "false",
            "Also keep texts with syntax errors in the command bar's history.",
            parse_bool,
        ),
        Setting("mouse", "true", "Handle the mouse. false leaves it to the terminal.", parse_bool),
        Setting(
            "continue_after_hangup",
            "true",
            "If the terminal is lost or closed, continue the jobs in the background until they have ended. "
            "false stops them.",
            parse_bool,
        ),
        Setting(
            "date_order",
            '"mdy"',
            'The order of dates in the tables: "mdy" (12/17/19), "dmy" (17.12.19) or "ymd" (2019-12-17).',
            choice_parser(*DateOrder, convert=DateOrder),
        ),
        Setting(
            "themes",
            "{}",
            'Your own themes by name, like { mine = { base = "light", accent = "#9b5300" } }.',
            parse_themes,
        ),
        Setting(
            "glyphs",
            '"auto"',
            'The characters of statuses and lines: "auto" (by terminal and locale), "ascii" or "unicode".',
            choice_parser("auto", "ascii", "unicode"),
        ),
        Setting("title", "true", "Show the running jobs in the terminal's title.", parse_bool),
        Setting(
            "progress", "true", "Show their progress on terminals that are known to (OSC 9;4).", parse_bool
        ),
        Setting("views", "{}", 'Filters that the palette offers, like { "slow" = "took:>1h" }.', parse_views),
        Setting("keymap", "{}", 'Other keys for commands, like { stop = "s,delete" }.', parse_keymap),
    ),
}
