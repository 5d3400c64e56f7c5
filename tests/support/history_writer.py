"""A process that writes a history, for tests that read it concurrently or kill the process.

`python -m tests.support.history_writer DIRECTORY SEED` commits groups of three jobs that always have the same
number of events, one group after the other, and prints a line for each durable one, until it is killed
or its standard input ends.
"""

from __future__ import annotations

import random
import select
import sys
from pathlib import Path

from jobtui.history import History
from jobtui.history.write.store import Limits
from jobtui.model import Job, Status
from tests.support import made_jobs

TOGETHER = 3


def step(group: list[Job], rng: random.Random) -> list[Job]:
    """Return the next version of the group: all its jobs are alike, and end after some steps."""
    if len(group[0].events) > rng.randrange(4, 9):
        return [
            made_jobs.replace(job, status=Status.FINISHED, events=(*job.events, job.events[0])) for job in group
        ]
    return [made_jobs.replace(job, status=Status.RUNNING, events=(*job.events, job.events[0])) for job in group]


def main(directory: str, seed: str) -> None:
    """Write until the process is killed."""
    rng = random.Random(int(seed))
    limits = Limits(journal=40_000, leftover=20_000, blanks=4096)
    history = History.open(Path(directory), limits=limits)
    groups = _groups(history.live())
    while True:
        if len(groups) < 4:
            groups.append([made_jobs.submitted(history.new_id(), rng) for _ in range(TOGETHER)])
            group = groups[-1]
        else:
            index = rng.randrange(len(groups))
            group = groups[index] = step(groups[index], rng)
            if group[0].status.ended:
                del groups[index]
        history.commit(*group).result()
        print(*(f"{job.id}:{len(job.events)}" for job in group), flush=True)
        if select.select([sys.stdin], [], [], 0)[0]:
            history.close()
            return


def _groups(live: tuple[Job, ...]) -> list[list[Job]]:
    return [list(live[start : start + TOGETHER]) for start in range(0, len(live), TOGETHER)]


if __name__ == "__main__":
    main(*sys.argv[1:])
