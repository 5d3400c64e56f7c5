"""A state machine: statements, task outcomes, stops, worker deaths, clock jumps and restarts, in any order.

After every step the invariants of DESIGN ("Laws", "Model", "Engine") are checked against what the engine
published, what its storage was asked, and what a reader of its history sees on disk.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.errors import ErrorCode
from jobtui.history import History, Query
from jobtui.model import EventKind, Job, JobChanged, Status, StepPosition
from tests.support.clock import FakeClock
from tests.support.engines import Bench
from tests.support.scripted import Operation, ScriptedStorage

SPACES = {"nba": ("h0", "h1", "h2"), "test2": ("h0", "h1"), "solo": ("h3",), "pair": ("h2", "h3")}
LIMIT = 2
MEMORY = Path("/dev/shm")


class Races(RuleBasedStateMachine):
    """Job ids in the rules are drawn as places in what exists, so that most of them mean something."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.clock = FakeClock()
        self.ids: list[int] = []
        self.archived: set[int] = set()
        self.last: dict[int, Job] = {}
        self.read = 0
        self.reader: History | None = None
        self.readings = 0

    @initialize()
    def start(self) -> None:
        self.storage = ScriptedStorage(dict(SPACES))
        profile = Profile("local", self.root, max_running_jobs=LIMIT)
        engine = LocalClient.open(profile, clock=self.clock, storage=self.storage)
        self.bench = Bench(engine, self.storage, self.clock)
        self.read = 0
        for job_id in self.ids:
            if job_id not in self.archived:
                self.last[job_id] = self.bench.job(job_id)
        self.settle()

    # ---- what happens

    @rule(command=st.sampled_from(["FLUSH", "COMPACT"]), space=st.sampled_from(sorted(SPACES)))
    def submit(self, command: str, space: str) -> None:
        self.expect_new(self.bench.rows(f"ADMIN {command} {space}"))

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(self.ids), min_size=1, max_size=3, unique=True))
        before = {job_id: self.bench.engine.job(job_id) for job_id in ids}
        may = all(job is not None and not job.status.ended and not job.stopping for job in before.values())
        answer = self.bench.execute(f"STOP JOB {', '.join(map(str, ids))}")
        assert (answer.failure is None) == may
        self.settle()

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), verb=st.sampled_from(["PAUSE", "RESUME"]), now=st.booleans())
    def pause_or_resume(self, data: st.DataObject, verb: str, now: bool) -> None:
        ids = data.draw(st.lists(st.sampled_from(self.ids), min_size=1, max_size=2, unique=True))
        jobs = [self.bench.engine.job(job_id) for job_id in ids]
        now = now and verb == "PAUSE"

        def may_be(job: Job | None) -> bool:
            if job is None or job.status.ended or job.stopping:
                return False
            if now and job.paused:  # it cancels the work that the pause waits for
                return any(task.status is Status.RUNNING for task in job.tasks)
            return job.paused == (verb == "RESUME")

        may = all(map(may_be, jobs))
        how = " WITH now = true" if now else ""
        answer = self.bench.execute(f"{verb} JOB {', '.join(map(str, ids))}{how}")
        assert (answer.failure is None) == may
        self.settle()

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def recover(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.ids))
        job = self.bench.engine.job(job_id)
        answer = self.bench.execute(f"RECOVER JOB {job_id}")
        assert (answer.failure is None) == (job is not None and job.status.ended)
        for result in answer.results:
            self.expect_new([row.cells for row in result.rows])
            assert self.bench.job(result.jobs[0]).recovered_from == job_id

    @rule()
    def recover_all(self) -> None:
        jobs = [self.bench.job(job_id) for job_id in self.ids if job_id not in self.archived]
        again = {job.recovered_from for job in self.last.values()}
        due = [job.id for job in jobs if job.status in (Status.FAILED, Status.STOPPED) and job.id not in again]
        rows = self.bench.rows("RECOVER JOB")
        self.expect_new(rows)
        assert [self.bench.job(int(row[0])).recovered_from for row in rows] == due

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def backup(self, data: st.DataObject) -> None:
        first, last = sorted(data.draw(st.tuples(st.sampled_from(self.ids), st.sampled_from(self.ids))))
        ended = {
            job_id
            for job_id in self.ids
            if first <= job_id <= last and (job := self.bench.engine.job(job_id)) and job.status.ended
        }
        row = self.bench.rows(f"BACKUP JOB {first} {last}")[0][0]
        assert row.startswith(f"backup {len(ended)} jobs ")
        self.archived |= ended
        self.settle()

    @precondition(lambda self: self.storage.under_way)
    @rule(data=st.data(), how=st.sampled_from(["finish", "fail", "die", "progress", "stop", "pause"]))
    def hear_from_a_host(self, data: st.DataObject, how: str) -> None:
        operation: Operation = data.draw(st.sampled_from(self.storage.under_way))
        if how == "finish":
            operation.finish()
        elif how == "progress":
            operation.progress(data.draw(st.floats(0, 0.99)), 1e6)
        elif how == "stop" and operation.control.cancel.is_set():
            operation.stop()
        elif how == "pause" and operation.control.pause.is_set():
            operation.pause(StepPosition(1, 9))
        else:
            code = ErrorCode.HOST_DIED if how == "die" else ErrorCode.IO
            operation.fail(code, "the host is gone" if how == "die" else "the disk says no")
        self.settle()

    @rule(seconds=st.sampled_from([0.5, 31, 3600]), back=st.booleans())
    def time_jumps(self, seconds: float, back: bool) -> None:
        if back:
            self.clock.set_back(seconds)
        else:
            self.clock.advance(seconds)
        self.settle()

    @rule()
    def restart(self) -> None:
        self.check()
        running = [job for job in self.bench.engine.active_jobs() if job.status is Status.RUNNING]
        self.bench.engine.close()
        self.start()
        for job in running:
            now = self.bench.job(job.id)
            if job.paused or not any(task.status is Status.RUNNING for task in job.tasks):
                assert (now.status, now.paused) == (Status.RUNNING, job.paused), "it was not at work"
                continue
            assert now.status is Status.FAILED
            # the clock may have jumped since the last heartbeat
            assert now.reason.startswith("interrupted")
            assert now.reason.endswith(": jobtui ended while it ran")

    # ---- what must hold

    @invariant()
    def check(self) -> None:
        if not hasattr(self, "bench"):
            return
        Races.steps += 1
        self.published_statuses_move_only_as_allowed()
        under_way = [operation.host for operation in self.storage.under_way]
        assert len(under_way) == len(set(under_way)), "one operation a host"
        active = self.bench.engine.active_jobs()
        running = [job for job in active if job.status is Status.RUNNING]
        assert len({job.space for job in running}) == len(running), "one running job a space"
        for job in active:
            for task in job.tasks:
                if task.status is Status.RUNNING:
                    assert any((o.space, o.host) == (job.space, task.host) for o in self.storage.under_way), (
                        "a running task has an operation"
                    )
        self.what_is_acknowledged_is_on_disk()
        self.nothing_waits_without_a_reason(active)

    def published_statuses_move_only_as_allowed(self) -> None:
        messages = self.bench.events.messages
        for message in messages[self.read :]:
            if isinstance(message, JobChanged):
                self.one_change(self.last.get(message.job.id), message.job)
                self.last[message.job.id] = message.job
        self.read = len(messages)

    def one_change(self, before: Job | None, job: Job) -> None:
        if before is not None and before != job:
            assert not before.status.ended, "ended is final"
            assert before.status is job.status or before.status.may_become(job.status)
            for old, new in zip(before.tasks, job.tasks, strict=True):
                is_queued_again = (old.status, new.status) == (Status.RUNNING, Status.QUEUE)
                assert old.status is new.status or old.status.may_become(new.status) or is_queued_again
                assert not is_queued_again or job.paused or before.paused or self.was_resumed(job)
        if job.status.ended:
            assert all(task.status.ended for task in job.tasks), "an ended job has no running task"
            assert job.took is None or job.took >= 0
            assert job.start is None or (job.stop is not None and job.submitted <= job.start <= job.stop)
        if job.status is Status.FAILED:
            assert job.reason

    def what_is_acknowledged_is_on_disk(self) -> None:
        reader = self.refreshed_reader()
        assert not reader.notes
        for job_id in self.ids:
            on_disk = reader.get_archived(job_id) if job_id in self.archived else reader.get(job_id)
            assert on_disk == self.last[job_id]
            assert reader.is_archived(job_id) == (job_id in self.archived)
        assert len(reader.query(Query())) == len(self.ids) - len(self.archived)

    def nothing_waits_without_a_reason(self, active: tuple[Job, ...]) -> None:
        busy = {operation.host for operation in self.storage.under_way}
        running = [job for job in active if job.status is Status.RUNNING]
        if len(running) >= LIMIT:
            return
        spaces = {job.space for job in running}
        for job in running:
            if not (job.paused or job.stopping):
                waiting = [task.host for task in job.tasks if task.status is Status.QUEUE]
                assert busy.issuperset(waiting), "a queued task could run"
        for job in active:
            if job.status is Status.QUEUE and job.space not in spaces and not job.paused:
                assert busy.issuperset(task.host for task in job.tasks), "a queued job could run"
                spaces.add(job.space)

    # ---- how

    def refreshed_reader(self) -> History:
        """Return a reader that was refreshed or, every fourth time, one that has just been opened."""
        self.readings += 1
        if self.reader is not None and self.readings % 4:
            self.reader.refresh()
            return self.reader
        self.close_reader()
        self.reader = History.open(self.root / "history", write=False)
        return self.reader

    def close_reader(self) -> None:
        if self.reader is not None:
            self.reader.close()

    def was_resumed(self, job: Job) -> bool:
        """Return whether the job was resumed while a host still finished its step."""
        return any(event.kind is EventKind.RESUMED for event in job.events)

    def expect_new(self, rows: list[tuple[str, ...]]) -> None:
        new = [int(row[0]) for row in rows]
        assert new == sorted(new)
        assert not self.ids or not new or new[0] > self.ids[-1], "ids rise"
        self.ids += new
        self.settle()

    def settle(self) -> None:
        """Wait until the engine has nothing left to do but wait for a host or the clock."""
        self.bench.settle()

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.engine.close()
        self.close_reader()
        shutil.rmtree(self.root)


@pytest.mark.timeout(3600)
def test_no_order_of_events_breaks_an_invariant(long: bool) -> None:
    few: dict[str, Any] = {"max_examples": 2000 if long else 220, "stateful_step_count": 100 if long else 50}
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Races, settings=settings(deadline=None, derandomize=not long, suppress_health_check=checks, **few)
    )
    assert Races.steps >= 10_000
