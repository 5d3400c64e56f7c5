"""The spaces and hosts of a cluster that manages its jobs itself, and the jobs that wait for a host.

A NebulaGraph cluster keeps a job running while one of its hosts is offline, even for hours. It ends the job,
and begins the next one of the space, only after the host is back and has reported. It does not show this
anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NoReturn

from msgspec.structs import replace

from jobtui.engine.cluster.lifecycle import add_note
from jobtui.engine.inventory import InventoryCache
from jobtui.errors import ErrorCode, StorageError
from jobtui.formatting import format_local_time
from jobtui.model import Job, JobCommand, SpaceStats, Status, Task
from jobtui.storage.base import (
    ClusterJob,
    ClusterJobManager,
    CompactionFigures,
    CompactionRequest,
    Host,
    OperationControl,
    Pair,
    Placement,
    ProgressCallback,
    Space,
    TaskResult,
)
from jobtui.storage.nebula.properties import verify_compaction


class ClusterInventory:
    """An adapter from a cluster to the interface that the engine uses for any storage.

    The cluster runs its tasks itself: every other operation is refused as unsupported.
    """

    def __init__(self, job_manager: ClusterJobManager) -> None:
        self._job_manager = job_manager

    @property
    def is_space_admin(self) -> bool:
        """Whether spaces can be created: not on a cluster."""
        return False

    async def start(self) -> None:
        """Connect in the background."""
        await self._job_manager.start()

    async def close(self) -> None:
        """End the connection."""
        await self._job_manager.close()

    async def spaces(self) -> tuple[Space, ...]:
        """Return the spaces. Raises StorageError."""
        return await self._job_manager.spaces()

    async def hosts(self) -> tuple[Host, ...]:
        """Return the storage hosts. Raises StorageError."""
        return await self._job_manager.hosts()

    async def stats(self, space: str, host: str) -> SpaceStats:
        """Return the current stats of the space on the host. Raises StorageError."""
        return await self._job_manager.stats(space, host)

    async def find_outage(self, space: str, host: str) -> str:
        """Return "": the cluster decides itself when a host begins."""
        return ""

    def can_stall(self, space: str, host: str) -> bool:
        """Return False: the cluster decides itself when a host begins."""
        return False

    async def find_stall(self, space: str, host: str) -> str:
        """Return "": the cluster decides itself when a host begins."""
        return ""

    async def figures(
        self, space: str, host: str, request: CompactionRequest | None = None
    ) -> CompactionFigures:
        """Return the known figures of the space on the host before a compaction.

        Raises StorageError.
        """
        return await self._job_manager.figures(space, host)

    async def flush(
        self, space: str, host: str, progress: ProgressCallback, control: OperationControl
    ) -> TaskResult:
        """Refuse: the cluster runs its tasks itself."""
        _refuse(space, "the cluster runs its tasks itself")

    async def compact(
        self,
        space: str,
        host: str,
        request: CompactionRequest,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        """Refuse: the cluster runs its tasks itself."""
        _refuse(space, "the cluster runs its tasks itself")

    async def create_space(self, name: str, placement: Placement) -> Space:
        """Refuse: spaces are created on embedded storage only."""
        _refuse(name, "CREATE SPACE is for embedded storage only")

    async def drop_space(self, name: str) -> None:
        """Refuse: spaces are dropped on embedded storage only."""
        _refuse(name, "DROP SPACE is for embedded storage only")

    async def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """Refuse: pairs are loaded into embedded storage only."""
        _refuse(space, "loading pairs is for embedded storage only")

    async def dump(self, space: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """Refuse: pairs are dumped from embedded storage only."""
        _refuse(space, "dumping pairs is for embedded storage only")
        yield b"", b""


def _refuse(space: str, why: str) -> NoReturn:
    raise StorageError(ErrorCode.UNSUPPORTED, "", space, why)


class HostOutages:
    """The hosts that are offline; `since` has the time when each was first seen so."""

    def __init__(self) -> None:
        self.since: dict[str, datetime] = {}
        self._known: frozenset[str] | None = None
        self._first: datetime | None = None  # a host that was offline then may have been offline for longer

    def update(self, hosts: Iterable[Host], now: datetime) -> tuple[list[str], bool]:
        """Update the hosts from a new list.

        Returns:
            A message for each host that is no longer as it was, and whether any host was added, removed or
            renamed, or went away or came back. The first list makes no messages: the header shows its state.
        """
        is_up = {host.name: host.up for host in hosts}
        before, known = self.since, self._known
        # a host is named by its address alone until a second one at that address is listed
        renamed = {_address(name): since for name, since in before.items() if name not in is_up}
        self.since = {
            name: before.get(name) or renamed.get(_address(name)) or now for name, up in is_up.items() if not up
        }
        self._known = frozenset(is_up)
        if known is None:
            self._first = now
            return [], False
        listed, away = ({_address(name) for name in names} for names in (is_up, self.since))
        messages = [
            f"Host {name} is offline"
            for name in self.since
            if name not in before and _address(name) not in renamed
        ]
        for name in before.keys() - self.since.keys():
            if is_up.get(name) or _address(name) in listed - away:
                messages.append(f"Host {name} is back")
            elif _address(name) not in listed:
                messages.append(f"The cluster no longer lists host {name}, which was offline")
        return messages, known != self._known or before.keys() != self.since.keys()

    def reasons(self, jobs: Sequence[Job], spaces: Iterable[Space]) -> dict[int, str]:
        """Return, by id, why jobs make no progress. `jobs` are those under way."""
        held = {space.name: space.hosts for space in spaces}
        reasons: dict[int, str] = {}
        blocking: dict[str, Job] = {}
        for job in jobs:
            away = [name for name in held.get(job.space, ()) if name in self.since and _waits_for(job, name)]
            if job.status is Status.RUNNING and away:
                reasons[job.id] = self._reason(job, away)
                blocking[job.space] = job
        for job in jobs:
            if job.status is Status.QUEUE and job.space in blocking:
                reasons[job.id] = (
                    f"waits for job {blocking[job.space].id}, which waits for a host that is offline"
                )
        return reasons

    def _reason(self, job: Job, away: Sequence[str]) -> str:
        begin = f"waits for {', '.join(away)}, offline since "
        if job.reason.startswith(begin):
            return job.reason  # another process recorded the outage, with its own time
        since = min(self.since[name] for name in away)
        earlier = " or earlier" if since == self._first else ""
        return (
            f"{begin}{format_local_time(since)}{earlier}: "
            "the cluster continues with this space only when the host is back"
        )


def _waits_for(job: Job, host: str) -> bool:
    return any(task.host in (host, _address(host)) and not task.status.ended for task in job.tasks)


def _address(host: str) -> str:
    """Return a host's address without the port, as in tasks: `[fe80::1]:9779` gives `fe80::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]


