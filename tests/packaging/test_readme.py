"""The README's commands are what CI and a newcomer run, word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    """The lines of the README's sh blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def recipes() -> list[str]:
    """The commands that a reader types once jobtui is installed."""
    return [line for line in commands() if "venv" not in line and "--demo" not in line]


def test_each_of_the_two_commands_is_one_line_that_makes_its_own_environment() -> None:
    setups = [line for line in commands() if "venv" in line]
    assert [line.split(" && ")[-1] for line in setups] == [".venv/bin/jobtui", ".venv/bin/pytest"]
    assert all(line.startswith("python3 -m venv .venv && .venv/bin/pip install ") for line in setups)


def test_ci_finds_the_test_command_in_the_readme() -> None:
    pattern = re.search(r"grep -E '([^']+)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == [line for line in commands() if line.endswith("pytest")]


def test_ci_is_a_shell_script_without_a_slip() -> None:
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell in which `jobtui` is this checkout's, in a home of its own."""
    command = tmp_path / "bin" / "jobtui"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobtui --data-dir "{tmp_path}/data" "$@"\n')
    command.chmod(0o755)
    places = {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    return dict(os.environ) | places


def test_there_are_recipes() -> None:
    assert len(recipes()) >= 8


def test_every_recipe_runs_as_it_stands(shell: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "nightly.ngql").write_text("ADMIN COMPACT nba;\n")
    for line in recipes():
        if "jq" in line and shutil.which("jq") is None:
            continue
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            env=shell,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), line
