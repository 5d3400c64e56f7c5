"""An order to a cluster while it is under way, and what it came to. Plain data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from jobtui.engine import queries
from jobtui.engine.cluster import lifecycle
from jobtui.engine.jobs import Transaction
from jobtui.engine.lifecycle import IllegalTransition
from jobtui.errors import ErrorCode, StatementRefused, StorageError
from jobtui.history import StoreError
from jobtui.model import ClusterRef, Job, Status
from jobtui.storage.base import ClusterJob, ClusterJobManager
from jobtui.storage.nebula.poller import JobUpdate, UpdateKind

if TYPE_CHECKING:
    from jobtui.engine.cluster.sync import ClusterSync
    from jobtui.engine.engine import Engine


@dataclass(slots=True, eq=False)
class PendingRequest:
    """A job that the cluster was asked for. `newest`: the highest id that it listed for the space before.

    `twin`: our job that equals it and was under way then, None for none.
    """

    job: int
    space: str
    command: str
    newest: int
    twin: int | None

    def may_have_made(self, sighting: JobUpdate) -> bool:
        """Whether this may be the order's job."""
        job = sighting.job
        return (sighting.space, job.command) == (self.space, self.command) and job.id > self.newest


@dataclass(frozen=True, slots=True)
class RequestResult:
    """What an order came to: our jobs, and a remark for a person."""

    jobs: tuple[Job, ...]
    notice: str = ""


# ---- merged from jobtui.engine.order_words: ----
# What is said of an order to a cluster that came to nothing, or whose outcome nobody knows. Pure.
NOT_RECOVERED = "the cluster has such a job in flight, or no longer has this one"
NOT_LISTED = "its answer was lost, and the cluster lists no such job: it was not carried out"


def was_sent(error: StorageError) -> bool:
    """Whether the order that came to this had reached the cluster, or may have."""
    return error.outcome_unknown or error.code not in (ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT)


def lost(job: Job, error: StorageError) -> str:
    """For a person: the answer to a submit or a recover was lost."""
    return (
        f"It is not known yet whether job {job.id} ({job.label}) runs, and it is not sent again: {error.detail}"
    )


def not_submitted(job: Job, error: StorageError) -> str:
    """For a person: there will be no such job."""
    if was_sent(error):
        return f"The cluster refused {job.label} (job {job.id}): {error.detail}"
    return f"{job.label} (job {job.id}) was not sent: {error.detail}"


def reason(error: StorageError) -> str:
    """For the record of a job that never came to be."""
    return f"{'the cluster refused it' if was_sent(error) else 'it was not sent'}: {error.detail}"


def not_stopped(job: Job, error: StorageError) -> str:
    """For a person: the job is not being stopped, as far as is known."""
    if error.outcome_unknown:
        return (
            f"It is not known yet whether job {job.id} ({job.label}) was stopped, and it is not asked again: "
            f"{error.detail}"
        )
    says = "; the cluster says" if was_sent(error) else ""
    return f"Job {job.id} ({job.label}) was not stopped{says}: {error.detail}"


def not_recovered(error: StorageError) -> str:
    """Why a job does not run again."""
    return f"{'the cluster says' if was_sent(error) else 'it was not asked'}: {error.detail}"


def partly_recovered(refusals: Sequence[str], jobs: Sequence[Job]) -> str:
    """For a person: some of the jobs named don't run again, others do."""
    others = (f"job {job.recovered_from} runs again as job {job.id}" for job in jobs)
    return "; ".join([*refusals, *others])


# ---- merged from jobtui.engine.orders: ----
# What is asked of a cluster that manages its jobs itself: submit, stop, recover.
#
# Invariants:
#     an order is in the history before it is sent, and is sent at most once;
#     where its answer is lost, nobody pretends to know: what the cluster then tells decides;
#     while an answer is awaited, a first sighting that may be the order's own job is held back.
# A job that was asked for and never came to be on the cluster ends as stopped, with the reason.
#
LOOKS = 3  # at the cluster's list, after an answer was lost, before the job counts as never made
BETWEEN_LOOKS_SECONDS = 10.0
RECOVERABLE = (Status.FAILED, Status.STOPPED)


