"""The marked jobs: a flag a job id, so that marking a million costs a megabyte and asking costs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Marks:
    """A set of job ids. Ids rise from 1, so a byte each is the smallest set there is once many are marked."""

    def __init__(self) -> None:
        self._flags = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, job_id: int) -> bool:
        return job_id < len(self._flags) and self._flags[job_id] == 1

    def __iter__(self) -> Iterator[int]:
        """The marked ids, rising."""
        place = self._flags.find(1)
        while place >= 0:
            yield place
            place = self._flags.find(1, place + 1)

    def toggle(self, job_id: int) -> None:
        """Mark it, or take its mark away."""
        self._set(job_id, job_id not in self)

    def add(self, job_ids: Iterable[int]) -> None:
        """Mark them."""
        for job_id in job_ids:
            self._set(job_id, True)

    def drop(self, job_ids: Iterable[int]) -> None:
        """Take their marks away."""
        for job_id in job_ids:
            self._set(job_id, False)

    def invert(self, job_ids: Iterable[int]) -> None:
        """Turn these round."""
        for job_id in job_ids:
            self._set(job_id, job_id not in self)

    def clear(self) -> None:
        """Take all marks away."""
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
