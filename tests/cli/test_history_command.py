from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.support.commands import CommandLine


def journal(jobtui: CommandLine) -> Path:
    (found,) = jobtui.profile.history.glob("journal-*.jsonl")
    return found


def damage(jobtui: CommandLine) -> None:
    """Spoil the record of the one job."""
    file = journal(jobtui)
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b'"command":"flush"', b'"command":"flash"'))


def test_verify_reports_a_sound_history(nba: CommandLine) -> None:
    assert nba.done("history", "verify") == f"{nba.profile.history}: no damage found\n"


def test_verify_names_what_is_damaged_and_changes_nothing(nba: CommandLine) -> None:
    damage(nba)
    before = {file: file.read_bytes() for file in nba.profile.history.glob("*.*")}
    result = nba("history", "verify")
    assert result.returncode == 1
    assert journal(nba).name in result.stdout
    assert "jobtui history repair" in result.stderr
    assert {file: file.read_bytes() for file in nba.profile.history.glob("*.*")} == before


@pytest.mark.parametrize("words", [("-e", "SHOW JOBS"), ("serve", "--until-idle")])
def test_every_command_reports_damage_once(nba: CommandLine, words: tuple[str, ...]) -> None:
    damaged = journal(nba)
    damaged.write_bytes(b"")
    result = nba(*words)
    assert result.returncode == 0
    assert f"The history was damaged: {damaged.name}: it is empty" in result.stderr
    assert result.stderr.count("jobtui history verify reports all of it") == 1


def test_owner_reports_damage_that_it_leaves_behind(nba: CommandLine) -> None:
    journal(nba).unlink()
    assert "The history was damaged" in nba("-e", "ADMIN FLUSH nba").stderr
    assert "The history was damaged" not in nba("-e", "ADMIN FLUSH nba").stderr
    assert "found before: journal: acknowledged changes are missing" in nba.done("history", "verify")


def test_repair_restores_the_history_and_reports_it(nba: CommandLine) -> None:
    damage(nba)
    assert "quarantine/" in nba.done("history", "repair")
    assert nba.done("history", "verify").endswith("no damage found\n")
    assert nba.done("history", "repair").endswith("there was nothing to repair\n")


def test_repair_without_a_history_creates_nothing(jobtui: CommandLine) -> None:
    result = jobtui("history", "repair")
    assert (result.returncode, result.stderr) == (
        1,
        f"jobtui: there is no history in {jobtui.profile.history}\n",
    )
    assert not jobtui.data.exists()
    assert jobtui.done("history", "verify").endswith("does not exist yet; nothing to verify\n")
    assert not jobtui.data.exists()


def test_repair_does_not_wait_for_the_lock(nba: CommandLine) -> None:
    with nba.started("serve") as server:
        assert server.stderr is not None
        while b"serves" not in server.stderr.readline():
            pass
        result = nba("history", "repair")
        assert result.returncode == 1
        assert f"process {server.pid}" in result.stderr
        assert nba.done("history", "verify").endswith("no damage found\n")


def test_export_has_every_job_in_full(nba: CommandLine) -> None:
    (job,) = map(json.loads, nba.done("history", "export").splitlines())
    assert (job["id"], job["command"], job["status"], job["archived"]) == (1, "flush", "queue", False)
    assert json.loads(nba.done("history", "export", "--format", "json")) == [job]
    assert nba.done("history", "export", "--format", "csv").splitlines()[1].startswith("1,flush,nba,queue,")


def test_formulas_are_guarded_in_csv_unless_raw(nba: CommandLine) -> None:
    nba.done("--detach", "-e", "CREATE SPACE `=1+1`; ADMIN FLUSH `=1+1`")
    for words in (
        ("history", "export", "--format", "csv"),
        ("-e", "SHOW SPACES", "--format", "csv"),
        ("-e", "SHOW JOBS", "--format", "csv"),
    ):
        cells = nba.done(*words).replace("\n", ",").split(",")
        assert ("'=1+1" in cells, "=1+1" in cells) == (True, False), words
        cells = nba.done(*words, "--raw").replace("\n", ",").split(",")
        assert ("'=1+1" in cells, "=1+1" in cells) == (False, True), words
    refused = nba("history", "export", "--raw")
    assert (refused.returncode, refused.stderr) == (2, "jobtui: --raw goes with --format csv, not jsonl\n")


def test_export_file_is_private_and_overwrites_nothing(nba: CommandLine) -> None:
    result = nba("history", "export", "jobs.jsonl")
    file = nba.home / "jobs.jsonl"
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "jobs.jsonl: 1 job\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = nba("history", "export", "jobs.jsonl")
    assert (again.returncode, again.stderr) == (
        1,
        "jobtui: jobs.jsonl exists already; nothing was written\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_export_to_a_full_disk_is_reported(nba: CommandLine) -> None:
    with open("/dev/full", "wb") as full, nba.started("history", "export", stdout=full) as export:
        assert export.stderr is not None
        assert b"No space left on device" in export.stderr.read()
        assert export.wait() == 1


def test_export_of_a_damaged_history_reports_missing_jobs(nba: CommandLine) -> None:
    for _ in range(2):
        nba("--detach", "-e", "USE nba; ADMIN FLUSH")
    file = journal(nba)
    file.write_bytes(file.read_bytes().replace(b'{"id":2,', b'{"id":9,', 1))
    for target, stdout in (("-", "out"), ("jobs.jsonl", "file")):
        result = nba("history", "export", *([] if target == "-" else [target]))
        out = result.stdout if stdout == "out" else (nba.home / target).read_text()
        assert [json.loads(line)["id"] for line in out.splitlines()] == [1, 3]
        assert result.returncode == 1
        assert file.name in result.stderr
        assert "a part of the history could not be read" in result.stderr


def test_dangling_link_to_history_is_not_reported_as_sound(jobtui: CommandLine) -> None:
    jobtui.profile.history.parent.mkdir(parents=True)
    jobtui.profile.history.symlink_to(jobtui.home / "unmounted")
    for what in ("verify", "repair"):
        result = jobtui("history", what)
        assert result.returncode == 1
        assert "is a link to a directory that does not exist" in result.stderr
