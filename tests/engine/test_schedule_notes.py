"""What SHOW SCHEDULES reports of daylight saving, clock steps and late owners."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from jobtui.engine.schedule_runner import CHECK_SECONDS
from jobtui.engine.schedules import NOT_AWAKE, NOT_OWNED
from tests.support.clock import FakeClock
from tests.support.engines import Bench, open_bench
from tests.support.made_schedules import DAY, NIGHTLY, TO_FIRST, pass_to, shown
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import PATIENCE, eventually


def pass_checks(bench: Bench) -> None:
    """Move the clock so that a check begins: the runner may have read the clock before, and sleep after it."""
    for _ in range(2):
        bench.clock.pass_by(CHECK_SECONDS)


def pass_to_run(bench: Bench, due: str) -> None:
    """Move the clock to a run's time: the check that begins it comes less than ten seconds after that."""
    pass_to(bench, (datetime.fromisoformat(due) - bench.clock.now()).total_seconds() - CHECK_SECONDS + 5)
    bench.clock.pass_by(CHECK_SECONDS)


def until_shown(bench: Bench, text: str) -> dict[str, object]:
    """Wait until the schedule's result has the text, as a table and as JSON; return the schedule."""
    eventually(lambda: text in bench.rows("SHOW SCHEDULES")[0][6], PATIENCE)
    row = shown(bench)
    assert text in str(row["Result"])
    return row


class TestNotes:
    """SHOW SCHEDULES reports what is unusual about a schedule's times."""

    BERLIN = 'CREATE SCHEDULE s AT "30 2 * * *" WITH timezone = "Europe/Berlin" DO ADMIN COMPACT nba'
    FIRST = "2019-12-18T02:30:00+00:00"

    def storage(self) -> ScriptedStorage:
        return ScriptedStorage({"nba": ("h1",)}, auto=True)

    @pytest.mark.parametrize(
        ("evening", "due", "text"),
        [
            ("2026-03-28", "2026-03-29T01:30:00+00:00", "does not exist on this day, moved to 03:30"),
            ("2026-10-24", "2026-10-25T00:30:00+00:00", "exists twice on this day, runs the first time only"),
        ],
    )
    def test_daylight_saving(self, tmp_path: Path, evening: str, due: str, text: str) -> None:
        clock, note = FakeClock(datetime.fromisoformat(f"{evening}T22:00Z")), f"daylight saving: 02:30 {text}"
        with open_bench(tmp_path, self.storage(), clock=clock) as bench:
            bench.execute(self.BERLIN)
            row = until_shown(bench, f"next: {note}")
            assert (row["Next"], row["note"]) == (due, f"next: {note}")
            pass_to_run(bench, due)
            row = until_shown(bench, f"job 1 finished: {note}")
            runs = row["runs"]
            assert isinstance(runs, list)
            assert [(run["at"], run["reason"]) for run in runs] == [(due, note)]
            assert row["note"] == ""

    def test_clock_set_back(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, self.storage()) as bench:
            bench.execute(NIGHTLY)
            pass_to_run(bench, self.FIRST)
            until_shown(bench, "job 1 finished")
            bench.clock.set_back(3600)
            row = until_shown(bench, "job 1 finished; the clock was set back: the times until 12/18/19 ")
            assert str(row["note"]).endswith(" do not run again")
            assert row["Next"] == "2019-12-19T02:30:00+00:00"
            pass_to(bench, 3600)
            assert shown(bench)["note"] == ""
            pass_to_run(bench, "2019-12-19T02:30:00+00:00")
            until_shown(bench, "job 2 finished")

    def test_clock_set_back_by_days(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, self.storage()) as bench:
            bench.execute(NIGHTLY)
            pass_to_run(bench, self.FIRST)
            until_shown(bench, "job 1 finished")
            bench.clock.set_back(40 * DAY)
            pass_checks(bench)
            row = until_shown(bench, "job 1 finished; the clock was set back from 12/18/19 ")
            assert row["Next"] == "2019-11-09T02:30:00+00:00"
            pass_to_run(bench, "2019-11-09T02:30:00+00:00")
            row = until_shown(bench, "job 2 finished: the clock was set back from 12/18/19 ")
            assert row["note"] == ""

    def test_clock_set_forward(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, self.storage()) as bench:
            bench.execute(NIGHTLY)
            pass_to(bench, 3 * DAY)
            pass_checks(bench)
            until_shown(bench, f"skipped 3 times: {NOT_AWAKE}")
            assert bench.engine.history.last_id() == 0

    @pytest.mark.parametrize("command", ["CREATE", "RESUME", "RUN"])
    def test_clock_near_the_end_of_the_calendar(self, tmp_path: Path, command: str) -> None:
        clock = FakeClock()
        with open_bench(tmp_path, self.storage(), clock=clock) as bench:
            bench.execute(f"{NIGHTLY}; PAUSE SCHEDULE nightly")
        clock = FakeClock(datetime.fromisoformat("9999-12-30T12:00Z"))
        statement = (
            NIGHTLY.replace("nightly", "other") if command == "CREATE" else f"{command} SCHEDULE nightly"
        )
        with open_bench(tmp_path, self.storage(), clock=clock) as bench:
            failure = bench.execute(statement).failure
            assert failure is not None
            assert failure.message == (
                "The clock of this machine shows 9999-12-30, and schedules have no times from the year "
                "9900 on: set the clock"
            )
            assert shown(bench)["Next"] is None

    def test_clock_set_right_after_it_was_centuries_ahead(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, self.storage()) as bench:
            bench.execute(NIGHTLY)
            pass_to(bench, 7930 * 365 * DAY)
            pass_checks(bench)
            row = until_shown(bench, "The clock of this machine shows 9944-")
            assert (row["Next"], row["upcoming"]) == (None, [])
            bench.clock.set_back(7930 * 365 * DAY)
            pass_checks(bench)
            row = until_shown(bench, "the clock was set back from ")
            assert row["Next"] == self.FIRST

    def test_owner_that_starts_late(self, tmp_path: Path) -> None:
        clock = FakeClock()
        with open_bench(tmp_path, self.storage(), clock=clock) as bench:
            bench.execute(NIGHTLY)
        clock.advance(TO_FIRST + 45)
        with open_bench(tmp_path, self.storage(), clock=clock) as bench:
            row = until_shown(bench, f"job 1 finished: 0:45 late: {NOT_OWNED}")
            assert row["Next"] == "2019-12-19T02:30:00+00:00"
