"""Signals while `serve` and `--demo` start, and readers of their output that are gone."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobtui.engine.reader import is_owned
from jobtui.model import Status
from tests.support.commands import CommandLine
from tests.support.homes import status_of
from tests.support.terminal import Terminal
from tests.support.waiting import eventually

WAIT = 60
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
OPENED = [
    ("before", "jobtui.engine.local:LocalClient.open"),
    ("after", "jobtui.engine.local:LocalClient.open"),
    ("before", "jobtui.cli.commands.serve:receive_into"),
]
MOMENTS = [
    ("after", "tempfile:mkdtemp"),
    ("before", "jobtui.engine.local:LocalClient.open"),
    ("after", "jobtui.engine.local:LocalClient.open"),
    ("before", "jobtui.tui.launch:run"),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Pair moments and signals: the long form tries all pairs, the short form each moment and each signal."""
    if "moment" in metafunc.fixturenames:
        moments = OPENED if metafunc.cls is TestServe else MOMENTS
        pairs = list(itertools.product(moments, SIGNALS))
        if not metafunc.config.getoption("--long"):
            pairs = list(zip(moments, itertools.cycle(SIGNALS), strict=False))
        metafunc.parametrize(("moment", "number"), pairs)


# sends itself the signal before or after the first call of a function
SENDING = """
import functools, importlib, os, sys
when, place, number = sys.argv[1:4]
del sys.argv[1:4]
module, _, path = place.partition(":")
*owners, name = path.split(".")
owner = functools.reduce(getattr, owners, importlib.import_module(module))
original = getattr(owner, name)
sent = []

def send(at):
    if at == when and not sent:
        sent.append(at)
        os.kill(os.getpid(), int(number))

def sending(*args, **options):
    send("before")
    result = original(*args, **options)
    send("after")
    return result

setattr(owner, name, sending)
from jobtui.__main__ import main
sys.exit(main())
"""


def sending(jobtui: CommandLine, moment: tuple[str, str], number: int, *words: str) -> list[str]:
    """The command that gets a signal at a moment of its start."""
    return [sys.executable, "-c", SENDING, *moment, str(int(number)), *jobtui.words(*words)[3:]]


def processes_in(directory: Path) -> list[str]:
    """The command lines of the processes that name the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line and int(entry.name) != os.getpid():
            found.append(line)
    return found


class TestServe:
    def run(
        self, jobtui: CommandLine, moment: tuple[str, str], number: int
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            sending(jobtui, moment, number, "serve"),
            env=jobtui.environment,
            cwd=jobtui.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT,
        )

    @pytest.mark.parametrize("number", SIGNALS)
    def test_signal_before_the_profile_is_open_ends_it_silently(self, nba: CommandLine, number: int) -> None:
        ended = self.run(nba, ("before", "jobtui.cli.commands.serve:resolve_profile"), number)
        assert ended.returncode in (-number, 128 + number)
        assert ended.stdout + ended.stderr == ""

    def test_once_it_opens_the_profile_stops_jobs_first(
        self, slow: CommandLine, moment: tuple[str, str], number: int
    ) -> None:
        slow.done("--detach", "-e", "ADMIN COMPACT nba")
        ended = self.run(slow, moment, number)
        assert ended.returncode == 0, ended
        assert "Traceback" not in ended.stderr
        assert " Ended" in ended.stderr.splitlines()[-1]
        assert status_of(slow, 1) in (Status.QUEUE, Status.STOPPED)
        assert not is_owned(slow.profile)
        assert processes_in(slow.home) == []


class TestDemo:
    def test_leaves_nothing_behind(self, jobtui: CommandLine, moment: tuple[str, str], number: int) -> None:
        temporary = jobtui.home / "tmp"
        temporary.mkdir()
        jobtui.environment["TMPDIR"] = str(temporary)
        command = sending(jobtui, moment, number, "--demo")
        with Terminal(command, environment=jobtui.environment, cwd=jobtui.home) as terminal:
            assert terminal.ended(WAIT) == 128 + number
            assert b"Traceback" not in terminal.output
            assert f"Ended by {signal.Signals(number).name}".encode() in terminal.output
            assert terminal.is_cooked()
        assert list(temporary.glob("jobtui-demo-*")) == []
        assert processes_in(temporary) == []


class TestClosedPipes:
    """Unread output is dropped: it changes neither the work nor its exit status."""

    @pytest.mark.parametrize(
        ("words", "status"),
        [
            (["--version"], 0),
            (["config"], 0),
            (["doctor"], 0),
            (["history", "verify"], 0),
            (["history", "export"], 0),
            (["dump", "nba"], 0),
            (["-e", "SHOW JOBS"], 0),
            (["-e", "ADMIN FLUSH nba"], 0),
            (["-e", "SHOW JBO"], 2),
            (["load", "nba", "none.csv"], 2),
        ],
    )
    def test_status_is_that_of_the_work(self, nba: CommandLine, words: list[str], status: int) -> None:
        nba.environment.pop("PYTHONUNBUFFERED", None)  # what is not written yet is written at the exit
        reading, writing = os.pipe()
        os.close(reading)
        try:
            with nba.started(*words, stdout=writing, stderr=writing) as process:
                assert process.wait(WAIT) == status
        finally:
            os.close(writing)

    def test_server_serves_on(self, nba: CommandLine) -> None:
        with nba.started("serve") as server:
            assert server.stderr is not None
            assert b"serves" in server.stderr.readline()
            server.stderr.close()
            server.send_signal(signal.SIGPIPE)
            nba.done("-e", "ADMIN FLUSH nba")
            eventually(lambda: status_of(nba, 1) is Status.FINISHED)
            server.terminate()
            assert server.wait(WAIT) == 0
            server.stderr = None
        assert not is_owned(nba.profile)
