"""The expected answers of the history, computed naively from all jobs in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from jobtui.history import Bound, Query, Sort
from jobtui.model import Job, Status

_ORDER = (Status.QUEUE, Status.RUNNING, Status.FINISHED, Status.FAILED, Status.STOPPED)


def answer(query: Query, jobs: Iterable[Job]) -> list[int]:
    """Return the ids that a query finds among `jobs`, in its order."""
    found = [job for job in jobs if _found(query, job)]
    found.sort(key=lambda job: (_key(query.sort, job), job.id), reverse=query.descending)
    return [job.id for job in found]


def counts(jobs: Iterable[Job], space: str | None = None) -> dict[Status, int]:
    """Return the number of jobs of each status."""
    tally = Counter(job.status for job in jobs if space is None or job.space == space)
    return {status: tally[status] for status in Status}


def unrecovered(jobs: Iterable[Job], archived: Iterable[Job], space: str | None = None) -> list[int]:
    """Return the failed and stopped jobs that no other job recovered."""
    jobs = list(jobs)
    recovered = {job.recovered_from for job in (*jobs, *archived)}
    return sorted(
        job.id
        for job in jobs
        if job.status in (Status.FAILED, Status.STOPPED)
        and job.id not in recovered
        and (space is None or job.space == space)
    )


def _found(query: Query, job: Job) -> bool:
    hosts = {task.host for task in job.tasks}
    return all(
        (
            not query.statuses or job.status in query.statuses,
            not query.spaces or job.space in query.spaces,
            not query.hosts or hosts & query.hosts,
            not query.commands or job.command in query.commands,
            query.since is None or job.submitted >= query.since,
            query.until is None or job.submitted < query.until,
            job.status not in query.not_statuses,
            job.space not in query.not_spaces,
            not hosts & query.not_hosts,
            job.command not in query.not_commands,
            all(_holds(job, word) for word in query.words),
            not any(_holds(job, word) for word in query.not_words),
            all(_gives(job, word) for word in query.reasons),
            not any(_gives(job, word) for word in query.not_reasons),
            all(_is_within(bound, job) for bound in query.bounds),
            query.ids is None or job.id in query.ids,
            job.id not in query.not_ids,
        )
    )


def _holds(job: Job, word: str) -> bool:
    texts = [job.command, job.space, job.status.value, job.reason]
    texts += [text for task in job.tasks for text in (task.host, task.reason)]
    return str(job.id) == word or any(word.casefold() in text.casefold() for text in texts)


def _gives(job: Job, word: str) -> bool:
    return any(word.casefold() in text.casefold() for text in (job.reason, *(t.reason for t in job.tasks)))


def _is_within(bound: Bound, job: Job) -> bool:
    number = _number(job, bound.column)
    return (number is not None and bound.low <= number <= bound.high) is not bound.negated


def _number(job: Job, column: str) -> Any:
    # a flush reclaims nothing
    return job.reclaimed_by_compaction if column == "reclaimed" else getattr(job, column)


def _key(sort: Sort, job: Job) -> Any:
    match sort:
        case Sort.ID:
            return 0
        case Sort.COMMAND:
            return (job.command, job.space)
        case Sort.SPACE:
            return job.space
        case Sort.STATUS:
            return _ORDER.index(job.status)
        case Sort.HOSTS:
            return len(job.tasks)
        case Sort.REASON:
            return job.reason
        case Sort.BECAUSE:
            return job.options.because
        case Sort.REQUESTER:
            return job.requester
        case Sort.ORIGIN:
            if job.origin is not None:
                return (job.origin.cluster, job.origin.id)
            return ("", -1 if job.recovered_from is None else job.recovered_from)
        case _:
            value = _number(job, sort.value)
            return (value is not None, value if value is not None else 0)
