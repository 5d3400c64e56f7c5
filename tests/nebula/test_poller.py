"""Updates about a cluster's jobs: each change once, in order, with few queries."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

from msgspec.structs import replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState, Status, Task
from jobtui.storage.base import ClusterJob
from jobtui.storage.nebula.poller import BATCH, DROPPED, GONE, JobPoller, UpdateKind
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import PatientClock, failure, job_manager, run
from tests.support.nebula_cluster import Cluster
from tests.support.scripted_manager import START, ScriptedManager
from tests.support.update_reader import UpdateReader


def test_existing_jobs_come_first_by_id_with_tasks() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(("nba", "other")), PatientClock()
        manager.put("nba", 3, Status.FINISHED)
        manager.put("other", 2)
        manager.put("nba", 1, Status.FAILED)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        batch = await reader.batch()
        assert [(one.space, one.job.id, one.kind) for one in batch] == [
            ("nba", 1, UpdateKind.FIRST),
            ("other", 2, UpdateKind.FIRST),
            ("nba", 3, UpdateKind.FIRST),
        ]
        assert all(one.job.tasks for one in batch)
        await reader.close()

    run(test())


def test_each_change_is_reported_once() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.silence(10)
        manager.put("nba", 1, Status.QUEUE)
        assert await reader.updates() == [("nba", 1, Status.QUEUE, UpdateKind.FIRST)]
        await reader.silence(10)
        manager.put("nba", 1, Status.RUNNING)
        assert await reader.updates() == [("nba", 1, Status.RUNNING, UpdateKind.CHANGED)]
        await reader.silence(10)
        manager.put("nba", 1, Status.FINISHED)
        assert await reader.updates() == [("nba", 1, Status.FINISHED, UpdateKind.CHANGED)]
        await reader.silence(60)
        await reader.close()

    run(test())


def test_task_that_moves_on_is_a_change_of_its_job() -> None:
    async def test() -> None:
        cluster = Cluster({"nba": ["10.0.0.5", "10.0.0.6"]})
        job = cluster.submit("nba", "COMPACT")
        clock = PatientClock()
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, clock=clock) as manager:
                reader = UpdateReader(JobPoller(manager, clock=clock), clock)
                assert await reader.updates() == [("nba", job, Status.RUNNING, UpdateKind.FIRST)]
                cluster.finish(job, host="10.0.0.6")
                (update,) = await reader.batch()
                assert (update.job.status, update.kind) == (Status.RUNNING, UpdateKind.CHANGED)
                assert [task.status for task in update.job.tasks or ()] == [Status.RUNNING, Status.FINISHED]
                cluster.finish(job)
                assert await reader.updates() == [("nba", job, Status.FINISHED, UpdateKind.CHANGED)]
                await reader.close()

    run(test())


def test_jobs_of_the_history_are_not_reported_again() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1, Status.FINISHED)
        manager.put("nba", 2, Status.FINISHED)
        manager.put("nba", 3)
        known = [
            ClusterJob(1, "flush", Status.FINISHED, START, START),
            ClusterJob(2, "flush", Status.RUNNING, START),
        ]
        reader = UpdateReader(JobPoller(manager, {"nba": known}, clock=clock), clock)
        assert await reader.updates() == [
            ("nba", 2, Status.FINISHED, UpdateKind.CHANGED),
            ("nba", 3, Status.RUNNING, UpdateKind.FIRST),
        ]
        await reader.close()

    run(test())


def test_rerun_under_the_same_id_is_reported_as_such() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1, Status.FAILED)
        manager.put("nba", 2, Status.FAILED)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.batch()
        manager.put("nba", 1, Status.QUEUE)
        # this one has run again, and ended, between two polls
        manager.change("nba", 2, start=START + timedelta(minutes=5), stop=START + timedelta(minutes=6))
        assert await reader.updates() == [
            ("nba", 1, Status.QUEUE, UpdateKind.AGAIN),
            ("nba", 2, Status.FAILED, UpdateKind.AGAIN),
        ]
        manager.put("nba", 1, Status.FINISHED)
        assert await reader.updates() == [("nba", 1, Status.FINISHED, UpdateKind.CHANGED)]
        await reader.close()

    run(test())


def test_retracted_end_is_a_distinct_update() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1, Status.STOPPED)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.batch()
        manager.put("nba", 1, Status.FINISHED)  # its tasks continued, and reported
        assert await reader.updates() == [("nba", 1, Status.FINISHED, UpdateKind.AFTER_END)]
        await reader.close()

    run(test())


def test_stop_that_the_cluster_only_pretends_is_detected() -> None:
    async def test() -> None:
        cluster, clock = Cluster(), PatientClock()
        cluster.pretends_to_stop = True  # 3.0 to 3.2
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, clock=clock) as manager:
                job = await manager.submit("compact", "nba")
                reader = UpdateReader(JobPoller(manager, clock=clock), clock)
                assert await reader.updates() == [("nba", job, Status.RUNNING, UpdateKind.FIRST)]
                await manager.stop("nba", job)
                (stopped,) = await reader.batch()
                assert stopped.job.status is Status.STOPPED
                assert [task.status for task in stopped.job.tasks or ()] == [Status.RUNNING]
                cluster.finish(job)
                assert await reader.updates() == [("nba", job, Status.FINISHED, UpdateKind.AFTER_END)]
                await reader.close()

    run(test())


def test_ended_job_that_the_cluster_forgets_is_no_news() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1, Status.FINISHED)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.batch()
        del manager.there["nba"][1]
        await reader.silence(30)
        await reader.close()

    run(test())


def test_running_job_missing_from_two_lists_has_failed() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.batch()
        kept = manager.there["nba"].pop(1)
        lists = manager.asked.count("jobs nba")
        while manager.asked.count("jobs nba") == lists:
            await reader.silence(1)
        manager.there["nba"][1] = kept
        await reader.silence(10)
        del manager.there["nba"][1]
        (update,) = await reader.batch()
        assert (update.job.status, update.job.reason) == (Status.FAILED, GONE)
        await reader.silence(10)
        await reader.close()

    run(test())


def test_jobs_under_way_in_a_dropped_space_have_failed() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(("nba", "other")), PatientClock()
        manager.put("nba", 1)
        manager.put("nba", 2, Status.FINISHED)
        manager.put("other", 3)
        errors: list[StorageError] = []
        reader = UpdateReader(JobPoller(manager, on_error=errors.append, clock=clock), clock)
        await reader.batch()
        del manager.there["nba"]
        manager.errors["nba"] = StorageError(ErrorCode.MISSING, "", "nba", "SpaceNotFound: SpaceName `nba`")
        (update,) = await reader.batch()
        assert (update.space, update.job.id, update.job.reason) == ("nba", 1, DROPPED)
        manager.put("other", 3, Status.FINISHED)
        assert await reader.updates() == [("other", 3, Status.FINISHED, UpdateKind.CHANGED)]
        assert errors == []
        await reader.close()

    run(test())


def test_space_that_appears_is_followed() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        await reader.silence(3)
        manager.there["new"] = {}
        manager.put("new", 7)
        assert await reader.updates() == [("new", 7, Status.RUNNING, UpdateKind.FIRST)]
        await reader.close()

    run(test())


def test_lost_connection_loses_no_update() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        for job_id in range(1, 6):
            manager.put("nba", job_id)
        show = manager.show

        async def breaking(space: str, job: int) -> ClusterJob:
            if job == 3 and manager.link.state is ConnectionState.CONNECTED and not broken:
                broken.append(job)
                manager.set_connection(ConnectionState.LOST)
            return await show(space, job)

        broken: list[int] = []
        manager.show = breaking  # type: ignore[method-assign]  # replaced for this test
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        assert [job for _, job, _, _ in await reader.updates()] == [1, 2]
        await reader.silence(60)
        manager.set_connection(ConnectionState.CONNECTED)
        assert [one.job.id for one in await reader.batch()] == [3, 4, 5]
        await reader.close()

    run(test())


def test_unlistable_space_is_reported_once_others_continue() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(("nba", "other")), PatientClock()
        manager.put("other", 1)
        manager.errors["nba"] = StorageError(ErrorCode.ACCESS, "", "nba", "No permission to read space.")
        errors: list[StorageError] = []
        reader = UpdateReader(JobPoller(manager, on_error=errors.append, clock=clock), clock)
        assert await reader.updates() == [("other", 1, Status.RUNNING, UpdateKind.FIRST)]
        await reader.silence(100)
        assert [error.detail for error in errors] == ["No permission to read space."]
        assert manager.asked.count("jobs nba") <= 8  # after 2, 4, 8, 16 and then each 30 seconds
        del manager.errors["nba"]
        manager.put("nba", 2)
        assert await reader.updates() == [("nba", 2, Status.RUNNING, UpdateKind.FIRST)]
        await reader.close()

    run(test())


def test_space_whose_role_is_lost_keeps_its_jobs_as_they_were() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(("nba", "other")), PatientClock()
        for job_id, status in ((1, Status.RUNNING), (2, Status.FAILED)):
            manager.put("nba", job_id, status)
        running = Task(0, "10.0.0.5", Status.RUNNING, start=START)
        manager.change("nba", 2, tasks=(running,))  # it has failed, and a host still works
        errors: list[StorageError] = []
        reader = UpdateReader(JobPoller(manager, on_error=errors.append, clock=clock), clock)
        await reader.batch()
        manager.errors["nba"] = StorageError(ErrorCode.ACCESS, "", "nba", "No permission to read space.")
        manager.put("nba", 3)
        await reader.silence(100)
        assert [error.detail for error in errors] == ["No permission to read space."]
        manager.asked.clear()
        await reader.silence(60)
        assert manager.asked.count("jobs nba") <= 3
        assert not [asked for asked in manager.asked if asked.startswith("show")]
        manager.put("other", 4)
        assert await reader.updates() == [("other", 4, Status.RUNNING, UpdateKind.FIRST)]
        del manager.errors["nba"]
        manager.put("nba", 1, Status.FINISHED)
        manager.change("nba", 2, tasks=(replace(running, status=Status.FINISHED, stop=START),))
        assert await reader.updates() == [
            ("nba", 1, Status.FINISHED, UpdateKind.CHANGED),
            ("nba", 2, Status.FAILED, UpdateKind.AFTER_END),
            ("nba", 3, Status.RUNNING, UpdateKind.FIRST),
        ]
        await reader.close()

    run(test())


def test_role_lost_between_a_list_and_its_jobs_loses_no_job() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        for job_id in (1, 2):
            manager.put("nba", job_id)
        refused = StorageError(ErrorCode.ACCESS, "", "nba", "No permission to read space.")
        manager.on_list = lambda: manager.errors.update(nba=refused)
        errors: list[StorageError] = []
        reader = UpdateReader(JobPoller(manager, on_error=errors.append, clock=clock), clock)
        await reader.silence(20)
        assert len(errors) == 1
        manager.on_list = lambda: None
        del manager.errors["nba"]
        assert [job for _, job, _, _ in await reader.updates()] == [1, 2]
        await reader.close()

    run(test())


def test_repeated_failure_is_reported_once() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1)

        async def unreadable(*asked: object) -> NoReturn:
            raise StorageError(
                ErrorCode.UNSUPPORTED, "", "", "graphd answered in a form that jobtui does not know"
            )

        manager.show = unreadable  # type: ignore[method-assign]  # replaced for this test
        errors: list[StorageError] = []
        reader = UpdateReader(JobPoller(manager, on_error=errors.append, clock=clock), clock)
        assert await reader.updates() == [("nba", 1, Status.RUNNING, UpdateKind.FIRST)]
        await reader.silence(100)
        assert len(errors) == 1
        manager.layout = unreadable  # type: ignore[method-assign]  # replaced for this test
        await reader.silence(200)
        assert len(errors) == 2
        await reader.close()

    run(test())


def test_job_of_unknown_form_is_reported_without_tasks() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 1, Status.FINISHED)

        async def unreadable(space: str, job: int) -> ClusterJob:
            raise StorageError(
                ErrorCode.UNSUPPORTED, "", "", "graphd answered in a form that jobtui does not know"
            )

        manager.show = unreadable  # type: ignore[method-assign]  # replaced for this test
        errors: list[StorageError] = []
        reader = UpdateReader(JobPoller(manager, on_error=errors.append, clock=clock), clock)
        (update,) = await reader.batch()
        assert (update.job.status, update.job.tasks) == (Status.FINISHED, ())
        assert len(errors) == 1
        await reader.close()

    run(test())


def test_thousands_of_jobs_come_in_batches_running_ones_first() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        for job_id in range(1, 3 * BATCH):
            manager.put("nba", job_id, Status.FINISHED)
        manager.put("nba", 3 * BATCH, Status.RUNNING)
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        first, *others = [await reader.batch() for _ in range(4)]
        assert [one.job.id for one in first] == [*range(1, 3 * BATCH + 1)]
        # those that have ended come as they are listed, and later with their tasks
        assert [one.job.id for one in first if one.job.tasks] == [3 * BATCH]
        others.append(await reader.batch())
        assert sorted(one.job.id for batch in others for one in batch) == [*range(1, 3 * BATCH)]
        assert max(map(len, others)) <= BATCH
        assert max(one.job.id for one in others[-1]) < max(one.job.id for one in others[0])  # the newest first
        assert all(one.job.tasks for batch in others for one in batch)
        await reader.silence(5)
        await reader.close()

    run(test())


def test_slow_polling_yields_each_second_running_jobs_first() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        for job_id in range(1, 6):
            manager.put("nba", job_id, Status.FINISHED)
        manager.put("nba", 6, Status.RUNNING)
        show = manager.show

        async def slowly(space: str, job: int) -> ClusterJob:
            clock.advance(0.5)
            return await show(space, job)

        manager.show = slowly  # type: ignore[method-assign]  # replaced for this test
        reader = UpdateReader(JobPoller(manager, clock=clock), clock)
        assert [[one.job.id for one in await reader.batch()] for _ in range(3)] == [[1, 6], [2, 3], [4, 5]]
        await reader.close()

    run(test())


def test_lost_submit_is_found_above_the_newest_id() -> None:
    async def test() -> None:
        manager, clock = ScriptedManager(), PatientClock()
        manager.put("nba", 41, Status.FINISHED)
        follower = JobPoller(manager, clock=clock)
        reader = UpdateReader(follower, clock)
        await reader.batch()
        newest = follower.newest("nba")
        assert (newest, follower.newest("elsewhere")) == (41, 0)
        manager.lost_answer = StorageError(ErrorCode.TIMEOUT, "", "nba", "no answer", outcome_unknown=True)
        assert (await failure(manager.submit("compact", "nba"))).outcome_unknown
        (update,) = await reader.batch()
        assert (update.job.command, update.job.id > newest) == ("compact", True)
        await reader.close()

    run(test())
