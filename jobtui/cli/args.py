"""The argument parser, and a record for each command that it can return.

help.py has the texts of --help; a test compares them with the parser.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from jobtui.cli.errors import UsageError
from jobtui.suggest import did_you_mean

TEXT_FORMATS = ("box", "json", "jsonl", "csv")
PAIR_FORMATS = ("jsonl", "csv", "tsv")
EXPORT_FORMATS = ("jsonl", "json", "csv")
VERBS = ("load", "dump", "serve", "config", "history", "doctor", "completion", "help")
SHELLS = ("bash", "zsh", "fish")
VALUE_OPTIONS = ("-e", "-f", "--format", "--profile", "--nebula", "-u", "--tls", "--data-dir", "--config")
RUN_OPTIONS = ("detach", "wait", "format", "quiet", "raw")
PROFILE_OPTIONS = ("config", "profile", "data_dir", "nebula", "user", "tls")
PASSWORD_OPTIONS = ("-p", "--password", "--passwd")
PASSWORD_HINT = "a password is never an option; set JOBTUI_NEBULA_PASSWORD, or enter it when jobtui asks for it"
FLAGS = (
    "--detach",
    "--wait",
    "--background",
    "--demo",
    "--delete-keys",
    "--raw",
    "--quiet",
    "-q",
    "--version",
    "--help",
    "-h",
)


def parse_arguments(words: Sequence[str], *, piped: bool) -> CliCommand:
    """Return the command that the words ask for.

    Args:
        piped: stdin is a pipe or a file: without a verb, the statements come from there.

    Raises:
        UsageError: the words cannot be understood, or contradict each other.
    """
    verb = _checked_verb(words)
    try:
        found = _parser(() if verb is None else (verb,)).parse_args(words)
    except _HelpRequested as request:
        return request.command
    options = {option: getattr(found, option) for option in PROFILE_OPTIONS}
    if found.nebula is None:
        for option, name in (("user", "-u"), ("tls", "--tls")):
            if getattr(found, option) is not None:
                raise UsageError(f"{name} needs a cluster: --nebula HOST:PORT")
    else:
        _reject("--nebula", found, "profile", "demo")
    if found.verb is not None:
        _reject(found.verb, found, "text", "file", "detach", "wait", "demo")
        if found.verb != "history":
            _reject(found.verb, found, "raw")
    match found.verb:
        case "load":
            format_ = _one_of(PAIR_FORMATS, found.format) if found.format else None
            return LoadCommand(
                space=found.space,
                files=tuple(found.files),
                format=format_,
                quiet=bool(found.quiet),
                delete_keys=found.delete_keys,
                **options,
            )
        case "dump":
            _reject("dump", found, "quiet")
            return DumpCommand(
                space=found.space, format=_one_of(PAIR_FORMATS, found.format or "jsonl"), **options
            )
        case "serve":
            _reject("serve", found, "format", "quiet")
            return ServeCommand(background=found.background, **options)
        case "config":
            _reject("config", found, "format", "quiet", "nebula")
            return ConfigCommand(what=found.what, **options)
        case "history":
            return _history(found, options)
        case "doctor":
            _reject("doctor", found, "format", "quiet")
            return DoctorCommand(**options)
        case "completion":
            _reject("completion", found, "format", "quiet", *PROFILE_OPTIONS)
            return ShowCompletion(found.shell)
        case "help":
            _reject("help", found, "format", "quiet", *PROFILE_OPTIONS)
            return HelpCommand(tuple(found.words))
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


def _raw(found: argparse.Namespace, format_: str) -> bool:
    """Return whether CSV cells are written unguarded. Raises UsageError for another format."""
    if found.raw and format_ != "csv":
        raise UsageError(f"--raw goes with --format csv, not {format_}")
    return bool(found.raw)


def _history(found: argparse.Namespace, options: dict[str, Any]) -> HistoryCommand:
    if found.what == "export":
        format_ = _one_of(EXPORT_FORMATS, found.format or "jsonl")
        return HistoryCommand(
            what="export",
            file=found.target or "-",
            format=format_,
            quiet=bool(found.quiet),
            raw=_raw(found, format_),
            **options,
        )
    _reject(f"history {found.what}", found, "format", "quiet", "raw")
    if found.target is not None:
        raise UsageError(f"history {found.what} takes no file: '{found.target}'")
    return HistoryCommand(what=found.what, **options)


def _checked_verb(words: Sequence[str]) -> str | None:
    """Return the verb, None if there is none.

    Raises UsageError for an unknown verb or option, with the nearest known one: argparse reports the word
    after an unknown option instead.
    """
    rest = iter(words)
    verb = None
    seen: set[str] = set()
    for word in rest:
        while word.startswith("-q") and len(word) > 2:
            word = f"-{word[2:]}"  # -qe TEXT
        name = word.partition("=")[0] if word.startswith("--") else word[:2] if word.startswith("-") else ""
        if name in ("--help", "-h", "--version"):
            return verb
        if name == "--":
            return verb or next((word for word in rest if word in VERBS), None)
        if name in VALUE_OPTIONS:
            if name in seen:
                one_text = "; put the statements in one text, with ; between them" if name == "-e" else ""
                raise UsageError(f"{name} was given twice{one_text}")
            seen.add(name)
            if word == name and (value := next(rest, None)) in (*VALUE_OPTIONS, *FLAGS):
                raise UsageError(f"{name} needs a value, and {value} is an option")
        elif name in PASSWORD_OPTIONS:
            raise UsageError(f"there is no option {name}: {PASSWORD_HINT}")
        elif name and name != "-" and name not in FLAGS:
            raise UsageError(f"there is no option {name}{_near(name, (*VALUE_OPTIONS, *FLAGS))}")
        elif not name and verb is None:
            verb = word
            if word not in VERBS:
                if "-e" in seen:
                    hint = "; put a text of several words in quotes: -e 'SHOW JOBS'"
                else:
                    hint = "; statements go after -e" if _begins_statement(word) else _near(word, VERBS)
                raise UsageError(f"there is no command '{word}'{hint}")
    return verb


def _begins_statement(word: str) -> bool:
    from jobtui.language.syntax import SYNTAX  # the language is imported only for this error

    return " " in word or word.upper() in {form.verb for form in SYNTAX}


def _near(word: str, known: Sequence[str]) -> str:
    near = did_you_mean(word, known)
    return f"; did you mean {near}?" if near else f"; there are {', '.join(known)}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class _HelpRequested(Exception):
    """The parser met --help or --version, and need not read on."""

    def __init__(self, command: CliCommand) -> None:
        self.command = command


class _HelpAction(argparse.Action):
    """--help or --version: wins over any error in the words after it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        verb = parser.prog.partition(" ")[2] or None
        raise _HelpRequested(ShowVersion() if self.dest == "version" else ShowHelp(verb))


