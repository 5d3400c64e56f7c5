"""The view of the schedules (key 6)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobtui.engine.local import LocalClient
from jobtui.formatting import DateOrder
from jobtui.history import StoreError
from jobtui.language import parse
from jobtui.tui.screens import schedule_form
from jobtui.tui.screens.schedule_form import draft_schedule, preview_lines
from jobtui.tui.text.spans import plain, width_of
from jobtui.tui.views.schedules import SchedulesView, _cells, detail_lines, next_words, week_lines
from jobtui.tui.widgets.base import LinesView
from tests.support.dashboards import dashboard_bench

NIGHTLY = 'CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "06:00" WITH timezone = "UTC" DO ADMIN FLUSH nba'
WEEKLY = 'CREATE SCHEDULE weekly AT "30 3 * * 0" DO ADMIN COMPACT nba'


def test_it_is_shown_run_paused_and_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            await shown.press("6")
            await shown.shows("› schedules", "There is no schedule yet: n writes one")
            assert shown.bench.execute(NIGHTLY).failure is None
            shown.dashboard.view.tick()
            for _ in range(5):
                shown.dashboard.view.tick()
            await shown.shows("nightly", "no run yet", "active", "ADMIN FLUSH nba", "░")
            await shown.press("enter")
            await shown.shows("This schedule has started no job yet")
            await shown.press("r")
            await shown.shows("job 1 finished", "by hand")
            await shown.press("s")
            await shown.shows("paused", "s resume")
            await shown.press("s")
            await shown.shows("active", "s pause")
            await shown.press("enter")
            await shown.shows_no_more("› schedules")
            await shown.press("6", "D")
            await shown.shows("Drop schedule nightly?")
            await shown.press("right", "enter")
            await shown.shows("There is no schedule yet")
            await shown.press("r")
            await shown.shows("There is no schedule: n writes one")
            await shown.press("n")
            await shown.shows("New schedule")
            await shown.type("weekly")
            await shown.shows("CREATE SCHEDULE weekly")
            await shown.press("enter")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            assert "CREATE SCHEDULE" in shown.screen
            await shown.press("enter")
            await shown.shows("active")
            (row,) = shown.bench.rows("SHOW SCHEDULES")
            assert row[:3] == ("weekly", "30 2 * * *", "06:00")

    asyncio.run(run())


def test_job_that_cannot_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise StoreError("The history cannot be read: Input/output error")

    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            assert shown.bench.execute(f"{NIGHTLY}; RUN SCHEDULE nightly").failure is None
            await shown.press("6")
            await shown.shows("job 1 finished")
            monkeypatch.setattr(LocalClient, "job", refuses)
            await shown.press("enter")
            await shown.shows("Input/output error", "› schedules")

    asyncio.run(run())


def test_question_shows_the_statement_of_the_schedule_it_drops(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            assert shown.bench.execute(f"{NIGHTLY}; {WEEKLY}").failure is None
            await shown.press("6")
            await shown.shows("▸nightly", "weekly")
            view = shown.dashboard.view
            assert isinstance(view, SchedulesView)
            view._host.start_action(view._drop("weekly"))  # as if the cursor had moved since the key
            await shown.shows("Drop schedule weekly?")
            text = "\n".join(plain(line) for line in shown.app.screen.query_one(LinesView).lines)
            assert "ADMIN COMPACT nba" in text
            await shown.press("escape")
            await shown.shows_no_more("Drop schedule")

    asyncio.run(run())


@pytest.mark.parametrize(("width", "columns"), [(80, 4), (170, 7)])
def test_wide_table_has_the_times_and_the_statement(tmp_path: Path, width: int, columns: int) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True, size=(width, 30)) as shown:
            assert shown.bench.execute(NIGHTLY).failure is None
            await shown.press("6")
            await shown.shows("▸nightly")
            view = shown.dashboard.view
            assert isinstance(view, SchedulesView)
            assert len(view.table.shown) == columns
            texts = ("30 2 * * * UTC", "06:00", "ADMIN FLUSH nba")
            assert all(text in shown.row("▸nightly") for text in texts) is (columns == 7)

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
def test_next_time_as_text(moment: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
    schedule = {"upcoming": [window], "upcoming_until": None, "runs": [ran, skipped]}
    lines = week_lines(schedule, datetime(2019, 12, 17, 17, 21, tzinfo=UTC), 80)
    days = [plain(line)[7:] for line in lines[1:]]
    assert days[2] == "·" * 5 + "█" * 3 + "·" * 40
    assert days[3] == "·" * 5 + "×" + "·" * 42
    assert days[4] == "·" * 5 + "░" * 7 + "·" * 36
    assert plain(lines[4]).startswith("Tue 17 ")
    assert "░ to come   █" in plain(lines[-1])
    for until, text in (
        ("2019-12-20T23:59:00+00:00", "to come until Fri 23:59 "),
        ("2019-12-21T00:00:00+00:00", "to come  "),
    ):
        lines = week_lines(schedule | {"upcoming_until": until}, datetime(2019, 12, 17, 17, 21, tzinfo=UTC), 80)
        assert text in plain(lines[-1])


def test_detail_has_what_is_unusual_about_the_times() -> None:
    note = "next: daylight saving: 02:30 does not exist on this day, moved to 03:30"
    texts = {"timezone": "", "Until": None, "Statement": "ADMIN FLUSH nba", "At": "30 2 * * *", "note": note}
    schedule = texts | {"requested_by": "ada@mill, cli", "upcoming": [], "upcoming_until": None, "runs": []}
    order = DateOrder.MONTH_FIRST
    assert (
        plain(_cells(schedule | {"Schedule": "s", "Next": None, "State": "active"}, NOW)["result"])
        == "no run yet"
    )
    for width in (30, 100):
        shown = " ".join(plain(line).strip() for line in detail_lines(schedule, NOW, width, order))
        assert note in shown
        assert "at 30 2 * * * by ada@mill (cli)" in " ".join(shown.split())
    assert not plain(detail_lines(schedule | {"note": ""}, NOW, 100, order)[2]).strip()


def test_runs_have_their_dates_in_the_order_of_the_setting() -> None:
    texts = {"timezone": "", "Until": None, "Statement": "ADMIN FLUSH nba", "At": "30 2 * * *", "note": ""}
    run = {"at": "2019-12-16T02:30:00+00:00", "by_hand": False, "outcome": "skipped", "result": "skipped"}
    run |= {"last": None}
    schedule = texts | {"requested_by": "ada@mill", "upcoming": [], "runs": [run]}
    assert plain(detail_lines(schedule, NOW, 80, DateOrder.YEAR_FIRST)[-1]).startswith("2019-12-16 02:30 ")


NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
FIELDS = {
    "name": "nightly",
    "at": "30 2 * * *",
    "until": "06:00",
    "timezone": "UTC",
    "job": "ADMIN COMPACT nba",
}


class TestForm:
    def test_examples_fit_into_sixty_columns(self) -> None:
        assert max(width_of(example) for _, example in schedule_form.FIELDS.values()) <= 40

    def test_draft_has_the_next_runs_with_their_windows(self) -> None:
        made = draft_schedule(FIELDS, NOW)
        expected = (
            'CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "06:00" WITH timezone = "UTC" DO ADMIN COMPACT nba'
        )
        assert made.statement == expected
        assert parse(made.statement)
        assert not made.problem
        assert made.runs[0] == (
            datetime(2019, 12, 18, 2, 30, tzinfo=UTC),
            datetime(2019, 12, 18, 6, tzinfo=UTC),
        )
        assert [start.day for start, _ in made.runs] == [18, 19, 20, 21, 22]

    @pytest.mark.parametrize(
        ("at", "text"), [("30 2 * * *", "02:30 to 06:00"), ("30 6 * * *", "06:30 to Thu 06:00")]
    )
    def test_preview_has_the_day_on_which_a_window_ends(
        self, at: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobtui.tui.screens.schedule_form.to_local", lambda each: each.astimezone(UTC))
        lines = preview_lines(draft_schedule(FIELDS | {"at": at}, NOW), NOW, 80)
        assert plain(lines[0]).startswith(f"Wed 2019-12-18 {text}  in ")

    def test_empty_fields_are_left_out(self) -> None:
        made = draft_schedule(
            FIELDS | {"name": "my schedule", "until": "", "timezone": " ", "at": "@hourly"}, NOW
        )
        assert made.statement == 'CREATE SCHEDULE `my schedule` AT "@hourly" DO ADMIN COMPACT nba'

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"name": ""}, "Name is empty"),
            ({"name": "a.b"}, "No statement can contain this name"),
            ({"at": "30 25 * * *"}, ""),
            ({"until": "26:00"}, ""),
            ({"timezone": "Europe/Berlim"}, ""),
            ({"job": "ADMIN COMPAC nba"}, "did you mean COMPACT?"),
            ({"job": "SHOW JOBS"}, "expected ADMIN or SUBMIT"),
            ({"job": "ADMIN FLUSH nba; DROP SPACE nba"}, "A schedule runs one statement"),
            ({"at": "0 0 30 2 *"}, ""),
            ({"at": '* * * * *" DO ADMIN FLUSH nba; DROP SPACE nba; -- '}, ""),
        ],
    )
    def test_mistake_is_shown(self, fields: dict[str, str], problem: str) -> None:
        made = draft_schedule(FIELDS | fields, NOW)
        assert made.problem
        assert problem in made.problem
        assert not made.runs

    def test_shows_a_preview_and_writes_the_statement_into_the_bar(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, size=(80, 24)) as shown:
                await shown.press("6", "n")
                await shown.shows("New schedule", "Runs       ADMIN COMPACT nba", "in 9:")
                await shown.press("down", "end")
                await shown.type(" x")
                await shown.shows_no_more("to 06:00")
                await shown.press("enter")
                assert "New schedule" in shown.screen
                await shown.press("backspace", "backspace")
                await shown.shows("to 06:00")
                await shown.press("enter")
                await shown.until(lambda: shown.dashboard.console.bar.is_typing)
                await shown.shows('CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "06:00" DO')
                await shown.press("ctrl+c", "escape", "n")
                await shown.shows("New schedule")
                await shown.press("escape")
                await shown.shows_no_more("New schedule")
                assert not shown.dashboard.console.bar.is_typing

        asyncio.run(run())
