"""The settings: what there is to set, the TOML file that sets it, and the directories of a profile.

    settings.py  every setting, declared once: its default, its meaning, what it may be
    values.py    the kinds of values, from TOML's to ours; cluster_values.py a cluster's
    clusters.py  from what is said of a cluster to the engine's settings
    reading.py   the file, taken whole or refused whole, each problem with its line
    lines.py     on which line of a TOML text a key stands
    paths.py     where the file and the data lie where nothing else is said

Nothing is imported before it is needed: without a config file not even the TOML parser.
"""

from jobtui.config.reading import ConfigError, Problem, chosen_profile, read_config
from jobtui.config.settings import DEFAULT_PROFILE, SETTINGS, Config, ProfileSettings, Setting

__all__ = [
    "DEFAULT_PROFILE",
    "SETTINGS",
    "Config",
    "ConfigError",
    "Problem",
    "ProfileSettings",
    "Setting",
    "chosen_profile",
    "read_config",
]
