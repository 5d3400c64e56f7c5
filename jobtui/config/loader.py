"""A parsed config file, setting by setting: what it says, or everything that is wrong with it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from jobtui import errors
from jobtui.config import schema, settings
from jobtui.config.schema import SETTINGS, Setting
from jobtui.config.settings import DEFAULT_PROFILE, Config, ProfileSettings, TuiSettings, cluster_of
from jobtui.suggest import did_you_mean


def checked(path: Path, text: str, tree: Mapping[str, Any]) -> Config:
    """The settings of the file at `path`, whose text was parsed as `tree`. Raises ConfigError."""
    return _ConfigReader(path, text, tree).config()


class _ConfigReader:
    """One pass over a parsed file, which collects all problems before it gives up."""

    def __init__(self, path: Path, text: str, tree: Mapping[str, Any]) -> None:
        self.path, self.text, self.tree = path, text, tree
        self.problems: list[Problem] = []

    def config(self) -> Config:
        """The settings. Raises ConfigError with every problem found."""
        top = self._table((), self.tree, SETTINGS[""], beside=("profiles", "dashboard"))
        config = Config(
            self.path,
            found=True,
            profiles={DEFAULT_PROFILE: ProfileSettings()} | dict(self._profiles()),
            dashboard=self._dashboard(),
            **top,
        )
        if config.profile not in config.profiles and not self.problems:
            hint = (
                near_miss(config.profile, config.profiles)
                or f"; to have it, add a line [profiles.{config.profile}]"
            )
            self._wrong(("profile",), f"there is no profile '{config.profile}'{hint}")
        if self.problems:
            raise ConfigError(*sorted(self.problems, key=lambda problem: problem.line or 0))
        return config

    def _profiles(self) -> Iterator[tuple[str, ProfileSettings]]:
        tables = self.tree.get("profiles", {})
        if not isinstance(tables, dict):
            self._wrong(("profiles",), "profiles must be tables, like [profiles.local]")
            return
        for name, table in tables.items():
            place = ("profiles", name)
            if not schema.PROFILE_NAME.fullmatch(name):
                self._wrong(place, f"{name!r} can't be a profile's name: {schema.PROFILE_NAME_RULE}")
            elif not isinstance(table, dict):
                self._wrong(place, f"profiles.{name} must be a table: [profiles.{name}]")
            else:
                yield name, self._profile(place, table)

    def _profile(self, place: tuple[str, ...], table: Mapping[str, Any]) -> ProfileSettings:
        known = len(self.problems)
        settings = ProfileSettings(**self._table(place, table, SETTINGS["profiles.*"]))
        if len(self.problems) == known:
            try:
                cluster_of(place[-1], settings)
            except ValueError as error:
                self._wrong(place, f"{'.'.join(place)}: {error}")
        return settings

    def _dashboard(self) -> TuiSettings:
        table = self.tree.get("dashboard", {})
        if isinstance(table, dict):
            return TuiSettings(**self._table(("dashboard",), table, SETTINGS["dashboard"]))
        self._wrong(("dashboard",), "dashboard must be a table: [dashboard]")
        return TuiSettings()

    def _table(
        self,
        place: tuple[str, ...],
        table: Mapping[str, Any],
        settings: tuple[Setting, ...],
        beside: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """One table's values by their settings' names; `beside` are keys of it that are read elsewhere."""
        known = {setting.name: setting for setting in settings}
        read: dict[str, Any] = {}
        for key, value in table.items():
            if key in beside:
                continue
            dotted = ".".join((*place, key if key.isprintable() else repr(key)))
            if key not in known:
                hint = near_miss(key, [*known, *beside]) or _elsewhere(key)
                self._wrong((*place, key), f"there is no setting {dotted}{hint}")
                continue
            try:
                read[key] = known[key].kind(value, self.path.parent)
            except schema.InvalidValue as error:
                self._wrong((*place, key), f"{dotted} must be {error}")
        return read

    def _wrong(self, place: tuple[str, ...], message: str) -> None:

        self.problems.append(Problem(self.path, line_of(place, self.text), message))


def _elsewhere(key: str) -> str:
    """'; it belongs in [dashboard]' for a setting that stands in the wrong table, "" for an unknown one."""
    for table, declared in SETTINGS.items():
        if any(setting.name == key for setting in declared):
            return (
                f"; it belongs in [{table.replace('*', DEFAULT_PROFILE)}]"
                if table
                else "; it belongs at the top"
            )
    return ""


# The line of a key in a TOML text. The parser reports no positions, so it is run on beginnings of the text.
def line_of(place: tuple[str, ...], text: str) -> int | None:
    """The line (from 1) on which the key at `place` begins; None where the text doesn't have it.

    It is the first line after the longest beginning of the text that can be parsed and doesn't have the
    key yet. `text` must be valid TOML with LF line ends.
    """
    lines = text.split("\n")
    if not _beginning(lines, len(lines), place)[1]:
        return None
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high) // 2
        if _beginning(lines, middle, place)[1]:
            high = middle
        else:
            low = middle + 1
    return _beginning(lines, low - 1, place)[0] + 1


def _beginning(lines: list[str], count: int, place: tuple[str, ...]) -> tuple[int, bool]:
    """The longest parsable beginning of at most `count` lines, and whether it has the key."""
    import tomllib

    for end in range(count, 0, -1):
        try:
            tree = tomllib.loads("\n".join(lines[:end]))
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        return end, _has(tree, place)
    return 0, False


def _has(tree: object, place: tuple[str, ...]) -> bool:
    for key in place:
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True


LARGEST = 1 << 20
"""Bytes of a config. Every setting with its comment takes 10 KB; a wrong file may be as large as the disk."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with the settings; `line` is 1-based, None where no line of the file is to blame."""

    path: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else str(self.path)
        return f"{place}: {self.message}"


