"""The README's commands are what CI and a newcomer run, word for word."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    """The lines of the README's sh blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


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
