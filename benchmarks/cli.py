"""The time of a command without a screen, compared with a Python that imports three libraries it needs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.homes import fresh_home, long_home

_YARDSTICK = [sys.executable, "-c", "import msgspec, platformdirs, pyparsing"]


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
        _took(each, environment)
    ours, theirs = [], []
    for turn in range(7 if run.quick else 31):
        for each, times in ((command, ours), (_YARDSTICK, theirs))[:: 1 if turn % 2 else -1]:
            times.append(_took(each, environment))
    ratios = [mine / other for (mine, _), (other, _) in zip(ours, theirs, strict=True)]
    walls = [statistics.median(wall for wall, _ in times) * 1e3 for times in (ours, theirs)]
    busy = [min(cpu for _, cpu in times) * 1e3 for times in (ours, theirs)]
    return Outcome.of(
        ratios,
        f"{walls[0]:.0f} ms; the imports {walls[1]:.0f} ms; least processor time {busy[0]:.0f}, {busy[1]:.0f}",
    )


def _took(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds from start to end, and seconds of the processor."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return took, used.ru_utime + used.ru_stime
