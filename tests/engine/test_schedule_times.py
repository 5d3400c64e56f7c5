"""The times of schedules, and what is decided at each: pure functions, a simulated clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from jobtui.engine import lifecycle, schedules
from jobtui.engine.schedules import NOT_AWAKE, NOT_OWNED, RunAction, RunOutcome, Schedule, next_time, window_end
from jobtui.errors import StatementRefused
from jobtui.formatting import format_local_time
from jobtui.language.schedule_times import check_times, describe_shift
from tests.support.made_schedules import ZONES, at, interrupted, job, made

BERLIN = ZoneInfo("Europe/Berlin")


in_berlin = pytest.mark.parametrize("zone", [BERLIN, None], indirect=True, ids=["named", "own"])
"""The test's zone is Berlin: named, and as the machine's own."""


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo | None]:
    with monkeypatch.context() as own:
        own.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield request.param
    time.tzset()


class TestNextTime:
    @pytest.mark.parametrize(
        ("cron", "moment", "following"),
        [
            ("30 2 * * *", "2026-03-10T12:00+01:00", "2026-03-11T02:30+01:00"),
            # 29 March: 02:00 to 03:00 does not exist in Berlin
            ("30 2 * * *", "2026-03-28T12:00+01:00", "2026-03-29T03:30+02:00"),
            ("30 2 * * *", "2026-03-29T03:10+02:00", "2026-03-29T03:30+02:00"),
            ("30 2 * * *", "2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"),
            ("0,30 2,3 * * *", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"),
            # 25 October: 02:00 to 03:00 exists twice
            ("30 2 * * *", "2026-10-24T12:00+02:00", "2026-10-25T02:30+02:00"),
            ("30 2 * * *", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
            ("*/30 * * * *", "2026-10-25T02:30+02:00", "2026-10-25T03:00+01:00"),
            ("@hourly", "2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00"),
            ("@weekly", "2026-03-10T12:00+01:00", "2026-03-15T00:00+01:00"),
            ("0 0 29 2 *", "2026-03-10T12:00+01:00", "2028-02-29T00:00+01:00"),
        ],
    )
    @in_berlin
    def test_following(self, cron: str, moment: str, following: str, zone: ZoneInfo | None) -> None:
        assert next_time(cron, at(moment), zone) == at(following)

    @pytest.mark.parametrize("zone", ZONES)
    @pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "5 0,1,2,3 * * 0,6"])
    def test_year_agrees_with_minute_by_minute(self, zone: str, cron: str) -> None:
        """Compare with a search over every minute around the clock's changes, by other means."""
        tz = ZoneInfo(zone)
        for change in changes(tz, at("2026-01-01T00:00Z"), at("2027-01-01T00:00Z")):
            start, end = change - timedelta(hours=30), change + timedelta(hours=30)
            found, moment = [], next_time(cron, start, tz)
            while moment is not None and moment <= end:
                found.append(moment)
                moment = next_time(cron, moment, tz)
            assert found == sorted(set(brute_force(cron, start, end, tz)))

    def test_every_expression_of_the_grammar_has_times(self) -> None:
        for cron in (
            "0 0 29 2 *",
            "0 0 31 2 1",
            "*/59 23 * jan sun",
            "0 0 1,15 * mon-fri",
            "@Daily",
            "5 4 * * 7",
        ):
            check_times(cron)
            assert next_time(cron, at("2026-03-10T12:00Z"), UTC)

    @pytest.mark.parametrize(
        ("cron", "notes"),
        [
            ("30 2 * * *", {"03:30": "daylight saving: 02:30 does not exist on this day, moved to 03:30"}),
            ("30 2,4 * * *", {"03:30": "daylight saving: 02:30 does not exist on this day, moved to 03:30"}),
            # 03:00 and 03:30 are times of their own: they would run without daylight saving, too
            ("*/30 * * * *", {}),
            ("0,30 2,3 * * *", {}),
            ("@hourly", {}),
        ],
    )
    @in_berlin
    def test_only_a_moved_time_is_noted(self, cron: str, notes: dict[str, str], zone: ZoneInfo | None) -> None:
        found, moment = {}, next_time(cron, at("2026-03-28T22:00Z"), zone)
        while moment is not None and moment < at("2026-03-29T10:00Z"):
            if note := describe_shift(cron, moment, zone):
                found[f"{moment.astimezone(BERLIN):%H:%M}"] = note
            moment = next_time(cron, moment, zone)
        assert found == notes


