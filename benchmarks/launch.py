"""The time from a command to the first page of a long history on screen, compared with an empty Textual app."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from benchmarks.figures import Outcome, Run, alternate, at_most, figure, timed
from benchmarks.history_data import huge_count_of, newest, newest_of
from benchmarks.homes import fresh_home, huge_home, long_home
from benchmarks.screen import Screen

EMPTY: Final = [sys.executable, "-m", "benchmarks._empty_app"]
_IMPORT_EMPTY: Final = "import gc; gc.disable(); import benchmarks._empty_app"
_IMPORT_OURS: Final = (
    f"{_IMPORT_EMPTY}; import jobtui.cli.commands.dashboard, jobtui.engine.local, jobtui.tui.app"
)


@figure("launch to first paint, 1,000,000 jobs of history ÷ an empty Textual app", goal=at_most(1.25))
def first_paint(run: Run) -> Outcome:
    """The first frame counts that shows the newest job.

    The limit is that of an app that only imports jobtui's modules, and then paints the empty app's line.
    """
    home = long_home(run)
    ours = partial(painted, home.jobtui(), newest(run), home.environment)
    empty = partial(painted, EMPTY, "Ready", home.environment)
    ours(), empty()  # these read the files
    times, yardstick = alternate(3 if run.quick else 20, ours, empty)
    imports = alternate(
        3 if run.quick else 10,
        partial(_imported, _IMPORT_OURS, home.environment),
        partial(_imported, _IMPORT_EMPTY, home.environment),
    )
    more = statistics.median(mine - other for mine, other in zip(*imports, strict=True))
    least = 1 + more / statistics.median(yardstick)
    return Outcome.ratio(times, yardstick, limit=f"{least:.2f}× with jobtui's imports alone")


@figure("launch to first paint, 10,000,000 jobs of history ÷ without jobs", goal=at_most(1.1))
def first_paint_of_a_huge_history(run: Run) -> Outcome:
    home, empty = huge_home(run), fresh_home(run)
    last = str(newest_of(huge_count_of(run)))
    many = partial(painted, home.jobtui(), last, home.environment)
    none = partial(painted, empty.jobtui(), "No jobs yet", empty.environment)
    many(), none()
    return Outcome.ratio(*alternate(3 if run.quick else 15, many, none))


def painted(command: Sequence[str], text: str, environment: Mapping[str, str]) -> float:
    """Return the seconds from the command to the frame that shows the text."""
    with Screen(command, environment) as screen:
        return screen.shows(text).at - screen.begun


def _imported(code: str, environment: Mapping[str, str]) -> float:
    command = [sys.executable, "-c", code]
    return timed(lambda: subprocess.run(command, env=dict(environment), check=True))
