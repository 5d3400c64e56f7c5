"""Requests to a cluster that manages its jobs itself: submit, stop, recover.

Invariants:
    a request is in the history before it is sent, and is sent at most once;
    if its answer is lost, its outcome is unknown until the cluster's list shows it;
    while an answer is awaited, a first update that may be about the requested job is deferred.
A job that was requested and never existed on the cluster ends as stopped, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from jobtui.background import BackgroundTasks
from jobtui.clock import Clock
from jobtui.engine import queries
from jobtui.engine.cluster import lifecycle
from jobtui.engine.cluster.sync import ClusterSync, PendingRequest
from jobtui.engine.control import JobCount, RecoverRequest, SubmitRequest, SubmittedJobs
from jobtui.engine.job_log import STOP_REFUSED
from jobtui.engine.jobs import JobStore, JobWaiters, Transaction
from jobtui.engine.lifecycle import IllegalTransition
from jobtui.errors import ErrorCode, StatementRefused, StorageError
from jobtui.history import StoreError
from jobtui.model import ClusterRef, Job, Status
from jobtui.storage.base import ClusterJob
from jobtui.storage.nebula.poller import JobUpdate, UpdateKind

NOT_RECOVERED = "the cluster has such a job in flight, or no longer has this one"
NOT_LISTED = "its answer was lost, and the cluster lists no such job: it was not carried out"
NO_PAUSE = "The cluster runs its jobs itself and cannot pause one"
CONFIRM_ATTEMPTS = 3  # searches of the cluster's list for a job whose answer was lost
POLL_SECONDS = 10.0
RECOVERABLE = (Status.FAILED, Status.STOPPED)


class ClusterRequests:
    """The `JobControl` of a cluster that manages its jobs itself. For the engine's loop alone."""

    outlives_engine = True

    def __init__(
        self,
        sync: ClusterSync,
        store: JobStore,
        waiters: JobWaiters,
        *,
        tasks: BackgroundTasks,
        clock: Clock,
    ) -> None:
        self._sync = sync
        self._job_manager = sync.job_manager
        self._index = sync.index
        self._pending = sync.pending
        self._store = store
        self._waiters = waiters
        self._tasks = tasks
        self._clock = clock

    async def take_over(self) -> None:
        """Continue the jobs that run on the cluster, and follow it from now on."""
        await self._sync.start()

    async def complete(self, job_id: int) -> None:
        """Fetch the tasks of a job that is recorded only as the cluster listed it."""
        job = self._store.get(job_id)
        if job is None or job.tasks or not job.status.ended or job.origin is None or not job.origin.id:
            return
        with contextlib.suppress(StoreError, StorageError):
            await self._job_manager.ready()
            await self._fetch(job)

    async def submit(self, request: SubmitRequest) -> SubmittedJobs:
        """Request a job from the cluster; if the answer is lost, the job waits until the outcome is known."""
        return await self._request_job(
            request.command,
            request.space.name,
            request.options.because,
            request.requested_by,
            schedule=request.schedule,
        )

    async def _request_job(
        self,
        command: str,
        space: str,
        because: str,
        requested_by: str,
        recovered_from: int | None = None,
        schedule: str = "",
    ) -> SubmittedJobs:
        await self._sync.wait_loaded()
        await self._job_manager.ready()
        newest = await self._sync.newest_id(space)
        origin = ClusterRef(self._job_manager.cluster, space, 0)
        twin = next((job.id for job in self._store.active() if _equals(job, command, space)), None)
        (job,) = await self._store.update(
            lambda transaction: [
                lifecycle.new_request(
                    transaction.new_id(),
                    command,
                    origin,
                    self._clock.now(),
                    recovered_from,
                    because=because,
                    requested_by=requested_by,
                    schedule=schedule,
                )
            ]
        )
        request = PendingRequest(job.id, space, command, newest, twin)
        sizes = await self._sync.sizes.sample(space)
        self._pending.add(request)
        try:
            cluster_id = await self._job_manager.submit(command, space)
            made = await self._accept(request, cluster_id)
            if made.id == job.id:
                self._sync.sizes.put_before(job.id, sizes)
        except StorageError as error:
            if error.outcome_unknown:
                self._pending.answer_lost(request)
                self._tasks.spawn(self._confirm(request))
                return SubmittedJobs((job,), lost_text(job, error))
            await self._reject(job.id, rejection_reason(error))
            raise StatementRefused(not_submitted_text(job, error)) from None
        finally:
            free = self._pending.answered(request)
            if free:
                await self._sync.record(free)
        self._sync.poll_soon(space)
        notice = f"The cluster has this job already: it is job {made.id}" if made.id != job.id else ""
        return SubmittedJobs((made,), notice)

    async def stop(self, ids: Sequence[int], because: str = "", *, requested_by: str = "") -> JobCount:
        """Request a stop of these jobs from the cluster; if it refuses one, the others are still stopped."""
        await self._require_each(ids, self._require_stoppable)
        await self._job_manager.ready()
        jobs = await self._store.update(
            lambda transaction: [
                lifecycle.request_stop(
                    self._require_stoppable(transaction, job_id), self._clock.now(), because, requested_by
                )
                for job_id in ids
            ]
        )
        refusals = [refusal for refusal in [await self._stop(job) for job in jobs] if refusal]
        if refusals:
            raise StatementRefused("; ".join(refusals))
        return JobCount(len(jobs), sum(not task.status.ended for job in jobs for task in job.tasks))

    async def pause(
        self, ids: Sequence[int], because: str = "", *, now: bool = False, requested_by: str = ""
    ) -> JobCount:
        """Refuse: a cluster cannot pause a job."""
        await self._require_each(ids, self._require_stoppable)
        raise StatementRefused(
            f"{NO_PAUSE}; STOP JOB {', '.join(map(str, ids))} ends {'it' if len(ids) == 1 else 'them'}"
        )

    async def resume(self, ids: Sequence[int], because: str = "", *, requested_by: str = "") -> JobCount:
        """Refuse: a cluster cannot pause a job."""
        await self._require_each(ids, self._require_stoppable)
        raise StatementRefused(NO_PAUSE)

    async def set_rate(self, rate: int | None, job_id: int | None, *, requested_by: str = "") -> str:
        """Refuse: the storage hosts of a cluster are limited by their own settings."""
        raise StatementRefused(
            "The cluster runs its jobs itself and limits their writes itself (storaged's rate_limit)"
        )

    async def recover(self, ids: Sequence[int], request: RecoverRequest) -> SubmittedJobs:
        """Have the cluster run these jobs again.

        Raises StatementRefused if any of them is refused.
        """
        _require_honored(request)
        await self._sync.wait_loaded()
        submitted, refusals = await self._recover_each(ids, request)
        if refusals:
            raise StatementRefused(partly_recovered_text(refusals, submitted.jobs))
        return submitted

    async def recover_all(self, space: str | None, request: RecoverRequest) -> SubmittedJobs:
        """Have the cluster run all jobs again that it still has; the notice names those that it refuses."""
        _require_honored(request)
        await self._sync.wait_loaded()
        await self._job_manager.ready()
        found = await asyncio.to_thread(self._unrecovered, space)
        listed: dict[str, set[int]] = {}
        for name in sorted(
            {origin.space for _, origin in found} & {one.name for one in await self._job_manager.spaces()}
        ):
            there = await self._job_manager.jobs(name)
            listed[name] = {one.id for one in there if one.status in RECOVERABLE}
        newest = self._index.get
        submitted, refusals = await self._recover_each(
            [
                job_id
                for job_id, origin in found
                if origin.id in listed.get(origin.space, ()) and newest(origin.space, origin.id) == job_id
            ],
            request,
        )
        if refusals and not submitted.jobs:
            raise StatementRefused("; ".join(refusals))
        return SubmittedJobs(submitted.jobs, "; ".join([*filter(None, [submitted.notice]), *refusals]))

    # ---- the course of a request

    async def _accept(self, request: PendingRequest, cluster_id: int) -> Job:
        """Return our job for the id in the cluster's answer; if it is an earlier job, end the requested one."""
        answer: list[Job] = []

        def edit(transaction: Transaction) -> list[Job]:
            job = _active(transaction, request.job)
            known = self._sync.run_of(transaction, request.space, cluster_id)
            if known is not None and (not known.status.ended or known.id == request.twin):
                answer[:] = [known]
                return [
                    lifecycle.reject(job, f"the cluster has it already as job {known.id}", self._clock.now())
                ]
            answer[:] = [lifecycle.accept(job, cluster_id, self._clock.now())]
            self._index.put(transaction, answer[0])
            return answer

        await self._store.update(edit, must_persist=True)
        self._waiters.notify()
        return answer[0]

    async def _confirm(self, request: PendingRequest) -> None:
        """Search the cluster's list for the job of a request, and end the job if it is not found."""
        attempts = 0
        while attempts < CONFIRM_ATTEMPTS:
            self._sync.poll_soon(request.space)
            await self._clock.sleep(POLL_SECONDS)
            try:
                await self._find_job_of(request)
            except StorageError as error:
                attempts += error.code not in (ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT)
            else:
                attempts += 1
            if not self._pending.is_lost(request):
                return
        self._pending.give_up(request)
        await self._reject(request.job, NOT_LISTED)

    async def _find_job_of(self, request: PendingRequest) -> None:
        for job in sorted(await self._job_manager.jobs(request.space), key=lambda job: job.id):
            update = JobUpdate(request.space, job, UpdateKind.FIRST)
            if request.may_have_made(update) and self._is_unknown_run(request.space, job):
                found = await self._job_manager.show(request.space, job.id)
                await self._sync.record_newest(JobUpdate(request.space, found, UpdateKind.FIRST))
                return

    def _is_unknown_run(self, space: str, job: ClusterJob) -> bool:
        """Return whether none of our jobs is that run; an ended one may belong to a cluster set up again."""
        job_id = self._index.get(space, job.id)
        if job_id is None:
            return True
        known = self._store.get(job_id) or self._store.history.get_archived(job_id)
        return known is None or (known.status.ended and known.start != job.start)

    async def _stop(self, job: Job) -> str:
        """Request a stop; return why the job is not being stopped, "" if it is."""
        refusal = ""
        try:
            await self._job_manager.stop(*_cluster_id(job))
        except StorageError as error:
            if error.outcome_unknown and await self._fetch(job) and self._has_ended(job.id):
                return ""  # the cluster received it, although the answer was lost
            await self._stop_refused(job.id, f"{STOP_REFUSED}: {error.detail}")
            refusal = not_stopped_text(job, error)
        await self._fetch(job)
        return refusal

    def _has_ended(self, job_id: int) -> bool:
        job = self._store.get(job_id)
        return job is None or job.status.ended

    async def _recover_each(
        self, ids: Sequence[int], request: RecoverRequest
    ) -> tuple[SubmittedJobs, list[str]]:
        """Recover the jobs that the cluster can run again; the others are refusals.

        Raises StatementRefused.
        """
        old = await self._require_each(ids, self._require_recoverable)
        await self._job_manager.ready()
        recovered: list[SubmittedJobs] = []
        refusals: list[str] = []
        for job in old:
            try:
                recovered.append(await self._recover(job, request))
            except (StatementRefused, StorageError) as error:
                refusals.append(str(error))
            except StoreError as error:
                refusals.append(f"Job {job.id}: {error}")
        notice = "; ".join(one.notice for one in recovered if one.notice)
        return SubmittedJobs(tuple(job for one in recovered for job in one.jobs), notice), refusals

    async def _recover(self, old: Job, request: RecoverRequest) -> SubmittedJobs:
        if old.origin is None or not old.origin.id:
            return await self._request_job(
                old.command, old.space, request.because, request.requested_by, old.id
            )
        origin = old.origin

        def edit(transaction: Transaction) -> list[Job]:
            self._require_recoverable(transaction, old.id)
            job = lifecycle.new_request(
                transaction.new_id(),
                old.command,
                origin,
                self._clock.now(),
                old.id,
                because=request.because,
                requested_by=request.requested_by,
            )
            self._index.put(transaction, job)
            return [job]

        try:
            (job,) = await self._store.update(edit)
        except StoreError as error:
            raise StatementRefused(f"Job {old.id} was not recovered: {error}") from None
        try:
            count = await self._job_manager.recover(origin.space, [origin.id])
        except StorageError as error:
            if error.outcome_unknown:
                self._tasks.spawn(self._fetch_later(job))
                return SubmittedJobs((job,), lost_text(job, error))
            reason = not_recovered_text(error)
        else:
            reason = NOT_RECOVERED
            if count:
                self._pending.confirmed_reruns.add(job.id)
                if not await self._fetch(job):
                    self._tasks.spawn(self._fetch_later(job))
                return SubmittedJobs((job,))
        await self._reject(job.id, reason, old)
        raise StatementRefused(f"Job {old.id} was not recovered: {reason}")

    async def _fetch_later(self, job: Job) -> None:
        await self._clock.sleep(POLL_SECONDS)
        while not await self._fetch(job):
            await self._clock.sleep(POLL_SECONDS)

    async def _fetch(self, job: Job) -> bool:
        """Record the job as it is on the cluster at this moment; return whether the cluster answered."""
        space, cluster_id = _cluster_id(job)
        try:
            found = await self._job_manager.show(space, cluster_id)
        except StorageError:
            self._sync.poll_soon(space)
            return False
        await self._sync.record_newest(JobUpdate(space, found, UpdateKind.CHANGED))
        return True

    async def _reject(self, job_id: int, reason: str, old: Job | None = None) -> None:
        """End a job whose request was refused, unless it was seen on the cluster meanwhile."""

        def edit(transaction: Transaction) -> list[Job]:
            job = transaction.get(job_id)
            if job is None or job.status is not Status.QUEUE:
                return []
            if old is not None:
                self._index.put(transaction, old)
            return [lifecycle.reject(job, reason, self._clock.now())]

        await self._store.update(edit, must_persist=True)
        self._waiters.notify()

    async def _stop_refused(self, job_id: int, reason: str) -> None:
        def edit(transaction: Transaction) -> list[Job]:
            job = transaction.get(job_id)
            if job is None or job.status.ended:
                return []
            return [lifecycle.refuse_stop(job, reason, self._clock.now())]

        await self._store.update(edit, must_persist=True)

    # ---- checks before a request

    async def _require_each(self, ids: Sequence[int], require: Callable[[Transaction, int], Job]) -> list[Job]:
        """Return the jobs if the request is allowed for all of them. Raises StatementRefused."""
        found: list[Job] = []

        def check(transaction: Transaction) -> list[Job]:
            found[:] = [require(transaction, job_id) for job_id in ids]
            return []

        await self._store.update(check)
        return found

    def _require_stoppable(self, transaction: Transaction, job_id: int) -> Job:
        job = queries.require_stoppable(transaction.get(job_id), job_id, self._store.history)
        if not _cluster_id(job)[1]:
            raise StatementRefused(f"Job {job_id} cannot be stopped yet: the cluster has not reported its id")
        return job

    def _require_recoverable(self, transaction: Transaction, job_id: int) -> Job:
        job = queries.require_recoverable(transaction.get(job_id), job_id, self._store.history)
        if job.origin is None or job.origin.cluster != self._job_manager.cluster:
            raise StatementRefused(
                f"Job {job_id} did not run on the cluster, so the cluster cannot run it again"
            )
        if job.status is Status.FINISHED:
            raise StatementRefused(
                f"Job {job_id} has finished: the cluster runs only failed and stopped jobs again"
            )
        newest = self._sync.run_of(transaction, job.origin.space, job.origin.id)
        if newest is not None and newest.id != job.id:
            raise StatementRefused(f"Job {job_id} was run again already, as job {newest.id}")
        return job

    def _unrecovered(self, space: str | None) -> list[tuple[int, ClusterRef]]:
        """Return the cluster's failed and stopped jobs that were not recovered yet; slow, for a thread."""
        history, cluster = self._store.history, self._job_manager.cluster
        jobs = (history.get(job_id) for job_id in history.unrecovered(space))
        origins = ((job.id, job.origin) for job in jobs if job is not None and job.origin is not None)
        return [(job_id, origin) for job_id, origin in origins if origin.id and origin.cluster == cluster]


