"""The interface by which statements act on jobs, whether this process runs the tasks or a cluster does."""

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
    """The three ways in which jobs run; the value is how a refusal names it."""

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
    """The jobs that a request made, in order, and what the user should know of it ("": nothing)."""

    jobs: tuple[Job, ...]
    notice: str = ""


class SubmitRequest(msgspec.Struct, frozen=True):
    """A request for a job: `command` on the hosts of `space`, in the order in which they take their turns.

    `requested_by`: who, and from where. `schedule`: the schedule that submits it, "" if none does.
    """

    command: str
    space: Space
    options: JobOptions = NO_OPTIONS
    requested_by: str = ""
    schedule: str = ""


class RecoverRequest(msgspec.Struct, frozen=True):
    """How jobs are run again.

    Attributes:
        because: Why, in the user's words.
        failed_only: Only on the hosts that did not finish.
        whole: From the start, instead of after the last finished step.
        requested_by: Who requested it, and from where; "" for who requested the job itself.
        schedule: The schedule that continues its job, "" if none does.
    """

    because: str = ""
    failed_only: bool = False
    whole: bool = False
    requested_by: str = ""
    schedule: str = ""


class JobCount(msgspec.Struct, frozen=True):
    """The number of jobs that a request concerned, and of their tasks that had not ended.

    `notice`: what the user should know of it, "" if there is nothing.
    """

    jobs: int
    tasks: int
    notice: str = ""


class JobControl(Protocol):
    """What can be done with jobs; for the engine's loop alone.

    `Dispatcher` implements it for storage whose tasks this process runs, `ClusterRequests` for a cluster
    that manages its jobs itself. Each method raises StatementRefused with the reason if the request is not
    possible, StoreError if the history's disk did not take the change, and StorageError if the storage is
    not reachable. A request that raises has changed nothing, unless the text says otherwise.
    """

    @property
    def outlives_engine(self) -> bool:
        """Whether running jobs continue when this process ends."""
        ...

    async def take_over(self) -> None:
        """Decide at the start what becomes of the jobs that the previous owner left behind."""
        ...

    async def complete(self, job_id: int) -> None:
        """Fetch what is not recorded of a job yet; if that is not possible, it stays as it is."""
        ...

    async def submit(self, request: SubmitRequest) -> SubmittedJobs:
        """Create a job."""
        ...

    async def stop(self, ids: Sequence[int], because: str = "") -> JobCount:
        """Stop these jobs."""
        ...

    async def pause(self, ids: Sequence[int], because: str = "", *, now: bool = False) -> JobCount:
        """Hold these jobs; with `now`, cancel the steps that they are in."""
        ...

    async def resume(self, ids: Sequence[int], because: str = "") -> JobCount:
        """Let these paused jobs continue."""
        ...

    async def set_rate(self, rate: int | None, job_id: int | None) -> str:
        """Limit the writes of one job, or of all (None), in bytes a second (None: no limit).

        Returns what the user should know of it.
        """
        ...

    async def recover(self, ids: Sequence[int], request: RecoverRequest) -> SubmittedJobs:
        """Run these ended jobs again, each as a new job."""
        ...

    async def recover_all(self, space: str | None, request: RecoverRequest) -> SubmittedJobs:
        """Run all failed and stopped jobs again that were not recovered yet; of `space`, or of all (None)."""
        ...
