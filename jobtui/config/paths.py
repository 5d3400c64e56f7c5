"""Where the config file and the data lie where nothing else is said: the system's places for a user."""

from __future__ import annotations

from pathlib import Path


def default_config() -> Path:
    """Where the config file is looked for."""
    import platformdirs

    return platformdirs.user_config_path("jobtui", appauthor=False) / "config.toml"


def default_data_dir() -> Path:
    """The directory that holds the profiles' data, a directory each."""
    import platformdirs

    return platformdirs.user_data_path("jobtui", appauthor=False)
