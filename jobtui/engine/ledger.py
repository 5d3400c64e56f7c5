"""The jobs under way, and the one road on which a change of them reaches the disk and then the world.

Invariants, which the tests hold by name:
    one writer: only the engine's loop calls `change`, and only this module commits to the history;
    durable before visible: a snapshot is current, and a listener hears of it, only after its commit;
    all or nothing: a change that could not be made durable leaves no trace, unless it tells what has
    already happened (`told`): that one is kept and written as soon as the disk takes it.
All changes that wait while a commit is under way go into the next one together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jobtui.engine.clock import Clock
from jobtui.engine.lifecycle import Illegal
from jobtui.history import History, StoreError, StoreFailed, StoreFull
from jobtui.model import Change, Job, Notice

PROBE_SECONDS = 1.0


class Book:
    """The jobs as a change may see them: current ones, with what stands before it in the same commit."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.drafts: dict[int, Job] = {}

    def get(self, job_id: int) -> Job | None:
        """The job, whatever its status; None where there is none that is not archived."""
        draft = self.drafts.get(job_id)
        return draft if draft is not None else self._ledger.get(job_id)

    def new_id(self) -> int:
        """The next job id."""
        return self._ledger.history.new_id()


Edit = Callable[[Book], Sequence[Job]]


@dataclass(slots=True)
class _Waiting:
    edit: Edit
    told: bool
    done: asyncio.Future[Sequence[Job]]


class Ledger:
    """See the module. Everything but `get` and `active` is for the engine's loop alone."""

    def __init__(
        self, history: History, clock: Clock, publish: Callable[[Sequence[Change | Notice]], None]
    ) -> None:
        self.history = history
        self.trouble = ""
        self.broken = False
        self._refusal: StoreError | None = None
        self.on_clear: Callable[[], None] = lambda: None
        self._clock = clock
        self._publish = publish
        self._current: dict[int, Job] = {job.id: job for job in history.live()}
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    def get(self, job_id: int) -> Job | None:
        """The job as it is on disk; None where there is none that is not archived. Any thread."""
        job = self._current.get(job_id)
        return job if job is not None else self.history.get(job_id)

    def active(self) -> list[Job]:
        """The queued and running jobs as they are on disk, oldest first. Any thread."""
        return sorted(self._current.copy().values(), key=lambda job: job.id)

    @property
    def settled(self) -> bool:
        """Whether no change is on its way."""
        return not self._waiting and (self._writer is None or self._writer.done())

    def current(self, job_id: int) -> Job | None:
        """The job if it is queued or running."""
        return self._current.get(job_id)

    async def change(self, edit: Edit, *, told: bool = False) -> Sequence[Job]:
        """Have `edit` make new versions of jobs; returns them once they are on disk and current.

        `edit` is called in the loop, sees all changes before it, and answers only the jobs that it
        changed; what it raises is raised here, and nothing is changed. Raises StoreError where the disk
        did not take it, at once while it is known not to; with `told` it waits for the disk instead, and
        raises only when that is for good.
        """
        if self._refusal is not None and not told:
            raise self._refusal
        done: asyncio.Future[Sequence[Job]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(edit, told, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        while self._waiting:
            # one turn for what follows from the same event: it goes into the same commit
            await asyncio.sleep(0)
            batch, self._waiting = self._waiting, []
            book = Book(self)
            made = _drafted(batch, book)
            if not made:
                continue
            try:
                if book.drafts:
                    await asyncio.wrap_future(self.history.commit(*book.drafts.values()))
                    self._clear()
            except Exception as caught:
                error = (
                    caught if isinstance(caught, StoreError) else StoreFailed(f"The history failed: {caught}")
                )
                kept = [waiting for waiting, _ in made if waiting.told]
                for waiting, _ in made:
                    if not waiting.told:
                        _fail(waiting, error)
                await self._wait_for_the_disk(error, kept)
                continue
            self._show(book.drafts.values())
            for waiting, jobs in made:
                if not waiting.done.done():
                    waiting.done.set_result(jobs)

    def _show(self, jobs: Iterable[Job]) -> None:
        changes: list[Change | Notice] = []
        for job in jobs:
            before = self._current.get(job.id)
            changes.append(Change(job, before.status if before is not None else None))
            if job.status.ended:
                self._current.pop(job.id, None)
            else:
                self._current[job.id] = job
        self._publish(changes)

    async def _wait_for_the_disk(self, error: StoreError, kept: list[_Waiting]) -> None:
        self._refusal = error
        for waiting in self._waiting:
            if not waiting.told:
                _fail(waiting, error)
        self._waiting = [waiting for waiting in self._waiting if waiting.told]
        self._complain(self.history.trouble or str(error))
        if not isinstance(error, StoreFull):
            self.broken = True
            for waiting in kept:
                _fail(waiting, error)
            self.on_clear()
            return
        if kept:
            self._waiting = kept + self._waiting
            await self._until_it_takes_writes()
        else:
            self._probe = asyncio.create_task(self._until_it_takes_writes())

    async def _until_it_takes_writes(self) -> None:
        while self.trouble:
            await self._clock.sleep(PROBE_SECONDS)
            if self.history.try_again():
                self._clear()

    def _complain(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._publish([Notice(trouble, "error")])

    def _clear(self) -> None:
        if self.trouble:
            self.trouble, self._refusal = "", None
            self._publish([Notice("The history can be written again: jobs go on", "information")])
            self.on_clear()


def _drafted(batch: Sequence[_Waiting], book: Book) -> list[tuple[_Waiting, Sequence[Job]]]:
    made = []
    for waiting in batch:
        try:
            jobs = waiting.edit(book)
            for job in jobs:
                _check_ended_is_final(book.get(job.id), job)
        except Exception as error:
            _fail(waiting, error)  # the asker's own exception goes back to the asker
            continue
        book.drafts.update((job.id, job) for job in jobs)
        made.append((waiting, jobs))
    return made


def _check_ended_is_final(before: Job | None, after: Job) -> None:
    if before is not None and before.status.ended and before != after:
        raise Illegal(f"job {after.id} has ended and is final")


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
