"""The waits for an engine, for jobs of another process, and for signals, in one queue.

The first ctrl+c (or SIGTERM, or SIGHUP) stops the jobs that run here and waits until they have stopped. The
second leaves at once, and the next start reports the outcome of the jobs; the third has its default action.
A SIGHUP is never the second: one hang-up sends several, and may follow a SIGTERM, as at the end of a login.

If another process owns the profile, the jobs are the owner's: this process only watches them, and ctrl+c
leaves them alone.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TypeVar

from jobtui.cli.errors import SIGNAL_STATUS, SIGNALS, SignalInterrupt
from jobtui.cli.options import RunCommand
from jobtui.cli.output import print_result, report_outcomes
from jobtui.cli.progress import ShowJob, job_bars
from jobtui.cli.streams import abandon_unread_terminals, print_error
from jobtui.engine.client import EngineEvent, ExecuteResult, Session
from jobtui.engine.health import describe_owner
from jobtui.engine.job_log import describe_pause, is_by_schedule, last_pause
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import OwnerUnavailable
from jobtui.history import StoreError
from jobtui.model import EventKind, Job, JobChanged, Notice, Status, TaskProgressed

T = TypeVar("T")
# a signal that arrives just as the thread falls asleep is handled only when it wakes up
_MAX_SLEEP_SECONDS = 0.25


class WaitAborted(Exception):
    """The end of a wait by a signal (`by`): the user does not wait for the jobs to stop either."""

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(by.name)
        self.by = by


class HoldReporter:
    """A reporter, once for each occurrence, of jobs that are paused or wait and of hosts without disk space."""

    def __init__(self) -> None:
        self._paused: set[int] = set()
        self._waiting: set[tuple[int, int]] = set()
        self._reasons: dict[int, str] = {}

    def describe(self, message: JobChanged | TaskProgressed) -> str:
        """Return a text if the message begins a pause or a wait, otherwise ""."""
        job = message.job
        if isinstance(message, JobChanged):
            if job.paused and job.id not in self._paused:
                self._paused.add(job.id)
                return f"Job {job.id} ({job.label}) is {_describe_hold(job)}"
            if not job.paused:
                self._paused.discard(job.id)
            reason = "" if job.status.ended else job.reason  # a cluster's job waits, perhaps for hours
            before = self._reasons.pop(job.id, "")
            if reason:
                self._reasons[job.id] = reason
            return f"Job {job.id} ({job.label}) {reason}" if reason and reason != before else ""
        task = job.tasks[message.task]
        key = job.id, task.number
        if not task.waiting:
            self._waiting.discard(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            return f"Job {job.id} ({job.label}) waits on {task.host}: {task.waiting}"
        return ""


def _describe_hold(job: Job) -> str:
    """Return `paused: RESUME JOB 7 continues it`, with who paused it and why if that is known."""
    held = describe_pause(job) or "paused"
    event = last_pause(job)
    if event is not None and (is_by_schedule(event) or event.kind is EventKind.STILL_PAUSED):
        return held  # it says what continues the job
    return f"{held}{'; ' if ': ' in held else ': '}RESUME JOB {job.id} continues it"


def _describe_blocked(awaited: Sequence[int], active: Sequence[Job]) -> list[str]:
    """Return a line for each awaited job that waits for a paused one.

    Without these lines, a script would seem to hang.
    """
    held = {job.space: job.id for job in active if job.paused and job.status is Status.RUNNING}
    blocked = [job for job in active if job.space in held and job.status is Status.QUEUE and not job.paused]
    ids = frozenset(awaited) if blocked else frozenset()
    return [
        f"Job {job.id} ({job.label}) waits for job {held[job.space]}, which is paused: "
        f"RESUME JOB {held[job.space]} continues it"
        for job in blocked
        if job.id in ids
    ]


class JobWaiter:
    """A waiter for a client; the first signal aborts the wait.

    `interrupted` is that signal, None before it.
    """

    def __init__(self, client: LocalClient | RemoteClient, *, quiet: bool = False) -> None:
        self.interrupted: signal.Signals | None = None
        self._client = client
        self._inbox: SimpleQueue[Sequence[EngineEvent] | signal.Signals | None] = SimpleQueue()
        self._show: ShowJob | None = None
        self._quiet = quiet
        self._printed: set[str] = set()
        self._holds = HoldReporter()
        self._awaited: frozenset[int] = frozenset()

    def result(self, future: Future[T]) -> T:
        """Wait for the future and return its result. Raises its error, and WaitAborted."""
        future.add_done_callback(lambda _: self._inbox.put(None))
        while not (future.done() and self._inbox.empty()):
            item = self._next()
            if isinstance(item, signal.Signals):
                self._on_signal(item)
            elif item is not None:
                self._on_messages(item)
        return future.result()

    def _next(self) -> Sequence[EngineEvent] | signal.Signals | None:
        """Return the next item of the inbox, None if there is none for a while."""
        try:
            return self._inbox.get(timeout=_MAX_SLEEP_SECONDS)
        except Empty:
            return None

    def wait_ended(self, jobs: tuple[int, ...]) -> tuple[Job, ...]:
        """Wait until the jobs have ended and return them. Raises WaitAborted."""
        self._awaited = frozenset(jobs)
        if not self._quiet:
            for text in _describe_blocked(jobs, self._client.active_jobs()):
                self.print(text)
        with job_bars(quiet=self._quiet) as self._show:
            ended = self.result(self._client.wait_ended(jobs))
        self._show = None
        return ended

    def was_printed(self, text: str) -> bool:
        """Return whether this notice is on stderr already."""
        return text in self._printed

    def print(self, text: str) -> None:
        """Print a message on stderr."""
        print_error(text)

    def _on_signal(self, received: signal.Signals) -> None:
        self.interrupted = received
        raise WaitAborted(received)

    def _on_messages(self, messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            match message:
                case Notice():
                    self._printed.add(message.text)
                    self.print(message.text)
                case JobChanged(job=job) | TaskProgressed(job=job) if self._show is not None:
                    if (text := self._holds.describe(message)) and job.id in self._awaited:
                        self.print(text)
                    self._show(job)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: free a thread that waits for an unread terminal, and queue the signal."""
        abandon_unread_terminals()
        self._inbox.put(signal.Signals(number))


