"""What a start makes of the jobs that the last one left under way, and what it tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobtui.engine import lifecycle, mirrored
from jobtui.engine.heartbeat import interruption
from jobtui.engine.profile import Run
from jobtui.formatting import format_count, format_ids
from jobtui.model import Job, Notice, Status

if TYPE_CHECKING:
    from jobtui.engine.engine import Engine


async def take_up(engine: Engine) -> None:
    """Fail what was interrupted, say what goes on, and attach a cluster's jobs again. Raises StoreError."""
    await _tell_of_interrupted(engine)
    if engine.mirroring is not None:
        await engine.mirroring.begin()
        return
    now = engine.clock.now()
    await engine.ledger.change(
        lambda book: [mirrored.unfollowed(job, now) for job in engine.ledger.active() if job.origin is not None]
    )
    queued = [job.id for job in engine.ledger.active() if job.status is Status.QUEUE]
    if queued and engine.run is Run.ALL:
        engine.publish([Notice(f"{_jobs(queued)} left in the queue: running now", "information")])


async def _tell_of_interrupted(engine: Engine) -> None:
    found = [job for job in engine.ledger.active() if _was_interrupted(job)]
    if found:
        beat, now, booted = engine.heartbeat.last(), engine.clock.now(), engine.clock.booted()
        ends = [(job, interruption(job, beat, now, booted)) for job in found]
        await engine.ledger.change(
            lambda book: [
                lifecycle.interrupted(book.get(job.id) or job, end.at, end.until) for job, end in ends
            ]
        )
        ids = [job.id for job in found]
        were, them = ("was", "it") if len(ids) == 1 else ("were", "them")
        again = f"RECOVER JOB {', '.join(map(str, ids[:10]))} runs {them} again"
        engine.publish([Notice(f"{_jobs(ids)} {were} {lifecycle.INTERRUPTED}; {again}")])


def _was_interrupted(job: Job) -> bool:
    """Whether it ran in a jobtui that has ended; what runs on a cluster goes on there."""
    return job.status is Status.RUNNING and job.origin is None


def _jobs(ids: Sequence[int]) -> str:
    return f"Job {ids[0]}" if len(ids) == 1 else f"{format_count(len(ids), 'job')} ({format_ids(ids)})"
