"""The settings, and the TOML file that they are read from.

    parsers.py       the parsers of the values
    declarations.py  every setting, declared once
    settings.py      the records of their values; the default paths
    loader.py        the file: accepted as a whole, or refused with the line of each problem

A start without a config file imports neither the TOML parser nor the command `jobtui config`.
"""

from __future__ import annotations

from jobtui.config.declarations import SETTINGS, Setting
from jobtui.config.loader import ConfigError, Problem, choose_profile, read_config
from jobtui.config.settings import DEFAULT_PROFILE, Config, ProfileSettings
from jobtui.errors import HomeError

__all__ = [
    "DEFAULT_PROFILE",
    "SETTINGS",
    "Config",
    "ConfigError",
    "HomeError",
    "Problem",
    "ProfileSettings",
    "Setting",
    "choose_profile",
    "read_config",
]
