"""Progress on stderr: bars on a terminal, otherwise a line every 30 seconds.

Rich is imported late, only for bars (60 ms).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from jobtui.cli.streams import is_terminal, print_error
from jobtui.formatting import format_bytes, format_rate, printable
from jobtui.model import Job, Status

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

ShowJob = Callable[[Job], None]
ShowBytes = Callable[[int], None]
STDERR = 2
LINES_SECONDS = 30.0


@contextmanager
def job_bars(*, quiet: bool = False) -> Iterator[ShowJob]:
    """Yield a function that shows a job's bar; without a terminal it shows nothing."""
    if quiet or not is_terminal(STDERR):
        yield _show_nothing
        return
    bars = _JobBars()
    with _shown(bars.progress):
        yield bars.show


@contextmanager
def byte_bar(label: str, total: int | None, *, quiet: bool = False) -> Iterator[ShowBytes]:
    """Yield a function that shows the processed bytes, as a bar or as lines.

    Args:
        label: The text before the bar.
        total: The number of all bytes, None if it is unknown.
        quiet: Whether to show nothing.
    """
    if quiet:
        yield _show_nothing
    elif not is_terminal(STDERR):
        yield ByteLines(label, total)
    else:
        bar = _ByteBar(label, total)
        with _shown(bar.progress):
            yield bar.show


@contextmanager
def _shown(progress: Progress) -> Iterator[None]:
    """Show bars until the block ends. If the terminal is gone, the work continues."""
    with suppress(OSError):
        progress.start()
    try:
        yield
    finally:
        with suppress(OSError):
            progress.stop()


def _show_nothing(_: object) -> None:
    return


class ByteLines:
    """The progress as a line for a log every `LINES_SECONDS`. `clock` returns seconds."""

    def __init__(self, label: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._label, self._total, self._clock = label, total, clock
        self._last_line = clock()

    def __call__(self, done: int) -> None:
        """Print the number of processed bytes, unless the last line is too recent."""
        if self._clock() - self._last_line >= LINES_SECONDS:
            self._last_line = self._clock()
            of = f" of {format_bytes(self._total)}" if self._total is not None else ""
            print_error(f"{self._label}: {format_bytes(done)}{of}")


class _JobBars:
    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        self._bars: dict[int, TaskID] = {}
        self.progress = _progress(
            TextColumn("job {task.fields[job]}", markup=False),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}", markup=False),
        )

    def show(self, job: Job) -> None:
        """Update the job's bar; create it if the job is new."""
        with suppress(OSError):
            self._move(job)

    def _move(self, job: Job) -> None:
        if job.id not in self._bars:
            self._bars[job.id] = self.progress.add_task(
                printable(job.label), start=False, total=1.0, job=job.id, state=""
            )
        bar = self._bars[job.id]
        if job.start is not None and self.progress.tasks[bar].start_time is None:
            self.progress.start_task(bar)
        completed = job.progress if job.status is not Status.QUEUE else 0.0
        self.progress.update(bar, completed=completed, state=_state(job))
        if job.status.ended:
            self.progress.stop_task(bar)
        self.progress.refresh()


class _ByteBar:
    def __init__(self, label: str, total: int | None) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        self.progress = _progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
        )
        self._of = f" of {format_bytes(total)}" if total is not None else ""
        self._bar = self.progress.add_task(printable(label), total=total, amount="", rate="")

    def show(self, done: int) -> None:
        """Update the bar."""
        self.progress.update(self._bar, completed=done)
        (task,) = self.progress.tasks
        amount = f"{format_bytes(done)}{self._of}"
        with suppress(OSError):
            self.progress.update(self._bar, amount=amount, rate=format_rate(task.speed), refresh=True)


def _progress(*columns: ProgressColumn) -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(*columns, console=Console(stderr=True), auto_refresh=False, redirect_stdout=False)


def _state(job: Job) -> str:
    if job.stopping:
        return f"stopping {job.ended_tasks}/{len(job.tasks)}"
    if job.paused:
        return "paused"
    waiting = next((f"{task.host}: paused: {task.waiting}" for task in job.tasks if task.waiting), "")
    return waiting or job.status.value
