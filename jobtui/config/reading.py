"""The config file: taken whole or refused whole. Every problem is named with its line; nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobtui.config import paths, values
from jobtui.config.clusters import cluster_of
from jobtui.config.settings import DEFAULT_PROFILE, SETTINGS, Config, ProfileSettings, Setting
from jobtui.tui.settings import TuiSettings


@dataclass(frozen=True, slots=True)
class Problem:
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
    file = path if path is not None else paths.default_config()
    try:
        raw = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if path is None:
            return Config(file)
        raise ConfigError(Problem(file, None, "there is no such file")) from None
    except OSError as error:
        raise ConfigError(Problem(file, None, f"can't be read: {error.strerror}")) from None
    text = _decoded(file, raw)
    return _Reading(file, text, _parsed(file, text)).config()


def chosen_profile(config: Config, name: str | None) -> str:
    """`name`, or the file's choice where it is None, once it is sure that there is such a profile.

    Raises ConfigError: a slip of the pen must not open an empty profile.
    """
    if name is None or name in config.profiles:
        return name or config.profile
    if not values.PROFILE_NAME.fullmatch(name):
        raise ConfigError(
            Problem(config.path, None, f"there is no profile {name!r}: {values.PROFILE_NAME_RULE}")
        )
    hint = _near(name, config.profiles) or f"; to have it, add a line [profiles.{name}]"
    raise ConfigError(Problem(config.path, None, f"there is no profile '{name}'{hint}"))


def _decoded(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(path, raw.count(b"\n", 0, error.start) + 1, "this is not UTF-8")) from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        message, line = (said[1], said[2]) if said else (str(error), None)
        place = int(line) if line else text.rstrip("\n").count("\n") + 1
        raise ConfigError(Problem(path, place, f"this is not TOML: {message}")) from None


class _Reading:
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
                _near(config.profile, config.profiles)
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
            if not values.PROFILE_NAME.fullmatch(name):
                self._wrong(place, f"{name!r} can't be a profile's name: {values.PROFILE_NAME_RULE}")
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
            dotted = ".".join((*place, key))
            if key not in known:
                hint = _near(key, [*known, *beside]) or _elsewhere(key)
                self._wrong((*place, key), f"there is no setting {dotted}{hint}")
                continue
            try:
                read[key] = known[key].kind(value, self.path.parent)
            except values.UnsuitableError as error:
                self._wrong((*place, key), f"{dotted} must be {error}")
        return read

    def _wrong(self, place: tuple[str, ...], message: str) -> None:
        from jobtui.config.lines import line_of

        self.problems.append(Problem(self.path, line_of(place, self.text), message))


def _elsewhere(key: str) -> str:
    """'; it belongs in [dashboard]' for a setting that stands in the wrong table, "" for an unknown one."""
    for table, settings in SETTINGS.items():
        if any(setting.name == key for setting in settings):
            return (
                f"; it belongs in [{table.replace('*', DEFAULT_PROFILE)}]"
                if table
                else "; it belongs at the top"
            )
    return ""


def _near(word: str, known: Collection[str]) -> str:
    """'; did you mean 'local'?' for the known word nearest to `word`, "" where none is near."""
    import difflib

    closest = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{closest[0]}'?" if closest else ""
