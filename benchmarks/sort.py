"""Sorting a million jobs by another column: the first page, the whole, and what the screen feels meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.dashboards import dashboard
from benchmarks.figures import Outcome, Run, at_most, figure, once
from benchmarks.history_data import count_of, long_history
from benchmarks.homes import long_home
from jobtui.history import History, Query, Sort

_COLUMNS = (Sort.COMMAND, Sort.START, Sort.TOOK, Sort.RECLAIMED)


@once
def _sorted_on_screen(run: Run) -> tuple[list[float], list[float]]:
    """Milliseconds from the key to the sorted page on screen, and the screen's longest absence meanwhile."""
    pages, gaps = [], []
    with dashboard(long_home(run), str(count_of(run))) as on:
        on.screen.presses("down", 3)
        for _ in range(3 if run.quick else 10):
            on.order("watch")
            on.await_report("watching")
            on.screen.quiet(0.3)
            before = on.screen.text()
            sent = on.screen.send(">")
            on.screen.read(3.0)
            on.order("gap")
            (gap,) = on.await_report("gap")
            gaps.append(gap * 1e3)
            rows = _rows(before)
            moved = [
                frame.at
                for frame, screen in on.screen.replayed()
                if frame.at > sent and _rows("\n".join(screen.display)) != rows
            ]
            if moved:  # the next column may have the same order
                pages.append((moved[0] - sent) * 1e3)
    return pages, gaps


def _rows(screen: str) -> list[str]:
    """The ids in view, in the order of the screen."""
    lines = (line.split() for line in screen.splitlines())
    return [next((word for word in words if word.isdigit() and len(word) > 3), "") for words in lines][4:20]


@figure("sort 1,000,000 jobs by another column: key to the first page", goal=at_most(100), unit="ms")
def first_page(run: Run) -> Outcome:
    pages, _ = _sorted_on_screen(run)
    return Outcome.of(pages, "from the key to the first frame that moved a row")


@figure("the screen's longest absence meanwhile", goal=at_most(33), unit="ms")
def longest_gap(run: Run) -> Outcome:
    _, gaps = _sorted_on_screen(run)
    return Outcome.of(gaps, f"longest of all {max(gaps):.0f} ms")


@figure("sort 1,000,000 jobs by another column: whole", goal=at_most(1.5), unit="s")
def whole(run: Run) -> Outcome:
    times = {sort: _whole(long_history(run), sort) for sort in _COLUMNS}
    return Outcome.worst_of(
        list(times.values()), ", ".join(f"{sort.value} {seconds:.2f} s" for sort, seconds in times.items())
    )


def _whole(path: Path, sort: Sort) -> float:
    history = History.open(path, write=False)
    try:
        history.query(Query()).page(0, 10)
        begin = time.perf_counter()
        view = history.query(Query(sort=sort, descending=True))
        view.prepare()
        return time.perf_counter() - begin
    finally:
        history.close()
