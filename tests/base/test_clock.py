"""Bounded waits."""

from __future__ import annotations

import asyncio

from jobtui.clock import SystemClock, wait_all, wait_first


class TestWaitFirst:
    """It ends with the first of its arguments."""

    def test_unawaited_coroutine_is_canceled(self) -> None:
        canceled = []

        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                canceled.append(True)
                raise

        async def run() -> None:
            await wait_first(asyncio.sleep(0.01), forever())
            await asyncio.sleep(0)

        asyncio.run(run())
        assert canceled == [True]

    def test_unawaited_future_is_not_canceled(self) -> None:
        async def run() -> bool:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            await wait_first(future, asyncio.sleep(0))
            return future.done()

        assert not asyncio.run(run())


class TestWaitAll:
    """It ends with the last of its arguments, or with the time."""

    def test_canceled_wait_leaves_no_timer(self) -> None:
        async def run() -> set[asyncio.Task[None]]:
            never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = asyncio.ensure_future(wait_all(SystemClock(), 3600, never))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            await asyncio.sleep(0)
            return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

        assert asyncio.run(run()) == set()
