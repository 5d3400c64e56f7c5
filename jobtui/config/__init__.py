"""The settings: what there is to set, the TOML file that sets it, and the directories of a profile.

    declared.py  every setting, declared once: its default, its meaning, what it may be
    settings.py  what the settings are at the moment
    values.py    the kinds of values, from TOML's to ours; cluster_values.py a cluster's
    clusters.py  from what is said of a cluster to the engine's settings
    reading.py   the file, taken whole or refused whole, each problem with its line
    checking.py  what it says, setting by setting
    lines.py     on which line of a TOML text a key stands
    paths.py     where the file and the data lie where nothing else is said

Nothing is imported before it is needed: without a config file neither the TOML parser nor the declarations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobtui.config.loader import ConfigError, Problem, chosen_profile, read_config
from jobtui.config.settings import DEFAULT_PROFILE, Config, ProfileSettings
from jobtui.errors import HomeError

if TYPE_CHECKING:
    from jobtui.config.schema import SETTINGS, Setting

__all__ = [
    "DEFAULT_PROFILE",
    "SETTINGS",
    "Config",
    "ConfigError",
    "HomeError",
    "Problem",
    "ProfileSettings",
    "Setting",
    "chosen_profile",
    "read_config",
]


def __getattr__(name: str) -> object:
    if name in ("SETTINGS", "Setting"):
        from jobtui.config import schema

        return getattr(schema, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
