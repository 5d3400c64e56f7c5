"""A text for a profile that another process owns: handed in there, printed here as if it had been typed there.

The jobs are the owner's: to wait for them is to watch, and whoever stops watching leaves them alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from jobtui.cli.args import RunCommand
from jobtui.cli.commands.run import tell
from jobtui.cli.output import report_outcomes
from jobtui.cli.streams import print_error
from jobtui.cli.wait import JobWaiter, WaitAborted, counted_jobs, listening
from jobtui.engine.client import EngineEvent, Session
from jobtui.engine.health import owner_in_words
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerUnavailable
from jobtui.history import StoreError
from jobtui.model import Job, Notice

TRIES = 20
BETWEEN_TRIES_SECONDS = 0.1


def hand_in(remote: RemoteClient, profile: Profile, text: str, asked: RunCommand, label: str) -> int:
    """Hand the text in, and stay for its jobs where that is asked for; the answer is the exit status.

    Raises NotTaken where the owner went before it took any of it.
    """
    watching = RemoteWaiter(remote, quiet=asked.quiet)
    jobs: tuple[int, ...] = ()
    try:
        with listening(remote, watching):  # to the end: a signal between two waits is not lost
            answer = watching.result(remote.hand_in(text, Session()))
            status = tell(answer, asked, label)
            jobs = answer.jobs
            if not (jobs and asked.wait):
                if jobs and not asked.quiet:
                    print_error(_handed(jobs, profile, may_wait=not asked.detach))
                return status
            return report_outcomes(_ended(watching, remote, profile, jobs), status, quiet=asked.quiet)
    except WaitAborted as left:
        print_error(
            f"Left: {counted_jobs(jobs) if jobs else 'what was handed in'} goes on where it was handed in"
        )
        return 128 + left.by


def _handed(jobs: tuple[int, ...], profile: Profile, *, may_wait: bool) -> str:
    """What becomes of the jobs, whose end is neither waited for nor in the exit status."""
    words = counted_jobs(jobs)
    were, them, their = ("was", "it", "its") if len(jobs) == 1 else ("were", "them", "their")
    wait = f"; --wait stays to {their} end" if may_wait else ""
    owner = owner_in_words(profile)
    return f"{words[0].upper()}{words[1:]} {were} handed to {owner}, which goes on with {them}{wait}"


class RemoteWaiter(JobWaiter):
    """What the owner has to say is said where the owner is."""

    def turn_to(self, owner: RemoteClient) -> None:
        """Wait for this owner from here on, until it is closed."""
        self._desk = owner
        owner.subscribe(self._inbox.put)

    def _hear(self, messages: Sequence[EngineEvent]) -> None:
        super()._hear([message for message in messages if not isinstance(message, Notice)])


def _ended(
    watching: RemoteWaiter, remote: RemoteClient, profile: Profile, jobs: tuple[int, ...]
) -> tuple[Job, ...]:
    """The jobs once they have ended, under whichever owner; as they are on disk where nobody goes on."""
    owner = remote
    try:
        while True:
            try:
                return watching.until_ended(jobs)
            except OwnerUnavailable as gone:
                following = _next_owner(profile)
                if following is None:
                    print_error(f"{str(gone).capitalize()}: the next start goes on with its jobs")
                    return owner.as_they_are(jobs)
                owner.close()
                owner = following
                watching.turn_to(owner)
    finally:
        owner.close()


def _next_owner(profile: Profile) -> RemoteClient | None:
    """Whoever goes on with the profile, None where nobody does. Raises StoreError where it can't be read."""
    for left in reversed(range(TRIES)):
        try:
            return RemoteClient.connect(profile)
        except OwnerUnavailable:
            pass  # whoever takes over opens its door in a moment
        except StoreError:
            if not left:
                raise
        time.sleep(BETWEEN_TRIES_SECONDS)
    return None
