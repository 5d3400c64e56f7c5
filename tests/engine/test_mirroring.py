"""Jobs of a cluster that manages them itself: seen, submitted, stopped, recovered, over a scripted mirror."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtui.model import Status
from tests.support.mirrors import WAIT, MirrorBench, mirror_bench
from tests.support.scripted_mirror import START, ScriptedMirror


@pytest.fixture
def prod(tmp_path: Path) -> Iterator[MirrorBench]:
    with mirror_bench(tmp_path, ScriptedMirror(("nba", "test2"))) as it:
        it.caught_up()
        yield it


def test_a_submitted_job_is_the_clusters_and_follows_it_to_its_end(prod: MirrorBench) -> None:
    assert prod.rows("ADMIN COMPACT nba") == [("1",)]
    assert "submit compact nba" in prod.mirror.asked
    prod.heard.until(1, Status.RUNNING)
    prod.cluster(lambda mirror: mirror.put("nba", 1, Status.FINISHED))
    job = prod.heard.until(1, Status.FINISHED)
    assert job.origin is not None
    assert (job.origin.cluster, job.origin.space, job.origin.id) == ("prod", "nba", 1)
    assert [(task.host, task.status) for task in job.tasks] == [("10.0.0.5", Status.FINISHED)]
    assert prod.heard.statuses(1) == [Status.QUEUE, Status.RUNNING, Status.FINISHED]
    assert prod.engine.ended([1]).result(WAIT) == (job,)


def test_jobs_of_others_appear_from_every_space_whatever_their_command(prod: MirrorBench) -> None:
    prod.cluster(lambda mirror: mirror.put("nba", 40, Status.RUNNING, "stats"))
    prod.heard.until(1, Status.RUNNING)
    prod.cluster(lambda mirror: mirror.put("test2", 41, Status.FAILED, "rebuild tag index"))
    job = prod.heard.until(2, Status.FAILED)
    assert (job.label, job.start, job.submitted) == ("rebuild tag index test2", START, START)
    assert [row[1:3] for row in prod.rows("SHOW JOBS")] == [
        ("stats nba", "running"),
        ("rebuild tag index test2", "failed"),
    ]
