"""Guards of the engine, each in the rare order of events that needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from jobtui.engine import failover, lifecycle, protocol, remote, server
from jobtui.engine.jobs import Transaction
from jobtui.engine.lifecycle import IllegalTransition
from jobtui.engine.local import LocalClient, next_pairs
from jobtui.engine.profile import Profile
from jobtui.engine.scheduler import Start, decide
from jobtui.errors import ErrorCode, OwnerRejected, StatementRefused, StorageError
from jobtui.model import ClusterRef, Job, Notice, Status, StepPosition, TaskLogged
from tests.support.clock import FakeClock
from tests.support.engines import WAIT, Bench, EventLog, open_bench
from tests.support.scripted import LEAN, ScriptedStorage


def change(bench: Bench, job_id: int, edit: Callable[..., Job], status: Status) -> None:
    """Add an edit of a job, which has this status then, to the changes that are written next."""

    def edit_in(transaction: Transaction) -> list[Job]:
        job = transaction.get(job_id)
        assert job is not None
        assert job.status is status
        return [edit(job, bench.clock.now())]

    bench.engine.engine.store.update_nowait(edit_in, lambda jobs, error: None)


class TestStop:
    def test_stop_during_the_starting_commit_is_forwarded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)}, obey=True)) as bench:
            dispatcher = bench.engine.engine.dispatcher
            start = dispatcher._start

            def started_and_stopped(job: Job, tasks: Sequence[int]) -> None:
                start(job, tasks)
                change(bench, job.id, lifecycle.request_stop, Status.RUNNING)

            monkeypatch.setattr(dispatcher, "_start", started_and_stopped)
            bench.execute("ADMIN COMPACT solo")
            bench.events.until(1, Status.STOPPED)

    @pytest.mark.parametrize("command", ["pause", "yield"])
    def test_pause_during_the_starting_commit_is_forwarded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
            dispatcher = bench.engine.engine.dispatcher
            start = dispatcher._start

            def started_and_paused(job: Job, tasks: Sequence[int]) -> None:
                start(job, tasks)
                if command == "pause":
                    change(bench, job.id, lifecycle.pause, Status.RUNNING)
                else:
                    dispatcher._host_tasks.yield_all()

            monkeypatch.setattr(dispatcher, "_start", started_and_paused)
            bench.execute("ADMIN COMPACT solo")
            operation = bench.storage.operation("solo", "far")
            control = operation.control
            assert (control.pause if command == "pause" else control.cancel).is_set()


class TestStart:
    def test_space_has_one_job_at_a_time_though_a_host_is_free(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"nba": ("a", "b")})) as bench:
            bench.execute("ADMIN COMPACT nba ON a; ADMIN COMPACT nba ON b")
            first = bench.storage.operation("nba", "a")
            bench.settle()
            assert [operation.host for operation in bench.storage.begun] == ["a"]
            first.finish()
            bench.storage.operation("nba", "b").finish()

    @pytest.mark.parametrize("edit", [lifecycle.pause, lifecycle.request_stop])
    def test_job_that_changed_before_its_start_is_not_started(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[..., Job]
    ) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
            dispatcher = bench.engine.engine.dispatcher
            start = dispatcher._start

            def changed_and_started(job: Job, tasks: Sequence[int]) -> None:
                change(bench, job.id, edit, Status.QUEUE)
                start(job, tasks)

            monkeypatch.setattr(dispatcher, "_start", changed_and_started)
            bench.execute("ADMIN COMPACT solo")
            bench.events.wait_for(lambda: bench.job(1).paused or bench.job(1).status is Status.STOPPED)
            bench.settle()
            assert bench.storage.begun == []
            assert [task.start for task in bench.job(1).tasks] == [None]
            assert bench.events.notices == []

    def test_hosts_start_in_the_listed_order(self, tmp_path: Path) -> None:
        storage = ScriptedStorage({"nba": ("a", "b")})
        storage.sizes["b"] = LEAN  # smaller than that of the other
        with open_bench(tmp_path, storage) as bench:
            bench.execute("ADMIN COMPACT nba WITH rolling = 1")
            assert [task.host for task in bench.job(1).tasks] == ["a", "b"]


class TestReports:
    def test_lines_of_a_log_are_published(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
            bench.execute("ADMIN COMPACT solo")
            operation = bench.storage.operation("solo", "far")
            operation.progress(None, log=("a line",))
            bench.events.until_published(TaskLogged, host="far", lines="a line")
            operation.finish()

    def test_change_of_a_canceled_caller_is_still_made(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
            store = bench.engine.engine.store

            async def leave() -> None:
                making = asyncio.ensure_future(store.update(lambda _: [started()]))
                await asyncio.sleep(0)
                making.cancel()

            bench.engine.call(leave()).result(WAIT)
            bench.settle()
            assert bench.job(1).status is Status.RUNNING
            assert bench.events.notices == []
            bench.execute("ADMIN FLUSH solo")


class TestClusters:
    def test_job_of_a_cluster_is_not_stopped_without_it(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
            job = replace(started(), origin=ClusterRef("prod", "solo", 7))
            bench.engine.call(bench.engine.engine.store.update(lambda _: [job])).result(WAIT)
            for text in ("STOP JOB 1", "PAUSE JOB 1"):
                assert "belongs to cluster 'prod', which this profile is not connected to" in bench.refusal(
                    text
                )
            assert bench.job(1) == job

    def test_embedded_storage_is_always_connected(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({})) as bench:
            assert bench.engine.wait_connected(0.0, caught_up=True).result(WAIT)

    def test_demo_needs_the_embedded_storage(self, tmp_path: Path) -> None:
        client = LocalClient.open(Profile("demo", tmp_path), demo=True, storage=ScriptedStorage({}))
        EventLog(client).until_published(Notice, text="the demo needs the embedded storage")
        client.close()


class TestEnded:
    def test_change_of_an_ended_job_is_refused(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)}, auto=True)) as bench:
            bench.execute("ADMIN FLUSH solo")
            ended = bench.events.until(1, Status.FINISHED)

            def edit(_: Transaction) -> list[Job]:
                return [lifecycle.replace(ended, status=Status.RUNNING)]

            changing = bench.engine.call(bench.engine.engine.store.update(edit))
            with pytest.raises(IllegalTransition, match="job 1 has ended and is final"):
                changing.result(WAIT)
            assert bench.job(1) == ended

    def test_same_version_again_is_no_change(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)}, auto=True)) as bench:
            bench.execute("ADMIN FLUSH solo")
            ended = bench.events.until(1, Status.FINISHED)
            changing = bench.engine.call(bench.engine.engine.store.update(lambda _: [ended]))
            assert changing.result(WAIT) == [ended]

    def test_job_that_ended_with_tasks_left_stays_as_it_is(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
            bench.execute("ADMIN FLUSH solo")
            running = bench.events.until(1, Status.RUNNING)
            ended = lifecycle.replace(running, status=Status.FAILED)
            with pytest.raises(IllegalTransition, match="failed cannot become finished"):
                lifecycle.finish_task(ended, 0, lifecycle.TaskOutcome(Status.FINISHED), bench.clock.now())


NOW = FakeClock().now()


def started() -> Job:
    """A job with a running task, and one in the queue."""
    return lifecycle.start_tasks(lifecycle.new_job(1, "compact", "nba", ["a", "b"], NOW), [0], NOW)


class TestTransitions:
    """A change that a job's state does not allow is refused, wherever it was requested."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda job: lifecycle.request_stop(lifecycle.replace(job, status=Status.FAILED), NOW),
            lambda job: lifecycle.pause(lifecycle.pause(job, NOW), NOW),
            lambda job: lifecycle.pause(lifecycle.request_stop(job, NOW), NOW),
            lambda job: lifecycle.pause(lifecycle.replace(job, status=Status.FINISHED), NOW),
            lambda job: lifecycle.resume(job, NOW),
            lambda job: lifecycle.requeue_task(job, 1, lifecycle.TaskOutcome(Status.STOPPED), NOW),
        ],
        ids=[
            "stop of an ended",
            "pause of a paused",
            "pause of a stopping",
            "pause of an ended",
            "resume",
            "requeue",
        ],
    )
    def test_refused(self, change: Callable[[Job], Job]) -> None:
        with pytest.raises(IllegalTransition):
            change(started())

    def test_own_job_is_not_amended(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)}, auto=True)) as bench:
            bench.execute("ADMIN FLUSH solo")
            ended = bench.events.until(1, Status.FINISHED)

            def edit(transaction: Transaction) -> list[Job]:
                return [transaction.amend(lifecycle.replace(ended, status=Status.FAILED))]

            with pytest.raises(IllegalTransition, match="has ended and is final"):
                bench.engine.call(bench.engine.engine.store.update(edit)).result(WAIT)

    def test_interruption_continues_only_a_compaction(self) -> None:
        position = StepPosition(1, 4)
        job = started()
        job = lifecycle.replace(job, tasks=tuple(lifecycle.replace(task, steps=position) for task in job.tasks))
        assert lifecycle.unfinished_positions(job, ["a", "b"]) == {"a": position, "b": position}
        for other in ({"command": "flush"}, {"status": Status.FINISHED}):
            assert lifecycle.unfinished_positions(lifecycle.replace(job, **other), ["a", "b"]) == {}

    def test_paused_job_starts_no_task(self) -> None:
        assert decide([started()], [], {"a"}, set(), 4, NOW).starts == (Start(1, (1,)),)
        assert decide([lifecycle.pause(started(), NOW)], [], {"a"}, set(), 4, NOW).starts == ()


