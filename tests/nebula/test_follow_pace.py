"""How often a cluster is asked for its jobs."""

from __future__ import annotations

from jobtui.model import Status
from jobtui.storage.nebula.poller import BATCH, JobPoller, UpdateKind
from tests.support.nebula import PatientClock, run
from tests.support.news_reader import Reader
from tests.support.scripted_mirror import ScriptedMirror


def test_a_space_that_is_costly_to_list_is_listed_seldom_and_its_running_job_is_watched_all_the_same() -> None:
    async def test() -> None:
        mirror, clock = ScriptedMirror(), PatientClock()
        mirror.put("nba", 1)
        mirror.on_list = lambda: clock.advance(2)  # a list takes 2 seconds
        reader = Reader(JobPoller(mirror, clock=clock), clock)
        await reader.batch()
        mirror.asked.clear()
        await reader.silence(60)
        assert 1 <= mirror.asked.count("jobs nba") <= 3
        assert mirror.asked.count("show nba 1") > 20
        await reader.close()

    run(test())


def test_many_jobs_in_the_queue_do_not_make_it_ask_without_a_pause() -> None:
    async def test() -> None:
        mirror, clock = ScriptedMirror(), PatientClock()
        for job_id in range(1, 2 * BATCH):
            mirror.put("nba", job_id, Status.QUEUE)
        mirror.put("nba", 2 * BATCH, Status.RUNNING)
        reader = Reader(JobPoller(mirror, clock=clock), clock)
        for _ in range(2):
            await reader.batch()
        mirror.asked.clear()
        await reader.silence(5)
        assert len(mirror.asked) <= 6 * (BATCH + 2)
        assert mirror.asked.count(f"show nba {2 * BATCH}") >= 4
        await reader.close()

    run(test())


def test_after_an_order_it_looks_at_once() -> None:
    async def test() -> None:
        mirror, clock = ScriptedMirror(), PatientClock()
        follower = JobPoller(mirror, interval=1000.0, clock=clock)
        reader = Reader(follower, clock)
        await reader.silence(10)
        began = clock.steady()
        assert await mirror.submit("flush", "nba") == 1
        follower.poll_soon()
        assert await reader.news() == [("nba", 1, Status.RUNNING, UpdateKind.FIRST)]
        assert clock.steady() - began < 1000
        await reader.close()

    run(test())
