"""Signals to a dashboard whose jobs run, and terminals that are closed, paused or lost."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobtui.engine.reader import ReadOnlyClient, is_owned
from jobtui.model import Status, StepPosition
from tests.support.commands import CommandLine
from tests.support.homes import moved_in, status_of, with_runtime_directory
from tests.support.terminal import Terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

SLOW = "[profiles.local]\ncompact_rate = 40_000\n"  # more than a minute
STOPPING = SLOW + "[dashboard]\ncontinue_after_hangup = false\n"


@pytest.fixture
def jobtui(much: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A user whose compacts take many seconds."""
    return with_runtime_directory(moved_in(tmp_path, much, SLOW), monkeypatch)


def children_of(pid: int) -> set[int]:
    children = (task / "children" for task in Path(f"/proc/{pid}/task").iterdir())
    return {int(child) for listed in children for child in listed.read_text().split()}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Dashboard:
    """A dashboard whose job 1 runs: the terminal, the process that owns the profile, and its workers."""

    def __init__(self, terminal: Terminal, jobtui: CommandLine) -> None:
        self.terminal, self.jobtui = terminal, jobtui
        self.pid = terminal.process.pid
        self.workers = children_of(self.pid)

    def status(self, job: int = 1) -> Status | None:
        return status_of(self.jobtui, job)

    def is_gone(self) -> bool:
        return not any(map(alive, (self.pid, *self.workers)))

    def output(self) -> str:
        return re.sub(r"\x1b[^A-Za-z]*[A-Za-z]", "", self.terminal.output.decode(errors="replace"))


@contextmanager
def at_work(jobtui: CommandLine, command: str = "ADMIN COMPACT nba", job: int = 1) -> Iterator[Dashboard]:
    with Terminal(jobtui.words(), environment=jobtui.environment, cwd=jobtui.home, may_fork=True) as terminal:
        terminal.shows("local[", "3 hosts")
        terminal.press(":")
        terminal.shows("ctrl+r search")
        terminal.paste(command)
        terminal.press("enter")
        eventually(lambda: status_of(jobtui, job) is Status.RUNNING)
        terminal.shows("compact nba")
        shown = Dashboard(terminal, jobtui)
        assert shown.workers
        try:
            yield shown
        finally:
            for pid in (shown.pid, *shown.workers):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)


def steps_of(jobtui: CommandLine, job: int) -> list[StepPosition]:
    """Return how far each of the job's hosts is, on disk."""
    reader = ReadOnlyClient.open(jobtui.profile)
    try:
        found = reader.job(job)
    finally:
        reader.close()
    assert found is not None
    return [task.steps or StepPosition() for task in found.tasks]


def goes_on(shown: Dashboard) -> None:
    """The work continues in a server without a terminal, until it has ended."""
    log = shown.jobtui.profile.root / "serve.log"
    eventually(lambda: log.exists() and "Job 1 (compact nba) is running and continues here" in log.read_text())
    eventually(shown.is_gone)
    assert shown.status() is Status.RUNNING
    server = server_of(log)
    assert alive(server)
    shown.jobtui.done("-e", "STOP JOB 1")
    eventually(lambda: not alive(server))
    assert shown.status() is Status.STOPPED
    assert log.read_text().endswith("Ended\n")


def server_of(log: Path) -> int:
    """The process that the log names as the profile's server."""
    return int(re.findall(r"jobtui serves \S+ as process (\d+)", log.read_text())[-1])


