"""Background work on daemon threads, and asyncio tasks that cannot fail unnoticed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


async def run_in_thread(work: Callable[[], T]) -> T:
    """Run `work` on a new daemon thread and return its result, or raise what it raised.

    Canceling this does not end the work: its result is discarded. `asyncio.to_thread` differs in that the
    interpreter waits for its threads at exit.
    """
    import asyncio  # late: the threads alone, which a single statement needs, do without it

    future: Future[T] = Future()

    def run() -> None:
        if future.set_running_or_notify_cancel():  # False if the caller was canceled before the thread began
            _complete(future, work)

    _start_thread(run)
    return await asyncio.wrap_future(future)


def start_in_thread(work: Callable[[], T]) -> Future[T]:
    """Run `work` on a new daemon thread, and return its future, which cannot be canceled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    _start_thread(lambda: _complete(future, work))
    return future


def _start_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="jobtui-background", daemon=True).start()


def _complete(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # raised again where the result is read
        future.set_exception(error)


class SerialExecutor:
    """An executor that runs the work of each owner on threads, one after the other.

    A lock would not keep that order: threads begin in any. May be used from every thread.
    """

    def __init__(self) -> None:
        self._last: WeakKeyDictionary[object, threading.Event] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def submit(self, owner: object, work: Callable[[], T]) -> Future[T]:
        """Run `work` once all earlier work of the owner has ended, and return its future."""
        ended = threading.Event()
        with self._lock:
            before = self._last.get(owner)

            def run_in_turn() -> T:
                try:
                    if before is not None:
                        before.wait()
                    return work()
                finally:
                    ended.set()

            future = start_in_thread(run_in_turn)
            # only now: if no thread can be started, the next work still waits for the earlier one
            self._last[owner] = ended
        return future


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
        import asyncio  # late, as above

        task = asyncio.get_running_loop().create_task(work)
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