class _Once(argparse.Action):
    """An option that may be given only once: of two, argparse would silently use the last."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest, None) is not None:
            raise UsageError(f"{option_string} was given twice")
        setattr(namespace, self.dest, values)


def _parser(verbs: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """Return a parser that knows these verbs: a line has one, and each parser takes time to make."""
    parser = _Parser(prog="jobtui", add_help=False, allow_abbrev=False)
    _add_options(parser, default=None)
    parser.add_argument("-e", dest="text", action=_Once)
    parser.add_argument("-f", dest="file", action=_Once)
    parser.add_argument("--detach", action="store_true", default=None)
    parser.add_argument("--wait", action="store_true", default=None)
    parser.add_argument("--demo", action="store_true", default=None)
    parser.add_argument("--raw", action="store_true", default=None)
    if not verbs:
        parser.set_defaults(verb=None)
        return parser
    subparsers = parser.add_subparsers(dest="verb", parser_class=_Parser, metavar="VERB")
    for name in verbs:
        verb = subparsers.add_parser(name, add_help=False, allow_abbrev=False)
        _add_operands(name, verb)
        _add_options(verb, default=argparse.SUPPRESS)
    return parser


def _add_operands(verb: str, parser: argparse.ArgumentParser) -> None:
    match verb:
        case "load":
            parser.add_argument("space", metavar="SPACE")
            parser.add_argument("files", metavar="FILE, - for stdin", nargs="+")
            parser.add_argument("--delete-keys", action="store_true")
        case "dump":
            parser.add_argument("space", metavar="SPACE")
        case "serve":
            parser.add_argument("--background", action="store_true")
        case "config":
            action = _one_of_operands(verb, ("print", "path", "check"))
            parser.add_argument("what", nargs="?", type=action, default="print")
        case "history":
            action = _one_of_operands(verb, ("verify", "repair", "export"))
            parser.add_argument("what", metavar="verify, repair or export", type=action)
            parser.add_argument("target", metavar="FILE", nargs="?")
            parser.add_argument("--raw", action="store_true", default=argparse.SUPPRESS)
        case "completion":
            parser.add_argument("shell", metavar="bash, zsh or fish", type=_one_of_operands(verb, SHELLS))
        case "help":
            parser.add_argument("words", metavar="STATEMENT", nargs="*")


def _add_options(parser: argparse.ArgumentParser, default: object) -> None:
    """Add the options that may precede a verb or follow it."""
    parser.add_argument("--help", "-h", action=_HelpAction, nargs=0)
    parser.add_argument("--version", action=_HelpAction, nargs=0)
    parser.add_argument("--format", action=_Once, default=default)
    parser.add_argument("--quiet", "-q", action="store_true", default=default)
    parser.add_argument("--profile", action=_Once, default=default)
    parser.add_argument("--nebula", action=_Once, default=default)
    parser.add_argument("-u", dest="user", action=_Once, default=default)
    parser.add_argument("--tls", action=_Once, default=default)
    parser.add_argument("--data-dir", action=_Once, default=default, type=_path)
    parser.add_argument("--config", action=_Once, default=default, type=_path)


def _one_of_operands(verb: str, known: Sequence[str]) -> Callable[[str], str]:
    """Return a converter that accepts only these words and suggests the nearest one for any other."""

    def convert(word: str) -> str:
        if word not in known:
            raise UsageError(f"there is no 'jobtui {verb} {word}'{_near(word, known)}")
        return word

    return convert


def _path(word: str) -> Path:
    if not word or "\0" in word:
        raise argparse.ArgumentTypeError("a path is expected")
    if not Path(word).is_absolute():
        try:
            Path.cwd()
        except FileNotFoundError:
            raise UsageError(f"{word} is relative to the current directory, which is gone") from None
    return Path(word)


def _one_of(known: tuple[str, ...], word: str) -> str:
    if word in known:
        return word
    raise UsageError(f"there is no format '{word}' here: {', '.join(known[:-1])} or {known[-1]}")


def _reject(context: str, found: argparse.Namespace, *options: str) -> None:
    """Reject options that have no effect with a verb or another option. Raises UsageError."""
    written = {"text": "-e", "file": "-f"}
    for option in options:
        if getattr(found, option) is not None:
            name = written.get(option, f"--{option.replace('_', '-')}")
            raise UsageError(f"{name} cannot be used with {context}")


class ProfileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options that choose config, profile and data directory; None: not given.

    `nebula` holds the addresses of a cluster that is used instead of a profile, as `user`, and over TLS if
    `tls` names the trusted certificates ("system", or a file).
    """

    config: Path | None = None
    profile: str | None = None
    data_dir: Path | None = None
    nebula: str | None = None
    user: str | None = None
    tls: str | None = None


