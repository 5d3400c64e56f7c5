"""The dashboard in a real terminal: signals, resizing, suspending, pasting, the mouse."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobtui.tui.terminal import RESTORE_TITLE
from tests.support.commands import CommandLine
from tests.support.terminal import Terminal


@contextmanager
def dashboard(jobtui: CommandLine, *, columns: int = 100, rows: int = 30) -> Iterator[Terminal]:
    with Terminal(
        jobtui.words(),
        columns=columns,
        rows=rows,
        environment=jobtui.environment,
        cwd=jobtui.home,
        may_fork=True,
    ) as terminal:
        terminal.shows("local[", "No jobs yet", "3 hosts")
        yield terminal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_ends_it_and_restores_the_terminal(jobtui: CommandLine, number: signal.Signals) -> None:
    with dashboard(jobtui) as terminal:
        assert not terminal.is_given_back()
        terminal.signal(number)
        assert terminal.ended() == 128 + number
        assert terminal.is_given_back()
        assert b"Traceback" not in terminal.output


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv[0] = "jobtui"
from jobtui.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "status"),
    [
        ("jobtui.cli.main", 128 + signal.SIGINT),
        ("jobtui.cli.commands.dashboard", -signal.SIGINT),
        ("jobtui.engine.failover", 128 + signal.SIGINT),
        # the profile is open: what runs there is stopped first
        ("textual.app", 128 + signal.SIGINT),
        ("jobtui.tui.textual_ext.driver", 128 + signal.SIGINT),
    ],
)
def test_ctrl_c_during_the_start_ends_it_with_sigint(jobtui: CommandLine, module: str, status: int) -> None:
    command = [*jobtui.words()[:1], "-c", INTERRUPTED.format(module=module), *jobtui.words()[3:]]
    with Terminal(command, environment=jobtui.environment, cwd=jobtui.home) as terminal:
        assert terminal.ended() == status
        assert b"\x1b[?1049h" not in terminal.output or terminal.is_given_back()
        assert b"Traceback" not in terminal.output


def test_q_leaves_the_terminal_as_it_was(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_given_back()
        # synchronized output: the terminal says that it can, and shows no half of a frame
        frames = [text.split(b"\x1b[?2026l") for text in terminal.output.split(b"\x1b[?2026h")[1:]]
        assert any(b"No jobs yet" in painted for painted, *_ in frames)
        assert all(len(parts) == 2 for parts in frames)


def test_closed_window_ends_it(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        terminal.hang_up()
        assert terminal.ended() == 128 + signal.SIGHUP


def test_dashboard_can_be_suspended_and_resumed(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        terminal.until(lambda _: b"\x1b]2;jobtui" in terminal.output)
        terminal.press("ctrl+z")
        terminal.stopped()
        assert terminal.is_given_back()
        assert RESTORE_TITLE.encode() in terminal.output  # the title of the shell
        terminal.output = b""
        terminal.signal(signal.SIGCONT)
        terminal.until(lambda screen: b"\x1b[?1049h" in terminal.output and "No jobs yet" in screen)
        terminal.until(lambda _: b"\x1b]2;jobtui" in terminal.output)
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_given_back()


def test_many_resizes_leave_it_at_the_last_size(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        for columns, rows in [(20, 6), (300, 100), (1, 1), (60, 16), (41, 10), (200, 50), (20, 6)]:
            terminal.resize(columns, rows)
        terminal.shows("too small", "20x6")
        terminal.resize(80, 24)
        terminal.shows("No jobs yet", "local[]>")
        terminal.press("q")
        assert terminal.ended() == 0


CHANGING = """
import fcntl, os, struct, sys, termios
from textual.drivers.linux_driver import LinuxDriver

read, changes = LinuxDriver._get_terminal_size, []

def reading(self):
    size = read(self)
    if size == (60, 16) and not changes:
        changes.append(size)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 6, 20, 0, 0))
    return size

