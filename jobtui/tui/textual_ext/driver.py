"""The terminal: output on a thread of its own, input and signals.

Written for Textual 8.2.8.

Each class overrides methods of Textual's driver for faults that users met; none is for speed.
`tests/tui/test_textual_ext.py` checks the signatures.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, Full
from typing import TextIO

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size
from textual.message import Message
from typing_extensions import override

from jobtui import terminal_io
from jobtui.tui.terminal import Glyphs, encoder_for

_MAX_CLOSE_SECONDS = 10.0  # a slow line accepts the rest of the output in small parts
_BATCH_CHARACTERS = 16_384
_QUEUE_SECONDS = 0.2


class TerminalWriter(WriterThread):
    """A writer that blocks no caller for long, even if the terminal is not read or gone.

    Texts are written in order. While the terminal accepts nothing, texts that do not fit into the queue are
    dropped, and `on_caught_up` is called when the queue has been written: the screen must be drawn again.
    `on_lost` is called when the terminal is gone. Both are called in this thread.

    Private: the class `WriterThread`, `_queue`. Reason: Textual's `write` blocks the loop while a terminal
    (ctrl+s, a stalled connection) is not read, and its thread dies with a terminal that is gone, so that the
    app cannot end. Gain: none in speed.
    """

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self.on_caught_up: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None
        self.is_lost = False
        self._output = file
        self._encode = encoder_for(file)
        self._terminal = terminal_io.reopen(file.fileno())
        self._dropped = False
        self._is_last_batch = False
        self._closing_since: float | None = None

    @override
    def write(self, text: str) -> None:
        # a full queue means that the terminal accepts nothing
        if self._dropped or not self.is_alive():
            return
        try:
            self._queue.put(text, timeout=_QUEUE_SECONDS)
        except Full:
            self._dropped = True

    def use_glyphs(self, glyphs: Glyphs) -> None:
        """Draw with other characters from now on."""
        self._encode = encoder_for(self._output, glyphs)

    def discard(self) -> bool:
        """Drop what is queued; return whether anything was dropped since the last call."""
        dropped, self._dropped = self._dropped, False
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
                dropped = True
        return dropped

    @override
    def run(self) -> None:
        try:
            while (text := self._next_batch()) is not None:
                if not terminal_io.write_all(self._terminal, self._encode(text), self._is_late):
                    return
                if self._dropped and self._queue.empty():
                    self._dropped = False
                    self.on_caught_up()
        except OSError:
            self.is_lost = True
            self.on_lost()
        finally:
            os.close(self._terminal)

    @override
    def stop(self) -> None:
        # wait until all is written, but not for a terminal that accepts nothing
        self._closing_since = time.monotonic()
        while self.is_alive():
            try:
                self._queue.put(None, timeout=_QUEUE_SECONDS)
                break
            except Full:
                continue  # the thread ends by itself if the terminal accepts nothing
        if self is not threading.current_thread():
            # a terminal that could not be reopened may block the thread in a write: do not wait for it
            self.join(_MAX_CLOSE_SECONDS + terminal_io.PATIENCE_SECONDS)

    def _next_batch(self) -> str | None:
        """Return what is queued, up to a limit, so that few writes are needed; None at the end."""
        text = None if self._is_last_batch else self._queue.get()
        if text is None:
            return None
        parts, size = [text], len(text)
        while size < _BATCH_CHARACTERS:
            try:
                text = self._queue.get_nowait()
            except Empty:
                break
            if text is None:
                self._is_last_batch = True
                break
            parts.append(text)
            size += len(text)
        return "".join(parts)

    def _is_late(self, silent: float) -> bool:
        since = self._closing_since
        if since is None:
            return False
        closing = time.monotonic() - since
        return min(silent, closing) >= terminal_io.PATIENCE_SECONDS or closing >= _MAX_CLOSE_SECONDS


_TICK_SECONDS = 0.1  # how soon the input thread notices the end of the app
_READ_BYTES = 4096
_END_SYNCHRONIZED = "\x1b[?2026l"
# GNU screen, the Linux console and others have no alternate screen: without it the last frame would stay
_CLEAR = "\x1b[0m\x1b[2J\x1b[H"

_ESC = "\x1b"
_PASTE_START, _PASTE_END = "\x1b[200~", "\x1b[201~"
# what follows esc in the terminals' own sequences, and alt with an arrow as some terminals send it
_NOT_KEYS = frozenset("[O]P_^X\\Nfb")

# The one monkey patch: `LinuxDriver.start_application_mode` makes its writer itself, without a hook.
linux_driver.WriterThread = TerminalWriter  # type: ignore[attr-defined,assignment]


class RobustLinuxDriver(LinuxDriver):
    """A driver for terminals that are not read, are gone, or send what is not UTF-8.

    It ends the app when the terminal is gone, resumes only after a stop, and fits the terminal's last size.

    Private: `_writer_thread`, `_get_terminal_size`, `_in_band_window_resize`, `_app`, `_debug`, `_loop`,
    `_key_thread`, `_must_signal_resume`, `_sigcont_application`. Reasons: at each method.
    """

    bytes_written = 0

    @property
    @override
    def can_suspend(self) -> bool:
        # no shell could continue a process on a terminal that is not its session's, as in a browser
        try:
            os.tcgetpgrp(self.fileno)
        except OSError:
            return False
        return True

    @override
    def start_application_mode(self) -> None:
        # The size is read in the loop, where it is reported: a signal handler that the interpreter calls can be
        # called again between reading and reporting, and the older of two sizes would be reported last.
        before = self._get_terminal_size()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._report_size)
        if self._get_terminal_size() != before:
            self._report_size()
        writer = self._writer_thread
        if isinstance(writer, TerminalWriter):
            writer.use_glyphs(getattr(self._app, "glyphs", Glyphs.AUTO))
            writer.on_caught_up = self._redraw
            writer.on_lost = self._hang_up
            if writer.is_lost:  # it was lost before `on_lost` was set
                self._hang_up()

    @override
    def stop_application_mode(self) -> None:
        writer = self._writer_thread
        if not isinstance(writer, TerminalWriter) or not writer.is_alive():
            self.disable_input()  # the terminal was restored before, or is gone
            return
        # do not wait for frames that the terminal has not accepted yet
        if writer.discard():
            self.write(_END_SYNCHRONIZED)
        self.write(_CLEAR)
        getattr(self._app, "release_terminal", lambda: None)()
        super().stop_application_mode()

    @override
    def run_input_thread(self) -> None:
        parser = KeyParser(self._debug)
        decoder = getincrementaldecoder("utf-8")()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            is_last = False
            while not is_last:
                # one more read after the end: otherwise the terminal's last replies would go to the shell
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

    @override
    def write(self, data: str) -> None:
        if self._writer_thread is not None:
            self.bytes_written += len(data.encode(errors="replace"))
            self._writer_thread.write(data)

    def _read(self) -> bytes:
        """Return the input, empty if the terminal is gone: nothing else ends it in raw mode."""
        try:
            return os.read(self.fileno, _READ_BYTES)
        except OSError:
            return b""

    def _report_size(self) -> None:
        if not self._in_band_window_resize:
            size = Size(*self._get_terminal_size())
            self._app.post_message(events.Resize(size, size))

    def _redraw(self) -> None:
        self._call_in_loop(self._app.refresh)

    def _hang_up(self) -> None:
        self._call_in_loop(lambda: self._app.hang_up())  # type: ignore[attr-defined]

    def _call_in_loop(self, action: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the app with it
            self._loop.call_soon_threadsafe(action)

    @override
    def _sigcont_application(self, *_: object) -> None:
        # A terminal that hangs up sends SIGCONT, too, and so does a shell that ends a suspended job. To start
        # again would start threads that never end, or stop the process again as one of the background.
        if getattr(self._app, "is_ending", False):
            return
        if self._must_signal_resume:
            super()._sigcont_application()
        elif self._key_thread is not None and self._key_thread.is_alive() and os.isatty(self.fileno):
            # the process was stopped by SIGSTOP, which cannot be handled: the shell had the terminal meanwhile
            self.suspend_application_mode()
            self.resume_application_mode()
            self._app.call_later(self._app.refresh)


class KeyParser(XTermParser):
    """A parser that reads esc and the key after it as two keys: no command needs alt.

    Textual combines them into one key, or esc and 2 into a character like `™`. If both arrive at once, after a
    stall or over a slow line, the esc would be lost, and the other key would be typed into the field that the
    esc was meant to leave. A paste is text up to its end: Textual takes an esc in it for the start of a key.

    Private: the class, `_sequence_to_key_events`.
    """

    def __init__(self, debug: bool = False) -> None:
        self._pasted: list[str] | None = None
        super().__init__(debug)

    @override
    def feed(self, data: str) -> Iterable[Message]:
        if not data:  # the end of the input
            yield from super().feed(data)
        while data:
            if self._pasted is None:
                keys, paste, data = data.partition(_PASTE_START)
                if keys:
                    yield from super().feed(keys)
                if paste:
                    self._pasted = []
            else:
                # the mark of the end may arrive in two pieces
                tail = self._pasted.pop() if self._pasted else ""
                text, end, data = (tail + data).partition(_PASTE_END)
                edge = len(text) if end else max(0, len(text) - len(_PASTE_END) + 1)
                self._pasted += [text[:edge], text[edge:]]
                if end:
                    yield events.Paste("".join(self._pasted).replace("\0", ""))
                    self._pasted = None

    @override
    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        letter = sequence[1:] if len(sequence) == 2 and sequence[0] == _ESC else ""
        if letter and letter.isprintable() and letter not in _NOT_KEYS:
            sequence, alt = letter, True
        if alt:
            yield events.Key("escape", _ESC)
        yield from super()._sequence_to_key_events(sequence)
