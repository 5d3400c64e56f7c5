from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import CommandLine, noise
from tests.support.homes import SLOW, moved_in, with_pairs


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


@pytest.fixture(scope="session")
def much(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user whose space nba has 2,000 pairs, megabytes to compact."""
    return with_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def nba(with_nba: Path, tmp_path: Path) -> CommandLine:
    """A user with a space and a few pairs in it."""
    return moved_in(tmp_path, with_nba)


@pytest.fixture
def slow(with_much: Path, tmp_path: Path) -> CommandLine:
    """A user whose compacts take many seconds."""
    return moved_in(tmp_path, with_much, SLOW)
