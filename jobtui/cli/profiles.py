"""The settings and the profile that a command line names."""

from __future__ import annotations

from jobtui.cli.arguments import Place
from jobtui.cli.exits import UsageError
from jobtui.config import Config, ConfigError, chosen_profile, read_config
from jobtui.engine.profile import Profile


def settings_of(place: Place) -> Config:
    """The settings of the config that the command line names, or of the usual one. Raises UsageError."""
    try:
        return read_config(place.config)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def profile_of(place: Place, config: Config) -> Profile:
    """The profile that the command line names, or the config's choice. Raises UsageError."""
    try:
        name = chosen_profile(config, place.profile)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    return config.open_profile(name, place.data_dir)
