"""The words of the command line, taken apart: what was asked for, or what is wrong with them.

The help is beside it, in help_texts.py; a test holds it to the parser.
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
VALUED = ("-e", "-f", "--format", "--profile", "--nebula", "-u", "--tls", "--data-dir", "--config")
OF_A_TEXT = ("detach", "wait", "format", "quiet", "raw")
PLACE = ("config", "profile", "data_dir", "nebula", "user", "tls")
PASSWORD_OPTIONS = ("-p", "--password", "--passwd")
PASSWORD_HINT = "a password is never given there; JOBTUI_NEBULA_PASSWORD is read, or it is asked for"
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
    """What the words ask for. `piped`: something is given on stdin; without a verb, statements come from there.

    Raises UsageError.
    """
    verb = _checked_verb(words)
    try:
        found = _parser(() if verb is None else (verb,)).parse_args(words)
    except _Settled as settled:
        return settled.asked
    place = {option: getattr(found, option) for option in PLACE}
    if found.nebula is None:
        for option, name in (("user", "-u"), ("tls", "--tls")):
            if getattr(found, option) is not None:
                raise UsageError(f"{name} needs a cluster: --nebula HOST:PORT")
    else:
        _refuse_beside("--nebula", found, "profile", "demo")
    if found.verb is not None:
        _refuse_beside(found.verb, found, "text", "file", "detach", "wait", "demo")
        if found.verb != "history":
            _refuse_beside(found.verb, found, "raw")
    match found.verb:
        case "load":
            format_ = _one_of(PAIR_FORMATS, found.format) if found.format else None
            return LoadCommand(
                space=found.space,
                files=tuple(found.files),
                format=format_,
                quiet=bool(found.quiet),
                delete_keys=found.delete_keys,
                **place,
            )
        case "dump":
            _refuse_beside("dump", found, "quiet")
            return DumpCommand(
                space=found.space, format=_one_of(PAIR_FORMATS, found.format or "jsonl"), **place
            )
        case "serve":
            _refuse_beside("serve", found, "format", "quiet")
            return ServeCommand(background=found.background, **place)
        case "config":
            _refuse_beside("config", found, "format", "quiet", "nebula")
            return ConfigCommand(what=found.what, **place)
        case "history":
            return _history(found, place)
        case "doctor":
            _refuse_beside("doctor", found, "format", "quiet")
            return DoctorCommand(**place)
        case "completion":
            _refuse_beside("completion", found, "format", "quiet", *PLACE)
            return ShowCompletion(found.shell)
        case "help":
            _refuse_beside("help", found, "format", "quiet", *PLACE)
            return HelpCommand(tuple(found.words))
    if found.demo:
        _refuse_beside("--demo", found, "text", "file", *OF_A_TEXT, "profile", "data_dir")
        return OpenDemo(**place)
    if found.text is not None and found.file is not None:
        raise UsageError("-e and -f don't go together: put the statements in one text")
    if found.text is None and found.file is None and not piped:
        for option in OF_A_TEXT:
            if getattr(found, option):
                raise UsageError(f"--{option} needs statements: -e TEXT, -f FILE, or a pipe")
        return DashboardCommand(**place)
    if found.detach and found.wait:
        raise UsageError("--detach and --wait don't go together")
    format_ = _one_of(TEXT_FORMATS, found.format or "box")
    return RunCommand(
        text=found.text,
        file=found.file or "-",
        format=format_,
        detach=bool(found.detach),
        wait=bool(found.wait),
        quiet=bool(found.quiet),
        raw=_raw(found, format_),
        **place,
    )


def _raw(found: argparse.Namespace, format_: str) -> bool:
    """Return whether a CSV is wanted raw. Raises UsageError for another format."""
    if found.raw and format_ != "csv":
        raise UsageError(f"--raw goes with --format csv, not {format_}")
    return bool(found.raw)


def _history(found: argparse.Namespace, place: dict[str, Any]) -> HistoryCommand:
    if found.what == "export":
        format_ = _one_of(EXPORT_FORMATS, found.format or "jsonl")
        return HistoryCommand(
            what="export",
            file=found.target or "-",
            format=format_,
            quiet=bool(found.quiet),
            raw=_raw(found, format_),
            **place,
        )
    _refuse_beside(f"history {found.what}", found, "format", "quiet", "raw")
    if found.target is not None:
        raise UsageError(f"history {found.what} takes no file: '{found.target}'")
    return HistoryCommand(what=found.what, **place)


def _checked_verb(words: Sequence[str]) -> str | None:
    """The verb, None without one. Raises UsageError for an unknown verb or option, with its near miss.

    argparse would blame the word after it.
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
        if name in VALUED:
            if name in seen:
                one_text = "; put the statements in one text, with ; between them" if name == "-e" else ""
                raise UsageError(f"{name} was given twice{one_text}")
            seen.add(name)
            if word == name and (value := next(rest, None)) in (*VALUED, *FLAGS):
                raise UsageError(f"{name} needs a value, and {value} is an option")
        elif name in PASSWORD_OPTIONS:
            raise UsageError(f"there is no option {name}: {PASSWORD_HINT}")
        elif name and name != "-" and name not in FLAGS:
            raise UsageError(f"there is no option {name}{_near(name, (*VALUED, *FLAGS))}")
        elif not name and verb is None:
            verb = word
            if word not in VERBS:
                if "-e" in seen:
                    hint = "; a text of several words stands in quotes: -e 'SHOW JOBS'"
                else:
                    hint = "; statements go after -e" if _begins_a_text(word) else _near(word, VERBS)
                raise UsageError(f"there is no command '{word}'{hint}")
    return verb


