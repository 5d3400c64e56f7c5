"""The desk of a process whose profile another one owns: it reads the history itself and hands in the rest.

A statement that only reads is answered here, from disk; any other goes to the owner and is answered as
if it had been typed there. Changes come from the owner as they happen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from jobtui import errors
from jobtui.engine import protocol, queries
from jobtui.engine.address import recorded_address
from jobtui.engine.channel import Channel, refusal_of, trusted_owners
from jobtui.engine.client import EngineEvent, ExecuteResult, Failure, Listener, Overview, Session
from jobtui.engine.connection import age_retry_delay
from jobtui.engine.events import deliver
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.errors import ErrorCode, OwnerUnavailable, StatementRefused, StorageError
from jobtui.history import History, StoreError
from jobtui.language.ast import Parsed, Recover, ShowJobs, Stop, Submit, Use
from jobtui.language.tables import Result
from jobtui.model import (
    ConnectionChanged,
    ConnectionStatus,
    Job,
    JobChanged,
    JobsArchived,
    SpaceStats,
    TaskProgressed,
)
from jobtui.storage.base import Pair

T = TypeVar("T")
GREETING_SECONDS = 2.0  # for the owner to say that it is there
LAG_SECONDS = 1.0  # that a history may be behind its owner's word
PATIENCE_SECONDS = 120.0  # for it to carry out a statement
# statements that the owner is asked for at once: one at a time, 10,000 take several times as long as its own.
# Only those that a local owner carries out in milliseconds, so that the answer comes in time
MOST_AT_ONCE = 200
QUICK = (Submit, Stop, Recover, Use)
TOO_LONG = "a pair is too long to be handed to the jobtui that owns this profile: load it once that has ended"
_CODES = frozenset(ErrorCode)
ENDED = "the jobtui that ran this profile has ended"


class RemoteClient(ReadOnlyClient):
    """See the module; a `Desk`. `gone` is called, once, when the owner has."""

    writable = True

    def __init__(self, profile: Profile, history: History) -> None:
        super().__init__(profile, history)
        self._door = _address_of_owner(profile)
        self._trusted = trusted_owners(profile.root)
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self._told: dict[int, Job] = {}
        self._closed = False
        self.on_owner_exit: Callable[[], None] = lambda: None
        self._owner_gone = False
        self._heard = 0  # how often there was news for those who wait
        self._waiting: list[tuple[tuple[int, ...], Future[tuple[Job, ...]]]] = []
        self._link: tuple[ConnectionStatus, float] | None = None
        self._of_cluster = None if profile.cluster is None else RemoteInventory(self._look_there)
        self._following, greeting = self._greeted()
        self._note_link(greeting.messages)
        self.history.refresh()
        self._found = {job.id: job for job in self.history.live()}
        threading.Thread(target=self._follow, name="jobtui-follow", daemon=True).start()

    @classmethod
    def connect(cls, profile: Profile) -> RemoteClient:
        """Open the profile beside its owner. Raises NoAnswer where nobody answers, StoreError."""
        history = History.open(profile.history, write=False)
        try:
            return cls(profile, history)
        except BaseException:
            history.close()
            raise

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """See `Desk.execute`."""
        return _beside(lambda: self.answer(text, session))

    def submit(self, text: str, session: Session) -> Future[ExecuteResult]:
        """As `execute`, but fails with NotTaken where nothing of the text was done: it may be tried again."""
        return _beside(lambda: self._answer(text, session))

    def answer(self, text: str, session: Session) -> ExecuteResult:
        """The answer itself, waited for."""
        try:
            return self._answer(text, session)
        except errors.RequestNotAccepted as error:
            return ExecuteResult(failure=Failure(text.strip(), str(error), 1, 1))

    def _answer(self, text: str, session: Session) -> ExecuteResult:
        parsed = queries.parse_or_answer(text)
        if isinstance(parsed, ExecuteResult):
            return parsed
        with closing(_Questions(self._channel)) as questions:
            return self._answered(text, parsed, session, questions)

    def _answered(
        self, text: str, parsed: Sequence[Parsed], session: Session, questions: _Questions
    ) -> ExecuteResult:
        done: list[Result] = []
        for group in _groups(parsed, 1 if self._of_cluster else MOST_AT_ONCE):
            first = group[0]
            try:
                if isinstance(first.statement, ShowJobs):
                    self._read_up_to(max((job for result in done for job in result.jobs), default=0))
                    self._know(first.statement.space)
                    done.append(self._run(first.statement, queries.typed_text(text, first), session))
                    continue
                ran = questions.hand_in(";\n".join(queries.typed_text(text, one) for one in group), session)
            except (StatementRefused, StoreError, StorageError, errors.OwnerUnavailable) as error:
                if isinstance(error, errors.RequestNotAccepted) and not done:
                    raise
                why = str(error)
                if len(group) > 1 and not isinstance(error, errors.RequestNotAccepted):
                    why += f"; this statement and the {len(group) - 1} after it may have been carried out"
                return ExecuteResult(tuple(done), queries.failure(text, first, why))
            done.extend(ran.results)
            if ran.failure is not None:
                failed = group[min(len(ran.results), len(group) - 1)]
                return ExecuteResult(tuple(done), queries.failure(text, failed, ran.failure.message))
        return ExecuteResult(tuple(done))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `Desk.subscribe`; called on a thread of the desk's own."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return leave

    def job(self, job_id: int) -> Job | None:
        """See `Desk.job`."""
        return self._told.get(job_id) or self.history.get(job_id)

    def active_jobs(self) -> tuple[Job, ...]:
        """See `Desk.active`."""
        jobs = {job.id: job for job in self.history.live()} | self._told.copy()
        return tuple(jobs[job_id] for job_id in sorted(jobs) if not jobs[job_id].status.ended)

    def last_known_active(self) -> tuple[Job, ...]:
        """The jobs that had not ended by the owner's last word, whatever the disk says of them since."""
        jobs = self._found | self._told.copy()
        return tuple(job for job in jobs.values() if not job.status.ended)

    @property
    def connection(self) -> ConnectionStatus | None:
        """See `Desk.link`; the owner's connection."""
        if self._link is None:
            return None
        link, told = self._link
        return age_retry_delay(link, time.monotonic() - told)

    def reconnect(self) -> None:
        """See `Desk.retry_now`; the owner tries."""
        _beside(lambda: self._want(protocol.ReconnectRequest(), protocol.ReconnectResponse))

    def fetch_overview(self) -> Future[Overview]:
        """See `Desk.overview`; the owner looks."""
        return _beside(self._look_there if self._of_cluster is None else self._of_cluster.now)

    def space_names(self) -> tuple[str, ...]:
        """See `Desk.spaces`; a cluster's are the owner's to tell, and until it has, those of the history."""
        told = None if self._of_cluster is None else self._of_cluster.told
        return super().space_names() if told is None else tuple(look.space.name for look in told.spaces)

    def host_names(self) -> tuple[str, ...]:
        """See `Desk.host_names`."""
        told = None if self._of_cluster is None else self._of_cluster.told
        return super().host_names() if told is None else tuple(host.name for host in told.hosts)

    def fetch_stats(self, space: str, host: str) -> Future[SpaceStats]:
        """See `Desk.stats`; the owner looks."""
        return _beside(lambda: self._want(protocol.StatsRequest(space, host), protocol.StatsResponse).stats)

    def wait_ended(self, jobs: Iterable[int]) -> Future[tuple[Job, ...]]:
        """Done when all these jobs have ended, with the jobs, in the order asked for.

        Fails with NoAnswer where the owner goes before that.
        """
        ended: Future[tuple[Job, ...]] = Future()
        with self._lock:
            self._waiting.append((tuple(jobs), ended))
        self._settle()
        return ended

    def load(self, space: str, pairs: Sequence[Pair]) -> Future[None]:
        """See `Engine.load`; the owner writes them. Fails with StorageError and NoAnswer."""
        return _beside(lambda: self._load(space, pairs))

    def dump(self, space: str) -> Iterator[tuple[bytes, bytes]]:
        """See `Engine.dump`; the owner reads them. Raises StorageError and NoAnswer, also midway."""
        with self._channel() as channel:
            channel.ask(protocol.DumpRequest(space), PATIENCE_SECONDS)
            while True:
                dumped = _meant(
                    channel.read(PATIENCE_SECONDS, protocol.LONGEST_DUMPED_LINE), protocol.DumpResponse
                )
                yield from dumped.pairs
                if dumped.last:
                    return

    def close(self) -> None:
        """Let go of the owner and of the history; the owner's work goes on."""
        self._closed = True
        self._following.shut_down()  # wakes the thread that reads it
        self._following.close()
        super().close()

    def _read_up_to(self, job_id: int) -> None:
        """Have read what was just handed in: the history may tell it a moment later than the owner."""
        end = time.monotonic() + LAG_SECONDS
        self.history.refresh()
        while self.history.last_id() < job_id and time.monotonic() < end:
            time.sleep(LAG_SECONDS / 100)
            self.history.refresh()

    def _know(self, space: str | None) -> None:
        """Have asked the owner of a space that is not known here: a cluster's may have had no jobs yet."""
        if self._of_cluster is None or space is None:
            return
        if space not in {*self.space_names(), *self.history.spaces()}:
            self._of_cluster.now()

    def _look_there(self) -> Overview:
        return self._want(protocol.OverviewRequest(), protocol.OverviewResponse).overview

    def _load(self, space: str, pairs: Sequence[Pair]) -> None:
        try:
            self._want(protocol.LoadRequest(space, tuple(pairs)), protocol.LoadResponse)
        except protocol.RequestTooLarge:
            raise StorageError(ErrorCode.REJECTED, "", space, TOO_LONG) from None

    def _want(self, want: protocol.RequestBody, kind: type[T]) -> T:
        with closing(_Questions(self._channel)) as questions:
            return questions.want(want, kind)

    def _channel(self, timeout: float = PATIENCE_SECONDS) -> Channel:
        return Channel.open(self._door, self._trusted, timeout)

    def _greeted(self) -> tuple[Channel, protocol.EventsMessage]:
        """Return a connection on which the owner has said that it is there. Raises NoAnswer."""
        channel = self._channel(GREETING_SECONDS)
        try:
            channel.send(protocol.SubscribeRequest(), GREETING_SECONDS)
            return channel, _meant(channel.read(GREETING_SECONDS), protocol.EventsMessage)
        except BaseException:
            channel.close()
            raise

    def _follow(self) -> None:
        try:
            while True:
                answer = self._following.read(None)
                if isinstance(answer, protocol.EventsMessage) and not self._closed:
                    self._take(answer.messages)
        except (OSError, ValueError, errors.OwnerUnavailable, StoreError):
            pass  # the owner is gone or unreadable, which is what comes next says
        with self._lock:
            self._owner_gone = True
            self._heard += 1
        if not self._closed:
            self._settle()
            self.on_owner_exit()

    def _note_link(self, messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            if isinstance(message, ConnectionChanged):
                self._link = message.connection, time.monotonic()

    def _take(self, messages: Sequence[EngineEvent]) -> None:
        self._note_link(messages)
        for message in messages:
            if isinstance(message, TaskProgressed | JobChanged):
                self._told[message.job.id] = message.job
        if any(isinstance(message, JobChanged | JobsArchived) for message in messages):
            self.history.refresh()
            with self._lock:
                self._heard += 1
            self._settle()
            self._forget_what_is_read()
        deliver(messages, self._listeners)

    def _settle(self) -> None:
        """Answer whoever waits for jobs that have ended, or that nobody can be asked about any more."""
        heard = -1
        while heard != self._heard:  # what another thread hears while this one looks is looked at, too
            with self._lock:
                waiting, self._waiting = self._waiting, []
                heard, gone = self._heard, self._owner_gone
            left = [(jobs, ended) for jobs, ended in waiting if not self._has_settled(jobs, ended, gone)]
            with self._lock:
                self._waiting += left

    def _has_settled(self, jobs: tuple[int, ...], ended: Future[tuple[Job, ...]], gone: bool) -> bool:
        try:
            found = self.jobs_on_disk(jobs)
        except (StoreError, OSError) as error:
            ended.set_exception(error)  # the asker's own to tell
            return True
        # a job that is not found is one that the history does not tell yet
        if len(found) == len(jobs) and all(job.status.ended for job in found):
            ended.set_result(found)
        elif gone:
            ended.set_exception(errors.OwnerUnavailable(ENDED))
        else:
            return False
        return True

    def jobs_on_disk(self, jobs: Iterable[int]) -> tuple[Job, ...]:
        """The jobs as they are on disk now, whether they have ended or not. Raises StoreError."""
        self.history.refresh()
        found = (self.job(job_id) or self.history.archived_job(job_id) for job_id in jobs)
        return tuple(job for job in found if job is not None)

    def _forget_what_is_read(self) -> None:
        """Let go of the ended jobs that the history tells by now: it may learn of them later than we do."""
        ended = [job_id for job_id, job in self._told.items() if job.status.ended]
        if not ended:
            return
        last, unread = self.history.last_id(), {job.id for job in self.history.live()}
        for job_id in ended:
            if job_id <= last and job_id not in unread:
                del self._told[job_id]
                self._found.pop(job_id, None)


def _address_of_owner(profile: Profile) -> Path:
    """Where the owner listens. Raises NoAnswer if it has not said so."""
    try:
        address = recorded_address(profile.root)
    except OSError as error:
        raise errors.RequestNotAccepted(f"its address can't be read: {error.strerror or error}") from None
    if address is None:
        raise errors.RequestNotAccepted(
            "it has not recorded in LOCK where it listens: it is just starting, or ending"
        )
    return address


class _Questions:
    """Questions to the owner, one after another on one connection; close it."""

    def __init__(self, connect: Callable[[], Channel]) -> None:
        self._connect = connect
        self._channel: Channel | None = None

    def hand_in(self, words: str, session: Session) -> protocol.ExecuteResponse:
        """Have a statement carried out. Raises StorageError and NoAnswer."""
        ran = self.want(
            protocol.ExecuteRequest(words, session.space, str(session.cwd)), protocol.ExecuteResponse
        )
        session.space = ran.space
        return ran

    def want(self, want: protocol.RequestBody, kind: type[T]) -> T:
        """Return the answer. Raises StorageError and NoAnswer."""
        channel = self._asked(want)
        return _meant(channel.read(PATIENCE_SECONDS), kind)

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _asked(self, want: protocol.RequestBody) -> Channel:
        if self._channel is not None:
            try:
                self._channel.ask(want, PATIENCE_SECONDS)
            except errors.RequestNotAccepted:
                self.close()  # the owner ends a connection that was silent for a while, and takes a new one
            else:
                return self._channel
        self._channel = self._connect()
        self._channel.ask(want, PATIENCE_SECONDS)
        return self._channel


def _groups(statements: Sequence[Parsed], most: int) -> Iterator[Sequence[Parsed]]:
    """Yield the statements in their order, those that are quickly carried out together."""
    group: list[Parsed] = []
    for one in statements:
        quick = isinstance(one.statement, QUICK)
        if group and (not quick or len(group) == most):
            yield group
            group = []
        if quick:
            group.append(one)
        else:
            yield [one]
    if group:
        yield group


def _meant(answer: protocol.Response, kind: type[T]) -> T:
    """The answer, if it is one to what was asked. Raises StorageError and NoAnswer."""
    if isinstance(answer, protocol.ErrorResponse):
        if answer.code in _CODES:
            raise StorageError(ErrorCode(answer.code), answer.host, answer.space, answer.text)
        raise refusal_of(answer)
    if not isinstance(answer, kind):
        raise errors.OwnerUnavailable("the jobtui that owns this profile answered something else")
    return answer


def _beside(work: Callable[[], T]) -> Future[T]:
    """What the work comes to, done on a thread of its own; who leaves meanwhile does not take it back."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)  # the asker's own to tell

    threading.Thread(target=run, name="jobtui-ask", daemon=True).start()
    return future


# ---- merged from jobtui.engine.owners_places: ----
# A cluster's spaces and hosts as the owner of the profile told them last: only the owner is connected.
FRESH_SECONDS = 5.0


class RemoteInventory:
    """See the module. `look` asks the owner and waits; it raises StorageError and NoAnswer. Any thread."""

    def __init__(self, look: Callable[[], Overview]) -> None:
        self._look = look
        self._asking = threading.Lock()
        self._asked = -FRESH_SECONDS
        self._told: Overview | None = None

    @property
    def told(self) -> Overview | None:
        """What was told last, None for nothing yet; never waits. What is old is asked for anew beside it."""
        if time.monotonic() - self._asked >= FRESH_SECONDS and self._asking.acquire(blocking=False):
            self._asked = time.monotonic()
            threading.Thread(target=self._ask, name="jobtui-places", daemon=True).start()
        return self._told

    def now(self) -> Overview:
        """As they are now, waited for. Raises StorageError and NoAnswer."""
        self._told = told = self._look()
        return told

    def _ask(self) -> None:
        try:
            self.now()
        except (StorageError, OwnerUnavailable):
            pass  # why there is no connection is told as such: what was told last still stands
        finally:
            self._asking.release()