def _require_honored(request: RecoverRequest) -> None:
    """Refuse an option of RECOVER that would be ignored. Raises StatementRefused."""
    if request.failed_only or request.whole:
        name = "failed_only" if request.failed_only else "whole"
        raise StatementRefused(
            f"{name} is not possible: the cluster runs its jobs itself, and decides which hosts run again"
        )


def _cluster_id(job: Job) -> tuple[str, int]:
    if job.origin is None:
        raise StatementRefused(f"Job {job.id} does not belong to a cluster")
    return job.origin.space, job.origin.id


def _active(transaction: Transaction, job_id: int) -> Job:
    job = transaction.get(job_id)
    if job is None or job.status.ended:
        raise IllegalTransition(f"job {job_id} ended before the cluster had answered")
    return job


def _equals(job: Job, command: str, space: str) -> bool:
    return job.origin is not None and job.origin.id > 0 and (job.command, job.space) == (command, space)


def lost_text(job: Job, error: StorageError) -> str:
    """Explain to the user that the answer to a submit or a recover was lost."""
    return (
        f"It is not known yet whether job {job.id} ({job.label}) runs, and it is not sent again: {error.detail}"
    )


def not_submitted_text(job: Job, error: StorageError) -> str:
    """Explain to the user that there is no such job."""
    if _was_sent(error):
        return f"The cluster refused {job.label} (job {job.id}): {error.detail}"
    return f"{job.label} (job {job.id}) was not sent: {error.detail}"


