"""Waiting for the engine, with an ear for the person: the main thread sleeps on one queue for both.

The first ctrl+c (or SIGTERM, or SIGHUP) stops what runs here honestly and waits for the stop; the
second leaves at once, and the next start tells what became of the jobs; the third is the system's own.
A SIGHUP is never the second: one hang-up sends several, and may follow a SIGTERM, as at the end of a login.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TypeVar

from jobtui.cli.progress import ShowJob, job_bars
from jobtui.cli.signals import SIGNALS
from jobtui.cli.streams import abandon_unread_terminals, print_error
from jobtui.engine.admission import RunPolicy
from jobtui.engine.client import EngineEvent, ExecuteResult, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.remote import RemoteClient
from jobtui.model import Job, JobChanged, Notice, Status, TaskProgressed

T = TypeVar("T")
_GIVEN_UP = "the next start marks what still ran as failed"
_LONGEST_SLEEP = 0.25  # seconds


class WaitAborted(Exception):
    """The person did not want to wait (for the stop either); `by` is the signal that said so."""

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(by.name)
        self.by = by


class JobWaiter:
    """Waits for a desk; the first signal ends that. `interrupted` is that signal, None while none came."""

    def __init__(self, desk: LocalClient | RemoteClient, *, quiet: bool = False) -> None:
        self.interrupted: signal.Signals | None = None
        self._desk = desk
        self._inbox: SimpleQueue[Sequence[EngineEvent] | signal.Signals | None] = SimpleQueue()
        self._show: ShowJob | None = None
        self._quiet = quiet
        self._told: set[str] = set()

    def result(self, future: Future[T]) -> T:
        """The future's result, once it is there. Raises what the future does, and LeftAtOnce."""
        future.add_done_callback(lambda _: self._inbox.put(None))
        while not (future.done() and self._inbox.empty()):
            item = self._next()
            if isinstance(item, signal.Signals):
                self._interrupt(item)
            elif item is not None:
                self._hear(item)
        return future.result()

    def _next(self) -> Sequence[EngineEvent] | signal.Signals | None:
        """What comes next; None for now and then nothing.

        A signal that arrives just as the thread falls asleep is handled only when it wakes: it must not
        sleep for long.
        """
        try:
            return self._inbox.get(timeout=_LONGEST_SLEEP)
        except Empty:
            return None

    def until_ended(self, jobs: tuple[int, ...]) -> tuple[Job, ...]:
        """The jobs, once they have ended. Raises LeftAtOnce."""
        with job_bars(quiet=self._quiet) as self._show:
            ended = self.result(self._desk.ended(jobs))
        self._show = None
        return ended

    def has_told(self, text: str) -> bool:
        """Whether the person has read this already."""
        return text in self._told

    def say(self, text: str) -> None:
        """Say something to the person on stderr."""
        print_error(text)

    def _interrupt(self, received: signal.Signals) -> None:
        self.interrupted = received
        raise WaitAborted(received)

    def _hear(self, messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            match message:
                case Notice():
                    self._told.add(message.text)
                    self.say(message.text)
                case JobChanged(job=job) | TaskProgressed(job=job) if self._show is not None:
                    self._show(job)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        abandon_unread_terminals()
        self._inbox.put(signal.Signals(number))


class EngineWaiter(JobWaiter):
    """Waits for an engine; the first signal stops what runs in it, the second ends the waiting."""

    def __init__(self, engine: LocalClient, *, quiet: bool = False) -> None:
        super().__init__(engine, quiet=quiet)
        self._engine = engine
        self._jobs: tuple[int, ...] = ()

    def until_ended(self, jobs: tuple[int, ...]) -> tuple[Job, ...]:
        """The jobs, once they have ended. Raises LeftAtOnce."""
        self._jobs = jobs
        if self.interrupted is not None:
            self._stop()
        ended = super().until_ended(jobs)
        if self.interrupted is not None:
            self.result(self._engine.idle())
            self.say_unwritten()
        return ended

    def wind_down(self, received: signal.Signals, reason: str = "") -> None:
        """Stop what runs here, as after that signal, and wait until it has stopped. Raises LeftAtOnce.

        The `reason` is said before what is stopped.
        """
        self.interrupted = received
        self._stop(reason)
        self.result(self._engine.idle())
        self.say_unwritten()

    def say_unwritten(self) -> None:
        """Say of which jobs the disk does not hold how they ended."""
        jobs = self._engine.unwritten()
        if jobs:
            self.say(
                f"How {counted_jobs(jobs)} ended could not be written: {self._engine.trouble}; "
                f"the next start marks {'it' if len(jobs) == 1 else 'them'} as interrupted"
            )

    def say_left(self) -> None:
        """Say what becomes of the jobs that nobody waits for any more."""
        goes_on = "the cluster goes on" if self._engine.jobs_outlive_process else _GIVEN_UP
        self.say(f"Left at once: {goes_on}")

    def _interrupt(self, received: signal.Signals) -> None:
        before, self.interrupted = self.interrupted, self.interrupted or received
        if before is None:
            self._begin_to_end()
        elif received is not signal.SIGHUP and before is not signal.SIGHUP:
            raise WaitAborted(received)
        elif received is not signal.SIGHUP:
            self.interrupted = received

    def _begin_to_end(self) -> None:
        """Do what the first signal asks for."""
        if self._jobs:
            self._stop()

    def _stop(self, reason: str = "") -> None:
        """Start nothing more, and ask what runs here to stop."""
        self._engine.set_run_policy(RunPolicy.NONE)
        self._engine.turn_guests_away()
        self._engine.limit_waiting_for_disk()
        active = self._engine.active()
        here = [job for job in active if _runs_here(job)]
        asked_for = self._jobs or tuple(job.id for job in here)  # a server's own are all that run there
        own = [job.id for job in active if job.id in asked_for]
        others = [job for job in here if job.id not in asked_for]
        if own or others:
            told = [f"Stopping {counted_jobs(own)}", *map(_stopped_too, others), "once more leaves at once"]
            text = "; ".join(told)
            self.say(f"{reason}: {text[0].lower()}{text[1:]}" if reason else text)
        elif reason:
            self.say(reason)
        for job_id in (*own, *(job.id for job in others)):
            asked = self._engine.execute(f"STOP JOB {job_id}", Session())
            asked.add_done_callback(partial(self._stop_answered, job_id))

    def _stop_answered(self, job_id: int, asked: Future[ExecuteResult]) -> None:
        """Tell why a job is not being stopped, unless it had ended by itself or we are leaving."""
        if asked.cancelled():
            return
        failure = asked.result().failure
        job = self._engine.job(job_id)
        if failure is not None and self._engine.trouble:
            self._engine.cancel(job_id)  # the disk did not take that it is to stop: it stops all the same
            return
        if failure is not None and job is not None and not (job.status.ended or job.stopping):
            self._inbox.put([Notice(failure.message, "error")])
            if job.origin is not None:
                self._inbox.put(self.interrupted)  # the cluster goes on with it: nobody need wait


def _runs_here(job: Job) -> bool:
    """Whether the job is at work in this process; a cluster's jobs are not, and others may count on them."""
    return job.status is Status.RUNNING and job.origin is None


def _stopped_too(job: Job) -> str:
    return f"job {job.id} ({job.label}), queued before, is at work here and is stopped too"


@contextmanager
def waiting_for(
    engine: LocalClient, received: Sequence[signal.Signals] = (), *, quiet: bool = False
) -> Iterator[EngineWaiter]:
    """Hear the engine and the signals until the block ends; a signal that is ignored stays ignored.

    `received` came before.
    """
    waiting = EngineWaiter(engine, quiet=quiet)
    with listening(engine, waiting, received):
        yield waiting


@contextmanager
def listening(
    desk: LocalClient | RemoteClient, waiting: JobWaiter, received: Sequence[signal.Signals] = ()
) -> Iterator[None]:
    """Have `waiting` hear the desk and the signals until the block ends, and those received before."""
    leave = desk.subscribe(waiting._inbox.put)
    before = {
        one: signal.signal(one, waiting._receive)
        for one in SIGNALS
        if signal.getsignal(one) is not signal.SIG_IGN
    }
    for one in received:
        waiting._inbox.put(one)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        leave()


def counted_jobs(ids: Sequence[int]) -> str:
    """`job 41`, `jobs 41 and 42`, `5 jobs`, `no job`."""
    match ids:
        case []:
            return "no job"
        case [one]:
            return f"job {one}"
        case [one, other]:
            return f"jobs {one} and {other}"
    return f"{len(ids)} jobs"