class ConfigError(Exception):
    """The settings can't be used. `problems` says why, in the file's order; the text is a line each."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def read_config(path: Path | None = None) -> Config:
    """The settings of the file at `path`, which must then exist, or of the usual one, which need not.

    Raises ConfigError.
    """
    try:
        file = path if path is not None else settings.default_config()
    except errors.HomeError:
        return Config(settings.UNKNOWN_CONFIG)  # what needs a home says so: --data-dir does without
    try:
        raw = _read(file)
    except (FileNotFoundError, NotADirectoryError):
        if path is None:
            return Config(file)
        raise ConfigError(Problem(file, None, "there is no such file")) from None
    except OSError as error:
        raise ConfigError(Problem(file, None, f"can't be read: {error.strerror}")) from None
    text = _decoded(file, raw)
    tree = _parsed(file, text)

    return checked(file, text, tree)


def chosen_profile(config: Config, name: str | None) -> str:
    """`name`, or the file's choice where it is None, once it is sure that there is such a profile.

    Raises ConfigError: a slip of the pen must not open an empty profile.
    """
    if name is None or name in config.profiles:
        return name or config.profile
    from jobtui.config import schema

    if not schema.PROFILE_NAME.fullmatch(name):
        raise ConfigError(
            Problem(config.path, None, f"there is no profile {name!r}: {schema.PROFILE_NAME_RULE}")
        )
    hint = near_miss(name, config.profiles) or f"; to have it, add a line [profiles.{name}]"
    raise ConfigError(Problem(config.path, None, f"there is no profile '{name}'{hint}"))


def near_miss(word: str, known: Collection[str]) -> str:
    """'; did you mean 'local'?' for the known word nearest to `word`, "" where none is near."""
    near = did_you_mean(word, known)
    return f"; did you mean '{near}'?" if near else ""


def _read(path: Path) -> bytes:
    """Return the file's bytes. Raises OSError, also for what is not a file or too long to be a config.

    A pipe is refused: a config is read more than once, by `serve --background` in a second process. /dev/null
    is a config without settings.
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
        while len(raw) <= LARGEST and (more := os.read(file, LARGEST + 1 - len(raw))):
            raw += more
    finally:
        os.close(file)
    if len(raw) > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST >> 20} MiB, which no config is", str(path))
    return raw


def _decoded(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(path, raw.count(b"\n", 0, error.start) + 1, "this is not UTF-8")) from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import tomllib  # here and above: a start without a config file needs no TOML

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        message, line = (said[1], said[2]) if said else (str(error), None)
        place = int(line) if line else text.rstrip("\n").count("\n") + 1
        raise ConfigError(Problem(path, place, f"this is not TOML: {message}")) from None
    except RecursionError:
        raise ConfigError(Problem(path, 1, "its values are nested too deeply to be read")) from None
