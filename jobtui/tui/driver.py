"""The terminal's input and signals, as Textual takes them, made to bear what terminals and people do."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from queue import Empty, Full

from textual import events
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

from jobtui.tui.key_parser import KeyParser
from jobtui.tui.stand_ins import stand_in_for_what_is_missing

_PATIENCE_SECONDS = 0.2

# the driver makes its parser itself
linux_driver.XTermParser = KeyParser  # type: ignore[attr-defined]


class SturdyDriver(LinuxDriver):
    """Passes over bytes that are no UTF-8, leaves when the terminal is gone, comes back only where it was.

    It fits the last size that the terminal had.
    """

    def start_application_mode(self) -> None:
        """Textual's hook: the size is read where it is told, so that of two changes the last is told last.

        A handler that the interpreter calls can be called again between its reading and its telling.
        """
        if self._file is not None:
            stand_in_for_what_is_missing(self._file)
        before = self._get_terminal_size()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._resized)
        if self._get_terminal_size() != before:
            self._resized()

    def _resized(self) -> None:
        if not self._in_band_window_resize:
            size = Size(*self._get_terminal_size())
            self._app.post_message(events.Resize(size, size))

    def run_input_thread(self) -> None:
        """Textual's hook: reads until the app ends."""
        while not self.exit_event.is_set():
            try:
                super().run_input_thread()
            except UnicodeDecodeError:
                continue  # a stray byte from a mouse, a modem or a cat: what comes next is read again
            except OSError:
                self._app.call_later(self._app.exit, 128 + signal.SIGHUP)
                return

    def write(self, data: str) -> None:
        """Textual's hook: what nobody writes any more would fill the queue, and then hold up who asks."""
        writer = self._writer_thread
        while writer is not None and writer.is_alive():
            try:
                writer._queue.put(data, timeout=_PATIENCE_SECONDS)
            except Full:
                continue  # a slow terminal, or the writer ended meanwhile
            return

    def close(self) -> None:
        """Textual's hook: a queue that nobody empties any more must have room for the last word."""
        writer = self._writer_thread
        if writer is not None and not writer.is_alive():
            with suppress(Empty):
                while True:
                    writer._queue.get_nowait()
        super().close()

    def _sigcont_application(self, *_: object) -> None:
        # A terminal that hangs up sends SIGCONT too: to begin anew then would start threads that never end.
        if self._must_signal_resume:
            super()._sigcont_application()
        elif self._key_thread is not None and self._key_thread.is_alive() and os.isatty(self.fileno):
            # stopped by SIGSTOP, which nobody is told of: the shell had the terminal meanwhile
            self.suspend_application_mode()
            self.resume_application_mode()
            self._app.call_later(self._app.refresh)
