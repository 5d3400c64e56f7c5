"""Background work: functions on daemon threads, and asyncio tasks that cannot fail unnoticed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

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


class BackgroundTasks:
    """A set of asyncio tasks; `report_error` is called with the exception of each that fails.

    For the engine's loop alone. asyncio keeps only weak references to tasks, so this set keeps them alive.
    """

    def __init__(self, report_error: Callable[[BaseException], None]) -> None:
        self._report_error = report_error
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Run a coroutine in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def close(self) -> None:
        """Cancel all tasks, and report no failure from now on."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._closed:
            return
        error = task.exception()
        if error is not None:
            self._report_error(error)
