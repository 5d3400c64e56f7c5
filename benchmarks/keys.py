"""From a key to the frame that shows its effect, with a million rows: quiet, and with changes on every row.

What each frame shows is read from the frames afterwards, by a terminal emulator: a key counts as answered by
the first frame in which the cursor has moved as far as the keys sent so far move it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import msgspec

from benchmarks.dashboards import JOBS, Dashboard, dashboard
from benchmarks.figures import Outcome, Run, at_most, figure, milliseconds, once
from benchmarks.history_data import newest
from benchmarks.homes import fresh_home, long_home
from benchmarks.launch import EMPTY
from benchmarks.screen import Screen, launched, row_of
from jobtui.tui.themes import DARK

CURSOR: Final = DARK.variables["cursor"].lstrip("#")
"""The cursor's background in the theme that a new user has."""
_ROUND: Final = 8
_GAP: Final = 0.08
_CAUGHT_UP: Final = 0.7
_P50: Final = 50
_P99: Final = 99


@once
def _quiet(run: Run) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Return seconds for cursor down, for paging, and for the empty app's key; a list a round."""
    home = long_home(run)
    moves, pages, empty = [], [], []
    with (
        launched(home.jobtui(), home.environment, newest(run)) as ours,
        launched(EMPTY, home.environment, "Ready") as theirs,
    ):
        ours.presses("down", 3)
        theirs.presses("down", 3)
        for _ in range(3 if run.quick else 10):
            ours.press("home")
            ours.quiet(0.2)
            moves.append(moved(ours))
            empty.append(theirs.presses("down", 2 * _ROUND, _GAP))
            ours.press("end")
            ours.quiet(0.2)
            pages.append(ours.presses("page up", _ROUND, _GAP) + ours.presses("page down", _ROUND, _GAP))
    return moves, pages, empty


def moved(screen: Screen) -> list[float]:
    """Return seconds to the frame that shows it, for keys that move the cursor down and up again."""
    times: list[float] = []
    for key, step in (("down", 1), ("up", -1)):
        start = screen.row_of(CURSOR)
        if start is None:
            raise RuntimeError(f"there is no cursor:\n{screen.text()}")
        screen.read(_CAUGHT_UP)  # nothing was read while the frames were looked at
        sent = []
        for _ in range(_ROUND):
            sent.append(screen.send(key))
            screen.read(_GAP)
        screen.read(0.3)
        times += _answered(screen, sent, start, step)
    return times


def _answered(screen: Screen, sent: list[float], start: int, step: int) -> Iterator[float]:
    number = 0
    for frame, painted in screen.replayed():
        row = row_of(painted, CURSOR)
        while (
            row is not None and number < len(sent) and frame.at > sent[number] and (row - start) * step > number
        ):
            yield frame.at - sent[number]
            number += 1
    if number < len(sent):
        raise RuntimeError(f"{len(sent) - number} of {len(sent)} keys were never answered:\n{screen.text()}")


def percentile(times: Sequence[float], percent: int) -> float:
    """Return the time that this percentage of the keys keeps."""
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]


def _ratio(ours: list[list[float]], theirs: list[list[float]], percent: int, note: str = "") -> Outcome:
    """Return the ratio of the percentiles of all keys, and the extremes of the rounds."""
    each = [
        percentile(mine, percent) / percentile(other, percent) for mine, other in zip(ours, theirs, strict=True)
    ]
    everything = [*chain(*ours)]
    mine, other = percentile(everything, percent), percentile([*chain(*theirs)], percent)
    text = (
        f"{milliseconds(mine)}; empty app {milliseconds(other)}; {len(everything)} keys, "
        f"slowest {milliseconds(max(everything))}"
    )
    return Outcome(mine / other, min(each), max(each), len(each), f"{text}; {note}" if note else text)


@figure("cursor down to its frame, 1,000,000 rows, p50 ÷ the empty app's key", goal=at_most(1.5))
def cursor_down(run: Run) -> Outcome:
    moves, _, empty = _quiet(run)
    return _ratio(moves, empty, _P50)


@figure("a page up or down to its frame, 1,000,000 rows, p50 ÷ the empty app's key", goal=at_most(3))
def page(run: Run) -> Outcome:
    _, pages, empty = _quiet(run)
    return _ratio(pages, empty, _P50)


@figure("cursor to its frame, p99, quiet ÷ the empty app's key, p99", goal=at_most(2))
def quiet(run: Run) -> Outcome:
    moves, _, empty = _quiet(run)
    return _ratio(moves, empty, _P99)


@figure("cursor to its frame, p99, 500 changes a second ÷ the empty app with as many", goal=at_most(3))
def busy(run: Run) -> Outcome:
    return _stormy(run, 500)


@figure("cursor to its frame, p99, 10,000 changes a second ÷ the empty app with as many", goal=at_most(3))
def stormy(run: Run) -> Outcome:
    return _stormy(run, 10_000)


def _stormy(run: Run, rate: int) -> Outcome:
    """All changes are on visible rows; at any time only one of the two apps has changes."""
    ours, theirs, came, pace = [], [], 0.0, 0.0
    with dashboard(long_home(run), newest(run)) as on, busy_app(run, rate) as other:
        begin_work(on)
        for _ in range(3 if run.quick else 8):
            on.request(f"storm {rate}")
            on.screen.read(0.5)
            begun = time.monotonic()
            ours.append(moved(on.screen))
            on.request("rest")
            _, came = on.await_report("rested")
            painted = [frame.at for frame in on.screen.frames if frame.at > begun]
            pace = len(painted) / (painted[-1] - begun)
            theirs.append(other.keys(2 * _ROUND))
    note = f"{came:,.0f} changes a second came, {pace:.0f} frames a second were painted"
    return _ratio(ours, theirs, _P99, note)


class BusyApp(msgspec.Struct):
    """The empty app with changes, which is suspended while it is not measured."""

    screen: Screen
    count: int = 0

    def keys(self, count: int) -> list[float]:
        """Return the seconds from each of this many keys to the frame that shows its number."""
        os.killpg(self.screen.process.pid, signal.SIGCONT)
        self.screen.read(0.3)
        times = []
        for _ in range(count):
            self.count += 1
            since = len(self.screen.frames)
            sent = self.screen.send("down")
            times.append(self.screen.shows(f"{self.count} down", since).at - sent)
            self.screen.read(_GAP)
        self.suspend()
        return times

    def suspend(self) -> None:
        """Suspend the process."""
        os.killpg(self.screen.process.pid, signal.SIGSTOP)


@contextlib.contextmanager
def busy_app(run: Run, rate: int) -> Iterator[BusyApp]:
    """Start the empty app with this many changes per second, and suspend it."""
    with Screen([*EMPTY, "busy", str(rate)], fresh_home(run).environment) as screen:
        screen.shows("Ready")
        screen.read(1.0)  # it is never quiet
        app = BusyApp(screen)
        app.suspend()
        try:
            yield app
        finally:
            os.killpg(screen.process.pid, signal.SIGCONT)


def begin_work(on: Dashboard) -> None:
    """Have as many jobs run as fit on screen, and the cursor on the first."""
    on.request("run")
    on.await_report("running")
    on.screen.read(1.2)  # it is never quiet: the times of running jobs change each second
    on.screen.press("home")
    on.screen.read(1.2)
    shown = on.screen.text()
    if shown.count("made_") < JOBS:
        raise RuntimeError(f"not all jobs are on screen:\n{shown}")
