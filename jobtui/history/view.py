"""The answer to a query: ids in order, and the jobs of a page when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobtui.history.columns import CODE_OF, STATUSES, hosts_of, reason_of
from jobtui.history.query import Query, Sort
from jobtui.history.segment import Segment
from jobtui.model import Job

Reader = Callable[[int], Job | None]


class View:
    """Jobs of one moment, in the query's order. A page is read with the newest version of each job."""

    def __init__(self, ids: Sequence[int], read: Reader) -> None:
        self._ids, self._read = ids, read

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self, start: int, stop: int) -> list[int]:
        """The ids at the places from `start` to before `stop`."""
        return list(self._ids[start:stop])

    def page(self, start: int, count: int) -> list[Job]:
        """Up to `count` jobs from place `start`; one that was archived meanwhile is left out. Raises OSError."""
        found = map(self._read, self._ids[start : start + count])
        return [job for job in found if job is not None]

    def index_of(self, job_id: int) -> int | None:
        """The job's place, None where it is not in the view."""
        try:
            return self._ids.index(job_id)
        except ValueError:
            return None


def evaluate(query: Query, segments: Sequence[Segment], recent: Sequence[Job], read: Reader) -> View:
    """Answer a query over sealed and recent jobs."""
    keyed: list[tuple[object, int]] = []
    for segment in segments:
        for place in segment.present():
            job = segment.job(place)
            if _matches(query, job):
                keyed.append((_key(query.sort, job), job.id))
    keyed += [(_key(query.sort, job), job.id) for job in recent if _matches(query, job)]
    keyed.sort(reverse=query.descending)
    return View([job_id for _, job_id in keyed], read)


def _matches(query: Query, job: Job) -> bool:
    hosts = set(hosts_of(job))
    return (
        (not query.statuses or job.status in query.statuses)
        and (not query.spaces or job.space in query.spaces)
        and (not query.hosts or bool(hosts & query.hosts))
        and (not query.commands or job.command in query.commands)
        and (query.since is None or job.submitted >= query.since)
        and (query.until is None or job.submitted < query.until)
        and job.status not in query.not_statuses
        and job.space not in query.not_spaces
        and not hosts & query.not_hosts
        and job.command not in query.not_commands
        and all(_contains(job, word) for word in query.words)
        and not any(_contains(job, word) for word in query.not_words)
    )


def _contains(job: Job, word: str) -> bool:
    texts = (job.command, job.space, str(job.status), reason_of(job), *hosts_of(job))
    folded = word.casefold()
    return str(job.id) == word or any(folded in text.casefold() for text in texts)


def _key(sort: Sort, job: Job) -> object:
    if sort is Sort.ID:
        return job.id
    if sort is Sort.COMMAND:
        return job.command, job.space
    if sort is Sort.SPACE:
        return job.space
    if sort is Sort.STATUS:
        return CODE_OF[job.status]
    value = getattr(job, sort.value)
    if value is None:
        return (0, 0)
    return (1, value)


__all__ = ["STATUSES", "View", "evaluate"]
