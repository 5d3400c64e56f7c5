"""From the key that opens a job's chart for the first time to its frame: read, decoded, drawn and painted.

The job took an hour on 50 hosts. Each round starts jobtui again, so that the library which draws the curves is
imported within the time.
"""

from __future__ import annotations

import gc
import math
import random
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from benchmarks.figures import Outcome, Run, alternate, at_most, figure
from benchmarks.homes import Home, fresh_home
from benchmarks.launch import EMPTY, painted
from benchmarks.screen import launched
from jobtui.engine.samples import Figures, SampleBuffer, SampleFiles
from jobtui.history import History
from jobtui.model import Job, Status, Task

HOSTS = 50
SECONDS = 3600
_MIB = 1 << 20


@figure(
    f"opening Chart for a job with an hour of samples on {HOSTS} hosts ÷ launching an empty Textual app",
    goal=at_most(0.4),
    absolute=at_most(0.1),
)
def opening_chart(run: Run) -> Outcome:
    """Both import a library and paint a first frame; an empty app that starts in 250 ms allows 100 ms."""
    home = fresh_home(run)
    size = _fill(home)

    def opened() -> float:
        shutil.rmtree(home.profile / "dashboard", ignore_errors=True)  # it keeps the tab that was chosen
        with launched(home.jobtui(), home.environment, "compact nba") as screen:
            screen.press("]")
            screen.quiet()
            count = len(screen.frames)
            begin = screen.send("]")
            return screen.shows("at most", count).at - begin

    def empty() -> float:
        return painted(EMPTY, "Ready", home.environment)

    note = f"140 columns, 45 lines; the samples have {size / 1024:.0f} KiB in their file"
    return Outcome.ratio(*alternate(3 if run.quick else 15, opened, empty), note)


@figure(f"samples of a running job in memory, an hour on {HOSTS} hosts", goal=at_most(2), unit="MB")
def samples_in_memory(run: Run) -> Outcome:
    """The sizes of all objects that they consist of: counted, and the same on every machine."""
    buffer = _hour(1, [f"storage-{number:02}" for number in range(HOSTS)])
    found: dict[int, object] = {id(buffer): buffer}
    new: list[object] = [buffer]
    while new:
        parts = [
            part for part in gc.get_referents(*new) if id(part) not in found and not isinstance(part, type)
        ]
        new = [*{id(part): part for part in parts}.values()]
        found.update((id(part), part) for part in new)
    used = sum(map(sys.getsizeof, found.values()))
    return Outcome.of([used / 1e6], f"{len(buffer.samples().seconds())} moments of {HOSTS} hosts")


def _fill(home: Home) -> int:
    """Write the job and its samples, and return the bytes of their file."""
    start = datetime(2019, 12, 17, 17, 0, tzinfo=UTC)
    stop = start + timedelta(seconds=SECONDS)
    names = [f"storage-{number:02}" for number in range(HOSTS)]
    tasks = tuple(
        Task(number, name, Status.FINISHED, 1.0, start, stop, float(SECONDS))
        for number, name in enumerate(names)
    )
    history = History.open(home.profile / "history")
    job = Job(
        history.new_id(), "compact", "nba", start, Status.FINISHED, start, stop, float(SECONDS), tasks=tasks
    )
    history.commit(job).result()
    history.close()
    buffer = _hour(job.id, names)
    SampleFiles(home.profile).write(buffer.samples())
    return (home.profile / "samples" / f"{job.id}.samples").stat().st_size


def _hour(job_id: int, names: Sequence[str]) -> SampleBuffer:
    """Return the samples of an hour on these hosts."""
    buffer = SampleBuffer(job_id, names)
    rng = random.Random(1)
    for second in range(SECONDS):
        by_host: dict[int, Figures] = {}
        for number in range(len(names)):
            rate = _MIB * (60 + 30 * math.sin(second / 300 + number) + rng.uniform(-10, 10))
            by_host[number] = rate, rate * 0.8, float(20 - second // 180), 5e11 - second * _MIB
        read, written, files, free = (sum(column) for column in zip(*by_host.values(), strict=True))
        buffer.add(second + 1.0, by_host, (read, written, files, free / len(names)))
    return buffer
