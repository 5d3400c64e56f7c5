"""The thread that writes to the terminal. Written for Textual 8.2.8."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full
from typing import TextIO

from textual.drivers._writer_thread import WriterThread
from typing_extensions import override

from jobtui import terminal_io
from jobtui.tui.terminal import encoder_for

_LONGEST_CLOSE_SECONDS = 10.0  # a slow line takes what is left bit by bit
_BATCH_CHARACTERS = 16_384
_QUEUE_SECONDS = 0.2


class TerminalWriter(WriterThread):
    """A writer that blocks no caller for longer than a bounded time, even if the terminal is not read or gone.

    Texts are written in order. While the terminal takes nothing, texts that do not fit into the queue are
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
        self._encode = encoder_for(file)
        self._terminal = terminal_io.reopen(file.fileno())
        self._dropped = False
        self._is_last_batch = False
        self._closing_since: float | None = None

    @override
    def write(self, text: str) -> None:
        # a full queue means that the terminal takes nothing
        if self._dropped or not self.is_alive():
            return
        try:
            self._queue.put(text, timeout=_QUEUE_SECONDS)
        except Full:
            self._dropped = True

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
        # waits until all is written, but not for a terminal that takes nothing
        self._closing_since = time.monotonic()
        while self.is_alive():
            try:
                self._queue.put(None, timeout=_QUEUE_SECONDS)
                break
            except Full:
                continue  # the thread ends by itself if the terminal takes nothing
        if self is not threading.current_thread():
            # a terminal that could not be reopened may hold the thread in a write: it is left behind
            self.join(_LONGEST_CLOSE_SECONDS + terminal_io.PATIENCE_SECONDS)

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
        return min(silent, closing) >= terminal_io.PATIENCE_SECONDS or closing >= _LONGEST_CLOSE_SECONDS
