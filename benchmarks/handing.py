"""The time of a long text that another process executes, compared with the same text executed here."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.homes import Home, fresh_home


@figure("10,000 statements handed to a running server ÷ the same with --detach", goal=at_most(2.0))
def handing(run: Run) -> Outcome:
    count = 1_000 if run.quick else 10_000
    ratios, walls = [], []
    for _ in range(1 if run.quick else 3):
        alone = _took(_home_with_space(run), count, "--detach")
        home = _home_with_space(run)
        with _served(home):
            handed = _took(home, count)
        ratios.append(handed / alone)
        walls.append((handed, alone))
    handed, alone = min(walls)
    return Outcome.of(ratios, f"{count:,} statements; {handed:.1f} s at best; alone {alone:.1f} s")


def _home_with_space(run: Run) -> Home:
    home = fresh_home(run)
    _ended(home, "-e", "CREATE SPACE nba")
    return home


def _took(home: Home, count: int, *words: str) -> float:
    text = home.path / "text.ngql"
    text.write_text("ADMIN FLUSH nba;\n" * count)
    begin = time.perf_counter()
    _ended(home, *words, "-f", str(text))
    return time.perf_counter() - begin


def _ended(home: Home, *words: str) -> None:
    subprocess.run(home.jobtui(*words), env=home.environment, check=True, capture_output=True)


@contextmanager
def _served(home: Home) -> Iterator[None]:
    """A server of that home runs, and the jobs with it."""
    log = home.path / "serve.log"
    with open(log, "wb") as written, open(log, "rb") as read:
        process = subprocess.Popen(home.jobtui("serve"), env=home.environment, stderr=written)
        try:
            while not read.readline() and process.poll() is None:
                time.sleep(0.01)
            yield
        finally:
            process.kill()
            process.wait()
