"""A profile that is opened for reading only: with an owner, and without one."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace

from jobtui.cli.args import parse_arguments
from jobtui.cli.errors import UsageError
from jobtui.cli.profiles import resolve_profile
from jobtui.config import read_config
from jobtui.engine.client import Session
from jobtui.engine.failover import FailoverClient, connect_or_start
from jobtui.engine.profile import Profile
from jobtui.errors import OwnerUnreachable
from jobtui.language import ast, parse
from jobtui.model import Status
from tests.support.commands import CommandLine
from tests.support.engines import WAIT, open_bench
from tests.support.scripted import ScriptedStorage


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile("local", tmp_path, read_only=True)


def refusal(client: FailoverClient, text: str) -> str:
    failure = client.execute(text, Session()).result(WAIT).failure
    return "" if failure is None else failure.message


NIGHTLY = 'CREATE SCHEDULE nightly AT "@daily" DO ADMIN FLUSH nba'
WRITING = (
    "ADMIN FLUSH nba",
    "STOP JOB 1",
    "SHOW JOBS; RECOVER JOB",
    "BACKUP JOB 0 9",
    "RESTORE JOB 1",
    "CREATE SPACE more",
    "DROP SPACE nba",
    'CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH nba',
    "PAUSE SCHEDULE nightly",
    "RESUME SCHEDULE nightly",
    "RUN SCHEDULE nightly",
    "DROP SCHEDULE nightly",
    "PAUSE JOB 1",
    "RESUME JOB 1",
    "SET RATE OFF",
)
READING = (
    "USE nba",
    "SHOW JOB 1",
    "SHOW JOBS",
    "SHOW SPACES",
    "SHOW HOSTS",
    "SHOW SCHEDULES",
    "SHOW ADVICE",
    "EXPLAIN ADMIN COMPACT nba",
)


def test_every_statement_is_refused_or_changes_nothing() -> None:
    """A new statement must be added to one of the lists, which the next test executes."""
    writing = {type(statement) for text in WRITING for statement in parse(text)} - {ast.ShowJobs}
    reading = {type(statement) for text in READING for statement in parse(text)}
    assert not writing & reading
    assert writing | reading == set(get_args(ast.Statement))


def test_owner_rejects_statements_of_a_read_only_client(tmp_path: Path, profile: Profile) -> None:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h1",)})) as bench:
        bench.execute(f"ADMIN COMPACT nba; {NIGHTLY}")
        bench.events.until(1, Status.RUNNING)
        before = bench.engine.job(1), bench.rows("SHOW SPACES"), bench.rows("SHOW SCHEDULES")
        client = FailoverClient(profile)
        try:
            assert not client.writable
            for text in WRITING:
                assert refusal(client, text).startswith("Profile 'local' is read-only"), text
            for text in READING:
                assert refusal(client, text) == "", text
            assert refusal(client, "SHOW ADVICE; ADMIN FLUSH nba").startswith("Profile 'local' is read-only")
            assert bench.engine.history.last_id() == 1
            assert before == (bench.engine.job(1), bench.rows("SHOW SPACES"), bench.rows("SHOW SCHEDULES"))
        finally:
            client.close()


def test_nothing_is_created_without_an_owner(tmp_path: Path) -> None:
    absent = Profile("local", tmp_path / "none", read_only=True)
    client = FailoverClient(absent)
    try:
        assert (client.writable, client.write_error) == (False, "")
        for text in WRITING:
            assert refusal(client, text).endswith("nothing was done"), text
        for text in ("SHOW ADVICE", "EXPLAIN ADMIN COMPACT nba"):
            assert refusal(client, text).endswith("none runs it: start one, or leave --read-only out")
        assert refusal(client, "SHOW JOBS") == ""
    finally:
        client.close()
    with pytest.raises(OwnerUnreachable, match="read-only"):
        connect_or_start(absent)
    assert not absent.root.exists()


def test_option_and_setting(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[profiles.local]\nread_only = true\n")
    config = read_config(file)
    for words in (["-e", "SHOW JOBS"], []):
        command = parse_arguments([*words, "--data-dir", str(tmp_path)], piped=False)
        assert resolve_profile(command, config).read_only  # type: ignore[arg-type]  # a command of any kind
    plain = replace(config, profiles={"local": replace(config.profiles["local"], read_only=False)})
    command = parse_arguments(["--read-only", "--data-dir", str(tmp_path)], piped=False)
    assert resolve_profile(command, plain).read_only  # type: ignore[arg-type]  # a command of any kind
    for words in (["serve"], ["load", "nba", "x.csv"], ["history", "repair"]):
        command = parse_arguments([*words, "--data-dir", str(tmp_path)], piped=False)
        with pytest.raises(UsageError, match="is read-only"):
            resolve_profile(command, config)  # type: ignore[arg-type]  # a command of any kind


def test_command_line_refuses(tmp_path: Path) -> None:
    jobtui = CommandLine(tmp_path)
    ended = jobtui("--read-only", "-e", "CREATE SPACE nba")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Profile 'local' is read-only (--read-only, or read_only = true" in ended.stderr
    assert not jobtui.data.exists()
