"""The reading of the config file: it is accepted as a whole, or refused with all its problems."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from jobtui import errors
from jobtui.config import parsers, settings
from jobtui.config.declarations import SETTINGS, Setting
from jobtui.config.settings import (
    DEFAULT_PROFILE,
    Config,
    ProfileSettings,
    TuiSettings,
    build_cluster_settings,
)
from jobtui.engine.notify_settings import NotifySettings
from jobtui.formatting import format_count
from jobtui.suggest import near_miss_hint


class _ConfigReader:
    """A reader of a parsed file, which collects all problems before it refuses the file."""

    def __init__(self, path: Path, text: str, tree: Mapping[str, Any]) -> None:
        self.path, self.tree = path, tree
        self.problems: list[Problem] = []
        self._count = 0
        self._finder = LineFinder(text)

    def config(self) -> Config:
        """Return the settings. Raises ConfigError with all problems."""
        top = self._table((), self.tree, SETTINGS[""], subtables=("profiles", "notify", "dashboard"))
        config = Config(
            self.path,
            found=True,
            profiles={DEFAULT_PROFILE: ProfileSettings()} | dict(self._profiles()),
            notify=NotifySettings(**self._subtable("notify")),
            dashboard=TuiSettings(**self._subtable("dashboard")),
            **top,
        )
        if config.profile not in config.profiles and not self.problems:
            hint = (
                near_miss_hint(config.profile, config.profiles)
                or f"; to create it, add a line [profiles.{config.profile}]"
            )
            self._add_problem(("profile",), f"there is no profile '{config.profile}'{hint}")
        if self.problems:
            named = sorted(self.problems, key=lambda problem: problem.line or 0)
            if more := self._count - len(named):
                named.append(Problem(self.path, None, f"and {format_count(more, 'more problem')}"))
            raise ConfigError(*named)
        return config

    def _profiles(self) -> Iterator[tuple[str, ProfileSettings]]:
        tables = self.tree.get("profiles", {})
        if not isinstance(tables, dict):
            self._add_problem(("profiles",), "profiles must be tables, like [profiles.local]")
            return
        for name, table in tables.items():
            path = ("profiles", name)
            if not re.fullmatch(parsers.PROFILE_NAME, name):
                self._add_problem(path, f"{name!r} cannot be a profile's name: {parsers.PROFILE_NAME_RULE}")
            elif not isinstance(table, dict):
                self._add_problem(path, f"profiles.{name} must be a table: [profiles.{name}]")
            else:
                yield name, self._profile(path, table)

    def _profile(self, path: tuple[str, ...], table: Mapping[str, Any]) -> ProfileSettings:
        known = self._count
        settings = ProfileSettings(**self._table(path, table, SETTINGS["profiles.*"]))
        if self._count == known:
            try:
                build_cluster_settings(path[-1], settings)
            except ValueError as error:
                self._add_problem(path, f"{'.'.join(path)}: {error}")
        return settings

    def _subtable(self, name: str) -> dict[str, Any]:
        """Return the values of a table at the top, such as [dashboard]."""
        table = self.tree.get(name, {})
        if isinstance(table, dict):
            return self._table((name,), table, SETTINGS[name])
        self._add_problem((name,), f"{name} must be a table: [{name}]")
        return {}

    def _table(
        self,
        path: tuple[str, ...],
        table: Mapping[str, Any],
        settings: tuple[Setting, ...],
        subtables: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Return the values of a table by their settings' names, without its `subtables`."""
        known = {setting.name: setting for setting in settings}
        read: dict[str, Any] = {}
        for key, value in table.items():
            if key in subtables:
                continue
            dotted = ".".join((*path, key if key.isprintable() else repr(key)))
            if key not in known:
                is_named = self._count < _MAX_PROBLEMS  # hints for thousands of lines would take a minute
                hint = (near_miss_hint(key, [*known, *subtables]) or _right_table(key)) if is_named else ""
                self._add_problem((*path, key), f"there is no setting {dotted}{hint}")
                continue
            try:
                read[key] = known[key].parse(value, self.path.parent)
            except parsers.InvalidValue as error:
                self._add_problem((*path, key), f"{dotted} must be {error}")
        return read

    def _add_problem(self, path: tuple[str, ...], message: str) -> None:
        self._count += 1
        if self._count <= _MAX_PROBLEMS:
            self.problems.append(Problem(self.path, self._finder.find(path), message))


def _right_table(key: str) -> str:
    """Return '; it belongs in [dashboard]' for a setting in the wrong table, "" for an unknown one."""
    for table, declared in SETTINGS.items():
        if any(setting.name == key for setting in declared):
            return (
                f"; it belongs in [{table.replace('*', DEFAULT_PROFILE)}]"
                if table
                else "; it belongs at the top"
            )
    return ""


