"""The client of the process that owns the profile: the engine, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from jobtui.clock import Clock, SystemClock
from jobtui.engine.backend import Backend, backend_of
from jobtui.engine.client import ExecuteResult, Listener, Overview, Session
from jobtui.engine.engine import CLOSE_SECONDS, DRAIN_SECONDS, Engine
from jobtui.engine.profile import Profile, with_demo_rate
from jobtui.engine.samples import JobSamples
from jobtui.engine.scheduler import RunPolicy
from jobtui.history import History
from jobtui.model import ConnectionStatus, Job, SpaceStats
from jobtui.storage.base import ClusterJobManager, Pair, Storage

T = TypeVar("T")
_CANCEL_ROUNDS = 5  # of canceling the remaining tasks: a canceled one may start another
_POLICY_SECONDS = 1.0  # for a busy loop to apply a new run policy, and for the starts that are being written
# The main thread handles these signals: none may interrupt the engine's thread. A process that was started with
# them blocked, as one in the background is, must not receive here what is pending: a ctrl+c that was typed
# before it left the terminal's process group would end it.
_BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class LocalClient:
    """A `Client` whose engine runs in this process. Its methods may be called from any thread."""

    writable = True
    is_owner = True

    def __init__(
        self, profile: Profile, history: History, backend: Backend | None, clock: Clock, policy: RunPolicy
    ) -> None:
        self.profile = profile.name
        self.history = history
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._run_loop, name="jobtui-engine", daemon=True)
        self.engine = Engine(profile, history, backend, clock, policy, self._loop)

    @classmethod
    def open(
        cls,
        profile: Profile,
        *,
        run: RunPolicy = RunPolicy.ALL,
        demo: bool = False,
        clock: Clock | None = None,
        storage: Storage | None = None,
        job_manager: ClusterJobManager | None = None,
    ) -> LocalClient:
        """Lock the profile, mark its interrupted jobs, and start the engine's thread.

        Args:
            profile: Its settings name the storage; a cluster does not have to answer.
            run: Which queued jobs to run.
            demo: Create the demo's spaces, and keep writing to them slowly.
            clock: Another clock than the machine's, for tests.
            storage: Another storage than the profile's, for tests.
            job_manager: A cluster that runs the jobs, instead of a storage, for tests.

        Raises:
            StoreLocked: Another process owns the profile.
            StoreError: The history cannot be opened.
            StorageError: The storage cannot be opened.
        """
        if demo:
            profile = with_demo_rate(profile)
        history = History.open(profile.history)
        try:
            client = cls(profile, history, backend_of(storage, job_manager), clock or SystemClock(), run)
        except BaseException:
            history.close()
            raise
        client._thread.start()
        try:
            client.call(client.engine.start(demo)).result()
        except BaseException:
            client.close()
            raise
        return client

    # ---- the client

    @property
    def write_error(self) -> str:
        """Why nothing can be written at the moment; "" if it can."""
        return self.engine.store.write_error

    @property
    def connection(self) -> ConnectionStatus | None:
        """The state of the connection to the cluster; None if there is none."""
        connection = self.engine.connection
        return None if connection is None else connection.status

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """Execute a text. Texts of one session run one after the other."""
        return self.call(self.engine.executor.execute(text, session))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each batch of messages, on the engine's thread."""
        return self.engine.events.add(listener)

    def job(self, job_id: int) -> Job | None:
        """Return the job as it is now."""
        return self.engine.find_job(job_id)

    def active_jobs(self) -> tuple[Job, ...]:
        """Return the queued and running jobs, oldest first, with their progress."""
        return self.engine.active_jobs()

    def space_names(self) -> tuple[str, ...]:
        """Return the names of the spaces as last known."""
        return self.engine.inventory.space_names()

    def host_names(self) -> tuple[str, ...]:
        """Return the names of the storage hosts as last known."""
        return self.engine.inventory.hosts

    def reconnect(self) -> None:
        """Try to connect to the cluster now."""
        if self.engine.connection is not None:
            self._loop.call_soon_threadsafe(self.engine.connection.reconnect)

    def fetch_overview(self) -> Future[Overview]:
        """Return all spaces and hosts as they are now; fails with StorageError."""
        return self.call(self.engine.fetch_overview())

    def fetch_stats(self, space: str, host: str) -> Future[SpaceStats]:
        """Return the statistics of a space on a host; fails with StorageError."""
        return self.call(self.engine.storage.stats(space, host))

    def fetch_samples(self, job_id: int) -> Future[JobSamples | None]:
        """Return what a job's hosts read and wrote each second, None if that is not known."""
        return self.call(self.engine.sampler.fetch(job_id))

    def stop_jobs(self) -> Future[None]:
        """Stop every queued and running job; done when the last has ended."""
        return self.call(self.engine.stop_all_jobs())

    def yield_jobs(self) -> Future[None]:
        """End all work at the next steps, so that the next owner continues it, and start no more."""
        return self.call(self.engine.dispatcher.yield_hosts())

    def wait_idle(self) -> Future[None]:
        """Return a future that is done when no job that may run here is queued or running."""
        return self.call(self.engine.dispatcher.wait_idle())

    def close(self) -> None:
        """End the engine and its thread within a few seconds; jobs that run are interrupted.

        Idempotent.
        """
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop)
            self._thread.join(CLOSE_SECONDS + DRAIN_SECONDS)
        self.history.close()

    # ---- for the process that runs the engine

    @property
    def jobs_outlive_process(self) -> bool:
        """Whether running jobs continue when this process ends."""
        return self.engine.control.outlives_engine

    def wait_connected(self, seconds: float, *, caught_up: bool, jobs: Sequence[int] = ()) -> Future[bool]:
        """Wait for the connection to the cluster that runs the jobs; True at once if there is none.

        Args:
            seconds: How long to wait before the answer is False.
            caught_up: Wait also until all jobs that the cluster lists are in the history.
            jobs: Without `caught_up`, wait until these jobs are in the history as the cluster has them now.

        The future fails with StorageError if the cluster cannot be connected.
        """
        return self.call(self.engine.wait_connected(seconds, caught_up=caught_up, jobs=jobs))

    def wait_ended(self, jobs: Iterable[int]) -> Future[tuple[Job, ...]]:
        """Return a future that is done when all these jobs have ended, with the jobs in the given order."""
        return self.call(self.engine.waiters.ended(tuple(jobs)))

    def load(self, space: str, pairs: Sequence[Pair]) -> Future[None]:
        """Write key-value pairs into a space; fails with StorageError."""
        return self.call(self.engine.storage.load(space, pairs))

    def dump(self, space: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield a space's pairs in key order, blocking.

        Raises StorageError, also after some pairs.
        """
        pairs = self.engine.storage.dump(space)
        while chunk := self.call(next_pairs(pairs)).result():
            yield from chunk

    def set_run_policy(self, policy: RunPolicy) -> None:
        """Change which queued jobs are run, and wait (briefly if the loop is busy) for the effect.

        On return, a job that was about to start is running.
        """
        done = self.call(self._set_run_policy(policy))
        with contextlib.suppress(TimeoutError):
            done.result(2 * _POLICY_SECONDS)

    def close_if_idle(self) -> Future[tuple[int, ...]]:
        """Stop accepting requests from other processes unless jobs may run here; return those jobs.

        A job that another process submitted is on disk, and this process owns it, so it must not end yet.
        """
        return self.call(self.engine.close_if_idle())

    def stop_accepting(self) -> None:
        """Stop accepting requests from other processes: they wait for the profile."""
        self._loop.call_soon_threadsafe(self.engine.server.close)

    def cancel(self, job_id: int) -> None:
        """Cancel the work of a job without recording a stop, which the disk does not accept."""
        self._loop.call_soon_threadsafe(self.engine.dispatcher.cancel, (job_id,))

    def limit_waiting_for_disk(self) -> None:
        """From now on wait only briefly for a disk that accepts nothing; see `unwritten`."""
        self.call(self.engine.dispatcher.limit_waiting_for_disk())

    def unwritten(self) -> tuple[int, ...]:
        """Return the jobs that have ended and whose end is not on disk."""
        return self.engine.waiters.unwritten

    def call(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the engine's loop. Raises RuntimeError if the engine is closed."""
        if self._closed:
            work.close()
            raise RuntimeError("the engine is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    # ---- the thread

    async def _set_run_policy(self, policy: RunPolicy) -> None:
        self.engine.admission.policy = policy
        # a job whose start is being written is still queued for a moment: it would not be stopped
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLICY_SECONDS):
                await self.engine.dispatcher.wait_started()

    async def _close(self) -> None:
        try:
            await self.engine.close()
        finally:
            self._loop.call_soon(self._loop.stop)

    def _run_loop(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._report_unhandled)
        try:
            self._loop.run_forever()
        finally:
            for _ in range(_CANCEL_ROUNDS):
                left = asyncio.all_tasks(self._loop)
                for task in left:
                    task.cancel()
                self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            with contextlib.suppress(RuntimeError):  # no thread can be started, so there is none to wait for
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def _report_unhandled(self, _loop: object, context: dict[str, Any]) -> None:
        """Notify the user of a failure that nothing in the loop waits for; asyncio would log a traceback."""
        self.engine.events.report_error(context.get("exception") or RuntimeError(context["message"]))


async def next_pairs(
    pairs: AsyncIterator[tuple[bytes, bytes]], most: int = 1000
) -> Sequence[tuple[bytes, bytes]]:
    """Return the next pairs of a dump, at most a number of them; none at its end."""
    chunk: list[tuple[bytes, bytes]] = []
    async for pair in pairs:
        chunk.append(pair)
        if len(chunk) == most:
            break
    return chunk
