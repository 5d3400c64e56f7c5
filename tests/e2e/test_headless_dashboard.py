"""How the command opens the dashboard and gives the terminal back, and the throw-away profile of --demo."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from tests.support.commands import CommandLine
from tests.support.waiting import eventually

COLUMNS, ROWS = 100, 30


class Terminal:
    """A person's terminal: what is on its screen, and keys for it. `slave` is the program's end."""

    def __init__(self) -> None:
        self._master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.set_blocking(self._master, False)
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def screen(self) -> str:
        """What is on it now."""
        while True:
            try:
                self._stream.feed(os.read(self._master, 1 << 20))
            except BlockingIOError:
                return "\n".join(self._screen.display)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close(self) -> None:
        os.close(self._master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@contextmanager
def opened(
    jobtui: CommandLine, terminal: Terminal, *words: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    end = terminal.slave
    jobtui.environment |= {"TERM": "xterm-256color", "TMPDIR": str(jobtui.home)} | environment
    with jobtui.started(*words, stdin=end, stdout=end, stderr=end) as process:
        yield process


def wait_for_end(process: subprocess.Popen[bytes], terminal: Terminal) -> int:
    """The exit status; the screen is read meanwhile, as a full terminal would hold the program back."""

    def ended() -> bool:
        assert terminal.screen is not None
        return process.poll() is not None

    eventually(ended)
    return process.returncode


def test_without_words_at_a_terminal_the_dashboard_opens_and_q_leaves_it(
    jobtui: CommandLine, terminal: Terminal
) -> None:
    before = termios.tcgetattr(terminal.slave)
    with opened(jobtui, terminal) as process:
        eventually(lambda: "local[" in terminal.screen)
        terminal.press("q")
        assert wait_for_end(process, terminal) == 0
    assert termios.tcgetattr(terminal.slave) == before
    assert (jobtui.profile.root / "history").is_dir()


def test_the_demo_has_spaces_to_work_on_and_leaves_nothing_behind(
    jobtui: CommandLine, terminal: Terminal
) -> None:
    with opened(jobtui, terminal, "--demo") as process:
        eventually(lambda: "test2" in terminal.screen)
        assert "demo[" in terminal.screen
        (place,) = jobtui.home.glob("jobtui-demo-*")
        assert (place / "storage").is_dir()
        terminal.press("q")
        assert wait_for_end(process, terminal) == 0
    assert list(jobtui.home.glob("jobtui-demo-*")) == []
    assert not jobtui.data.exists()


def test_a_terminal_that_can_not_move_its_cursor_is_refused(jobtui: CommandLine, terminal: Terminal) -> None:
    with opened(jobtui, terminal, TERM="dumb") as process:
        assert wait_for_end(process, terminal) == 2
    assert "needs a terminal that can move its cursor" in terminal.screen.replace("\n", "")


def test_a_profile_that_can_not_be_opened_is_told_before_the_screen_is_taken(
    jobtui: CommandLine, terminal: Terminal
) -> None:
    jobtui.profile.root.mkdir(parents=True)
    Path(jobtui.profile.root, "history").write_text("in the way")
    with opened(jobtui, terminal) as process:
        assert wait_for_end(process, terminal) == 1
    assert "jobtui: " in terminal.screen
    assert "Traceback" not in terminal.screen
