"""The engine: a thread with an asyncio loop of its own that owns a profile's jobs.

Invariants, each held by a test of its name:
    one writer: every change of a job goes through the ledger, in this loop;
    durable before visible: a task is dispatched, a status shown, an id told only after its commit;
    one running job a space, one operation a host;
    a stopped job has no running task: it stays running, *stopping*, until the last has truly ended;
    no lock is held across a call out of the engine.
The screen and the scripts see it as a `Desk` and hold immutable snapshots only.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from jobtui.clock import Clock, SystemClock, wait_all
from jobtui.engine import profile as backends
from jobtui.engine.client import EngineEvent, ExecuteResult, Listener, Overview, Session
from jobtui.engine.dispatcher import Dispatcher, ProgressTracker
from jobtui.engine.events import EventBus
from jobtui.engine.executor import StatementExecutor
from jobtui.engine.heartbeat import Heartbeat
from jobtui.engine.inventory import ConnectionMonitor, Inventory, look
from jobtui.engine.jobs import JobStore
from jobtui.engine.profile import Backend, Profile, RunPolicy
from jobtui.engine.server import SocketServer
from jobtui.errors import StorageError
from jobtui.history import History, StoreError
from jobtui.model import ConnectionChanged, ConnectionStatus, Job, Notice, SpaceStats
from jobtui.os_errors import explain
from jobtui.storage.base import Capabilities, ClusterJobManager, Pair, Space, Storage

if TYPE_CHECKING:
    from jobtui.engine.cluster.sync import ClusterSync


from typing import TYPE_CHECKING

from jobtui.engine import lifecycle
from jobtui.engine.cluster import lifecycle as mirrored
from jobtui.engine.heartbeat import interruption
from jobtui.formatting import format_count, format_ids
from jobtui.model import Status

__all__ = ["Engine", "RunPolicy"]

T = TypeVar("T")
_ROUNDS = 5  # of cancelling what is left: what is cancelled may begin something more
CLOSE_SECONDS = 10.0
# the main thread's. A process that is started with them blocked is not ended by a ctrl+c that was typed before
# it had left the terminal's process group
_BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Engine:
    """The desk of the process that owns the profile."""

    writable = True

    def __init__(
        self, profile: Profile, history: History, backend: Backend | None, clock: Clock, run: RunPolicy
    ) -> None:
        self.profile = profile.name
        self.history = history
        backend = backend or backends.of_profile(profile, self.tell)
        self.storage = backend.storage
        self.clock = clock
        self.run = run
        self.settings = profile
        self.progress = ProgressTracker()
        self._side_work: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._listeners = EventBus(self._loop)
        self._closed = False
        self._thread = threading.Thread(target=self._live, name="jobtui-engine", daemon=True)
        self.ledger = JobStore(history, clock, self.publish)
        self.dispatch = Dispatcher(self)
        self.heartbeat = Heartbeat(profile.root, clock, lambda: self.dispatch.is_at_work)
        self.mirroring = None if backend.mirror is None else _mirroring(self, backend.mirror)
        linked = backend.linked
        self._connection = None if linked is None else ConnectionMonitor(linked, clock, self._link_changed)
        self._places = Inventory(self.storage, linked is not None, self.beside)
        self._interpreter = StatementExecutor(self)
        self._door = SocketServer(self, profile.root)

    @classmethod
    def open(
        cls,
        profile: Profile,
        *,
        run: RunPolicy = RunPolicy.ALL,
        demo: bool = False,
        clock: Clock | None = None,
        storage: Storage | None = None,
        mirror: ClusterJobManager | None = None,
    ) -> Engine:
        """Take the profile, tell the truth about interrupted jobs, and start the thread.

        The work is done on `storage`, or by the cluster behind `mirror`, or on what the profile says; a
        cluster need not answer for that. `demo` fills the profile with the demo's spaces and goes on writing
        gently. Raises StoreLocked where another process has the profile, StoreError and StorageError where
        it can't be opened.
        """
        if demo:
            profile = backends.at_the_demos_rate(profile)
        history = History.open(profile.history)
        try:
            engine = cls(profile, history, backends.given(storage, mirror), clock or SystemClock(), run)
        except BaseException:
            history.close()
            raise
        engine._thread.start()
        try:
            engine.call(engine._begin(demo)).result()
        except BaseException:
            engine.close()
            raise
        return engine

    # ---- the desk

    @property
    def trouble(self) -> str:
        """Why nothing can be written at the moment; "" while all is well."""
        return self.ledger.trouble

    @property
    def capabilities(self) -> Capabilities:
        """What the storage can do."""
        return self.storage.capabilities

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """See `Desk.execute`. Texts of one session run one after the other."""
        return self.call(self._interpreter.answer(text, session))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `Desk.subscribe`."""
        return self._listeners.add(listener)

    def job(self, job_id: int) -> Job | None:
        """See `Desk.job`."""
        job = self.ledger.get(job_id)
        return None if job is None else self.progress.put_into(job)

    def active(self) -> tuple[Job, ...]:
        """See `Desk.active`."""
        return tuple(self.progress.put_into(job) for job in self.ledger.active())

    def spaces(self) -> tuple[str, ...]:
        """See `Desk.spaces`."""
        if self._connection is not None and not self._places.spaces:
            return self.history.spaces()
        return tuple(space.name for space in self._places.spaces)

    def host_names(self) -> tuple[str, ...]:
        """See `Desk.host_names`."""
        return self._places.hosts

    @property
    def link(self) -> ConnectionStatus | None:
        """See `Desk.link`."""
        return None if self._connection is None else self._connection.link

    @property
    def owner(self) -> bool:
        """The work is done here."""
        return True

    @property
    def may_hand_over(self) -> bool:
        """Only who shares a profile can."""
        return False

    def hand_over(self) -> bool:
        """See `may_hand_over`."""
        return False

    def retry_now(self) -> None:
        """See `Desk.retry_now`."""
        if self._connection is not None:
            self._loop.call_soon_threadsafe(self._connection.retry_now)

    def reached(self, seconds: float, *, whole: bool) -> Future[bool]:
        """Done when the cluster that runs the jobs is connected and, for the `whole`, all its jobs are here.

        False where that took longer than `seconds`; fails with StorageError where it can't be connected.
        Without such a cluster there is nothing to wait for.
        """
        return self.call(self._reached(seconds, whole))

    def overview(self) -> Future[Overview]:
        """See `Desk.overview`."""
        return self.call(self._look())

    def stats(self, space: str, host: str) -> Future[SpaceStats]:
        """See `Desk.stats`."""
        return self.call(self.storage.stats(space, host))

    def stop_work(self) -> Future[None]:
        """See `Desk.stop_work`."""
        return self.call(self._stop_work())

    def idle(self) -> Future[None]:
        """Done when no job that may run here is queued or running."""
        return self.call(self.dispatch.idle())

    def ended(self, jobs: Iterable[int]) -> Future[tuple[Job, ...]]:
        """Done when all these jobs have ended, with the jobs as they ended, in the order asked for."""
        return self.call(self.dispatch.ended(tuple(jobs)))

    def load(self, space: str, pairs: Sequence[Pair]) -> Future[None]:
        """Write key-value pairs into the space; fails with StorageError."""
        return self.call(self.storage.load(space, pairs))

    def dump(self, space: str) -> Iterator[tuple[bytes, bytes]]:
        """The space's pairs in key order, blocking; raises StorageError, also midway."""
        pairs = self.storage.dump(space)
        while chunk := self.call(_some(pairs)).result():
            yield from chunk

    def leave_if_idle(self) -> Future[tuple[int, ...]]:
        """Take nothing more from other processes unless there are jobs that may run here; those jobs' ids.

        What another process hands in is durable and its own no more: who owns the profile stays for it.
        """
        return self.call(self._leave_if_idle())

    def turn_guests_away(self) -> None:
        """Take nothing more from other processes: they wait for the profile."""
        self._loop.call_soon_threadsafe(self._door.close)

    def cancel(self, job_id: int) -> None:
        """Stop the work of a job without writing that it is to stop: the disk does not take that."""
        self._loop.call_soon_threadsafe(self.dispatch.cancel, (job_id,))

    def limit_waiting_for_disk(self) -> None:
        """From here on wait only briefly for a disk that takes nothing; see `unwritten`."""
        self.call(self.dispatch.limit_waiting_for_disk())

    def unwritten(self) -> tuple[int, ...]:
        """Return the jobs that are not at work any more and whose end is not on disk."""
        return self.dispatch.unwritten

    def close(self) -> None:
        """See `Desk.close`. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop)
            self._thread.join(CLOSE_SECONDS)
        self.history.close()

    # ---- for the engine's own rooms

    def call(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the engine's loop; the answer is its future."""
        if self._closed:
            work.close()
            raise RuntimeError("the engine is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def publish(self, messages: Sequence[EngineEvent]) -> None:
        """Hand a batch of messages to every listener; notices that nobody hears yet wait for the first."""
        self._listeners.publish(messages)

    def tell(self, text: str) -> None:
        """Tell whoever listens something that a person should know."""
        self.publish([Notice(text)])

    def tell_of(self, error: BaseException) -> None:
        """Tell whoever listens of a failure that nobody else is told of."""
        self.publish([Notice(_in_words(error), "error")])

    async def known_spaces(self) -> dict[str, Space]:
        """The spaces by name, fresh from the storage."""
        return await self._places.fresh_spaces()

    def note_spaces(self, spaces: tuple[Space, ...]) -> None:
        """Take in which spaces the storage has, as it has just told."""
        self._places.spaces = spaces

    def beside(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Run a coroutine beside everything else; a failure of it is told to the user."""
        task = asyncio.create_task(work)
        self._side_work.add(task)
        task.add_done_callback(self._side_work_ended)
        return task

    # ---- the thread

    def _live(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._report_failure)
        try:
            self._loop.run_forever()
        finally:
            for _ in range(_ROUNDS):
                left = asyncio.all_tasks(self._loop)
                for task in left:
                    task.cancel()
                self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            with contextlib.suppress(RuntimeError):  # where no thread can be started, none is left to wait for
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def _report_failure(self, _loop: object, context: dict[str, Any]) -> None:
        """Notify the user of what nothing in the loop waits for; asyncio would write a traceback."""
        self.tell_of(context.get("exception") or RuntimeError(context["message"]))

    async def _begin(self, demo: bool) -> None:
        await self.storage.start()
        if self._connection is None:
            await self.known_spaces()
        await take_up(self)
        self.ledger.on_clear = self.dispatch.pump
        self.dispatch.begin()
        if self.link is None:
            self._places.learn_soon()
        else:
            self._places.note_link(self.link)
        await self._listen()
        if demo:
            self.beside(self._demonstrate())

    async def _listen(self) -> None:
        try:
            await self._door.open()
        except OSError as error:
            why = f"Other jobtui processes can't hand work in here: {explain(error)}"
            self.publish([Notice(why)])

    async def _look(self) -> Overview:
        seen = await look(self.storage, self.clock)
        self._places.hosts = tuple(host.name for host in seen.hosts)
        return seen

    def _link_changed(self, link: ConnectionStatus) -> None:
        self.publish([ConnectionChanged(link)])
        self._places.note_link(link)

    async def _reached(self, seconds: float, whole: bool) -> bool:
        if self.mirroring is None:
            return True
        reached = asyncio.ensure_future(self.mirroring.reached(whole=whole))
        if await wait_all(self.clock, seconds, reached):
            reached.result()
            return True
        reached.cancel()
        return False

    async def _demonstrate(self) -> None:
        from jobtui.storage.local import demo
        from jobtui.storage.local.backend import LocalStorage

        if not isinstance(self.storage, LocalStorage):
            raise TypeError("the demo needs the embedded storage")
        self.storage.kept = False
        await demo.fill(self.storage, lambda text: self.publish([Notice(text, "information")]))
        await self.known_spaces()
        await demo.write_gently(self.storage)

    async def _stop_work(self) -> None:
        await self.dispatch.stop_all()
        await self.dispatch.idle()

    async def _leave_if_idle(self) -> tuple[int, ...]:
        await self._door.quiet()
        jobs = self.dispatch.may_run_here()
        if not jobs:
            self._door.close()
        return jobs

    async def _end(self) -> None:
        self.dispatch.end()
        self._door.close()
        for task in self._side_work:
            task.cancel()
        try:
            await asyncio.wait_for(self.storage.close(), CLOSE_SECONDS / 2)
        except (TimeoutError, StorageError) as error:
            self.publish([Notice(f"The storage did not close cleanly: {error}", "error")])
        finally:
            self._loop.call_soon(self._loop.stop)

    def _side_work_ended(self, task: asyncio.Task[Any]) -> None:
        self._side_work.discard(task)
        if task.cancelled() or self._closed:
            return
        error = task.exception()
        if error is not None:
            self.tell_of(error)


def _mirroring(engine: Engine, mirror: ClusterJobManager) -> ClusterSync:
    from jobtui.engine.cluster.sync import ClusterSync  # who works on embedded storage must not pay for it

    return ClusterSync(engine, mirror)


async def _some(pairs: Any, most: int = 1000) -> list[tuple[bytes, bytes]]:
    chunk: list[tuple[bytes, bytes]] = []
    async for pair in pairs:
        chunk.append(pair)
        if len(chunk) == most:
            break
    return chunk


def _in_words(error: BaseException) -> str:
    if isinstance(error, StorageError | StoreError):
        return str(error)
    return f"{type(error).__name__}: {error}"


# ---- merged from jobtui.engine.taking_up: ----
# What a start makes of the jobs that the last one left under way, and what it tells of them.
async def take_up(engine: Engine) -> None:
    """Fail what was interrupted, say what goes on, and attach a cluster's jobs again. Raises StoreError."""
    await _tell_of_interrupted(engine)
    if engine.mirroring is not None:
        await engine.mirroring.begin()
        return
    now = engine.clock.now()
    await engine.ledger.change(
        lambda book: [mirrored.unfollowed(job, now) for job in engine.ledger.active() if job.origin is not None]
    )
    queued = [job.id for job in engine.ledger.active() if job.status is Status.QUEUE]
    if queued and engine.run is RunPolicy.ALL:
        engine.publish([Notice(f"{_jobs(queued)} left in the queue: running now", "information")])


async def _tell_of_interrupted(engine: Engine) -> None:
    found = [job for job in engine.ledger.active() if _was_interrupted(job)]
    if found:
        beat, now, booted = engine.heartbeat.last(), engine.clock.now(), engine.clock.boot_time()
        ends = [(job, interruption(job, beat, now, booted)) for job in found]
        await engine.ledger.change(
            lambda book: [
                lifecycle.interrupted(book.get(job.id) or job, end.at, end.until) for job, end in ends
            ]
        )
        ids = [job.id for job in found]
        were, them = ("was", "it") if len(ids) == 1 else ("were", "them")
        again = f"RECOVER JOB {', '.join(map(str, ids[:10]))} runs {them} again"
        engine.publish([Notice(f"{_jobs(ids)} {were} {lifecycle.INTERRUPTED}; {again}")])


def _was_interrupted(job: Job) -> bool:
    """Whether it ran in a jobtui that has ended; what runs on a cluster goes on there."""
    return job.status is Status.RUNNING and job.origin is None


def _jobs(ids: Sequence[int]) -> str:
    return f"Job {ids[0]}" if len(ids) == 1 else f"{format_count(len(ids), 'job')} ({format_ids(ids)})"
