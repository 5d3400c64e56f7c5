"""`jobtui -e`, `load` and `dump` while another process owns the profile."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobtui.engine import protocol
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.owner_socket import SOCKET
from jobtui.engine.scheduler import RunPolicy
from jobtui.model import Status
from tests.support.commands import CommandLine, new_job
from tests.support.homes import SLOW, moved_in, status_of, with_runtime_directory
from tests.support.waiting import eventually

WAIT = 30.0
NEW_JOB = new_job(1)


@pytest.fixture
def jobtui(much: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A user whose compacts take many seconds."""
    return with_runtime_directory(moved_in(tmp_path, much, SLOW), monkeypatch)


@pytest.fixture
def owner(jobtui: CommandLine) -> Iterator[LocalClient]:
    """The engine of another process, as a dashboard's would be; this test's."""
    engine = LocalClient.open(jobtui.profile)
    yield engine
    engine.close()


@pytest.fixture
def slow_owner(jobtui: CommandLine) -> Iterator[subprocess.Popen[bytes]]:
    """`jobtui serve` on compacts that take many seconds."""
    with serving(jobtui) as process:
        yield process


@contextmanager
def serving(jobtui: CommandLine) -> Iterator[subprocess.Popen[bytes]]:
    with jobtui.started("serve") as process:
        assert process.stderr is not None
        assert b"jobtui serves local" in process.stderr.readline()
        yield process


def test_statement_of_cron_appears_in_the_open_dashboard(jobtui: CommandLine, owner: LocalClient) -> None:
    assert jobtui.done("-e", "ADMIN COMPACT nba") == NEW_JOB
    (job,) = owner.wait_ended([1]).result(WAIT)
    assert (job.label, job.status) == ("compact nba", Status.FINISHED)


def test_remote_statements_print_and_fail_as_local_ones(jobtui: CommandLine, owner: LocalClient) -> None:
    ended = jobtui("-e", "USE nba; ADMIN FLUSH;\n STOP JOB 7")
    assert (ended.returncode, ended.stdout) == (1, NEW_JOB)
    assert ended.stderr == (
        "-e:2:2: Job 7 does not exist\n"
        f"Job 1 was submitted to process {os.getpid()}, which runs it; --wait waits for its end\n"
    )
    ended = jobtui("-e", "ADMIN FLUSH nba; ADMIN FLUSH nba")
    assert ended.stderr.startswith(f"Jobs 2 and 3 were submitted to process {os.getpid()}, which runs them;")
    assert not jobtui("--quiet", "-e", "ADMIN FLUSH nba").stderr
    assert jobtui("-e", "SHOW JBO").returncode == 2
    assert jobtui("-e", "CREATE SPACE other AT 'nowhere'").stderr.count(str(jobtui.home)) == 1


def test_wait_option_waits_and_exits_with_the_outcome(jobtui: CommandLine, owner: LocalClient) -> None:
    ended = jobtui("--wait", "-e", "ADMIN COMPACT nba")
    assert (ended.returncode, ended.stdout) == (0, NEW_JOB)
    assert ended.stderr.startswith("Job 1 (compact nba) finished in ")
    assert owner.job(1).status is Status.FINISHED
    for current in (jobtui.profile.storage / "local0").rglob("CURRENT"):
        current.unlink()
    ended = jobtui("--wait", "-e", "ADMIN COMPACT nba")
    assert ended.returncode == 3
    assert ended.stderr.startswith("Job 2 (compact nba) failed: local0: ")


def test_ctrl_c_does_not_stop_a_job_of_the_owner(
    jobtui: CommandLine, slow_owner: subprocess.Popen[bytes]
) -> None:
    with jobtui.started("--wait", "-e", "ADMIN COMPACT nba") as process:
        assert process.stdout is not None
        assert process.stdout.read(len(NEW_JOB)).decode() == NEW_JOB
        eventually(lambda: status_of(jobtui, 1) is Status.RUNNING)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 130
    assert err.decode() == "No longer waiting: job 1 continues in the process that owns the profile\n"
    assert status_of(jobtui, 1) is Status.RUNNING


