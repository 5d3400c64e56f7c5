"""`jobtui serve`: the owner without a screen, in the background, and as the continuation of a dashboard."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.owner_socket import SOCKET
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerUnavailable
from jobtui.model import Status
from tests.support.commands import CommandLine
from tests.support.homes import SLOW, moved_in, status_of, with_runtime_directory
from tests.support.terminal import Terminal
from tests.support.waiting import eventually

WAIT = 30.0
ME = Session().requested_by.partition(",")[0]
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ")


@pytest.fixture
def jobtui(much: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A user whose compacts take many seconds."""
    return with_runtime_directory(moved_in(tmp_path, much, SLOW), monkeypatch)


def answers(jobtui: CommandLine) -> bool:
    try:
        RemoteClient.connect(jobtui.profile).close()
    except OwnerUnavailable:
        return False
    return True


@contextmanager
def serving(jobtui: CommandLine, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    with jobtui.started("serve", **options) as process:
        eventually(lambda: answers(jobtui))
        yield process


def log_lines(err: bytes) -> list[str]:
    """Return the lines of a server, without the times."""
    lines = err.decode().splitlines()
    assert all(STAMP.match(line) for line in lines), lines
    return [re.sub(r"after [\d.]+ s", "after N s", STAMP.sub("", line)) for line in lines]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_signal_reports_running_jobs_and_ends_cleanly(jobtui: CommandLine, sent: signal.Signals) -> None:
    with serving(jobtui) as process:
        jobtui.done("-e", "ADMIN COMPACT nba; ADMIN FLUSH nba")
        eventually(lambda: status_of(jobtui, 1) is Status.RUNNING)
        process.send_signal(sent)
        _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    lines = log_lines(err)
    assert lines[0] == f"jobtui serves local as process {process.pid}"
    assert {"Job 1 (compact nba) queued", "Job 1 (compact nba) started", "Job 2 (flush nba) queued"} < {*lines}
    assert lines[4:] == [
        "Stopping job 1; a second ctrl+c exits immediately",
        f"Job 1 (compact nba) stopped after N s by {ME} ({sent.name})",
        "Ended: job 2 queued for the next start",
    ]
    assert (status_of(jobtui, 1), status_of(jobtui, 2)) == (Status.STOPPED, Status.QUEUE)
    assert not (jobtui.profile.root / SOCKET).exists()


def test_server_runs_the_queue_and_prints_starts_and_ends(jobtui: CommandLine) -> None:
    jobtui.config.unlink()
    jobtui.done("--detach", "-e", "ADMIN COMPACT nba")
    printed = []
    with serving(jobtui) as process:
        assert process.stderr is not None
        for line in process.stderr:
            printed.append(line)
            if b" finished " in line:  # the status on disk would be seen before the line is printed
                process.terminate()
    lines = log_lines(b"".join(printed))
    assert "Job 1 left in the queue: running now" in lines[:2]
    assert lines[-2:] == ["Job 1 (compact nba) finished after N s", "Ended"]


def test_second_signal_exits_and_the_next_start_reports_it(
    jobtui: CommandLine,
) -> None:
    with serving(jobtui) as process:
        jobtui.done("-e", "ADMIN COMPACT nba")
        eventually(lambda: status_of(jobtui, 1) is Status.RUNNING)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT) == 0
    assert status_of(jobtui, 1) in (Status.FAILED, Status.STOPPED)


def test_refuses_a_profile_with_an_owner_and_names_it(jobtui: CommandLine) -> None:
    engine = LocalClient.open(jobtui.profile)
    try:
        for words in (["serve"], ["serve", "--background"]):
            ended = jobtui(*words)
            assert ended.returncode == 1
            assert f"local is already served by process {os.getpid()}" in ended.stderr
            assert "Traceback" not in ended.stderr
    finally:
        engine.close()


