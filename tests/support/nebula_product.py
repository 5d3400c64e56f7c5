"""jobtui on a cluster of doubles: the command in its own process, and the engine in this one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobtui.clock import Clock, SystemClock
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.storage.nebula.job_manager import GraphdJobManager
from jobtui.storage.nebula.poller import INTERVAL_SECONDS, SPACES_SECONDS
from tests.support.clock import FakeClock
from tests.support.commands import CommandLine
from tests.support.engines import WAIT, Bench, EventLog
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula import settings_for
from tests.support.nebula_cluster import Cluster

HASTE = 20.0
PASSWORD = "nebula"


class NebulaCommand(CommandLine):
    """The command `jobtui --nebula … -u root` with the password in the environment."""

    def __init__(self, home: Path, *graphds: GraphdDouble, password: str | None = PASSWORD) -> None:
        super().__init__(home)
        self.graphds = ",".join(f"127.0.0.1:{graphd.port}" for graphd in graphds)
        if password is not None:
            self.environment["JOBTUI_NEBULA_PASSWORD"] = password

    def words(self, *words: str | Path) -> list[str]:
        return [*super().words("--nebula", self.graphds, "-u", "root"), *map(str, words)]


class HastyClock(SystemClock):
    """A clock that runs twenty times as fast."""

    def steady(self) -> float:
        return time.monotonic() * HASTE

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / HASTE)


class Hours:
    """The clocks of jobtui and of the cluster, which advance together while the poller rests."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.clock = FakeClock()
        self.passed = 0.0

    def advance(self, seconds: float) -> None:
        self.clock.wait_for_sleep(INTERVAL_SECONDS)
        self.cluster.tick(seconds)
        self.clock.advance(seconds)
        self.passed += seconds

    def poll(self) -> None:
        """Advance until the poller has asked for the running job again."""
        before = self.count("SHOW JOB 1")
        while self.count("SHOW JOB 1") == before:
            self.advance(INTERVAL_SECONDS)

    def most_statements(self, *, since: float) -> float:
        """Return how many statements one poller sends at most while one job runs.

        A list and the job each second, and spaces and hosts each five seconds.
        """
        rounds = (self.passed - since) / INTERVAL_SECONDS + 2
        layouts = (self.passed - since) / SPACES_SECONDS + 2
        return 2 * rounds + 2 * layouts

    def count(self, words: str) -> int:
        return sum(statement.endswith(words) for statement in self.cluster.statements)


class ClusterBench(Bench):
    """An engine that works on a cluster of doubles through the real client."""

    def __init__(self, engine: LocalClient) -> None:
        self.engine = engine
        self.events = EventLog(engine)
        self.session = Session(None, Path("/"))

    def caught_up(self) -> None:
        assert self.engine.wait_connected(WAIT * HASTE, caught_up=True).result(WAIT)


@contextmanager
def working_on(
    *graphds: GraphdDouble, root: Path, clock: Clock | None = None, **changes: Any
) -> Iterator[ClusterBench]:
    clock = clock or HastyClock()
    manager = GraphdJobManager(settings_for(*graphds, **changes), clock=clock)
    engine = LocalClient.open(Profile("prod", root), clock=clock, job_manager=manager)
    try:
        yield ClusterBench(engine)
    finally:
        engine.close()
