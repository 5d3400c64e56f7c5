"""The deferrals of hosts that cannot work when the turn of their tasks comes.

A host whose writes are stalled is never compacted: RocksDB is behind with its own work already, and a
compaction would compete with it for the disk. A host that is down is deferred only if the hosts of the job take
turns; otherwise its task fails, with the reason, as soon as it begins. A deferred host is never forced: one
that stays down for too long is given up, and its task fails without having begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from jobtui.clock import Clock, wait_all
from jobtui.engine import lifecycle
from jobtui.engine.jobs import JobStore, Transaction
from jobtui.engine.lifecycle import TaskOutcome
from jobtui.errors import ErrorCode
from jobtui.model import Deferral, Job, Status, Task
from jobtui.storage.base import Storage

RECHECK = timedelta(seconds=15)
"""The time until a host is checked again; stalls last seconds to minutes, and a restart takes about as long."""
CHECK_SECONDS = 5.0
"""The time limit of a check; a host that does not answer within it gets the task anyway."""
MAX_DOWN = timedelta(hours=12)
"""The time after which a host that stays down is given up: its job must end before the next night."""


class Deferrals:
    """The hosts that could not work at their last check. For the engine's loop alone.

    `on_given_up` is called with a job's id after the end of its tasks on hosts that are given up was committed.
    """

    def __init__(
        self, store: JobStore, storage: Storage, clock: Clock, on_given_up: Callable[[int], None]
    ) -> None:
        self._store = store
        self._storage = storage
        self._clock = clock
        self._on_given_up = on_given_up
        self._until: dict[tuple[str, str], datetime] = {}

    def until(self, now: datetime) -> Mapping[tuple[str, str], datetime]:
        """Return when each deferred host is checked again, by space and host."""
        # a time further in the future was computed before the wall clock was set back
        self._until = {key: at for key, at in self._until.items() if now < at <= now + RECHECK}
        return self._until

    def must_check(self, job: Job, numbers: Sequence[int]) -> bool:
        """Return whether the hosts of these tasks must be checked before the tasks start."""
        return lifecycle.takes_turns(job.options) or any(
            self._storage.can_stall(job.space, job.tasks[number].host) for number in numbers
        )

    async def ready_tasks(self, job: Job, numbers: Sequence[int]) -> list[int]:
        """Return those of these queued tasks whose hosts can work now; the others are deferred or given up."""
        checks = [asyncio.ensure_future(self._find_deferral(job, job.tasks[number])) for number in numbers]
        if not await wait_all(self._clock, CHECK_SECONDS, *checks):
            for future in checks:
                future.cancel()
        answers = await asyncio.gather(*checks, return_exceptions=True)
        found = zip(numbers, answers, strict=True)
        held = {number: answer for number, answer in found if isinstance(answer, Deferral)}
        if held:
            self._record(job, held)
        return [number for number in numbers if number not in held]

    async def _find_deferral(self, job: Job, task: Task) -> Deferral | None:
        host, now = task.host, self._clock.now()
        stall = await self._storage.find_stall(job.space, host)
        if stall:
            return Deferral(f"writes on {host} are stalled", now, stall)
        if not lifecycle.takes_turns(job.options):
            return None
        outage = await self._storage.find_outage(job.space, host)
        return Deferral(_down(host), now, outage) if outage else None

    def _record(self, job: Job, held: Mapping[int, Deferral]) -> None:
        now = self._clock.now()
        given_up = False
        for number in held:
            self._until[job.space, job.tasks[number].host] = now + RECHECK

        def edit(transaction: Transaction) -> list[Job]:
            nonlocal given_up
            before = transaction.get(job.id)
            after = before
            for number, deferral in held.items():
                if after is not None and after.tasks[number].status is Status.QUEUE:
                    is_last = _is_down_too_long(after.tasks[number], deferral, now)
                    given_up = given_up or is_last
                    change = _give_up if is_last else lifecycle.defer_task
                    after = change(after, number, deferral, now)
            return [] if after is None or after is before else [after]

        def on_committed(_jobs: Sequence[Job], error: Exception | None) -> None:
            # a full disk: the deferral, or the end, is recorded at a later check
            if given_up and error is None:
                self._on_given_up(job.id)

        self._store.update_nowait(edit, on_committed)


def _down(host: str) -> str:
    return f"host {host} is down"


def _is_down_too_long(task: Task, deferral: Deferral, now: datetime) -> bool:
    """Return whether the task has been deferred for `MAX_DOWN` because its host is down."""
    before = task.deferred
    if before is None or now - before.since <= MAX_DOWN:
        return False
    return before.reason == deferral.reason == _down(task.host)


def _give_up(job: Job, number: int, deferral: Deferral, now: datetime) -> Job:
    """Return the job with a queued task failed, because its host stayed down."""
    hours = MAX_DOWN // timedelta(hours=1)
    reason = f"not begun, because the host was down for more than {hours} h: {deferral.detail}"
    outcome = TaskOutcome(Status.FAILED, reason=reason, code=ErrorCode.UNREACHABLE)
    return lifecycle.finish_task(job, number, outcome, now)
