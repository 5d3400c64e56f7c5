"""The argument parser. It returns one of the records in options.py.

help.py has the texts of --help; a test compares them with the parser.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jobtui.cli.errors import UsageError
from jobtui.cli.options import (
    CliCommand,
    ConfigCommand,
    DashboardCommand,
    DoctorCommand,
    DumpCommand,
    HelpCommand,
    HistoryCommand,
    LoadCommand,
    MetricsCommand,
    NotifyCommand,
    OpenDemo,
    RunCommand,
    ServeCommand,
    ShowCompletion,
    ShowHelp,
    ShowVersion,
    WebCommand,
)
from jobtui.suggest import did_you_mean

TEXT_FORMATS = ("box", "json", "jsonl", "csv")
PAIR_FORMATS = ("jsonl", "csv", "tsv")
EXPORT_FORMATS = ("jsonl", "json", "csv")
VERBS = (
    "load",
    "dump",
    "serve",
    "web",
    "config",
    "history",
    "metrics",
    "notify",
    "doctor",
    "completion",
    "help",
)
SHELLS = ("bash", "zsh", "fish")
VALUE_OPTIONS = (
    "-e",
    "-f",
    "--format",
    "--profile",
    "--nebula",
    "-u",
    "--tls",
    "--data-dir",
    "--config",
    "--port",
    "--url",
    "--tabs",
    "--metrics",
    "--output",
)
FLAGS = (
    "--detach",
    "--wait",
    "--background",
    "--until-idle",
    "--writable",
    "--demo",
    "--delete-keys",
    "--raw",
    "--quiet",
    "--read-only",
    "--version",
    "--help",
)
WEB_PORT = 9478  # fixed, so that `ssh -L` can name it; no well-known service uses it
WEB_TABS = 16  # each is a dashboard of 60 to 90 MB
RUN_OPTIONS = ("detach", "wait", "format", "quiet", "raw")
PROFILE_OPTIONS = ("config", "profile", "data_dir", "nebula", "user", "tls", "read_only")
_WITHOUT_CLUSTER = tuple(option for option in PROFILE_OPTIONS if option not in ("nebula", "user", "tls"))
PASSWORD_OPTIONS = ("-p", "--password", "--passwd")
PASSWORD_HINT = "a password is never an option; set JOBTUI_NEBULA_PASSWORD, or enter it when jobtui asks for it"

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "config": ("print", "path", "check"),
    "history": ("verify", "repair", "export"),
    "notify": ("test",),
    "completion": SHELLS,
}
"""The verbs whose first operand is one of these words."""
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "load": ("SPACE", "FILE (- for stdin)"),
    "dump": ("SPACE",),
    "history": ("verify, repair or export",),
    "notify": ("test",),
    "completion": ("bash, zsh or fish",),
}
"""The operands that a verb needs."""
_MAX_OPERANDS: Mapping[str, int | None] = {
    "load": None,
    "dump": 1,
    "config": 1,
    "history": 2,
    "notify": 1,
    "completion": 1,
    "help": None,
}
"""How many operands a verb takes, None if there is no limit; the others take none."""
_VERB_OF_OPTION: Mapping[str, str] = {
    "delete_keys": "load",
    "background": "serve",
    "until_idle": "serve",
    "port": "web",
    "url": "web",
    "tabs": "web",
    "writable": "web",
    "metrics": "serve",
    "output": "metrics",
}
"""The options that only one verb has, and that verb."""
VERB_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "load": ("format", "quiet", "delete_keys", *PROFILE_OPTIONS),
    "dump": ("format", *PROFILE_OPTIONS),
    "serve": ("background", "until_idle", "metrics", *PROFILE_OPTIONS),
    "web": ("port", "url", "tabs", "writable", *PROFILE_OPTIONS),
    "config": _WITHOUT_CLUSTER,
    "history": ("format", "quiet", "raw", *PROFILE_OPTIONS),
    "metrics": ("output", *PROFILE_OPTIONS),
    "notify": _WITHOUT_CLUSTER,
    "doctor": PROFILE_OPTIONS,
    "completion": (),
    "help": (),
}
"""The options that have an effect with a verb."""


def parse_arguments(words: Sequence[str], *, piped: bool) -> CliCommand:
    """Return the command that the words request.

    Args:
        piped: stdin is a pipe or a file: without a verb, the statements come from there.

    Raises:
        UsageError: the words cannot be understood, or contradict each other.
    """
    try:
        found, unknown = _parser().parse_known_intermixed_args(words)
    except _HelpRequested as request:
        if request.is_version:
            return ShowVersion()
        before = words[: words.index(request.option)] if request.option in words else words
        return ShowHelp(next((word for word in before if word in VERBS), None))
    if unknown:
        raise _unknown_option(unknown[0])
    if found.nebula is None:
        for option, name in (("user", "-u"), ("tls", "--tls")):
            if getattr(found, option) is not None:
                raise UsageError(f"{name} needs a cluster: --nebula HOST:PORT")
    else:
        _reject("--nebula", found, "profile", "demo")
    options = {option: getattr(found, option) for option in PROFILE_OPTIONS}
    if found.words:
        verb, *operands = found.words
        return _verb_command(verb, operands, found, options)
    for option, owner in _VERB_OF_OPTION.items():
        if getattr(found, option) is not None:
            raise UsageError(f"{option_name(option)} belongs to jobtui {owner}")
    if found.demo:
        _reject("--demo", found, "text", "file", *RUN_OPTIONS, "profile", "data_dir")
        return OpenDemo(**options)
    if found.text is not None and found.file is not None:
        raise UsageError("-e and -f cannot be combined: put the statements in one text")
    if found.text is None and found.file is None and not piped:
        for option in RUN_OPTIONS:
            if getattr(found, option):
                raise UsageError(f"--{option} needs statements: -e TEXT, -f FILE, or a pipe")
        return DashboardCommand(**options)
    if found.detach and found.wait:
        raise UsageError("--detach and --wait cannot be combined")
    format_ = _one_of(TEXT_FORMATS, found.format or "box")
    return RunCommand(
        text=found.text,
        file=found.file or "-",
        format=format_,
        detach=bool(found.detach),
        wait=bool(found.wait),
        quiet=bool(found.quiet),
        raw=_raw(found, format_),
        **options,
    )


def _verb_command(
    verb: str, operands: Sequence[str], found: argparse.Namespace, options: dict[str, Any]
) -> CliCommand:
    """Return the command of a verb.

    Raises UsageError for operands and options that do not fit it.
    """
    if verb not in VERBS:
        if found.text is not None:
            hint = "; put a text of several words in quotes: -e 'SHOW JOBS'"
        else:
            hint = "; statements go after -e" if _begins_statement(verb) else _near(verb, VERBS)
        raise UsageError(f"there is no command '{verb}'{hint}")
    _reject(verb, found, *(option for option in _OPTIONS if option not in VERB_OPTIONS[verb]))
    most = _MAX_OPERANDS.get(verb, 0)
    if missing := _REQUIRED.get(verb, ())[len(operands) :]:
        raise UsageError(f"{verb} needs {', '.join(missing)} (see jobtui {verb} --help)")
    if most is not None and len(operands) > most:
        raise UsageError(f"{verb} takes no operand '{operands[most]}' (see jobtui {verb} --help)")
    if operands and operands[0] not in ACTIONS.get(verb, operands):
        raise UsageError(f"there is no 'jobtui {verb} {operands[0]}'{_near(operands[0], ACTIONS[verb])}")
    match verb:
        case "load":
            return LoadCommand(
                space=operands[0],
                files=tuple(operands[1:]),
                format=_one_of(PAIR_FORMATS, found.format) if found.format else None,
                quiet=bool(found.quiet),
                delete_keys=bool(found.delete_keys),
                **options,
            )
        case "dump":
            format_ = _one_of(PAIR_FORMATS, found.format or "jsonl")
            return DumpCommand(space=operands[0], format=format_, **options)
        case "serve":
            return ServeCommand(
                background=bool(found.background),
                until_idle=bool(found.until_idle),
                metrics=found.metrics,
                **options,
            )
        case "web":
            if found.writable and found.read_only:
                raise UsageError("--writable and --read-only contradict each other")
            port = WEB_PORT if found.port is None else found.port
            tabs = WEB_TABS if found.tabs is None else found.tabs
            return WebCommand(port=port, url=found.url, tabs=tabs, writable=bool(found.writable), **options)
        case "config":
            return ConfigCommand(action=operands[0] if operands else "print", **options)
        case "history":
            return _history(operands, found, options)
        case "metrics":
            return MetricsCommand(output=found.output, **options)
        case "notify":
            return NotifyCommand(**options)
        case "doctor":
            return DoctorCommand(**options)
        case "completion":
            return ShowCompletion(operands[0])
    return HelpCommand(tuple(operands))


def _history(operands: Sequence[str], found: argparse.Namespace, options: dict[str, Any]) -> HistoryCommand:
    action, *files = operands
    if action == "export":
        format_ = _one_of(EXPORT_FORMATS, found.format or "jsonl")
        return HistoryCommand(
            action=action,
            file=files[0] if files else "-",
            format=format_,
            quiet=bool(found.quiet),
            raw=_raw(found, format_),
            **options,
        )
    _reject(f"history {action}", found, "format", "quiet", "raw")
    if files:
        raise UsageError(f"history {action} takes no file: '{files[0]}'")
    return HistoryCommand(action=action, **options)


def _raw(found: argparse.Namespace, format_: str) -> bool:
    """Return whether CSV cells are written unguarded. Raises UsageError for another format."""
    if found.raw and format_ != "csv":
        raise UsageError(f"--raw goes with --format csv, not {format_}")
    return bool(found.raw)


def _unknown_option(word: str) -> UsageError:
    name = word.partition("=")[0] if word.startswith("--") else word[:2]
    if name in PASSWORD_OPTIONS:
        hint = f": {PASSWORD_HINT}"
    elif (format_ := name.removeprefix("--")) in (*TEXT_FORMATS, *PAIR_FORMATS):
        hint = f"; did you mean --format {format_}?"
    else:
        hint = _near(name, (*VALUE_OPTIONS, *FLAGS))
    return UsageError(f"there is no option {name}{hint}")


def _begins_statement(word: str) -> bool:
    from jobtui.language.syntax import SYNTAX  # the language is imported only for this error

    return " " in word or word.upper() in {form.verb for form in SYNTAX}


def _near(word: str, known: Sequence[str]) -> str:
    near = did_you_mean(word, known)
    return f"; did you mean {near}?" if near else f"; there are {', '.join(known)}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see jobtui --help)")


class _HelpRequested(Exception):
    """--help or --version, which ends parsing."""

    def __init__(self, option: str, *, is_version: bool) -> None:
        self.option, self.is_version = option, is_version


class _HelpAction(argparse.Action):
    """The action of --help and --version, which take precedence over errors in the words after them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        raise _HelpRequested(option_string or "", is_version=self.dest == "version")