SAMPLE_SECONDS = 0.5
"""The time for all hosts of a space to report its sizes before a job is requested; no job waits longer."""
LATE_SECONDS = 30.0
"""The time after a task's end from which sizes are no longer those that it left: others write, too."""


class JobSizes:
    """The sizes of spaces before and after the jobs on them, for the engine's loop.

    A job whose sizes were not measured right before it began has none: jobtui does not estimate them later. The
    same holds for a job that waited for another one, which changed the sizes meanwhile.
    """

    def __init__(self, job_manager: ClusterJobManager, inventory: InventoryCache) -> None:
        self._job_manager = job_manager
        self._inventory = inventory
        self._before: dict[int, Mapping[str, SpaceStats]] = {}
        self._reported: set[str] = set()
        self._problems: list[str] = []

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._before

    async def sample(self, space: str) -> Mapping[str, SpaceStats]:
        """Return the current stats of the space by host, without the hosts that do not report them."""
        hosts = next((one.hosts for one in self._inventory.spaces if one.name == space), ())
        requests = {
            host: asyncio.ensure_future(self._job_manager.stats(space, host))
            for host in hosts
            if ":" not in host  # the cluster does not name the port of a task's host
        }
        if not requests:
            return {}
        await asyncio.wait(requests.values(), timeout=SAMPLE_SECONDS)
        found: dict[str, SpaceStats] = {}
        for host, request in requests.items():
            if not request.done():
                request.cancel()
            elif (error := request.exception()) is None:
                found[host] = request.result()
            elif host not in self._reported:
                self._reported.add(host)
                self._problems.append(f"the sizes on {host} are not known: {error}")
        return found

    def put_before(self, job_id: int, sizes: Mapping[str, SpaceStats]) -> None:
        """Store the stats of a job's space from before it began."""
        if sizes:
            self._before[job_id] = sizes

    def discard_before(self, job_id: int) -> None:
        """Discard the stats from before a job, since another job runs before it does."""
        self._before.pop(job_id, None)

    def lacks_after(self, job: Job | None, found: ClusterJob, now: datetime) -> bool:
        """Return whether a task has just ended without stats after it, but with stats before it.

        Args:
            job: The job as it is recorded.
            found: The job as the cluster now reports it.
            now: The present time.
        """
        if job is None or job.id not in self._before:
            return False
        known = {task.number for task in job.tasks if task.after is not None}
        return any(
            task.number not in known and _has_just_finished(job, found.start, task, now)
            for task in found.tasks or ()
        )

    def attach(self, job: Job, after: Mapping[str, SpaceStats], now: datetime) -> Job:
        """Return the job with the sizes before and after each of its tasks.

        A task whose sizes show that nothing was compacted gets a remark. A host that reports no sizes is noted
        once.
        """
        before = self._before.get(job.id, {})
        tasks = tuple(
            _verified(
                job,
                replace(
                    task,
                    before=task.before or before.get(task.host),
                    after=task.after
                    or (after.get(task.host) if _has_just_finished(job, job.start, task, now) else None),
                ),
            )
            if task.host in before or task.after is not None
            else task
            for task in job.tasks
        )
        if job.status.ended and all(task.status.ended for task in tasks):
            self._before.pop(job.id, None)
        if tasks != job.tasks:
            job = replace(job, tasks=tasks)
        if self._problems and not job.status.ended and job.command in (JobCommand.FLUSH, JobCommand.COMPACT):
            problems, self._problems = self._problems, []
            job = add_note(job, "; ".join(problems), now)
        return job


def _verified(job: Job, task: Task) -> Task:
    """Return the task with a doubt about the success that its cluster reports, if there is one."""
    if job.command != JobCommand.COMPACT or task.before is None or task.after is None:
        return task
    return replace(task, reason=task.reason or verify_compaction(task.before, task.after))


def _has_just_finished(job: Job, start: datetime | None, task: Task, now: datetime) -> bool:
    """Return whether a task of a job that began as soon as it was submitted finished a moment ago.

    `start` and the task's times are the cluster's, whose clock may be wrong: only their difference counts.
    """
    if task.status is not Status.FINISHED or task.stop is None or start is None:
        return False
    return (now - job.submitted - (task.stop - start)).total_seconds() < LATE_SECONDS
