"""An engine over the real history and a scripted storage, and functions that wait for its messages."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from jobtui.engine.client import Client, EngineEvent, ExecuteResult, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.notify_settings import NotifySettings
from jobtui.engine.owner_socket import SOCKET, short_path
from jobtui.engine.profile import Profile
from jobtui.engine.scheduler import RunPolicy
from jobtui.history import History
from jobtui.model import Job, JobChanged, Notice, Status, TaskProgressed
from tests.support.clock import FakeClock
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import PATIENCE, wait_on

WAIT = PATIENCE
THREE = ("local0", "local1", "local2")


class EventLog:
    """All messages of a client, with methods that wait for more."""

    def __init__(self, client: Client) -> None:
        self.messages: list[EngineEvent] = []
        self._changed = threading.Condition()
        client.subscribe(self._take)

    def _take(self, messages: Sequence[EngineEvent]) -> None:
        with self._changed:
            self.messages.extend(messages)
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert wait_on(self._changed, condition), self.messages[-10:]

    def jobs(self, job_id: int) -> list[Job]:
        """Return the published versions of a job, oldest first."""
        return [m.job for m in self.messages if isinstance(m, JobChanged) and m.job.id == job_id]

    def statuses(self, job_id: int) -> list[Status]:
        """Return the published statuses of a job, without repeats."""
        seen = [job.status for job in self.jobs(job_id)]
        return [status for n, status in enumerate(seen) if n == 0 or seen[n - 1] is not status]

    def until(self, job_id: int, status: Status) -> Job:
        """Wait until the job was published with this status, and return it."""
        self.wait_for(lambda: any(job.status is status for job in self.jobs(job_id)))
        return next(job for job in self.jobs(job_id) if job.status is status)

    def until_last(self, job_id: int, status: Status) -> None:
        """Wait until the job's last published status is this one."""
        self.wait_for(lambda: self.statuses(job_id)[-1:] == [status])

    def until_published(self, kind: type[EngineEvent], **fields: object) -> None:
        """Wait for a message of this kind whose fields contain these texts."""
        self.wait_for(
            lambda: any(
                isinstance(m, kind) and all(str(fields[f]) in str(getattr(m, f)) for f in fields)
                for m in self.messages
            )
        )

    @property
    def notices(self) -> list[str]:
        return [m.text for m in self.messages if isinstance(m, Notice)]

    @property
    def progress(self) -> list[TaskProgressed]:
        return [m for m in self.messages if isinstance(m, TaskProgressed)]


class Bench:
    """An engine with its storage, clock, session and published messages."""

    def __init__(self, engine: LocalClient, storage: ScriptedStorage, clock: FakeClock) -> None:
        self.engine, self.storage, self.clock = engine, storage, clock
        self.events = EventLog(engine)
        self.session = Session(None, Path("/"))

    def execute(self, text: str) -> ExecuteResult:
        return self.engine.execute(text, self.session).result(WAIT)

    def rows(self, text: str) -> list[tuple[str, ...]]:
        """Execute a text that must succeed, and return the cells of its last result."""
        answer = self.execute(text)
        assert answer.failure is None, answer.failure
        return [row.cells for row in answer.results[-1].rows]

    def refusal(self, text: str) -> str:
        """Execute a text that must fail, and return the reason."""
        failure = self.execute(text).failure
        assert failure is not None
        return failure.message

    def job(self, job_id: int) -> Job:
        job = self.engine.job(job_id)
        assert job is not None
        return job

    def settle(self) -> None:
        """Wait until the engine has nothing left to do but wait for a host or the clock."""
        self.engine.call(_settled(self.engine)).result(WAIT)

    def advance(self, seconds: float) -> None:
        """Move the clock once every coroutine that is about to sleep on it does so."""
        self.settle()
        self.clock.advance(seconds)


async def _settled(engine: LocalClient) -> None:
    # a coroutine begins to sleep some turns of the loop after the decision to start it
    quiet = 0
    while quiet < 10:
        await asyncio.sleep(0)
        quiet = quiet + 1 if engine.engine.dispatcher.is_settled and engine.engine.store.is_settled else 0


@contextmanager
def open_bench(
    root: Path,
    storage: ScriptedStorage,
    *,
    clock: FakeClock | None = None,
    run: RunPolicy = RunPolicy.ALL,
    task_timeout: float | None = None,
    max_running_jobs: int = 4,
    compact_rate: int | None = None,
    notify: NotifySettings | None = None,
) -> Iterator[Bench]:
    clock = clock or FakeClock()
    profile = Profile(
        "local",
        root,
        task_timeout=task_timeout,
        max_running_jobs=max_running_jobs,
        compact_rate=compact_rate,
        notify=notify,
    )
    engine = LocalClient.open(profile, run=run, clock=clock, storage=storage)
    try:
        yield Bench(engine, storage, clock)
    finally:
        engine.close()


@contextmanager
def compared_with_disk(engine: LocalClient, root: Path) -> Iterator[list[bool]]:
    """Yield a list with a flag for each change published in the block: whether it was on disk."""
    reader = History.open(root / "history", write=False)
    seen: list[bool] = []

    def compare(messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            if isinstance(message, JobChanged):
                reader.refresh()
                on_disk = reader.get(message.job.id)
                seen.append(on_disk is not None and on_disk.status is message.job.status)

    leave = engine.subscribe(compare)
    try:
        yield seen
        engine.wait_idle().result(WAIT)  # all listeners have received what was published before
    finally:
        leave()
        reader.close()


@contextmanager
def impostor(root: Path, say: Callable[[socket.socket], None]) -> Iterator[None]:
    """A process that listens where the owner would; `say` is what it does with each client."""
    with open_bench(root, ScriptedStorage({})):
        lock = (root / "history" / "LOCK").read_bytes()
    (root / "history" / "LOCK").write_bytes(lock)  # as a killed owner leaves it
    with socket.socket(socket.AF_UNIX) as listener, short_path(root / SOCKET) as name:
        listener.bind(name)
        listener.listen()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        say(client)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT)
            assert not thread.is_alive()