def changes(tz: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    hour = start
    while hour < end:
        following = hour + timedelta(hours=1)
        if hour.astimezone(tz).utcoffset() != following.astimezone(tz).utcoffset():
            yield following
        hour = following


def brute_force(cron: str, start: datetime, end: datetime, tz: ZoneInfo) -> Iterator[datetime]:
    minutes, hours, _, _, days = cron.split()
    local = start.astimezone(tz).replace(tzinfo=None) - timedelta(hours=2)
    while local <= end.astimezone(tz).replace(tzinfo=None) + timedelta(hours=2):
        minute = (minutes == "*/20" and local.minute % 20 == 0) or str(local.minute) == minutes
        hour = hours == "*" or str(local.hour) in hours.split(",")
        if minute and hour and (days == "*" or str(local.isoweekday() % 7) in days.split(",")):
            instant = local.replace(tzinfo=tz, fold=0).astimezone(UTC)
            if start < instant <= end:
                yield instant
        local += timedelta(minutes=1)


class TestWindow:
    @pytest.mark.parametrize(
        ("start", "until", "end"),
        [
            ("2026-03-10T02:30+01:00", "06:00", "2026-03-10T06:00+01:00"),
            ("2026-03-10T22:00+01:00", "06:00", "2026-03-11T06:00+01:00"),
            ("2026-03-10T06:00+01:00", "06:00", "2026-03-11T06:00+01:00"),
            ("2026-03-29T01:30+01:00", "02:30", "2026-03-29T03:30+02:00"),
            ("2026-10-25T01:30+02:00", "02:30", "2026-10-25T02:30+02:00"),
            ("2026-10-25T02:10+01:00", "02:30", "2026-10-25T02:30+01:00"),
            # 02:45 of that day does not exist, and came before the start
            ("2026-03-29T03:15+02:00", "02:45", "2026-03-30T02:45+02:00"),
        ],
    )
    @in_berlin
    def test_end(self, start: str, until: str, end: str, zone: ZoneInfo | None) -> None:
        assert window_end(until, at(start), zone) == at(end)

    @pytest.mark.parametrize(
        ("cron", "until", "end"),
        [
            ("30 2 * * *", "06:00", "2026-03-29T06:00+02:00"),
            ("30 2 * * *", "02:45", "2026-03-29T03:45+02:00"),
            # 03:00 exists, but comes before the start that was moved
            ("30 2 * * *", "03:00", "2026-03-29T04:00+02:00"),
            ("30 2 * * *", "03:30", "2026-03-29T04:30+02:00"),
            ("30 2 * * *", "02:00", "2026-03-30T02:00+02:00"),
            ("30 2,3 * * *", "03:00", "2026-03-30T03:00+02:00"),
        ],
    )
    @in_berlin
    def test_end_of_a_run_that_was_moved(self, cron: str, until: str, end: str, zone: ZoneInfo | None) -> None:
        assert window_end(until, at("2026-03-29T03:30+02:00"), zone, cron) == at(end)

    def test_working_job_is_paused_at_the_end(self) -> None:
        schedule = made(until="06:00", job=7, window_end=at("2026-03-11T06:00Z"))
        before = schedules.end_window(schedule, at("2026-03-11T05:59Z"), job())
        step = schedules.end_window(schedule, at("2026-03-11T06:00Z"), job())
        assert (before.action, step.action, step.schedule.held) == (None, RunAction.PAUSE, True)
        after = schedules.end_window(step.schedule, at("2026-03-11T06:01Z"), job(paused=True))
        assert (after.action, after.schedule.window_end, after.schedule.held) == (None, None, True)

    def test_next_run_continues_the_job(self) -> None:
        held = made(until="06:00", job=7, held=True, timezone="UTC")
        step = schedules.advance(held, at("2026-03-11T02:30:01Z"), job(paused=True))
        assert step.action is RunAction.CONTINUE
        resumed = schedules.record_start(step.schedule, 7)
        assert (resumed.window_end, resumed.held) == (at("2026-03-11T06:00Z"), False)
        assert resumed.runs[-1].outcome is RunOutcome.CONTINUED

    def test_job_paused_by_a_user_stays_paused(self) -> None:
        step = schedules.advance(made(job=7, timezone="UTC"), at("2026-03-11T02:30Z"), job(paused=True))
        assert step.action is None
        assert step.schedule.runs[-1].reason == "job 7 is paused; RESUME JOB 7 continues it"

    def test_job_that_a_user_resumed_and_paused_again_stays_paused(self) -> None:
        now = at("2026-03-11T02:30Z")
        held = lifecycle.pause(job(), now, requested_by="schedule nightly")
        again = lifecycle.pause(lifecycle.resume(held, now), now, requested_by="anna@db1, dashboard")
        schedule = made(job=7, held=True, timezone="UTC")
        assert schedules.advance(schedule, now, held).action is RunAction.CONTINUE
        step = schedules.advance(schedule, now, again)
        assert (step.action, step.schedule.held) == (None, False)
        assert step.schedule.runs[-1].reason == "job 7 is paused; RESUME JOB 7 continues it"

    def test_job_ends_in_its_window(self) -> None:
        schedule = made(until="06:00", job=7, window_end=at("2026-03-11T06:00Z"), held=True)
        step = schedules.end_window(schedule, at("2026-03-11T05:00Z"), None)
        assert (step.action, step.schedule.window_end, step.schedule.held) == (None, None, False)


class TestDue:
    def test_not_before_its_time(self) -> None:
        schedule = made(timezone="UTC")
        assert schedules.advance(schedule, at("2026-03-11T02:29:59Z"), None).schedule == schedule

    def test_submits_and_moves_on(self) -> None:
        step = schedules.advance(made(timezone="UTC"), at("2026-03-11T02:30:00Z"), None, last_id=4)
        assert step.action is RunAction.SUBMIT
        assert step.schedule.next == at("2026-03-12T02:30Z")
        run = step.schedule.runs[-1]
        assert (run.at, run.outcome, run.after) == (at("2026-03-11T02:30Z"), RunOutcome.STARTING, 4)

    def test_while_the_job_before_works_it_is_skipped(self) -> None:
        step = schedules.advance(made(timezone="UTC", job=7), at("2026-03-11T02:30Z"), job())
        assert step.action is None
        assert step.schedule.runs[-1].reason == "job 7 of the previous run is still running"

    def test_missed_times_are_one_record_and_never_run(self) -> None:
        step = schedules.advance(
            made("@hourly", timezone="UTC"), at("2026-03-10T20:30Z"), None, absence=NOT_OWNED
        )
        assert step.action is None
        (run,) = step.schedule.runs
        assert (run.at, run.last, run.count) == (at("2026-03-10T13:00Z"), at("2026-03-10T20:00Z"), 8)
        assert (run.outcome, run.reason) == (RunOutcome.SKIPPED, NOT_OWNED)
        assert step.schedule.next == at("2026-03-10T21:00Z")

    def test_missed_times_of_a_year_are_not_counted_to_the_end(self) -> None:
        step = schedules.advance(made("* * * * *", timezone="UTC"), at("2027-03-10T20:30:30Z"), None)
        assert step.action is RunAction.SUBMIT
        assert [run.count for run in step.schedule.runs] == [schedules.MAX_COUNTED, 1]

    def test_new_owner_within_a_minute_runs_it(self) -> None:
        assert schedules.advance(made(timezone="UTC"), at("2026-03-11T02:30:59Z"), None).action
        assert not schedules.advance(made(timezone="UTC"), at("2026-03-11T02:31:00Z"), None).action

    def test_clock_set_back_runs_no_time_twice(self) -> None:
        schedule = schedules.advance(made(timezone="UTC"), at("2026-03-11T02:30Z"), None).schedule
        schedule = schedules.record_start(schedule, 7)
        assert schedules.advance(schedule, at("2026-03-11T02:29Z"), None).action is None
        assert schedules.advance(schedule, at("2026-03-11T02:30Z"), None).action is None

    def test_clock_that_was_years_ahead_does_not_stop_a_schedule(self) -> None:
        schedule = schedules.advance(made(timezone="UTC"), at("2031-03-11T12:00Z"), None).schedule
        schedule = schedules.advance(schedule, at("2026-03-11T12:00Z"), None).schedule
        assert schedule.next == at("2026-03-12T02:30Z")

    def test_paused_schedule_records_nothing_until_resumed(self) -> None:
        schedule = schedules.suspend(made(timezone="UTC"))
        assert schedules.advance(schedule, at("2026-03-20T02:30Z"), None).schedule == schedule
        resumed = schedules.activate(schedule, at("2026-03-20T02:30Z"))
        assert (resumed.next, resumed.runs) == (at("2026-03-21T02:30Z"), ())

    def test_resumed_after_the_clock_was_set_back_runs_no_time_twice(self) -> None:
        schedule = schedules.advance(made(timezone="UTC"), at("2026-03-11T02:30Z"), None).schedule
        paused = schedules.suspend(schedules.record_start(schedule, 7))
        assert schedules.activate(paused, at("2026-03-11T02:00Z")).next == at("2026-03-12T02:30Z")

    def test_run_by_hand_does_not_move_the_next_time(self) -> None:
        schedule = made(timezone="UTC")
        step = schedules.run_now(schedule, at("2026-03-10T13:00Z"), None, 0)
        assert (step.action, step.schedule.next) == (RunAction.SUBMIT, schedule.next)
        with pytest.raises(StatementRefused, match="Job 7 of schedule 'nightly' is still running"):
            schedules.run_now(replace(schedule, job=7), at("2026-03-10T13:00Z"), job(), 0)

    def test_run_that_was_starting_when_the_owner_ended(self) -> None:
        step = schedules.advance(made(timezone="UTC"), at("2026-03-11T02:30Z"), None, last_id=6)
        assert schedules.resolve_start(step.schedule, [job(7)], None).job == 7
        lost = schedules.resolve_start(step.schedule, [replace(job(7), schedule="")], None).runs[-1]
        assert (lost.outcome, lost.reason) == (
            RunOutcome.FAILED,
            "jobtui ended before the run had begun",
        )


def moved(skipped: str, moment: str) -> str:
    return f"daylight saving: {skipped} does not exist on this day, moved to {moment}"


def twice(moment: str) -> str:
    return f"daylight saving: {moment} exists twice on this day, runs the first time only"


class TestNotes:
    """What a run records about its time."""

    @pytest.mark.parametrize(
        ("zone", "cron", "notes"),
        [
            ("Europe/Berlin", "30 2 * * 0", {moved("02:30", "03:30"): 3, twice("02:30"): 10}),
            ("America/New_York", "5 2 * * 0", {moved("02:05", "03:05"): 3}),
            ("America/New_York", "5 1 * * 0", {twice("01:05"): 11}),
            ("Australia/Lord_Howe", "15 2 * * 0", {moved("02:15", "02:45"): 10}),
            ("Australia/Lord_Howe", "45 1 * * 0", {twice("01:45"): 4}),
            ("Asia/Kolkata", "30 2 * * 0", {}),
        ],
    )
    def test_daylight_saving_over_years(self, zone: str, cron: str, notes: dict[str, int]) -> None:
        """A run every Sunday, in five years: one a week, and a note at each change of the clock."""
        schedule, dates, noted = made(cron, "2026-01-01T12:00Z", timezone=zone), [], []
        for number in range(5 * 52):
            assert schedule.next is not None
            step = schedules.advance(schedule, schedule.next, None, number)
            assert step.action is RunAction.SUBMIT
            schedule = schedules.record_start(step.schedule, number + 1)
            run = schedule.runs[-1]
            local = run.at.astimezone(ZoneInfo(zone))
            dates.append(local.date())
            if run.reason:
                noted.append((run.reason, local.month))
        assert all(after - before == timedelta(days=7) for before, after in pairwise(dates))
        assert Counter(noted) == dict.fromkeys(notes.items(), 5)

    def test_time_that_was_moved_is_noted_if_it_is_skipped(self) -> None:
        schedule = made("30 2 29 3 *", "2026-03-28T12:00Z", timezone="Europe/Berlin", job=7)
        step = schedules.advance(schedule, at("2026-03-29T03:30+02:00"), job())
        (run,) = step.schedule.runs
        assert run.reason == (f"job 7 of the previous run is still running; {moved('02:30', '03:30')}")

    @pytest.mark.parametrize(("seconds", "note"), [(9, ""), (10, f"0:10 late: {NOT_AWAKE}")])
    def test_delay(self, seconds: int, note: str) -> None:
        step = schedules.advance(made(timezone="UTC"), at(f"2026-03-11T02:30:{seconds:02}Z"), None)
        assert (step.action, step.schedule.runs[-1].reason) == (RunAction.SUBMIT, note)

    def test_clock_that_was_years_ahead(self) -> None:
        schedule = schedules.advance(made(timezone="UTC"), at("2031-03-11T12:00Z"), None).schedule
        schedule = schedules.advance(schedule, at("2026-03-11T12:00Z"), None).schedule
        note = f"the clock was set back from {format_local_time(at('2031-03-11T12:00Z'))}"
        assert schedule.clock_note == note
        step = schedules.advance(schedule, at("2026-03-12T02:30Z"), None)
        assert (step.schedule.runs[-1].reason, step.schedule.clock_note) == (note, "")

    def test_continued_run_keeps_its_note(self) -> None:
        schedule = made(timezone="Europe/Berlin", now="2026-03-28T12:00Z", job=7)
        step = schedules.advance(schedule, at("2026-03-29T03:30+02:00"), None, 7, interrupted())
        assert step.schedule.runs[-1].reason == (
            f"continues job 7, which was interrupted; {moved('02:30', '03:30')}"
        )


class TestInterrupted:
    window = at("2026-03-11T06:00Z")

    def nightly(self, until: str | None = "06:00") -> Schedule:
        step = schedules.advance(made(until=until, timezone="UTC"), at("2026-03-11T02:30Z"), None)
        return schedules.record_start(step.schedule, 7)

    def test_next_owner_continues_in_the_window(self) -> None:
        now = at("2026-03-11T03:10Z")
        kept = schedules.end_window(self.nightly(), now, None, interrupted()).schedule
        step = schedules.advance(kept, now, None, 7, interrupted())
        assert step.action is RunAction.RECOVER
        after = schedules.record_start(step.schedule, 8)
        run = after.runs[-1]
        assert (run.outcome, run.job, run.recovers) == (RunOutcome.CONTINUED, 8, 7)
        assert (run.reason, after.window_end) == ("continues job 7, which was interrupted", self.window)
        assert schedules.advance(after, now, job(8), 8).action is None

    def test_next_run_continues_after_the_window(self) -> None:
        late = at("2026-03-11T06:00Z")
        step = schedules.advance(self.nightly(), late, None, 7, interrupted())
        assert (step.action, step.schedule.window_end) == (None, None)
        step = schedules.advance(step.schedule, at("2026-03-12T02:30Z"), None, 7, interrupted())
        assert step.action is RunAction.RECOVER
        assert step.schedule.runs[-1].end == at("2026-03-12T06:00Z")

    def test_without_a_window_only_soon(self) -> None:
        schedule = self.nightly(until=None)
        soon, late = at("2026-03-11T03:09Z"), at("2026-03-11T03:10Z")
        assert schedules.advance(schedule, soon, None, 7, interrupted()).action is RunAction.RECOVER
        assert schedules.advance(schedule, late, None, 7, interrupted()).action is None

    def test_recovered_by_hand_is_not_continued(self) -> None:
        assert schedules.advance(self.nightly(), at("2026-03-11T03:10Z"), None, 8, None).action is None

    def test_paused_schedule_does_not_continue(self) -> None:
        paused = schedules.suspend(self.nightly())
        assert schedules.advance(paused, at("2026-03-11T03:10Z"), None, 7, interrupted()).action is None

    def test_one_that_ends_jobtui_each_time_is_given_up(self) -> None:
        schedule, now = self.nightly(), at("2026-03-11T03:10Z")
        continued = 0
        while (step := schedules.advance(schedule, now, None, 7, interrupted())).action is RunAction.RECOVER:
            schedule, continued = schedules.record_start(step.schedule, 8 + continued), continued + 1
        assert continued == schedules.MAX_CONTINUED
        step = schedules.advance(schedule, at("2026-03-12T02:30Z"), None, 7, interrupted())
        assert step.action is RunAction.RECOVER

    def test_owner_that_ends_while_it_continues(self) -> None:
        now = at("2026-03-11T03:10Z")
        step = schedules.advance(self.nightly(), now, None, 7, interrupted())
        assert schedules.resolve_start(step.schedule, [job(8)], None).job == 8
        again = schedules.resolve_start(step.schedule, [], None)
        assert again.runs[-1].outcome is RunOutcome.FAILED
        assert schedules.advance(again, now, None, 7, interrupted()).action is RunAction.RECOVER


class TestFile:
    def test_written_and_read(self, tmp_path: Path) -> None:
        step = schedules.advance(made(until="06:00", timezone="UTC"), at("2026-03-11T02:30Z"), None)
        found = [step.schedule, made(timezone="Europe/Berlin")]
        found[1] = replace(found[1], name="other")
        (tmp_path / schedules.FILE).write_bytes(schedules.encode_schedules(found))
        loaded = schedules.load_schedules(tmp_path)
        assert list(loaded.schedules.values()) == found
        assert (loaded.damage, loaded.refusal) == ("", "")

    def test_any_cut_is_noticed(self, tmp_path: Path) -> None:
        data = schedules.encode_schedules([made(), replace(made(), name="other")])
        for kept in range(0, len(data), 7):
            (tmp_path / schedules.FILE).write_bytes(data[:kept])
            assert schedules.load_schedules(tmp_path).damage, kept

    def test_damaged_schedule_leaves_the_others(self, tmp_path: Path) -> None:
        data = schedules.encode_schedules([made(), replace(made(), name="other")])
        (tmp_path / schedules.FILE).write_bytes(data.replace(b"nightly", b"nightlx"))
        loaded = schedules.load_schedules(tmp_path)
        assert (list(loaded.schedules), loaded.damage) == (["other"], "1 of its lines cannot be read")

    def test_newer_file_is_not_changed(self, tmp_path: Path) -> None:
        data = schedules.frame_line(b'{"format":2,"schedules":0}')
        (tmp_path / schedules.FILE).write_bytes(data)
        assert "newer jobtui" in schedules.load_schedules(tmp_path).refusal
