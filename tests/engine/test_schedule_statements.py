"""The statements on schedules, and their runs, in an engine over the real history with a clock of the test."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.engine import queries, schedule_runner, schedules
from jobtui.engine.client import Session
from jobtui.engine.job_log import describe_pause
from jobtui.engine.profile import Profile, describe_autostart
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
from jobtui.model import EventKind, Notice, Status, StepPosition
from tests.support.clock import FakeClock
from tests.support.engines import open_bench
from tests.support.made_schedules import DAY, NIGHTLY, TO_FIRST, pass_to, shown
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import eventually

WINDOW = 3.5 * 3600


def storage() -> ScriptedStorage:
    return ScriptedStorage({"nba": ("h1", "h2")}, obey=True)


class TestStatements:
    def test_created_shown_and_dropped(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            assert bench.rows(NIGHTLY) == []
            assert bench.rows("SHOW SCHEDULES")[0][:4] == (
                "nightly",
                "30 2 * * *",
                "06:00",
                'ADMIN COMPACT nba WITH rolling = 1, because = "churn"',
            )
            row = shown(bench)
            assert (row["Next"], row["Last"], row["State"]) == ("2019-12-18T02:30:00+00:00", None, "active")
            assert bench.refusal(NIGHTLY).startswith("Schedule 'nightly' exists already")
            again = bench.execute(NIGHTLY.replace("SCHEDULE ", "SCHEDULE IF NOT EXISTS "))
            assert again.results[0].notice == "Schedule 'nightly' exists already"
            assert bench.refusal("DROP SCHEDULE nigthly") == (
                "Schedule 'nigthly' does not exist; did you mean 'nightly'?"
            )
            bench.execute("DROP SCHEDULE nightly")
            assert bench.rows("SHOW SCHEDULES") == []
            assert bench.execute("DROP SCHEDULE IF EXISTS nightly").failure is None

    def test_space_is_the_chosen_one_and_must_exist(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            assert "Space was not chosen" in bench.refusal('CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH')
            assert "did you mean 'nba'" in bench.refusal('CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH nbaa')
            assert "not on host 'h3'" in bench.refusal('CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH nba ON h3')
            bench.execute("USE nba")
            bench.execute('CREATE SCHEDULE s AT "@daily" DO ADMIN FLUSH')
            assert bench.rows("SHOW SCHEDULES")[0][3] == "ADMIN FLUSH nba"

    def test_notice_has_the_next_window(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            (made,) = bench.execute(
                'CREATE SCHEDULE s AT " 30  6 * * * " UNTIL "6:00" WITH timezone = "UTC" DO ADMIN FLUSH nba'
            ).results
            start, end = (datetime(2019, 12, day, 6, minute, tzinfo=UTC) for day, minute in ((18, 30), (19, 0)))
            assert made.notice == (
                f"Schedule 's' runs next at {format_local_time(start)}, until {format_local_time(end)}"
            )
            assert (shown(bench)["At"], shown(bench)["Until"]) == ("30 6 * * *", "06:00")

    def test_paused_and_resumed(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
            assert bench.refusal("RESUME SCHEDULE nightly") == "Schedule 'nightly' is not paused"
            bench.execute("PAUSE SCHEDULE nightly")
            assert bench.refusal("PAUSE SCHEDULE nightly") == "Schedule 'nightly' is already paused"
            bench.clock.advance(3 * DAY)
            assert (shown(bench)["Next"], shown(bench)["State"]) == (None, "paused")
            bench.execute("RESUME SCHEDULE nightly")
            assert (shown(bench)["Next"], shown(bench)["runs"]) == ("2019-12-21T02:30:00+00:00", [])

    def test_run_by_hand(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
            assert bench.rows("RUN SCHEDULE nightly") == [("1",)]
            assert bench.refusal("RUN SCHEDULE nightly") == "Job 1 of schedule 'nightly' is still running"
            job = bench.job(1)
            assert (job.schedule, job.options.because) == ("nightly", "churn")
            assert job.requested_by.endswith(", schedule")
            row = shown(bench)
            assert (row["Next"], row["job"]) == ("2019-12-18T02:30:00+00:00", 1)
            assert (
                bench.execute("DROP SCHEDULE nightly").results[0].notice
                == "Job 1 continues, and no schedule pauses it"
            )


class TestRuns:
    def test_window_pauses_and_next_run_continues(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
            pass_to(bench, TO_FIRST)
            bench.events.until(1, Status.RUNNING)
            bench.storage.operation("nba", "h1")
            pass_to(bench, WINDOW)
            bench.events.wait_for(lambda: bench.events.jobs(1)[-1].paused)
            event = bench.job(1).events[-1]
            assert event.reason == "its window ended at 06:00; continues Thu 02:30"
            assert event.requested_by == "schedule nightly"
            bench.storage.operation("nba", "h1").pause()
            bench.events.wait_for(lambda: bench.events.jobs(1)[-1].tasks[0].status is Status.QUEUE)
            assert shown(bench)["Result"] == "job 1 paused 0/2"
            pass_to(bench, DAY - WINDOW)
            bench.events.wait_for(lambda: not bench.events.jobs(1)[-1].paused)
            resumed = next(event for event in bench.job(1).events if event.kind is EventKind.RESUMED)
            assert resumed.requested_by == "schedule nightly"
            bench.storage.operation("nba", "h1", 1).finish()
            bench.storage.operation("nba", "h2").finish()
            bench.events.until(1, Status.FINISHED)
            # the resumed job may end before the runner has written that the run has begun
            eventually(lambda: not schedules.is_starting(bench.engine.engine.schedules.all()[0]))
            runs = shown(bench)["runs"]
            assert isinstance(runs, list)
            assert [(run["outcome"], run["job"]) for run in runs] == [("submitted", 1), ("continued", 1)]
            assert shown(bench)["Result"] == "job 1 finished"

    @pytest.mark.parametrize(
        ("statement", "reason"),
        [
            ("PAUSE SCHEDULE nightly", "schedule 'nightly' was paused; RESUME JOB 1 continues it"),
            ("DROP SCHEDULE nightly", "schedule 'nightly' was dropped; RESUME JOB 1 continues it"),
            (
                "PAUSE SCHEDULE nightly; RESUME SCHEDULE nightly",
                "schedule 'nightly' was resumed; continues Thu 02:30",
            ),
        ],
    )
    def test_changed_schedule_changes_what_continues_its_job(
        self, tmp_path: Path, statement: str, reason: str
    ) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
            pass_to(bench, TO_FIRST)
            bench.storage.operation("nba", "h1")
            pass_to(bench, WINDOW)
            bench.events.wait_for(lambda: bench.events.jobs(1)[-1].paused)
            bench.execute(statement)
            bench.events.wait_for(lambda: bench.events.jobs(1)[-1].events[-1].reason == reason)
            assert describe_pause(bench.job(1)) == f"paused: {reason}"

    def test_changed_schedule_does_not_explain_the_pause_of_a_user(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
            pass_to(bench, TO_FIRST)
            bench.storage.operation("nba", "h1")
            pass_to(bench, WINDOW)
            bench.events.wait_for(lambda: bench.events.jobs(1)[-1].paused)
            bench.execute('RESUME JOB 1; PAUSE JOB 1 WITH because = "wrong night"; PAUSE SCHEDULE nightly')
            bench.execute("SET RATE 5 MiB")  # its record comes after any of the schedule
            bench.events.wait_for(lambda: bench.events.jobs(1)[-1].events[-1].kind is EventKind.RATE_SET)
            assert describe_pause(bench.job(1)).endswith("): wrong night")

    def test_run_that_was_missed_no_longer_continues_its_job(self, tmp_path: Path) -> None:
        clock = FakeClock()
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            bench.execute(NIGHTLY)
            pass_to(bench, TO_FIRST)
            bench.storage.operation("nba", "h1")
            pass_to(bench, WINDOW)
            bench.events.wait_for(lambda: bench.events.jobs(1)[-1].paused)
            bench.storage.operation("nba", "h1").pause()
            bench.events.wait_for(lambda: bench.events.jobs(1)[-1].tasks[0].status is Status.QUEUE)
        clock.advance(DAY)
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            missed = "schedule 'nightly' did not continue it when it was due; continues Fri 02:30"
            eventually(lambda: describe_pause(bench.job(1)) == f"paused: {missed}")

    def test_run_by_hand_names_the_user_who_continues_the_job(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
            bench.execute("RUN SCHEDULE nightly; PAUSE JOB 1; RUN SCHEDULE nightly")
            event = bench.job(1).events[-1]
            assert (event.kind, event.requested_by) == (EventKind.RESUMED, bench.session.requested_by)

    def test_skipped_while_the_job_before_works(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY.replace('UNTIL "06:00" ', ""))
            pass_to(bench, TO_FIRST)
            bench.events.until(1, Status.RUNNING)
            pass_to(bench, DAY)
            bench.clock.wait_for_sleepers(1)
            assert shown(bench)["Result"] == "skipped: job 1 of the previous run is still running"
            assert bench.engine.history.last_id() == 1

    def test_missing_space_is_a_failed_run(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
            bench.execute("DROP SPACE nba")
            pass_to(bench, TO_FIRST)
            bench.events.until_published(Notice, text="Schedule 'nightly' could not start its job")
            assert shown(bench)["Result"] == "failed: Space 'nba' does not exist"

    def test_time_without_an_owner_is_skipped(self, tmp_path: Path) -> None:
        clock = FakeClock()
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            bench.execute(NIGHTLY)
        clock.advance(3 * DAY)
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            bench.clock.wait_for_sleepers(1)
            assert shown(bench)["Result"] == f"skipped 3 times: {NOT_OWNED}"
            assert bench.engine.history.last_id() == 0

    def test_window_that_ended_without_an_owner(self, tmp_path: Path) -> None:
        clock = FakeClock()
        held = ScriptedStorage({"nba": ("h1",), "other": ("h1",)})
        with open_bench(tmp_path, held, clock=clock, max_running_jobs=1) as bench:
            bench.execute(NIGHTLY)
            bench.execute("ADMIN COMPACT other")
            held.operation("other", "h1")
            pass_to(bench, TO_FIRST)
            bench.events.until(2, Status.QUEUE)
        clock.advance(DAY / 2)
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            assert bench.job(2).paused
            assert bench.storage.begun == []


class TestInterrupted:
    """The owner of a schedule's job is killed: closing an engine leaves its history as a kill does."""

    def crash(self, tmp_path: Path, clock: FakeClock) -> None:
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            bench.execute(NIGHTLY)
            pass_to(bench, TO_FIRST)
            bench.storage.operation("nba", "h1").finish()
            bench.storage.operation("nba", "h2").progress(
                0.2, steps=StepPosition(2, 9, "db", "default", b"k", 9, 9)
            )
            bench.events.wait_for(lambda: bench.job(1).tasks[1].steps is not None)

    def test_next_owner_continues_in_the_window(self, tmp_path: Path) -> None:
        clock = FakeClock()
        self.crash(tmp_path, clock)
        clock.advance(3600)
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            rest = bench.storage.operation("nba", "h2")
            assert rest.request is not None
            assert rest.request.resume is not None
            assert rest.request.resume.done == 2
            assert [task.host for task in bench.job(2).tasks] == ["h2"]
            assert (bench.job(2).schedule, bench.job(2).recovered_from) == ("nightly", 1)
            message = "Schedule 'nightly' continues job 1, which was interrupted, as job 2"
            bench.events.wait_for(lambda: message in bench.events.notices)
            row = shown(bench)
            assert row["Result"] == "job 2 running: continues job 1, which was interrupted"
            runs = row["runs"]
            assert isinstance(runs, list)
            assert [(run["job"], run["recovers"]) for run in runs] == [(1, None), (2, 1)]
            pass_to(bench, WINDOW - 3600)  # the window of the interrupted run ends the one that continues it
            # the runner may have read the clock before it moved, and begin to sleep after it
            while not bench.events.jobs(2)[-1].paused:
                bench.clock.pass_by(CHECK_SECONDS)
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            bench.clock.wait_for_sleepers(1)
            assert bench.engine.history.last_id() == 2

    def test_next_run_continues_after_the_window(self, tmp_path: Path) -> None:
        clock = FakeClock()
        self.crash(tmp_path, clock)
        clock.advance(DAY / 2)
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            bench.clock.wait_for_sleepers(1)
            assert bench.engine.history.last_id() == 1
            pass_to(bench, DAY / 2)
            bench.storage.operation("nba", "h2").finish()
            bench.events.until(2, Status.FINISHED)
            assert len(bench.storage.begun) == 1

    def test_job_that_a_user_recovered_is_not_continued(self, tmp_path: Path) -> None:
        clock = FakeClock()
        self.crash(tmp_path, clock)
        with open_bench(tmp_path, storage(), clock=clock, run=RunPolicy.NONE) as bench:
            bench.execute("RECOVER JOB 1")
        with open_bench(tmp_path, storage(), clock=clock) as bench:
            bench.storage.operation("nba", "h1")
            bench.clock.wait_for_sleepers(1)
            assert bench.engine.history.last_id() == 2


