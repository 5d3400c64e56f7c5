"""`jobtui config`: every setting with its value, default and meaning, as a config file."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from msgspec.structs import asdict

from jobtui.cli.errors import Exit, NoHome, UsageError
from jobtui.cli.options import ConfigCommand
from jobtui.cli.profiles import read_settings, resolve_profile
from jobtui.cli.streams import StdoutWriter
from jobtui.config import SETTINGS, Config, HomeError, Problem, Setting, settings
from jobtui.config.loader import LineFinder
from jobtui.engine.advice import AdviceThresholds
from jobtui.engine.notify_settings import NotifyUrl
from jobtui.language.quantities import write_share
from jobtui.model import DiskReserve

WIDTH = 100


def config_command(command: ConfigCommand) -> int:
    """Print the settings, the file's path, or the result of a check. Raises UsageError."""
    output = StdoutWriter()
    if command.action == "path":
        try:
            output.write(f"{command.config or settings.default_config()}\n")
        except HomeError as error:
            raise NoHome(str(error)) from None
    else:
        config = read_settings(command)
        profile = resolve_profile(command, config)
        if command.action == "print":
            output.write("".join(f"{line}\n" for line in _file(config, profile.root)))
        else:
            problems = dashboard_problems(config)
            if problems:
                raise UsageError("\n".join(map(str, problems)))
            state = "no problems found" if config.found else "does not exist; the defaults are used"
            output.write(f"{config.path}: {state}\n")
    output.flush()
    return Exit.DONE


def dashboard_problems(config: Config) -> Sequence[Problem]:
    """Return the problems of the themes, the saved views and the keymap, which only the dashboard checks."""
    theme, changes = config.dashboard.theme, list(config.dashboard.keymap.items())
    own, views = config.dashboard.themes, config.dashboard.views
    if not (theme or changes or own or views):
        return ()
    # late: they import Textual
    from jobtui.tui.data.search import parse_filter
    from jobtui.tui.keymap import load_keymap
    from jobtui.tui.themes import own_theme_problem, theme_problem

    found: list[tuple[tuple[str, ...], str]] = []
    for name, colors in own.items():
        if problem := own_theme_problem(colors):
            found.append((("dashboard", "themes", name), f"theme {name}: {problem}"))
    for name, text in views.items():
        problems = parse_filter(text, datetime.now(UTC)).problems
        found += [(("dashboard", "views", name), f"view {name}: {problem}") for problem in problems]
    if problem := theme_problem(theme, [*own]):
        found.append((("dashboard", "theme"), problem))
    reported = 0
    for count, (command, _) in enumerate(changes, start=1):
        problems = load_keymap(dict(changes[:count])).problems
        found += [(("dashboard", "keymap", command), problem) for problem in problems[reported:]]
        reported = len(problems)
    text = config.path.read_text("utf-8-sig") if found else ""
    finder = LineFinder(text)
    return [Problem(config.path, finder.find(path), message) for path, message in found]


def _file(config: Config, root: Path) -> Iterator[str]:
    yield f"# {config.path}" + ("" if config.found else " (does not exist: these are the defaults)")
    yield f"# The data of this profile: {root}"
    yield "# A relative directory starts from the directory of this file."
    yield from _table(SETTINGS[""], config)
    for name, profile in config.profiles.items():
        yield ""
        yield f"[profiles.{name}]"
        yield from _table(SETTINGS["profiles.*"], profile)
    yield ""
    yield "[notify]"
    yield from _table(SETTINGS["notify"], config.notify)
    yield ""
    yield "[dashboard]"
    yield from _table(SETTINGS["dashboard"], config.dashboard)


def _table(settings: tuple[Setting, ...], values: object) -> Iterator[str]:
    for setting in settings:
        found = getattr(values, setting.name)
        yield ""
        yield from (f"# {line}" for line in textwrap.wrap(setting.meaning, WIDTH - 2))
        if isinstance(found, NotifyUrl) and found.text:
            yield f'# {setting.name} = "{found.shown}/…"  # not printed: it may contain a token'
            continue
        value = format_toml(found, setting.default)
        changed = "" if value == setting.default else f"  # default: {setting.default}"
        yield f"{setting.name} = {value}{changed}"


def format_toml(value: object, default: str) -> str:
    """Return a setting's value as TOML, and the default for None."""
    match value:
        case None:
            return default
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return str(value)
        case NotifyUrl():
            return _quoted(f"env:{value.variable}")
        case DiskReserve():
            return format_toml(write_share(value.share) if value.share else value.bytes, default)
        case AdviceThresholds():
            shares = {"gain": write_share(value.gain), "deletions": write_share(value.deletions)}
            return format_toml(asdict(value) | shares, default)
        case StrEnum():
            return _quoted(value.value)
        case str() | Path():
            return _quoted(os.fspath(value))
        case () if default == _NOTHING:
            return default
        case tuple():
            return f"[{', '.join(format_toml(one, _NOTHING) for one in value)}]"
        case Mapping():
            pairs = ", ".join(f"{_key(name)} = {format_toml(one, _NOTHING)}" for name, one in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
    raise TypeError(f"{type(value).__name__} cannot be written as TOML")


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isascii() and name.isidentifier() else _quoted(name)


def _quoted(text: str) -> str:
    escaped = "".join(_ESCAPES.get(character) or _printable(character) for character in text)
    return f'"{escaped}"'


def _printable(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"


_NOTHING = '""'
_ESCAPES = {'"': '\\"', "\\": "\\\\"}