class EngineWaiter(JobWaiter):
    """A waiter for an engine; the first signal stops its jobs, the second aborts the wait."""

    def __init__(self, engine: LocalClient, *, quiet: bool = False) -> None:
        super().__init__(engine, quiet=quiet)
        self._engine = engine
        self._jobs: tuple[int, ...] = ()

    def wait_ended(self, jobs: tuple[int, ...]) -> tuple[Job, ...]:
        """Wait until the jobs have ended, or have stopped after a signal. Raises WaitAborted."""
        self._jobs = jobs
        if self.interrupted is not None:
            self._stop()
        ended = super().wait_ended(jobs)
        if self.interrupted is not None:
            self.result(self._engine.wait_idle())
            self.report_unwritten()
        return ended

    def wait_for_other_jobs(self) -> None:
        """Wait for jobs that other processes submitted meanwhile: they rely on this one.

        Raises WaitAborted.
        """
        self._jobs = ()
        while jobs := self.result(self._engine.close_if_idle()):
            if self.interrupted is None:
                self.print(
                    f"Waiting for {describe_jobs(jobs)}, submitted meanwhile by another jobtui; ctrl+c stops"
                )
            self.wait_ended(jobs)

    def stop_and_wait(self, received: signal.Signals, reason: str = "") -> None:
        """Stop the jobs of this process as after that signal, and wait for them.

        Raises WaitAborted.

        Args:
            reason: printed before the jobs that are stopped.
        """
        self.interrupted = received
        self._stop(reason)
        self.result(self._engine.wait_idle())
        self.report_unwritten()

    def report_unwritten(self) -> None:
        """Print the jobs whose end could not be written."""
        jobs = self._engine.unwritten()
        if jobs:
            self.print(
                f"How {describe_jobs(jobs)} ended could not be written: {self._engine.write_error}; "
                f"the next start marks {'it' if len(jobs) == 1 else 'them'} as interrupted"
            )

    def report_abort(self) -> None:
        """Print the messages received so far, and what becomes of the unfinished jobs."""
        while not self._inbox.empty():
            item = self._inbox.get()
            if not (item is None or isinstance(item, signal.Signals)):
                self._on_messages(item)
        if self._engine.jobs_outlive_process:
            self.print("Left at once: the cluster continues")
        else:
            self.print("Left at once: the next start marks jobs that still ran as failed")

    def _on_signal(self, received: signal.Signals) -> None:
        before, self.interrupted = self.interrupted, self.interrupted or received
        if before is None:
            self._on_first_signal()
        elif received is not signal.SIGHUP and before is not signal.SIGHUP:
            raise WaitAborted(received)
        elif received is not signal.SIGHUP:
            self.interrupted = received

    def _on_first_signal(self) -> None:
        if self._jobs:
            self._stop()

    def _stop(self, reason: str = "") -> None:
        """Start no more tasks, and request the stop of the jobs of this process."""
        self._engine.set_run_policy(RunPolicy.NONE)
        self._engine.stop_accepting()
        self._engine.limit_waiting_for_disk()
        active = self._engine.active_jobs()
        here = [job for job in active if _runs_here(job)]
        stopped = self._jobs or tuple(job.id for job in here)  # all jobs that run in a server are its own
        own = [job.id for job in active if job.id in stopped]
        others = [job for job in here if job.id not in stopped]
        if own or others:
            parts = [
                f"Stopping {describe_jobs(own)}",
                *map(_stopped_too, others),
                "a second ctrl+c exits immediately",
            ]
            text = "; ".join(parts)
            self.print(f"{reason}: {text[0].lower()}{text[1:]}" if reason else text)
        elif reason:
            self.print(reason)
        for job_id in (*own, *(job.id for job in others)):
            # recorded with the jobs, so that an operator can see why they stopped
            kind = "script" if self.interrupted is None else self.interrupted.name
            stop = self._engine.execute(f"STOP JOB {job_id}", Session(kind=kind))
            stop.add_done_callback(partial(self._on_stop_executed, job_id))

    def _on_stop_executed(self, job_id: int, stop: Future[ExecuteResult]) -> None:
        """Print why a job is not stopped, unless it had ended by itself or this process is leaving."""
        if stop.cancelled():
            return
        failure = stop.result().failure
        job = self._engine.job(job_id)
        if failure is not None and self._engine.write_error:
            self._engine.cancel(job_id)  # the disk did not accept the request: stop the job anyway
            return
        if failure is not None and job is not None and not (job.status.ended or job.stopping):
            self._inbox.put([Notice(failure.message, "error")])
            if job.origin is not None:
                self._inbox.put(self.interrupted)  # the cluster continues the job: do not wait for it


