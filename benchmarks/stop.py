"""How soon a stop gives the host and the space back."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.space_data import SPACE, WAIT, copy_of, done, one_host, opened
from jobtui.engine.local import LocalClient

_MOMENTS = 0.4


@figure("STOP of a compact of 500 MB to an idle, usable space", goal=at_most(100), unit="ms")
def stop(run: Run) -> Outcome:
    """From the statement until the job has ended as stopped and a pair written to the space is taken."""
    times = []
    dice = random.Random(1)
    for _ in range(3 if run.quick else 15):
        copy = copy_of(one_host(run), run)
        took = _stopped(copy, 0.05 + dice.random() * _MOMENTS)
        shutil.rmtree(copy)
        if took is not None:
            times.append(took * 1e3)
    return Outcome.of(times, f"slowest {max(times):.0f} ms")


def _stopped(root: Path, after: float) -> float | None:
    """Seconds; None where the compact was through before the stop."""
    with opened(root, 1) as (engine, session):
        (job_id,) = done(engine, session, "ADMIN COMPACT")
        _wait_until_it_moves(engine, job_id)
        time.sleep(after)
        begin = time.perf_counter()
        answer = engine.execute(f"STOP JOB {job_id}", session).result(WAIT)
        if answer.failure is not None:
            return None
        (job,) = engine.wait_ended([job_id]).result(WAIT)
        engine.load(SPACE, [(b"after", b"the stop")]).result(WAIT)
        took = time.perf_counter() - begin
    return took if job.status == "stopped" else None


def _wait_until_it_moves(engine: LocalClient, job_id: int) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        job = engine.job(job_id)
        if job is not None and any(task.progress for task in job.tasks):
            return
        time.sleep(0.005)
