"""An engine over the real history and a scripted cluster that manages its jobs itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionChanged, Job, Status
from tests.support.clock import FakeClock
from tests.support.engines import WAIT, Bench, EventLog
from tests.support.scripted_manager import ScriptedManager

T = TypeVar("T")


class ClusterBench(Bench):
    """A bench whose jobs a cluster runs. The cluster is polled only when a test requests it."""

    def __init__(self, engine: LocalClient, manager: ScriptedManager, clock: FakeClock) -> None:
        self.engine, self.manager, self.clock = engine, manager, clock
        self.events = EventLog(engine)
        self.session = Session(None, Path("/"))

    def cluster(self, act: Callable[[ScriptedManager], T]) -> T:
        """Let something happen on the cluster, and poll it."""

        async def happen() -> T:
            done = act(self.manager)
            assert self.engine.engine.sync is not None
            self.engine.engine.sync.poll_soon()
            return done

        return self.engine.call(happen()).result(WAIT)

    def caught_up(self) -> None:
        """Wait until the first poll of the cluster is in the history."""
        assert self.engine.wait_connected(1e9, caught_up=True).result(WAIT)

    def seen(self) -> None:
        """Wait until the cluster's current state has been polled and recorded."""
        looked = self.manager.asked.count("spaces")
        self.cluster(lambda manager: None)
        self.clock.wait_for_sleepers(1)
        self.clock.advance(10)
        self.manager.wait_for(lambda: self.manager.asked.count("spaces") > looked)
        self.clock.wait_for_sleepers(1)

    def of(self, space: str, cluster_id: int) -> list[Job]:
        """Return our jobs with that origin, oldest first."""
        found = []
        for job_id in range(1, self.engine.history.last_id() + 1):
            job = self.engine.job(job_id)
            if job is not None and job.origin is not None and (job.space, job.origin.id) == (space, cluster_id):
                found.append(job)
        return found

    @property
    def links(self) -> list[str]:
        return [m.connection.state.value for m in self.events.messages if isinstance(m, ConnectionChanged)]


@contextmanager
def cluster_bench(
    root: Path, manager: ScriptedManager, clock: FakeClock | None = None
) -> Iterator[ClusterBench]:
    clock = clock or FakeClock()
    engine = LocalClient.open(Profile("prod", root), clock=clock, job_manager=manager)
    try:
        yield ClusterBench(engine, manager, clock)
    finally:
        engine.close()


def ended_on(prod: ClusterBench, cluster_id: int, status: Status) -> Job:
    """Return our job 1, which another user submitted and which has ended."""
    prod.cluster(lambda manager: manager.put("nba", cluster_id, status, "compact"))
    return prod.events.until(1, status)


def lost() -> StorageError:
    """Return the error of a request whose answer was lost, so that its outcome is unknown."""
    return StorageError(ErrorCode.UNREACHABLE, "", "nba", "the connection broke", outcome_unknown=True)


def refusal(words: str = "The job type do not support stopping") -> StorageError:
    """Return a refusal of the cluster."""
    return StorageError(ErrorCode.REJECTED, "", "nba", words)
