"""Notifications of the real command: its test message, an owner that is killed, and one that lives shortly."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.support.commands import CommandLine
from tests.support.waiting import eventually
from tests.support.web_hooks import HANG, web_hook


def user(home: Path, **settings: object) -> CommandLine:
    values = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    return CommandLine(home, f"[notify]\n{values}")


def script(directory: Path, text: str) -> Path:
    path = directory / "hook"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(stat.S_IRWXU)
    return path


class TestTestMessage:
    def test_both_targets(self, tmp_path: Path) -> None:
        hook = script(tmp_path, f"cat > {tmp_path}/in")
        with web_hook() as server:
            jobtui = user(tmp_path, command="./hook --token SECRET", url=server.url)
            output = jobtui.done("notify", "test")
        assert output.splitlines() == [
            f"sent: the command {hook} was run",
            f"sent: {server.url.removesuffix('/services/SECRET')} answered 200",
        ]
        (message,) = server.messages
        assert message == json.loads((tmp_path / "in").read_text())
        assert (message["event"], message["profile"]) == ("test", "local")
        assert not jobtui.data.exists()

    def test_target_that_fails(self, tmp_path: Path) -> None:
        with web_hook(500) as server:
            ended = user(tmp_path, url=server.url)("notify", "test")
        assert (ended.returncode, ended.stderr) == (1, "")
        assert ended.stdout.endswith("answered 500 Internal Server Error\n")
        assert ended.stdout.startswith("FAILED: http://localhost:")
        assert len(server.messages) == 1

    def test_no_target(self, jobtui: CommandLine) -> None:
        ended = jobtui("notify", "test")
        assert ended.returncode == 2
        assert "there is no command and no url in the table [notify]" in ended.stderr


class TestKill9:
    def test_command_is_run_again_by_the_next_owner(self, tmp_path: Path) -> None:
        """The owner is killed while its command runs: the job has ended, and no delivery is on record."""
        text = f"cat > {tmp_path}/$$.json; echo $$ > {tmp_path}/pid; [ -e {tmp_path}/free ] || sleep 1000"
        jobtui = user(tmp_path, on=["finished"], command=str(script(tmp_path, text)))
        jobtui.done("-e", "CREATE SPACE nba")
        with jobtui.started("serve") as server:
            assert server.stderr is not None
            jobtui_says = server.stderr.readline()
            assert b"serves local" in jobtui_says
            jobtui.done("-e", "ADMIN FLUSH nba", "--wait")
            hanging = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
            server.kill()
            server.wait()
            os.killpg(hanging, signal.SIGKILL)
        first = (tmp_path / f"{hanging}.json").read_text()
        (tmp_path / "free").touch()
        jobtui.done("-e", "ADMIN FLUSH nba")
        messages = {path.read_text() for path in tmp_path.glob("*.json")}
        assert first in messages
        assert sorted(json.loads(each)["job"]["id"] for each in messages) == [1, 2]
        assert len(list(tmp_path.glob("*.json"))) == 3
        jobtui.done("-e", "ADMIN FLUSH nba")
        assert len(list(tmp_path.glob("*.json"))) == 4

    def test_web_hook_gets_the_same_message_again(self, tmp_path: Path) -> None:
        with web_hook(HANG, 200) as hook:
            jobtui = user(tmp_path, on=["finished"], url=hook.url)
            jobtui.done("-e", "CREATE SPACE nba")
            with jobtui.started("serve") as server:
                assert server.stderr is not None
                server.stderr.readline()
                jobtui.done("-e", "ADMIN FLUSH nba", "--wait")
                hook.wait_for(1)
                server.kill()
                server.wait()
            jobtui.done("-e", "ADMIN FLUSH nba")
            first, *others = hook.messages
        assert first in others
        assert sorted(message["job"]["id"] for message in others) == [1, 2]
        log = jobtui.done("history", "export", "--format", "json")
        events = [event for job in json.loads(log) for event in job["events"]]
        assert [event["kind"] for event in events if "about" in event] == ["notified", "notified"]
        assert "SECRET" not in log


def test_owner_that_lives_shortly_delivers_before_it_ends(tmp_path: Path) -> None:
    jobtui = user(tmp_path, on=["finished"], command=str(script(tmp_path, f"cat > {tmp_path}/in")))
    jobtui.done("-e", "CREATE SPACE nba; ADMIN FLUSH nba")
    assert json.loads((tmp_path / "in").read_text())["job"]["space"] == "nba"


@pytest.mark.parametrize(
    ("settings", "level", "words"),
    [
        ({"command": "/no/such/program SECRET"}, "bad", "the command /no/such/program does not exist"),
        ({"url": "env:JOBTUI_TEST_HOOK"}, "bad", "the environment variable JOBTUI_TEST_HOOK is not set"),
        ({"on": ["failed"]}, "warn", "neither a command nor a url is set"),
        ({"on": [], "command": "true"}, "warn", "on is empty"),
        (
            {"command": "true SECRET", "url": "https://hooks.example.com/SECRET"},
            "ok",
            "the command true, https://hooks.example.com; jobtui notify test sends a message",
        ),
    ],
)
def test_doctor_checks_the_targets(tmp_path: Path, settings: dict[str, object], level: str, words: str) -> None:
    ended = user(tmp_path, **settings)("doctor")
    (line,) = (each for each in ended.stdout.splitlines() if each[6:].startswith("notify"))
    assert line.startswith(f"{level:<4}  notify     {words}")
    assert "SECRET" not in ended.stdout


def test_printed_settings_hide_the_url_and_can_be_read(tmp_path: Path) -> None:
    jobtui = user(tmp_path, url="https://hooks.example.com/SECRET", command="page x")
    printed = jobtui.done("config")
    assert "SECRET" not in printed
    assert '# url = "https://hooks.example.com/…"' in printed
    (tmp_path / "other").mkdir()
    assert "no problems found" in CommandLine(tmp_path / "other", printed).done("config", "check")
