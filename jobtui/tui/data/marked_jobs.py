"""The jobs that the user has marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class MarkedJobs:
    """A set of job ids, of one byte for each id: ids rise from 1, and a million of them may be marked."""

    def __init__(self) -> None:
        self._flags = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, job_id: int) -> bool:
        return job_id < len(self._flags) and self._flags[job_id] == 1

    def __iter__(self) -> Iterator[int]:
        """Yield the marked ids in rising order."""
        job_id = self._flags.find(1)
        while job_id >= 0:
            yield job_id
            job_id = self._flags.find(1, job_id + 1)

    def toggle(self, job_id: int) -> None:
        """Invert the mark of a job."""
        self._set(job_id, job_id not in self)

    def add(self, job_ids: Iterable[int]) -> None:
        """Mark jobs."""
        for job_id in job_ids:
            self._set(job_id, True)

    def drop(self, job_ids: Iterable[int]) -> None:
        """Remove the marks of jobs."""
        for job_id in job_ids:
            self._set(job_id, False)

    def invert(self, job_ids: Iterable[int]) -> None:
        """Invert the marks of jobs."""
        for job_id in job_ids:
            self._set(job_id, job_id not in self)

    def clear(self) -> None:
        """Remove all marks."""
        self._flags = bytearray()
        self._count = 0

    def _set(self, job_id: int, on: bool) -> None:
        if job_id >= len(self._flags):
            if not on:
                return
            self._flags.extend(bytes(job_id + 1 - len(self._flags) + 256))
        if self._flags[job_id] != on:
            self._flags[job_id] = on
            self._count += 1 if on else -1
