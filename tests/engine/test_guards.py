"""Guards of the engine that no ordinary order of events needs, each in the one that does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from jobtui.engine import lifecycle
from jobtui.engine.jobs import Transaction
from jobtui.engine.lifecycle import IllegalTransition
from jobtui.model import Job, Status
from tests.support.engines import WAIT, bench
from tests.support.scripted import ScriptedStorage


class TestStop:
    def test_asked_in_the_commit_that_starts_the_task_is_forwarded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with bench(tmp_path, ScriptedStorage({"solo": ("far",)}, obey=True)) as it:
            dispatcher, store = it.engine.engine.dispatcher, it.engine.engine.store
            start = dispatcher._start

            def started_and_stopped(job: Job, tasks: Sequence[int]) -> None:
                def stop(book: Transaction) -> list[Job]:
                    running = book.get(job.id)
                    assert running is not None
                    assert running.status is Status.RUNNING
                    return [lifecycle.request_stop(running, it.clock.now())]

                start(job, tasks)
                store.update_nowait(stop, lambda jobs, error: None)

            monkeypatch.setattr(dispatcher, "_start", started_and_stopped)
            it.say("ADMIN COMPACT solo")
            it.heard.until(1, Status.STOPPED)


class TestEnded:
    def test_change_of_an_ended_job_is_refused(self, tmp_path: Path) -> None:
        with bench(tmp_path, ScriptedStorage({"solo": ("far",)}, auto=True)) as it:
            it.say("ADMIN FLUSH solo")
            ended = it.heard.until(1, Status.FINISHED)

            def edit(_: Transaction) -> list[Job]:
                return [lifecycle.replace(ended, status=Status.RUNNING)]

            changing = it.engine.call(it.engine.engine.store.update(edit))
            with pytest.raises(IllegalTransition, match="job 1 has ended and is final"):
                changing.result(WAIT)
            assert it.job(1) == ended

    def test_same_version_again_is_no_change(self, tmp_path: Path) -> None:
        with bench(tmp_path, ScriptedStorage({"solo": ("far",)}, auto=True)) as it:
            it.say("ADMIN FLUSH solo")
            ended = it.heard.until(1, Status.FINISHED)
            changing = it.engine.call(it.engine.engine.store.update(lambda _: [ended]))
            assert changing.result(WAIT) == [ended]

    def test_job_that_ended_with_tasks_left_stays_as_it_is(self, tmp_path: Path) -> None:
        with bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as it:
            it.say("ADMIN FLUSH solo")
            running = it.heard.until(1, Status.RUNNING)
            ended = lifecycle.replace(running, status=Status.FAILED)
            with pytest.raises(IllegalTransition, match="failed cannot become finished"):
                lifecycle.finish_task(ended, 0, lifecycle.TaskOutcome(Status.FINISHED), it.clock.now())
