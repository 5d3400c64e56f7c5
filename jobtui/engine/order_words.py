"""What is said of an order to a cluster that came to nothing, or whose outcome nobody knows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from jobtui.errors import Code, StorageError
from jobtui.model import Job

NOT_RECOVERED = "the cluster has such a job in flight, or no longer has this one"
NOT_LISTED = "its answer was lost, and the cluster lists no such job: it was not carried out"


def was_sent(error: StorageError) -> bool:
    """Whether the order that came to this had reached the cluster, or may have."""
    return error.maybe_done or error.code not in (Code.UNREACHABLE, Code.TIMEOUT)


def lost(job: Job, error: StorageError) -> str:
    """For a person: the answer to a submit or a recover was lost."""
    return (
        f"It is not known yet whether job {job.id} ({job.label}) runs, and it is not sent again: {error.detail}"
    )


def not_submitted(job: Job, error: StorageError) -> str:
    """For a person: there will be no such job."""
    if was_sent(error):
        return f"The cluster refused {job.label} (job {job.id}): {error.detail}"
    return f"{job.label} (job {job.id}) was not sent: {error.detail}"


def reason(error: StorageError) -> str:
    """For the record of a job that never came to be."""
    return f"{'the cluster refused it' if was_sent(error) else 'it was not sent'}: {error.detail}"


def not_stopped(job: Job, error: StorageError) -> str:
    """For a person: the job is not being stopped, as far as is known."""
    if error.maybe_done:
        return (
            f"It is not known yet whether job {job.id} ({job.label}) was stopped, and it is not asked again: "
            f"{error.detail}"
        )
    says = "; the cluster says" if was_sent(error) else ""
    return f"Job {job.id} ({job.label}) was not stopped{says}: {error.detail}"


def not_recovered(error: StorageError) -> str:
    """Why a job does not run again."""
    return f"{'the cluster says' if was_sent(error) else 'it was not asked'}: {error.detail}"


def partly_recovered(refusals: Sequence[str], jobs: Sequence[Job]) -> str:
    """For a person: some of the jobs named don't run again, others do."""
    others = (f"job {job.recovered_from} runs again as job {job.id}" for job in jobs)
    return "; ".join([*refusals, *others])
