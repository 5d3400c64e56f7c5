"""The selection of jobs that an action touches, created once by a pure function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from jobtui.formatting import format_ids
from jobtui.model import Job, Status


class Selection(msgspec.Struct, frozen=True):
    """The ascending ids of the jobs that an action touches, and those it skips, by reason."""

    touched: tuple[int, ...]
    skipped: Mapping[str, tuple[int, ...]]

    @property
    def skipped_text(self) -> str:
        """The skipped jobs: `skipped: jobs 3, 5 (already ended)`; "" if there are none."""
        return f"skipped: {self.skipped_jobs}" if self.skipped else ""

    @property
    def skipped_jobs(self) -> str:
        """The skipped jobs with the reasons: `jobs 3, 5 (already ended)`."""
        one = sum(map(len, self.skipped.values())) == 1
        parts = [f"{format_ids(ids)} ({why})" for why, ids in self.skipped.items()]
        return f"{'job' if one else 'jobs'} {', '.join(parts)}"

    def only(self, later: Selection) -> Selection:
        """Return this selection without the jobs that a `later` selection of them skips."""
        skipped = dict(self.skipped)
        for why, ids in later.skipped.items():
            skipped[why] = tuple(sorted((*skipped.get(why, ()), *ids)))
        return Selection(later.touched, skipped)


Active = Mapping[int, Job]


def select_stoppable(ids: Iterable[int], active: Active) -> Selection:
    """Select the queued and running jobs that are not being stopped already."""

    def why(job_id: int) -> str:
        job = active.get(job_id)
        if job is None:
            return "already ended"
        return "already stopping" if job.stopping else ""

    return _select(ids, why)


def select_pausable(ids: Iterable[int], active: Active) -> Selection:
    """Select the queued and running jobs that are neither paused nor being stopped."""

    def why(job_id: int) -> str:
        job = active.get(job_id)
        if job is None:
            return "already ended"
        return "already stopping" if job.stopping else "already paused" if job.paused else ""

    return _select(ids, why)


def select_paused(ids: Iterable[int], active: Active) -> Selection:
    """Select the paused jobs."""

    def why(job_id: int) -> str:
        job = active.get(job_id)
        if job is None:
            return "already ended"
        return "" if job.paused else "not paused"

    return _select(ids, why)


def select_recoverable(ids: Iterable[int], active: Active, archived: Callable[[int], bool]) -> Selection:
    """Select the jobs that have ended and are not archived."""
    return _select(ids, lambda job_id: _not_ended(job_id, active) or ("archived" if archived(job_id) else ""))


def select_archivable(ids: Iterable[int], active: Active, archived: Callable[[int], bool]) -> Selection:
    """Select the jobs that have ended and are not archived yet."""
    return _select(
        ids, lambda job_id: _not_ended(job_id, active) or ("already archived" if archived(job_id) else "")
    )


def select_archived(ids: Iterable[int], archived: Callable[[int], bool]) -> Selection:
    """Select the archived jobs."""
    return _select(ids, lambda job_id: "" if archived(job_id) else "not archived")


def _select(ids: Iterable[int], why: Callable[[int], str]) -> Selection:
    touched: list[int] = []
    skipped: dict[str, list[int]] = {}
    for job_id in sorted(ids):
        reason = why(job_id)
        if reason:
            skipped.setdefault(reason, []).append(job_id)
        else:
            touched.append(job_id)
    return Selection(tuple(touched), {reason: tuple(jobs) for reason, jobs in skipped.items()})


def _not_ended(job_id: int, active: Active) -> str:
    job = active.get(job_id)
    if job is None:
        return ""
    return "still queued" if job.status is Status.QUEUE else "still running"
