"""The driver beside a terminal that fails it."""

from __future__ import annotations

import asyncio
import io
import signal
import threading

import pytest
from textual.app import App
from textual.drivers._writer_thread import WriterThread

from jobtui.tui.driver import SturdyDriver


def test_what_is_written_after_the_writer_ended_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def made() -> SturdyDriver:
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        return SturdyDriver(App())

    driver = asyncio.run(made())
    driver._writer_thread = WriterThread(io.StringIO())  # it ended: it does not run
    for _ in range(driver._writer_thread._queue.maxsize):
        driver._writer_thread._queue.put("")

    def leave() -> None:
        driver.write("more")
        driver._writer_thread.join = lambda: None  # type: ignore[method-assign,union-attr]
        driver.close()

    leaving = threading.Thread(target=leave, daemon=True)
    leaving.start()
    leaving.join(5)
    assert not leaving.is_alive()
