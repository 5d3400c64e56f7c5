"""The commands of the README, and of the pages it leads to, are what CI and a newcomer run, word for word."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest

from jobtui.cli.errors import Exit
from jobtui.language.parts import Keyword
from jobtui.language.syntax import SYNTAX
from tests.support.adoptable import adoptable
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import Cluster
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SCRIPTS = (ROOT / "docs" / "scripts.md").read_text()
DATA = (ROOT / "docs" / "data.md").read_text()


VARIES = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d|\d\.\d s\b|\d[\d.]* (?:B|KiB)\b")
MISTAKE = "SHOW JBO"


class Step(msgspec.Struct, frozen=True):
    """A command that a reader types, and what it prints (None: the page does not say)."""

    command: str
    printed: str | None


def blocks(kind: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """The lines of the README's sh blocks."""
    return [line for block in blocks("sh") for line in block.splitlines()]


def steps(page: str) -> list[Step]:
    """All that a reader types once jobtui is installed, from the page's top to its end."""
    found = []
    for kind, block in re.findall(r"^```(sh|console|crontab)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
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


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_install_commands_are_one_line_each() -> None:
    setups = [line for line in commands() if "venv" in line]
    assert [line.split(" && ")[-1] for line in setups] == [".venv/bin/jobtui", ".venv/bin/pytest"]
    assert all(line.startswith("python3 -m venv .venv && .venv/bin/pip install ") for line in setups)


def test_ci_finds_the_test_command_in_the_readme() -> None:
    pattern = re.search(r"grep -E '([^']+)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == [line for line in commands() if line.endswith("pytest")]


@pytest.mark.parametrize("name", ["run", "pythons"])
def test_ci_is_a_shell_script_without_a_slip(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / ".ci" / name], check=True)


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell in which `jobtui` is this checkout's, in a home of its own."""
    command = tmp_path / "bin" / "jobtui"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobtui "$@"\n')
    command.chmod(0o755)
    environment = {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("XDG_")} | environment


def test_there_are_commands_and_printed_blocks() -> None:
    assert len(steps(README)) >= 13
    assert len([step for step in steps(README) if step.printed]) >= 4
    assert len(steps(SCRIPTS)) >= 9
    assert len(steps(DATA)) >= 5


def test_every_block_is_of_a_kind_that_is_run() -> None:
    for page in (README, SCRIPTS, DATA):
        assert {*re.findall(r"^```(\w+)$", page, re.MULTILINE)} <= {"sh", "console", "crontab"}


def test_recipes_with_exit_status_wait_for_their_jobs() -> None:
    cron = "".join(blocks("crontab", SCRIPTS))
    ci = next(
        step.command for step in steps(SCRIPTS) if "ci-data" in step.command and "COMPACT" in step.command
    )
    assert "jobtui --quiet --wait -e" in cron
    assert "--wait" in ci


def run(command: str, shell: dict[str, str], home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env=shell,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def must_run(step: Step, shell: dict[str, str], home: Path) -> str:
    ended = run(step.command, shell, home)
    assert ended.returncode == (2 if MISTAKE in step.command else 0), (step.command, ended.stdout)
    if step.printed is not None:
        assert VARIES.sub("…", ended.stdout) == VARIES.sub("…", step.printed), step.command
    return ended.stdout


def serve_in_background(command: str, shell: dict[str, str], home: Path) -> None:
    """Run the command, which leaves a server behind, and end that."""
    with (home / "output").open("w+") as output:  # the server would keep a pipe open
        subprocess.run(command, shell=True, env=shell, cwd=home, stdout=output, stderr=output, check=True)
        output.seek(0)
        pid = int(re.findall(r"kill (\d+) ends it", output.read())[0])
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())


def serve_browsers(command: str, shell: dict[str, str], home: Path) -> None:
    """Run the command, which serves until it is ended, and open the address that it prints."""
    with subprocess.Popen(
        [*command.split(), "--port", "0"],
        env=shell,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        assert server.stdout is not None
        with urlopen(server.stdout.readline().decode()) as page:
            assert page.status == 200
        server.terminate()
    assert server.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the page shows where the data lies on Linux")
def test_every_command_prints_what_is_shown(shell: dict[str, str], tmp_path: Path) -> None:
    database = adoptable(tmp_path / "chain")
    with GraphdDouble(Cluster()) as graphd:
        for step in steps(README):
            if step.command.endswith("serve --background"):
                serve_in_background(step.command, shell, tmp_path)
            elif step.command.endswith("jobtui web"):
                serve_browsers(step.command, shell, tmp_path)
            elif "--nebula" in step.command:
                # the dashboard itself is tested elsewhere
                there = step.command.replace("10.0.0.1:9669", f"127.0.0.1:{graphd.port}") + ' -e "SHOW HOSTS"'
                must_run(Step(there, None), shell | {"JOBTUI_NEBULA_PASSWORD": "nebula"}, tmp_path)
            else:
                command = step.command.replace("/srv/chain/db", str(database))
                must_run(Step(command, step.printed), shell, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="the page shows where the data lies on Linux")
@pytest.mark.parametrize("page", ["scripts", "data"])
def test_every_command_of_a_page_runs(page: str, shell: dict[str, str], tmp_path: Path) -> None:
    run('jobtui -e "CREATE SPACE nba; ADMIN FLUSH nba; ADMIN COMPACT nba"', shell, tmp_path)
    (tmp_path / "nightly.ngql").write_text("ADMIN COMPACT nba;\n")
    for step in steps((ROOT / "docs" / f"{page}.md").read_text()):
        if "jq" not in step.command or shutil.which("jq") is not None:
            must_run(step, shell, tmp_path)


def test_language_table_has_every_statement() -> None:
    table = (ROOT / "docs" / "language.md").read_text()
    documented = [set(re.findall(r"[A-Z]+", written)) for written in re.findall(r"`([^`]+)`", table)]
    for form in SYNTAX:
        words = {part.text for part in form.parts if isinstance(part, Keyword)}
        assert any(words <= each for each in documented), form.usage


def test_table_of_the_exit_statuses_is_the_programs() -> None:
    documented = re.findall(r"^\| (\d+) \|", SCRIPTS.partition("| exit status | |")[2], re.MULTILINE)
    assert [int(status) for status in documented] == [status.value for status in Exit]