LinuxDriver._get_terminal_size = reading
sys.argv[0] = "jobtui"
from jobtui.__main__ import main
sys.exit(main())
"""


def test_last_of_two_quick_sizes_is_used(
    jobtui: CommandLine,
) -> None:
    command = [*jobtui.words()[:1], "-c", CHANGING, *jobtui.words()[3:]]
    with Terminal(command, environment=jobtui.environment, cwd=jobtui.home) as terminal:
        terminal.shows("No jobs yet", "3 hosts")
        terminal._size(60, 16)
        terminal.shows("too small", "20x6")
        terminal.press("q")
        assert terminal.ended() == 0


def test_text_of_several_lines_is_pasted_whole_and_run_as_one(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        terminal.press(":")
        terminal.shows("ctrl+r search")
        terminal.paste("CREATE SPACE nba; -- a space\r\nUSE nba;\r\nADMIN FLUSH\r\n")
        terminal.shows("CREATE SPACE nba", "USE nba;", "ADMIN FLUSH")
        terminal.press("enter")
        terminal.shows("job 1: flush nba, ", "local[nba]>")
        terminal.press("escape")
        terminal.shows(": command")
        terminal.press("q")
        assert terminal.ended() == 0


def test_mouse_selects_a_row_and_focuses_the_bar(jobtui: CommandLine) -> None:
    jobtui.done("-e", "CREATE SPACE nba; ADMIN FLUSH nba; ADMIN COMPACT nba")
    with Terminal(jobtui.words(), environment=jobtui.environment, cwd=jobtui.home, may_fork=True) as terminal:
        screen = terminal.shows("job 2 · compact nba", "flush nba").split("\n")
        row = next(number for number, line in enumerate(screen) if "flush nba" in line)
        terminal.click(20, row)
        terminal.shows("job 1 · flush nba")
        terminal.click(20, len(screen) - 2)
        terminal.shows("ctrl+r search")


def test_hostile_keyboard_bytes_do_not_end_it(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        terminal.send(b"\xff\xfe\x80\xc3\x28")
        # what came in one piece with them is lost with them: type until it is seen
        terminal.until(lambda screen: "local[]> :" in screen or terminal.press(":"))
        assert terminal.process.poll() is None


def test_text_sent_at_once_reaches_the_bar_and_no_key(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        terminal.send(b":CREATE SPACE srq; ADMIN FLUSH srq\r:")
        terminal.shows("job 1: flush srq, ", "✔ 1")


def test_keys_sent_at_once_clear_leftover_text_in_the_bar(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        terminal.send(b":SHOW JBO 3")
        terminal.shows("did you mean JOB?")
        terminal.press("escape")
        terminal.shows(": command")
        terminal.send(b":\x15CREATE SPACE srq; ADMIN FLUSH srq\r")
        terminal.shows("job 1: flush srq, ", "✔ 1")


def test_three_thousand_keys_at_once_are_processed(jobtui: CommandLine) -> None:
    text = "SHOW JOBS; " * 272 + "SHOW HOSTS"
    with dashboard(jobtui) as terminal:
        terminal.send(b":" + text.encode() + b"\r")
        terminal.shows("| local2 |", "online")


def test_signal_leaves_a_running_job_durable(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        terminal.press(":")
        terminal.shows("ctrl+r search")
        terminal.paste("CREATE SPACE nba; ADMIN FLUSH nba")
        terminal.press("enter")
        terminal.shows("✔ 1")
        terminal.signal(signal.SIGTERM)
        assert terminal.ended() == 128 + signal.SIGTERM
    assert [row["Status"] for row in jobtui.rows("SHOW JOBS")] == ["finished"]


CRASHING = """
import sys
from jobtui.tui.screens.dashboard import Dashboard

def broken(self):
    raise ValueError("[/nope] a defect")

Dashboard.action_help = broken
sys.argv[0] = "jobtui"
from jobtui.__main__ import main
sys.exit(main())
"""


def test_crash_restores_the_terminal_and_prints_a_message(
    jobtui: CommandLine,
) -> None:
    command = [*jobtui.words()[:1], "-c", CRASHING, *jobtui.words()[3:]]
    with Terminal(command, environment=jobtui.environment, cwd=jobtui.home) as terminal:
        terminal.shows("No jobs yet", "3 hosts")
        terminal.press("?")
        assert terminal.ended() == 1
        assert terminal.is_given_back()
        assert b"the dashboard failed: ValueError: [/nope] a defect" in terminal.output
        assert b"Your jobs are safe" in terminal.output
        assert b"Traceback" not in terminal.output
    report = next((jobtui.data / "local" / "dashboard").glob("crash-*.txt"))
    assert "Traceback" in report.read_text()


def test_statement_from_another_terminal_shows_up_live(jobtui: CommandLine) -> None:
    with dashboard(jobtui) as terminal:
        assert jobtui("-e", "CREATE SPACE nba; ADMIN FLUSH nba").returncode == 0
        terminal.shows("flush nba", "✔ 1")
        with Terminal(jobtui.words(), environment=jobtui.environment, cwd=jobtui.home, may_fork=True) as second:
            second.shows("flush nba", "✔ 1")
            second.press("F")
            second.shows("✔ 2")
            terminal.shows("✔ 2")
            second.press("q")
            assert second.ended() == 0


class TestSwitchProfile:
    CONFIG = '[profiles.local]\n[profiles.prod]\ncolor = "red"\n'

    def test_there_and_back_in_one_process(self, tmp_path: Path) -> None:
        jobtui = CommandLine(tmp_path, self.CONFIG)
        with dashboard(jobtui) as terminal:
            terminal.press(":")
            terminal.shows("ctrl+r search")
            terminal.paste("CREATE SPACE nba; ADMIN FLUSH nba")
            terminal.press("enter")
            terminal.shows("✔ 1")
            terminal.press("escape", "@")
            terminal.shows("Switch to which profile?")
            terminal.press("enter")
            terminal.shows("prod []>", "No jobs yet")
            terminal.press("@")
            terminal.shows("Switch to which profile?")
            terminal.press("enter")
            terminal.shows("local[", "flush nba")
            terminal.press("q")
            assert terminal.ended() == 0
            assert terminal.is_given_back()

    def test_one_that_cannot_be_opened_leads_back(self, tmp_path: Path) -> None:
        jobtui = CommandLine(tmp_path, self.CONFIG)
        jobtui.data.mkdir()
        (jobtui.data / "prod").touch()
        with dashboard(jobtui) as terminal:
            terminal.press("@", "enter")
            terminal.shows("This profile cannot be opened")
            terminal.press("q")
            terminal.shows("local[", "No jobs yet")
            terminal.press("q")
            assert terminal.ended() == 0
