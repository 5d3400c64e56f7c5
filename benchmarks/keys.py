"""From a key to the frame that shows what it did, at a million rows: quiet, and with changes on every row.

What each frame shows is read from the frames afterwards, by a terminal emulator: a key counts as answered by
the first frame in which the cursor has come as far as the keys sent so far move it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain

from benchmarks.dashboards import JOBS, Dashboard, dashboard
from benchmarks.figures import Outcome, Run, at_most, figure, once
from benchmarks.history_data import count_of
from benchmarks.homes import long_home
from benchmarks.launch import EMPTY
from benchmarks.screen import Screen, launched, row_of
from jobtui.tui.themes import DARK

FRAME = 1 / 60
CURSOR = DARK.variables["cursor"].lstrip("#")
"""The cursor's background in the theme that a new user has."""
_ROUND = 8
_GAP = 0.08
_CAUGHT_UP = 0.7
_P50, _P99 = 50, 99


@once
def _quiet(run: Run) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Seconds for cursor down, for scrolling and paging, and for the empty app's key; a list a round."""
    home = long_home(run)
    moves, scrolls, empty = [], [], []
    with (
        launched(home.jobtui(), home.environment, str(count_of(run))) as ours,
        launched(EMPTY, home.environment, "Ready") as theirs,
    ):
        ours.presses("down", 3)
        theirs.presses("down", 3)
        for _ in range(3 if run.quick else 13):
            ours.press("home")
            ours.quiet(0.2)
            moves.append(moved(ours))
            empty.append(theirs.presses("down", 2 * _ROUND, _GAP))
            ours.press("end")
            ours.quiet(0.2)
            scrolls.append(ours.presses("page up", _ROUND, _GAP) + ours.presses("page down", _ROUND, _GAP))
    return moves, scrolls, empty


def moved(screen: Screen, rounds: int = 1) -> list[float]:
    """Seconds to the frame that shows it, for keys that move the cursor down and up again."""
    times = []
    for _ in range(rounds):
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
            times += list(_answered(screen, sent, start, step))
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


def percentile(times: list[float], percent: int) -> float:
    """The time that so many percent keep."""
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]


def _ratio(ours: list[list[float]], theirs: list[list[float]]) -> Outcome:
    ratios = [
        percentile(mine, _P50) / percentile(other, _P50) for mine, other in zip(ours, theirs, strict=True)
    ]
    mine, other = (percentile([*chain(*both)], _P50) * 1e3 for both in (ours, theirs))
    return Outcome.of(ratios, f"{mine:.1f} ms; empty app {other:.1f} ms")


def _frames(times: list[list[float]]) -> Outcome:
    everything = [*chain(*times)]
    worst = percentile(everything, _P99)
    note = (
        f"{len(everything)} keys; p50 {percentile(everything, _P50) * 1e3:.1f} ms, p99 {worst * 1e3:.1f} ms, "
    )
    each = [percentile(one, _P99) / FRAME for one in times]
    return Outcome(
        worst / FRAME, min(each), max(each), len(times), f"{note}slowest {max(everything) * 1e3:.1f} ms"
    )


@figure("cursor down to its frame, 1,000,000 rows, p50 ÷ the empty app's key", goal=at_most(1.3))
def cursor_down(run: Run) -> Outcome:
    moves, _, empty = _quiet(run)
    return _ratio(moves, empty)


@figure("a page up or down to its frame, 1,000,000 rows, p50 ÷ the empty app's key", goal=at_most(3))
def page(run: Run) -> Outcome:
    _, scrolls, empty = _quiet(run)
    return _ratio(scrolls, empty)


@figure("cursor to its frame, p99, quiet", goal=at_most(1), unit="frames")
def quiet(run: Run) -> Outcome:
    moves, _, _ = _quiet(run)
    return _frames(moves)


@figure("cursor to its frame, p99, 500 changes a second on visible rows", goal=at_most(2), unit="frames")
def busy(run: Run) -> Outcome:
    return _stormy(run, 500)


@figure("cursor to its frame, p99, 10,000 changes a second", goal=at_most(3), unit="frames")
def stormy(run: Run) -> Outcome:
    return _stormy(run, 10_000)


def _stormy(run: Run, rate: int) -> Outcome:
    with dashboard(long_home(run), str(count_of(run))) as on:
        begin_work(on)
        on.order(f"storm {rate}")
        on.screen.read(0.5)
        begun = time.monotonic()
        times = [moved(on.screen) for _ in range(3 if run.quick else 13)]
        on.order("rest")
        _, came = on.await_report("rested")
        outcome = _frames(times)
        painted = [frame.at for frame in on.screen.frames if frame.at > begun]
        pace = len(painted) / (painted[-1] - begun)
    note = f"{outcome.note}; {came:,.0f} changes a second came, {pace:.0f} frames a second were painted"
    return Outcome(outcome.value, outcome.low, outcome.high, outcome.rounds, note)


def begin_work(on: Dashboard) -> None:
    """Have as many jobs run as fit on screen, and the cursor on the first."""
    on.order("run")
    on.await_report("running")
    on.screen.read(1.2)  # it is never quiet: the times of running jobs change each second
    on.screen.press("home")
    on.screen.read(1.2)
    shown = on.screen.text()
    if shown.count("made_") < JOBS:
        raise RuntimeError(f"not all jobs are on screen:\n{shown}")
