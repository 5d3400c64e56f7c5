"""Homes of users who already have data, made once and copied for each test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.model import Status
from tests.support.commands import CommandLine

SLOW = "[profiles.local]\ncompact_rate = 200_000\n"


def with_pairs(home: Path, count: int = 2_000, length: int = 3_000) -> Path:
    """Return the home of a user whose space nba, on two hosts, has this many pairs."""
    home.mkdir(exist_ok=True)
    engine = LocalClient.open(CommandLine(home).profile, run=RunPolicy.NONE)
    try:
        engine.execute("CREATE SPACE nba ON 2 HOSTS", Session(None, home)).result(60)
        engine.load("nba", [(b"k%d" % n, os.urandom(length)) for n in range(count)]).result(60)
    finally:
        engine.close()
    return home


def status_of(jobtui: CommandLine, job: int) -> Status | None:
    """Return the job's status on disk, None if there is no such job yet."""
    reader = ReadOnlyClient.open(jobtui.profile)
    try:
        found = reader.job(job)
        return None if found is None else found.status
    finally:
        reader.close()


def moved_in(home: Path, template: Path, config: str = "") -> CommandLine:
    """Return the command of a user whose home is a copy of the template."""
    shutil.copytree(template, home, dirs_exist_ok=True)
    return CommandLine(home, config)


def with_runtime_directory(jobtui: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Return the same with a runtime directory in which the processes of the profile find each other."""
    runtime = jobtui.home / "runtime"
    runtime.mkdir(mode=0o700)
    jobtui.environment["XDG_RUNTIME_DIR"] = str(runtime)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return jobtui
