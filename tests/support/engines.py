"""An engine over the real history and a scripted storage, and waiting for what it says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jobtui.engine.client import Client, EngineEvent, ExecuteResult, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.notifications import NotifySettings
from jobtui.engine.profile import Profile
from jobtui.engine.scheduler import RunPolicy
from jobtui.history import History
from jobtui.model import Job, JobChanged, Notice, Status, TaskProgressed
from tests.support.clock import FakeClock
from tests.support.scripted import ScriptedStorage

WAIT = 20.0
THREE = ("local0", "local1", "local2")


class Heard:
    """All messages of a client, and a way to wait for more."""

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
            assert self._changed.wait_for(condition, WAIT), self.messages[-10:]

    def jobs(self, job_id: int) -> list[Job]:
        """The versions of a job that were published, oldest first."""
        return [m.job for m in self.messages if isinstance(m, JobChanged) and m.job.id == job_id]

    def statuses(self, job_id: int) -> list[Status]:
        """The statuses of a job as they were published, without repeats."""
        seen = [job.status for job in self.jobs(job_id)]
        return [status for n, status in enumerate(seen) if n == 0 or seen[n - 1] is not status]

    def until(self, job_id: int, status: Status) -> Job:
        """The job once it was published with that status."""
        self.wait_for(lambda: any(job.status is status for job in self.jobs(job_id)))
        return next(job for job in self.jobs(job_id) if job.status is status)

    def until_last(self, job_id: int, status: Status) -> None:
        """Wait until the job's last published status is this one."""
        self.wait_for(lambda: self.statuses(job_id)[-1:] == [status])

    def until_said(self, kind: type[EngineEvent], **fields: object) -> None:
        """Wait for a message of that kind whose fields hold these, as text."""
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
    """An engine, its storage, its clock, a session, and what was heard."""

    def __init__(self, engine: LocalClient, storage: ScriptedStorage, clock: FakeClock) -> None:
        self.engine, self.storage, self.clock = engine, storage, clock
        self.heard = Heard(engine)
        self.session = Session(None, Path("/"))

    def say(self, text: str) -> ExecuteResult:
        return self.engine.execute(text, self.session).result(WAIT)

    def rows(self, text: str) -> list[tuple[str, ...]]:
        """The cells of the last result of a text that must succeed."""
        answer = self.say(text)
        assert answer.failure is None, answer.failure
        return [row.cells for row in answer.results[-1].rows]

    def refusal(self, text: str) -> str:
        """Why a text that must fail did."""
        failure = self.say(text).failure
        assert failure is not None
        return failure.message

    def job(self, job_id: int) -> Job:
        job = self.engine.job(job_id)
        assert job is not None
        return job


@contextmanager
def bench(
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
    """For each change that is published in the block whether the job was on disk with that status."""
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
        engine.wait_idle().result(WAIT)  # what was published before has been heard by all
    finally:
        leave()
        reader.close()
