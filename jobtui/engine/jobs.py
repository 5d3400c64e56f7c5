"""The jobs of a profile, and the transactions that change them.

Invariants, which tests hold by name:
    one writer: only the engine's loop calls `update` and `update_nowait`, and only this module commits;
    commit before publish: a snapshot is current, and a listener gets it, only after its commit;
    all or nothing: a change that cannot be committed is discarded. With `must_persist` (it records something
    that already happened) it is queued and retried until the disk accepts it.
All changes that wait while a commit is under way go into the next one together. If that one is refused, and
while the disk is full, each is tried alone: a change of a known job may fit when a new job does not, and an
error in one job's record must not lose the end of another job.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager

import msgspec
from msgspec.structs import replace

from jobtui.clock import Clock
from jobtui.engine.lifecycle import IllegalTransition
from jobtui.errors import StatementRefused
from jobtui.history import Health, History, StoreError, StoreFailed, StoreFull
from jobtui.model import DELIVERIES, Job, JobChanged, Notice, Status

PROBE_SECONDS = 1.0  # between attempts to write to a full disk


class Transaction:
    """The jobs as an edit sees them: the current ones, with the edits before it in the same commit."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.changed: dict[int, Job] = {}
        self.new: set[int] = set()
        # by space and id on a cluster: the newest run of a cluster's job, if this commit adds one
        self.runs: dict[tuple[str, int], int] = {}
        # the ended jobs of a cluster that may change, with the status that each had
        self.amended: dict[int, tuple[Job, Status]] = {}

    def get(self, job_id: int) -> Job | None:
        """Return the job, whatever its status; None if there is none or it is archived."""
        draft = self.changed.get(job_id)
        return draft if draft is not None else self._store.get(job_id)

    def new_id(self) -> int:
        """Return the next job id."""
        job_id = self._store.history.new_id()
        self.new.add(job_id)
        return job_id

    def amend(self, job: Job) -> Job:
        """Allow the change of an ended job into `job`, and return `job`.

        This is the only exception to "ended is final": a cluster may report another end of its job later, or
        tasks that continued. Raises IllegalTransition for a job of ours.
        """
        before = self.get(job.id)
        if before is None or before.origin is None or before.origin != job.origin or not job.status.ended:
            raise IllegalTransition(f"job {job.id} has ended and is final")
        self.amended[job.id] = job, before.status
        return job

    def is_amended(self, job: Job) -> bool:
        """Return whether `amend` allowed the change into this record."""
        amended = self.amended.get(job.id)
        return amended is not None and amended[0] is job


Edit = Callable[[Transaction], Sequence[Job]]
# called with the committed jobs, or with the error that caused the change to be discarded
OnCommitted = Callable[[Sequence[Job], Exception | None], None]


class _PendingChange(msgspec.Struct):
    edit: Edit
    must_persist: bool
    on_committed: OnCommitted
    alone: bool = False  # it was refused together with others, so it is tried without them


_Applied = list[tuple[_PendingChange, Sequence[Job]]]


