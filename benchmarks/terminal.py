"""How much a dashboard writes to its terminal while a job runs."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Final

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.homes import Home, fresh_home
from benchmarks.screen import Screen
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile

_SPACE: Final = "nba"
_SIZE: Final = 60_000_000
_RATE: Final = "1MiB"
"""Slow enough for the compact to run as long as it is measured."""
_VALUE: Final = 1000
_BATCH: Final = 5000
_WAIT: Final = 120.0


@figure("bytes to the terminal per second while one job runs, 100x30", goal=at_most(5_000), unit="B/s")
def bytes_to_the_terminal(run: Run) -> Outcome:
    """A compact at a limited rate, started in the command bar; each second is a round."""
    home = _filled(run)
    with Screen(home.jobtui(), home.environment, size=(100, 30)) as screen:
        screen.shows(_SPACE)
        screen.quiet()
        screen.send(f":ADMIN COMPACT {_SPACE} WITH rate = {_RATE}\r")
        screen.shows("1 running")
        screen.read(2.0)  # the command bar closes, and the job's row appears
        seconds = []
        for _ in range(5 if run.quick else 20):
            before = screen.bytes_read
            screen.read(1.0)
            seconds.append(screen.bytes_read - before)
        text = screen.text()
        if "1 running" not in text:
            raise RuntimeError(f"the job does not run:\n{text}")
        mean = statistics.mean(seconds)
    return Outcome(mean, min(seconds), max(seconds), len(seconds), "the mean of the seconds")


def _filled(run: Run) -> Home:
    """Return a home with a space on one host."""
    home = fresh_home(run)
    rng = random.Random(1)
    engine = LocalClient.open(Profile("local", home.profile, hosts={"local0": None}))
    try:
        engine.execute(f"CREATE SPACE {_SPACE}", Session(None, Path("/"))).result(_WAIT)
        for start in range(0, _SIZE // _VALUE, _BATCH):
            pairs = [(b"%012d" % number, rng.randbytes(_VALUE)) for number in range(start, start + _BATCH)]
            engine.load(_SPACE, pairs).result(_WAIT)
        jobs = engine.execute(f"ADMIN FLUSH {_SPACE}", Session(None, Path("/"))).result(_WAIT).jobs
        engine.wait_ended(jobs).result(_WAIT)
    finally:
        engine.close()
    return home
