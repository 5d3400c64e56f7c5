"""What the dashboard shows outside its screen: the terminal's title and its progress."""

import asyncio
from pathlib import Path

import pytest

from jobtui.config.settings import TuiSettings
from jobtui.model import StepPosition
from jobtui.tui.terminal import RESTORE_TITLE, SAVE_TITLE, OutputBudget, has_progress, has_title
from tests.support.dashboards import dashboard_bench


@pytest.mark.parametrize(
    ("environ", "title", "progress"),
    [
        ({"TERM": "xterm-256color"}, True, False),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, True, True),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "ghostty", "TMUX": "x"}, True, False),
        ({"TERM": "xterm-256color", "WT_SESSION": "x"}, True, True),
        ({"TERM": "linux"}, False, False),
        ({"TERM": "vt100"}, False, False),
        ({}, False, False),
    ],
)
def test_terminals_get_only_supported_sequences(environ: dict[str, str], title: bool, progress: bool) -> None:
    assert has_title(environ) is title
    assert has_progress(environ) is progress


class TestOutputBudget:
    def test_allows_its_bytes_each_second(self) -> None:
        budget, written = OutputBudget(4_000), 0
        for step in range(100):
            if budget.allows(100 + step / 10, written):
                written += 1_000
        assert 38_000 <= written <= 45_000

    def test_counts_what_was_written_by_others(self) -> None:
        budget = OutputBudget(4_000)
        assert budget.allows(0.0, 0)
        assert not budget.allows(0.5, 7_000)
        assert budget.allows(2.0, 7_000)

    def test_recovers_from_any_amount_in_a_second(self) -> None:
        budget = OutputBudget(4_000)
        assert not budget.allows(0.0, 1_000_000)
        assert budget.allows(1.0, 1_000_000)


@pytest.mark.parametrize("is_wanted", [True, False])
def test_title_and_progress_follow_the_running_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_wanted: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm-ghostty")
    monkeypatch.setenv("TERM_PROGRAM", "ghostty")
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.delenv("STY", raising=False)
    settings = TuiSettings(title=is_wanted, progress=is_wanted)
    written: list[str] = []

    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}, settings=settings) as shown:
            monkeypatch.setattr(shown.app, "write_to_terminal", written.append)
            shown.app._show_outside()
            shown.bench.execute("ADMIN COMPACT nba")
            operation = shown.bench.storage.operation("nba", "local0")
            operation.progress(0.68, 1.0)
            await shown.shows("68%")
            shown.app._show_outside()
            shown.app._show_outside()
            operation.finish()
            await shown.shows("✔ 1")
            shown.app._show_outside()

    asyncio.run(run())
    if not is_wanted:
        assert written == []
        return
    output = "".join(written)
    assert output.startswith(f"{SAVE_TITLE}\x1b]2;jobtui local\x07")
    assert output.count("\x1b]2;jobtui local ▶1 68%\x07") == 1
    assert output.count("\x1b]9;4;1;68\x07") == 1
    assert output.endswith(RESTORE_TITLE)
    assert "\x1b]9;4;0;0\x07" in output.split("9;4;1;68")[1]


def test_paused_jobs_are_not_shown_as_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-ghostty")
    monkeypatch.setenv("TERM_PROGRAM", "ghostty")
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.delenv("STY", raising=False)
    written: list[str] = []
    spaces = {"nba": ["local0"], "players": ["local1"]}

    async def run() -> None:
        async with dashboard_bench(tmp_path, spaces, settings=TuiSettings(title=True, progress=True)) as shown:
            monkeypatch.setattr(shown.app, "write_to_terminal", written.append)
            await shown.execute("ADMIN COMPACT nba; ADMIN COMPACT players; PAUSE JOB 1")
            operation = shown.bench.storage.operation("nba", "local0")
            await shown.until(operation.control.pause.is_set)
            other = shown.bench.storage.operation("players", "local1")
            other.progress(0.25, 1.0)
            operation.pause(StepPosition(3, 4))
            await shown.shows("▶ 1 running  ‖ 1 paused  ◷ 0 queued", "25%")
            shown.app._show_outside()
            await shown.execute("PAUSE JOB 2")
            other.pause(StepPosition(1, 4))
            await shown.shows("▶ 0 running  ‖ 2 paused  ◷ 0 queued")
            shown.app._show_outside()

    asyncio.run(run())
    output = "".join(written)
    assert "\x1b]2;jobtui local ▶1 ‖1 25%\x07" in output
    assert "\x1b]9;4;1;25\x07" in output
    assert "\x1b]2;jobtui local ‖2\x07" in output
    assert "\x1b]9;4;4;" in output
