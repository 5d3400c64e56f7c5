from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import CommandLine


@pytest.fixture
def jobtui(tmp_path: Path) -> CommandLine:
    """The command of a user who has nothing yet."""
    return CommandLine(tmp_path)