def rejection_reason(error: StorageError) -> str:
    """Return the reason for the record of a job that never existed."""
    return f"{'the cluster refused it' if _was_sent(error) else 'it was not sent'}: {error.detail}"


def not_stopped_text(job: Job, error: StorageError) -> str:
    """Explain to the user that the job is probably not being stopped."""
    if error.outcome_unknown:
        return (
            f"It is not known yet whether job {job.id} ({job.label}) was stopped, and it is not asked again: "
            f"{error.detail}"
        )
    says = "; the cluster says" if _was_sent(error) else ""
    return f"Job {job.id} ({job.label}) was not stopped{says}: {error.detail}"


def not_recovered_text(error: StorageError) -> str:
    """Return why a job does not run again."""
    return f"{'the cluster says' if _was_sent(error) else 'it was not asked'}: {error.detail}"


def partly_recovered_text(refusals: Sequence[str], jobs: Sequence[Job]) -> str:
    """Explain to the user which of the jobs are not recovered, and which are."""
    others = (f"job {job.recovered_from} runs again as job {job.id}" for job in jobs)
    return "; ".join([*refusals, *others])


def _was_sent(error: StorageError) -> bool:
    """Return whether the request that failed reached the cluster, or may have."""
    return error.outcome_unknown or error.code not in (ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT)