class ShowHelp(msgspec.Struct, frozen=True):
    """--help; `verb` is the one that it follows."""

    verb: str | None = None


class HelpCommand(msgspec.Struct, frozen=True):
    """help: the page of the statement or verb that begins with these words; without any, of all statements."""

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

    `quiet` prints only what went wrong; `raw` writes texts in a CSV as they are, even those that a
    spreadsheet would compute.
    """

    text: str | None
    file: str
    format: str
    detach: bool
    wait: bool
    quiet: bool = False
    raw: bool = False


class LoadCommand(ProfileOptions, frozen=True, kw_only=True):
    """load; with `format` None, each file's name decides. `delete_keys`: files with keys only may delete."""

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
    """serve; `background`: in a new process without this terminal."""

    background: bool


class ConfigCommand(ProfileOptions, frozen=True, kw_only=True):
    """config; `what` is print, path or check."""

    what: str


class HistoryCommand(ProfileOptions, frozen=True, kw_only=True):
    """history; `what` is verify, repair or export; an export is written to `file` ("-": stdout).

    `raw`: as in RunCommand.
    """

    what: str
    file: str = "-"
    format: str = "jsonl"
    quiet: bool = False
    raw: bool = False


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
    | ConfigCommand
    | HistoryCommand
    | DoctorCommand
)