def _begins_a_text(word: str) -> bool:
    from jobtui.language.syntax import SYNTAX

    return " " in word or word.upper() in {form.verb for form in SYNTAX}


def _near(word: str, known: Sequence[str]) -> str:
    near = did_you_mean(word, known)
    return f"; did you mean {near}?" if near else f"; there are {', '.join(known)}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help shows what there is)")


class _Settled(Exception):
    def __init__(self, asked: CliCommand) -> None:
        self.asked = asked


class _Settle(argparse.Action):
    """--help and --version, which win over whatever else is wrong with the line after them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        verb = parser.prog.partition(" ")[2] or None
        raise _Settled(ShowVersion() if self.dest == "version" else ShowHelp(verb))


class _Once(argparse.Action):
    """An option that may be given once: the last of two would silently win."""

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
    """The parser of a line with one of these verbs: none is made that isn't asked for."""
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
            wanted = _known(verb, ("print", "path", "check"))
            parser.add_argument("what", nargs="?", type=wanted, default="print")
        case "history":
            wanted = _known(verb, ("verify", "repair", "export"))
            parser.add_argument("what", metavar="verify, repair or export", type=wanted)
            parser.add_argument("target", metavar="FILE", nargs="?")
            parser.add_argument("--raw", action="store_true", default=argparse.SUPPRESS)
        case "completion":
            parser.add_argument("shell", metavar="bash, zsh or fish", type=_known(verb, SHELLS))
        case "help":
            parser.add_argument("words", metavar="STATEMENT", nargs="*")


def _add_options(parser: argparse.ArgumentParser, default: object) -> None:
    """The options that may stand before a verb and after it."""
    parser.add_argument("--help", "-h", action=_Settle, nargs=0)
    parser.add_argument("--version", action=_Settle, nargs=0)
    parser.add_argument("--format", action=_Once, default=default)
    parser.add_argument("--quiet", "-q", action="store_true", default=default)
    parser.add_argument("--profile", action=_Once, default=default)
    parser.add_argument("--nebula", action=_Once, default=default)
    parser.add_argument("-u", dest="user", action=_Once, default=default)
    parser.add_argument("--tls", action=_Once, default=default)
    parser.add_argument("--data-dir", action=_Once, default=default, type=_path)
    parser.add_argument("--config", action=_Once, default=default, type=_path)


def _known(verb: str, known: Sequence[str]) -> Callable[[str], str]:
    """Takes one of these words alone; another one is refused with its near miss."""

    def checked(word: str) -> str:
        if word not in known:
            raise UsageError(f"there is no 'jobtui {verb} {word}'{_near(word, known)}")
        return word

    return checked


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


def _refuse_beside(what: str, found: argparse.Namespace, *options: str) -> None:
    written = {"text": "-e", "file": "-f"}
    for option in options:
        if getattr(found, option) is not None:
            name = written.get(option, f"--{option.replace('_', '-')}")
            raise UsageError(f"{name} has no meaning beside {what}")


# ---- merged from jobtui.cli.asked: ----
# What can be asked for on a command line: one frozen struct a verb.
class ProfileOptions(msgspec.Struct, frozen=True, kw_only=True):
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


class HelpCommand(msgspec.Struct, frozen=True):
    """help: on the statement, or the verb, that begins with these words; on all statements without any."""

    words: tuple[str, ...]


class ShowCompletion(msgspec.Struct, frozen=True):
    """completion: what that shell needs."""

    shell: str


class ShowVersion(msgspec.Struct, frozen=True):
    """--version."""


class DashboardCommand(ProfileOptions, frozen=True):
    """No verb at all, at a terminal."""


class OpenDemo(ProfileOptions, frozen=True):
    """--demo."""


class RunCommand(ProfileOptions, frozen=True, kw_only=True):
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


class LoadCommand(ProfileOptions, frozen=True, kw_only=True):
    """load: `format` None means that each file's name tells it.

    `delete_keys`: files of keys alone are meant to delete.
    """

    space: str
    files: tuple[str, ...]
    format: str | None
    quiet: bool = False
    delete_keys: bool = False


class DumpCommand(ProfileOptions, frozen=True, kw_only=True):
    """dump."""

    space: str
    format: str


class ServeCommand(ProfileOptions, frozen=True, kw_only=True):
    """serve: in a process of its own where `background`."""

    background: bool


class ConfigCommand(ProfileOptions, frozen=True, kw_only=True):
    """config: `what` is print, path or check."""

    what: str


class HistoryCommand(ProfileOptions, frozen=True, kw_only=True):
    """history: `what` is verify, repair or export; an export goes to `file`, "-" being stdout, as `format`.

    `raw`: as in RunText.
    """

    what: str
    file: str = "-"
    format: str = "jsonl"
    quiet: bool = False
    raw: bool = False


class DoctorCommand(ProfileOptions, frozen=True, kw_only=True):
    """doctor."""


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


def plainly_asked(words: Sequence[str]) -> DashboardCommand | None:
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
    return DashboardCommand(config=config, profile=said.get("--profile"), data_dir=data_dir)