class TestSpaces:
    def test_reserved_space_takes_no_job(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
            store = bench.engine.engine.store

            async def submit_meanwhile() -> None:
                async with store.reserve_space("solo"):
                    store.require_available("solo")

            with pytest.raises(StatementRefused):
                bench.engine.call(submit_meanwhile()).result(WAIT)
            bench.execute("ADMIN FLUSH solo")

    def test_invalid_space_statements_change_nothing(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, ScriptedStorage({"solo": ("far",)})) as bench:
            assert "exists already" in bench.refusal("CREATE SPACE solo")
            assert bench.execute("CREATE SPACE IF NOT EXISTS solo").failure is None
            assert "is not adopted" in bench.refusal('CREATE SPACE IF NOT EXISTS solo AT "/nowhere"')
            assert bench.execute("DROP SPACE IF EXISTS other").failure is None
            assert "other" in bench.refusal("DROP SPACE other")
            bench.storage.is_space_admin = False
            assert "on embedded storage only" in bench.refusal("DROP SPACE IF EXISTS other")


class TestAnswers:
    def test_answer_that_is_too_long_is_not_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "MAX_LINE_BYTES", 10)

        async def send() -> None:
            await server._send(cast("asyncio.StreamWriter", None), protocol.Accepted())

        with pytest.raises(ValueError, match="the answer has more than"):
            asyncio.run(send())

    def test_closed_client_does_not_take_over(self) -> None:
        client = failover.FailoverClient.__new__(failover.FailoverClient)
        client._closed = True
        client._take_over()  # would open the profile, which this client does not have

    def test_code_of_a_storage_error_survives_the_socket(self) -> None:
        denied = protocol.ErrorResponse("no room", "disk_full", "far", "solo")
        with pytest.raises(StorageError) as caught:
            remote._require_response(denied, protocol.LoadResponse)
        assert (caught.value.code, caught.value.host, caught.value.space) == (
            ErrorCode.DISK_FULL,
            "far",
            "solo",
        )
        with pytest.raises(OwnerRejected):
            remote._require_response(protocol.ErrorResponse("no", "of tomorrow"), protocol.LoadResponse)

    def test_pair_that_no_request_can_hold_is_refused(self) -> None:
        class Full:
            def _request(self, *_: object) -> None:
                raise protocol.RequestTooLarge

        with pytest.raises(StorageError) as caught:
            remote.RemoteClient._load(cast("remote.RemoteClient", Full()), "solo", [(b"key", b"value")])
        assert (caught.value.code, caught.value.space) == (ErrorCode.REJECTED, "solo")

    def test_dump_ends_with_its_last_part(self) -> None:
        parts = [
            protocol.DumpResponse(((b"1", b""),), last=False),
            protocol.DumpResponse(((b"2", b""),), last=True),
        ]

        class Owner:
            """The answers; it would wait for another one forever."""

            def _channel(self) -> Owner:
                return self

            def __enter__(self) -> Owner:
                return self

            def __exit__(self, *_: object) -> None: ...

            def request(self, *_: object) -> None: ...

            def read(self, *_: object) -> protocol.DumpResponse:
                return parts.pop(0)

        pairs = list(remote.RemoteClient.dump(cast("remote.RemoteClient", Owner()), "solo"))
        assert pairs == [(b"1", b""), (b"2", b"")]

    def test_dump_is_read_in_parts(self) -> None:
        async def pairs() -> AsyncIterator[tuple[bytes, bytes]]:
            for number in range(5):
                yield b"%d" % number, b""

        async def parts() -> list[int]:
            left = pairs()
            return [len(await next_pairs(left, 2)) for _ in range(4)]

        assert asyncio.run(parts()) == [2, 2, 1, 0]
