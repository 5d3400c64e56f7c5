"""Sorting a million jobs by another column: the first page, the whole, and the event loop meanwhile."""

from __future__ import annotations

import heapq
import random
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.dashboards import dashboard
from benchmarks.figures import Outcome, Run, alternate, at_most, figure, once, timed
from benchmarks.history_data import count_of, long_history, newest
from benchmarks.history_queries import in_the_background, longest_gap
from benchmarks.homes import long_home
from jobtui.history import History, Query, Sort

_COLUMNS: Final = (Sort.COMMAND, Sort.START, Sort.TOOK, Sort.RECLAIMED)
_PAGE: Final = 40
"""Rows of a screen, and a few more."""


class _OnScreen(msgspec.Struct, frozen=True):
    """Seconds of each sort on screen, and of its yardsticks."""

    pages: list[float]
    passes: list[float]
    gaps: list[float]
    bare_gaps: list[float]


@once
def _sorted_on_screen(run: Run) -> _OnScreen:
    found = _OnScreen([], [], [], [])
    keys = _keys(run)
    with dashboard(long_home(run), newest(run)) as on:
        on.screen.presses("down", 3)
        for _ in range(3 if run.quick else 10):
            on.request("watch")
            on.await_report("watching")
            on.screen.quiet(0.3)
            before = on.screen.text()
            sent = on.screen.send(">")
            on.screen.read(2.5)
            on.request("gap")
            (gap,) = on.await_report("gap")
            found.gaps.append(gap)
            found.bare_gaps.append(longest_gap(0.5))
            rows = _rows(before)
            moved = [
                frame.at
                for frame, screen in on.screen.replayed()
                if frame.at > sent and _rows("\n".join(screen.display)) != rows
            ]
            if moved:  # the next column may have the same order
                found.pages.append(moved[0] - sent)
                found.passes.append(timed(partial(_top, keys)))
    return found


def _rows(screen: str) -> list[str]:
    """Return the ids in view, in the order of the screen."""
    lines = (line.split() for line in screen.splitlines())
    return [next((word for word in words if word.isdigit() and len(word) > 3), "") for words in lines][4:20]


@once
def _keys(run: Run) -> list[float]:
    """Return as many keys as the history has jobs, distributed as their durations."""
    rng = random.Random(1)
    return [rng.random() * 60 for _ in range(count_of(run))]


def _top(keys: list[float]) -> None:
    """Find the rows of the first page, with one pass over the keys."""
    heapq.nlargest(_PAGE, range(len(keys)), key=keys.__getitem__)


@figure(
    "sort 1,000,000 jobs by another column: key to the first page ÷ a pass over the keys",
    goal=at_most(1.5),
    absolute=at_most(0.1),
)
def first_page(run: Run) -> Outcome:
    found = _sorted_on_screen(run)
    return Outcome.ratio(found.pages, found.passes, "from the key to the first frame that moved a row")


@figure(
    "the screen's longest absence meanwhile ÷ next to a loop in Python",
    goal=at_most(12),
    absolute=at_most(0.033),
)
def longest_absence(run: Run) -> Outcome:
    found = _sorted_on_screen(run)
    return Outcome.ratio(found.gaps, found.bare_gaps)


@figure(
    "sort 1,000,000 jobs by another column: whole ÷ sorted() of as many keys, the slowest column",
    goal=at_most(2.5),
    absolute=at_most(1.5),
)
def whole(run: Run) -> Outcome:
    keys = _keys(run)

    def plain() -> float:
        return timed(lambda: sorted(range(len(keys)), key=keys.__getitem__))

    path = long_history(run)
    for sort in _COLUMNS:  # only files that were read before are compared
        _whole(path, sort)
    outcomes = {
        sort: Outcome.ratio(*alternate(1 if run.quick else 3, partial(_whole, path, sort), plain))
        for sort in _COLUMNS
    }
    slowest = max(outcomes, key=lambda sort: outcomes[sort].value)
    each = ", ".join(f"{sort.value} {outcome.value:.2f}" for sort, outcome in outcomes.items())
    return msgspec.structs.replace(outcomes[slowest], note=f"{outcomes[slowest].note}; {each}")


def _whole(path: Path, sort: Sort) -> float:
    history = History.open(path, write=False)
    try:
        history.load_indexes()
        return timed(history.query(Query(sort=sort, descending=True)).prepare)
    finally:
        history.close()


@figure("history: sort 1,000,000 by duration, first page ÷ a pass over the keys", goal=at_most(1.5))
def history_first_page(run: Run) -> Outcome:
    history = History.open(long_history(run), write=False)
    history.load_indexes()
    query = Query(sort=Sort.TOOK, descending=True)
    both, yardstick = alternate(
        3 if run.quick else 9,
        lambda: in_the_background(lambda: history.query(query).page(0, _PAGE)),
        partial(timed, partial(_top, _keys(run))),
    )
    history.close()
    worst = max(gap for _, gap in both) * 1e3
    return Outcome.ratio([took for took, _ in both], yardstick, f"longest gap of another thread {worst:.1f} ms")
