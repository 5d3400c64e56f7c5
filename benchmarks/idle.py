"""The processor time of an idle dashboard, compared with an app with a focused Input, whose cursor blinks.

Also on a cluster of twenty spaces, whose graphd is a double in this process: then the queries count, too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import msgspec

from benchmarks.figures import Outcome, Run, at_most, figure, once
from benchmarks.history_data import newest
from benchmarks.homes import fresh_home, long_home
from benchmarks.launch import EMPTY
from benchmarks.processes import family, seconds_run, wake_ups
from benchmarks.screen import Screen, launched


@once
def _idling(run: Run) -> list[tuple[float, float, float, float]]:
    """Return seconds of the processor and wake-ups per second, jobtui's and the Input's, a tuple a round."""
    home = long_home(run)
    with (
        launched(home.jobtui(), home.environment, newest(run)) as ours,
        launched([*EMPTY, "input"], home.environment, "Ready") as theirs,
    ):
        ours.quiet(2.0)
        return _measured(ours, theirs, 2 if run.quick else 4, 4 if run.quick else 12)


def _measured(
    ours: Screen, theirs: Screen, rounds: int, seconds: int
) -> list[tuple[float, float, float, float]]:
    """Measure both at the same time, for each second that passes: on a busy machine a round takes longer."""
    found = []
    for _ in range(rounds):
        both = [family(screen.process.pid) for screen in (ours, theirs)]
        before, began = [_of(pids) for pids in both], time.monotonic()
        while time.monotonic() - began < seconds:
            ours.read(0.05)
            theirs.read(0.05)
        figures = []
        span = time.monotonic() - began
        for pids, (cpu, wakes) in zip(both, before, strict=True):
            now = _of(pids)
            figures += [(now[0] - cpu) / span, (now[1] - wakes) / span]
        found.append((figures[0], figures[1], figures[2], figures[3]))
    return found


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


@once
def _idling_on_a_cluster(run: Run) -> tuple[list[tuple[float, float, float, float]], float]:
    """Return the same on a cluster, and the queries per second."""
    from tests.support.graphd_double import GraphdDouble  # late: only these figures need the tests
    from tests.support.nebula_cluster import Cluster

    cluster = Cluster({f"space{n}": ["10.0.0.5", "10.0.0.6", "10.0.0.7"] for n in range(20)})
    for n in range(20):
        for _ in range(20):
            cluster.ended_job(f"space{n}")
    home = fresh_home(run)
    rounds, seconds = (2, 8) if run.quick else (4, 12)
    with GraphdDouble(cluster) as graphd:
        environment = home.environment | {"JOBTUI_NEBULA_PASSWORD": "nebula"}
        command = [*home.jobtui(), "--nebula", f"127.0.0.1:{graphd.port}", "-u", "root"]
        with (
            launched(command, environment, "400") as ours,
            launched([*EMPTY, "input"], home.environment, "Ready") as theirs,
        ):
            ours.quiet(2.0)
            _measured(ours, theirs, 1, 15)  # until the tasks of all jobs are there
            queries, began = len(cluster.statements), time.monotonic()
            found = _measured(ours, theirs, rounds, seconds)
            return found, (len(cluster.statements) - queries) / (time.monotonic() - began)


@figure(
    "idle dashboard on a cluster of 20 spaces: processor time ÷ the same app",
    goal=at_most(4),
    absolute=at_most(2),
    absolute_unit="% of a core",
)
def cluster_processor(run: Run) -> Outcome:
    rounds, _ = _idling_on_a_cluster(run)
    note = f"{rounds[-1][0] * 100:.2f} % of a core; the Input {rounds[-1][2] * 100:.2f} %"
    outcome = Outcome.of([ours / theirs for ours, _, theirs, _ in rounds], note)
    core = statistics.median(ours for ours, _, _, _ in rounds)
    return msgspec.structs.replace(outcome, absolute=core * 100)


@figure("idle dashboard on a cluster of 20 spaces: queries a second", unit="/s", goal=at_most(6))
def cluster_queries(run: Run) -> Outcome:
    return Outcome.of([_idling_on_a_cluster(run)[1]])
