"""The time until the screen is up to date: after many changes, and after one change is on disk."""

from __future__ import annotations

from typing import Final

from benchmarks.dashboards import JOBS, Dashboard, dashboard
from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.history_data import newest
from benchmarks.homes import long_home
from benchmarks.keys import begin_work, busy_app
from benchmarks.launch import EMPTY
from benchmarks.screen import launched
from benchmarks.storage_doubles import StormyStorage

_RATE: Final = 10_000
_KEYS: Final = 8


@figure(
    "end of a storm of 10,000 changes a second to the true state ÷ the empty app's key",
    goal=at_most(3),
    absolute=at_most(0.1),
)
def after_the_storm(run: Run) -> Outcome:
    """Every task reports its last progress as the storm ends; the state is true when every job's row shows it.

    The yardstick is the slowest of some keys of the empty app with as many changes: it waits for a frame, too.
    """
    last = f"{StormyStorage.at_rest:.0%}"
    ours, theirs, came = [], [], 0.0
    with dashboard(long_home(run), newest(run)) as on, busy_app(run, _RATE) as other:
        begin_work(on)
        for _ in range(2 if run.quick else 7):
            on.request(f"storm {_RATE}")
            on.screen.read(1.0 if run.quick else 2.0)
            on.request("rest")
            ended, came = on.await_report("rested")
            on.screen.read(1.5)
            shown = next(
                frame.at
                for frame, screen in on.screen.replayed()
                if frame.at > ended and sum(last in line for line in screen.display if "made_" in line) >= JOBS
            )
            ours.append(shown - ended)
            theirs.append(max(other.keys(_KEYS)))
    return Outcome.ratio(ours, theirs, f"{JOBS} jobs of 3 tasks; {came:,.0f} changes a second came")


@figure(
    "a change of status, from the disk to the screen ÷ the empty app's key",
    goal=at_most(4),
    absolute=at_most(0.022),
)
def disk_to_screen(run: Run) -> Outcome:
    """From the moment when the commit is durable to the end of the frame that shows `finished`."""
    ours, theirs = [], []
    home = long_home(run)
    with dashboard(home, newest(run)) as on, launched(EMPTY, home.environment, "Ready") as other:
        begin_work(on)
        other.presses("down", 3)
        for number in range(3 if run.quick else JOBS):
            ours.append(_shown(on, number))
            theirs.append(sorted(other.presses("down", 5))[2])
    return Outcome.ratio(ours, theirs, f"slowest {max(ours) * 1e3:.1f} ms")


def _shown(on: Dashboard, number: int) -> float:
    on.screen.text()
    on.request(f"finish made_{number:02d}")
    (durable,) = on.await_report("on_disk")
    on.screen.read(0.5 + 0.02 * number)  # at another moment of the screen's second each time
    finished = [
        frame.at
        for frame, screen in on.screen.replayed()
        if any(f"made_{number:02d}" in line and "finished" in line for line in screen.display)
    ]
    on.screen.quiet(0.5)
    return finished[0] - durable
