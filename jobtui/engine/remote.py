"""The client of a profile that another process owns.

It reads the history itself: a statement that only reads is answered by this process, from disk. Any other goes
to the owner, which executes it as if it had been typed there. The owner sends changes as they happen.
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
from jobtui.background import SerialExecutor, start_in_thread
from jobtui.engine import protocol, queries
from jobtui.engine.backend import age_retry_delay
from jobtui.engine.client import EngineEvent, ExecuteResult, Failure, Listener, Overview, Session
from jobtui.engine.events import Listeners
from jobtui.engine.owner_socket import Channel, recorded_address, refusal_error, trusted_owners
from jobtui.engine.profile import Profile
from jobtui.engine.reader import MEASURING, READ_ONLY, ReadOnlyClient
from jobtui.engine.samples import JobSamples, SampleFiles
from jobtui.errors import ErrorCode, OwnerUnavailable, StatementRefused, StorageError
from jobtui.history import History, StoreError
from jobtui.language.ast import Parsed, Recover, ShowJobs, Stop, Submit, Use
from jobtui.language.results import Result
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
GREETING_SECONDS = 2.0  # for the owner to confirm the subscription
LAG_SECONDS = 1.0  # how long after the owner's response a change may become visible in the history
RESPONSE_SECONDS = 120.0  # for the owner to execute a statement
# statements in one request: sent one at a time, 10,000 statements take several times as long as at the owner.
# Only those that an owner executes in milliseconds are grouped, so that the response arrives in time
MAX_IN_REQUEST = 200
FRESH_SECONDS = 5.0  # until the overview of a cluster is fetched again
QUICK = (Submit, Stop, Recover, Use)
TOO_LONG = "a pair is too long to be sent to the jobtui that owns this profile: load it once that has ended"
_CODES = frozenset(ErrorCode)
ENDED = "the jobtui that ran this profile has ended"


class RemoteClient(ReadOnlyClient):
    """A `Client` of another process. `on_owner_exit` is called, once, when the owner exits."""

    writable = True
    _answered_read_only = (*READ_ONLY, *MEASURING)

    def __init__(self, profile: Profile, history: History) -> None:
        super().__init__(profile, history)
        self.writable = not profile.read_only
        self._address = _address_of_owner(profile)
        self._trusted = trusted_owners(profile.root)
        self._listeners = Listeners()
        self._executor = SerialExecutor()
        self._last_known: dict[int, Job] = {}
        self._closed = False
        self.on_owner_exit: Callable[[], None] = lambda: None
        self._owner_gone = False
        # one call of a dictionary is atomic: a future stays in it until one thread removes it and resolves it
        self._waiting: dict[Future[tuple[Job, ...]], tuple[int, ...]] = {}
        self._link: tuple[ConnectionStatus, float] | None = None
        self._remote_inventory = None if profile.cluster is None else RemoteInventory(self._fetch_overview)
        self._event_channel, greeting = self._subscribe_to_owner()
        self._store_connection(greeting.messages)
        self.history.refresh()
        self._active_at_start = {job.id: job for job in self.history.live()}
        threading.Thread(target=self._follow, name="jobtui-follow", daemon=True).start()

    @classmethod
    def connect(cls, profile: Profile) -> RemoteClient:
        """Connect to the profile's owner. Raises OwnerUnavailable and StoreError."""
        history = History.open(profile.history, write=False)
        try:
            return cls(profile, history)
        except BaseException:
            history.close()
            raise

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """Execute a text, here or at the owner. Texts of one session run one after the other."""
        return self._executor.submit(session, lambda: self.answer(text, session))

    def submit(self, text: str, session: Session) -> Future[ExecuteResult]:
        """Execute a text as `execute` does; after RequestNotAccepted, nothing was executed: try again."""
        return self._executor.submit(session, lambda: self._answer(text, session))

    def answer(self, text: str, session: Session) -> ExecuteResult:
        """Execute a text, wait, and return the result."""
        try:
            return self._answer(text, session)
        except errors.RequestNotAccepted as error:
            return ExecuteResult(failure=Failure(text.strip(), str(error), 1, 1))

    def _answer(self, text: str, session: Session) -> ExecuteResult:
        parsed = queries.parse_or_answer(text)
        if isinstance(parsed, ExecuteResult):
            return parsed
        if self._settings.read_only:
            refused = self._refusal(text, parsed)
            if refused is not None:
                return refused
        with closing(_Requests(self._channel)) as requests:
            return self._execute_groups(text, parsed, session, requests)

    def _execute_groups(
        self, text: str, parsed: Sequence[Parsed], session: Session, requests: _Requests
    ) -> ExecuteResult:
        done: list[Result] = []
        for group in _groups(parsed, 1 if self._remote_inventory else MAX_IN_REQUEST):
            first = group[0]
            try:
                if isinstance(first.statement, ShowJobs):
                    self._read_up_to(max((job for result in done for job in result.jobs), default=0))
                    self._fetch_if_unknown(first.statement.space)
                    done.append(self._run(first.statement, queries.typed_text(text, first), session))
                    continue
                ran = requests.execute(";\n".join(queries.typed_text(text, one) for one in group), session)
            except (StatementRefused, StoreError, StorageError, errors.OwnerUnavailable) as error:
                if isinstance(error, errors.RequestNotAccepted) and not done:
                    raise
                why = str(error)
                if len(group) > 1 and not isinstance(error, errors.RequestNotAccepted):
                    why += f"; this statement and the {len(group) - 1} after it may have been carried out"
                return ExecuteResult(tuple(done), queries.statement_failure(text, first, why))
            done.extend(ran.results)
            if ran.failure is not None:
                failed = group[min(len(ran.results), len(group) - 1)]
                return ExecuteResult(tuple(done), queries.statement_failure(text, failed, ran.failure.message))
        return ExecuteResult(tuple(done))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each batch of messages, on a thread of this client."""
        return self._listeners.add(listener)

    def job(self, job_id: int) -> Job | None:
        """Return the job from the owner's last message, or from disk."""
        return self._last_known.get(job_id) or self.history.get(job_id)

    def active_jobs(self) -> tuple[Job, ...]:
        """Return the queued and running jobs from the owner's last messages."""
        jobs = {job.id: job for job in self.history.live()} | self._last_known.copy()
        return tuple(jobs[job_id] for job_id in sorted(jobs) if not jobs[job_id].status.ended)

    def last_known_active(self) -> tuple[Job, ...]:
        """Return the jobs that had not ended at the owner's last message, even if they have ended on disk."""
        jobs = self._active_at_start | self._last_known.copy()
        return tuple(job for job in jobs.values() if not job.status.ended)

    @property
    def connection(self) -> ConnectionStatus | None:
        """The state of the owner's connection."""
        if self._link is None:
            return None
        link, received_at = self._link
        return age_retry_delay(link, time.monotonic() - received_at)

    def reconnect(self) -> None:
        """Have the owner connect now."""
        start_in_thread(lambda: self._request(protocol.ReconnectRequest(), protocol.ReconnectResponse))

    def fetch_overview(self) -> Future[Overview]:
        """Return spaces and hosts as the owner sees them."""
        return start_in_thread(
            self._fetch_overview if self._remote_inventory is None else self._remote_inventory.refresh
        )

    def space_names(self) -> tuple[str, ...]:
        """Return the spaces; those of a cluster as last reported by the owner, or from the history."""
        overview = None if self._remote_inventory is None else self._remote_inventory.last_known
        return super().space_names() if overview is None else tuple(each.space.name for each in overview.spaces)

    def host_names(self) -> tuple[str, ...]:
        """Return the host names; those of a cluster as the owner last reported them."""
        overview = None if self._remote_inventory is None else self._remote_inventory.last_known
        return super().host_names() if overview is None else tuple(host.name for host in overview.hosts)

    def fetch_stats(self, space: str, host: str) -> Future[SpaceStats]:
        """Return the statistics that the owner reads."""
        return start_in_thread(
            lambda: self._request(protocol.StatsRequest(space, host), protocol.StatsResponse).stats
        )

    def fetch_samples(self, job_id: int) -> Future[JobSamples | None]:
        """Return the samples that the owner has; without its answer, those on disk."""

        def fetch() -> JobSamples | None:
            try:
                return self._request(protocol.SamplesRequest(job_id), protocol.SamplesResponse).samples
            except (StorageError, OwnerUnavailable):  # an older version knows no samples
                return SampleFiles(self._settings.root).read(job_id)

        return start_in_thread(fetch)

    def wait_ended(self, jobs: Iterable[int]) -> Future[tuple[Job, ...]]:
        """Return a future that is done when all these jobs have ended, with the jobs in the given order.

        It fails with OwnerUnavailable if the owner exits before that.
        """
        ended: Future[tuple[Job, ...]] = Future()
        ended.set_running_or_notify_cancel()  # a canceled one could not be resolved
        self._waiting[ended] = tuple(jobs)
        self._resolve_waiters()
        return ended

    def load(self, space: str, pairs: Sequence[Pair]) -> Future[None]:
        """Have the owner write pairs. The future fails with StorageError and OwnerUnavailable."""
        return start_in_thread(lambda: self._load(space, pairs))

    def dump(self, space: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs that the owner reads.

        Raises StorageError and OwnerUnavailable, even after some.
        """
        with self._channel() as channel:
            channel.request(protocol.DumpRequest(space), RESPONSE_SECONDS)
            while True:
                dumped = _require_response(
                    channel.read(RESPONSE_SECONDS, protocol.MAX_DUMP_LINE_BYTES), protocol.DumpResponse
                )
                yield from dumped.pairs
                if dumped.last:
                    return

    def close(self) -> None:
        """Disconnect from the owner, whose jobs continue, and close the history."""
        self._closed = True
        self._event_channel.shut_down()  # wakes the thread that reads it
        self._event_channel.close()
        super().close()

    def _read_up_to(self, job_id: int) -> None:
        """Read the history up to a job that was just submitted: it may appear a moment after the response."""
        end = time.monotonic() + LAG_SECONDS
        self.history.refresh()
        while self.history.last_id() < job_id and time.monotonic() < end:
            time.sleep(LAG_SECONDS / 100)
            self.history.refresh()

    def _fetch_if_unknown(self, space: str | None) -> None:
        """Ask the owner about a space that is not known here: one of a cluster may have had no jobs yet."""
        if self._remote_inventory is None or space is None:
            return
        if space not in {*self.space_names(), *self.history.spaces()}:
            self._remote_inventory.refresh()

    def _fetch_overview(self) -> Overview:
        return self._request(protocol.OverviewRequest(), protocol.OverviewResponse).overview

    def _load(self, space: str, pairs: Sequence[Pair]) -> None:
        try:
            self._request(protocol.LoadRequest(space, tuple(pairs)), protocol.LoadResponse)
        except protocol.RequestTooLarge:
            raise StorageError(ErrorCode.REJECTED, "", space, TOO_LONG) from None

    def _request(self, body: protocol.RequestBody, kind: type[T]) -> T:
        with closing(_Requests(self._channel)) as requests:
            return requests.send(body, kind)

    def _channel(self, timeout: float = RESPONSE_SECONDS) -> Channel:
        return Channel.open(self._address, self._trusted, timeout)

    def _subscribe_to_owner(self) -> tuple[Channel, protocol.EventsMessage]:
        """Return a connection with a confirmed subscription. Raises OwnerUnavailable."""
        channel = self._channel(GREETING_SECONDS)
        try:
            channel.send(protocol.SubscribeRequest(), GREETING_SECONDS)
            return channel, _require_response(channel.read(GREETING_SECONDS), protocol.EventsMessage)
        except BaseException:
            channel.close()
            raise

    def _follow(self) -> None:
        try:
            while True:
                answer = self._event_channel.read(None)
                if isinstance(answer, protocol.EventsMessage) and not self._closed:
                    self._receive(answer.messages)
        except (OSError, ValueError, errors.OwnerUnavailable, StoreError):
            pass  # the owner has exited or is of another version: both are handled below
        self._owner_gone = True
        if not self._closed:
            self._resolve_waiters()
            self.on_owner_exit()

    def _store_connection(self, messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            if isinstance(message, ConnectionChanged):
                self._link = message.connection, time.monotonic()

    def _receive(self, messages: Sequence[EngineEvent]) -> None:
        self._store_connection(messages)
        for message in messages:
            if isinstance(message, TaskProgressed | JobChanged):
                self._last_known[message.job.id] = message.job
        if any(isinstance(message, JobChanged | JobsArchived) for message in messages):
            self.history.refresh()
            self._resolve_waiters()
            self._drop_superseded()
        self._listeners.publish(messages)

    def _resolve_waiters(self) -> None:
        """Resolve the futures of jobs that have ended, or whose owner has exited.

        It is called after each change and by each waiting caller, so that whichever comes last sees both.
        """
        gone = self._owner_gone  # before the jobs are read: nothing changes any more once it is true
        for ended, jobs in self._waiting.copy().items():
            try:
                found = self.jobs_on_disk(jobs)
            except (StoreError, OSError) as error:
                if self._stop_waiting(ended):
                    ended.set_exception(error)  # reported by the caller
                continue
            # a job that is not found is not in the history yet
            if len(found) == len(jobs) and all(job.status.ended for job in found):
                if self._stop_waiting(ended):
                    ended.set_result(found)
            elif gone and self._stop_waiting(ended):
                ended.set_exception(errors.OwnerUnavailable(ENDED))

    def _stop_waiting(self, ended: Future[tuple[Job, ...]]) -> bool:
        """Remove a future; return whether this thread must resolve it."""
        return self._waiting.pop(ended, None) is not None

    def jobs_on_disk(self, jobs: Iterable[int]) -> tuple[Job, ...]:
        """Return the jobs as they are on disk now, ended or not. Raises StoreError."""
        self.history.refresh()
        found = (self.job(job_id) or self.history.get_archived(job_id) for job_id in jobs)
        return tuple(job for job in found if job is not None)

    def _drop_superseded(self) -> None:
        """Remove the ended jobs that the history has by now: messages may arrive before the file is read."""
        ended = [job_id for job_id, job in self._last_known.items() if job.status.ended]
        if not ended:
            return
        last, unread = self.history.last_id(), {job.id for job in self.history.live()}
        for job_id in ended:
            if job_id <= last and job_id not in unread:
                del self._last_known[job_id]
                self._active_at_start.pop(job_id, None)


def _address_of_owner(profile: Profile) -> Path:
    """Return the address of the owner. Raises RequestNotAccepted if it has not recorded one."""
    try:
        address = recorded_address(profile.root)
    except OSError as error:
        raise errors.RequestNotAccepted(f"its address cannot be read: {error.strerror or error}") from None
    if address is None:
        raise errors.RequestNotAccepted(
            "it has not recorded its address in LOCK: it is just starting, or ending"
        )
    return address


class _Requests:
    """Requests to the owner, one after another on one connection; close it."""

    def __init__(self, connect: Callable[[], Channel]) -> None:
        self._connect = connect
        self._channel: Channel | None = None

    def execute(self, text: str, session: Session) -> protocol.ExecuteResponse:
        """Have a text executed. Raises StorageError and OwnerUnavailable."""
        ran = self.send(
            protocol.ExecuteRequest(text, session.space, str(session.cwd), session.kind),
            protocol.ExecuteResponse,
        )
        session.space = ran.space
        return ran

    def send(self, body: protocol.RequestBody, kind: type[T]) -> T:
        """Send a request and return its response. Raises StorageError and OwnerUnavailable."""
        channel = self._send(body)
        return _require_response(channel.read(RESPONSE_SECONDS), kind)

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _send(self, body: protocol.RequestBody) -> Channel:
        if self._channel is not None:
            try:
                self._channel.request(body, RESPONSE_SECONDS)
            except errors.RequestNotAccepted:
                self.close()  # the owner closes a connection that was idle for a while, and accepts a new one
            else:
                return self._channel
        self._channel = self._connect()
        self._channel.request(body, RESPONSE_SECONDS)
        return self._channel


def _groups(statements: Sequence[Parsed], most: int) -> Iterator[Sequence[Parsed]]:
    """Yield the statements in their order, with consecutive quick ones in one group."""
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


def _require_response(answer: protocol.Response, kind: type[T]) -> T:
    """Return the response if it fits the request. Raises StorageError and OwnerUnavailable."""
    if isinstance(answer, protocol.ErrorResponse):
        if answer.code in _CODES:
            raise StorageError(ErrorCode(answer.code), answer.host, answer.space, answer.text)
        raise refusal_error(answer)
    if not isinstance(answer, kind):
        raise errors.OwnerUnavailable("the jobtui that owns this profile answered something else")
    return answer


class RemoteInventory:
    """A cluster's spaces and hosts as the owner last reported them. Any thread.

    `fetch` asks the owner and waits. Raises StorageError and OwnerUnavailable.
    """

    def __init__(self, fetch: Callable[[], Overview]) -> None:
        self._fetch = fetch
        self._fetching = threading.Lock()
        self._fetched_at = -FRESH_SECONDS
        self._last_known: Overview | None = None

    @property
    def last_known(self) -> Overview | None:
        """The last overview, None before the first; an old one is fetched again in the background."""
        if time.monotonic() - self._fetched_at >= FRESH_SECONDS and self._fetching.acquire(blocking=False):
            self._fetched_at = time.monotonic()
            threading.Thread(target=self._fetch_quietly, name="jobtui-inventory", daemon=True).start()
        return self._last_known

    def refresh(self) -> Overview:
        """Fetch the overview and wait for it. Raises StorageError and OwnerUnavailable."""
        self._last_known = overview = self._fetch()
        return overview

    def _fetch_quietly(self) -> None:
        try:
            self.refresh()
        except (StorageError, OwnerUnavailable):
            pass  # the connection reports the failure: the last overview stays
        finally:
            self._fetching.release()