def test_background_server_outlives_its_terminal(jobtui: CommandLine) -> None:
    with Terminal(
        jobtui.words("serve", "--background"), environment=jobtui.environment, cwd=jobtui.home
    ) as terminal:
        screen = terminal.until(lambda text: "ends it" in text.replace("\n", ""))
        assert terminal.ended() == 0
        # it matches, or the test fails
        pid = int(re.search(r"as process (\d+)", screen.replace("\n", ""))[1])  # type: ignore[index]
        terminal.hang_up()
    try:
        assert os.getsid(pid) == pid
        jobtui.done("-e", "ADMIN COMPACT nba")
        eventually(lambda: status_of(jobtui, 1) is Status.RUNNING)
        log = jobtui.profile.root / "serve.log"
        assert log.stat().st_mode & 0o777 == 0o600
        assert "Job 1 (compact nba) started" in log.read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: status_of(jobtui, 1) is Status.STOPPED)
    eventually(lambda: not alive(pid))


def test_long_log_is_rotated(tmp_path: Path) -> None:
    from jobtui.cli.commands.serve import MAX_LOG_BYTES, open_log

    log = tmp_path / "serve.log"
    log.write_bytes(bytes(MAX_LOG_BYTES + 1))
    os.close(open_log(log))
    assert (log.stat().st_size, (tmp_path / "serve.log.1").stat().st_size) == (0, MAX_LOG_BYTES + 1)


# ---- a dashboard that continues as a server, for which a shell waits

LEAVING = """
import os, sys, signal
from pathlib import Path
from jobtui.cli.options import DashboardCommand
from jobtui.cli.commands import dashboard
import jobtui.tui.launch as app

def run(client, settings, *_):
    \"\"\"A dashboard whose user submits a compact, then leaves the work behind.\"\"\"
    from jobtui.engine.client import Session
    ended = client.execute("ADMIN COMPACT nba", Session(None, Path("/"))).result()
    assert ended.failure is None
    while not any(job.status.value == "running" for job in client.active_jobs()):
        pass
    client.yield_jobs().result()
    return app.DashboardEnd(0)

app.run = run
sys.exit(dashboard.open_dashboard(DashboardCommand(config=Path(sys.argv[1]), data_dir=Path(sys.argv[2]))))
"""


@contextmanager
def shell(jobtui: CommandLine, program: str) -> Iterator[Terminal]:
    """An interactive shell with the program at hand as `sh ./it`."""
    script = jobtui.home / "it.py"
    script.write_text(program)
    words = [sys.executable, str(script), str(jobtui.config), str(jobtui.data)]
    (jobtui.home / "it").write_text("exec " + " ".join(words) + "\n")
    environment = jobtui.environment | {"PS1": "prompt$ ", "ENV": "", "PYTHONPATH": str(Path.cwd())}
    with Terminal(
        ["bash", "--norc", "--noprofile", "-i"], environment=environment, cwd=jobtui.home
    ) as terminal:
        terminal.shows("prompt$")
        yield terminal


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


@linux
def test_dashboard_leaves_its_job_to_a_background_server(
    jobtui: CommandLine,
) -> None:
    with shell(jobtui, LEAVING) as terminal:
        terminal.send(b"sh ./it\r")
        screen = terminal.until(
            lambda text: text.rstrip().endswith("prompt$") and "until its jobs have ended" in text
        )
        # it matches, or the test fails
        pid = int(re.search(r"as process (\d+)", screen.replace("\n", ""))[1])  # type: ignore[index]
        terminal.send(b"echo status $?\r")
        terminal.shows("status 0")
        workers = children_of(pid)
        assert workers
        assert os.getsid(pid) == pid
        terminal.hang_up()
    try:
        assert status_of(jobtui, 1) is Status.RUNNING
        assert children_of(pid) == workers
        assert answers(jobtui)
        jobtui.done("-e", "ADMIN FLUSH nba; STOP JOB 1")
        eventually(lambda: not alive(pid))
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    assert (status_of(jobtui, 1), status_of(jobtui, 2)) == (Status.STOPPED, Status.FINISHED)
    lines = log_lines((jobtui.profile.root / "serve.log").read_bytes())
    assert "Job 1 (compact nba) is running and continues here" in lines
    assert f"Job 1 (compact nba) stopped after N s by {ME} (script)" in lines
    assert "Job 2 (flush nba) started" in lines
    assert lines[-2:] == ["Job 2 (flush nba) finished after N s", "Ended"]
    assert not any(map(alive, workers))


def children_of(pid: int) -> set[int]:
    children = (task / "children" for task in Path(f"/proc/{pid}/task").iterdir())
    return {int(child) for listed in children for child in listed.read_text().split()}
