"""Hosts that are slow, hang, or continue after a stop: what waits for them, and for how long."""

from __future__ import annotations

from pathlib import Path

from jobtui.model import Status
from tests.support.engines import WAIT, Bench, open_bench
from tests.support.scripted import ScriptedStorage


def test_host_of_a_detached_task_is_busy_until_the_call_ends(three: Bench) -> None:
    three.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
    operation = three.storage.operation("solo", "far")
    three.execute("STOP JOB 1")
    settled = operation.detach()
    job = three.events.until(1, Status.STOPPED)
    assert job.tasks[0].detached
    assert "the host continues" in job.tasks[0].reason
    assert three.job(2).status is Status.QUEUE
    operation.loop.call_soon_threadsafe(settled.set_result, "")
    three.events.until(2, Status.RUNNING)


def test_silent_host_fails_its_task_after_task_timeout(tmp_path: Path) -> None:
    storage = ScriptedStorage({"nba": ("hung", "well")})
    with open_bench(tmp_path, storage, task_timeout=30) as bench:
        bench.execute("ADMIN COMPACT nba")
        storage.operation("nba", "hung")
        storage.operation("nba", "well").finish()
        bench.events.wait_for(lambda: bench.job(1).ended_tasks == 1)
        bench.advance(31)
        job = bench.events.until(1, Status.FAILED)
        assert job.reason == "hung: hung did not answer within 30 s (task_timeout)"
        assert [task.status for task in job.tasks] == [Status.FAILED, Status.FINISHED]
        assert storage.operation("nba", "hung").canceled.wait(WAIT)


def test_host_working_past_the_deadline_stays_busy(tmp_path: Path) -> None:
    storage = ScriptedStorage({"solo": ("far",)})
    with open_bench(tmp_path, storage, task_timeout=30) as bench:
        bench.execute("ADMIN COMPACT solo; ADMIN FLUSH solo")
        operation = storage.operation("solo", "far")
        bench.clock.wait_for_sleepers(2)  # the deadline, and a check for silent hosts
        bench.advance(31)
        bench.events.until(1, Status.FAILED)
        settled = operation.detach()
        assert bench.rows("SHOW JOBS")[1][2] == "queue"
        assert len(storage.begun) == 1
        operation.loop.call_soon_threadsafe(settled.set_result, "")
        storage.operation("solo", "far", 1).finish()
        bench.events.until(2, Status.FINISHED)


def test_reports_after_the_deadline_are_dropped(tmp_path: Path) -> None:
    storage = ScriptedStorage({"first": ("well",), "nba": ("hung", "well")})
    with open_bench(tmp_path, storage, task_timeout=30) as bench:
        bench.execute("ADMIN FLUSH first; ADMIN COMPACT nba")
        hung = storage.operation("nba", "hung")
        bench.clock.wait_for_sleepers(2)  # both deadlines
        bench.advance(20)
        storage.operation("first", "well").finish()
        storage.operation("nba", "well")
        bench.clock.pass_by(11)
        bench.events.wait_for(lambda: bench.job(2).ended_tasks == 1)
        events = len(bench.events.progress)
        hung.progress(0.5)
        assert bench.engine.engine.progress.pop(2, 0).fraction is None
        assert len(bench.events.progress) == events


def test_hung_host_delays_only_the_tasks_that_need_it(tmp_path: Path) -> None:
    storage = ScriptedStorage({"a": ("hung",), "b": ("hung", "well"), "c": ("other",)})
    with open_bench(tmp_path, storage, max_running_jobs=1) as bench:
        bench.execute("ADMIN COMPACT a")
        storage.operation("a", "hung")
        bench.execute("ADMIN COMPACT b; ADMIN COMPACT c")
        bench.clock.wait_for_sleepers(1)
        bench.advance(31)
        storage.operation("b", "well").finish()
        storage.operation("c", "other").finish()
        bench.events.until(3, Status.FINISHED)
        assert bench.job(2).status is Status.RUNNING


def test_show_hosts_and_spaces_do_not_wait_for_a_hung_host(three: Bench) -> None:
    three.storage.down["far"] = "no answer"
    answer = three.engine.execute("SHOW SPACES", three.session)
    three.clock.wait_for_sleepers(1)
    three.advance(5)
    rows = {row.cells[0]: row.cells for row in answer.result(WAIT).results[0].rows}
    assert rows["solo"] == ("solo", "1", "", "", "")
    assert rows["nba"] == ("nba", "3", "11.7 KiB", "0 B", "11.7 KiB")
    assert ("far", "offline") in [row[:2] for row in three.rows("SHOW HOSTS")]
