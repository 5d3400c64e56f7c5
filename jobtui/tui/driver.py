"""The terminal's input and signals, as Textual takes them, made to bear what terminals and people do."""

from __future__ import annotations

import os
import signal

from textual.drivers.linux_driver import LinuxDriver


class SturdyDriver(LinuxDriver):
    """Passes over bytes that are no UTF-8, leaves when the terminal is gone, comes back only where it was."""

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

    def _sigcont_application(self, *_: object) -> None:
        # A terminal that hangs up sends SIGCONT too: to begin anew then would start threads that never end.
        if self._must_signal_resume:
            super()._sigcont_application()
        elif self._key_thread is not None and self._key_thread.is_alive() and os.isatty(self.fileno):
            # stopped by SIGSTOP, which nobody is told of: the shell had the terminal meanwhile
            self.suspend_application_mode()
            self.resume_application_mode()
            self._app.call_later(self._app.refresh)
