from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from jobtui.engine.schedules import NO_OWNER
from tests.support.commands import CommandLine
from tests.support.terminal import Terminal


def findings(jobtui: CommandLine, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status, and each finding's level and words by what it is about."""
    ended = jobtui("doctor", *words)
    assert ended.stderr == ""
    lines = [line for line in ended.stdout.splitlines() if not line.startswith(" ")]
    return ended.returncode, {line[6:15].strip(): (line[:4].strip(), line[17:]) for line in lines}


def test_healthy_profile_has_no_findings(nba: CommandLine) -> None:
    status, found = findings(nba)
    assert status == 0
    assert found["config"][0] == found["data"][0] == "ok"
    assert found["lock"] == ("ok", "free: no jobtui process uses this profile")
    assert found["history"] == ("ok", "the last job is 1, 1 queued or running")
    assert found["spaces"] == ("ok", "1 space")
    assert found["rocksdb"] == ("ok", "a worker started, wrote, flushed and compacted")


def test_missing_database_is_bad(nba: CommandLine) -> None:
    database = nba.profile.storage / "local0" / "nba"
    database.rename(database.with_name("moved"))
    status, found = findings(nba)
    assert status == 1
    assert found["spaces"] == ("bad", f"space 'nba': {database}: No such file or directory")


def test_damaged_list_of_spaces_is_reported(nba: CommandLine) -> None:
    file = nba.profile.storage / "spaces.json"
    file.write_text("{}")
    status, found = findings(nba)
    assert status == 0
    assert found["spaces"] == ("warn", f"{file} is damaged (Object missing required field `crc`)")
    shown = nba("-e", "SHOW SPACES")
    assert "| nba " in shown.stdout
    assert f"{file} is damaged" in shown.stderr
    assert "adopted ones are not listed" in shown.stderr


def test_doctor_creates_nothing(jobtui: CommandLine) -> None:
    status, found = findings(jobtui)
    assert (status, found["history"]) == (0, ("ok", "no jobs yet"))
    assert not jobtui.data.exists()


def test_invalid_config_is_reported_and_other_checks_run(tmp_path: Path) -> None:
    status, found = findings(CommandLine(tmp_path, "[dashboard]\nbel = true\n"))
    assert status == 1
    assert found["config"][0] == "bad"
    assert "did you mean 'bell'?" in found["config"][1]
    assert found["rocksdb"][0] == "ok"


def test_each_fault_of_a_config_has_a_line(tmp_path: Path) -> None:
    jobtui = CommandLine(tmp_path, "[dashboard]\nbel = true\nthemes = 1\n")
    faults = jobtui("config", "check").stderr.removeprefix("jobtui: ").splitlines()
    assert len(faults) == 2
    lines = [line for line in jobtui("doctor").stdout.splitlines() if line.startswith("bad ")]
    assert lines == [f"bad   config     {fault}" for fault in faults]


def test_settings_the_dashboard_ignores_are_warned_of_by_line(tmp_path: Path) -> None:
    jobtui = CommandLine(tmp_path, '[dashboard]\ntheme = "drak"\nkeymap = { stop = "foo" }\n')
    ended = jobtui("doctor")
    assert ended.returncode == 0
    lines = [line for line in ended.stdout.splitlines() if line.startswith("warn  config")]
    assert [line.partition(".toml:")[2] for line in lines] == [
        "2: there is no theme 'drak'; did you mean 'dark'?",
        "3: keymap: there is no key foo; stop keeps s",
    ]


@pytest.mark.parametrize(
    ("term", "expected"),
    [("xterm-256color", "256"), ("linux", "16: the theme ansi (key T) is for these")],
)
def test_colors_are_those_that_the_terminal_reports(jobtui: CommandLine, term: str, expected: str) -> None:
    for name in ("COLORTERM", "NO_COLOR"):
        jobtui.environment.pop(name, None)
    jobtui.environment["TERM"] = term
    assert findings(jobtui)[1]["colors"][1].startswith(expected)


def test_data_directory_that_is_a_file_is_bad(jobtui: CommandLine) -> None:
    jobtui.data.write_text("")
    status, found = findings(jobtui)
    assert (status, found["data"][0]) == (1, "bad")
    assert f"{jobtui.data} is not a directory" in found["data"][1]


@pytest.mark.parametrize("part", ["history", "storage"])
def test_file_in_place_of_a_data_subdirectory_is_bad(jobtui: CommandLine, part: str) -> None:
    jobtui.profile.root.mkdir(parents=True)
    (jobtui.profile.root / part).write_text("")
    status, found = findings(jobtui)
    assert (status, found["data"][0]) == (1, "bad")
    assert f"{jobtui.profile.root / part} is not a directory" in found["data"][1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_data_directory_that_is_read_only_is_bad(nba: CommandLine) -> None:
    nba.profile.root.chmod(0o500)
    status, found = findings(nba)
    assert (status, found["data"][0]) == (1, "bad")


def test_owner_is_named_with_whether_it_answers(nba: CommandLine) -> None:
    with nba.started("serve") as server:
        assert server.stderr is not None
        while b"serves" not in server.stderr.readline():
            pass
        _, found = findings(nba)
        assert found["lock"] == ("ok", f"process {server.pid} owns this profile, and answers")
        server.send_signal(signal.SIGSTOP)
        _, found = findings(nba)
        assert found["lock"][0] == "warn"
        assert f"process {server.pid} owns this profile: it does not answer" in found["lock"][1]
        server.send_signal(signal.SIGCONT)


def test_schedules_without_an_owner_are_reported_with_a_remedy(nba: CommandLine) -> None:
    made = nba("-e", "CREATE SCHEDULE nightly AT '@daily' DO ADMIN COMPACT nba")
    next_run, owner = made.stderr.splitlines()
    assert re.fullmatch(r"Schedule 'nightly' runs next at \S+ 00:00:00", next_run)
    assert owner.startswith(f"{NO_OWNER}: enable a systemd user unit with ExecStart=")
    ended = nba("doctor")
    assert ended.returncode == 0
    (lines,) = re.findall(r"^warn  schedules  (.*(?:\n .*)*)", ended.stdout, re.MULTILINE)
    lines = " ".join(lines.split())
    assert lines.startswith("1 active schedule, and no process runs this profile: none will start")
    serve = rf"\S*jobtui --data-dir {nba.data} serve"
    assert re.search(rf"systemd user unit with ExecStart={serve} \(docs/serve\.md has it\)", lines)
    assert re.search(rf"crontab: @reboot {serve} --background$", lines)
    with nba.started("serve") as server:
        assert server.stderr is not None
        while b"serves" not in server.stderr.readline():
            pass
        assert findings(nba)[1]["schedules"] == ("ok", "1 active schedule")
        assert nba("-e", "PAUSE SCHEDULE nightly; RESUME SCHEDULE nightly").stderr == ""


def test_damage_is_reported_with_a_remedy(nba: CommandLine) -> None:
    (journal,) = nba.profile.history.glob("journal-*.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b'"command":"flush"', b'"command":"flash"'))
    ended = nba("doctor")
    assert "warn  history    damaged: " in ended.stdout
    assert "jobtui history repair" in ended.stdout


def test_lock_that_cannot_be_taken_is_bad(nba: CommandLine) -> None:
    lock = nba.profile.history / "LOCK"
    lock.unlink()
    lock.mkdir()
    status, found = findings(nba)
    assert (status, found["lock"][0]) == (1, "bad")
    assert "a directory is in its place" in found["lock"][1]
    assert "jobtui history repair moves it to the quarantine" in nba("doctor").stdout


def test_file_of_another_kind_in_the_history_is_reported(nba: CommandLine) -> None:
    manifest = nba.profile.history / "MANIFEST.json"
    manifest.unlink()
    os.mkfifo(manifest)
    _, found = findings(nba)
    assert found["history"] == ("warn", "damaged: MANIFEST.json: a pipe is in its place")


def test_unreachable_cluster_is_bad(tmp_path: Path) -> None:
    jobtui = CommandLine(tmp_path, '[profiles.prod]\ncluster = "nebula"\ngraphd = ["127.0.0.1:9"]\n')
    status, found = findings(jobtui, "--profile", "prod")
    assert (status, found["cluster"][0]) == (1, "bad")
    assert "127.0.0.1:9" in found["cluster"][1]
    assert "rocksdb" not in found


def test_missing_host_directory_is_fine(tmp_path: Path) -> None:
    jobtui = CommandLine(tmp_path, f'[profiles.local]\nhosts = {{ h1 = "{tmp_path}/disk1" }}\n')
    status, found = findings(jobtui)
    assert (status, found["host"][0]) == (0, "ok")


def test_doctor_checks_the_terminal(jobtui: CommandLine) -> None:
    words = [sys.executable, "-m", "jobtui", "--data-dir", str(jobtui.data), "doctor"]
    with Terminal(words, columns=130, environment=jobtui.environment) as terminal:
        assert terminal.ended() == 0
        terminal.shows("ok    terminal   xterm-256color, 130 columns, 30 lines", "ok    colors     16 million")
    dumb = jobtui.environment | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with Terminal(words, columns=50, environment=dumb) as terminal:
        assert terminal.ended() == 0
        terminal.shows("warn  terminal", "warn  text")
