"""A dashboard in a terminal, controlled by a benchmark (`_dashboard_process` documents the requests)."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.homes import Home
from benchmarks.screen import Screen

_PATIENCE = 60.0
JOBS = 12
"""The number of jobs that run in the dashboard: all of them fit on the screen."""


class Dashboard:
    """The screen, and the pipes to and from the process that paints it."""

    def __init__(self, screen: Screen, requests: int, reports: int) -> None:
        self.screen = screen
        self._requests, self._reports = requests, reports
        self._unread = b""

    def request(self, line: str) -> None:
        """Send a request."""
        try:
            os.write(self._requests, f"{line}\n".encode())
        except BrokenPipeError:
            raise RuntimeError(f"the dashboard has ended:\n{self.screen.text()}") from None

    def await_report(self, word: str) -> list[float]:
        """Wait for the next report of this name, reading the screen meanwhile; return its values."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            while b"\n" in self._unread:
                line, self._unread = self._unread.split(b"\n", 1)
                name, *values = line.decode().split()
                if name == word:
                    return [float(value) for value in values]
            if select.select([self._reports], [], [], 0)[0]:
                self._unread += os.read(self._reports, 1 << 16)
            self.screen.read(0.002)
        raise TimeoutError(f"no report {word}:\n{self.screen.text()}")


@contextmanager
def dashboard(home: Home, first: str, jobs: int = JOBS) -> Iterator[Dashboard]:
    """Start a dashboard in this home, with storage for `jobs` jobs at once; yield it when it shows `first`."""
    (ours, requests), (reports, theirs) = os.pipe(), os.pipe()
    command = [sys.executable, "-m", "benchmarks._dashboard_process", str(home.profile), str(jobs)]
    shell = ["/bin/sh", "-c", f'exec "$@" 3<&{ours} 4>&{theirs}', "sh", *command]
    with Screen(shell, home.environment, pass_fds=(ours, theirs)) as screen:
        os.close(ours)
        os.close(theirs)
        try:
            screen.shows(first)
            screen.quiet()
            yield Dashboard(screen, requests, reports)
        finally:
            os.close(requests)
            os.close(reports)
