"""What can be asked for on a command line: one frozen struct a verb."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which config, profile and data directory: what every verb but help and version has. None: not said.

    `nebula`: addresses of a cluster that is used in a profile's place, as `user`, over TLS where `tls` says
    whom to trust ("system", or a file of certificates).
    """

    config: Path | None = None
    profile: str | None = None
    data_dir: Path | None = None
    nebula: str | None = None
    user: str | None = None
    tls: str | None = None


class ShowHelp(msgspec.Struct, frozen=True):
    """--help; `verb` is the one that it stood after."""

    verb: str | None = None


class Teach(msgspec.Struct, frozen=True):
    """help: on the statement, or the verb, that begins with these words; on all statements without any."""

    words: tuple[str, ...]


class ShowCompletion(msgspec.Struct, frozen=True):
    """completion: what that shell needs."""

    shell: str


class ShowVersion(msgspec.Struct, frozen=True):
    """--version."""


class OpenDashboard(Place, frozen=True):
    """No verb at all, at a terminal."""


class OpenDemo(Place, frozen=True):
    """--demo."""


class RunText(Place, frozen=True, kw_only=True):
    """-e, -f or piped statements. `text` is None where `file` is to be read, "-" being stdin.

    `quiet`: say only what went wrong. `raw`: leave texts in a CSV as they are, also those that a spreadsheet
    would compute.
    """

    text: str | None
    file: str
    format: str
    detach: bool
    wait: bool
    quiet: bool = False
    raw: bool = False


class Load(Place, frozen=True, kw_only=True):
    """load: `format` None means that each file's name tells it.

    `delete_keys`: files of keys alone are meant to delete.
    """

    space: str
    files: tuple[str, ...]
    format: str | None
    quiet: bool = False
    delete_keys: bool = False


class Dump(Place, frozen=True, kw_only=True):
    """dump."""

    space: str
    format: str


class Serve(Place, frozen=True, kw_only=True):
    """serve: in a process of its own where `background`."""

    background: bool


class ConfigCommand(Place, frozen=True, kw_only=True):
    """config: `what` is print, path or check."""

    what: str


class HistoryCommand(Place, frozen=True, kw_only=True):
    """history: `what` is verify, repair or export; an export goes to `file`, "-" being stdout, as `format`.

    `raw`: as in RunText.
    """

    what: str
    file: str = "-"
    format: str = "jsonl"
    quiet: bool = False
    raw: bool = False


class Examine(Place, frozen=True, kw_only=True):
    """doctor."""


Asked = (
    ShowHelp
    | ShowVersion
    | Teach
    | ShowCompletion
    | OpenDashboard
    | OpenDemo
    | RunText
    | Load
    | Dump
    | Serve
    | ConfigCommand
    | HistoryCommand
    | Examine
)


def plainly_asked(words: Sequence[str]) -> OpenDashboard | None:
    """The dashboard of a profile or a directory, asked for in the plainest words; None: see arguments.py.

    To make a parser takes a hundredth of the dashboard's start.
    """
    rest = iter(words)
    said: dict[str, str] = {}
    for word in rest:
        option, equals, value = word.partition("=")
        value = value if equals else next(rest, "")
        if option not in ("--profile", "--data-dir", "--config") or option in said:
            return None
        if not value or value.startswith("-") or "\0" in value:
            return None
        said[option] = value
    data_dir, config = (Path(said[name]) if name in said else None for name in ("--data-dir", "--config"))
    if any(path is not None and not path.is_absolute() for path in (data_dir, config)):
        return None
    return OpenDashboard(config=config, profile=said.get("--profile"), data_dir=data_dir)
