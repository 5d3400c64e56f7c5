"""The statements on schedules, and their runs, in an engine over the real history with a clock of the test."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.engine import queries, schedule_runner, schedules
from jobtui.engine.client import Session
from jobtui.engine.profile import Profile, keep_owner
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.schedule_runner import CHECK_SECONDS
from jobtui.engine.scheduler import RunPolicy
from jobtui.engine.schedules import (
    FILE,
    KEPT_RUNS,
    NO_OWNER,
    NOT_OWNED,
    RunOutcome,
    Schedule,
    ScheduleRun,
)
from jobtui.formatting import format_local_time
from jobtui.model import Notice, Status, StepPosition
from tests.support.clock import FakeClock
from tests.support.engines import bench
from tests.support.made_schedules import DAY, NIGHTLY, TO_FIRST, pass_to, shown
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import eventually

WINDOW = 3.5 * 3600


def storage() -> ScriptedStorage:
    return ScriptedStorage({"nba": ("h1", "h2")}, obey=True)


class TestStatements:
    def test_created_shown_and_dropped(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            assert b.rows(NIGHTLY) == []
            assert b.rows("SHOW SCHEDULES")[0][:4] == (
                "nightly",
                "30 2 * * *",
                "06:00",
                'ADMIN COMPACT nba WITH rolling = 1, because = "churn"',
            )
            row = shown(b)
            assert (row["Next"], row["Last"], row["State"]) == ("2019-12-18T02:30:00+00:00", None, "active")
            assert b.refusal(NIGHTLY).startswith("Schedule 'nightly' exists already")
            again = b.execute(NIGHTLY.replace("SCHEDULE ", "SCHEDULE IF NOT EXISTS "))
            assert again.results[0].notice == "Schedule 'nightly' exists already"
            assert b.refusal("DROP SCHEDULE nigthly") == (
                "Schedule 'nigthly' does not exist; did you mean 'nightly'?"
            )
            b.execute("DROP SCHEDULE nightly")
            assert b.rows("SHOW SCHEDULES") == []
            assert b.execute("DROP SCHEDULE IF EXISTS nightly").failure is None

    def test_space_is_the_chosen_one_and_must_exist(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            assert "Space was not chosen" in b.refusal('CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH')
            assert "did you mean 'nba'" in b.refusal('CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH nbaa')
            assert "not on host 'h3'" in b.refusal('CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH nba ON h3')
            b.execute("USE nba")
            b.execute('CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH')
            assert b.rows("SHOW SCHEDULES")[0][3] == "ADMIN FLUSH nba"

    def test_notice_has_the_next_window(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            (made,) = b.execute(
                'CREATE SCHEDULE s AT " 30  6 * * * " UNTIL "6:00" WITH timezone = "UTC" DO ADMIN FLUSH nba'
            ).results
            start, end = (datetime(2019, 12, day, 6, minute, tzinfo=UTC) for day, minute in ((18, 30), (19, 0)))
            assert made.notice == (
                f"Schedule 's' runs next at {format_local_time(start)}, until {format_local_time(end)}"
            )
            assert (shown(b)["At"], shown(b)["Until"]) == ("30 6 * * *", "06:00")

    def test_paused_and_resumed(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
            assert b.refusal("RESUME SCHEDULE nightly") == "Schedule 'nightly' is not paused"
            b.execute("PAUSE SCHEDULE nightly")
            assert b.refusal("PAUSE SCHEDULE nightly") == "Schedule 'nightly' is already paused"
            b.clock.advance(3 * DAY)
            assert (shown(b)["Next"], shown(b)["State"]) == (None, "paused")
            b.execute("RESUME SCHEDULE nightly")
            assert (shown(b)["Next"], shown(b)["runs"]) == ("2019-12-21T02:30:00+00:00", [])

    def test_run_by_hand(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
            assert b.rows("RUN SCHEDULE nightly") == [("1",)]
            assert b.refusal("RUN SCHEDULE nightly") == "Job 1 of schedule 'nightly' is still running"
            job = b.job(1)
            assert (job.schedule, job.options.because) == ("nightly", "churn")
            assert job.requested_by.endswith(", schedule")
            row = shown(b)
            assert (row["Next"], row["job"]) == ("2019-12-18T02:30:00+00:00", 1)
            assert (
                b.execute("DROP SCHEDULE nightly").results[0].notice
                == "Job 1 continues, and no schedule pauses it"
            )


class TestRuns:
    def test_window_pauses_and_next_run_continues(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
            pass_to(b, TO_FIRST)
            b.events.until(1, Status.RUNNING)
            b.storage.operation("nba", "h1")
            pass_to(b, WINDOW)
            b.events.wait_for(lambda: b.events.jobs(1)[-1].paused)
            event = b.job(1).events[-1]
            assert event.reason == "the window of schedule 'nightly' ended at 06:00"
            b.storage.operation("nba", "h1").pause()
            b.events.wait_for(lambda: b.events.jobs(1)[-1].tasks[0].status is Status.QUEUE)
            assert shown(b)["Result"] == "job 1 paused 0/2"
            pass_to(b, DAY - WINDOW)
            b.events.wait_for(lambda: not b.events.jobs(1)[-1].paused)
            b.storage.operation("nba", "h1", 1).finish()
            b.storage.operation("nba", "h2").finish()
            b.events.until(1, Status.FINISHED)
            # the resumed job may end before the runner has written that the run has begun
            eventually(lambda: not schedules.is_starting(b.engine.engine.schedules.all()[0]))
            runs = shown(b)["runs"]
            assert isinstance(runs, list)
            assert [(run["outcome"], run["job"]) for run in runs] == [("submitted", 1), ("continued", 1)]
            assert shown(b)["Result"] == "job 1 finished"

    def test_skipped_while_the_job_before_works(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY.replace('UNTIL "06:00" ', ""))
            pass_to(b, TO_FIRST)
            b.events.until(1, Status.RUNNING)
            pass_to(b, DAY)
            b.clock.wait_for_sleepers(1)
            assert shown(b)["Result"] == "skipped: job 1 of the previous run is still running"
            assert b.engine.history.last_id() == 1

    def test_missing_space_is_a_failed_run(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
            b.execute("DROP SPACE nba")
            pass_to(b, TO_FIRST)
            b.events.until_published(Notice, text="Schedule 'nightly' could not start its job")
            assert shown(b)["Result"] == "failed: Space 'nba' does not exist"

    def test_time_without_an_owner_is_skipped(self, tmp_path: Path) -> None:
        clock = FakeClock()
        with bench(tmp_path, storage(), clock=clock) as b:
            b.execute(NIGHTLY)
        clock.advance(3 * DAY)
        with bench(tmp_path, storage(), clock=clock) as b:
            b.clock.wait_for_sleepers(1)
            assert shown(b)["Result"] == f"skipped 3 times: {NOT_OWNED}"
            assert b.engine.history.last_id() == 0

    def test_window_that_ended_without_an_owner(self, tmp_path: Path) -> None:
        clock = FakeClock()
        held = ScriptedStorage({"nba": ("h1",), "other": ("h1",)})
        with bench(tmp_path, held, clock=clock, max_running_jobs=1) as b:
            b.execute(NIGHTLY)
            b.execute("ADMIN COMPACT other")
            held.operation("other", "h1")
            pass_to(b, TO_FIRST)
            b.events.until(2, Status.QUEUE)
        clock.advance(DAY / 2)
        with bench(tmp_path, storage(), clock=clock) as b:
            assert b.job(2).paused
            assert b.storage.begun == []


class TestInterrupted:
    """The owner of a schedule's job is killed: closing an engine leaves its history as a kill does."""

    def crash(self, tmp_path: Path, clock: FakeClock) -> None:
        with bench(tmp_path, storage(), clock=clock) as b:
            b.execute(NIGHTLY)
            pass_to(b, TO_FIRST)
            b.storage.operation("nba", "h1").finish()
            b.storage.operation("nba", "h2").progress(
                0.2, steps=StepPosition(2, 9, "db", "default", b"k", 9, 9)
            )
            b.events.wait_for(lambda: b.job(1).tasks[1].steps is not None)

    def test_next_owner_continues_in_the_window(self, tmp_path: Path) -> None:
        clock = FakeClock()
        self.crash(tmp_path, clock)
        clock.advance(3600)
        with bench(tmp_path, storage(), clock=clock) as b:
            rest = b.storage.operation("nba", "h2")
            assert rest.request is not None
            assert rest.request.resume is not None
            assert rest.request.resume.done == 2
            assert [task.host for task in b.job(2).tasks] == ["h2"]
            assert (b.job(2).schedule, b.job(2).recovered_from) == ("nightly", 1)
            said = "Schedule 'nightly' continues job 1, which was interrupted, as job 2"
            b.events.wait_for(lambda: said in b.events.notices)
            row = shown(b)
            assert row["Result"] == "job 2 running: continues job 1, which was interrupted"
            runs = row["runs"]
            assert isinstance(runs, list)
            assert [(run["job"], run["recovers"]) for run in runs] == [(1, None), (2, 1)]
            pass_to(b, WINDOW - 3600)  # the window of the interrupted run ends the one that continues it
            # the runner may have read the clock before it moved, and begin to sleep after it
            while not b.events.jobs(2)[-1].paused:
                b.clock.pass_by(CHECK_SECONDS)
        with bench(tmp_path, storage(), clock=clock) as b:
            b.clock.wait_for_sleepers(1)
            assert b.engine.history.last_id() == 2

    def test_next_run_continues_after_the_window(self, tmp_path: Path) -> None:
        clock = FakeClock()
        self.crash(tmp_path, clock)
        clock.advance(DAY / 2)
        with bench(tmp_path, storage(), clock=clock) as b:
            b.clock.wait_for_sleepers(1)
            assert b.engine.history.last_id() == 1
            pass_to(b, DAY / 2)
            b.storage.operation("nba", "h2").finish()
            b.events.until(2, Status.FINISHED)
            assert len(b.storage.begun) == 1

    def test_job_that_a_user_recovered_is_not_continued(self, tmp_path: Path) -> None:
        clock = FakeClock()
        self.crash(tmp_path, clock)
        with bench(tmp_path, storage(), clock=clock, run=RunPolicy.NONE) as b:
            b.execute("RECOVER JOB 1")
        with bench(tmp_path, storage(), clock=clock) as b:
            b.storage.operation("nba", "h1")
            b.clock.wait_for_sleepers(1)
            assert b.engine.history.last_id() == 2


