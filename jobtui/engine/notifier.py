"""The notifier of a profile's owner, which delivers notifications and records the results.

Guarantees, each held by a test of its name:
    at least once: a delivery is settled when its result is on disk. If the owner ends before, the next one
    delivers again, with the same id in the message, so that the receiver can recognize it;
    once while the owner lives: a delivery is known from the commit of its event on, and is not queued twice;
    a full disk delays the record of a delivery, not the next deliveries: the record is written when the disk
    accepts it, so that the next owner does not deliver again;
    no job waits: deliveries run in threads of their own, a few at a time, and none holds up a commit;
    a process that ends gives what is under way a few seconds, and leaves the rest to the next owner.
A failed command is not repeated. A web hook that cannot be reached is tried again, with pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from jobtui.clock import Clock, wait_first
from jobtui.engine import notifications
from jobtui.engine.delivery import DeliveryResult, deliver, make_target
from jobtui.engine.events import EventBus
from jobtui.engine.jobs import JobStore, Transaction
from jobtui.engine.lifecycle import clamp_time
from jobtui.engine.notifications import Delivery, Notification, NotifyProgress
from jobtui.engine.notify_settings import NotifyOn, NotifySettings
from jobtui.engine.schedules import Schedule, ScheduleRun
from jobtui.errors import StoreError
from jobtui.files import write_atomically
from jobtui.formatting import format_count, format_duration
from jobtui.model import EventKind, Job, JobChanged, JobEvent, Status
from jobtui.os_errors import describe_os_error

BACKOFF_SECONDS = (2.0, 10.0, 60.0)
"""The pauses between the attempts to reach a web hook: a restart of a server takes a minute."""
CONCURRENT = 8
"""The deliveries at a time: each is a thread, perhaps a process too; one that hangs delays no other."""
RETRY_SECONDS = 10.0  # between attempts to write the file of the notifications to a full disk
CHECK_SECONDS = 30.0  # at most between two checks for slow jobs, since the wall clock may be set
GIVE_UP = timedelta(days=1)
"""If this owner ends before the last attempt, the next one tries again, unless the notification is older."""
MAX_READ = 100_000
"""The newest jobs that are read at a start, whatever the file says: that takes seconds."""
STRIDE = 1000
"""How many new jobs the file may lag behind: the next owner reads these in less than 0.1 s."""


class ScheduleBook(Protocol):
    """The part of the schedules that the notifier uses."""

    def all(self) -> tuple[Schedule, ...]:
        """Return all schedules."""
        ...

    async def record_notification(self, name: str, at: datetime, target: str, text: str) -> None:
        """Record the result of a notification of a run that did not take place, or remember it."""
        ...


class Notifier:
    """The notifications of one owner. For the engine's loop alone."""

    def __init__(
        self,
        settings: NotifySettings,
        profile: str,
        store: JobStore,
        schedules: ScheduleBook,
        *,
        events: EventBus,
        clock: Clock,
        run: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._changed = asyncio.Event()
        self._settings = settings
        self._profile = profile
        self._store = store
        self._schedules = schedules
        self._events = events
        self._clock = clock
        self._run = run
        self._directory = store.history.path
        # the number of events of each active job that were looked at
        self._seen = {job.id: len(job.events) for job in store.active()}
        self._last_id = store.history.last_id()
        # since when each running job has been at work; None if it is already known to be slow
        self._running: dict[int, datetime | None] = {}
        for job in store.active():
            self._follow(job)
        self._pending: set[Delivery] = set()
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._progress = notifications.initial_progress(
            notifications.load_progress(self._directory),
            settings,
            clock.now(),
            self._last_id,
            self._seen,
        )
        self._failures = self._progress.failures
        # delivered, and not on disk yet
        self._unrecorded: set[Delivery] = set()
        self._recorded = asyncio.Event()
        self._is_started = self._is_saving = self._must_save = self._is_retrying = False
        self._save_error = ""
        self._closing = asyncio.Event()
        self._last_failure = ""

    async def take_over(self) -> None:
        """Queue the notifications that the previous owner left unsettled, and begin to deliver."""
        progress = self._progress
        first = max(progress.settled_to, self._last_id - MAX_READ) + 1
        ids = {*progress.open[-MAX_READ:], *range(first, self._last_id + 1)}
        found = await asyncio.to_thread(self._read, sorted(ids))
        for delivery in found:
            if self._is_recent(delivery):
                self._enqueue(delivery)
        for schedule in self._schedules.all():
            for run in schedule.runs:
                self.on_run(schedule, run)
        await self._save_progress()
        self._is_started = True
        for _ in range(CONCURRENT):
            self._run(self._work())
        if NotifyOn.SLOW in self._settings.on and self._settings.slow_after is not None:
            self._run(self._watch())

    def _read(self, ids: Sequence[int]) -> list[Delivery]:
        found: list[Delivery] = []
        for job_id in ids:
            with suppress(StoreError):  # the history reports its damage itself
                job = self._store.get(job_id)
                found += () if job is None else notifications.unsettled_deliveries(job, self._settings.targets)
        return found

    def _is_recent(self, delivery: Delivery) -> bool:
        """Return whether its event came after its kind and its target were configured."""
        since = self._progress.since.get(delivery.route)
        return since is not None and delivery.notification.at >= since

    # ---- what happens

    def on_changes(self, messages: Sequence[object]) -> None:
        """Queue the notifications about committed changes; called before they are published."""
        for message in messages:
            if not isinstance(message, JobChanged):
                continue
            is_amended = message.job.status.ended and message.was is message.job.status
            if not is_amended:
                self._on_change(message.job, message.was)

    def _on_change(self, job: Job, was: Status | None) -> None:
        first = self._seen.get(job.id, 0)
        if job.status.ended:
            self._seen.pop(job.id, None)
        else:
            self._seen[job.id] = len(job.events)
        self._last_id = max(self._last_id, job.id)
        self._follow(job)
        for delivery in notifications.unsettled_deliveries(job, self._settings.targets, first):
            # a cluster lists jobs that ended long before jobtui first saw them
            if was is not None or self._is_recent(delivery):
                self._enqueue(delivery)
        if self._is_started and self._last_id - self._progress.settled_to >= STRIDE:
            self._run(self._save_progress())

    def _follow(self, job: Job) -> None:
        """Measure how long a job is at work, from its start or from when it was last resumed."""
        if job.status is not Status.RUNNING or job.paused:
            self._running.pop(job.id, None)
        elif job.id not in self._running:
            kinds = {event.kind: event.at for event in job.events}
            since = kinds.get(EventKind.RESUMED, job.start)
            self._running[job.id] = None if EventKind.SLOW in kinds else since
            self._changed.set()

    def on_run(self, schedule: Schedule, run: ScheduleRun) -> None:
        """Queue the notification about a run that did not take place."""
        notification = notifications.missed_run_notification(schedule.name, run)
        if notification is not None:
            for target in self._settings.targets:
                delivery = Delivery(notification, target)
                if target not in run.notified and self._is_recent(delivery):
                    self._enqueue(delivery)

    def _enqueue(self, delivery: Delivery) -> None:
        if delivery.notification.on in self._settings.on and delivery not in self._pending:
            self._pending.add(delivery)
            self._queue.put_nowait(delivery)

    # ---- delivering

    async def _work(self) -> None:
        while True:
            delivery = await self._queue.get()
            try:
                await self._settle(delivery)
            except Exception as error:
                # of the system: no thread can be started, for example. The next owner tries again
                self._events.report_error(error)
            finally:
                self._queue.task_done()

    async def _settle(self, delivery: Delivery) -> None:
        """Deliver, and record the result, unless the process ends first."""
        message = self._message(delivery.notification)
        if message is None:
            self._pending.discard(delivery)  # archived, or dropped, meanwhile
            return
        result = await self._send(delivery, notifications.encode_message(message))
        if result is None:
            return
        if not result.is_delivered and result.text != self._last_failure:
            self._last_failure = result.text
            about = f"{delivery.notification.subject} ({delivery.notification.on})"
            self._events.notify(f"A notification of {about} was not delivered: {result.text}")
        # not awaited here: while the disk is full, the other deliveries must not wait for it
        self._unrecorded.add(delivery)
        self._run(self._record(delivery, result))

    def _message(self, notification: Notification) -> dict[str, object] | None:
        if notification.job is not None:
            job = self._store.get(notification.job)
            return None if job is None else notifications.job_message(self._profile, notification, job)
        for schedule in self._schedules.all():
            for run in schedule.runs:
                if (
                    schedule.name == notification.schedule
                    and notifications.missed_run_notification(schedule.name, run) == notification
                ):
                    return notifications.schedule_message(self._profile, notification, schedule, run)
        return None

    async def _send(self, delivery: Delivery, message: bytes) -> DeliveryResult | None:
        """Deliver, with further attempts if the failure can pass; None if that is left to the next owner."""
        target, seconds = delivery.target, self._settings.timeout
        result = await deliver(make_target(self._settings, target), message, seconds)
        attempts = 1
        for pause in BACKOFF_SECONDS:
            if result.is_delivered or not result.can_retry:
                return result
            if not self._closing.is_set():
                await wait_first(self._clock.sleep(pause), self._closing.wait())
            if self._closing.is_set():
                # owners that live for seconds, such as -e, must not try for ever
                is_old = self._clock.now() - delivery.notification.at > GIVE_UP
                return result if is_old else None
            result = await deliver(make_target(self._settings, target), message, seconds)
            attempts += 1
        if result.is_delivered:
            return result
        return replace(result, text=f"{result.text} ({format_count(attempts, 'attempt')})")

    async def _record(self, delivery: Delivery, result: DeliveryResult) -> None:
        """Write the result of a delivery, as soon as the disk accepts it."""
        notification, text = delivery.notification, f"{delivery.notification.on}: {result.text}"
        try:
            if notification.job is None:
                await self._schedules.record_notification(
                    notification.schedule, notification.at, delivery.target, text
                )
            else:
                kind = EventKind.NOTIFIED if result.is_delivered else EventKind.NOT_NOTIFIED
                await self._record_with_job(notification.job, kind, text, delivery.about)
        except StoreError:
            return  # nothing can be written before the next start: the next owner delivers again
        finally:
            self._unrecorded.discard(delivery)
            self._recorded.set()
        self._pending.discard(delivery)
        if not result.is_delivered:
            self._failures += 1
            await self._save_progress()

    async def _record_with_job(self, job_id: int, kind: EventKind, text: str, about: str) -> None:

        def edit(transaction: Transaction) -> Sequence[Job]:
            job = transaction.get(job_id)
            if job is None:
                return ()
            at = clamp_time(job, self._clock.now())
            event = JobEvent(at=at, kind=kind, reason=text, about=about)
            return (replace(job, events=(*job.events, event)),)

        await self._store.update(edit, must_persist=True)

    # ---- slow jobs

    async def _watch(self) -> None:
        """Record when a running job becomes slow; without running jobs it is never woken."""
        limit = self._settings.slow_after or 0.0
        while True:
            self._changed.clear()
            now = self._clock.now()
            ends = {job_id: limit - (now - at).total_seconds() for job_id, at in self._running.items() if at}
            for job_id in [job_id for job_id, seconds in ends.items() if seconds <= 0]:
                self._running[job_id] = None
                self._run(self._mark_slow(job_id, limit))  # a full disk must not delay the next check
            if left := [seconds for seconds in ends.values() if seconds > 0]:
                seconds = min(CHECK_SECONDS, max(min(left), 0.1))
                await wait_first(self._clock.sleep(seconds), self._changed.wait())
            else:
                await self._changed.wait()

    async def _mark_slow(self, job_id: int, limit: float) -> None:
        def edit(transaction: Transaction) -> Sequence[Job]:
            job = transaction.get(job_id)
            if job is None or job.status is not Status.RUNNING:
                return ()
            reason = f"running for {format_duration(limit)}"
            event = JobEvent(at=clamp_time(job, self._clock.now()), kind=EventKind.SLOW, reason=reason)
            return (replace(job, events=(*job.events, event)),)

        try:
            await self._store.update(edit, must_persist=True)
        except StoreError as error:
            self._events.report_error(error)

    # ---- the file, and the end

    async def _save_progress(self) -> None:
        """Write which jobs may be unsettled.

        If that fails, it is tried again. With an old file the next owner only reads more jobs; without any it
        would not know since when notifications are delivered, and would leave out those of this owner.

        A job whose id was given away, and whose first commit is still under way, is not counted as settled.
        """
        self._must_save = True
        if self._is_saving:
            return  # the call in progress writes once more
        self._is_saving = True
        try:
            while self._must_save:
                self._must_save = False
                self._progress = self._current_progress()
                data = msgspec.json.encode(self._progress)
                await asyncio.to_thread(write_atomically, self._directory / notifications.FILE, data)
            self._save_error = ""
        except OSError as error:
            text = f"{notifications.FILE} cannot be written: {describe_os_error(error)}"
            if text != self._save_error:
                self._save_error = text
                self._events.notify(text)
            if not self._is_retrying and not self._closing.is_set():
                self._is_retrying = True
                self._run(self._save_later())
        finally:
            self._is_saving = False

    async def _save_later(self) -> None:
        await self._clock.sleep(RETRY_SECONDS)
        self._is_retrying = False
        await self._save_progress()

    def _current_progress(self) -> NotifyProgress:
        jobs = {each.notification.job for each in self._pending if each.notification.job is not None}
        unsettled = tuple(sorted({*self._seen, *jobs}))
        return NotifyProgress(self._progress.since, self._last_id, unsettled, self._failures)

    async def drain(self, seconds: float) -> None:
        """Wait that long for what is under way; what waits to be repeated is left to the next owner."""
        self._closing.set()
        if self._is_started:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._queue.join()
                    while self._unrecorded and not self._store.write_error:
                        self._recorded.clear()
                        await self._recorded.wait()
            await self._save_progress()
