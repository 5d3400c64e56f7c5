"""The lines that `jobtui serve` prints of jobs that end just as a signal ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.cli.commands.serve import ServerConsole
from jobtui.cli.wait import WaitAborted, receive_into
from jobtui.engine.local import LocalClient
from jobtui.model import Status
from tests.support.engines import WAIT, Bench, open_bench
from tests.support.scripted import ScriptedStorage


def serve(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Serve until a signal has ended the server; return its lines."""
    lines: list[str] = []
    console = ServerConsole(bench.engine, dated=False)
    monkeypatch.setattr(console, "print", lines.append)
    with receive_into(console, bench.engine):
        signal.raise_signal(signal.SIGTERM)
        try:
            console.wait_for_signal(until_idle=False)
            console.finish()
        except WaitAborted:
            console.report_abort()
    return lines


@pytest.mark.parametrize("step", ["set_run_policy", "stop_accepting", "limit_waiting_for_disk", "execute"])
@pytest.mark.parametrize("before", [True, False])
def test_job_that_ends_while_the_server_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h1",)})) as bench:
        bench.execute("ADMIN COMPACT nba")
        operation = bench.storage.operation("nba", "h1")
        carry_out: Callable[..., object] = getattr(LocalClient, step)

        def end(client: LocalClient, *arguments: object, **options: object) -> object:
            if before:
                operation.finish()
                bench.events.until(1, Status.FINISHED)
            answer = carry_out(client, *arguments, **options)
            operation.finish()
            return answer

        monkeypatch.setattr(LocalClient, step, end)
        lines = serve(bench, monkeypatch)
    assert any(line.startswith("Job 1 (compact nba) finished") for line in lines), lines
    assert lines[-1] == "Ended"


def test_job_that_ended_as_the_second_signal_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h1",)})) as bench:
        bench.execute("ADMIN COMPACT nba")
        operation = bench.storage.operation("nba", "h1")
        carry_out = LocalClient.limit_waiting_for_disk

        def end(client: LocalClient) -> None:
            carry_out(client)
            signal.raise_signal(signal.SIGTERM)
            operation.finish()
            bench.engine.wait_ended([1]).result(WAIT)

        monkeypatch.setattr(LocalClient, "limit_waiting_for_disk", end)
        lines = serve(bench, monkeypatch)
    assert any(line.startswith("Job 1 (compact nba) finished") for line in lines), lines