class TestFileOnDisk:
    def test_damage_is_kept_and_reported(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
            b.execute(NIGHTLY.replace("nightly", "weekly"))
        file = tmp_path / "history" / FILE
        damaged = file.read_bytes().replace(b'"name":"nightly"', b'"name":"nightlx"')
        file.write_bytes(damaged)
        with bench(tmp_path, storage()) as b:
            b.events.until_published(Notice, text="1 of its lines cannot be read")
            assert [row[0] for row in b.rows("SHOW SCHEDULES")] == ["weekly"]
            assert (tmp_path / "history" / "quarantine" / FILE).read_bytes() == damaged
        with bench(tmp_path, storage()) as b:
            assert [row[0] for row in b.rows("SHOW SCHEDULES")] == ["weekly"]
            assert not any(FILE in text for text in b.events.notices)

    def test_unknown_time_zone_pauses_one_schedule(self, tmp_path: Path) -> None:
        """A machine without time zones must not lose the schedules that name one."""
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
        file = tmp_path / "history" / FILE
        (one,) = schedules.load_schedules(file.parent).schedules.values()
        abroad = replace(one, name="abroad", timezone="Mars/Base")
        file.write_bytes(schedules.encode_schedules([one, abroad]))
        with bench(tmp_path, storage()) as b:
            b.events.until_published(Notice, text="Schedule 'abroad' is paused: 'Mars/Base' is not a time zone")
            assert [(row[0], row[7]) for row in b.rows("SHOW SCHEDULES")] == [
                ("abroad", "paused"),
                ("nightly", "active"),
            ]
            for verb in ("RUN", "RESUME"):
                assert "is not a time zone" in b.refusal(f"{verb} SCHEDULE abroad")
            pass_to(b, TO_FIRST)
            b.events.until(1, Status.RUNNING)
            assert b.job(1).schedule == "nightly"
        assert schedules.load_schedules(file.parent).schedules["abroad"].timezone == "Mars/Base"

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"at": "@yearly"}, "@yearly is not known"),
            ({"until": "25:00"}, "is written as 06:00"),
        ],
    )
    def test_unknown_times_pause_one_schedule(
        self, tmp_path: Path, fields: dict[str, str], problem: str
    ) -> None:
        """A newer jobtui may know more forms; they must not end the other schedules."""
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
        file = tmp_path / "history" / FILE
        (one,) = schedules.load_schedules(file.parent).schedules.values()
        file.write_bytes(schedules.encode_schedules([one, replace(one, name="other", **fields)]))
        with bench(tmp_path, storage()) as b:
            b.events.until_published(Notice, text="Schedule 'other' is paused: ")
            states = [(row[0], row[7]) for row in b.rows("SHOW SCHEDULES")]
            assert states == [("nightly", "active"), ("other", "paused")]
            for verb in ("RUN", "RESUME"):
                assert problem in b.refusal(f"{verb} SCHEDULE other")
            pass_to(b, TO_FIRST)
            b.events.until(1, Status.RUNNING)

    @pytest.mark.parametrize("kind", ["newer", "pipe"])
    def test_foreign_file_is_not_changed(self, tmp_path: Path, kind: str) -> None:
        file = tmp_path / "history" / FILE
        file.parent.mkdir()
        if kind == "pipe":
            os.mkfifo(file)
        else:
            file.write_bytes(schedules.frame_line(b'{"format":2,"schedules":0}'))
        with bench(tmp_path, storage()) as b:
            for text in (NIGHTLY, "SHOW SCHEDULES", "RUN SCHEDULE nightly", "DROP SCHEDULE nightly"):
                assert ("newer jobtui" if kind == "newer" else "it is a pipe") in b.refusal(text)
            assert b.rows("ADMIN FLUSH nba") == [("1",)]
        assert file.is_fifo() is (kind == "pipe")

    def test_link_is_replaced_and_its_target_is_not(self, tmp_path: Path) -> None:
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
        file = tmp_path / "history" / FILE
        elsewhere = file.rename(tmp_path / "elsewhere")
        before = elsewhere.read_bytes()
        file.symlink_to(elsewhere)
        with bench(tmp_path, storage()) as b:
            assert [row[0] for row in b.rows("SHOW SCHEDULES")] == ["nightly"]
            b.execute("PAUSE SCHEDULE nightly")
        assert (elsewhere.read_bytes(), file.is_symlink()) == (before, False)

    def test_unreadable_file_is_never_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "history" / FILE).mkdir(parents=True)
        with bench(tmp_path, storage()) as b:
            assert "cannot be read" in b.refusal(NIGHTLY)
            assert "cannot be read" in b.refusal("SHOW SCHEDULES")
            assert b.rows("ADMIN FLUSH nba") == [("1",)]


