"""What an idle dashboard asks of a processor, beside an app with a focused Input, whose cursor blinks."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Outcome, Run, at_most, figure, once
from benchmarks.history_made import count_of
from benchmarks.homes import long_home
from benchmarks.launch import EMPTY
from benchmarks.processes import family, seconds_run, wake_ups
from benchmarks.screen import launched


@once
def _idling(run: Run) -> list[tuple[float, float, float, float]]:
    """Seconds of the processor and wake-ups a second, ours and the other's, a tuple a round."""
    home = long_home(run)
    seconds = 4 if run.quick else 20
    rounds = []
    with (
        launched(home.jobtui(), home.environment, str(count_of(run))) as ours,
        launched([*EMPTY, "input"], home.environment, "Ready") as theirs,
    ):
        ours.quiet(2.0)
        for _ in range(2 if run.quick else 5):
            figures = []
            both = [family(screen.process.pid) for screen in (ours, theirs)]
            before = [_of(pids) for pids in both]
            for _ in range(seconds * 10):
                ours.read(0.05)
                theirs.read(0.05)
            for pids, (cpu, wakes) in zip(both, before, strict=True):
                now = _of(pids)
                figures += [(now[0] - cpu) / seconds, (now[1] - wakes) / seconds]
            rounds.append((figures[0], figures[1], figures[2], figures[3]))
    return rounds


def _of(pids: Sequence[int]) -> tuple[float, int]:
    return seconds_run(pids), wake_ups(pids)


@figure("idle dashboard: processor time ÷ an app with a focused Input", goal=at_most(1.5))
def processor(run: Run) -> Outcome:
    rounds = _idling(run)
    note = f"{rounds[-1][0] * 100:.2f} % of a core; the Input {rounds[-1][2] * 100:.2f} %"
    return Outcome.of([ours / theirs for ours, _, theirs, _ in rounds], note)


@figure("idle dashboard: wake-ups ÷ an app with a focused Input", goal=at_most(1.5))
def wakes(run: Run) -> Outcome:
    rounds = _idling(run)
    note = f"{rounds[-1][1]:.1f} a second; the Input {rounds[-1][3]:.1f}"
    return Outcome.of([ours / theirs for _, ours, _, theirs in rounds], note)
