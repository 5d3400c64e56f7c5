"""Work beside the screen's thread that must not hold up the end: a daemon thread, awaited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """The outcome of `work`, done on a thread of its own; one who leaves meanwhile does not wait for it."""
    done: Future[T] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return  # who asked has left already
        try:
            done.set_result(work())
        except BaseException as error:  # given to the one who awaits it
            done.set_exception(error)

    threading.Thread(target=run, name="jobtui-errand", daemon=True).start()
    return await asyncio.wrap_future(done)
