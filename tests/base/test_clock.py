"""Bounded waits."""

from __future__ import annotations

import asyncio

from jobtui.clock import wait_first


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
