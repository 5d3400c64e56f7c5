"""stdout, stderr and stdin as a script meets them: closed pipes, full disks, closed descriptors, foreign text.

Data goes to stdout and nothing else does; everything said to a person goes to stderr.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from jobtui.cli.errors import CommandError, UsageError
from jobtui.formatting import printable_lines
from jobtui.terminal_io import write_within

UNREAD_SECONDS = 0.5  # for a terminal that is read, but slowly


def secure_streams() -> None:
    """Have something on the descriptors 0 to 2 and text streams that can print any text.

    A descriptor that the caller closed would be given to the next file opened, and a stray print would
    end up in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Output:
    """stdout for data. A reader that went away (`| head`) is no error: the rest is then printed to nobody."""

    def __init__(self) -> None:
        self.closed = sys.stdout is None

    @property
    def encoding(self) -> str:
        """What text is printed in."""
        return "utf-8" if self.closed else sys.stdout.encoding

    def write(self, text: str) -> None:
        """Print the text. Raises CommandError where stdout can't be written."""
        self._attempt(lambda: sys.stdout.write(text))

    def write_bytes(self, data: bytes) -> None:
        """Print bytes as they are. Raises CommandError where stdout can't be written."""
        self._attempt(lambda: sys.stdout.buffer.write(data))

    def flush(self) -> None:
        """Hand on what was printed so far. Raises CommandError where stdout can't be written."""
        self._attempt(lambda: sys.stdout.flush())

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.closed:
            return
        try:
            action()
        except BrokenPipeError:
            self._abandon()
        except OSError as error:
            self._abandon()
            raise CommandError(f"stdout can't be written: {error.strerror}") from None

    def _abandon(self) -> None:
        """Point stdout at nothing, so that what is left in its buffer makes no noise at exit."""
        self.closed = True
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def print_error(message: str) -> None:
    """Write the message to stderr; if that is lost, or a terminal that is not read, the message is dropped."""
    if sys.stderr is None:
        return
    text = f"{printable_lines(message)}\n"
    stream = sys.stderr
    try:
        # while bars are shown it is another kind of stream, which writes above them
        if isinstance(stream, io.TextIOWrapper) and os.isatty(stream.fileno()):
            stream.flush()
            write_within(stream.fileno(), text.encode(stream.encoding, "backslashreplace"))
            return
    except io.UnsupportedOperation:
        pass  # a stream without a file, in a program that uses jobtui as a library
    except OSError:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        return


def abandon_unread_terminals() -> None:
    """Point stdout and stderr at nothing if they are terminals that take nothing or are gone.

    For a signal's handler: a write that the signal interrupted is repeated, and would wait on.
    """
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not _is_read(descriptor):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, descriptor)
            os.close(nothing)


def _is_read(terminal: int) -> bool:
    return os.isatty(terminal) and bool(select.select([], [terminal], [], UNREAD_SECONDS)[1])


def stdin() -> BinaryIO:
    """The bytes of stdin; closing this leaves the descriptor open."""
    return open(0, "rb", closefd=False)


def stdin_is_piped() -> bool:
    """Whether somebody gives us a text on stdin: a pipe, a file or a socket, not a terminal or /dev/null."""
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def is_terminal(descriptor: int) -> bool:
    """Whether a person's terminal is on the descriptor."""
    return os.isatty(descriptor)


def read_text(name: str) -> str:
    """The text of a file, of stdin for "-". Raises CommandError (missing, unreadable, not UTF-8)."""
    label = "stdin" if name == "-" else name
    try:
        with stdin() if name == "-" else Path(name).open("rb") as file:
            raw = file.read()
    except OSError as error:
        raise UsageError(f"{label}: {error.strerror}") from None
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{label}:{line}: this is not UTF-8") from None
