from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import CommandLine
from tests.support.homes import moved_in


@pytest.fixture(scope="session")
def with_nba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user with a space on two hosts, a pair in it and a queued flush."""
    jobtui = CommandLine(tmp_path_factory.mktemp("nba"))
    jobtui.done("-e", "CREATE SPACE nba ON 2 HOSTS")
    jobtui.done("load", "nba", "-", "--format", "csv", stdin="k,v\n")
    jobtui.done("-e", "ADMIN FLUSH nba", "--detach")
    return jobtui.home


@pytest.fixture
def nba(with_nba: Path, tmp_path: Path) -> CommandLine:
    """That user."""
    return moved_in(tmp_path, with_nba)
