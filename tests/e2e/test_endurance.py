"""Everything at full speed, ten minutes by --long (else seconds): memory flat, nothing left, history true."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import signal
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jobtui.engine.client import ExecuteResult, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.history import History, Query
from jobtui.model import EventKind, Job, Status
from jobtui.storage.local.backend import LocalStorage

HOSTS: dict[str, Path | None] = {"h1": None, "h2": None, "h3": None}
SPACES = {"nba": "ON 3 HOSTS", "test2": "ON h1, h2", "solo": "ON h3"}
FEW = 40  # jobs under way at which new ones are no longer submitted
GROWTH = 24 << 20  # bytes of memory that the columns of ten minutes' jobs and the allocator may take
INTERRUPTED = "interrupted: jobtui ended while it ran"
WAIT = 60.0
PAGE = 500  # jobs that are held at once

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at the process through /proc")


@pytest.mark.timeout(1200)
def test_minutes_at_full_speed_leak_nothing(tmp_path: Path, long: bool) -> None:
    soak = Soak(tmp_path / "profile", random.Random(20191217))
    others = children()  # the process that forks commands for other tests
    descriptors, end = open_files(), time.monotonic() + (600 if long else 6)
    sizes: list[int] = []
    while time.monotonic() < end:
        with soak.life():
            pause = min(end, time.monotonic() + (20 if long else 2))
            while time.monotonic() < pause:
                soak.step()
        assert children() <= others
        sizes.append(resident())
        soak.check()
    soak.settle()
    assert children() <= others
    assert open_files() <= descriptors + 2
    settled = sizes[len(sizes) // 3]
    assert max(sizes[len(sizes) // 3 :]) - settled < GROWTH, sizes
    print(f"{soak.steps:,} statements, {len(soak.known):,} jobs, {soak.kills} kills, {soak.lives} lives")
    print(f"memory in MiB: {[size >> 20 for size in sizes]}")


class Soak:
    """Drives an engine, and keeps what it acknowledged: `known` are the jobs' ids, in 8 bytes each."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.profile = Profile("soak", root, hosts=HOSTS, compact_rate=24 << 20, task_timeout=30.0)
        self.rng = rng
        self.known = array("q")
        self.steps = self.kills = self.lives = 0

    @contextmanager
    def life(self) -> Iterator[None]:
        """An engine from its start to its end; what runs at the end is interrupted."""
        self.engine = LocalClient.open(self.profile)
        self.session = Session(None, Path("/"))
        self.lives += 1
        try:
            if self.lives == 1:
                for name, path in SPACES.items():
                    assert self.execute(f"CREATE SPACE {name} {path}").failure is None
            yield
        finally:
            self.engine.close()

    def step(self) -> None:
        """One thing of what may happen."""
        rng = self.rng.random()
        active = self.engine.active_jobs()
        if rng < 0.45 and len(active) < FEW:
            self.submit(f"ADMIN {self.rng.choice(['FLUSH', 'COMPACT'])} {self.rng.choice(list(SPACES))}")
        elif rng < 0.65 and active:
            self.execute(f"STOP JOB {self.rng.choice(active).id}")
        elif rng < 0.70 and len(active) < FEW:
            self.submit("RECOVER JOB")
        elif rng < 0.73 and self.known:
            self.execute(f"BACKUP JOB 0 {self.rng.randrange(self.known[-1])}")
        elif rng < 0.80:
            self.load()
        elif rng < 0.82:
            self.kill()
        else:
            texts = (
                "SHOW JOBS",
                "SHOW HOSTS",
                "SHOW SPACES",
                "SHOW FAILED JOBS LIMIT 5",
                "USE nba",
                "SHOW JBO",
            )
            self.execute(self.rng.choice(texts))

    def submit(self, text: str) -> None:
        answer = self.execute(text)
        assert answer.failure is None, answer.failure
        for job_id in answer.jobs:
            assert not self.known or job_id > self.known[-1], "ids rise"
            self.known.append(job_id)

    def execute(self, text: str) -> ExecuteResult:
        self.steps += 1
        return self.engine.execute(text, self.session).result(WAIT)

    def load(self) -> None:
        pairs = [(b"%06d" % self.rng.randrange(5_000), self.rng.randbytes(1_000)) for _ in range(300)]
        load = self.engine.load(self.rng.choice(list(SPACES)), pairs)
        failure = load.exception(WAIT)
        assert failure is None or "SIGKILL" in str(failure) or "dying" in str(failure), failure

    def kill(self) -> None:
        """A worker, as the system does where memory runs out."""
        assert isinstance(self.engine.engine.storage, LocalStorage)
        pid = self.engine.engine.storage.worker(self.rng.choice(list(HOSTS)), adopted=False).pid
        with suppress(ProcessLookupError):  # it may have died of the last one only now
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self.kills += 1

    def settle(self) -> None:
        """A last life in which nothing is disturbed."""
        with self.life():
            self.engine.wait_idle().result(300)
            assert self.engine.active_jobs() == ()
        self.check()

    def check(self) -> None:
        """What is on disk against what was acknowledged."""
        found = array("q")
        history = History.open(self.profile.history, write=False)
        try:
            assert history.notes == ()
            for view in (history.query(Query()), history.query(Query(archived=True))):
                for start in range(0, len(view), PAGE):
                    for job in view.page(start, PAGE):
                        is_true(job)
                        found.append(job.id)
        finally:
            history.close()
        assert sorted(found) == list(self.known)


def is_true(job: Job) -> None:
    """Whether the job's record agrees with itself."""
    assert [event.kind for event in job.events].count(EventKind.STARTED) <= 1
    if job.status.ended:
        assert all(task.status.ended for task in job.tasks)
    match job.status:
        case Status.FINISHED:
            assert {task.status for task in job.tasks} == {Status.FINISHED}
        case Status.FAILED:
            died = "SIGKILL" in job.reason or "keeps dying" in job.reason
            assert died or job.reason == INTERRUPTED, job.reason
        case Status.STOPPED:
            assert any(event.kind is EventKind.STOP_ASKED for event in job.events)
    assert job.took is None or job.took >= 0


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has just ended
            found.update(int(child) for child in (task / "children").read_text().split())
    return found


def resident() -> int:
    """Return the bytes of memory in use, after the allocator has returned free memory to the system."""
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
