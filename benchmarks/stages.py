"""A dashboard at work in a terminal, which is told what to go through (see _stage_app)."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.homes import Home
from benchmarks.screen import Screen

_PATIENCE = 60.0
JOBS = 12
"""How many jobs run on a stage: all of them fit on screen."""


class Stage:
    """The screen, and a line to the process behind it."""

    def __init__(self, screen: Screen, orders: int, news: int) -> None:
        self.screen = screen
        self._orders, self._news = orders, news
        self._unread = b""

    def order(self, line: str) -> None:
        """See _stage_app."""
        try:
            os.write(self._orders, f"{line}\n".encode())
        except BrokenPipeError:
            raise RuntimeError(f"the dashboard has ended:\n{self.screen.text()}") from None

    def told(self, word: str) -> list[float]:
        """The values of the next such piece of news; what is painted meanwhile is taken in."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            while b"\n" in self._unread:
                line, self._unread = self._unread.split(b"\n", 1)
                name, *values = line.decode().split()
                if name == word:
                    return [float(value) for value in values]
            if select.select([self._news], [], [], 0)[0]:
                self._unread += os.read(self._news, 1 << 16)
            self.screen.read(0.002)
        raise TimeoutError(f"never {word}:\n{self.screen.text()}")


@contextmanager
def stage(home: Home, first: str, jobs: int = JOBS) -> Iterator[Stage]:
    """A dashboard of that home that has painted the text `first`, and storage for so many jobs at once."""
    (ours, orders), (news, theirs) = os.pipe(), os.pipe()
    command = [sys.executable, "-m", "benchmarks._stage_app", str(home.profile), str(jobs)]
    surroundings = home.environment | {"PYTHONPATH": str(Path(__file__).parents[1])}
    shell = ["/bin/sh", "-c", f'exec "$@" 3<&{ours} 4>&{theirs}', "sh", *command]
    with Screen(shell, surroundings, pass_fds=(ours, theirs)) as screen:
        os.close(ours)
        os.close(theirs)
        try:
            screen.shows(first)
            screen.quiet()
            yield Stage(screen, orders, news)
        finally:
            os.close(orders)
            os.close(news)