class TestSigterm:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stops_jobs_and_ends(self, jobtui: CommandLine, number: signal.Signals) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.signal(number)
            assert shown.terminal.ended() == 128 + number
            assert (
                f"Ended by {number.name}: stopping job 1; a second ctrl+c exits immediately" in shown.output()
            )
            assert shown.terminal.is_given_back()
            assert shown.is_gone()
        assert shown.status() is Status.STOPPED

    def test_queued_jobs_stay_in_queue(self, jobtui: CommandLine) -> None:
        with at_work(jobtui, "ADMIN COMPACT nba; ADMIN FLUSH nba") as shown:
            shown.terminal.signal(signal.SIGTERM)
            assert shown.terminal.ended() == 128 + signal.SIGTERM
        assert (shown.status(1), shown.status(2)) == (Status.STOPPED, Status.QUEUE)

    def test_while_a_dialog_is_open(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.press("escape")
            shown.terminal.press("q")
            shown.terminal.shows("queued or running")
            shown.terminal.signal(signal.SIGTERM)
            assert shown.terminal.ended() == 128 + signal.SIGTERM
        assert shown.status() is Status.STOPPED

    def test_while_the_user_waits_for_the_end(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.press("escape")
            shown.terminal.press("q")
            shown.terminal.shows("queued or running")
            waits = "leaves when all jobs have ended"
            shown.terminal.until(lambda screen: waits in screen or shown.terminal.press("w"))
            shown.terminal.signal(signal.SIGTERM)
            assert shown.terminal.ended() == 128 + signal.SIGTERM
        assert shown.status() is Status.STOPPED

    def test_while_it_is_suspended(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.press("ctrl+z")
            shown.terminal.stopped()
            for number in (signal.SIGTERM, signal.SIGCONT):  # as a shell's `kill %1`
                os.killpg(shown.terminal.process.pid, number)
            assert shown.terminal.ended() == 128 + signal.SIGTERM
            assert shown.terminal.is_given_back()
            assert shown.is_gone()
        assert shown.status() is Status.STOPPED

    def test_followed_by_sighup_stops(self, jobtui: CommandLine) -> None:
        """As at the end of a login."""
        with at_work(jobtui) as shown:
            shown.terminal.signal(signal.SIGTERM)
            shown.terminal.signal(signal.SIGHUP)
            eventually(shown.is_gone)
        assert shown.status() is Status.STOPPED

    def test_twice_leaves_at_once(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            for worker in shown.workers:
                os.kill(worker, signal.SIGSTOP)
            shown.terminal.signal(signal.SIGTERM)
            shown.terminal.until(lambda _: "a second ctrl+c exits immediately" in shown.output())
            shown.terminal.signal(signal.SIGTERM)
            assert shown.terminal.ended() == 128 + signal.SIGTERM
            assert "Left at once: the next start marks jobs that still ran as failed" in shown.output()

    def test_message_without_work(self, jobtui: CommandLine) -> None:
        with Terminal(
            jobtui.words(), environment=jobtui.environment, cwd=jobtui.home, may_fork=True
        ) as terminal:
            terminal.shows("local[", "3 hosts")
            terminal.signal(signal.SIGTERM)
            assert terminal.ended() == 128 + signal.SIGTERM
            assert b"Ended by SIGTERM\r\n" in terminal.output


class TestHangup:
    def test_work_continues_after_the_terminal_closes(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.hang_up()
            goes_on(shown)

    def test_work_continues_after_sighup_during_the_last_step(self, jobtui: CommandLine) -> None:
        jobtui.config.unlink()
        steps = "ADMIN COMPACT nba ON local0 WITH room = 512 KiB"
        jobtui.done("-e", steps)  # into files that can be compacted in steps
        with at_work(jobtui, f"{steps}, rate = 200 kB", job=2) as shown:  # a step a second
            eventually(lambda: all(steps.done > 1 for steps in steps_of(jobtui, 2)))
            shown.terminal.signal(signal.SIGHUP)
            assert shown.terminal.ended() == 128 + signal.SIGHUP
            before = steps_of(jobtui, 2)
            assert "until its jobs have ended" in shown.output()
            assert shown.terminal.is_given_back()
            eventually(lambda: steps_of(jobtui, 2) != before)
            for begin, now in zip(before, steps_of(jobtui, 2), strict=True):
                assert now.done >= begin.done  # it has not started over
            jobtui("-e", "STOP JOB 2")
            log = jobtui.profile.root / "serve.log"
            eventually(lambda: log.read_text().endswith("Ended\n"))

    def test_work_continues_after_repeated_sighup(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            for pid in (shown.pid, shown.terminal.process.pid) * 3:
                if alive(pid):
                    os.kill(pid, signal.SIGHUP)
            goes_on(shown)

    def test_work_continues_after_sighup_while_suspended(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.press("ctrl+z")
            shown.terminal.stopped()
            for number in (signal.SIGHUP, signal.SIGCONT):
                os.killpg(shown.terminal.process.pid, number)
            goes_on(shown)

    def test_sigterm_stops_the_continued_work(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.hang_up()
            log = jobtui.profile.root / "serve.log"
            eventually(lambda: log.exists() and "continues here" in log.read_text())
            server = server_of(log)
            os.kill(server, signal.SIGTERM)
            eventually(lambda: not alive(server))
        assert shown.status() is Status.STOPPED

    def test_is_stopped_if_so_configured(self, jobtui: CommandLine) -> None:
        jobtui.config.write_text(STOPPING)
        with at_work(jobtui) as shown:
            shown.terminal.hang_up()
            eventually(shown.is_gone)
        assert shown.status() is Status.STOPPED
        assert not (jobtui.profile.root / "serve.log").exists()

    def test_unwritable_log_stops_jobs(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            (jobtui.profile.root / "serve.log").mkdir()
            shown.terminal.signal(signal.SIGHUP)
            assert shown.terminal.ended() == 128 + signal.SIGHUP
            assert "the jobs cannot continue in the background" in shown.output()
        assert shown.status() is Status.STOPPED

    def test_without_work_ends(self, jobtui: CommandLine) -> None:
        with Terminal(
            jobtui.words(), environment=jobtui.environment, cwd=jobtui.home, may_fork=True
        ) as terminal:
            terminal.shows("local[", "3 hosts")
            terminal.hang_up()
            assert terminal.ended() == 128 + signal.SIGHUP

    def test_ignored_sighup_still_notices_the_loss(self, jobtui: CommandLine) -> None:
        """As under nohup: the terminal's end is seen by reading alone."""
        command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *jobtui.words()]
        with Terminal(command, environment=jobtui.environment, cwd=jobtui.home) as terminal:
            terminal.shows("local[", "3 hosts")
            terminal.hang_up()
            assert terminal.ended() == 128 + signal.SIGHUP


class TestUnread:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signal_stops_jobs(self, jobtui: CommandLine, number: signal.Signals) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.hold()
            shown.terminal.signal(number)
            assert shown.terminal.ended() == 128 + number
            assert shown.terminal.is_cooked()
            assert shown.is_gone()
        assert shown.status() is Status.STOPPED

    def test_work_continues_after_sighup(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.hold()
            shown.terminal.signal(signal.SIGHUP)
            goes_on(shown)

    def test_is_drawn_again_when_read(self, jobtui: CommandLine) -> None:
        with at_work(jobtui) as shown:
            shown.terminal.press("escape")
            shown.terminal.shows("s stop")
            shown.terminal.hold()
            for columns in (*range(60, 120), 100):  # each is a whole screen, more than the queue holds
                shown.terminal._size(columns, 30)
                shown.terminal.signal(signal.SIGWINCH)
            jobtui.done("-e", "STOP JOB 1")
            shown.terminal.let_go()
            shown.terminal.shows("compact nba", "stopped", "r recover")
            shown.terminal.press("q")
            assert shown.terminal.ended() == 0
            assert shown.terminal.is_given_back()


class TestText:
    """`-e`, which waits for its job with a bar on the terminal."""

    @contextmanager
    def at_work(self, jobtui: CommandLine) -> Iterator[Terminal]:
        words = jobtui.words("-e", "ADMIN COMPACT nba")
        with Terminal(words, environment=jobtui.environment, cwd=jobtui.home, may_fork=True) as terminal:
            terminal.shows("job 1", "%")
            eventually(lambda: status_of(jobtui, 1) is Status.RUNNING)
            yield terminal

    def test_unread_terminal_delays_no_stop(self, jobtui: CommandLine) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.hold()
            terminal.signal(signal.SIGTERM)
            assert terminal.ended() == 128 + signal.SIGTERM
        assert status_of(jobtui, 1) is Status.STOPPED

    def test_closed_terminal_stops_the_job(self, jobtui: CommandLine) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.hang_up()
            assert terminal.ended() == 128 + signal.SIGHUP
        assert status_of(jobtui, 1) is Status.STOPPED

    def test_repeated_sighup_is_one(self, jobtui: CommandLine) -> None:
        """The kernel sends it, then the shell to its jobs, then the kernel again at the shell's end."""
        with self.at_work(jobtui) as terminal:
            terminal.signal(signal.SIGHUP)
            terminal.until(lambda _: b"Stopping job 1" in terminal.output)
            for _ in range(3):
                terminal.signal(signal.SIGHUP)
            assert terminal.ended() == 128 + signal.SIGHUP
            assert b"Left at once" not in terminal.output
        assert status_of(jobtui, 1) is Status.STOPPED


class TestWait:
    """`-e … --wait`, for a job that another process runs."""

    @contextmanager
    def at_work(self, jobtui: CommandLine) -> Iterator[Terminal]:
        with jobtui.started("serve") as server:
            eventually(lambda: is_owned(jobtui.profile))
            words = jobtui.words("-e", "ADMIN COMPACT nba", "--wait")
            with Terminal(words, environment=jobtui.environment, cwd=jobtui.home, may_fork=True) as terminal:
                terminal.shows("job 1", "%")
                eventually(lambda: status_of(jobtui, 1) is Status.RUNNING)
                yield terminal
            assert status_of(jobtui, 1) is Status.RUNNING
            server.terminate()
            server.wait(60)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_signal_does_not_stop_the_job(self, jobtui: CommandLine, number: signal.Signals) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.signal(number)
            assert terminal.ended() == 128 + number
            assert b"No longer waiting: job 1 continues" in terminal.output

    def test_unread_terminal_delays_no_end(self, jobtui: CommandLine) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.hold()
            terminal.signal(signal.SIGTERM)
            assert terminal.ended() == 128 + signal.SIGTERM

    def test_closed_terminal_does_not_stop_the_job(self, jobtui: CommandLine) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.hang_up()
            assert terminal.ended() == 128 + signal.SIGHUP


class TestLoad:
    """`load` from a pipe that does not end, with a bar on the terminal."""

    @contextmanager
    def at_work(self, jobtui: CommandLine) -> Iterator[Terminal]:
        pipe = jobtui.home / "pipe.csv"
        os.mkfifo(pipe)
        words = jobtui.words("load", "nba", pipe)
        with (
            Terminal(words, environment=jobtui.environment, cwd=jobtui.home, may_fork=True) as terminal,
            pipe.open("wb", buffering=0) as file,
        ):
            file.write(b"".join(b"extra%d,value\n" % number for number in range(20_000)))
            terminal.shows("check")
            yield terminal

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_signal_ends_it(self, jobtui: CommandLine, number: signal.Signals) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.signal(number)
            assert terminal.ended() == 128 + number
            assert b"Nothing was loaded" in terminal.output
        assert "extra" not in jobtui.done("dump", "nba")

    def test_unread_terminal_delays_no_end(self, jobtui: CommandLine) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.hold()
            terminal.signal(signal.SIGTERM)
            assert terminal.ended() == 128 + signal.SIGTERM

    def test_closed_terminal_ends_it(self, jobtui: CommandLine) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.hang_up()
            assert terminal.ended() == 128 + signal.SIGHUP
        assert not is_owned(jobtui.profile)


class TestDump:
    """`dump` of more than a terminal holds."""

    @contextmanager
    def at_work(self, jobtui: CommandLine) -> Iterator[Terminal]:
        words = jobtui.words("dump", "nba")
        with Terminal(words, environment=jobtui.environment, cwd=jobtui.home, may_fork=True) as terminal:
            terminal.hold()
            eventually(lambda: is_owned(jobtui.profile))
            yield terminal
        assert not is_owned(jobtui.profile)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_signal_ends_it(self, jobtui: CommandLine, number: signal.Signals) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.signal(number)
            assert terminal.ended() == 128 + number

    def test_closed_terminal_ends_it(self, jobtui: CommandLine) -> None:
        with self.at_work(jobtui) as terminal:
            terminal.hang_up()
            assert terminal.ended() in (128 + signal.SIGHUP, 1)  # the write may fail before the signal
