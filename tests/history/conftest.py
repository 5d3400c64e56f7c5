"""Histories that every test of damage begins with; each damages a copy."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History
from tests.support import made_jobs
from tests.support.damaged import (
    OPEN,
    SMALL,
    Made,
    killed,
)
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def journal_only(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Left by a writer that was killed: everything is in one journal. The last commit is of three jobs."""
    directory = tmp_path_factory.mktemp("journal")
    history = History.open(directory / "history", limits=OPEN)
    rng = random.Random(4)
    jobs = {}
    for _ in range(6):
        job = made_jobs.submitted(history.new_id(), rng)
        for _ in range(3):
            history.commit(job).result()
            jobs[job.id] = job
            job = made_jobs.moved_on(job, rng)
    last = [made_jobs.submitted(history.new_id(), rng) for _ in range(3)]
    history.commit(*last).result()
    eventually(lambda: b'"durable":22,' in (history.path / "LOCK").read_bytes())
    made = Made(killed(history, directory / "left"), jobs | {job.id: job for job in last})
    history.close()
    return made


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Closed in peace, with several segments and an archive of jobs 20 to 30."""
    path = tmp_path_factory.mktemp("sealed") / "history"
    history = History.open(path, limits=SMALL)
    rng = random.Random(6)
    jobs = {}
    # segments are sealed in the background: a slow machine makes fewer of as many jobs
    while len(jobs) < 90 or len(list(path.glob("seg-*.jsonl"))) < 4:
        job = made_jobs.ended(history.new_id(), rng)
        jobs[job.id] = job
        history.commit(job).result()
    history.archive(20, 30).result()
    history.close()
    return Made(path, {job_id: job for job_id, job in jobs.items() if not 20 <= job_id <= 30})


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Made], Path]:
    def copy(made: Made) -> Path:
        path = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(made.path, path)
        return path

    return copy
