"""The interface through which statements act on jobs that this process or a cluster runs."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from jobtui.errors import StatementRefused
from jobtui.language.ast import Submit, write_options
from jobtui.model import NO_OPTIONS, Job, JobOptions
from jobtui.storage.base import Space


class JobRunner(enum.Enum):
    """The three ways in which jobs run; the values are their names in refusals."""

    EMBEDDED = "embedded storage"
    CLUSTER = "a cluster that runs its jobs itself"
    HTTP = "a cluster whose hosts are asked one by one"


_TURNS: Final = frozenset({"rolling", "wait", "order", "on_failure", "retry", "retry_wait"})
_PARTS: Final = frozenset({"rate", "family", "from", "to", "room"})

HONORED: Final[dict[tuple[JobRunner, str], frozenset[str]]] = {
    (JobRunner.EMBEDDED, "compact"): frozenset({"ON", "IF", "because", *_TURNS, *_PARTS}),
    (JobRunner.EMBEDDED, "flush"): frozenset({"ON", "IF", "because", *_TURNS}),
    (JobRunner.HTTP, "compact"): frozenset({"ON", "IF", "because", *_TURNS}),
    (JobRunner.HTTP, "flush"): frozenset({"ON", "IF", "because", *_TURNS}),
    (JobRunner.CLUSTER, "compact"): frozenset({"because"}),
    (JobRunner.CLUSTER, "flush"): frozenset({"because"}),
}
"""The options that each runner honors for each command; ON and IF count as options here."""


def require_options(statement: Submit, runner: JobRunner) -> None:
    """Refuse a job with an option that would be ignored. Raises StatementRefused."""
    options, command = statement.options, statement.command
    if options == NO_OPTIONS:
        return
    given = [
        *(["ON"] if options.hosts else []),
        *(["IF"] if options.condition else []),
        *write_options(options),
    ]
    honored = HONORED[runner, command]
    for name in given:
        if name not in honored:
            taken = ", ".join(sorted(honored, key=str.casefold))
            raise StatementRefused(
                f"{name} is not possible for {command.upper()} on {runner.value} (it takes {taken})"
            )
    if options.from_key is not None and options.to_key is not None and options.from_key >= options.to_key:
        raise StatementRefused("The range of keys is empty: from must be smaller than to, which is excluded")


class SubmittedJobs(msgspec.Struct, frozen=True):
    """The jobs that a request created, in order, and a notice for the user, "" if there is none."""

    jobs: tuple[Job, ...]
    notice: str = ""


class SubmitRequest(msgspec.Struct, frozen=True):
    """A request for a job: `command` on the hosts of `space`, in the order of their turns.

    `requested_by`: the user and the host that requested it. `schedule`: the schedule that submits it, or "".
    """

    command: str
    space: Space
    options: JobOptions = NO_OPTIONS
    requested_by: str = ""
    schedule: str = ""


class RecoverRequest(msgspec.Struct, frozen=True):
    """A request to run jobs again.

    Attributes:
        because: The reason in the user's words.
        failed_only: Whether only the hosts that did not finish run again.
        whole: Whether compactions start over, instead of continuing after the last finished step.
        requested_by: The user and the host that requested it; "" for those that requested the job itself.
        schedule: The schedule that continues its job, "" if none does.
    """

    because: str = ""
    failed_only: bool = False
    whole: bool = False
    requested_by: str = ""
    schedule: str = ""


class JobCount(msgspec.Struct, frozen=True):
    """The number of jobs that a request concerned, and of their tasks that had not ended.

    `notice`: a notice for the user, "" if there is none.
    """

    jobs: int
    tasks: int
    notice: str = ""


class JobControl(Protocol):
    """The operations on jobs; for the engine's loop alone.

    `Dispatcher` implements it for storage whose tasks this process runs, `ClusterRequests` for a cluster
    that manages its jobs itself. Each method raises StatementRefused with the reason if the request is not
    possible, StoreError if the history's disk rejected the change, and StorageError if the storage is not
    reachable. A request that raises has changed nothing, unless the message says otherwise.
    """

    @property
    def outlives_engine(self) -> bool:
        """Whether running jobs continue when this process ends."""
        ...

    async def take_over(self) -> None:
        """Continue or end, at the start, the jobs that the previous owner left behind."""
        ...

    async def complete(self, job_id: int) -> None:
        """Fetch the data of a job that is not recorded yet; if that is not possible, do nothing."""
        ...

    async def submit(self, request: SubmitRequest) -> SubmittedJobs:
        """Create a job."""
        ...

    async def stop(self, ids: Sequence[int], because: str = "", *, requested_by: str = "") -> JobCount:
        """Stop these jobs. `requested_by`, here and below: who requests it and from where."""
        ...

    async def pause(
        self, ids: Sequence[int], because: str = "", *, now: bool = False, requested_by: str = ""
    ) -> JobCount:
        """Hold these jobs; with `now`, cancel the steps that they are in."""
        ...

    async def resume(self, ids: Sequence[int], because: str = "", *, requested_by: str = "") -> JobCount:
        """Let these paused jobs continue."""
        ...

    async def set_rate(self, rate: int | None, job_id: int | None, *, requested_by: str = "") -> str:
        """Limit the writes of one job, or of all (None), in bytes a second (None: no limit).

        Returns a notice for the user.
        """
        ...

    async def recover(self, ids: Sequence[int], request: RecoverRequest) -> SubmittedJobs:
        """Run these ended jobs again, each as a new job."""
        ...

    async def recover_all(self, space: str | None, request: RecoverRequest) -> SubmittedJobs:
        """Run all failed and stopped jobs of `space`, or of all spaces (None), that were not recovered yet."""

        ...
