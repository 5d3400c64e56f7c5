"""The requests to a cluster that were sent and whose outcome is not known yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import msgspec

from jobtui.engine.jobs import Transaction
from jobtui.model import Job
from jobtui.storage.nebula.poller import JobUpdate, UpdateKind


class PendingRequest(msgspec.Struct, frozen=True, eq=False):
    """A job that the cluster was asked for.

    `newest`: the highest id that it listed for the space before; `twin`: our job with the same command that
    was under way then, None for none.
    """

    job: int
    space: str
    command: str
    newest: int
    twin: int | None

    def may_have_made(self, update: JobUpdate) -> bool:
        """Return whether the update may be about the job that was asked for."""
        job = update.job
        return (update.space, job.command) == (self.space, self.command) and job.id > self.newest


class PendingRequests:
    """The pending requests, and the updates that wait for their answers. For the engine's loop alone.

    `confirmed_reruns`: recovered jobs that the cluster said it runs again. A run may end within the second in
    which the one before it began, and then only this tells the two apart.
    """

    def __init__(self) -> None:
        self.confirmed_reruns: set[int] = set()
        self._awaited: list[PendingRequest] = []
        self._lost: list[PendingRequest] = []
        self._deferred: dict[tuple[str, int], JobUpdate] = {}

    def add(self, request: PendingRequest) -> None:
        """Add a request before it is sent: its answer is awaited."""
        self._awaited.append(request)

    def answer_lost(self, request: PendingRequest) -> None:
        """Mark a request as sent without an answer: only the cluster's list can show its outcome."""
        self._lost.append(request)

    def is_lost(self, request: PendingRequest) -> bool:
        """Return whether the request's job has not been found yet."""
        return request in self._lost

    def give_up(self, request: PendingRequest) -> None:
        """Stop looking for the job of a request whose answer was lost."""
        self._lost.remove(request)

    def answered(self, request: PendingRequest) -> list[JobUpdate]:
        """End waiting for an answer, and return the updates that no other awaited answer can be about."""
        self._awaited.remove(request)
        free = [update for update in self._deferred.values() if not self._may_be_awaited(update)]
        for update in free:
            del self._deferred[update.space, update.job.id]
        return free

    def defer(self, update: JobUpdate) -> bool:
        """Keep an update that may be the first of an awaited job; return whether it was kept."""
        key = update.space, update.job.id
        first = update.kind is UpdateKind.FIRST or key in self._deferred
        if first and self._may_be_awaited(update):
            self._deferred[key] = dataclasses.replace(update, kind=UpdateKind.FIRST)
            return True
        return False

    def match_lost_request(self, transaction: Transaction, update: JobUpdate) -> Job | None:
        """Return the job that the update must be about and whose answer was lost; None if there is none."""
        for request in self._lost:
            job = transaction.get(request.job)
            if request.may_have_made(update) and job is not None and _is_unanswered(job):
                return job
        return None

    def resolve(self, jobs: Iterable[Job]) -> None:
        """Stop looking for these jobs, which were found and are on disk."""
        found = {job.id for job in jobs}
        self._lost = [request for request in self._lost if request.job not in found]

    def _may_be_awaited(self, update: JobUpdate) -> bool:
        return any(request.may_have_made(update) for request in self._awaited)


def _is_unanswered(job: Job) -> bool:
    return not job.status.ended and job.origin is not None and not job.origin.id
