"""The client of one command: an engine in this process, or a connection to the profile's owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

from jobtui.cli.errors import CommandError, profile_error
from jobtui.cli.streams import print_error
from jobtui.cli.wait import WaitAborted, engine_waiter
from jobtui.engine.client import EngineEvent
from jobtui.engine.failover import connect_or_start
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.queries import no_such_space
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.remote import RemoteClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import OwnerUnavailable, OwnerUnreachable, StorageError
from jobtui.history import StoreError, describe_damage
from jobtui.model import Notice


@contextmanager
def connect_client(profile: Profile, run: RunPolicy) -> Iterator[LocalClient | RemoteClient]:
    """Yield the profile's engine, or a client of its owner, until the block ends.

    The caller's block must wait for jobs that other processes submit to this one meanwhile.

    Raises CommandError if the profile cannot be used, and for errors of the storage in the block.
    """
    try:
        client = connect_or_start(profile, run=run)
    except OwnerUnreachable as error:
        raise CommandError(f"{error}; nothing was done") from None
    except (StoreError, StorageError) as error:
        raise profile_error(error) from None
    if isinstance(client, LocalClient) and (damage := describe_damage(client.history.notes)):
        print_error(damage)
    try:
        yield client
    except (StoreError, StorageError, OwnerUnavailable) as error:
        raise CommandError(str(error)) from None
    finally:
        client.close()


def wait_for_other_jobs(client: LocalClient | RemoteClient) -> None:
    """Wait for jobs that other processes submitted to this one meanwhile; a signal stops them."""
    if isinstance(client, RemoteClient):
        return
    with engine_waiter(client) as waiter:
        try:
            waiter.wait_for_other_jobs()
        except WaitAborted:
            return


@contextmanager
def print_notices_after(client: LocalClient | RemoteClient) -> Iterator[None]:
    """Collect the client's notices, and print them on stderr when the block ends."""
    notices: SimpleQueue[Notice] = SimpleQueue()

    def collect(messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            if isinstance(message, Notice):
                notices.put(message)

    unsubscribe = client.subscribe(collect)
    try:
        yield
    finally:
        unsubscribe()
        while not notices.empty():
            print_error(notices.get().text)


def require_space(client: LocalClient | ReadOnlyClient, space: str) -> None:
    """Reject a space that does not exist, and suggest the nearest one. Raises CommandError."""
    known = client.space_names()
    if space not in known:
        raise CommandError(no_such_space(space, known))
