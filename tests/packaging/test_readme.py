"""The README's commands are what CI and a newcomer run, word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobtui.cli.errors import Exit
from jobtui.language.parts import Keyword
from jobtui.language.syntax import SYNTAX

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


VARIES = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d|\d\.\d s\b|\d[\d.]* (?:B|KiB)\b")
MISTAKE = "SHOW JBO"


@dataclass(frozen=True)
class Step:
    """A command that a reader types, and what it prints (None: the page does not say)."""

    command: str
    printed: str | None


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """The lines of the README's sh blocks."""
    return [line for block in blocks("sh") for line in block.splitlines()]


def steps() -> list[Step]:
    """All that a reader types once jobtui is installed, from the page's top to its end."""
    found = []
    for kind, block in re.findall(r"^```(sh|console|crontab)\n(.*?)^```", README, re.DOTALL | re.MULTILINE):
        match kind:
            case "console":
                for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                    command, _, printed = part.partition("\n")
                    found.append(Step(command, printed))
            case "crontab":
                found += [Step(line.split(maxsplit=5)[5], None) for line in block.splitlines()]
            case _:
                found += [Step(line, None) for line in block.splitlines() if "venv" not in line]
    return found


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
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobtui "$@"\n')
    command.chmod(0o755)
    places = {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    return {name: value for name, value in os.environ.items() if not name.startswith("XDG_")} | places


def test_there_are_commands_and_printed_blocks() -> None:
    assert len(steps()) >= 20
    assert len([step for step in steps() if step.printed]) >= 5


def test_the_recipes_whose_exit_status_counts_stay_to_the_end_of_jobs_handed_in() -> None:
    cron = "".join(blocks("crontab"))
    ci = next(line for line in commands() if "ci-data" in line and "COMPACT" in line)
    assert "jobtui --quiet --wait -e" in cron
    assert "--wait" in ci


@pytest.mark.skipif(sys.platform != "linux", reason="the page shows where the data lies on Linux")
def test_every_command_runs_as_it_stands_and_prints_what_is_shown(
    shell: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "nightly.ngql").write_text("ADMIN COMPACT nba;\n")
    for step in steps():
        if "jq" in step.command and shutil.which("jq") is None:
            continue
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step.command],
            env=shell,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert ended.returncode == (2 if MISTAKE in step.command else 0), (step.command, ended.stdout)
        if step.printed is not None:
            assert VARIES.sub("…", ended.stdout) == VARIES.sub("…", step.printed), step.command


def test_the_table_of_the_language_has_every_statement_by_its_keywords() -> None:
    table = README.partition("## The language")[2].partition("\n## ")[0]
    told = [set(re.findall(r"[A-Z]+", written)) for written in re.findall(r"`([^`]+)`", table)]
    for form in SYNTAX:
        words = {part.text for part in form.parts if isinstance(part, Keyword)}
        assert any(words <= each for each in told), form.usage


def test_the_table_of_the_exit_statuses_is_the_programs() -> None:
    told = re.findall(r"^\| (\d+) \|", README.partition("| exit status | |")[2], re.MULTILINE)
    assert [int(status) for status in told] == [status.value for status in Exit]
