"""What the terminal sends, read as keys and pastes: Textual's parser, made to bear keys that come in one go."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable
from contextlib import suppress

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size
from textual.message import Message

from jobtui.tui.terminal_writer import TerminalWriter

_ESC = "\x1b"
_PASTE, _PASTED = "\x1b[200~", "\x1b[201~"
# what a terminal's own sequences begin with after the esc, and alt with an arrow as some terminals send it
_NO_KEYS = frozenset("[O]P_^X\\Nfb")


class KeyParser(XTermParser):
    """Reads esc and the key soon after it as these two keys: no command here has a key with alt.

    Textual makes one key of them, or a sign like `™` of esc and 2: of keys that come in one go, after a stall
    or over a slow line, the esc would be lost, and the other typed into what it was to leave. And what is
    pasted is text to its end: Textual does what keys would do that stand after an esc in it.
    """

    def __init__(self, debug: bool = False) -> None:
        self._pasted: list[str] | None = None
        super().__init__(debug)

    def feed(self, data: str) -> Iterable[Message]:
        """Read what came; an empty text is the end."""
        if not data:
            yield from super().feed(data)
        while data:
            if self._pasted is None:
                keys, paste, data = data.partition(_PASTE)
                if keys:
                    yield from super().feed(keys)
                if paste:
                    self._pasted = []
            else:
                # the mark of its end may come in two pieces
                tail = self._pasted.pop() if self._pasted else ""
                text, pasted, data = (tail + data).partition(_PASTED)
                edge = len(text) if pasted else max(0, len(text) - len(_PASTED) + 1)
                self._pasted += [text[:edge], text[edge:]]
                if pasted:
                    yield events.Paste("".join(self._pasted).replace("\0", ""))
                    self._pasted = None

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        letter = sequence[1:] if len(sequence) == 2 and sequence[0] == _ESC else ""
        if letter and letter.isprintable() and letter not in _NO_KEYS:
            sequence, alt = letter, True
        if alt:
            yield events.Key("escape", _ESC)
        yield from super()._sequence_to_key_events(sequence)


# ---- merged from jobtui.tui.driver: ----
# The terminal's input and signals, as Textual takes them, made to bear what terminals and people do.
_TICK_SECONDS = 0.1  # how soon the input thread sees that it is to end
_READ_BYTES = 4096
_END_SYNCHRONIZED = "\x1b[?2026l"
# GNU screen, the Linux console and others have no second screen to come back from: what was drawn would stay
_CLEAR = "\x1b[0m\x1b[2J\x1b[H"

# the driver makes its writer itself
linux_driver.WriterThread = TerminalWriter  # type: ignore[attr-defined,assignment]


class RobustLinuxDriver(LinuxDriver):
    """Bears a terminal that is not read, that sends bytes that are no UTF-8, or that is gone.

    It leaves when the terminal is gone, comes back only where it was, and fits the terminal's last size.
    """

    def start_application_mode(self) -> None:
        """Textual's hook: the size is read where it is told, so that of two changes the last is told last.

        A handler that the interpreter calls can be called again between its reading and its telling.
        """
        before = self._get_terminal_size()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._resized)
        if self._get_terminal_size() != before:
            self._resized()
        writer = self._writer_thread
        if isinstance(writer, TerminalWriter):
            writer.on_caught_up = self._draw_again
            writer.on_lost = self._hang_up
            if writer.is_lost:  # before it could report it
                self._hang_up()

    def stop_application_mode(self) -> None:
        """Textual's hook: what the terminal did not take so far is not worth waiting for."""
        writer = self._writer_thread
        if not isinstance(writer, TerminalWriter) or not writer.is_alive():
            self.disable_input()  # it was given back before, or is gone
            return
        if writer.discard():
            self.write(_END_SYNCHRONIZED)
        self.write(_CLEAR)
        super().stop_application_mode()

    def _resized(self) -> None:
        if not self._in_band_window_resize:
            size = Size(*self._get_terminal_size())
            self._app.post_message(events.Resize(size, size))

    def run_input_thread(self) -> None:
        """Textual's hook: read until the app ends or the terminal is gone."""
        parser = KeyParser(self._debug)
        decoder = getincrementaldecoder("utf-8")()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            is_last = False
            while not is_last:
                # what the terminal still answers after the end is read as well, or the shell would read it
                is_last = self.exit_event.is_set()
                text = ""
                if selector.select(_TICK_SECONDS):
                    data = self._read()
                    if not data:
                        self._hang_up()
                        return
                    try:
                        text = decoder.decode(data)
                    except UnicodeDecodeError:
                        decoder.reset()  # a stray byte from a mouse, a modem or a cat
                        parser = KeyParser(self._debug)
                for message in [*(parser.feed(text) if text else ()), *parser.tick()]:
                    self.process_message(message)

    def _read(self) -> bytes:
        """Return what was typed; nothing if the terminal is gone, for one in raw mode has no other end."""
        try:
            return os.read(self.fileno, _READ_BYTES)
        except OSError:
            return b""

    def write(self, data: str) -> None:
        """Textual's hook: nobody waits for a terminal that is not read, see `TerminalWriter`."""
        if self._writer_thread is not None:
            self._writer_thread.write(data)

    def _draw_again(self) -> None:
        self._in_loop(self._app.refresh)

    def _hang_up(self) -> None:
        self._in_loop(lambda: self._app.hang_up())  # type: ignore[attr-defined]

    def _in_loop(self, action: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended: so does the app
            self._loop.call_soon_threadsafe(action)

    def _sigcont_application(self, *_: object) -> None:
        # A terminal that hangs up sends SIGCONT too, and so does a shell that ends a suspended job: to start
        # again would start threads that never end, or stop the process again as one of the background.
        if getattr(self._app, "is_ending", False):
            return
        if self._must_signal_resume:
            super()._sigcont_application()
        elif self._key_thread is not None and self._key_thread.is_alive() and os.isatty(self.fileno):
            # stopped by SIGSTOP, which nobody is told of: the shell had the terminal meanwhile
            self.suspend_application_mode()
            self.resume_application_mode()
            self._app.call_later(self._app.refresh)
