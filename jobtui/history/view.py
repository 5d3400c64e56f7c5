"""The answer to a query: ids in order, and the jobs of a page when they are asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from jobtui.history.answers import Answer
from jobtui.history.errors import readable
from jobtui.model import Job

Entry = tuple[float, Any, int]
"""What a job is ordered by: a key, what tells recent jobs of the same key apart, its id."""


class View:
    """The jobs that a query found, of one moment, in its order: places from 0 to its length.

    The first pages from either end of an unsorted view cost next to nothing; `ready` says whether a place
    is to be had so, and `prepare` does all the work that is left, for a thread that has the time. A page is
    read with the newest version of each job. Everything here raises StoreError where the disk fails, and
    may be called from any thread.
    """

    def __init__(
        self,
        answer: Answer,
        recent: Sequence[Job],
        descending: bool,
        read: Callable[[int], Job | None],
    ) -> None:
        self._answer, self._descending, self._read = answer, descending, read
        self._entries: dict[int, Entry] = {job.id: self._entry_of(job) for job in recent}
        self._recent = sorted(self._entries.values(), reverse=descending)

    def __len__(self) -> int:
        with readable():
            return self._answer.count() + len(self._recent)

    def ids(self, start: int, stop: int) -> list[int]:
        """The ids at the places from `start` to before `stop`."""
        length = len(self)
        start, stop = max(0, start), min(stop, length)
        if start >= stop:
            return []
        if start + stop > length:
            return self._ids(length - stop, length - start, not self._descending)[::-1]
        return self._ids(start, stop, self._descending)

    def page(self, start: int, count: int) -> list[Job]:
        """Up to `count` jobs from place `start`; one that was archived meanwhile is left out."""
        with readable():
            found = map(self._read, self.ids(start, start + count))
            return [job for job in found if job is not None]

    def index_of(self, job_id: int) -> int | None:
        """The job's place, None where it is not in the view."""
        with readable():
            entry = self._entry(job_id)
            if entry is None:
                return None
            before = self._answer.rank(entry[0], job_id, descending=self._descending)
            among = bisect_left(self._recent, True, key=lambda each: self._passes(each, entry))
            recent = among < len(self._recent) and self._recent[among] == entry
            sealed = self._answer.first(before + 1, descending=self._descending)[before : before + 1]
            return before + among if recent or list(sealed) == [job_id] else None

    def ready(self, start: int, stop: int) -> bool:
        """Whether the places from `start` to before `stop` can be read without long work."""
        length = len(self)
        if start + stop > length:
            return self._answer.ready(min(length - start, length), descending=not self._descending)
        return self._answer.ready(min(stop, length), descending=self._descending)

    def prepare(self) -> None:
        """Do all work that is left, so that every place is ready."""
        with readable():
            self._answer.prepare()

    def _entry(self, job_id: int) -> Entry | None:
        entry = self._entries.get(job_id)
        if entry is not None:
            return entry
        job = self._read(job_id)
        return self._entry_of(job) if job is not None else None

    def _entry_of(self, job: Job) -> Entry:
        return self._answer.key(job), self._answer.among(job), job.id

    def _passes(self, entry: Entry, other: Entry) -> bool:
        return entry <= other if self._descending else entry >= other

    def _ids(self, start: int, stop: int, descending: bool) -> list[int]:
        with readable():
            sealed = self._answer.first(stop, descending=descending)
            recent = self._recent if descending == self._descending else self._recent[::-1]

            def place(i: int) -> int:
                key, _, job_id = recent[i]
                return i + self._answer.before(key, job_id, stop, descending=descending)

            first = bisect_left(range(len(recent)), start, key=place)
            end = bisect_left(range(len(recent)), stop, first, key=place)
            found = list(sealed[start - first : stop - end])
            for i in range(first, end):
                found.insert(place(i) - start, recent[i][2])
            return found
