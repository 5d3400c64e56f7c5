"""The view of the schedules (key 6)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobtui.tui.text.spans import plain
from jobtui.tui.views.schedules import next_words, week_lines
from tests.support.dashboards import stage

NIGHTLY = 'CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "06:00" WITH timezone = "UTC" DO ADMIN FLUSH nba'


def test_it_is_shown_run_paused_and_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(tmp_path, auto=True) as shown:
            await shown.press("6")
            await shown.shows("› schedules", "No schedules; n writes one")
            assert shown.behind.say(NIGHTLY).failure is None
            shown.dashboard.view.tick()
            for _ in range(5):
                shown.dashboard.view.tick()
            await shown.shows("nightly", "no run yet", "active", "ADMIN FLUSH nba", "░")
            await shown.press("r")
            await shown.shows("job 1 finished", "by hand")
            await shown.press("s")
            await shown.shows("paused")
            await shown.press("s")
            await shown.shows("active")
            await shown.press("enter")
            await shown.shows_no_more("› schedules")
            await shown.press("6", "D")
            await shown.shows("Drop schedule nightly?")
            await shown.press("right", "enter")
            await shown.shows("No schedules")
            await shown.press("n")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            assert "CREATE SCHEDULE" in shown.screen

    asyncio.run(run())


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2019-12-17T21:30Z", "today 21:30, in 4:08:30"),
        ("2019-12-18T02:30Z", "tomorrow 02:30, in 9:08:30"),
        ("2019-12-20T02:30Z", "Fri 02:30"),
        ("2020-01-20T02:30Z", "Mon 01/20/20 02:30"),
    ],
)
def test_next_time_in_words(moment: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobtui.tui.views.schedules.to_local", lambda each: each.astimezone(UTC))
    now = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
    assert next_words(datetime.fromisoformat(moment), now).startswith(words)
    assert next_words(None, now) == ""


def test_week_has_windows_runs_and_skipped_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobtui.tui.views.schedules.to_local", lambda each: each.astimezone(UTC))
    ran = {"outcome": "submitted", "at": "2019-12-16T02:30:00+00:00", "last": None, "status": "finished"}
    ran |= {"start": "2019-12-16T02:30:01+00:00", "stop": "2019-12-16T04:00:00+00:00", "until": None}
    skipped = ran | {"outcome": "skipped", "at": "2019-12-17T02:30:00+00:00"}
    window = ["2019-12-18T02:30:00+00:00", "2019-12-18T06:00:00+00:00"]
    schedule = {"upcoming": [window], "runs": [ran, skipped]}
    lines = week_lines(schedule, datetime(2019, 12, 17, 17, 21, tzinfo=UTC), 80)
    days = [plain(line)[7:] for line in lines[1:]]
    assert days[2] == "·" * 5 + "█" * 3 + "·" * 40
    assert days[3] == "·" * 5 + "×" + "·" * 42
    assert days[4] == "·" * 5 + "░" * 7 + "·" * 36
    assert plain(lines[4]).startswith("Tue 17 ")