class _Once(argparse.Action):
    """The action of an option that may be given only once: argparse would silently use the last one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest, None) is not None:
            hint = "; put the statements in one text, with ; between them" if self.dest == "text" else ""
            raise UsageError(f"{option_string} was given twice{hint}")
        setattr(namespace, self.dest, values)


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the options of all verbs: a parser for each verb would take 12 ms to create."""
    # without a usage, parse_known_intermixed_args would compose one, for an error that is not shown
    parser = _Parser(prog="jobtui", usage="jobtui", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--help", "-h", action=_HelpAction, nargs=0)
    parser.add_argument("--version", action=_HelpAction, nargs=0)
    parser.add_argument("-e", dest="text", action=_Once)
    parser.add_argument("-f", dest="file", action=_Once)
    parser.add_argument("--format", action=_Once)
    parser.add_argument("--profile", action=_Once)
    parser.add_argument("--nebula", action=_Once)
    parser.add_argument("-u", dest="user", action=_Once)
    parser.add_argument("--tls", action=_Once)
    parser.add_argument("--data-dir", action=_Once, type=_path)
    parser.add_argument("--config", action=_Once, type=_path)
    parser.add_argument("--port", action=_Once, type=_port)
    parser.add_argument("--url", action=_Once)
    parser.add_argument("--tabs", action=_Once, type=_tabs)
    parser.add_argument("--metrics", action=_Once, type=_listen_address)
    parser.add_argument("--output", action=_Once, type=_path)
    parser.add_argument("--quiet", "-q", action="store_true", default=None)
    flags = (
        "--detach",
        "--wait",
        "--demo",
        "--raw",
        "--delete-keys",
        "--background",
        "--until-idle",
        "--writable",
        "--read-only",
    )
    for flag in flags:
        parser.add_argument(flag, action="store_true", default=None)
    return parser


_OPTIONS = ("text", "file", "demo", *_VERB_OF_OPTION, *RUN_OPTIONS, *PROFILE_OPTIONS)
"""The names that the parser gives to all options."""


def _path(word: str) -> Path:
    if not word or "\0" in word:
        raise argparse.ArgumentTypeError("a path is expected")
    if not Path(word).is_absolute():
        try:
            Path.cwd()
        except FileNotFoundError:
            raise UsageError(f"{word} is relative to the current directory, which is gone") from None
    return Path(word)


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word) < 1 << 16):
        raise argparse.ArgumentTypeError(f"'{word}' is not a port: a number from 0 to 65535")
    return int(word)


