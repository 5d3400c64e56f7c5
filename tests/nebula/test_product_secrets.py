"""A password logs in, and appears nowhere else: not in the history, a log, an error, or the process list."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from jobtui.cli.args import parse_arguments
from jobtui.cli.errors import UsageError
from jobtui.cli.options import DashboardCommand
from jobtui.cli.profiles import read_settings, resolve_profile
from jobtui.storage.nebula.settings import LiteralPassword, Secret
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import Cluster
from tests.support.nebula_product import NebulaCommand
from tests.support.waiting import eventually

WORD = "s3cr3t-Passw0rd"


def guarded(*spaces: str) -> Cluster:
    cluster = Cluster({space: ["10.0.0.5"] for space in spaces or ("nba",)})
    cluster.users["root"] = WORD
    return cluster


def test_no_file_holds_the_password_and_no_process_shows_it(tmp_path: Path) -> None:
    cluster = guarded()
    with GraphdDouble(cluster) as graphd:
        jobtui = NebulaCommand(tmp_path, graphd, password=WORD)
        with jobtui.started("-e", "ADMIN COMPACT nba") as process:
            eventually(lambda: any("SUBMIT" in text for text in cluster.statements))
            command_line = Path(f"/proc/{process.pid}/cmdline")
            assert not command_line.exists() or WORD.encode() not in command_line.read_bytes()
            cluster.finish(1)
            out, err = process.communicate(timeout=60)
        output = [out, err, *(text.encode() for text in jobtui("-e", "SHOW JOB 1").stdout.splitlines())]
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 3
    assert cluster.logins
    for text in (*output, *files):
        assert WORD.encode() not in text


def test_wrong_password_is_reported_once(tmp_path: Path) -> None:
    cluster = Cluster()
    with GraphdDouble(cluster) as graphd:
        ended = NebulaCommand(tmp_path, graphd, password=WORD)("-e", "ADMIN FLUSH nba")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "jobtui: graphd refused the login of 'root': Invalid password\n"
    assert cluster.logins == ["root"]


def test_missing_password_without_terminal_names_the_variable(tmp_path: Path) -> None:
    cluster = Cluster()
    with GraphdDouble(cluster) as graphd:
        ended = NebulaCommand(tmp_path, graphd, password=None)("-e", "ADMIN FLUSH nba")
    assert ended.returncode == 1
    assert "no password: the environment variable JOBTUI_NEBULA_PASSWORD is not set" in ended.stderr
    assert cluster.logins == []


def test_password_prompt_does_not_echo(tmp_path: Path) -> None:
    with GraphdDouble(guarded()) as graphd:
        jobtui = NebulaCommand(tmp_path, graphd, password=None)
        ours, theirs = pty.openpty()
        pipes = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        with jobtui.started("-e", "SHOW SPACES", preexec_fn=_own_terminal, **pipes) as process:
            os.close(theirs)
            output = b""
            while b"Password of root on 127.0.0.1" not in output:
                output += os.read(ours, 1000)
            os.write(ours, f"{WORD}\n".encode())
            output += _rest(ours)
            assert process.wait(60) == 0
        os.close(ours)
    assert b"nba" in output
    assert WORD.encode() not in output


@pytest.mark.parametrize("option", [["-p", WORD], [f"-p{WORD}"], ["--password", WORD], [f"--password={WORD}"]])
def test_no_option_takes_a_password(option: list[str]) -> None:
    with pytest.raises(UsageError, match="a password is never an option") as caught:
        parse_arguments(["--nebula", "h", "-u", "root", *option, "-e", "SHOW JOBS"], piped=False)
    assert WORD not in str(caught.value)


def test_profile_shows_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBTUI_NEBULA_PASSWORD", raising=False)
    monkeypatch.setattr("jobtui.cli.profiles.is_terminal", lambda _: True)
    monkeypatch.setattr("getpass.getpass", lambda _: WORD)
    (tmp_path / "config.toml").write_text("")
    command = DashboardCommand(nebula="10.0.0.1", config=tmp_path / "config.toml", data_dir=tmp_path)
    profile = resolve_profile(command, read_settings(command))
    assert profile.cluster is not None
    assert profile.cluster.password == LiteralPassword(Secret(WORD))
    assert (profile.cluster.name, profile.name) == ("10.0.0.1:9669", "nebula-10_0_0_1_9669")
    assert WORD not in repr(profile)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _rest(terminal: int) -> bytes:
    output = b""
    while True:
        try:
            piece = os.read(terminal, 1000)
        except OSError:  # the other end is closed
            return output
        if not piece:
            return output
        output += piece
