"""A terminal around a process, which records when each frame arrives: launches and keys as a user sees them.

A key is timed from its bytes entering the terminal to the last byte of the frame that shows its effect; nothing
in the process is patched. The terminal reports that it knows synchronized output: every frame has an end.
Nothing is emulated while a clock runs; frames are replayed afterwards.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fcntl import ioctl
from types import TracebackType
from typing import Final

import pyte

KEYS: Final = {
    "down": b"\x1b[B",
    "up": b"\x1b[A",
    "page down": b"\x1b[6~",
    "page up": b"\x1b[5~",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
}
COLUMNS, ROWS = 140, 45
_END: Final = b"\x1b[?2026l"
_NOT_FOR_PYTE: Final = re.compile(
    rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\"
)
_SEQUENCES: Final = re.compile(rb"\x1b\[[0-9;:?>=<]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_TERMINAL: Final = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Frame:
    """The bytes that were painted at once, and when the last of them arrived (time.monotonic)."""

    at: float
    data: bytes

    @property
    def text(self) -> str:
        """Its characters, without the sequences between them."""
        return _SEQUENCES.sub(b"", self.data).decode("utf-8", "replace")


class Screen:
    """A process in its own terminal."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        pass_fds: Sequence[int] = (),
        size: tuple[int, int] = (COLUMNS, ROWS),
    ) -> None:
        columns, rows = size
        self.bytes_read = 0
        self.frames: list[Frame] = []
        self._unended = b""
        self._fed = 0
        self._pyte = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._pyte)
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        around = {**(environment if environment is not None else os.environ), **_TERMINAL}
        for name in ("NO_COLOR", "TMUX", "STY", "TERM_PROGRAM", "LINES", "COLUMNS"):
            around.pop(name, None)
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            list(command),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=around,
            preexec_fn=_take_terminal,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
        os.close(slave)

    # ---- waiting

    def read(self, seconds: float) -> None:
        """Read the frames of this many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._take(left):
            pass

    def until(self, condition: Callable[[Frame], object], since: int = 0) -> Frame:
        """Return the first frame, from number `since` on, that satisfies the condition."""
        end = time.monotonic() + _PATIENCE
        place = since
        while True:
            for frame in self.frames[place:]:
                if condition(frame):
                    return frame
            place = max(place, len(self.frames))
            if not self._take(1.0) and (time.monotonic() > end or self.process.poll() is not None):
                raise TimeoutError(f"the frame never came:\n{self.text()}")

    def shows(self, text: str, since: int = 0) -> Frame:
        """Return the first frame that contains this text."""
        return self.until(lambda frame: text in frame.text, since)

    def quiet(self, seconds: float = 0.3) -> None:
        """Wait until nothing was painted for this many seconds."""
        count = -1
        end = time.monotonic() + _PATIENCE
        while count != len(self.frames) and time.monotonic() < end:
            count = len(self.frames)
            self.read(seconds)

    # ---- keys

    def send(self, key: str) -> float:
        """Press a key and return the time of it."""
        data = KEYS.get(key) or key.encode()
        now = time.monotonic()
        os.write(self._master, data)
        return now

    def press(self, key: str) -> float:
        """Press a key, wait for the next frame, and return the seconds until its end."""
        while self._take(0):
            pass
        count = len(self.frames)
        begin = self.send(key)
        return self.until(lambda _: True, count).at - begin

    def presses(self, key: str, count: int, gap: float = 0.05) -> list[float]:
        """Press a key this many times and return the seconds of each."""
        times = []
        for _ in range(count):
            times.append(self.press(key))
            self.read(gap)
        return times

    # ---- the frames

    def replayed(self, since: int | None = None) -> Iterator[tuple[Frame, pyte.Screen]]:
        """Yield the frames that were not replayed yet, each with the screen as it was after it."""
        for frame in self.frames[self._fed :]:
            self._fed += 1
            self._stream.feed(_NOT_FOR_PYTE.sub(b"", frame.data))
            if since is None or self._fed > since:
                yield frame, self._pyte

    def text(self) -> str:
        """Return the text of the screen."""
        for _ in self.replayed():
            pass
        return "\n".join(line.rstrip() for line in self._pyte.display)

    def row_of(self, background: str) -> int | None:
        """Return the row with most cells of a background, None if there is none."""
        for _ in self.replayed():
            pass
        return row_of(self._pyte, background)

    # ---- inside

    def _take(self, patience: float) -> bool:
        """Return whether something arrived in time."""
        if not select.select([self._master], [], [], max(0.0, patience))[0]:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return False
        now = time.monotonic()
        self.bytes_read += len(data)
        if b"\x1b[?2026$p" in data:
            os.write(self._master, b"\x1b[?2026;2$y")
        if b"\x1b[?2048$p" in data:
            os.write(self._master, b"\x1b[?2048;0$y")
        self._unended += data
        while (place := self._unended.find(_END)) >= 0:
            cut = place + len(_END)
            self.frames.append(Frame(now, self._unended[:cut]))
            self._unended = self._unended[cut:]
        return bool(data)

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < end:
            self._take(0.05)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _take_terminal() -> None:
    ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def launched(command: Sequence[str], environment: Mapping[str, str], text: str) -> Iterator[Screen]:
    """Yield the process when it has painted that text and nothing more."""
    with Screen(command, environment) as screen:
        screen.shows(text)
        screen.quiet()
        yield screen


def row_of(screen: pyte.Screen, background: str) -> int | None:
    """Return the row with most cells of a background, None if there is none."""
    counts = {
        number: sum(cell.bg == background for cell in line.values()) for number, line in screen.buffer.items()
    }
    best = max(counts, key=lambda number: counts[number], default=None)
    return best if best is not None and counts[best] else None