def test_waiting_draws_a_bar_on_a_terminal(jobtui: CommandLine, owner: LocalClient) -> None:
    master, slave = pty.openpty()
    try:
        with jobtui.started("--wait", "-e", "ADMIN COMPACT nba", stderr=slave) as process:
            assert process.wait(WAIT) == 0
            drawn = os.read(master, 100_000).decode()
        assert "compact nba" in drawn
        assert "finished" in drawn
    finally:
        os.close(master)
        os.close(slave)


def test_waiter_learns_that_the_owner_was_killed(
    jobtui: CommandLine, slow_owner: subprocess.Popen[bytes]
) -> None:
    with jobtui.started("--wait", "-e", "ADMIN COMPACT nba") as process:
        eventually(lambda: status_of(jobtui, 1) is Status.RUNNING)
        slow_owner.kill()
        _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 3
    assert "The jobtui that ran this profile has ended" in err.decode()
    assert "Job 1 (compact nba) did not end as it should" in err.decode()


def test_waiter_continues_with_the_next_owner(jobtui: CommandLine, slow_owner: subprocess.Popen[bytes]) -> None:
    jobtui.done("-e", "ADMIN COMPACT nba")
    with jobtui.started("--wait", "-e", "ADMIN FLUSH nba") as process:
        eventually(lambda: status_of(jobtui, 2) is Status.QUEUE)
        slow_owner.kill()
        slow_owner.wait()
        engine = LocalClient.open(jobtui.profile)
        try:
            assert process.wait(WAIT) == 0
        finally:
            engine.close()
    assert [row["Status"] for row in jobtui.rows("SHOW JOBS")] == ["failed", "finished"]


def test_progress_spaces_and_hosts_come_from_the_owner(
    jobtui: CommandLine, slow_owner: subprocess.Popen[bytes]
) -> None:
    (space,) = jobtui.rows("SHOW SPACES")
    assert space["In Memory"] is not None
    jobtui.done("-e", "ADMIN COMPACT nba")
    eventually(lambda: any(row["progress"] for row in jobtui.rows("SHOW JOB 1")))
    assert [row["Status"] for row in jobtui.rows("SHOW HOSTS")] == ["online"] * 3


def test_pairs_are_loaded_and_dumped_through_the_owner(jobtui: CommandLine, owner: LocalClient) -> None:
    before = jobtui.done("dump", "nba").splitlines()
    assert len(before) == 2_000
    jobtui.done("load", "nba", "-", stdin='{"key": "\\u0000a", "value": "new"}\n{"key": "k1", "value": null}\n')
    after = jobtui.done("dump", "nba").splitlines()
    assert len(after) == 2_000
    assert '"new"' in after[0]
    assert jobtui("dump", "nbaa").stderr == "jobtui: Space 'nbaa' does not exist; did you mean 'nba'?\n"
    engine_side = list(owner.dump("nba"))
    assert len(engine_side) == 2_000


