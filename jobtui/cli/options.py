"""A record for each command: the options and operands that the arguments give it."""

from __future__ import annotations

from pathlib import Path

import msgspec


class ProfileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options that select config, profile and data directory; those that are not given are None.

    `nebula` contains the addresses of a cluster that is used instead of a profile: by `user`, and over TLS if
    `tls` names the trusted certificates ("system", or a file). With `read_only` nothing is changed.
    """

    config: Path | None = None
    profile: str | None = None
    data_dir: Path | None = None
    nebula: str | None = None
    user: str | None = None
    tls: str | None = None
    read_only: bool | None = None


class ShowHelp(msgspec.Struct, frozen=True):
    """--help; `verb` is the verb before it."""

    verb: str | None = None


class HelpCommand(msgspec.Struct, frozen=True):
    """help: the page of the statement or verb with these words, or of all statements."""

    words: tuple[str, ...]


class ShowCompletion(msgspec.Struct, frozen=True):
    """completion: the script for that shell."""

    shell: str


class ShowVersion(msgspec.Struct, frozen=True):
    """--version."""


class DashboardCommand(ProfileOptions, frozen=True):
    """No verb and no statements: the dashboard."""


class OpenDemo(ProfileOptions, frozen=True):
    """--demo: the dashboard on temporary data."""


class RunCommand(ProfileOptions, frozen=True, kw_only=True):
    """-e, -f or piped statements; if `text` is None, `file` is read ("-": stdin).

    `quiet` prints errors only; `raw` leaves texts in a CSV unchanged that a spreadsheet would take for
    formulas.
    """

    text: str | None
    file: str
    format: str
    detach: bool
    wait: bool
    quiet: bool = False
    raw: bool = False


class LoadCommand(ProfileOptions, frozen=True, kw_only=True):
    """load; if `format` is None, each file's name decides.

    `delete_keys`: files with keys alone may delete.
    """

    space: str
    files: tuple[str, ...]
    format: str | None
    quiet: bool = False
    delete_keys: bool = False


class DumpCommand(ProfileOptions, frozen=True, kw_only=True):
    """dump: the pairs of a space on stdout."""

    space: str
    format: str


class ServeCommand(ProfileOptions, frozen=True, kw_only=True):
    """serve; `background`: in a new process without this terminal; `until_idle`: until no job is left.

    `metrics`: the host and the port where metrics are served, None if they are not.
    """

    background: bool
    until_idle: bool = False
    metrics: tuple[str, int] | None = None


class WebCommand(ProfileOptions, frozen=True, kw_only=True):
    """web.

    Attributes:
        port: The port on the loopback address.
        tabs: The maximum number of open tabs.
        url: The address that browsers use, None if no proxy is in front.
        writable: Whether changes are accepted.
    """

    port: int
    tabs: int
    url: str | None = None
    writable: bool = False


class ConfigCommand(ProfileOptions, frozen=True, kw_only=True):
    """config; `action` is print, path or check."""

    action: str


class HistoryCommand(ProfileOptions, frozen=True, kw_only=True):
    """history; `action` is verify, repair or export; an export is written to `file` ("-": stdout).

    `raw`: as in RunCommand.
    """

    action: str
    file: str = "-"
    format: str = "jsonl"
    quiet: bool = False
    raw: bool = False


class MetricsCommand(ProfileOptions, frozen=True, kw_only=True):
    """metrics; written to the file `output`, None for stdout."""

    output: Path | None = None


class NotifyCommand(ProfileOptions, frozen=True, kw_only=True):
    """notify test: sends a message to every target of the notifications."""


class DoctorCommand(ProfileOptions, frozen=True, kw_only=True):
    """doctor: checks of everything that jobtui needs."""


CliCommand = (
    ShowHelp
    | ShowVersion
    | HelpCommand
    | ShowCompletion
    | DashboardCommand
    | OpenDemo
    | RunCommand
    | LoadCommand
    | DumpCommand
    | ServeCommand
    | WebCommand
    | ConfigCommand
    | HistoryCommand
    | MetricsCommand
    | NotifyCommand
    | DoctorCommand
)
