"""The changes that commits make: for each job, the difference from the version that is on disk now."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from jobtui.errors import StoreError, StoreFull
from jobtui.history.format.archive import Archives
from jobtui.history.format.codec import encode_change
from jobtui.history.format.state import State
from jobtui.model import Job

_LINE_OVERHEAD = 96
"""Bytes that a line may have more than the change in it: its checksum and its numbers."""


class ChangeSet(msgspec.Struct):
    """The changes to write, the versions that they make, and each commit's refusal (None: it is written)."""

    changes: list[bytes] = []
    jobs: list[Job] = []
    refusals: list[StoreError | None] = []

    @property
    def size(self) -> int:
        """How many bytes the changes' lines have, or somewhat more."""
        return _size(self.changes)


class ChangeBuilder:
    """A builder of changes from what is on disk at the time, so that a failed commit affects no later one."""

    def __init__(self, state: State, archives: Archives) -> None:
        self._state, self._archives = state, archives
        self.archive_lock = threading.Lock()
        """Held while jobs are being archived: no ended job may change then."""

    def build(self, commits: Sequence[Sequence[Job]]) -> ChangeSet:
        """Return all that the commits change; those that can't be are refused."""
        return self._build(commits, None, "")

    def build_within(self, commits: Sequence[Sequence[Job]], room: int, trouble: str) -> ChangeSet:
        """Build what still fits in `room` bytes on a full disk: changes to known jobs only."""
        return self._build(commits, room, trouble)

    def _build(self, commits: Sequence[Sequence[Job]], room: int | None, trouble: str) -> ChangeSet:
        drafts, made = ChangeSet(), dict[int, Job]()
        for jobs in commits:
            try:
                batch, versions, known = self._changes(jobs, made)
            except StoreError as refusal:
                drafts.refusals.append(refusal)
                continue
            except OSError as error:
                drafts.refusals.append(StoreError(f"The history can't be read: {error.strerror or error}"))
                continue
            if room is not None and batch:
                if not known or _size(batch) > room:
                    drafts.refusals.append(StoreFull(trouble))
                    continue
                room -= _size(batch)
            made.update(versions)
            drafts.jobs += versions.values()
            drafts.refusals.append(None)
            drafts.changes += batch
        return drafts

    def _changes(self, jobs: Sequence[Job], made: dict[int, Job]) -> tuple[list[bytes], dict[int, Job], bool]:
        """Return a commit's changes, the versions that they make, and whether all its jobs are known."""
        batch: list[bytes] = []
        versions: dict[int, Job] = {}
        known = True
        for job in jobs:
            drafted = versions.get(job.id) or made.get(job.id)
            before = drafted or self._newest(job.id)
            known = known and before is not None
            sealed = drafted is None and job.id not in self._state.recent
            # it gets a record of its own then: what becomes of the sealed one must not matter to it
            written = encode_change(None, job) if sealed and before != job else encode_change(before, job)
            if written is not None:
                batch.append(written)
                versions[job.id] = job
        return batch, versions, known

    def _newest(self, job_id: int) -> Job | None:
        """Return the version that a change is made to.

        Raises OSError, StoreTooNew; StoreError if it is archived.
        """
        job = self._state.recent.get(job_id)
        if job is not None and not job.status.ended:
            return job
        if job_id > self._state.last_id:
            return None  # it is new: nothing of it is being moved
        with self.archive_lock:
            job = self._state.recent.get(job_id) or self._state.get_for_update(job_id)
            if job is None and self._archives.find(self._state.manifest, job_id) is not None:
                raise StoreError(f"Job {job_id} is archived")
            return job


def _size(changes: Sequence[bytes]) -> int:
    return sum(map(len, changes)) + _LINE_OVERHEAD * len(changes)
