"""The engine: the parts that own a profile's jobs, wired together in one asyncio loop.

    executor -> control -> store -> (history, events)

A statement goes through the executor to the `JobControl`, which changes jobs through the store; the store
commits each change to the history before the events publish it. Every part takes the collaborators that it
uses. Invariants, each held by a test of its name:
    one writer: every change of a job goes through the store, in this loop;
    commit before publish: a task is sent, a status shown, an id returned only after its commit;
    one running job per space, one operation per host;
    a stopped job has no running task: it stays running, *stopping*, until the last one has ended;
    no lock is held across a call out of the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobtui.background import BackgroundTasks
from jobtui.clock import Clock, wait_all
from jobtui.engine import lifecycle, queries
from jobtui.engine.advisor import Advisor
from jobtui.engine.backend import Backend, ConnectionMonitor, open_backend
from jobtui.engine.client import Overview, Session
from jobtui.engine.control import JobControl
from jobtui.engine.dispatcher import Dispatcher
from jobtui.engine.events import EventBus
from jobtui.engine.executor import StatementExecutor
from jobtui.engine.heartbeat import Heartbeat, find_interruption
from jobtui.engine.inventory import InventoryCache
from jobtui.engine.jobs import JobStore, JobWaiters
from jobtui.engine.notifications import forget_progress
from jobtui.engine.profile import Profile
from jobtui.engine.progress import ProgressTracker, RateLimits
from jobtui.engine.sampler import Sampler
from jobtui.engine.samples import SampleFiles
from jobtui.engine.schedule_runner import ScheduleRunner
from jobtui.engine.scheduler import JobAdmission, RunPolicy
from jobtui.engine.server import SocketServer
from jobtui.errors import StorageError
from jobtui.history import History
from jobtui.model import ConnectionChanged, ConnectionStatus, Job, JobChanged, Notice
from jobtui.os_errors import describe_os_error

CLOSE_SECONDS = 10.0
DRAIN_SECONDS = 4.0
"""For notifications that are under way when the process ends, which a user may be waiting for."""


class Engine:
    """The parts of a running engine. It starts no thread: `LocalClient` runs its loop on one.

    Everything is for the loop alone, except methods that are documented as usable from any thread.
    """

    def __init__(
        self,
        profile: Profile,
        history: History,
        backend: Backend | None,
        clock: Clock,
        policy: RunPolicy,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.clock = clock
        self.events = EventBus(loop)
        self.tasks = BackgroundTasks(self.events.report_error)
        backend = backend or open_backend(profile, self.events.notify)
        self.storage = backend.storage
        self.admission = JobAdmission(policy)
        self.notifier: Notifier | None = None
        self.store = JobStore(history, clock, self._publish)
        self.sampler = Sampler(SampleFiles(profile.root), self.store.current, clock, self.tasks)
        self.events.observe = self.sampler.observe
        # the storage limits the writes of an embedded storage alone
        self.limits = RateLimits(profile.compact_rate if self.storage.is_space_admin else None)
        self.progress = ProgressTracker(self.limits, self.sampler.note)
        self.waiters = JobWaiters(self.store)
        self.heartbeat = Heartbeat(profile.root, clock, lambda: self.dispatcher.is_running_jobs)
        self.connection = (
            None
            if backend.connection is None
            else ConnectionMonitor(backend.connection, clock.steady, self._on_connection)
        )
        self.inventory = InventoryCache(
            self.storage, self.connection is not None, history.spaces, self.tasks.spawn
        )
        advisor = Advisor(
            self.storage,
            history,
            clock,
            profile.advice,
            profile.min_free,
            profile.compact_rate,
            lambda: self.limits.rate,
        )
        self.dispatcher = Dispatcher(
            self.store,
            self.storage,
            self.inventory,
            self.waiters,
            admission=self.admission,
            progress=self.progress,
            limits=self.limits,
            heartbeat=self.heartbeat,
            events=self.events,
            tasks=self.tasks,
            clock=clock,
            max_running_jobs=profile.max_running_jobs,
            task_timeout=profile.task_timeout,
            check_condition=advisor.check,
        )
        self.control: JobControl = self.dispatcher
        self.sync: ClusterSync | None = None
        if backend.job_manager is not None:
            # late: only a cluster needs it
            from jobtui.engine.cluster.requests import ClusterRequests
            from jobtui.engine.cluster.sync import ClusterSync

            self.sync = ClusterSync(
                backend.job_manager,
                self.store,
                self.inventory,
                self.waiters,
                events=self.events,
                tasks=self.tasks,
                clock=clock,
            )
            self.control = ClusterRequests(self.sync, self.store, self.waiters, tasks=self.tasks, clock=clock)
        self.schedules = ScheduleRunner(
            self.store,
            self.control,
            admission=self.admission,
            events=self.events,
            clock=clock,
            submit=lambda schedule: self.executor.submit_scheduled(schedule),
        )
        if profile.notify is not None:
            # loaded only for a profile that notifies: it imports the HTTP client and subprocess
            from jobtui.engine.notifier import Notifier

            self.notifier = Notifier(
                profile.notify,
                profile.name,
                self.store,
                self.schedules,
                events=self.events,
                clock=clock,
                run=self.tasks.spawn,
            )
            self.schedules.on_run = self.notifier.on_run
        self.executor = StatementExecutor(
            self.control,
            self.store,
            self.storage,
            self.inventory,
            self.events,
            clock,
            self.find_job,
            self.schedules,
            advisor,
        )
        self.server = SocketServer(
            profile.root,
            self.executor,
            self.storage,
            self.admission,
            self.events,
            history,
            clock,
            self.connection,
            self.sampler,
        )

    async def start(self, demo: bool) -> None:
        """Take over the jobs of the history, run them, and listen for other processes.

        Raises StorageError and StoreError if the profile cannot be opened.
        """
        await self.storage.start()
        if self.connection is None:
            await self.inventory.fetch_spaces()
        await self._fail_interrupted_jobs()
        await self.control.take_over()
        await self.schedules.take_over()  # before the dispatcher starts: it pauses jobs whose window has ended
        if self.notifier is not None:
            await self.notifier.take_over()
        else:
            forget_progress(self.store.history.path)
        self.store.on_writable = self.dispatcher.schedule_soon
        self.dispatcher.start()
        self.tasks.spawn(self.schedules.run())
        status = None if self.connection is None else self.connection.status
        if status is None:
            self.inventory.refresh_soon()
        else:
            self.inventory.on_connection(status)
        await self._listen()
        if demo:
            self.tasks.spawn(self._run_demo())

    async def close(self) -> None:
        """Stop all parts within a few seconds.

        Jobs that run stay `running` on disk, for the next owner.
        """
        self.dispatcher.close()
        self.server.close()
        if self.notifier is not None:
            await self.notifier.drain(DRAIN_SECONDS)
        self.tasks.close()
        await asyncio.to_thread(self.sampler.save)
        try:
            await asyncio.wait_for(self.storage.close(), CLOSE_SECONDS / 2)
        except (TimeoutError, StorageError) as error:
            self.events.publish([Notice(f"The storage did not close cleanly: {error}", "error")])

    def find_job(self, job_id: int) -> Job | None:
        """Return the job with its progress; None if there is none or it is archived. Any thread."""
        job = self.store.get(job_id)
        return None if job is None else self.progress.apply_to(job)

    def active_jobs(self) -> tuple[Job, ...]:
        """Return the queued and running jobs, oldest first, with their progress. Any thread."""
        return tuple(self.progress.apply_to(job) for job in self.store.active())

    async def wait_connected(self, seconds: float, *, caught_up: bool, jobs: Sequence[int] = ()) -> bool:
        """Wait at most this long for the cluster that runs the jobs; return whether it is connected."""
        if self.sync is None:
            return True
        connected = asyncio.ensure_future(self.sync.wait_connected(caught_up=caught_up, jobs=jobs))
        if await wait_all(self.clock, seconds, connected):
            connected.result()
            return True
        connected.cancel()
        return False

    async def fetch_overview(self) -> Overview:
        """Return all spaces and hosts as they are now. Raises StorageError."""
        return await self.inventory.fetch_overview(self.clock)

    async def stop_all_jobs(self) -> None:
        """Stop all queued and running jobs for the dashboard, and wait until they have ended."""
        await self.dispatcher.stop_all(Session(kind="dashboard").requested_by)
        await self.dispatcher.wait_idle()

    async def close_if_idle(self) -> tuple[int, ...]:
        """Stop listening unless jobs may run here, and return those jobs."""
        await self.server.wait_idle()
        jobs = self.dispatcher.runnable_jobs()
        if not jobs:
            self.server.close()
        return jobs

    async def _fail_interrupted_jobs(self) -> None:
        """Mark the jobs of a process that has ended as interrupted; those of a cluster continue there."""
        found = [job for job in self.store.active() if job.origin is None and lifecycle.is_interrupted(job)]
        if not found:
            return
        beat, now, booted = self.heartbeat.last(), self.clock.now(), self.clock.boot_time()
        ends = [(job, find_interruption(job, beat, now, booted)) for job in found]
        await self.store.update(
            lambda transaction: [
                lifecycle.interrupt(transaction.get(job.id) or job, end.at, end.until) for job, end in ends
            ]
        )
        ids = [job.id for job in found if not job.paused]
        if not ids:
            return
        were, them = ("was", "it") if len(ids) == 1 else ("were", "them")
        again = f"RECOVER JOB {', '.join(map(str, ids[:10]))} runs {them} again"
        self.events.notify(f"{queries.jobs_as_text(ids)} {were} {lifecycle.INTERRUPTED}; {again}")

    async def _listen(self) -> None:
        try:
            await self.server.open()
        except OSError as error:
            self.events.notify(f"Other jobtui processes cannot submit work here: {describe_os_error(error)}")

    def _publish(self, messages: Sequence[JobChanged | Notice]) -> None:
        if self.notifier is not None:
            self.notifier.on_changes(messages)
        self.events.publish(list(map(self._with_limit, messages)))

    def _with_limit(self, message: JobChanged | Notice) -> JobChanged | Notice:
        if isinstance(message, Notice):
            return message
        job = self.limits.apply_to(message.job)
        return message if job is message.job else JobChanged(job, message.was)

    def _on_connection(self, status: ConnectionStatus) -> None:
        self.events.publish([ConnectionChanged(status)])
        self.inventory.on_connection(status)

    async def _run_demo(self) -> None:
        # late: only `--demo` needs it
        from jobtui.storage.local import demo
        from jobtui.storage.local.backend import LocalStorage

        if not isinstance(self.storage, LocalStorage):
            raise TypeError("the demo needs the embedded storage")
        self.storage.keeps_data = False
        await demo.fill_demo_spaces(
            self.storage, lambda text: self.events.publish([Notice(text, "information")])
        )
        await self.inventory.fetch_spaces()
        await demo.write_gently(self.storage)