class TestThousands:
    """So many schedules of one time that work for each of all of them would take minutes."""

    COUNT = 1000

    def many(self, tmp_path: Path, runs: int = 0) -> list[Schedule]:
        with bench(tmp_path, storage()) as b:
            b.execute(NIGHTLY)
        file = tmp_path / "history" / FILE
        (one,) = schedules.load_schedules(file.parent).schedules.values()
        past = tuple(ScheduleRun(one.created, RunOutcome.SUBMITTED, job=1) for _ in range(runs))
        made = [replace(one, name=f"s{number:04}", runs=past) for number in range(self.COUNT)]
        file.write_bytes(schedules.encode_schedules(made))
        return made

    def test_due_at_once_are_written_together(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.many(tmp_path)
        written: list[int] = []
        write = schedule_runner.write_atomically

        def count(path: Path, data: bytes) -> None:
            write(path, data)
            written.append(len(data))

        monkeypatch.setattr(schedule_runner, "write_atomically", count)
        with bench(tmp_path, ScriptedStorage({"nba": ("h1",)})) as b:
            pass_to(b, TO_FIRST)
            b.events.wait_for(lambda: len(written) == 2)
            assert b.engine.history.last_id() == self.COUNT
            assert {b.job(number).schedule for number in (1, self.COUNT)} == {"s0000", f"s{self.COUNT - 1:04}"}
        assert len(written) == 2  # the decisions, and the jobs
        loaded = schedules.load_schedules(tmp_path / "history").schedules
        assert len({schedule.job for schedule in loaded.values()}) == self.COUNT

    def test_answer_reads_a_bounded_number_of_jobs_and_times(self, tmp_path: Path) -> None:
        made = self.many(tmp_path, runs=KEPT_RUNS)
        asked: list[int] = []
        result = queries.schedules_result("", made, lambda job: asked.append(job), made[0].created)
        times = sum(len(row.values["upcoming"]) for row in result.rows)  # type: ignore[arg-type]  # a list
        assert len(asked) <= 2 * self.COUNT + 2 * queries._MOST_RUNS
        assert self.COUNT <= times <= queries._MOST_TIMES
        assert all(row.values["upcoming_until"] == row.values["upcoming"][-1][0] for row in result.rows)  # type: ignore[index]  # a list
        (alone,) = queries.schedules_result("", made[:1], lambda _: None, made[0].created).rows
        assert alone.values["upcoming_until"] is None
        assert len(alone.values["runs"]) == KEPT_RUNS  # type: ignore[arg-type]  # a list


def test_reader_reports_a_missing_owner(tmp_path: Path) -> None:
    with bench(tmp_path, storage()) as b:
        b.execute(NIGHTLY)
        assert b.execute("SHOW SCHEDULES").results[0].notice == ""
        reader = ReadOnlyClient.open(Profile("local", tmp_path))
        assert reader.execute("SHOW SCHEDULES", Session()).result().results[0].notice == ""
        reader.close()
    reader = ReadOnlyClient.open(Profile("local", tmp_path))
    (result,) = reader.execute("SHOW SCHEDULES", Session()).result().results
    how = keep_owner(Profile("local", tmp_path))
    assert (result.rows[0].cells[0], result.notice) == ("nightly", f"{NO_OWNER}: {how}")
    assert "systemd user unit with ExecStart=" in result.notice
    assert f"--data-dir {tmp_path.parent} serve --background" in result.notice.partition("@reboot ")[2]
    reader.close()
