"""A history that is filled with new jobs until the disk refuses one."""

from __future__ import annotations

import random
from pathlib import Path

from jobtui.history import History, Query, StoreFull
from jobtui.history.write.store import Limits
from jobtui.model import Job
from tests.support import made_jobs

SMALL = Limits(journal=40_000, leftover=20_000, blanks=8192)


def new_job(history: History, seed: int = 1) -> Job:
    return made_jobs.submitted(history.new_id(), random.Random(seed))


def after_opening_again(path: Path) -> dict[int, Job]:
    again = History.open(path, write=False)
    view = again.query(Query())
    jobs = {job.id: job for job in view.page(0, len(view))}
    again.close()
    return jobs


def filled_up(history: History) -> tuple[dict[int, Job], StoreFull]:
    """Commit new jobs until the disk refuses one."""
    jobs: dict[int, Job] = {}
    while True:
        job = new_job(history, len(jobs))
        try:
            history.commit(job).result()
        except StoreFull as refusal:
            return jobs, refusal
        jobs[job.id] = job
