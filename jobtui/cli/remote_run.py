"""Statements for a profile that another process owns: sent to the owner, their results printed here.

The jobs are the owner's: this process only watches them, and ctrl+c leaves them alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from jobtui.cli.args import RunCommand
from jobtui.cli.output import print_result, report_outcomes
from jobtui.cli.streams import print_error
from jobtui.cli.wait import JobWaiter, WaitAborted, describe_jobs, receive_into
from jobtui.engine.client import EngineEvent, Session
from jobtui.engine.health import owner_in_words
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerUnavailable
from jobtui.history import StoreError
from jobtui.model import Job, Notice

# the next owner accepts connections within two seconds, or there is none
CONNECT_ATTEMPTS = 20
ATTEMPT_INTERVAL_SECONDS = 0.1


def run_remotely(client: RemoteClient, profile: Profile, text: str, command: RunCommand, label: str) -> int:
    """Send the statements to the owner, with --wait wait for their jobs, and return the exit status.

    Raises RequestNotAccepted if the owner exited before it accepted any of them.
    """
    waiter = RemoteWaiter(client, quiet=command.quiet)
    jobs: tuple[int, ...] = ()
    try:
        with receive_into(waiter, client):  # until the end: a signal between two waits is not lost
            result = waiter.result(client.submit(text, Session()))
            status = print_result(result, command, label)
            jobs = result.jobs
            if not (jobs and command.wait):
                if jobs and not command.quiet:
                    print_error(_describe_submitted(jobs, profile, may_wait=not command.detach))
                return status
            ended = _wait_ended(waiter, client, profile, jobs)
            return report_outcomes(ended, status, quiet=command.quiet)
    except WaitAborted as aborted:
        what = describe_jobs(jobs) if jobs else "the work that was submitted"
        print_error(f"No longer waiting: {what} continues in the process that owns the profile")
        return 128 + aborted.by


def _describe_submitted(jobs: tuple[int, ...], profile: Profile, *, may_wait: bool) -> str:
    """Return what becomes of the jobs, whose end is neither waited for nor in the exit status."""
    text = describe_jobs(jobs)
    were, them, their = ("was", "it", "its") if len(jobs) == 1 else ("were", "them", "their")
    wait = f"; --wait waits for {their} end" if may_wait else ""
    owner = owner_in_words(profile)
    return f"{text[0].upper()}{text[1:]} {were} submitted to {owner}, which runs {them}{wait}"


class RemoteWaiter(JobWaiter):
    """Waits for jobs of another process; that process prints its own notices."""

    def follow(self, owner: RemoteClient) -> None:
        """Wait for this owner from here on, until it is closed."""
        self._client = owner
        owner.subscribe(self._inbox.put)

    def _on_messages(self, messages: Sequence[EngineEvent]) -> None:
        super()._on_messages([message for message in messages if not isinstance(message, Notice)])


def _wait_ended(
    waiter: RemoteWaiter, client: RemoteClient, profile: Profile, jobs: tuple[int, ...]
) -> tuple[Job, ...]:
    """Return the jobs once they have ended, under any owner; as they are on disk if no process runs them."""
    owner = client
    try:
        while True:
            try:
                return waiter.wait_ended(jobs)
            except OwnerUnavailable as error:
                next_owner = _connect_next_owner(profile)
                if next_owner is None:
                    print_error(f"{str(error).capitalize()}: the next start continues its jobs")
                    return owner.jobs_on_disk(jobs)
                owner.close()
                owner = next_owner
                waiter.follow(owner)
    finally:
        owner.close()


def _connect_next_owner(profile: Profile) -> RemoteClient | None:
    """Return a client of the process that takes over the profile, None if there is none.

    Raises StoreError if the profile cannot be read.
    """
    for left in reversed(range(CONNECT_ATTEMPTS)):
        try:
            return RemoteClient.connect(profile)
        except OwnerUnavailable:
            pass  # a process that takes over listens in a moment
        except StoreError:
            if not left:
                raise
        time.sleep(ATTEMPT_INTERVAL_SECONDS)
    return None
