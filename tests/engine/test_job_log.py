"""The requests to pause, stop, resume or limit a job: recorded with it, and shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.engine import lifecycle
from jobtui.engine.client import Session
from jobtui.engine.job_log import (
    describe_next_run,
    describe_pause,
    describe_requester,
    describe_stop,
    last_requests,
)
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.model import EventKind, Job, JobEvent, Status
from tests.support.engines import WAIT, Bench, open_bench
from tests.support.scripted import ScriptedStorage

NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
ANNA = "anna@db1, dashboard"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path, ScriptedStorage({"nba": ("h0",), "solo": ("h1",)})) as bench:
        yield bench


def running() -> Job:
    job = lifecycle.new_job(7, "compact", "nba", ["h0"], NOW)
    return lifecycle.start_tasks(job, [0], NOW)


def requests(job: Job) -> list[tuple[EventKind, str, str]]:
    return [(event.kind, event.requested_by, event.reason) for event in job.events if event.requested_by]


def values(bench: Bench, job_id: int = 1) -> dict[str, object]:
    return dict(bench.execute(f"SHOW JOB {job_id}").results[0].rows[0].values)


class TestRecord:
    def test_pause_rate_resume_and_stop_name_the_requester(self, bench: Bench) -> None:
        bench.session = Session(None, Path("/"), "dashboard")
        by = bench.session.requested_by
        bench.execute("ADMIN COMPACT nba")
        operation = bench.storage.operation("nba", "h0")
        bench.execute('SET RATE 5 MiB FOR JOB 1; PAUSE JOB 1 WITH because = "lunch"')
        operation.pause()
        bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        bench.execute("RESUME JOB 1")
        again = bench.storage.operation("nba", "h0", 1)
        bench.execute('STOP JOB 1 WITH because = "wrong space"')
        again.stop()
        ended = bench.events.until(1, Status.STOPPED)
        assert requests(ended) == [
            (EventKind.RATE_SET, by, "5 MiB/s on each host"),
            (EventKind.PAUSED, by, "lunch"),
            (EventKind.RESUMED, by, ""),
            (EventKind.STOP_ASKED, by, "wrong space"),
        ]
        shown = values(bench)
        assert (shown["stopped_by"], shown["stopped_reason"], shown["paused_by"]) == (by, "wrong space", "")
        listed = shown["requests"]
        assert isinstance(listed, list)
        assert [each["event"] for each in listed] == ["rate set", "paused", "resumed", "stop asked"]
        assert listed[1]["requested_by"] == by

    def test_another_process_is_named_by_its_user(self, bench: Bench, tmp_path: Path) -> None:
        bench.execute("ADMIN COMPACT nba")
        remote = RemoteClient.connect(Profile("local", tmp_path))
        session = Session(None, Path("/"), "dashboard")
        assert remote.execute("PAUSE JOB 1", session).result(WAIT).failure is None
        remote.close()
        assert requests(bench.job(1)) == [(EventKind.PAUSED, session.requested_by, "")]
        assert session.requested_by.endswith(", dashboard")

    def test_leaving_dashboard_names_itself(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT nba")
        operation = bench.storage.operation("nba", "h0")
        stopped = bench.engine.stop_jobs()
        bench.events.wait_for(lambda: bench.job(1).stopping)
        operation.stop()
        stopped.result(WAIT)
        by = Session(kind="dashboard").requested_by
        assert requests(bench.job(1)) == [(EventKind.STOP_ASKED, by, "")]

    def test_rate_of_all_jobs_is_recorded_with_each_compaction(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT nba; ADMIN FLUSH solo; ADMIN COMPACT solo; SET RATE OFF")
        by = bench.session.requested_by
        expected = [(EventKind.RATE_SET, by, "no limit, for all jobs")]
        bench.events.wait_for(lambda: all(requests(bench.job(job_id)) == expected for job_id in (1, 3)))
        assert requests(bench.job(2)) == []

    def test_refused_request_is_not_recorded(self, bench: Bench) -> None:
        bench.execute("ADMIN COMPACT nba")
        bench.execute("RESUME JOB 1")
        assert requests(bench.job(1)) == []

    def test_events_of_an_older_version_name_no_requester(self) -> None:
        old = JobEvent(at=NOW, kind=EventKind.PAUSED)
        job = replace(running(), paused=True, events=(*running().events, old))
        assert describe_pause(job) == ""
        assert set(last_requests(job).values()) == {""}


class TestTexts:
    @pytest.mark.parametrize(
        ("requested_by", "because", "text"),
        [
            (ANNA, "", "paused by anna@db1 (dashboard)"),
            (ANNA, "wrong night", "paused by anna@db1 (dashboard): wrong night"),
            ("", "wrong night", "paused: wrong night"),
            ("schedule nightly", "its window ended at 05:00", "paused: its window ended at 05:00"),
            ("schedule nightly", "", "paused by schedule nightly"),
            ("", "", ""),
        ],
    )
    def test_pause(self, requested_by: str, because: str, text: str) -> None:
        assert describe_pause(lifecycle.pause(running(), NOW, because, requested_by)) == text

    def test_last_pause_counts_and_a_resumed_job_has_none(self) -> None:
        first = lifecycle.pause(running(), NOW, "lunch", ANNA)
        resumed = lifecycle.resume(first, NOW, requested_by="bob@db1, script")
        assert describe_pause(resumed) == ""
        assert describe_pause(lifecycle.pause(resumed, NOW, "", "bob@db1, script")) == (
            "paused by bob@db1 (script)"
        )

    def test_pause_of_a_task_is_not_that_of_its_job(self) -> None:
        held = lifecycle.pause(running(), NOW, "lunch", ANNA)
        end = lifecycle.TaskOutcome(Status.QUEUE, reason="after step 1 of 4")
        assert describe_pause(lifecycle.requeue_task(held, 0, end, NOW)) == (
            "paused by anna@db1 (dashboard): lunch"
        )

    def test_changed_schedule_explains_the_pause_but_did_not_make_it(self) -> None:
        held = lifecycle.pause(running(), NOW, "its window ended at 05:00", "schedule nightly")
        reason = "schedule 'nightly' was dropped; RESUME JOB 7 continues it"
        dropped = lifecycle.explain_pause(held, NOW, reason, ANNA)
        assert describe_pause(dropped) == f"paused: {reason}"
        assert last_requests(dropped)["paused_by"] == "schedule nightly"
        assert last_requests(dropped)["paused_reason"] == reason

    def test_stop_is_requested_until_the_job_has_ended(self) -> None:
        stopping = lifecycle.request_stop(running(), NOW, None, "", ANNA)
        assert describe_stop(stopping) == "stop requested by anna@db1 (dashboard)"
        stopped = lifecycle.finish_task(stopping, 0, lifecycle.TaskOutcome(Status.STOPPED), NOW)
        assert describe_stop(stopped) == "stopped by anna@db1 (dashboard)"

    def test_job_that_finished_in_spite_of_a_stop_was_not_stopped(self) -> None:
        stopping = lifecycle.request_stop(running(), NOW, None, "", ANNA)
        finished = lifecycle.finish_task(stopping, 0, lifecycle.TaskOutcome(Status.FINISHED), NOW)
        assert describe_stop(finished) == ""

    def test_requester_without_a_source_stays_as_it_is(self) -> None:
        assert describe_requester("schedule nightly") == "schedule nightly"

    @pytest.mark.parametrize(
        ("after", "text"),
        [
            (timedelta(hours=18), "continues Wed 11:21"),
            (timedelta(days=5), "continues Sun 17:21"),
            (timedelta(days=14), "continues 2019-12-31 17:21"),
            (None, "RESUME JOB 7 continues it"),
        ],
    )
    def test_next_run(self, after: timedelta | None, text: str) -> None:
        start = None if after is None else NOW + after
        assert describe_next_run(7, start, NOW) == text


def test_show_job_says_who_paused_or_stopped_it(bench: Bench) -> None:
    bench.execute("ADMIN COMPACT nba")
    operation = bench.storage.operation("nba", "h0")
    who = describe_requester(bench.session.requested_by)
    bench.execute('PAUSE JOB 1 WITH because = "lunch"')
    (shown,) = bench.execute("SHOW JOB 1").results
    assert shown.notice == f"Job 1 (compact nba) paused by {who}: lunch"
    bench.execute("STOP JOB 1")
    operation.stop()
    bench.events.until(1, Status.STOPPED)
    (shown,) = bench.execute("SHOW JOB 1").results
    assert shown.notice == f"Job 1 (compact nba) stopped by {who}"