class TestFileOnDisk:
    def test_damage_is_kept_and_reported(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
            bench.execute(NIGHTLY.replace("nightly", "weekly"))
        file = tmp_path / "history" / FILE
        damaged = file.read_bytes().replace(b'"name":"nightly"', b'"name":"nightlx"')
        file.write_bytes(damaged)
        with open_bench(tmp_path, storage()) as bench:
            bench.events.until_published(Notice, text="1 of its lines cannot be read")
            assert [row[0] for row in bench.rows("SHOW SCHEDULES")] == ["weekly"]
            assert (tmp_path / "history" / "quarantine" / FILE).read_bytes() == damaged
        with open_bench(tmp_path, storage()) as bench:
            assert [row[0] for row in bench.rows("SHOW SCHEDULES")] == ["weekly"]
            assert not any(FILE in text for text in bench.events.notices)

    def test_unknown_time_zone_pauses_one_schedule(self, tmp_path: Path) -> None:
        """A machine without time zones must not lose the schedules that name one."""
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
        file = tmp_path / "history" / FILE
        (one,) = schedules.load_schedules(file.parent).schedules.values()
        abroad = replace(one, name="abroad", timezone="Mars/Base")
        file.write_bytes(schedules.encode_schedules([one, abroad]))
        with open_bench(tmp_path, storage()) as bench:
            bench.events.until_published(
                Notice, text="Schedule 'abroad' is paused: 'Mars/Base' is not a time zone"
            )
            assert [(row[0], row[7]) for row in bench.rows("SHOW SCHEDULES")] == [
                ("abroad", "paused"),
                ("nightly", "active"),
            ]
            for verb in ("RUN", "RESUME"):
                assert "is not a time zone" in bench.refusal(f"{verb} SCHEDULE abroad")
            pass_to(bench, TO_FIRST)
            bench.events.until(1, Status.RUNNING)
            assert bench.job(1).schedule == "nightly"
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
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
        file = tmp_path / "history" / FILE
        (one,) = schedules.load_schedules(file.parent).schedules.values()
        file.write_bytes(schedules.encode_schedules([one, replace(one, name="other", **fields)]))
        with open_bench(tmp_path, storage()) as bench:
            bench.events.until_published(Notice, text="Schedule 'other' is paused: ")
            states = [(row[0], row[7]) for row in bench.rows("SHOW SCHEDULES")]
            assert states == [("nightly", "active"), ("other", "paused")]
            for verb in ("RUN", "RESUME"):
                assert problem in bench.refusal(f"{verb} SCHEDULE other")
            pass_to(bench, TO_FIRST)
            bench.events.until(1, Status.RUNNING)

    @pytest.mark.parametrize("kind", ["newer", "pipe"])
    def test_foreign_file_is_not_changed(self, tmp_path: Path, kind: str) -> None:
        file = tmp_path / "history" / FILE
        file.parent.mkdir()
        if kind == "pipe":
            os.mkfifo(file)
        else:
            file.write_bytes(schedules.frame_line(b'{"format":2,"schedules":0}'))
        with open_bench(tmp_path, storage()) as bench:
            for text in (NIGHTLY, "SHOW SCHEDULES", "RUN SCHEDULE nightly", "DROP SCHEDULE nightly"):
                assert ("newer jobtui" if kind == "newer" else "it is a pipe") in bench.refusal(text)
            assert bench.rows("ADMIN FLUSH nba") == [("1",)]
        assert file.is_fifo() is (kind == "pipe")

    def test_link_is_replaced_and_its_target_is_not(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
        file = tmp_path / "history" / FILE
        elsewhere = file.rename(tmp_path / "elsewhere")
        before = elsewhere.read_bytes()
        file.symlink_to(elsewhere)
        with open_bench(tmp_path, storage()) as bench:
            assert [row[0] for row in bench.rows("SHOW SCHEDULES")] == ["nightly"]
            bench.execute("PAUSE SCHEDULE nightly")
        assert (elsewhere.read_bytes(), file.is_symlink()) == (before, False)

    def test_unreadable_file_is_never_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "history" / FILE).mkdir(parents=True)
        with open_bench(tmp_path, storage()) as bench:
            assert "cannot be read" in bench.refusal(NIGHTLY)
            assert "cannot be read" in bench.refusal("SHOW SCHEDULES")
            assert bench.rows("ADMIN FLUSH nba") == [("1",)]


class TestThousands:
    """Many schedules of one time: quadratic work would take minutes."""

    COUNT = 1000

    def many(self, tmp_path: Path, runs: int = 0) -> list[Schedule]:
        with open_bench(tmp_path, storage()) as bench:
            bench.execute(NIGHTLY)
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
        with open_bench(tmp_path, ScriptedStorage({"nba": ("h1",)})) as bench:
            pass_to(bench, TO_FIRST)
            bench.events.wait_for(lambda: len(written) == 2)
            assert bench.engine.history.last_id() == self.COUNT
            assert {bench.job(number).schedule for number in (1, self.COUNT)} == {
                "s0000",
                f"s{self.COUNT - 1:04}",
            }
        assert len(written) == 2  # the decisions, and the jobs
        loaded = schedules.load_schedules(tmp_path / "history").schedules
        assert len({schedule.job for schedule in loaded.values()}) == self.COUNT

    def test_answer_reads_a_bounded_number_of_jobs_and_times(self, tmp_path: Path) -> None:
        made = self.many(tmp_path, runs=KEPT_RUNS)
        limits: list[int] = []
        result = queries.schedules_result("", made, lambda job: limits.append(job), made[0].created)
        times = sum(len(row.values["upcoming"]) for row in result.rows)  # type: ignore[arg-type]  # a list
        assert len(limits) <= 2 * self.COUNT + 2 * queries._MAX_RUNS
        assert self.COUNT <= times <= queries._MAX_TIMES
        assert all(row.values["upcoming_until"] == row.values["upcoming"][-1][0] for row in result.rows)  # type: ignore[index]  # a list
        (alone,) = queries.schedules_result("", made[:1], lambda _: None, made[0].created).rows
        assert alone.values["upcoming_until"] is None
        assert len(alone.values["runs"]) == KEPT_RUNS  # type: ignore[arg-type]  # a list


def test_reader_reports_a_missing_owner(tmp_path: Path) -> None:
    with open_bench(tmp_path, storage()) as bench:
        bench.execute(NIGHTLY)
        assert bench.execute("SHOW SCHEDULES").results[0].notice == ""
        reader = ReadOnlyClient.open(Profile("local", tmp_path))
        assert reader.execute("SHOW SCHEDULES", Session()).result().results[0].notice == ""
        reader.close()
    reader = ReadOnlyClient.open(Profile("local", tmp_path))
    (result,) = reader.execute("SHOW SCHEDULES", Session()).result().results
    how = describe_autostart(Profile("local", tmp_path))
    assert (result.rows[0].cells[0], result.notice) == ("nightly", f"{NO_OWNER}: {how}")
    assert "systemd user unit with ExecStart=" in result.notice
    assert f"--data-dir {tmp_path.parent} serve --background" in result.notice.partition("@reboot ")[2]
    reader.close()
