"""The factory of jobs: new ones from requests, and new ones that run ended jobs again."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from jobtui.clock import Clock
from jobtui.engine import lifecycle, queries
from jobtui.engine.control import RecoverRequest, SubmitRequest
from jobtui.engine.jobs import JobStore, Transaction
from jobtui.engine.lifecycle import Recovered
from jobtui.errors import StatementRefused
from jobtui.model import Job
from jobtui.storage.base import Space


class JobFactory:
    """A creator of jobs within a transaction, which assigns their ids. For the engine's loop alone."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def new_job(
        self, transaction: Transaction, request: SubmitRequest, recovered: Recovered | None = None
    ) -> Job:
        """Return a queued job with a task for each host of the request. Raises StatementRefused."""
        space = request.space
        self._store.require_available(space.name)
        if not space.hosts:
            raise StatementRefused(f"Space '{space.name}' has no storage host")
        return lifecycle.new_job(
            transaction.new_id(),
            request.command,
            space.name,
            space.hosts,
            self._clock.now(),
            options=request.options,
            recovered=recovered,
            requested_by=request.requested_by,
            schedule=request.schedule,
        )

    def recovered_job(self, transaction: Transaction, old: Job, space: Space, how: RecoverRequest) -> Job:
        """Return a job that runs an ended one again, on those of its hosts that the space still has."""
        hosts = lifecycle.recovered_hosts(old, space.hosts, failed_only=how.failed_only)
        if not hosts:
            why = (
                "has finished on all its hosts"
                if how.failed_only
                else "ran on hosts that the space no longer has"
            )
            raise StatementRefused(f"Job {old.id} {why}: there is nothing to run again")
        options = replace(old.options, because=how.because or old.options.because)
        if how.failed_only or old.options.hosts:
            options = replace(options, hosts=hosts)
        requested_by = how.requested_by or old.requested_by
        request = SubmitRequest(
            old.command, replace(space, hosts=hosts), options, requested_by, schedule=how.schedule
        )
        positions = {} if how.whole else lifecycle.unfinished_positions(old, hosts)
        return self.new_job(transaction, request, Recovered(old.id, positions))

    def require_recoverable(self, transaction: Transaction, job_id: int, spaces: Mapping[str, Space]) -> Job:
        """Return a job that can be run again. Raises StatementRefused."""
        job = queries.require_recoverable(transaction.get(job_id), job_id, self._store.history)
        if job.space not in spaces:
            raise StatementRefused(queries.no_such_space(job.space, spaces))
        return job

    def unrecovered(self, transaction: Transaction, space: str | None) -> list[Job]:
        """Return the failed and stopped jobs that were not recovered yet; of `space`, or of all (None)."""
        claimed = {job.recovered_from for job in transaction.changed.values()}
        ids = self._store.history.unrecovered(space)
        found = (transaction.get(job_id) for job_id in ids if job_id not in claimed)
        return [job for job in found if job is not None]
