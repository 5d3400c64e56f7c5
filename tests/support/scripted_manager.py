"""A cluster in a few dictionaries, whose jobs a test adds, changes and removes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionState, ConnectionStatus, SpaceStats, Status, Task
from jobtui.storage.base import ClusterJob, CompactionFigures, Host, Space

WAIT = 20.0
START = datetime(2019, 12, 17, 9, 21, 30, tzinfo=UTC)


class ScriptedManager:
    """A `ClusterJobManager` without a cluster.

    `asked` has every query and command in their order. `errors` are raised by those about a space, or about any
    (""). A command is carried out, and answered when `answers` is set; `lost_answer` is then raised instead. A
    command is not carried out if `refusal` is set, which is raised. A job equal to one in flight shares its id.
    """

    cluster = "prod"

    def __init__(self, spaces: Sequence[str] = ("nba",)) -> None:
        self.there: dict[str, dict[int, ClusterJob]] = {space: {} for space in spaces}
        self.hosts_there = {"10.0.0.5": Host("10.0.0.5", True)}
        self.sizes: dict[str, SpaceStats] = {}
        self.asked: list[str] = []
        self.errors: dict[str, StorageError] = {}
        self.link = ConnectionStatus(ConnectionState.CONNECTED, START)
        self.on_list: Callable[[], None] = lambda: None
        self.lost_answer: StorageError | None = None
        self.refusal: StorageError | None = None
        self.one_of_a_kind = False  # whether a job is not run again while one that equals it is in flight
        self.retries = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self._asked = threading.Condition()
        self._watchers: list[Callable[[ConnectionStatus], None]] = []

    # ---- for the test

    def put(self, space: str, job_id: int, status: Status = Status.RUNNING, command: str = "flush") -> None:
        """Add a job, or change its status."""
        before = self.there[space].get(job_id)
        start = before.start if before is not None and before.start else START
        task = Task(0, "10.0.0.5", status, start=start, stop=START if status.ended else None)
        queued = status is Status.QUEUE
        self.there[space][job_id] = ClusterJob(
            job_id,
            before.command if before is not None else command,
            status,
            start=None if queued else start,
            stop=START if status.ended else None,
            tasks=() if queued else (task,),
        )

    def change(self, space: str, job_id: int, **changes: object) -> None:
        # fields by name
        self.there[space][job_id] = replace(self.there[space][job_id], **changes)  # type: ignore[arg-type]

    def set_connection(self, state: ConnectionState, address: str = "", detail: str = "") -> None:
        self.link = ConnectionStatus(state, START, address, detail)
        for watcher in [*self._watchers]:
            watcher(self.link)

    # ---- ClusterJobManager

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        self._watchers.append(listener)
        return lambda: self._watchers.remove(listener)

    async def start(self) -> None: ...

    async def ready(self) -> None:
        if self.link.state is not ConnectionState.CONNECTED:
            raise StorageError(ErrorCode.UNREACHABLE, "", "", "no connection to the cluster")

    def retry_now(self) -> None:
        with self._asked:
            self.retries += 1
            self._asked.notify_all()

    async def close(self) -> None: ...

    async def spaces(self) -> tuple[Space, ...]:
        await self._ask("spaces")
        return tuple(Space(name, ("10.0.0.5",)) for name in sorted(self.there))

    async def hosts(self) -> tuple[Host, ...]:
        await self._ask("hosts")
        return tuple(self.hosts_there.values())

    async def layout(self) -> tuple[tuple[Space, ...], tuple[Host, ...]]:
        await self._ask("spaces")
        hosts = tuple(replace(self.hosts_there[name], spaces=len(self.there)) for name in self.hosts_there)
        return tuple(Space(name, (*self.hosts_there,)) for name in sorted(self.there)), hosts

    async def stats(self, space: str, host: str) -> SpaceStats:
        found = self.sizes.get(host)
        if found is None:
            raise StorageError(ErrorCode.UNSUPPORTED, host, space, "no sizes here")
        return found

    async def figures(self, space: str, host: str) -> CompactionFigures:
        return CompactionFigures()

    async def jobs(self, space: str, since: int = 0) -> tuple[ClusterJob, ...]:
        await self._ask(f"jobs {space}", space)
        self.on_list()
        jobs = [replace(job, tasks=None) for job in self.there[space].values() if job.id > since]
        return tuple(sorted(jobs, key=lambda job: -job.id))

    async def list_jobs(self, space: str, known: str) -> tuple[tuple[ClusterJob, ...] | None, str]:
        jobs = await self.jobs(space)
        digest = repr(jobs)
        return (None if digest == known else jobs), digest

    async def show(self, space: str, job: int) -> ClusterJob:
        await self._ask(f"show {space} {job}", space)
        if job not in self.there.get(space, {}):
            raise StorageError(ErrorCode.REJECTED, "", space, "Job not existed in chosen space!")
        return self.there[space][job]

    async def submit(self, command: str, space: str) -> int:
        await self._ask(f"submit {command} {space}", space)
        self._refuse()
        for job in self.there[space].values():
            if job.command == command and not job.status.ended:
                job_id = job.id
                break
        else:
            job_id = max((job for jobs in self.there.values() for job in jobs), default=0) + 1
            self.put(space, job_id, command=command)
        await self._answer()
        return job_id

    async def stop(self, space: str, job: int) -> None:
        await self._ask(f"stop {space} {job}", space)
        self._refuse()
        self.put(space, job, Status.STOPPED)
        await self._answer()

    async def recover(self, space: str, jobs: Sequence[int] = ()) -> int:
        await self._ask(f"recover {space} {[*jobs]}", space)
        self._refuse()
        there = self.there[space]
        in_flight = {job.command for job in there.values() if not job.status.ended and self.one_of_a_kind}
        fit = [
            job
            for job in jobs or there
            if job in there
            and there[job].status in (Status.FAILED, Status.STOPPED)
            and there[job].command not in in_flight
        ]
        for job in fit:
            self.put(space, job, Status.QUEUE)
        await self._answer()
        return len(fit)

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait, from a test's thread, until the requests so far satisfy the condition."""
        with self._asked:
            assert self._asked.wait_for(condition, WAIT), self.asked[-10:]

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def _answer(self) -> None:
        await self.answers.wait()
        if self.lost_answer is not None:
            raise self.lost_answer

    async def _ask(self, question: str, space: str = "") -> None:
        await self.ready()
        with self._asked:
            self.asked.append(question)
            self._asked.notify_all()
        error = self.errors.get(space) or self.errors.get("")
        if error is not None:
            raise error