def test_pair_too_long_to_be_handed_over_is_refused(
    jobtui: CommandLine, owner: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobtui.engine.remote import RemoteClient
    from jobtui.errors import StorageError

    monkeypatch.setattr(protocol, "MAX_LINE_BYTES", 1 << 16)
    remote = RemoteClient.connect(jobtui.profile)
    try:
        with pytest.raises(StorageError, match="too long to be sent to the jobtui that owns"):
            remote.load("nba", [(b"k", bytes(1 << 16))]).result(WAIT)
    finally:
        remote.close()


def test_stale_socket_of_a_dead_owner_is_ignored(jobtui: CommandLine) -> None:
    with serving(jobtui) as process:
        process.kill()
        process.wait()
    assert (jobtui.profile.root / SOCKET).exists()
    jobtui.config.unlink()
    assert jobtui.done("-e", "ADMIN FLUSH nba") == NEW_JOB
    assert len(jobtui.rows("SHOW SPACES")) == 1


def test_suspended_owner_is_named_and_nothing_hangs(
    jobtui: CommandLine, slow_owner: subprocess.Popen[bytes]
) -> None:
    slow_owner.send_signal(signal.SIGSTOP)
    try:
        ended = jobtui("-e", "ADMIN FLUSH nba")
        assert ended.returncode == 1
        assert f"process {slow_owner.pid}" in ended.stderr
        assert "it may be suspended" in ended.stderr
        assert "nothing was done" in ended.stderr
        shown = jobtui("-e", "SHOW SPACES")
        assert (shown.returncode, "nba" in shown.stdout) == (0, True)
        assert "shown as it is on disk" in shown.stderr
    finally:
        slow_owner.send_signal(signal.SIGCONT)
    jobtui.done("-e", "ADMIN FLUSH nba")


def test_both_versions_are_named_if_they_differ(
    jobtui: CommandLine, owner: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "PROTOCOL", 99)
    ended = jobtui("-e", "ADMIN FLUSH nba")
    assert ended.returncode == 1
    assert "cannot talk to it: use one version" in ended.stderr
    assert str(os.getpid()) in ended.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_socket_rejects_another_user_with_a_reason(jobtui: CommandLine, owner: LocalClient) -> None:
    address = jobtui.profile.root / SOCKET
    assert "Permission denied" in as_another_user(lambda: stderr_of(address))
    for directory in (address.parent, *address.parents[:-2]):
        directory.chmod(directory.stat().st_mode | 0o055)
    address.chmod(0o666)
    assert "run by another user" in as_another_user(lambda: stderr_of(address))


def stderr_of(address: Path) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        connection.sendall(b"{}\n")
        output = b""
        while piece := connection.recv(4096):
            output += piece
        return output.decode()


def as_another_user(work: Callable[[], str]) -> str:
    """Run the work in a process of the user nobody, and return its result or failure."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setresuid(65534, 65534, 65534)
            output = work()
        except OSError as error:
            output = str(error)
        os.write(writing, output.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading) as answer:
        return answer.read()


def test_owner_waits_for_jobs_submitted_by_others(jobtui: CommandLine) -> None:
    with jobtui.started("-e", "ADMIN COMPACT nba") as first:
        eventually(lambda: status_of(jobtui, 1) is Status.RUNNING)
        assert "| 2 " in jobtui.done("-e", "ADMIN FLUSH nba")
        jobtui.rows("STOP JOB 1")
        _, err = first.communicate(timeout=WAIT)
    assert first.returncode == 3
    assert "submitted meanwhile by another jobtui" in err.decode()
    assert [row["Status"] for row in jobtui.rows("SHOW JOBS")] == ["stopped", "finished"]


def test_owner_that_runs_nothing_runs_submitted_jobs(jobtui: CommandLine) -> None:
    jobtui.config.unlink()
    engine = LocalClient.open(jobtui.profile, run=RunPolicy.NONE)
    try:
        engine.execute("ADMIN FLUSH nba", Session(None, Path("/"))).result(WAIT)
        assert engine.job(1).status is Status.QUEUE
        assert engine.close_if_idle().result(WAIT) == ()
    finally:
        engine.close()
    engine = LocalClient.open(jobtui.profile, run=RunPolicy.NONE)
    try:
        ended = jobtui("--wait", "--quiet", "-e", "ADMIN FLUSH nba")
        assert (ended.returncode, ended.stderr) == (0, "")
    finally:
        engine.close()


def test_concurrent_processes_get_answers_and_unique_ids(jobtui: CommandLine) -> None:
    jobtui.config.unlink()
    ids: list[str] = []

    def submit() -> None:
        ended = jobtui("-e", "ADMIN FLUSH nba", "--format", "csv")
        assert ended.returncode == 0
        ids.append(ended.stdout.split()[-1])

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, ids)) == [1, 2, 3, 4, 5, 6]
    assert {row["Status"] for row in jobtui.rows("SHOW JOBS")} == {"finished"}
