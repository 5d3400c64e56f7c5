"""The time until the screen is up to date: after many changes, and after one change is on disk."""

from __future__ import annotations

import time

from benchmarks.dashboards import JOBS, Dashboard, dashboard
from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.history_data import count_of
from benchmarks.homes import long_home
from benchmarks.keys import FRAME, begin_work
from benchmarks.storage_doubles import StormyStorage

_RATE = 10_000


@figure("end of a storm of 10,000 changes a second to the true state on screen", goal=at_most(100), unit="ms")
def after_the_storm(run: Run) -> Outcome:
    """Every task says where it rests as the storm ends; done when every job's row says so."""
    rests = f"{StormyStorage.at_rest:.0%}"
    times = []
    with dashboard(long_home(run), str(count_of(run))) as on:
        begin_work(on)
        for _ in range(2 if run.quick else 9):
            on.order(f"storm {_RATE}")
            on.screen.read(1.0 if run.quick else 3.0)
            on.order("rest")
            ended, came = on.await_report("rested")
            on.screen.read(1.5)
            shown = next(
                frame.at
                for frame, screen in on.screen.replayed()
                if frame.at > ended and sum(rests in line for line in screen.display if "made_" in line) >= JOBS
            )
            times.append((shown - ended) * 1e3)
    return Outcome.of(times, f"{JOBS} jobs of 3 tasks; {came:,.0f} changes a second came")


@figure("a change of status, from the disk to the screen", goal=at_most(round(FRAME * 1e3 + 5, 1)), unit="ms")
def disk_to_screen(run: Run) -> Outcome:
    """From the moment that the commit is durable to the end of the frame that says `finished`."""
    times = []
    with dashboard(long_home(run), str(count_of(run))) as on:
        begin_work(on)
        for number in range(3 if run.quick else JOBS):
            times.append(_seen(on, number) * 1e3)
    return Outcome.of(times, f"slowest {max(times):.1f} ms")


def _seen(on: Dashboard, number: int) -> float:
    on.screen.text()
    on.order(f"finish made_{number:02d}")
    (durable,) = on.await_report("on_disk")
    on.screen.read(0.5)
    finished = [
        frame.at
        for frame, screen in on.screen.replayed()
        if any(f"made_{number:02d}" in line and "finished" in line for line in screen.display)
    ]
    on.screen.quiet(0.5)
    time.sleep(0.02 * number)  # not in step with the screen's second
    return finished[0] - durable
