"""The totals of all jobs equal a plain count after sealing, changes and archiving."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from jobtui.history import History
from jobtui.history.read import totals
from jobtui.history.read.totals import JobTotals
from jobtui.history.write.store import Limits
from jobtui.model import Job
from tests.support import made_jobs

LIMITS = Limits(journal=6000, leftover=100_000, blanks=512)


def expected(jobs: dict[int, Job], archived: dict[int, Job]) -> JobTotals:
    found = JobTotals()
    for job in jobs.values():
        found.add_job(job)
    rest = JobTotals()
    for job in archived.values():
        rest.add_job(job)
    found.add(rest, archived=True)
    return found


def assert_same(found: JobTotals, wanted: JobTotals) -> None:
    assert +found.counts == +wanted.counts
    assert +found.reclaimed == +wanted.reclaimed
    assert found.last_ends == wanted.last_ends


@pytest.mark.parametrize("seed", range(3))
def test_sealed_changed_and_archived(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    history = History.open(tmp_path, limits=LIMITS)
    jobs: dict[int, Job] = {}
    archived: dict[int, Job] = {}
    for round_ in range(6):
        for _ in range(10):
            job = made_jobs.ended(history.new_id(), rng)
            history.commit(job).result()
            jobs[job.id] = job
        changed = made_jobs.moved_on(jobs[rng.choice([*jobs])], rng)
        history.commit(changed).result()
        jobs[changed.id] = changed
        if round_ % 2:
            first = rng.choice([*jobs])
            for job_id in history.archive(first, first + 3).result().ids:
                archived[job_id] = jobs.pop(job_id)
        assert_same(history.totals(), expected(jobs, archived))
    history.close()
    reader = History.open(tmp_path, write=False)
    assert_same(reader.totals(), expected(jobs, archived))
    assert_same(reader.totals(), expected(jobs, archived))
    reader.close()


def test_segment_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    history = History.open(tmp_path, limits=LIMITS)
    for _ in range(60):
        history.commit(made_jobs.ended(history.new_id(), rng)).result()
    history.close()
    reader = History.open(tmp_path, write=False)
    first = reader.totals()
    monkeypatch.setattr(totals, "_totals_of", lambda segment: pytest.fail("read again"))
    assert_same(reader.totals(), first)
    reader.close()
