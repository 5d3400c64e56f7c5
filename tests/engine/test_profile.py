"""The lines for systemd and cron that keep an owner: read as systemd and cron read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobtui.engine.profile import Profile, describe_autostart

NAMES = ["plain", "100% %h", "a$HOME ${x}", 'it\'s "quoted"', r"back\slash\\ \%", "; $(x) `y` & | > *", "ü #"]
PROGRAM = '#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n'


def lines(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, list[str]]:
    """Return the unit's ExecStart, the crontab's command, and the words that both have to mean.

    The program and the data directory lie in directories of that name.
    """
    program = home / name / "jobtui"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    text = describe_autostart(Profile("local", home / name / "data" / "local"))
    unit, _, crontab = text.partition(" (docs/serve.md has it)")
    words = [str(program), "--data-dir", str(home / name / "data"), "serve"]
    return unit.partition("ExecStart=")[2], crontab.partition("@reboot ")[2], words


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="asks systemd")
@pytest.mark.parametrize("name", [*NAMES, "line\nbreak"])
def test_unit_starts_the_owner(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unit, _, words = lines(tmp_path, name, monkeypatch)
    file = tmp_path / "jobtui-owner.service"
    file.write_text(f"[Service]\nExecStart={unit}\n")
    environment = os.environ | {"SYSTEMD_LOG_LEVEL": "debug", "SYSTEMD_LOG_TARGET": "console"}
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    verified = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    output = verified.stdout + verified.stderr
    dump = re.search(rf"Unit {file.name}:.*?Command Line: (.*?)\n", output, re.DOTALL)
    assert dump is not None
    program, *arguments = (
        re.sub(r"\\(n|.)", lambda match: "\n" if match[1] == "n" else match[1], quoted or bare)
        for quoted, bare in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', dump[1])
    )
    # systemd replaces variables only when it starts the command, in all words but the program
    assert not any(re.search(r"\$", word.replace("$$", "")) for word in arguments)
    found = [program, *(word.replace("$$", "$") for word in arguments)]
    assert (found[1:] if found[0] == "/usr/bin/env" else found) == words
    assert not re.search(rf"{file.name}:.*(?:[Ii]gnor|[Uu]nknown|[Ii]nvalid)", output)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("escapes", ["%", "%\\"])
def test_crontab_starts_the_owner(
    tmp_path: Path, name: str, escapes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, crontab, words = lines(tmp_path, name, monkeypatch)
    ran = subprocess.run(["sh", "-c", after_cron(crontab, escapes)], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [*words, "--background"]


def after_cron(command: str, escapes: str) -> str:
    """Return what cron passes to the shell: it ends at the first `%` without a backslash (crontab(5)).

    Some versions remove the backslash before a `%` only, others before a backslash, too.
    """
    found = ""
    for part in re.findall(r"\\.|.", command):
        if part == "%":
            break
        found += part[1] if part[0] == "\\" and part[1] in escapes else part
    return found


def test_path_that_no_crontab_can_contain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    text = describe_autostart(Profile("local", tmp_path / "line\nbreak" / "local"))
    assert text.endswith("; a crontab cannot contain the path")
    assert text.isprintable()
