"""The writer of the driver with a terminal that fails or does not read."""

from __future__ import annotations

import os
import pty
import select
import termios
import threading
from collections.abc import Iterator

import pytest

from jobtui.tui.textual_ext.driver import TerminalWriter
from tests.support.waiting import eventually

SECONDS = 30.0


class Pty:
    """A terminal that only the test reads."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self._file = os.fdopen(slave, "w", encoding="utf-8")

    def writer(self) -> TerminalWriter:
        writer = TerminalWriter(self._file)
        writer.start()
        return writer

    def flow(self, action: int) -> None:
        termios.tcflow(self._file, action)

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        self._file.close()
        if self.master >= 0:
            self.hang_up()


@pytest.fixture
def terminal() -> Iterator[Pty]:
    terminal = Pty()
    yield terminal
    terminal.close()


def fill(writer: TerminalWriter) -> None:
    """Write more than the queue, a batch and the terminal's own buffer hold."""
    for _ in range(writer._queue.maxsize + 10):
        writer.write("x" * 20_000)


def ends(work: threading.Thread) -> bool:
    work.start()
    work.join(SECONDS)
    return not work.is_alive()


def test_text_arrives_in_order(terminal: Pty) -> None:
    writer = terminal.writer()
    for text in ("a", "─", "c\n"):
        writer.write(text)
    writer.stop()
    assert os.read(terminal.master, 100).decode() == "a─c\r\n"


class TestUnread:
    def test_write_and_stop_do_not_block(self, terminal: Pty) -> None:
        terminal.flow(termios.TCOOFF)
        writer = terminal.writer()

        def leave() -> None:
            fill(writer)
            writer.stop()

        assert ends(threading.Thread(target=leave, daemon=True))
        assert not writer.is_alive()

    def test_catches_up_and_reports_it(self, terminal: Pty) -> None:
        terminal.flow(termios.TCOOFF)
        writer = terminal.writer()
        caught_up = threading.Event()
        writer.on_caught_up = caught_up.set
        fill(writer)
        assert not caught_up.is_set()
        terminal.flow(termios.TCOON)
        while not caught_up.is_set():
            if select.select([terminal.master], [], [], 0.05)[0]:
                os.read(terminal.master, 65_536)
        writer.write("again")
        while b"again" not in os.read(terminal.master, 65_536):
            continue  # the rest of what it held
        writer.stop()

    def test_what_was_queued_is_discarded(self, terminal: Pty) -> None:
        terminal.flow(termios.TCOOFF)
        writer = terminal.writer()
        fill(writer)
        assert writer.discard()
        assert writer._queue.empty()
        writer.stop()


class TestGone:
    def test_failure_is_reported_without_blocking(self, terminal: Pty) -> None:
        writer = terminal.writer()
        lost = threading.Event()
        writer.on_lost = lost.set
        terminal.hang_up()
        writer.write("unread")
        assert lost.wait(SECONDS)
        eventually(lambda: not writer.is_alive())
        fill(writer)
        writer.stop()
