"""The time of a command without a screen, and of a long text that another process executes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from benchmarks.figures import Outcome, Run, alternate, at_most, figure
from benchmarks.homes import Home, fresh_home, long_home

_YARDSTICK: Final = [sys.executable, "-c", "import msgspec, platformdirs, pyparsing"]
_PATIENCE: Final = 60.0


@figure("jobtui --version ÷ importing msgspec, platformdirs and pyparsing", goal=at_most(0.8))
def version(run: Run) -> Outcome:
    home = fresh_home(run)
    return _compared(run, [sys.executable, "-m", "jobtui", "--version"], home.environment)


@figure('jobtui -e "SHOW JOBS LIMIT 20", 1,000,000 jobs ÷ the same imports', goal=at_most(1.5))
def show_jobs(run: Run) -> Outcome:
    home = long_home(run)
    return _compared(run, home.jobtui("-e", "SHOW JOBS LIMIT 20"), home.environment)


def _compared(run: Run, command: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    for each in (command, _YARDSTICK):
        _run(each, environment)
    ours, theirs = alternate(
        7 if run.quick else 31, partial(_run, command, environment), partial(_run, _YARDSTICK, environment)
    )
    busy = [min(cpu for _, cpu in times) * 1e3 for times in (ours, theirs)]
    return Outcome.ratio(
        [wall for wall, _ in ours],
        [wall for wall, _ in theirs],
        f"least processor time {busy[0]:.0f} ms, {busy[1]:.0f} ms",
    )


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds from start to end, and those of the processor."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return took, used.ru_utime + used.ru_stime


@figure("10,000 statements sent to a running server ÷ the same with --detach", goal=at_most(2.0))
def statements_for_a_server(run: Run) -> Outcome:
    """Both accept every statement durably before they end."""
    count = 1_000 if run.quick else 10_000

    def sent() -> float:
        home = _home_with_space(run)
        with _served(home):
            return _executed(home, count)

    return Outcome.ratio(
        *alternate(1 if run.quick else 2, sent, lambda: _executed(_home_with_space(run), count, "--detach")),
        f"{count:,} statements",
    )


def _home_with_space(run: Run) -> Home:
    home = fresh_home(run)
    _ended(home, "-e", "CREATE SPACE nba")
    return home


def _executed(home: Home, count: int, *words: str) -> float:
    text = home.path / "text.ngql"
    text.write_text("ADMIN FLUSH nba;\n" * count)
    begin = time.perf_counter()
    _ended(home, *words, "-f", str(text))
    return time.perf_counter() - begin


def _ended(home: Home, *words: str) -> None:
    subprocess.run(home.jobtui(*words), env=home.environment, check=True, capture_output=True)


@contextmanager
def _served(home: Home) -> Iterator[None]:
    """Run a server of that home, and its jobs, within the block."""
    log = home.path / "serve.log"
    with open(log, "wb") as written, open(log, "rb") as lines:
        process = subprocess.Popen(home.jobtui("serve"), env=home.environment, stderr=written)
        try:
            end = time.monotonic() + _PATIENCE
            while not lines.readline() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)  # a file cannot be waited for; a pipe would fill, as nothing reads it later
            yield
        finally:
            process.kill()
            process.wait()
