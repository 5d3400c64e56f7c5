"""Which job and which task runs next: a pure decision over the state of the moment.

The rules, from DESIGN ("Engine"): one running job a space, first come first served; spaces run side by
side, up to a limit; a job's tasks run side by side, one operation a host at a time. A host that hangs
delays only the tasks that need it: a job that waits for a busy host, or whose running tasks have been
silent for long, does not count against the limit, and a queued job none of whose hosts is free leaves
its place to the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from jobtui.model import Job, Status


class Start(msgspec.Struct, frozen=True):
    """Tasks to start now, each on a free host; the job itself starts with them if it was queued."""

    job: int
    tasks: tuple[int, ...]


def decide(
    running: Iterable[Job],
    heads: Iterable[Job],
    busy: Collection[str],
    silent: Collection[int],
    limit: int,
    hosts: Collection[str] | None = None,
) -> list[Start]:
    """What to start.

    `running`: the running jobs. `heads`: of each space without a running job, the oldest queued job that
    may run. `busy`: hosts with an operation under way or claimed. `silent`: running jobs that have given
    no sign of life for long. `limit`: how many jobs may be at work at once. `hosts`: all that there are, where
    that is known: once each is taken the rest need not be looked at.
    """
    taken = set(busy)
    everything = None if hosts is None else len(taken.union(hosts))
    starts = []
    at_work = 0
    for job in sorted(running, key=_age):
        begun = any(task.status is Status.RUNNING for task in job.tasks)
        tasks = () if job.stopping else _startable(job, taken)
        if tasks:
            starts.append(Start(job.id, tasks))
        at_work += bool(tasks) or (begun and job.id not in silent)
    for job in sorted(heads, key=_age):
        if at_work >= limit or len(taken) == everything:
            break
        tasks = _startable(job, taken)
        if tasks:
            starts.append(Start(job.id, tasks))
            at_work += 1
    return starts


def _age(job: Job) -> int:
    return job.id


def _startable(job: Job, taken: set[str]) -> tuple[int, ...]:
    tasks = []
    for task in job.tasks:
        if task.status is Status.QUEUE and task.host not in taken:
            taken.add(task.host)
            tasks.append(task.number)
    return tuple(tasks)
