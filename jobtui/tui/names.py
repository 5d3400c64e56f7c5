"""What there is to name in a statement, for completion: never waits, and looks at few of many jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from jobtui.engine.client import Desk
from jobtui.history import StoreError
from jobtui.language.completion import JobsFor, ids_with_prefix
from jobtui.model import Job, Status

_MOST_LOOKED_AT = 150
_MOST_OFFERED = 20


class DeskNames:
    """The desk's spaces, hosts and jobs as `jobtui.language.completion` asks for them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def spaces(self) -> Iterable[str]:
        """As last known."""
        return self._desk.spaces()

    def hosts(self) -> Iterable[str]:
        """As last known."""
        return self._desk.host_names()

    def jobs(self, kind: JobsFor, starting: str) -> Iterator[tuple[int, str]]:
        """Jobs that the statement can act on, newest first, each with its status and command beside it."""
        active = {job.id: job for job in self._desk.active()}
        if kind is JobsFor.STOP:
            found: Iterable[Job] = (active[job_id] for job_id in sorted(active, reverse=True))
        else:
            found = self._looked_up(active, starting)
        offered = 0
        for job in found:
            if _suits(job, kind) and str(job.id).startswith(starting):
                yield job.id, f"{job.status.value} {job.label}"
                offered += 1
                if offered == _MOST_OFFERED:
                    return

    def _looked_up(self, active: dict[int, Job], starting: str) -> Iterator[Job]:
        history = self._desk.history
        for job_id in islice(ids_with_prefix(starting, history.last_id()), _MOST_LOOKED_AT):
            try:
                job = active.get(job_id) or history.get(job_id)
            except StoreError:
                return  # a completion is a courtesy: the statement itself will say what is wrong
            if job is not None:
                yield job


def _suits(job: Job, kind: JobsFor) -> bool:
    match kind:
        case JobsFor.STOP:
            return not job.status.ended and not job.stopping
        case JobsFor.BACKUP:
            return job.status.ended
        case JobsFor.RECOVER:
            return job.status in (Status.FAILED, Status.STOPPED)
        case _:
            return True
