from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.commands import CommandLine, noise


@pytest.fixture
def jobtui(tmp_path: Path) -> CommandLine:
    """The command of a user who has nothing yet."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def with_nba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user with a space and a few pairs in it."""
    jobtui = CommandLine(tmp_path_factory.mktemp("nba"))
    jobtui.done("-e", "CREATE SPACE nba ON 2 HOSTS")
    jobtui.done("load", "nba", "-", "--format", "csv", stdin="".join(f"k{n},v{n}\n" for n in range(100)))
    return jobtui.home


@pytest.fixture(scope="session")
def with_much(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user whose space nba has megabytes to compact, in 10,000 pairs."""
    jobtui = CommandLine(tmp_path_factory.mktemp("much"))
    jobtui.done("-e", "CREATE SPACE nba ON 2 HOSTS")
    jobtui.done("load", "nba", "-", "--format", "csv", stdin=noise())
    return jobtui.home


@pytest.fixture
def nba(with_nba: Path, tmp_path: Path) -> CommandLine:
    """A user with a space and a few pairs in it."""
    shutil.copytree(with_nba, tmp_path, dirs_exist_ok=True)
    return CommandLine(tmp_path)


@pytest.fixture
def slow(with_much: Path, tmp_path: Path) -> CommandLine:
    """A user whose compacts take many seconds."""
    shutil.copytree(with_much, tmp_path, dirs_exist_ok=True)
    return CommandLine(tmp_path, "[profiles.local]\ncompact_rate = 200_000\n")
