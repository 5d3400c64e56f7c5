"""Home directories of users with a long history, for the processes that a benchmark starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from benchmarks.figures import Run
from benchmarks.history_data import copied, huge_history, long_history


class Home(msgspec.Struct, frozen=True):
    """A user's directory, with a profile `local` in it."""

    path: Path

    @property
    def profile(self) -> Path:
        """The profile's directory."""
        return self.path / "data" / "local"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of that user's processes.

        Modules are compiled as they are in an installed package, and the benchmarks can be imported.
        """
        unusual = ("XDG_", "JOBTUI_", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(unusual)}
        return kept | {"HOME": str(self.path), "TZ": "UTC", "PYTHONPATH": str(Path(__file__).parents[1])}

    def jobtui(self, *words: str) -> list[str]:
        """Return a command line."""
        return [sys.executable, "-m", "jobtui", "--data-dir", str(self.path / "data"), *words]


def fresh_home(run: Run) -> Home:
    """Return a home without jobs."""
    home = Home(run.directory("home"))
    home.profile.mkdir(parents=True)
    return home


def long_home(run: Run) -> Home:
    """Return a home with a copy of the long history."""
    home = fresh_home(run)
    copied(long_history(run), home.profile / "history")
    return home


def huge_home(run: Run) -> Home:
    """Return a home with a copy of the huge history."""
    home = fresh_home(run)
    copied(huge_history(run), home.profile / "history")
    return home
