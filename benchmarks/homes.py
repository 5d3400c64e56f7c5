"""Homes of users with a long history: what a launched jobtui finds."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Run
from benchmarks.history_data import copied, long_history


@dataclass(frozen=True, slots=True)
class Home:
    """A user's directory, with a profile `local` in it."""

    path: Path

    @property
    def profile(self) -> Path:
        """The profile's own directory."""
        return self.path / "data" / "local"

    @property
    def environment(self) -> dict[str, str]:
        """What a process of that user is started with. What is installed is compiled: so is this."""
        unusual = ("XDG_", "JOBTUI_", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(unusual)}
        return kept | {"HOME": str(self.path), "TZ": "UTC"}

    def jobtui(self, *words: str) -> list[str]:
        """A command line."""
        return [sys.executable, "-m", "jobtui", "--data-dir", str(self.path / "data"), *words]


def fresh_home(run: Run) -> Home:
    """A home with nothing in it."""
    home = Home(run.directory("home"))
    home.profile.mkdir(parents=True)
    return home


def long_home(run: Run) -> Home:
    """A home with a copy of the long history."""
    home = fresh_home(run)
    copied(long_history(run), home.profile / "history")
    return home