class LineFinder:
    """A finder of the lines on which the keys of a TOML text begin.

    tomllib reports no positions. So the text is parsed in part: a key begins on the line after the longest
    valid beginning of the text that does not have the key yet. `text` must be valid TOML with LF line ends.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._left = _PARSED_CHARACTERS

    def find(self, path: tuple[str, ...]) -> int | None:
        """Return the line (from 1) of a key, None if the text does not have it or the search takes too long."""
        try:
            return self._find(path)
        except _SearchTooLong:
            return None

    def _find(self, path: tuple[str, ...]) -> int | None:
        if not self._longest_valid(len(self._lines), path)[1]:
            return None
        low, high = 0, len(self._lines)
        while low < high:
            middle = (low + high) // 2
            if self._longest_valid(middle, path)[1]:
                high = middle
            else:
                low = middle + 1
        return self._longest_valid(low - 1, path)[0] + 1

    def _longest_valid(self, count: int, path: tuple[str, ...]) -> tuple[int, bool]:
        """Return how many of the first `count` lines are valid TOML, and whether they have the key."""
        import tomllib

        for end in range(count, 0, -1):
            text = "\n".join(self._lines[:end])
            self._left -= len(text)
            if self._left < 0:
                raise _SearchTooLong
            try:
                tree = tomllib.loads(text)
            except (ValueError, RecursionError):
                continue
            return end, _has(tree, path)
        return 0, False


def _has(tree: object, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True


class _SearchTooLong(Exception):
    """The error of a search for a line that parses more text than it may."""


_PARSED_CHARACTERS: Final = 4 << 20
"""The most text that is parsed to find lines, which takes a second or two. A config of 10 KB needs a tenth."""
_LONG_NUMBER: Final = "[0-9][0-9_]{4000}"  # Python reads up to 4,300 digits
_MAX_PROBLEMS: Final = 20
"""The problems that are named: a file of another program has as many as it has lines."""
_MAX_BYTES: Final = 1 << 20
"""The largest config. Every setting with its comment takes 10 KB; a wrong file may fill the disk."""


class Problem(msgspec.Struct, frozen=True):
    """A problem of the settings; `line` counts from 1, None if the problem concerns no line of the file."""

    path: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else str(self.path)
        return f"{place}: {self.message}"


class ConfigError(Exception):
    """Settings that cannot be used, with all `problems` in the file's order."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def read_config(path: Path | None = None) -> Config:
    """Return the settings of a file. Raises ConfigError.

    Args:
        path: The file, which must exist; None for the default one, which need not.
    """
    try:
        file = path if path is not None else settings.default_config()
    except errors.HomeError:
        # with --data-dir no home is needed; whatever needs one raises HomeError itself
        return Config(settings.UNKNOWN_CONFIG)
    try:
        raw = _read(file)
    except (FileNotFoundError, NotADirectoryError):
        if path is None:
            return Config(file)
        raise ConfigError(Problem(file, None, "there is no such file")) from None
    except OSError as error:
        raise ConfigError(Problem(file, None, f"cannot be read: {error.strerror}")) from None
    text = _decode(file, raw)
    return _ConfigReader(file, text, _parse(file, text)).config()


def choose_profile(config: Config, name: str | None) -> str:
    """Return the profile to use: `name`, or the config's default if it is None.

    Raises ConfigError if there is no such profile: a misspelled name must not open an empty one.
    """
    if name is None or name in config.profiles:
        return name or config.profile
    if not re.fullmatch(parsers.PROFILE_NAME, name):
        raise ConfigError(
            Problem(config.path, None, f"there is no profile {name!r}: {parsers.PROFILE_NAME_RULE}")
        )
    hint = near_miss_hint(name, config.profiles) or f"; to create it, add a line [profiles.{name}]"
    raise ConfigError(Problem(config.path, None, f"there is no profile '{name}'{hint}"))


def _read(path: Path) -> bytes:
    """Return the file's bytes.

    Raises OSError, also if it is not a file or too large to be a config.

    A pipe is refused: a config is read more than once, by `serve --background` in a second process. /dev/null
    is accepted as a config without settings.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        is_null = stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(found.st_mode) or is_null):
            kind = "a pipe" if stat.S_ISFIFO(found.st_mode) else "a device"
            raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
        raw = b""
        while len(raw) <= _MAX_BYTES and (more := os.read(file, _MAX_BYTES + 1 - len(raw))):
            raw += more
    finally:
        os.close(file)
    if len(raw) > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_MAX_BYTES >> 20} MiB, which no config is", str(path))
    return raw


def _decode(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(path, raw.count(b"\n", 0, error.start) + 1, "this is not UTF-8")) from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    import tomllib  # late, here and above: 4 ms, and a start without a config file needs no TOML

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        message, line = (match[1], match[2]) if match else (str(error), None)
        number = int(line) if line else text.rstrip("\n").count("\n") + 1
        raise ConfigError(Problem(path, number, f"this is not TOML: {message}")) from None
    except RecursionError:
        raise ConfigError(Problem(path, 1, "its values are nested too deeply to be read")) from None
    except ValueError:  # of int(), which tomllib lets through
        line = next((n for n, one in enumerate(text.split("\n"), 1) if re.search(_LONG_NUMBER, one)), None)
        raise ConfigError(Problem(path, line, "it has a number with too many digits")) from None