def _runs_here(job: Job) -> bool:
    """Return whether this process runs the job: a cluster runs its own jobs."""
    return job.status is Status.RUNNING and job.origin is None


def _stopped_too(job: Job) -> str:
    return f"job {job.id} ({job.label}), queued before, runs here and is stopped too"


@contextmanager
def engine_waiter(
    engine: LocalClient, received: Sequence[signal.Signals] = (), *, quiet: bool = False
) -> Iterator[EngineWaiter]:
    """Yield a waiter that receives the engine's messages and the signals until the block ends.

    Args:
        received: signals that arrived before.
    """
    waiter = EngineWaiter(engine, quiet=quiet)
    with receive_into(waiter, engine, received):
        yield waiter


@contextmanager
def receive_into(
    waiter: JobWaiter, client: LocalClient | RemoteClient, received: Sequence[signal.Signals] = ()
) -> Iterator[None]:
    """Put the client's messages and the signals into the waiter's inbox until the block ends.

    An ignored signal stays ignored.

    Args:
        received: signals that arrived before.
    """
    unsubscribe = client.subscribe(waiter._inbox.put)
    before = {
        number: signal.signal(number, waiter._receive)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    for number in received:
        waiter._inbox.put(number)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        unsubscribe()


@contextmanager
def raise_signals() -> Iterator[None]:
    """Raise SignalInterrupt for SIGINT, SIGTERM and SIGHUP until the block ends.

    An ignored signal stays ignored. After the first signal, until the process exits, a SIGHUP is ignored, since
    one hang-up sends several; another signal has its default action.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number, handler in handlers.items() if handler is not signal.SIG_IGN]
    is_interrupted = False

    def interrupt(number: int, _frame: object) -> None:
        nonlocal is_interrupted
        is_interrupted = True
        for other in handled:
            signal.signal(other, signal.SIG_IGN if other is signal.SIGHUP else signal.SIG_DFL)
        abandon_unread_terminals()
        raise SignalInterrupt(number)

    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        if not is_interrupted:
            for number in handled:
                signal.signal(number, handlers[number])


def describe_jobs(ids: Sequence[int]) -> str:
    """Return `job 41`, `jobs 41 and 42`, `5 jobs` or `no job`."""
    match ids:
        case []:
            return "no job"
        case [one]:
            return f"job {one}"
        case [one, other]:
            return f"jobs {one} and {other}"
    return f"{len(ids)} jobs"


# the next owner accepts connections within two seconds, or there is none
CONNECT_ATTEMPTS = 20
ATTEMPT_INTERVAL_SECONDS = 0.1


def run_remotely(client: RemoteClient, profile: Profile, text: str, command: RunCommand, label: str) -> int:
    """Send the statements to the owner, with --wait wait for their jobs, and return the exit status.

    Raises RequestNotAccepted if the owner exited before it accepted any of them.
    """
    waiter = RemoteWaiter(client, quiet=command.quiet)
    jobs: tuple[int, ...] = ()
    try:
        with receive_into(waiter, client):  # for both waits: a signal between them must not be lost
            result = waiter.result(client.submit(text, Session()))
            status = print_result(result, command, label)
            jobs = result.jobs
            if not (jobs and command.wait):
                if jobs and not command.quiet:
                    print_error(_describe_submitted(jobs, profile, may_wait=not command.detach))
                return status
            ended = _wait_ended(waiter, client, profile, jobs)
            return report_outcomes(ended, status, quiet=command.quiet)
    except WaitAborted as aborted:
        what = describe_jobs(jobs) if jobs else "the work that was submitted"
        print_error(f"No longer waiting: {what} continues in the process that owns the profile")
        return SIGNAL_STATUS + aborted.by


def _describe_submitted(jobs: tuple[int, ...], profile: Profile, *, may_wait: bool) -> str:
    """Return a text about submitted jobs that are neither waited for nor part of the exit status."""
    text = describe_jobs(jobs)
    were, them, their = ("was", "it", "its") if len(jobs) == 1 else ("were", "them", "their")
    wait = f"; --wait waits for {their} end" if may_wait else ""
    owner = describe_owner(profile)
    return f"{text[0].upper()}{text[1:]} {were} submitted to {owner}, which runs {them}{wait}"


class RemoteWaiter(JobWaiter):
    """A waiter for jobs of another process, which prints its own notices."""

    def follow(self, owner: RemoteClient) -> None:
        """Wait for this owner from here on, until it is closed."""
        self._client = owner
        owner.subscribe(self._inbox.put)

    def _on_messages(self, messages: Sequence[EngineEvent]) -> None:
        super()._on_messages([message for message in messages if not isinstance(message, Notice)])


def _wait_ended(
    waiter: RemoteWaiter, client: RemoteClient, profile: Profile, jobs: tuple[int, ...]
) -> tuple[Job, ...]:
    """Return the jobs once they have ended, or as on disk if no process runs them."""
    owner = client
    try:
        while True:
            try:
                return waiter.wait_ended(jobs)
            except OwnerUnavailable as error:
                next_owner = _connect_next_owner(profile)
                if next_owner is None:
                    print_error(f"{str(error).capitalize()}: the next start continues its jobs")
                    return owner.jobs_on_disk(jobs)
                owner.close()
                owner = next_owner
                waiter.follow(owner)
    finally:
        owner.close()


def _connect_next_owner(profile: Profile) -> RemoteClient | None:
    """Return a client of the process that takes over the profile, None if there is none.

    Raises StoreError if the profile cannot be read.
    """
    for left in reversed(range(CONNECT_ATTEMPTS)):
        try:
            return RemoteClient.connect(profile)
        except OwnerUnavailable:
            pass  # a process that takes over may not listen yet
        except StoreError:
            if not left:
                raise
        time.sleep(ATTEMPT_INTERVAL_SECONDS)  # no event says that another process listens
    return None
