from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.support.dashboards import dashboard_bench


class TestEndOfLogin:
    @pytest.mark.parametrize(
        "order",
        [(signal.SIGTERM, signal.SIGHUP), (signal.SIGHUP, signal.SIGTERM)],
        ids=["TERM first", "HUP first"],
    )
    def test_request_to_stop_outranks_hangup(self, tmp_path: Path, order: tuple[signal.Signals, ...]) -> None:
        async def run() -> int | None:
            async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
                for number in order:
                    shown.app._receive(number, None)
                await shown.pilot.pause()
                return shown.app.return_code

        assert asyncio.run(run()) == 128 + signal.SIGTERM
