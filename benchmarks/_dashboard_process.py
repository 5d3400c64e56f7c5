"""The dashboard with a real engine and history, and a storage that a benchmark controls.

    python -m benchmarks._dashboard_process PROFILE-DIRECTORY SPACES

Requests arrive on descriptor 3, a line each; reports with their time (time.monotonic) go to descriptor 4. `run`
submits a job for each space, `storm RATE` makes the tasks report so often per second, `rest` ends the storm,
`finish SPACE` ends the tasks of a space, `watch` begins to time the event loop, `gap` reports the longest time
for which it was blocked since.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.storage_doubles import HOSTS, StormyStorage
from jobtui.cli.main import SWITCH_SECONDS
from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.model import Job
from jobtui.tui import app as application
from jobtui.tui import launch

_REQUESTS, _REPORTS = 3, 4
_BEAT = 0.001
_STORM_STEP = 0.005


class Controller:
    """A thread that carries out the requests."""

    def __init__(self, engine: LocalClient, storage: StormyStorage, spaces: int) -> None:
        self.engine, self.storage = engine, storage
        self.spaces = spaces
        self.worst_gap = 0.0
        self.watching = False
        self._storming = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with open(_REQUESTS, encoding="ascii") as requests:
            for line in requests:
                verb, *words = line.split()
                getattr(self, f"_{verb}")(*words)

    def _run(self) -> None:
        session = Session(None, Path("/"))
        for number in range(self.spaces):
            self.engine.execute(f"ADMIN COMPACT {space_name(number)}", session).result()
        while self.storage.running < self.spaces * len(HOSTS):
            time.sleep(0.01)  # the double has no event for a task that runs
        report("running")

    def _storm(self, rate: str) -> None:
        self._storming = True
        self.engine.call(self._storm_on(int(rate)))

    async def _storm_on(self, rate: int) -> None:
        begin, reported = time.monotonic(), 0
        while self._storming:
            due = int((time.monotonic() - begin) * rate)
            self.storage.report(due - reported)
            reported = due
            await asyncio.sleep(_STORM_STEP)
        self.storage.rest()
        report("rested", time.monotonic(), reported / (time.monotonic() - begin))

    def _rest(self) -> None:
        self._storming = False

    def _finish(self, space: str) -> None:
        async def finish() -> None:
            self.storage.finish(space)

        self.engine.call(finish()).result()

    def _watch(self) -> None:
        self.worst_gap, self.watching = 0.0, True
        report("watching")

    def _gap(self) -> None:
        self.watching = False
        report("gap", self.worst_gap)


def space_name(number: int) -> str:
    """Return the name of the storage's nth space."""
    return f"made_{number:02d}"


def report(word: str, *values: float) -> None:
    """Send a report."""
    os.write(_REPORTS, f"{word} {' '.join(map(repr, values))}\n".encode())


def main() -> int:
    sys.setswitchinterval(SWITCH_SECONDS)
    root, spaces = Path(sys.argv[1]), int(sys.argv[2])
    storage = StormyStorage(
        {space_name(n): [f"host{len(HOSTS) * n + k}" for k in range(len(HOSTS))] for n in range(spaces)}
    )
    engine = LocalClient.open(Profile("local", root, max_running_jobs=spaces), storage=storage)
    _report_commits(engine)
    controller = Controller(engine, storage, spaces)

    class WatchedApp(application.DashboardApp):
        def on_ready(self) -> None:
            self.beating = asyncio.create_task(_beat(controller))

    # the launcher imports the class from its module, so that another class there is launched
    application.DashboardApp = WatchedApp  # type: ignore[misc]  # a class is no variable to mypy
    try:
        return launch.run(engine, TuiSettings(state_dir=root / "dashboard")).status
    finally:
        engine.close()


async def _beat(controller: Controller) -> None:
    last = time.monotonic()
    while True:
        if not controller.watching:
            await asyncio.sleep(0.05)
            last = time.monotonic()
            continue
        await asyncio.sleep(_BEAT)
        now = time.monotonic()
        controller.worst_gap = max(controller.worst_gap, now - last - _BEAT)
        last = now


def _report_commits(engine: LocalClient) -> None:
    """Report when the end of a job is on disk."""
    commit: Callable[..., Any] = engine.history.commit

    def reporting(*jobs: Job) -> Any:
        done = commit(*jobs)
        if any(job.status.ended for job in jobs):
            done.add_done_callback(lambda _: report("on_disk", time.monotonic()))
        return done

    # the time of a commit is known only to the history's own thread, and no event reports it
    engine.history.commit = reporting  # type: ignore[method-assign]  # replaced for the measurement


if __name__ == "__main__":
    sys.exit(main())
