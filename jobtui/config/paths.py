"""The directories of the config file and of the data, if the user names none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

UNKNOWN_CONFIG = Path("~/.config/jobtui/config.toml")
"""What stands for the config file of a user without a home directory; it is never opened."""


class HomeError(Exception):
    """The user has no home directory, so that there is no usual place; the text says what to do."""


def default_config() -> Path:
    """Return where the config file is looked for. Raises HomeError."""
    import platformdirs  # here: a start with --version needs none

    return _in_home(lambda: platformdirs.user_config_path("jobtui", appauthor=False)) / "config.toml"


def default_data_dir() -> Path:
    """Return the directory that holds the profiles' data, a directory each. Raises HomeError."""
    import platformdirs  # here: as above

    return _in_home(lambda: platformdirs.user_data_path("jobtui", appauthor=False))


def _in_home(find: Callable[[], Path]) -> Path:
    """Return the directory that platformdirs finds.

    If there is no home, its older versions give a path that begins with "~" and the newer ones fail.
    """
    try:
        found = find()
    except RuntimeError:
        found = UNKNOWN_CONFIG
    if not found.is_absolute():
        raise HomeError(
            "there is no home directory: HOME is not set to an absolute path, and the system knows no home "
            "of this user; set HOME, or name directories with --data-dir and --config"
        )
    return found
