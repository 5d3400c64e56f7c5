"""The processor time of an idle dashboard, compared with an app with a focused Input, whose cursor blinks.

Also on a cluster of twenty spaces, whose graphd is a double in this process: then the queries count, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Outcome, Run, at_most, figure, once
from benchmarks.history_data import count_of
from benchmarks.homes import fresh_home, long_home
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


@once
def _idling_on_a_cluster(run: Run) -> list[tuple[float, float]]:
    """Seconds of the processor and queries a second, a tuple a round."""
    from tests.support.graphd_double import GraphdDouble
    from tests.support.nebula_cluster import Cluster

    cluster = Cluster({f"space{n}": ["10.0.0.5", "10.0.0.6", "10.0.0.7"] for n in range(20)})
    for n in range(20):
        for _ in range(20):
            cluster.ended_job(f"space{n}")
    home = fresh_home(run)
    seconds = 10 if run.quick else 30
    rounds = []
    with GraphdDouble(cluster) as graphd:
        environment = home.environment | {"JOBTUI_NEBULA_PASSWORD": "nebula"}
        command = [*home.jobtui(), "--nebula", f"127.0.0.1:{graphd.port}", "-u", "root"]
        with launched(command, environment, "400") as screen:
            screen.quiet(2.0)
            for _ in range(2 * seconds * 10):  # until the tasks of all jobs are there
                screen.read(0.05)
            for _ in range(2 if run.quick else 5):
                before, asked = seconds_run(family(screen.process.pid)), len(cluster.statements)
                for _ in range(seconds * 10):
                    screen.read(0.1)
                took = seconds_run(family(screen.process.pid)) - before
                rounds.append((took / seconds, (len(cluster.statements) - asked) / seconds))
    return rounds


@figure("idle dashboard on a cluster of 20 spaces: share of a core", unit=" %", goal=at_most(2))
def cluster_processor(run: Run) -> Outcome:
    rounds = _idling_on_a_cluster(run)
    return Outcome.of([share * 100 for share, _ in rounds])


@figure("idle dashboard on a cluster of 20 spaces: queries a second", unit=" /s", goal=at_most(6))
def cluster_queries(run: Run) -> Outcome:
    return Outcome.of([queries for _, queries in _idling_on_a_cluster(run)])
