"""A terminal emulator around a real process."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyte

from tests.support import fork_server

SECONDS = 30.0
KEYS = {
    "enter": b"\r",
    "escape": b"\x1b",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "tab": b"\t",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "ctrl+c": b"\x03",
    "ctrl+l": b"\x0c",
    "ctrl+z": b"\x1a",
}
# sequences that terminals understand and pyte does not
_BEYOND_PYTE = re.compile(
    rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-9;<>=?$]*)?$|\x1b\][^\x07\x1b]*$")


class Terminal:
    """Runs a command on a pty and emulates the terminal around it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 100,
        rows: int = 30,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        may_fork: bool = False,
    ) -> None:
        """Start the command.

        Args:
            command: The whole command line.
            columns: The width of the terminal.
            rows: The height of the terminal.
            environment: The environment, this process's own for None.
            cwd: The directory to start in.
            may_fork: Whether a process that has imported the dashboard may be forked for `jobtui`, which
                takes half the time. A test of a start itself starts the interpreter.
        """
        self.columns, self.rows = columns, rows
        self.output = b""
        self._unfed = b""
        self._text: str | None = None
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._master, self._slave = pty.openpty()
        self._size(columns, rows)
        self.at_first = termios.tcgetattr(self._slave)
        variables = dict(environment if environment is not None else os.environ)
        for name in ("LINES", "COLUMNS", "NO_COLOR", "TMUX", "STY", "TERM_PROGRAM"):
            variables.pop(name, None)
        variables |= fork_server.AT_A_TERMINAL
        self.process: subprocess.Popen[bytes] | fork_server.ForkedProcess
        if may_fork and cwd is not None and fork_server.can_fork(variables):
            assert tuple(command[:3]) == (sys.executable, "-m", "jobtui")
            self.process = fork_server.DASHBOARDS.start(
                command[3:], terminal=self._slave, env=variables, cwd=cwd
            )
            return
        self.process = subprocess.Popen(
            list(command),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=variables,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )

    # ---- what is sent

    def press(self, *keys: str) -> None:
        """Press keys by name, or type texts."""
        for key in keys:
            self.send(KEYS.get(key) or key.encode())

    def send(self, data: bytes) -> None:
        os.write(self._master, data)

    def paste(self, text: str) -> None:
        """Paste a text as a terminal in bracketed paste mode does."""
        self.send(b"\x1b[200~" + text.encode() + b"\x1b[201~")

    def click(self, column: int, row: int) -> None:
        """Click with the left button; cells are counted from 0."""
        position = f"{column + 1};{row + 1}"
        self.send(f"\x1b[<0;{position}M\x1b[<0;{position}m".encode())

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._read_all(0)
        self._screen.resize(rows, columns)
        self._text = None
        self._size(columns, rows)
        self.signal(signal.SIGWINCH)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def hold(self) -> None:
        """Stop accepting output, as after ctrl+s or in an emulator that hangs."""
        termios.tcflow(self._slave, termios.TCOOFF)

    def let_go(self) -> None:
        """Accept output again."""
        termios.tcflow(self._slave, termios.TCOON)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        os.close(self._master)
        self._master = -1

    # ---- what is seen

    def text(self) -> str:
        self._read_all(0)
        if self._text is None:  # nothing has come since: most looks are in vain, and each would take 2 ms
            self._text = "\n".join(line.rstrip() for line in self._screen.display)
        return self._text

    def until(self, condition: Callable[[str], Any], seconds: float = SECONDS) -> str:
        """Wait until the condition holds for the screen's text, and return the text."""
        end = time.monotonic() + seconds
        while True:
            text = self.text()
            if condition(text):
                return text
            assert time.monotonic() < end, f"never came:\n{text}"
            self._read_all(0.05)

    def shows(self, *texts: str) -> str:
        return self.until(lambda screen: all(text in screen for text in texts))

    def ended(self, seconds: float = SECONDS) -> int:
        """Wait until the process has ended, and return its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"still runs:\n{self.text()}"
            self._read_all(0.05)
        self._read_all(0.2)
        assert self.process.returncode is not None
        return self.process.returncode

    def stopped(self, seconds: float = SECONDS) -> None:
        """Wait until the process is suspended."""
        end = time.monotonic() + seconds
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < end, "never suspended"
            self._read_all(0.05)
        self._read_all(0.1)

    def is_given_back(self) -> bool:
        """Return whether the terminal is in the state that a shell needs: main screen, cursor, cooked."""
        last = {}
        for mode, sign in re.findall(rb"\x1b\[\?([0-9;]+)([hl])", self.output):
            last[mode] = sign
        on = {b"25", b"7"}
        switches = (b"1049", b"1000", b"1003", b"1006", b"2004", b"1004", b"25")
        whole = all(last.get(mode, b"l") == (b"h" if mode in on else b"l") for mode in switches)
        return whole and self.is_cooked()

    def is_cooked(self) -> bool:
        """Return whether the terminal's modes are as at the start."""
        return termios.tcgetattr(self._slave) == self.at_first

    # ---- inside

    def _size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read_all(self, patience: float) -> None:
        while self._master >= 0 and select.select([self._master], [], [], patience)[0]:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return
            if not data:
                return
            self._answer(data)
            self.output += data
            self._feed(data)
            patience = 0

    def _answer(self, data: bytes) -> None:
        if b"\x1b[?2026$p" in data:
            self.send(b"\x1b[?2026;2$y")
        if b"\x1b[?2048$p" in data:
            self.send(b"\x1b[?2048;0$y")

    def _feed(self, data: bytes) -> None:
        data = _BEYOND_PYTE.sub(b"", self._unfed + data)
        rest = _UNFINISHED.search(data)
        cut = rest.start() if rest is not None else len(data)
        self._stream.feed(data[:cut])
        self._text = None
        self._unfed = data[cut:]

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