def _tabs(word: str) -> int:
    if not (word.isascii() and word.isdigit() and 0 < int(word) <= 1000):
        raise argparse.ArgumentTypeError(f"'{word}' is not a number of tabs: a number from 1 to 1000")
    return int(word)


def _listen_address(word: str) -> tuple[str, int]:
    """Return the host and the port of `127.0.0.1:9477` or `[::1]:9477`."""
    host, _, port = word.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not is_bracketed):
        raise argparse.ArgumentTypeError(f"'{word}' is not an address: it must be like 127.0.0.1:9477")
    return host.strip("[]"), _port(port)


def _one_of(known: tuple[str, ...], word: str) -> str:
    if word in known:
        return word
    raise UsageError(f"there is no format '{word}' here: {', '.join(known[:-1])} or {known[-1]}")


def option_name(option: str) -> str:
    """Return an option as it is written, from the parser's name for it."""
    return {"text": "-e", "file": "-f", "user": "-u"}.get(option, f"--{option.replace('_', '-')}")


def _reject(context: str, found: argparse.Namespace, *options: str) -> None:
    """Reject options that have no effect with a verb or another option. Raises UsageError."""
    for option in options:
        if getattr(found, option) is not None:
            raise UsageError(f"{option_name(option)} cannot be used with {context}")