class JobStore:
    """The current jobs and their pending changes.

    Only `get` and `active` may be called from any thread.

    Attributes:
        write_error: Why the history cannot be written now and what to do, "" if it can.
        broken: Whether it cannot be written before the next start.
        before_publish: Called with each committed transaction, before any other change sees it.
        on_writable: Called when the disk accepts changes again, or never will.
    """

    def __init__(
        self, history: History, clock: Clock, publish: Callable[[Sequence[JobChanged | Notice]], None]
    ) -> None:
        self.history = history
        self.write_error = ""
        self.broken = False
        self._write_refusal: StoreError | None = None
        self.on_writable: Callable[[], None] = lambda: None
        self.before_publish: Callable[[Transaction], None] = lambda _: None
        self._clock = clock
        self._publish = publish
        self._reserved: set[str] = set()
        self._current: dict[int, Job] = {job.id: job for job in history.live()}
        self._pending: list[_PendingChange] = []
        self._postponed: list[_PendingChange] = []
        self._write_due = self._writing = False
        self._probe: asyncio.Task[None] | None = None

    def get(self, job_id: int) -> Job | None:
        """Return the committed job, None if there is none or it is archived. Any thread."""
        job = self._current.get(job_id)
        return job if job is not None else self.history.get(job_id)

    def active(self) -> list[Job]:
        """Return the committed queued and running jobs, oldest first. Any thread."""
        return sorted(self._current.copy().values(), key=lambda job: job.id)

    @property
    def is_settled(self) -> bool:
        """Whether no change is waiting or being written."""
        return not (self._write_due or self._writing)

    def current(self, job_id: int) -> Job | None:
        """Return the job if it is queued or running."""
        return self._current.get(job_id)

    async def update(self, edit: Edit, *, must_persist: bool = False) -> Sequence[Job]:
        """Change jobs, and return their new versions once they are on disk and current.

        Args:
            edit: Called in the loop; sees all changes before it, and returns only the jobs that it changed.
                If it raises, nothing is changed, and its exception is raised here.
            must_persist: Wait while the disk rejects the change, and raise only if it never accepts it.

        Raises:
            StoreError: The disk rejected the change.
        """
        done: asyncio.Future[Sequence[Job]] = asyncio.get_running_loop().create_future()

        def on_committed(jobs: Sequence[Job], error: Exception | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(jobs)
            else:
                done.set_exception(error)

        self.update_nowait(edit, on_committed, must_persist=must_persist)
        return await done

    def update_nowait(self, edit: Edit, on_committed: OnCommitted, *, must_persist: bool = False) -> None:
        """Change jobs without waiting: `on_committed` is called, in the loop, with the result."""
        self._pending.append(_PendingChange(edit, must_persist, on_committed))
        self._write_soon()

    # ---- spaces that must stay without jobs

    @asynccontextmanager
    async def reserve_space(self, space: str) -> AsyncIterator[None]:
        """Keep a space free of jobs in the block.

        Raises StatementRefused if it has any, and StoreError.
        """
        self._reserved.add(space)
        try:
            await self.update(lambda transaction: self._require_idle(transaction, space))
            yield
        finally:
            self._reserved.discard(space)

    def require_available(self, space: str) -> None:
        """Raise StatementRefused if the space is reserved: no job may be submitted to it."""
        if space in self._reserved:
            raise StatementRefused(f"Space '{space}' is being dropped")

    def _require_idle(self, transaction: Transaction, space: str) -> Sequence[Job]:
        jobs = self._current | transaction.changed
        held = sorted(job.id for job in jobs.values() if job.space == space and not job.status.ended)
        if held:
            ids = ", ".join(str(job_id) for job_id in held[:10]) + (" …" if len(held) > 10 else "")
            raise StatementRefused(f"Space '{space}' has jobs queued or running: STOP JOB {ids} first")
        return ()

    # ---- writing

    def _write_soon(self) -> None:
        """Write in the loop's next turn: changes that follow from the same event are committed together."""
        if not (self._write_due or self._writing):
            self._write_due = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._write_due = False
        # set first: a callback that runs meanwhile may add a change, which must see the result of this commit
        self._writing = True
        transaction = Transaction(self)
        applied = self._apply(self._next_batch(), transaction)
        if not transaction.changed:
            self._writing = False
            self._report_all(applied)
            self._write_rest()
            return
        loop = asyncio.get_running_loop()

        def on_done(committed: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed: no callback waits
                loop.call_soon_threadsafe(self._on_written, applied, transaction, committed)

        try:
            self.history.commit(*transaction.changed.values()).add_done_callback(on_done)
        except Exception as error:
            self._on_refused(applied, error)

    def _next_batch(self) -> list[_PendingChange]:
        """Return the changes of the next commit."""
        pending, self._pending = self._pending, []
        if self.broken:
            for each in pending:
                self._report(each, (), self._write_refusal)
            return []
        first = next((n for n, each in enumerate(pending) if each.alone), len(pending))
        count = first if first and self._write_refusal is None else 1
        self._pending = pending[count:] + self._pending
        return pending[:count]

    def _apply(self, batch: Sequence[_PendingChange], transaction: Transaction) -> _Applied:
        applied = []
        for change in batch:
            runs, amended = transaction.runs.copy(), transaction.amended.copy()
            try:
                jobs = change.edit(transaction)
                for job in jobs:
                    if job.id not in transaction.new and not transaction.is_amended(job):
                        _check_ended_is_final(transaction.get(job.id), job)
            except Exception as error:
                transaction.runs, transaction.amended = runs, amended
                self._report(change, (), error)  # an edit's own exception goes back to its caller
                continue
            for job in jobs:
                transaction.changed[job.id] = job
            applied.append((change, jobs))
        return applied

    def _on_written(self, applied: _Applied, transaction: Transaction, committed: Future[None]) -> None:
        error = committed.exception()
        if error is not None:
            self._on_refused(applied, error)
            return
        self._writing = False
        self.before_publish(transaction)
        self._publish_changes(transaction)
        self._report_all(applied)
        self._check_disk()
        self._write_rest()

    def _report_all(self, applied: _Applied) -> None:
        for change, jobs in applied:
            self._report(change, jobs, None)

    def _report(self, change: _PendingChange, jobs: Sequence[Job], error: Exception | None) -> None:
        """Call the callback of one change; if it fails, the others are still called."""
        try:
            change.on_committed(jobs, error)
        except Exception as failure:
            text = f"A change was committed, but a later action failed: {type(failure).__name__}: {failure}"
            self._publish([Notice(text, "error")])

    def _write_rest(self) -> None:
        if self._pending:
            self._write_soon()

    def _publish_changes(self, transaction: Transaction) -> None:
        changes: list[JobChanged | Notice] = []
        for job in transaction.changed.values():
            before = self._current.get(job.id)
            amended = transaction.amended.get(job.id)
            was = None
            if before is not None:
                was = before.status
            elif amended is not None:
                was = amended[1]
            elif job.id not in transaction.new:
                was = job.status  # it had ended, and only the result of a notification was added
            changes.append(JobChanged(job, was))
            if job.status.ended:
                self._current.pop(job.id, None)
            else:
                self._current[job.id] = job
        self._publish(changes)

    # ---- a disk that does not accept changes

    def _on_refused(self, applied: _Applied, caught: BaseException) -> None:
        self._writing = False
        error = caught if isinstance(caught, StoreError) else StoreFailed(f"The history failed: {caught}")
        refused = [change for change, _ in applied]
        if isinstance(error, StoreFailed):
            self._fail_permanently(error, refused)
        elif len(refused) > 1:
            for change in refused:
                change.alone = True
            self._pending[:0] = refused
        elif isinstance(error, StoreFull) and refused[0].must_persist:
            self._postponed += refused
        else:
            self._report(refused[0], (), error)
        if isinstance(error, StoreFull):
            self._wait_for_space(error)
        self._write_rest()

    def _check_disk(self) -> None:
        """React to a disk that has become full, or writable again, with the last commit."""
        if self.history.health is Health.FULL:
            self._wait_for_space(StoreFull(self.history.write_error))
        elif self.write_error:
            self._resume()

    def _wait_for_space(self, error: StoreError) -> None:
        self._write_refusal = error
        self._set_error(self.history.write_error or str(error))
        if self._probe is None:
            self._probe = asyncio.create_task(self._wait_writable())

    async def _wait_writable(self) -> None:
        try:
            while self._write_refusal is not None and not self.broken:
                await self._clock.sleep(PROBE_SECONDS)
                if self.history.retry():
                    self._resume()
                elif self.history.health is Health.READ_ONLY:
                    self._fail_permanently(StoreFailed(self.history.write_error), [])
        finally:
            self._probe = None

    def _fail_permanently(self, error: StoreError, refused: list[_PendingChange]) -> None:
        self.broken = True
        self._write_refusal = error
        self._set_error(self.history.write_error or str(error))
        postponed, self._postponed = self._postponed, []
        for change in refused + postponed:
            self._report(change, (), error)
        self.on_writable()

    def _set_error(self, error: str) -> None:
        if error != self.write_error:
            self.write_error = error
            self._publish([Notice(error, "error")])

    def _resume(self) -> None:
        for change in self._postponed:
            change.alone = False
        self._pending, self._postponed = self._postponed + self._pending, []
        self._write_rest()
        if self.write_error:
            self.write_error, self._write_refusal = "", None
            self._publish([Notice("The history can be written again: jobs continue", "information")])
            self.on_writable()


def _check_ended_is_final(before: Job | None, after: Job) -> None:
    if before is not None and before.status.ended and not _adds_deliveries_only(before, after):
        raise IllegalTransition(f"job {after.id} has ended and is final")


def _adds_deliveries_only(before: Job, after: Job) -> bool:
    """Return whether only results of notifications were added to a job."""
    added = after.events[len(before.events) :]
    return replace(before, events=(*before.events, *added)) == after and all(
        event.kind in DELIVERIES for event in added
    )


class JobWaiters:
    """The coroutines that wait for jobs, and the jobs whose end cannot be waited for.

    For the engine's loop alone, except `unwritten`.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._unwritten: set[int] = set()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def unwritten(self) -> tuple[int, ...]:
        """The ids of the jobs that have ended but whose end the disk rejected. Any thread."""
        return tuple(sorted(self._unwritten))

    def give_up(self, ids: Iterable[int]) -> None:
        """Stop waiting for the ends of these jobs: the disk does not accept them."""
        self._unwritten.update(ids)

    def can_end(self, job: Job) -> bool:
        """Return whether the end of a job, queued or running, can still be written to the history."""
        if self._store.broken and job.status is Status.QUEUE:
            return False
        return job.id not in self._unwritten

    async def ended(self, ids: Sequence[int]) -> tuple[Job, ...]:
        """Wait until these jobs have ended, and return them as on disk, even if an end could not be written."""

        for job_id in ids:
            while (job := self._store.current(job_id)) is not None and self.can_end(job):
                await self.next_change()
        history = self._store.history
        found = (history.get(job_id) or history.get_archived(job_id) for job_id in ids)
        return tuple(job for job in found if job is not None)

    def next_change(self) -> asyncio.Future[None]:
        """Return a future that is done at the next `notify`."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return waiting

    def notify(self) -> None:
        """Wake every waiting coroutine to check its jobs again."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)
