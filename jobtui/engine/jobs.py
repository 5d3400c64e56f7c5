"""The jobs under way, and the one road on which a change of them reaches the disk and then the world.

Invariants, which the tests hold by name:
    one writer: only the engine's loop calls `change` and `put`, and only this module commits to the history;
    durable before visible: a snapshot is current, and a listener hears of it, only after its commit;
    all or nothing: a change that could not be made durable leaves no trace, unless it tells what has
    already happened (`told`): that one is kept and written as soon as the disk takes it.
All changes that wait while a commit is under way go into the next one together. Where that one is refused,
and while the disk is full, each is tried by itself: a change of a known job may find room where a new job does
not, and what is wrong with one job's record is no reason to lose how another ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

import msgspec

from jobtui.clock import Clock
from jobtui.engine.lifecycle import IllegalTransition
from jobtui.history import Health, History, StoreError, StoreFailed, StoreFull
from jobtui.model import Job, JobChanged, Notice

PROBE_SECONDS = 1.0


class Transaction:
    """The jobs as a change may see them: current ones, with what stands before it in the same commit."""

    def __init__(self, ledger: JobStore) -> None:
        self._ledger = ledger
        self.drafts: dict[int, Job] = {}
        self.new: set[int] = set()
        # the newest run of a cluster's job, by its space and id there, where this commit makes it another
        self.runs: dict[tuple[str, int], int] = {}

    def get(self, job_id: int) -> Job | None:
        """The job, whatever its status; None where there is none that is not archived."""
        draft = self.drafts.get(job_id)
        return draft if draft is not None else self._ledger.get(job_id)

    def new_id(self) -> int:
        """The next job id."""
        job_id = self._ledger.history.new_id()
        self.new.add(job_id)
        return job_id


Edit = Callable[[Transaction], Sequence[Job]]
# what a change came to: the jobs as they are on disk, or why it was not made
OnCommitted = Callable[[Sequence[Job], Exception | None], None]


class _Waiting(msgspec.Struct):
    edit: Edit
    told: bool
    settled: OnCommitted
    singly: bool = False  # it was refused together with others


_Made = list[tuple[_Waiting, Sequence[Job]]]


class JobStore:
    """See the module. Everything but `get` and `active` is for the engine's loop alone."""

    def __init__(
        self, history: History, clock: Clock, publish: Callable[[Sequence[JobChanged | Notice]], None]
    ) -> None:
        self.history = history
        self.trouble = ""
        self.broken = False
        self._refusal: StoreError | None = None
        self.on_clear: Callable[[], None] = lambda: None
        self.on_disk: Callable[[Transaction], None] = lambda book: None  # before any other change sees it
        self._clock = clock
        self._publish = publish
        self._current: dict[int, Job] = {job.id: job for job in history.live()}
        self._waiting: list[_Waiting] = []
        self._kept: list[_Waiting] = []
        self._write_due = self._writing = False
        self._probe: asyncio.Task[None] | None = None

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
        return not (self._write_due or self._writing)

    def current(self, job_id: int) -> Job | None:
        """The job if it is queued or running."""
        return self._current.get(job_id)

    async def change(self, edit: Edit, *, told: bool = False) -> Sequence[Job]:
        """Have `edit` make new versions of jobs; returns them once they are on disk and current.

        `edit` is called in the loop, sees all changes before it, and answers only the jobs that it
        changed; what it raises is raised here, and nothing is changed. Raises StoreError where the disk
        did not take it; with `told` it waits for the disk instead, and raises only when that is for good.
        """
        done: asyncio.Future[Sequence[Job]] = asyncio.get_running_loop().create_future()

        def settled(jobs: Sequence[Job], error: Exception | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(jobs)
            else:
                done.set_exception(error)

        self.put(edit, settled, told=told)
        return await done

    def put(self, edit: Edit, settled: OnCommitted, *, told: bool = False) -> None:
        """As `change`, for whoever need not wait: `settled` is called, in the loop, with what it came to."""
        self._waiting.append(_Waiting(edit, told, settled))
        self._write_soon()

    # ---- writing

    def _write_soon(self) -> None:
        """Write when the loop has done what else is due: what follows from the same event goes along."""
        if not (self._write_due or self._writing):
            self._write_due = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._write_due = False
        self._writing = True  # from here on: who is settled may put more, which sees what this commit makes
        book = Transaction(self)
        made = self._drafted(self._taken(), book)
        if not book.drafts:
            self._writing = False
            self._settle(made)
            self._go_on()
            return
        loop = asyncio.get_running_loop()

        def heard(committed: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any longer
                loop.call_soon_threadsafe(self._written, made, book, committed)

        try:
            self.history.commit(*book.drafts.values()).add_done_callback(heard)
        except Exception as error:
            self._refused(made, error)

    def _taken(self) -> list[_Waiting]:
        """What goes into the next commit."""
        waiting, self._waiting = self._waiting, []
        if self.broken:
            for each in waiting:
                self._tell(each, (), self._refusal)
            return []
        first = next((n for n, each in enumerate(waiting) if each.singly), len(waiting))
        count = first if first and self._refusal is None else 1
        self._waiting = waiting[count:] + self._waiting
        return waiting[:count]

    def _drafted(self, batch: Sequence[_Waiting], book: Transaction) -> _Made:
        made = []
        for waiting in batch:
            runs = book.runs.copy()
            try:
                jobs = waiting.edit(book)
                for job in jobs:
                    if job.id not in book.new:
                        _check_ended_is_final(book.get(job.id), job)
            except Exception as error:
                book.runs = runs
                self._tell(waiting, (), error)  # the asker's own exception goes back to the asker
                continue
            book.drafts.update((job.id, job) for job in jobs)
            made.append((waiting, jobs))
        return made

    def _written(self, made: _Made, book: Transaction, committed: Future[None]) -> None:
        error = committed.exception()
        if error is not None:
            self._refused(made, error)
            return
        self._writing = False
        self.on_disk(book)
        self._show(book.drafts.values())
        self._settle(made)
        self._look_at_the_disk()
        self._go_on()

    def _settle(self, made: _Made) -> None:
        for waiting, jobs in made:
            self._tell(waiting, jobs, None)

    def _tell(self, waiting: _Waiting, jobs: Sequence[Job], error: Exception | None) -> None:
        """Settle one change; whatever its asker makes of that, the others are settled too."""
        try:
            waiting.settled(jobs, error)
        except Exception as failure:
            text = f"What follows from a change was not done: {type(failure).__name__}: {failure}"
            self._publish([Notice(text, "error")])

    def _go_on(self) -> None:
        if self._waiting:
            self._write_soon()

    def _show(self, jobs: Iterable[Job]) -> None:
        changes: list[JobChanged | Notice] = []
        for job in jobs:
            before = self._current.get(job.id)
            changes.append(JobChanged(job, before.status if before is not None else None))
            if job.status.ended:
                self._current.pop(job.id, None)
            else:
                self._current[job.id] = job
        self._publish(changes)

    # ---- a disk that does not take it

    def _refused(self, made: _Made, caught: BaseException) -> None:
        self._writing = False
        error = caught if isinstance(caught, StoreError) else StoreFailed(f"The history failed: {caught}")
        asked = [waiting for waiting, _ in made]
        if isinstance(error, StoreFailed):
            self._give_up(error, asked)
        elif len(asked) > 1:
            for waiting in asked:
                waiting.singly = True
            self._waiting[:0] = asked
        elif isinstance(error, StoreFull) and asked[0].told:
            self._kept += asked
        else:
            self._tell(asked[0], (), error)
        if isinstance(error, StoreFull):
            self._wait_for_room(error)
        self._go_on()

    def _look_at_the_disk(self) -> None:
        """What was just written may have fitted into the last room that there is."""
        if self.history.health is Health.FULL:
            self._wait_for_room(StoreFull(self.history.trouble))
        elif self.trouble:
            self._clear()

    def _wait_for_room(self, error: StoreError) -> None:
        self._refusal = error
        self._complain(self.history.trouble or str(error))
        if self._probe is None:
            self._probe = asyncio.create_task(self._until_it_takes_writes())

    async def _until_it_takes_writes(self) -> None:
        try:
            while self._refusal is not None and not self.broken:
                await self._clock.sleep(PROBE_SECONDS)
                if self.history.try_again():
                    self._clear()
                elif self.history.health is Health.READ_ONLY:
                    self._give_up(StoreFailed(self.history.trouble), [])
        finally:
            self._probe = None

    def _give_up(self, error: StoreError, asked: list[_Waiting]) -> None:
        self.broken = True
        self._refusal = error
        self._complain(self.history.trouble or str(error))
        kept, self._kept = self._kept, []
        for waiting in asked + kept:
            self._tell(waiting, (), error)
        self.on_clear()

    def _complain(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._publish([Notice(trouble, "error")])

    def _clear(self) -> None:
        for waiting in self._kept:
            waiting.singly = False
        self._waiting, self._kept = self._kept + self._waiting, []
        self._go_on()
        if self.trouble:
            self.trouble, self._refusal = "", None
            self._publish([Notice("The history can be written again: jobs go on", "information")])
            self.on_clear()


def _check_ended_is_final(before: Job | None, after: Job) -> None:
    if before is not None and before.status.ended and before != after:
        raise IllegalTransition(f"job {after.id} has ended and is final")
