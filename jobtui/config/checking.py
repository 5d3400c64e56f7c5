"""A parsed config file, setting by setting: what it says, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobtui.config import values
from jobtui.config.clusters import cluster_of
from jobtui.config.declared import SETTINGS, Setting
from jobtui.config.reading import ConfigError, Problem, near_miss
from jobtui.config.settings import DEFAULT_PROFILE, Config, ProfileSettings
from jobtui.tui.settings import TuiSettings


def checked(path: Path, text: str, tree: Mapping[str, Any]) -> Config:
    """The settings of the file at `path`, whose text was parsed as `tree`. Raises ConfigError."""
    return _Reading(path, text, tree).config()


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
            dotted = ".".join((*place, key if key.isprintable() else repr(key)))
            if key not in known:
                hint = near_miss(key, [*known, *beside]) or _elsewhere(key)
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
