"""The time from a command to the first page of a long history on screen, compared with an empty Textual app."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.history_data import count_of
from benchmarks.homes import long_home
from benchmarks.screen import Screen

EMPTY = [sys.executable, "-m", "benchmarks._empty_app"]


@figure("launch to first paint, 1,000,000 jobs of history ÷ an empty Textual app", goal=at_most(1.3))
def first_paint(run: Run) -> Outcome:
    """The newest job is on screen when it counts as painted."""
    home = long_home(run)
    newest = str(count_of(run))
    ours, theirs = [], []
    for turn in range(4 if run.quick else 21):
        for command, text, times in (
            (home.jobtui(), newest, ours),
            (EMPTY, "Ready", theirs),
        )[:: 1 if turn % 2 else -1]:
            times.append(_painted(command, text, home.environment))
    ratios = [
        mine / other for mine, other in zip(ours[1:], theirs[1:], strict=True)
    ]  # the first warms the files
    return Outcome.of(
        ratios,
        f"{statistics.median(ours[1:]) * 1e3:.0f} ms; empty app {statistics.median(theirs[1:]) * 1e3:.0f} ms",
    )


def _painted(command: Sequence[str], text: str, environment: dict[str, str]) -> float:
    with Screen(command, environment) as screen:
        return screen.shows(text).at - screen.begun
