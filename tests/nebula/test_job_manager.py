"""The job manager of a cluster behind its client. The rules are NebulaGraph's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from nebula3.common.ttypes import DateTime, Value

from jobtui.errors import ErrorCode
from jobtui.model import ConnectionState, Status
from jobtui.storage.nebula.ngql import ErrorReply, NgqlTable
from jobtui.storage.nebula.session import GraphdSession
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import failure, job_manager, run, settings_for
from tests.support.nebula_cluster import ALREADY_ENDED, NOT_CHOSEN, NOT_IN_SPACE, NOT_STOPPABLE, Cluster

ODD_NAMES = [
    "图谱",
    "été",
    "a b",
    "USE",
    "jobs",
    "1st",
    "a-b",
    "semi;colon",
    "we`ird",
    "dot.ted",
    "back\\slash",
    "😀",
]


# ---- the rules that NebulaGraph's own tests of its jobs hold


@pytest.mark.parametrize(
    "statement",
    [
        "SUBMIT JOB COMPACT",
        "SUBMIT JOB FLUSH",
        "SUBMIT JOB STATS",
        "REBUILD TAG INDEX not_there",
        "REBUILD EDGE INDEX not_there",
        "SHOW JOBS",
        "SHOW JOB 123456",
        "STOP JOB 123456",
        "RECOVER JOB",
    ],
)
def test_job_statements_need_a_chosen_space(statement: str) -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            session = GraphdSession(settings_for(graphd), "test")
            assert await session.query(statement) == ErrorReply("E_SEMANTIC_ERROR", NOT_CHOSEN)
            await session.close()

    run(test())


def test_missing_job_cannot_be_shown_or_stopped() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                for call in (manager.show("nba", 123456), manager.stop("nba", 123456)):
                    error = await failure(call)
                    assert (error.code, error.detail, error.space) == (ErrorCode.REJECTED, NOT_IN_SPACE, "nba")

    run(test())


def test_jobs_run_in_turn_and_are_listed_newest_first() -> None:
    async def test() -> None:
        cluster = Cluster(auto=True)
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                compact = await manager.submit("compact", "nba")
                flush = await manager.submit("flush", "nba")
                stats = cluster.submit("nba", "STATS")
                listed = await manager.jobs("nba")
                assert [(job.id, job.command, job.status) for job in listed] == [
                    (stats, "stats", Status.FINISHED),
                    (flush, "flush", Status.FINISHED),
                    (compact, "compact", Status.FINISHED),
                ]
                shown = await manager.show("nba", stats)
                assert (shown.id, shown.command, shown.status) == (stats, "stats", Status.FINISHED)
                assert shown.start is not None
                assert shown.stop is not None
                assert shown.tasks is not None
                assert [(task.host, task.status) for task in shown.tasks] == [("10.0.0.5", Status.FINISHED)]
                error = await failure(manager.stop("nba", stats))
                assert (error.code, error.detail) == (ErrorCode.REJECTED, ALREADY_ENDED)

    run(test())


def test_job_belongs_to_its_space_only() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster({"nba": ["10.0.0.5"], "other": ["10.0.0.5"]}, auto=True)) as graphd:
            async with job_manager(graphd) as manager:
                job = await manager.submit("flush", "nba")
                assert [one.id for one in await manager.jobs("nba")] == [job]
                assert await manager.jobs("other") == ()
                for call in (manager.show("other", job), manager.stop("other", job)):
                    assert (await failure(call)).detail == NOT_IN_SPACE

    run(test())


def test_rebuild_uses_the_space_chosen_in_its_text() -> None:
    async def test() -> None:
        cluster = Cluster()
        cluster.spaces["nba"].indexes.add("player_name")
        with GraphdDouble(cluster) as graphd:
            session = GraphdSession(settings_for(graphd), "test")
            answer = await session.query("USE nba;\nREBUILD TAG INDEX;")
            assert answer == NgqlTable(("New Job Id",), ((1,),), "nba")
            async with job_manager(graphd) as manager:
                assert (await manager.show("nba", 1)).command == "rebuild tag index"
            await session.close()

    run(test())


# ---- the rest of what its job manager does


def test_one_job_runs_in_a_space_and_spaces_run_side_by_side() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster({"nba": ["10.0.0.5"], "other": ["10.0.0.5"]})) as graphd:
            async with job_manager(graphd) as manager:
                first = await manager.submit("compact", "nba")
                second = await manager.submit("flush", "nba")
                elsewhere = await manager.submit("flush", "other")
                jobs = {job.id: job for space in ("nba", "other") for job in await manager.jobs(space)}
                assert jobs[first].status is Status.RUNNING
                assert (jobs[second].status, jobs[second].start) == (Status.QUEUE, None)
                assert jobs[elsewhere].status is Status.RUNNING
                graphd.cluster.finish(first)
                assert (await manager.show("nba", second)).status is Status.RUNNING

    run(test())


def test_job_that_equals_one_in_flight_is_that_one() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                first = await manager.submit("compact", "nba")
                assert await manager.submit("compact", "nba") == first
                graphd.cluster.finish(first)
                assert await manager.submit("compact", "nba") != first

    run(test())


def test_failed_job_runs_again_under_its_own_id() -> None:
    async def test() -> None:
        cluster = Cluster({"nba": ["10.0.0.5", "10.0.0.6"]})
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                job = await manager.submit("flush", "nba")
                cluster.finish(job, host="10.0.0.6", code="E_RPC_FAILURE")
                cluster.finish(job, host="10.0.0.5")
                failed = await manager.show("nba", job)
                assert (failed.status, failed.reason) == (Status.FAILED, "E_RPC_FAILURE")
                assert failed.tasks is not None
                assert [task.status for task in failed.tasks] == [Status.FINISHED, Status.FAILED]
                cluster.tick(60)
                assert await manager.recover("nba", [job]) == 1
                again = await manager.show("nba", job)
                assert (again.id, again.status, again.stop) == (job, Status.RUNNING, None)
                assert again.start != failed.start
                cluster.finish(job)
                assert (await manager.show("nba", job)).status is Status.FINISHED

    run(test())


def test_recover_returns_its_count_and_skips_finished_jobs() -> None:
    async def test() -> None:
        cluster = Cluster()
        finished = cluster.ended_job("nba", "FLUSH")
        failed = [cluster.ended_job("nba", kind, "FAILED") for kind in ("COMPACT", "STATS")]
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                assert await manager.recover("nba", [finished]) == 0
                assert await manager.recover("nba") == 2
                assert [cluster.status(job) for job in failed] == ["RUNNING", "QUEUE"]

    run(test())


def test_queued_job_can_be_stopped_running_compact_cannot() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                running = await manager.submit("compact", "nba")
                queued = await manager.submit("flush", "nba")
                await manager.stop("nba", queued)
                assert (await manager.show("nba", queued)).status is Status.STOPPED
                error = await failure(manager.stop("nba", running))
                assert (error.code, error.detail) == (ErrorCode.REJECTED, NOT_STOPPABLE)
                assert (await manager.show("nba", running)).status is Status.RUNNING

    run(test())


def test_running_job_of_a_kind_that_can_be_stopped_is_stopped() -> None:
    async def test() -> None:
        cluster = Cluster()
        stats = cluster.submit("nba", "STATS")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                await manager.stop("nba", stats)
                assert (await manager.show("nba", stats)).status is Status.STOPPED

    run(test())


def test_cluster_forgets_a_job_after_a_week() -> None:
    async def test() -> None:
        cluster = Cluster()
        cluster.ended_job("nba", ago=6 * 86400)
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                assert len(await manager.jobs("nba")) == 1
                cluster.tick(2 * 86400)
                assert await manager.jobs("nba") == ()

    run(test())


def test_jobs_of_others_are_reported_with_any_command() -> None:
    async def test() -> None:
        cluster = Cluster({"nba": ["10.0.0.5"], "other": ["10.0.0.6"]})
        cluster.submit("nba", "REBUILD_EDGE_INDEX", "follow")
        cluster.submit("other", "LEADER_BALANCE")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                updates = [
                    (space.name, job.command)
                    for space in await manager.spaces()
                    for job in await manager.jobs(space.name)
                ]
        assert updates == [("nba", "rebuild edge index"), ("other", "leader balance")]

    run(test())


def test_spaces_and_hosts_are_the_clusters() -> None:
    async def test() -> None:
        cluster = Cluster({"nba": ["10.0.0.5", "10.0.0.6"], "other": ["10.0.0.6"]})
        cluster.offline.add("10.0.0.6")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                assert [(space.name, space.hosts) for space in await manager.spaces()] == [
                    ("nba", ("10.0.0.5", "10.0.0.6")),
                    ("other", ("10.0.0.6",)),
                ]
                assert [(host.name, host.up, host.spaces) for host in await manager.hosts()] == [
                    ("10.0.0.5", True, 1),
                    ("10.0.0.6", False, 2),
                ]

    run(test())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_name_that_needs_back_quotes_works_everywhere(name: str) -> None:
    async def test() -> None:
        cluster = Cluster({name: ["10.0.0.5"]})
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                assert [space.name for space in await manager.spaces()] == [name]
                assert (await manager.spaces())[0].hosts == ("10.0.0.5",)
                job = await manager.submit("flush", name)
                assert [one.id for one in await manager.jobs(name)] == [job]
                cluster.finish(job, code="E_UNKNOWN")
                assert await manager.recover(name, [job]) == 1
                assert (await manager.show(name, job)).status is Status.RUNNING

    run(test())


def test_dropped_space_is_missing() -> None:
    async def test() -> None:
        cluster = Cluster({"nba": ["10.0.0.5"], "other": ["10.0.0.5"]})
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                job = await manager.submit("flush", "nba")
                cluster.drop_space("nba")
                for call in (manager.jobs("nba"), manager.show("nba", job), manager.submit("flush", "nba")):
                    error = await failure(call)
                    assert (error.code, error.detail) == (
                        ErrorCode.MISSING,
                        "SpaceNotFound: Space not existed!",
                    )
                assert [space.name for space in await manager.spaces()] == ["other"]

    run(test())


@pytest.mark.parametrize(
    "odd", [{"year": 0, "month": 0, "day": 0}, {"sec": 60}, {"year": 9999, "month": 12, "day": 31}, {"year": 1}]
)
def test_impossible_time_becomes_none(odd: dict[str, int]) -> None:
    async def test() -> None:
        cluster = Cluster()
        first, second = cluster.ended_job("nba"), cluster.ended_job("nba")
        noon = {"year": 2019, "month": 12, "day": 17, "hour": 23, "minute": 0, "sec": 0, "microsec": 0}
        cluster.spaces["nba"].jobs[first].stop = Value(dtVal=DateTime(**noon | odd))
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                listed = {job.id: job for job in await manager.jobs("nba")}
                assert (listed[first].stop, listed[second].stop) == (None, cluster.now)

    run(test())


@pytest.mark.parametrize("hours", [-11, 0, 8])
def test_times_are_utc_in_any_time_zone_of_the_cluster(hours: int) -> None:
    async def test() -> None:
        cluster = Cluster()
        with GraphdDouble(cluster, zone_offset=hours * 3600) as graphd:
            async with job_manager(graphd) as manager:
                job = await manager.submit("flush", "nba")
                cluster.tick(90)
                cluster.finish(job)
                shown = await manager.show("nba", job)
                assert shown.start == datetime(2019, 12, 17, 9, 21, 30, tzinfo=UTC)
                assert shown.stop == datetime(2019, 12, 17, 9, 23, 0, tzinfo=UTC)
                assert shown.tasks is not None
                assert shown.tasks[0].took == 90.0

    run(test())


def test_5000_jobs_of_a_space_are_reported(long: bool) -> None:
    async def test() -> None:
        cluster = Cluster()
        for _ in range(20_000 if long else 5_000):
            cluster.ended_job("nba")
        newest = cluster.ended_job("nba", "COMPACT", "FAILED")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd) as manager:
                listed = await manager.jobs("nba")
                assert [job.id for job in listed] == list(range(newest, 0, -1))
                assert [job.id for job in await manager.jobs("nba", since=newest - 2)] == [
                    newest,
                    newest - 1,
                ]

    run(test())


def test_guest_may_read_and_gets_a_refusal_for_jobs() -> None:
    async def test() -> None:
        cluster = Cluster()
        cluster.users["guest"] = "nebula"
        cluster.guests.add("guest")
        with GraphdDouble(cluster) as graphd:
            async with job_manager(graphd, user="guest") as manager:
                assert await manager.jobs("nba") == ()
                error = await failure(manager.submit("flush", "nba"))
                assert error.code is ErrorCode.ACCESS
                assert error.detail == "PermissionError: No permission to write data."
                assert manager.link.state is ConnectionState.CONNECTED

    run(test())


def test_command_that_jobtui_does_not_submit_is_unsupported() -> None:
    async def test() -> None:
        with GraphdDouble(Cluster()) as graphd:
            async with job_manager(graphd) as manager:
                error = await failure(manager.submit("stats; DROP SPACE nba", "nba"))
                assert error.code is ErrorCode.UNSUPPORTED
        assert not [text for text in graphd.cluster.statements if "DROP" in text]

    run(test())
