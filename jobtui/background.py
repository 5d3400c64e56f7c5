"""Work on a daemon thread, for which neither the screen nor the end of the process waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[[], T]) -> T:
    """Run `work` on a new daemon thread and return its result, or raise what it raised.

    Canceling this does not end the work: its result is discarded. `asyncio.to_thread` differs in that the
    interpreter waits for its threads at exit.
    """
    result: Future[T] = Future()

    def run() -> None:
        if not result.set_running_or_notify_cancel():
            return  # the caller was canceled before the thread began
        try:
            result.set_result(work())
        except BaseException as error:  # raised in the caller
            result.set_exception(error)

    threading.Thread(target=run, name="jobtui-background", daemon=True).start()
    return await asyncio.wrap_future(result)
