"""A mirror of a cluster that is a few dictionaries: jobs come, change and go as a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from jobtui.model import Status, Task
from jobtui.storage.base import (
    Capabilities,
    Code,
    Host,
    Link,
    LinkState,
    MirroredJob,
    Space,
    StorageError,
)

START = datetime(2019, 12, 17, 9, 21, 30, tzinfo=UTC)


class ScriptedMirror:
    """`asked` is every question in its order. `trouble` is what asking of a space, or of any (""), comes to."""

    cluster = "prod"
    capabilities = Capabilities(exact_progress=False, real_stop=False, create=False, load=False)

    def __init__(self, spaces: Sequence[str] = ("nba",)) -> None:
        self.there: dict[str, dict[int, MirroredJob]] = {space: {} for space in spaces}
        self.asked: list[str] = []
        self.trouble: dict[str, StorageError] = {}
        self.link = Link(LinkState.CONNECTED, START)
        self.on_list: Callable[[], None] = lambda: None
        self.lost_answer: StorageError | None = None
        self._watchers: list[Callable[[Link], None]] = []

    # ---- for the test

    def put(self, space: str, job_id: int, status: Status = Status.RUNNING, command: str = "flush") -> None:
        """A job that is new, or has another status now."""
        before = self.there[space].get(job_id)
        start = before.start if before is not None and before.start else START
        task = Task(0, "10.0.0.5", status, start=start, stop=START if status.ended else None)
        queued = status is Status.QUEUE
        self.there[space][job_id] = MirroredJob(
            job_id,
            before.command if before is not None else command,
            status,
            start=None if queued else start,
            stop=START if status.ended else None,
            tasks=() if queued else (task,),
        )

    def change(self, space: str, job_id: int, **changes: object) -> None:
        self.there[space][job_id] = replace(self.there[space][job_id], **changes)  # type: ignore[arg-type]

    def tell(self, state: LinkState) -> None:
        self.link = Link(state, START)
        for watcher in [*self._watchers]:
            watcher(self.link)

    # ---- JobMirror

    def watch(self, listener: Callable[[Link], None]) -> Callable[[], None]:
        self._watchers.append(listener)
        return lambda: self._watchers.remove(listener)

    async def start(self) -> None: ...

    async def ready(self) -> None:
        if self.link.state is not LinkState.CONNECTED:
            raise StorageError(Code.UNREACHABLE, "", "", "no connection to the cluster")

    def retry_now(self) -> None: ...

    async def close(self) -> None: ...

    async def spaces(self) -> tuple[Space, ...]:
        await self._ask("spaces")
        return tuple(Space(name, ("10.0.0.5",)) for name in sorted(self.there))

    async def hosts(self) -> tuple[Host, ...]:
        await self._ask("hosts")
        return (Host("10.0.0.5", True),)

    async def jobs(self, space: str, since: int = 0) -> tuple[MirroredJob, ...]:
        await self._ask(f"jobs {space}", space)
        self.on_list()
        jobs = [replace(job, tasks=None) for job in self.there[space].values() if job.id > since]
        return tuple(sorted(jobs, key=lambda job: -job.id))

    async def show(self, space: str, job: int) -> MirroredJob:
        await self._ask(f"show {space} {job}", space)
        if job not in self.there.get(space, {}):
            raise StorageError(Code.REJECTED, "", space, "Job not existed in chosen space!")
        return self.there[space][job]

    async def submit(self, command: str, space: str) -> int:
        await self._ask(f"submit {command} {space}", space)
        job_id = max((job for jobs in self.there.values() for job in jobs), default=0) + 1
        self.put(space, job_id, command=command)
        if self.lost_answer is not None:
            raise self.lost_answer
        return job_id

    async def stop(self, space: str, job: int) -> None:
        await self._ask(f"stop {space} {job}", space)
        self.put(space, job, Status.STOPPED)

    async def recover(self, space: str, jobs: Sequence[int] = ()) -> int:
        await self._ask(f"recover {space} {[*jobs]}", space)
        fit = [job for job in jobs or self.there[space] if self.there[space][job].status is not Status.FINISHED]
        for job in fit:
            self.put(space, job, Status.QUEUE)
        return len(fit)

    async def _ask(self, question: str, space: str = "") -> None:
        await self.ready()
        self.asked.append(question)
        trouble = self.trouble.get(space) or self.trouble.get("")
        if trouble is not None:
            raise trouble
