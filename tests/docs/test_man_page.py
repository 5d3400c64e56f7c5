"""The man page matches the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobtui.cli.args import VERBS, _parser
from jobtui.cli.errors import Exit
from jobtui.language.syntax import SYNTAX

SOURCE = Path(__file__).parents[2] / "man" / "jobtui.1"
PAGE = SOURCE.read_text().replace("\\-", "-")


def section(name: str) -> str:
    return PAGE.partition(f".SH {name}\n")[2].partition(".SH ")[0]


def test_options_are_exactly_those_of_the_program() -> None:
    known = {option for action in _parser()._actions for option in action.option_strings}
    documented = re.findall(r"^\.(?:BI?R?) (-\S+)(?: \", \" (-\S+))?", section("OPTIONS"), re.MULTILINE)
    assert {name.rstrip(",") for pair in documented for name in pair if name} | {"--help"} == known


def test_verbs_are_exactly_those_of_the_program() -> None:
    assert re.findall(r"^\.TP\n(?:\.\w+ |\\fB)(\w+)", section("VERBS"), re.MULTILINE) == list(VERBS)


def test_tag_is_one_line() -> None:  # the rest of a longer one would begin the paragraph
    assert re.findall(r"^\.TP\n.*\n\.[BIR].*", section("VERBS"), re.MULTILINE) == []


def test_statements_are_exactly_those_of_the_language() -> None:
    listed = section("STATEMENTS").partition(".nf\n")[2].partition(".fi")[0].splitlines()
    assert [line.replace("...", "…") for line in listed] == [form.usage for form in SYNTAX]


def test_exit_statuses_are_those_of_the_program() -> None:
    documented = re.findall(r"^\.TP\n\.B (\d+)", section("EXIT STATUS"), re.MULTILINE)
    assert [int(status) for status in documented] == [status.value for status in Exit]


@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man here")
def test_man_reports_no_problem() -> None:
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", SOURCE],
        env={"MANPAGER": "cat", "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "--data-dir DIR" in shown.stdout