class ClusterRequests:
    """See the module. For the engine's loop alone."""

    def __init__(self, engine: Engine, mirroring: ClusterSync) -> None:
        self._engine = engine
        self._mirroring = mirroring
        self._awaited: list[PendingRequest] = []
        self._lost: list[PendingRequest] = []
        self._held: dict[tuple[str, int], JobUpdate] = {}
        # recovered jobs that the cluster said it runs again: a run may be over within the second in which the
        # one before it began, and then only this tells the two apart
        self.confirmed: set[int] = set()

    # ---- what is asked

    async def submit(self, command: str, space: str, recovered_from: int | None = None) -> RequestResult:
        """Have the cluster run the command. Raises Refused where it says no, StorageError, StoreError."""
        await self._mirroring.loaded()
        await self._mirror.ready()
        newest = await self._newest(space)
        origin = ClusterRef(self._mirror.cluster, space, 0)
        twin = next((job.id for job in self._engine.ledger.active() if _equals(job, command, space)), None)
        (job,) = await self._engine.ledger.change(
            lambda book: [lifecycle.ordered(book.new_id(), command, origin, self._now(), recovered_from)]
        )
        order = PendingRequest(job.id, space, command, newest, twin)
        self._awaited.append(order)
        try:
            cluster_id = await self._mirror.submit(command, space)
            made = await self._answered(order, cluster_id)
        except StorageError as error:
            if error.outcome_unknown:
                self._lost.append(order)
                self._engine.beside(self._resolve(order))
                return RequestResult((job,), lost(job, error))
            await self._never_made(job.id, reason(error))
            raise StatementRefused(not_submitted(job, error)) from None
        finally:
            self._awaited.remove(order)
            await self._release()
        self._mirroring.look_soon()
        already = f"The cluster has this job already: it is job {made.id}" if made.id != job.id else ""
        return RequestResult((made,), already)

    async def stop(self, ids: Sequence[int]) -> tuple[int, int]:
        """Ask the cluster to stop these jobs: how many, and how many of their tasks had not ended.

        Raises Refused where one can't be stopped, or where the cluster says no: the others are stopped then.
        """
        await self._checked(ids, self._stoppable)
        await self._mirror.ready()
        jobs = await self._engine.ledger.change(
            lambda book: [lifecycle.stop_asked(self._stoppable(book, job_id), self._now()) for job_id in ids]
        )
        refusals = [said for said in [await self._stop(job) for job in jobs] if said]
        if refusals:
            raise StatementRefused("; ".join(refusals))
        return len(jobs), sum(not task.status.ended for job in jobs for task in job.tasks)

    async def recover(self, ids: Sequence[int]) -> RequestResult:
        """Have the cluster run these failed or stopped jobs again. Raises Refused, StorageError, StoreError.

        Where the cluster does not run one of them again, the others run all the same, and the error says so.
        """
        await self._mirroring.loaded()
        ordered, refusals = await self._recover_each(ids)
        if refusals:
            raise StatementRefused(partly_recovered(refusals, ordered.jobs))
        return ordered

    async def recover_all(self, space: str | None) -> RequestResult:
        """The same for every job, of a space or of all, not recovered yet, that the cluster still has.

        What it does not run again is passed over, and told, as long as there is a job that it does.
        """
        await self._mirroring.loaded()
        await self._mirror.ready()
        found = await asyncio.to_thread(self._unrecovered, space)
        listed: dict[str, set[int]] = {}
        for name in sorted(
            {origin.space for _, origin in found} & {one.name for one in await self._mirror.spaces()}
        ):
            there = await self._mirror.jobs(name)
            listed[name] = {one.id for one in there if one.status in RECOVERABLE}
        newest = self._mirroring.origins.get
        ordered, refusals = await self._recover_each(
            [
                job_id
                for job_id, origin in found
                if origin.id in listed.get(origin.space, ()) and newest(origin.space, origin.id) == job_id
            ]
        )
        if refusals and not ordered.jobs:
            raise StatementRefused("; ".join(refusals))
        return RequestResult(ordered.jobs, "; ".join([*filter(None, [ordered.notice]), *refusals]))

    # ---- what is seen meanwhile

    def hold(self, sighting: JobUpdate) -> bool:
        """Whether the sighting is held back until an answer has come: it may be the first of its job."""
        key = sighting.space, sighting.job.id
        first = sighting.news is UpdateKind.FIRST or key in self._held
        if first and any(order.may_have_made(sighting) for order in self._awaited):
            self._held[key] = replace(sighting, news=UpdateKind.FIRST)
            return True
        return False

    def claimant(self, book: Transaction, sighting: JobUpdate) -> Job | None:
        """The job that was asked for, whose answer was lost, and that this must be."""
        for order in self._lost:
            job = book.get(order.job)
            if order.may_have_made(sighting) and job is not None and _is_unanswered(job):
                return job
        return None

    def claimed(self, jobs: Sequence[Job]) -> None:
        """These versions are on disk: an order among them, whose job was found, is looked for no longer."""
        found = {job.id for job in jobs}
        self._lost = [order for order in self._lost if order.job not in found]

    async def _release(self) -> None:
        """Take in what no answer that is still awaited can be about."""
        free = [
            one for one in self._held.values() if not any(order.may_have_made(one) for order in self._awaited)
        ]
        for sighting in free:
            del self._held[sighting.space, sighting.job.id]
        if free:
            await self._mirroring.record(free)

    # ---- how an order goes on

    async def _answered(self, order: PendingRequest, cluster_id: int) -> Job:
        """The job of ours that the cluster's answer names; the order's own ends where it is another."""
        answer: list[Job] = []

        def edit(book: Transaction) -> list[Job]:
            job = _active(book, order.job)
            known = self._mirroring.run_of(book, order.space, cluster_id)
            if known is not None and (not known.status.ended or known.id == order.twin):
                answer[:] = [known]
                return [lifecycle.never_made(job, f"the cluster has it already as job {known.id}", self._now())]
            answer[:] = [lifecycle.accepted(job, cluster_id, self._now())]
            self._mirroring.origins.put(book, answer[0])
            return answer

        await self._engine.ledger.change(edit, told=True)
        self._engine.dispatch.wake()
        return answer[0]

    async def _resolve(self, order: PendingRequest) -> None:
        """Look whether the order was carried out, until it is plain that it was not."""
        looks = 0
        while looks < LOOKS:
            self._mirroring.look_soon()
            await self._engine.clock.sleep(BETWEEN_LOOKS_SECONDS)
            try:
                await self._look_for(order)
            except StorageError as error:
                looks += error.code not in (ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT)
            else:
                looks += 1
            if order not in self._lost:
                return
        self._lost.remove(order)
        await self._never_made(order.job, NOT_LISTED)

    async def _look_for(self, order: PendingRequest) -> None:
        for job in sorted(await self._mirror.jobs(order.space), key=lambda job: job.id):
            sighting = JobUpdate(order.space, job, UpdateKind.FIRST)
            if order.may_have_made(sighting) and self._is_nobodys(order.space, job):
                told = await self._mirror.show(order.space, job.id)
                await self._mirroring.record_newest(JobUpdate(order.space, told, UpdateKind.FIRST))
                return

    def _is_nobodys(self, space: str, job: ClusterJob) -> bool:
        """Whether none of our jobs is that run; one that had ended before it is of a cluster set up anew."""
        job_id = self._mirroring.origins.get(space, job.id)
        if job_id is None:
            return True
        known = self._engine.ledger.get(job_id) or self._engine.history.archived_job(job_id)
        return known is None or (known.status.ended and known.start != job.start)

    async def _stop(self, job: Job) -> str:
        """Ask for it; what to say where the job is not being stopped."""
        said = ""
        try:
            await self._mirror.stop(*_there(job))
        except StorageError as error:
            if error.outcome_unknown and await self._look_at(job) and self._has_ended(job.id):
                return ""  # it was heard, whatever became of the answer
            await self._stop_refused(job.id, f"the cluster was asked to stop it: {error.detail}")
            said = not_stopped(job, error)
        await self._look_at(job)
        return said

    def _has_ended(self, job_id: int) -> bool:
        job = self._engine.ledger.get(job_id)
        return job is None or job.status.ended

    async def _recover_each(self, ids: Sequence[int]) -> tuple[RequestResult, list[str]]:
        """Recover what can be, and say of the rest why not. Raises Refused where one may not be asked for."""
        old = await self._checked(ids, self._recoverable)
        await self._mirror.ready()
        came: list[RequestResult] = []
        refusals: list[str] = []
        for job in old:
            try:
                came.append(await self._recover(job))
            except (StatementRefused, StorageError) as error:
                refusals.append(str(error))
            except StoreError as error:
                refusals.append(f"Job {job.id}: {error}")
        notice = "; ".join(one.notice for one in came if one.notice)
        return RequestResult(tuple(job for one in came for job in one.jobs), notice), refusals

    async def _recover(self, old: Job) -> RequestResult:
        if old.origin is None or not old.origin.id:
            return await self.submit(old.command, old.space, old.id)
        origin = old.origin

        def edit(book: Transaction) -> list[Job]:
            self._recoverable(book, old.id)
            job = lifecycle.ordered(book.new_id(), old.command, origin, self._now(), old.id)
            self._mirroring.origins.put(book, job)
            return [job]

        try:
            (job,) = await self._engine.ledger.change(edit)
        except StoreError as error:
            raise StatementRefused(f"Job {old.id} was not recovered: {error}") from None
        try:
            count = await self._mirror.recover(origin.space, [origin.id])
        except StorageError as error:
            if error.outcome_unknown:
                self._engine.beside(self._look_later(job))
                return RequestResult((job,), lost(job, error))
            said = not_recovered(error)
        else:
            said = NOT_RECOVERED
            if count:
                self.confirmed.add(job.id)
                if not await self._look_at(job):
                    self._engine.beside(self._look_later(job))
                return RequestResult((job,))
        await self._never_made(job.id, said, old)
        raise StatementRefused(f"Job {old.id} was not recovered: {said}")

    async def _look_later(self, job: Job) -> None:
        await self._engine.clock.sleep(BETWEEN_LOOKS_SECONDS)
        while not await self._look_at(job):
            await self._engine.clock.sleep(BETWEEN_LOOKS_SECONDS)

    async def _look_at(self, job: Job) -> bool:
        """Take in how the cluster tells of the job at this moment; whether it did."""
        space, cluster_id = _there(job)
        try:
            told = await self._mirror.show(space, cluster_id)
        except StorageError:
            self._mirroring.look_soon()
            return False
        await self._mirroring.record_newest(JobUpdate(space, told, UpdateKind.CHANGED))
        return True

    async def _never_made(self, job_id: int, reason: str, old: Job | None = None) -> None:
        """End a job that was asked for in vain, unless it was seen on the cluster meanwhile."""

        def edit(book: Transaction) -> list[Job]:
            job = book.get(job_id)
            if job is None or job.status is not Status.QUEUE:
                return []
            if old is not None:
                self._mirroring.origins.put(book, old)
            return [lifecycle.never_made(job, reason, self._now())]

        await self._engine.ledger.change(edit, told=True)
        self._engine.dispatch.wake()

    async def _stop_refused(self, job_id: int, reason: str) -> None:
        def edit(book: Transaction) -> list[Job]:
            job = book.get(job_id)
            if job is None or job.status.ended:
                return []
            return [lifecycle.stop_refused(job, reason, self._now())]

        await self._engine.ledger.change(edit, told=True)

    # ---- what may be asked

    async def _checked(self, ids: Sequence[int], may: Callable[[Transaction, int], Job]) -> list[Job]:
        """The jobs, once it is plain that all of them may be asked for. Raises StatementRefused."""
        found: list[Job] = []

        def check(book: Transaction) -> list[Job]:
            found[:] = [may(book, job_id) for job_id in ids]
            return []

        await self._engine.ledger.change(check)
        return found

    def _stoppable(self, book: Transaction, job_id: int) -> Job:
        job = queries.stoppable(book.get(job_id), job_id, self._engine.history)
        if not _there(job)[1]:
            raise StatementRefused(f"Job {job_id} can't be stopped yet: the cluster has not told its id")
        return job

    def _recoverable(self, book: Transaction, job_id: int) -> Job:
        job = queries.recoverable(book.get(job_id), job_id, self._engine.history)
        if job.origin is None or job.origin.cluster != self._mirror.cluster:
            raise StatementRefused(f"Job {job_id} was not the cluster's; it can't run it again")
        if job.status is Status.FINISHED:
            raise StatementRefused(
                f"Job {job_id} has finished: the cluster runs only failed and stopped jobs again"
            )
        newest = self._mirroring.run_of(book, job.origin.space, job.origin.id)
        if newest is not None and newest.id != job.id:
            raise StatementRefused(f"Job {job_id} was run again already, as job {newest.id}")
        return job

    def _unrecovered(self, space: str | None) -> list[tuple[int, ClusterRef]]:
        """The failed and stopped jobs that the cluster had, and no other has recovered. Takes a while."""
        history, cluster = self._engine.history, self._mirror.cluster
        jobs = (history.get(job_id) for job_id in history.unrecovered(space))
        origins = ((job.id, job.origin) for job in jobs if job is not None and job.origin is not None)
        return [(job_id, origin) for job_id, origin in origins if origin.id and origin.cluster == cluster]

    async def _newest(self, space: str) -> int:
        """The highest id that the cluster lists for the space."""
        follower = self._mirroring.follower
        if follower is not None and follower.has_listed(space):
            return follower.newest(space)
        return max((job.id for job in await self._mirror.jobs(space)), default=0)

    @property
    def _mirror(self) -> ClusterJobManager:
        return self._mirroring.mirror

    def _now(self) -> datetime:
        return self._engine.clock.now()


def _there(job: Job) -> tuple[str, int]:
    if job.origin is None:
        raise StatementRefused(f"Job {job.id} is no cluster's")
    return job.origin.space, job.origin.id


def _active(book: Transaction, job_id: int) -> Job:
    job = book.get(job_id)
    if job is None or job.status.ended:
        raise IllegalTransition(f"job {job_id} ended before the cluster had answered")
    return job


def _equals(job: Job, command: str, space: str) -> bool:
    return job.origin is not None and job.origin.id > 0 and (job.command, job.space) == (command, space)


def _is_unanswered(job: Job) -> bool:
    return not job.status.ended and job.origin is not None and not job.origin.id
