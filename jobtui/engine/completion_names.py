"""The names of a client's spaces, hosts, schedules and jobs, which the completion of statements offers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from jobtui.engine.client import Client
from jobtui.history import StoreError
from jobtui.language.completion import JobOperation, ids_with_prefix
from jobtui.model import Job, Status

# A completion must never wait: of many jobs, few are read.
_MAX_READ = 150
_MAX_OFFERED = 20
_ON_ACTIVE = frozenset({JobOperation.STOP, JobOperation.PAUSE, JobOperation.RESUME, JobOperation.SET})


class CompletionNames:
    """The spaces, hosts and jobs of a client, as `jobtui.language.completion` needs them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def spaces(self) -> Iterable[str]:
        """Return the names that were last known."""
        return self._client.space_names()

    def hosts(self) -> Iterable[str]:
        """Return the names that were last known."""
        return self._client.host_names()

    def schedules(self) -> Iterable[str]:
        """Return the names that are on disk, which the owner writes before it answers."""
        from jobtui.engine.schedules import load_schedules  # late: few statements name a schedule

        return sorted(load_schedules(self._client.history.path).schedules)

    def jobs(self, kind: JobOperation, starting: str) -> Iterator[tuple[int, str]]:
        """Yield jobs that the statement can act on, newest first, each with its status and command."""
        active = {job.id: job for job in self._client.active_jobs()}
        if kind in _ON_ACTIVE:
            found: Iterable[Job] = (active[job_id] for job_id in sorted(active, reverse=True))
        else:
            found = self._read_jobs(kind, active, starting)
        offered = 0
        for job in found:
            if _suits(job, kind) and str(job.id).startswith(starting):
                yield job.id, f"{job.status.value} {job.label}"
                offered += 1
                if offered == _MAX_OFFERED:
                    return

    def _read_jobs(self, kind: JobOperation, active: dict[int, Job], starting: str) -> Iterator[Job]:
        history = self._client.history
        for job_id in islice(ids_with_prefix(starting, history.last_id()), _MAX_READ):
            try:
                if kind is JobOperation.RESTORE:
                    job = history.get_archived(job_id)
                else:
                    job = active.get(job_id) or history.get(job_id)
            except StoreError:
                return  # not an error of completion: the statement itself reports it
            if job is not None:
                yield job


def _suits(job: Job, kind: JobOperation) -> bool:
    match kind:
        case JobOperation.PAUSE:
            return not job.status.ended and not job.paused
        case JobOperation.RESUME:
            return not job.status.ended and job.paused
        case JobOperation.STOP | JobOperation.SET:
            return not job.status.ended and not job.stopping
        case JobOperation.BACKUP:
            return job.status.ended
        case JobOperation.RECOVER:
            return job.status in (Status.FAILED, Status.STOPPED)
        case _:
            return True
