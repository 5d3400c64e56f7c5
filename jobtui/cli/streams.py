"""stdout, stderr and stdin with their faults, such as closed pipes and full disks.

Only data goes to stdout; every message goes to stderr.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import select
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TextIO

from jobtui.cli.errors import CommandError, UsageError
from jobtui.formatting import format_bytes, printable_lines
from jobtui.terminal_io import write_within

UNREAD_SECONDS = 0.5  # for a terminal that is read, but slowly
MAX_TEXT_BYTES = 16 << 20  # a device or a pipe without an end, like /dev/zero, must not fill the memory


def secure_streams() -> None:
    """Open the descriptors 0 to 2 if they are closed, and make the text streams print any text.

    The next file that is opened would get the number of a closed descriptor, and the output would be written
    to it. A closed stdin becomes one that cannot be read: it must not pass for an empty one.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if descriptor == 0 else os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class StdoutWriter:
    """stdout for data.

    If its reader has closed it (`| head`), the rest is discarded without an error.
    """

    def __init__(self) -> None:
        self.closed = sys.stdout is None

    @property
    def encoding(self) -> str:
        """The encoding of stdout."""
        return "utf-8" if self.closed else sys.stdout.encoding

    def write(self, text: str) -> None:
        """Print the text. Raises CommandError if stdout cannot be written."""
        self._attempt(lambda: sys.stdout.write(text))

    def write_bytes(self, data: bytes) -> None:
        """Print bytes unchanged. Raises CommandError if stdout cannot be written."""
        self._attempt(lambda: sys.stdout.buffer.write(data))

    def flush(self) -> None:
        """Write the buffer. Raises CommandError if stdout cannot be written."""
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
            raise CommandError(f"stdout cannot be written: {error.strerror}") from None

    def _abandon(self) -> None:
        """Write nothing more to stdout."""
        self.closed = True
        _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, so that writing its buffer at exit cannot change the exit status."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def print_error(message: str) -> None:
    """Write a message to stderr; discard it if stderr is closed, or is a terminal that accepts nothing."""
    if sys.stderr is None:
        return
    text = f"{printable_lines(message)}\n"
    stream = sys.stderr
    try:
        # while bars are shown, Rich replaces the stream by one that writes above them
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
    except BrokenPipeError:
        _discard(sys.stderr)
    except OSError:
        return


def abandon_unread_terminals() -> None:
    """Redirect stdout and stderr to /dev/null if they are terminals that accept nothing or are gone.

    For signal handlers: Python repeats a write that the signal interrupted, and would block again.
    """
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not _is_read(descriptor):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, descriptor)
            os.close(nothing)


def _is_read(terminal: int) -> bool:
    return os.isatty(terminal) and bool(select.select([], [terminal], [], UNREAD_SECONDS)[1])


def stdin() -> BinaryIO:
    """Return the bytes of stdin; closing this file leaves the descriptor open.

    Raises OSError if stdin is closed.
    """
    if fcntl.fcntl(0, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        raise OSError(errno.EBADF, "it is closed")
    return open(0, "rb", closefd=False)


def stdin_is_piped() -> bool:
    """Return whether stdin is a pipe, a file or a socket, not a terminal or /dev/null."""
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def is_terminal(descriptor: int) -> bool:
    """Return whether the descriptor is a terminal."""
    return os.isatty(descriptor)


def read_text(name: str) -> str:
    """Return the text of a file, or of stdin for "-".

    Raises UsageError (missing, unreadable, too long, not UTF-8).
    """
    label = "stdin" if name == "-" else name
    try:
        with stdin() if name == "-" else Path(name).open("rb") as file:
            raw = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{label}: {error.strerror}") from None
    if len(raw) > MAX_TEXT_BYTES:
        raise UsageError(f"{label}: a text of statements has at most {format_bytes(MAX_TEXT_BYTES)}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{label}:{line}: this is not UTF-8") from None
