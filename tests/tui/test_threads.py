"""Work in its own thread, awaited by the screen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from jobtui.background import run_in_thread
from jobtui.history import StoreError
from jobtui.tui.data.search import LatestOnlyWorker, WorkerReply
from tests.support.waiting import PATIENCE


def test_cancel_before_the_work_begins_leaves_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Callable[[], None]] = []
    done: list[int] = []

    async def leave_at_once() -> None:
        monkeypatch.setattr(threading.Thread, "start", lambda thread: held.append(thread.run))
        waiting = asyncio.ensure_future(run_in_thread(lambda: done.append(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(leave_at_once())
    held[0]()
    assert not done


def test_error_of_the_work_is_raised_in_its_waiter() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run_in_thread(lambda: 1 / 0))


class TestLatestOnlyWorker:
    @pytest.mark.parametrize("fails", [False, True])
    def test_no_answer_and_no_error_after_closing(self, fails: bool) -> None:
        replies: list[WorkerReply[int]] = []
        begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

        def work() -> Iterator[int]:
            begun.set()
            assert may_end.wait(PATIENCE)
            if fails:
                raise StoreError("The history cannot be read")
            yield 1

        class WatchedWorker(LatestOnlyWorker[int]):
            def _run(self) -> None:
                super()._run()
                ended.set()

        worker = WatchedWorker(replies.append)
        worker.submit(work)
        assert begun.wait(PATIENCE)
        worker.close()
        may_end.set()
        assert ended.wait(PATIENCE)
        assert replies == []
