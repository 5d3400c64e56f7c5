"""Connecting to a profile's owner or becoming it, also after the owner exits.

The first process that locks the history owns the profile and runs its engine; the others are its clients. When
the owner exits, the first one that gets the lock becomes the owner and publishes what has changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from jobtui.engine.client import Client, ExecuteResult, Listener, Overview, Session
from jobtui.engine.events import Listeners
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import (
    OwnerRejected,
    OwnerTimeout,
    OwnerUnavailable,
    OwnerUnreachable,
    OwnerUntrusted,
    StorageError,
)
from jobtui.history import StoreError, StoreLocked
from jobtui.model import ConnectionStatus, Job, JobChanged, Notice, SpaceStats

if TYPE_CHECKING:
    from jobtui.engine.local import LocalClient
    from jobtui.engine.remote import RemoteClient
    from jobtui.engine.samples import JobSamples
    from jobtui.history import History

TRIES = 40
BETWEEN_TRIES_SECONDS = 0.1
BETWEEN_CHECKS_SECONDS = 1.0


def connect_or_start(
    profile: Profile, *, run: RunPolicy = RunPolicy.ALL, tries: int | None = None
) -> LocalClient | RemoteClient:
    """Start the engine if no process owns the profile, otherwise connect to the owner.

    A read-only profile never starts the engine. The function waits a few seconds for an owner that is just
    starting or ending. It raises OwnerUnreachable, and StoreError or StorageError if the profile cannot be
    opened at all.
    """
    from jobtui.engine.local import LocalClient

    if profile.read_only:
        try:
            return _connect(profile)
        except OwnerUnavailable:
            raise OwnerUnreachable(profile.read_only_reason) from None
    why = ""
    for left in reversed(range(TRIES if tries is None else tries)):
        try:
            return LocalClient.open(profile, run=run)
        except StoreLocked as locked:
            why = str(locked)
        try:
            return _connect(profile)
        except OwnerTimeout as error:
            raise OwnerUnreachable(f"{why}, and {error}") from None
        except OwnerRejected as error:
            raise OwnerUnreachable(f"{why}. {error}") from None
        except OwnerUntrusted as error:
            raise OwnerUnreachable(f"{why}, but {error}") from None
        except OwnerUnavailable as error:
            why = f"{why}; {error}"
        if left:
            time.sleep(BETWEEN_TRIES_SECONDS)  # no event says that the owner listens
    raise OwnerUnreachable(why)


def _connect(profile: Profile) -> RemoteClient:
    # late, here and below: a start of the owner does not need it
    from jobtui.engine.remote import RemoteClient

    return RemoteClient.connect(profile)


def open_client(profile: Profile, *, run: RunPolicy = RunPolicy.ALL) -> Client:
    """Return a client of any kind: read-only, with the reason, if the owner is not reachable.

    Raises StoreError and StorageError if the profile cannot be opened at all.
    """
    try:
        return connect_or_start(profile, run=run)
    except OwnerUnreachable as error:
        return ReadOnlyClient.open(profile, "" if profile.read_only else str(error))


class FailoverClient:
    """A `Client` that continues when its profile's owner exits.

    `has_yielded`: its jobs were left for the profile's next owner.
    """

    def __init__(self, profile: Profile) -> None:
        self.has_yielded = False
        self._settings = profile
        self._listeners = Listeners()
        self._closed = False
        self._client = self._watch(open_client(profile))

    # ---- the current client

    @property
    def is_owner(self) -> bool:
        """Whether this process runs the jobs."""
        return not isinstance(self._client, ReadOnlyClient)

    @property
    def engine(self) -> LocalClient | None:
        """The client of the engine, if this process runs the jobs."""
        from jobtui.engine.local import LocalClient

        return self._client if isinstance(self._client, LocalClient) else None

    @property
    def profile(self) -> str:
        """The profile's name."""
        return self._client.profile

    @property
    def writable(self) -> bool:
        """Whether statements that change something are accepted."""
        return self._client.writable

    @property
    def write_error(self) -> str:
        """Why nothing can be written at the moment; "" if it can."""
        return self._client.write_error

    @property
    def connection(self) -> ConnectionStatus | None:
        """The state of the connection to the cluster."""
        return self._client.connection

    def reconnect(self) -> None:
        """Try to connect to the cluster now."""
        self._client.reconnect()

    @property
    def history(self) -> History:
        """The history; another one after a takeover."""
        return self._client.history

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """Execute a text."""
        return self._client.execute(text, session)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each batch of messages, also after a takeover."""
        return self._listeners.add(listener)

    def job(self, job_id: int) -> Job | None:
        """Return the job as it is now."""
        return self._client.job(job_id)

    def active_jobs(self) -> tuple[Job, ...]:
        """Return the queued and running jobs."""
        return self._client.active_jobs()

    def space_names(self) -> tuple[str, ...]:
        """Return the names of the spaces."""
        return self._client.space_names()

    def host_names(self) -> tuple[str, ...]:
        """Return the names of the hosts."""
        return self._client.host_names()

    def fetch_overview(self) -> Future[Overview]:
        """Return all spaces and hosts."""
        return self._client.fetch_overview()

    def fetch_stats(self, space: str, host: str) -> Future[SpaceStats]:
        """Return the statistics of a space on a host."""
        return self._client.fetch_stats(space, host)

    def fetch_samples(self, job_id: int) -> Future[JobSamples | None]:
        """Return what a job's hosts read and wrote each second."""
        return self._client.fetch_samples(job_id)

    def stop_jobs(self) -> Future[None]:
        """Stop every job of this process."""
        return self._client.stop_jobs()

    def yield_jobs(self) -> Future[None]:
        """End the work of this process at the next steps, so that the profile's next owner continues it."""
        self.has_yielded = self.engine is not None
        return self._client.yield_jobs()

    def wait_idle(self) -> Future[None]:
        """Wait until this process runs no job."""
        return self._client.wait_idle()

    def close(self) -> None:
        """Close the current client."""
        self._closed = True
        self._client.close()

    # ---- taking over

    def _watch(self, client: Client) -> Client:
        """Subscribe to a client, and prepare for the exit of its owner. Return the client."""
        client.subscribe(self._listeners.publish)
        if isinstance(client, ReadOnlyClient):
            from jobtui.engine.remote import RemoteClient

            if isinstance(client, RemoteClient):
                client.on_owner_exit = self._in_thread(self._take_over)
            else:
                self._in_thread(self._wait_for_owner)()
        return client

    def _take_over(self) -> None:
        if self._closed:
            return
        try:
            self._switch_to(open_client(self._settings))
        except (StoreError, StorageError, OSError) as error:
            failed = f"The jobtui that ran this profile has ended, and this one cannot take it over: {error}"
            self._listeners.publish([Notice(f"{failed}; it tries again every second")])
            self._wait_for_owner()
            return
        if self._settings.read_only:
            self._listeners.publish([Notice("The jobtui that ran this profile has ended", "information")])
            return
        here = "this one runs it now" if self.is_owner else "another one runs it now"
        why = f": {self.write_error}" if not self.writable else ""
        if why:
            here = "it can only be read here"
        self._listeners.publish(
            [Notice(f"The jobtui that ran this profile has ended; {here}{why}", "information")]
        )

    def _wait_for_owner(self) -> None:
        """Check every second whether the owner answers again, or has exited."""
        while not self._closed:
            time.sleep(BETWEEN_CHECKS_SECONDS)  # no event says that the owner answers or has exited
            try:
                client = connect_or_start(self._settings, tries=1)
            except (OwnerUnreachable, StoreError, StorageError, OSError):
                continue  # the owner is still unreachable: requests are refused with the reason
            self._switch_to(client)
            if self._settings.read_only:
                return
            here = "this one runs it now" if self.is_owner else "the one that has it answers again"
            self._listeners.publish([Notice(f"This profile can be written again: {here}", "information")])
            return

    def _switch_to(self, client: Client) -> None:
        shown = {job.id: job for job in self._last_shown()}
        before, self._client = self._client, self._watch(client)
        before.close()
        if self._closed:
            client.close()
        else:
            self._publish_changes_since(shown, client)

    def _last_shown(self) -> tuple[Job, ...]:
        client = self._client
        from jobtui.engine.remote import RemoteClient

        return client.last_known_active() if isinstance(client, RemoteClient) else client.active_jobs()

    def _publish_changes_since(self, shown: dict[int, Job], client: Client) -> None:
        """Publish the changes between the two clients, before this one subscribed to the new one.

        A limit of SET RATE ends with its owner, and changes no status.

        A message of the new client may arrive before an older one about the same job from this method. So every
        job is compared again until nothing is left to publish.
        """
        while True:
            now = {job.id: job for job in client.active_jobs()}
            now |= {
                job_id: job for job_id in shown.keys() - now.keys() if (job := client.job(job_id)) is not None
            }
            changes = [
                JobChanged(job, None if before is None else before.status)
                for job_id, job in sorted(now.items())
                if (before := shown.get(job_id)) is None or _differ(before, job)
            ]
            if not changes:
                return
            shown |= {change.job.id: change.job for change in changes}
            self._listeners.publish(changes)

    def _in_thread(self, work: Callable[[], None]) -> Callable[[], None]:
        return lambda: threading.Thread(target=work, name="jobtui-take-over", daemon=True).start()


def _differ(before: Job, after: Job) -> bool:
    return before.status is not after.status or (before.write_limit, before.limited_by) != (
        after.write_limit,
        after.limited_by,
    )
