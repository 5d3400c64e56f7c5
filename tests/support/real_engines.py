"""An engine over real databases and worker processes, and functions that wait for its messages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from jobtui.engine.client import ExecuteResult, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.model import Job
from jobtui.storage.base import STEP_BYTES
from jobtui.storage.local.backend import LocalStorage
from tests.support.engines import EventLog

WAIT = 60.0
TWO: Mapping[str, Path | None] = {"h1": None, "h2": None}


class RealBench:
    """An engine with its session and published messages."""

    def __init__(self, engine: LocalClient) -> None:
        self.engine = engine
        self.events = EventLog(engine)
        self.session = Session(None, Path("/"))

    def execute(self, text: str) -> ExecuteResult:
        return self.engine.execute(text, self.session).result(WAIT)

    def submitted(self, text: str) -> tuple[int, ...]:
        """Execute a text that must succeed, and return the ids of its jobs."""
        answer = self.execute(text)
        assert answer.failure is None, answer.failure
        return answer.jobs

    def ended(self, *jobs: int) -> tuple[Job, ...]:
        return self.engine.wait_ended(jobs).result(WAIT)

    def done(self, text: str) -> Job:
        """Execute a text, wait for its last job, and return it."""
        return self.ended(self.submitted(text)[-1])[0]

    def moving(self, job_id: int) -> None:
        """Wait until each host of the job is at work."""
        self.events.wait_for(
            lambda: any(
                m.job.id == job_id and m.job.progress and all(task.progress is not None for task in m.job.tasks)
                for m in self.events.progress
            )
        )

    def fill(self, space: str, megabytes: float, layers: int = 2) -> list[tuple[bytes, bytes]]:
        """Load the space this many times with a flush after each, and return its pairs."""
        pairs: list[tuple[bytes, bytes]] = []
        for _ in range(layers):
            pairs = [(b"%08d" % n, os.urandom(1000)) for n in range(int(megabytes * 1000))]
            self.engine.load(space, pairs).result(WAIT)
            self.done(f"ADMIN FLUSH `{space}`")
        return pairs

    def dump(self, space: str = "nba") -> list[tuple[bytes, bytes]]:
        """Return the space's pairs in key order."""
        return list(self.engine.dump(space))

    def worker(self, host: str) -> int:
        """Return the process id of a host's worker."""
        assert isinstance(self.engine.engine.storage, LocalStorage)
        pid = self.engine.engine.storage.worker(host, adopted=False).pid
        assert pid is not None
        return pid


@contextmanager
def real_bench(
    root: Path,
    *,
    hosts: Mapping[str, Path | None] = TWO,
    rate: int | None = None,
    task_timeout: float | None = None,
    step_size: int = STEP_BYTES,
) -> Iterator[RealBench]:
    profile = Profile(
        "local", root, hosts=hosts, compact_rate=rate, task_timeout=task_timeout, step_size=step_size
    )
    engine = LocalClient.open(profile)
    try:
        yield RealBench(engine)
    finally:
        engine.close()
