"""An engine over the real history and a scripted mirror of a cluster."""

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
from tests.support.engines import WAIT, Bench, Heard
from tests.support.scripted_mirror import ScriptedMirror

T = TypeVar("T")


class MirrorBench(Bench):
    """A bench whose work is the cluster's, which is looked at when a test says so: the clock stands still."""

    def __init__(self, engine: LocalClient, mirror: ScriptedMirror, clock: FakeClock) -> None:
        self.engine, self.mirror, self.clock = engine, mirror, clock
        self.heard = Heard(engine)
        self.session = Session(None, Path("/"))

    def cluster(self, act: Callable[[ScriptedMirror], T]) -> T:
        """Have something happen on the cluster, and have it seen."""

        async def happen() -> T:
            done = act(self.mirror)
            assert self.engine.engine.sync is not None
            self.engine.engine.sync.poll_soon()
            return done

        return self.engine.call(happen()).result(WAIT)

    def caught_up(self) -> None:
        """Wait until the first look at the cluster is in the history."""
        assert self.engine.wait_connected(1e9, whole=True).result(WAIT)

    def seen(self) -> None:
        """Wait until the cluster, as it is now, has been looked at and taken in."""
        looked = self.mirror.asked.count("spaces")
        self.cluster(lambda mirror: None)
        self.clock.wait_for_sleepers(1)
        self.clock.advance(10)
        self.mirror.wait_for(lambda: self.mirror.asked.count("spaces") > looked)
        self.clock.wait_for_sleepers(1)

    def of(self, space: str, cluster_id: int) -> list[Job]:
        """Our jobs of that origin, oldest first, as they are."""
        found = []
        for job_id in range(1, self.engine.history.last_id() + 1):
            job = self.engine.job(job_id)
            if job is not None and job.origin is not None and (job.space, job.origin.id) == (space, cluster_id):
                found.append(job)
        return found

    @property
    def links(self) -> list[str]:
        return [m.connection.state.value for m in self.heard.messages if isinstance(m, ConnectionChanged)]


@contextmanager
def mirror_bench(root: Path, mirror: ScriptedMirror, clock: FakeClock | None = None) -> Iterator[MirrorBench]:
    clock = clock or FakeClock()
    engine = LocalClient.open(Profile("prod", root), clock=clock, job_manager=mirror)
    try:
        yield MirrorBench(engine, mirror, clock)
    finally:
        engine.close()


def ended_on(prod: MirrorBench, cluster_id: int, status: Status) -> Job:
    """Job 1 of ours, which others submitted and which has ended."""
    prod.cluster(lambda mirror: mirror.put("nba", cluster_id, status, "compact"))
    return prod.heard.until(1, status)


def lost() -> StorageError:
    """An answer that was lost: nobody knows what became of the order."""
    return StorageError(ErrorCode.UNREACHABLE, "", "nba", "the connection broke", outcome_unknown=True)


def refusal(words: str = "The job type do not support stopping") -> StorageError:
    """The cluster says no."""
    return StorageError(ErrorCode.REJECTED, "", "nba", words)
