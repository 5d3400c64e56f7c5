"""Who owns a profile, and taking it over: the desk of a dashboard, whichever process runs the work.

The first process to take the history's lock owns the profile and is its engine; the others are remotes
of it. When the owner goes, whoever gets the lock first goes on as the owner and tells its listeners.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from jobtui.engine.admission import RunPolicy
from jobtui.engine.client import Client, EngineEvent, ExecuteResult, Listener, Overview, Session
from jobtui.engine.events import BACKLOG, deliver
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.remote import RemoteClient
from jobtui.errors import (
    OwnerRejected,
    OwnerTimeout,
    OwnerUnavailable,
    OwnerUnreachable,
    OwnerUntrusted,
    StorageError,
)
from jobtui.history import StoreError, StoreLocked
from jobtui.model import ConnectionStatus, Job, JobChanged, Notice, SpaceStats, Status

if TYPE_CHECKING:
    from jobtui.engine.local import LocalClient
    from jobtui.history import History
    from jobtui.storage.base import Capabilities

TRIES = 40
BETWEEN_TRIES_SECONDS = 0.1
BETWEEN_LOOKS_SECONDS = 1.0


def connect_or_start(
    profile: Profile, *, run: RunPolicy = RunPolicy.ALL, tries: int | None = None
) -> LocalClient | RemoteClient:
    """The engine where nobody has the profile yet, else the owner's remote.

    An owner that has just started, or that is just ending, is waited for a little. Raises Unanswered, and
    StoreError and StorageError where the profile can't be opened at all.
    """
    from jobtui.engine.local import LocalClient

    why = ""
    for left in reversed(range(TRIES if tries is None else tries)):
        try:
            return LocalClient.open(profile, run=run)
        except StoreLocked as locked:
            why = str(locked)
        try:
            return RemoteClient.connect(profile)
        except OwnerTimeout as silent:
            raise OwnerUnreachable(f"{why}, and {silent}") from None
        except OwnerRejected as refusal:
            raise OwnerUnreachable(f"{why}. {refusal}") from None
        except OwnerUntrusted as stranger:
            raise OwnerUnreachable(f"{why}, but {stranger}") from None
        except OwnerUnavailable as silent:
            why = f"{why}; {silent}"
        if left:
            time.sleep(BETWEEN_TRIES_SECONDS)
    raise OwnerUnreachable(why)


def open_client(profile: Profile, *, run: RunPolicy = RunPolicy.ALL) -> Client:
    """The engine or the owner's remote; a reader that says why where the owner can't be talked to.

    Raises StoreError and StorageError where the profile can't be opened at all.
    """
    try:
        return connect_or_start(profile, run=run)
    except OwnerUnreachable as error:
        return ReadOnlyClient.open(profile, str(error))


class FailoverClient:
    """A `Desk` that outlives its profile's owner: see the module.

    `may_hand_over` is set by who can let this process go on without its screen, and `handed_over` by who
    wants that: the process then goes on as a server once the screen is left.
    """

    def __init__(self, profile: Profile) -> None:
        self.may_hand_over = False
        self.handed_over = False
        self._settings = profile
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._unheard: list[EngineEvent] = []
        self._closed = False
        self._desk = self._adopted(open_client(profile))

    # ---- the desk of the moment

    @property
    def is_owner(self) -> bool:
        """Whether the work is done in this process."""
        return not isinstance(self._desk, ReadOnlyClient)

    @property
    def engine(self) -> LocalClient | None:
        """The engine, where the work is done in this process."""
        from jobtui.engine.local import LocalClient

        return self._desk if isinstance(self._desk, LocalClient) else None

    def hand_over(self) -> bool:
        """Have the work go on in this process once the screen is left; whether that can be."""
        self.handed_over = self.may_hand_over and self.is_owner
        return self.handed_over

    @property
    def profile(self) -> str:
        """See `Desk.profile`."""
        return self._desk.profile

    @property
    def writable(self) -> bool:
        """See `Desk.writable`."""
        return self._desk.writable

    @property
    def write_error(self) -> str:
        """See `Desk.trouble`."""
        return self._desk.write_error

    @property
    def capabilities(self) -> Capabilities | None:
        """See `Desk.capabilities`."""
        return self._desk.capabilities

    @property
    def connection(self) -> ConnectionStatus | None:
        """See `Desk.link`."""
        return self._desk.connection

    def reconnect(self) -> None:
        """See `Desk.retry_now`."""
        self._desk.reconnect()

    @property
    def history(self) -> History:
        """See `Desk.history`; another one after a take-over."""
        return self._desk.history

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """See `Desk.execute`."""
        return self._desk.execute(text, session)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `Desk.subscribe`; lasts over a take-over."""
        with self._lock:
            unheard, self._unheard = self._unheard, []
            self._listeners = (*self._listeners, listener)
        if unheard:
            listener(unheard)

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return leave

    def job(self, job_id: int) -> Job | None:
        """See `Desk.job`."""
        return self._desk.job(job_id)

    def active_jobs(self) -> tuple[Job, ...]:
        """See `Desk.active`."""
        return self._desk.active_jobs()

    def space_names(self) -> tuple[str, ...]:
        """See `Desk.spaces`."""
        return self._desk.space_names()

    def host_names(self) -> tuple[str, ...]:
        """See `Desk.host_names`."""
        return self._desk.host_names()

    def fetch_overview(self) -> Future[Overview]:
        """See `Desk.overview`."""
        return self._desk.fetch_overview()

    def fetch_stats(self, space: str, host: str) -> Future[SpaceStats]:
        """See `Desk.stats`."""
        return self._desk.fetch_stats(space, host)

    def stop_jobs(self) -> Future[None]:
        """See `Desk.stop_work`."""
        return self._desk.stop_jobs()

    def wait_idle(self) -> Future[None]:
        """See `Desk.idle`."""
        return self._desk.wait_idle()

    def close(self) -> None:
        """See `Desk.close`."""
        self._closed = True
        self._desk.close()

    # ---- taking over

    def _adopted(self, desk: Client) -> Client:
        """The desk, listened to and watched: what comes when it goes is seen to."""
        desk.subscribe(self._tell)
        if isinstance(desk, RemoteClient):
            desk.on_owner_exit = self._beside(self._take_over)
        elif isinstance(desk, ReadOnlyClient):
            self._beside(self._wait_for_an_owner)()
        return desk

    def _take_over(self) -> None:
        if self._closed:
            return
        try:
            self._go_on_with(open_client(self._settings))
        except (StoreError, StorageError, OSError) as error:
            self._tell(
                [Notice(f"The jobtui that ran this profile has ended, and it can't be taken over: {error}")]
            )
            return
        here = "this one runs it now" if self.is_owner else "another one runs it now"
        why = f": {self.write_error}" if not self.writable else ""
        if why:
            here = "it can only be read here"
        self._tell([Notice(f"The jobtui that ran this profile has ended; {here}{why}", "information")])

    def _wait_for_an_owner(self) -> None:
        """Look now and then whether the owner answers again, or has gone."""
        while not self._closed:
            time.sleep(BETWEEN_LOOKS_SECONDS)
            try:
                desk = connect_or_start(self._settings, tries=1)
            except (OwnerUnreachable, StoreError, StorageError, OSError):
                continue  # as it was; what is asked of the desk meanwhile is answered with the reason
            self._go_on_with(desk)
            here = "this one runs it now" if self.is_owner else "the one that has it answers again"
            self._tell([Notice(f"This profile can be written again: {here}", "information")])
            return

    def _go_on_with(self, desk: Client) -> None:
        shown = {job.id: job.status for job in self._last_shown()}
        before, self._desk = self._desk, self._adopted(desk)
        before.close()
        if self._closed:
            desk.close()
        else:
            self._tell_of_changes_since(shown, desk)

    def _last_shown(self) -> tuple[Job, ...]:
        desk = self._desk
        return desk.last_known_active() if isinstance(desk, RemoteClient) else desk.active_jobs()

    def _tell_of_changes_since(self, shown: dict[int, Status], desk: Client) -> None:
        """Tell what happened between the two desks: neither did, since nobody listened to the new one yet.

        What the new desk tells by itself meanwhile may come before what is told here of the same job, which
        is then the older: until nothing is left to tell, each job is looked at again.
        """
        while True:
            now = {job.id: job for job in desk.active_jobs()}
            now |= {
                job_id: job for job_id in shown.keys() - now.keys() if (job := desk.job(job_id)) is not None
            }
            changes = [
                JobChanged(job, shown.get(job_id))
                for job_id, job in sorted(now.items())
                if job.status is not shown.get(job_id)
            ]
            if not changes:
                return
            shown |= {change.job.id: change.job.status for change in changes}
            self._tell(changes)

    def _beside(self, work: Callable[[], None]) -> Callable[[], None]:
        return lambda: threading.Thread(target=work, name="jobtui-take-over", daemon=True).start()

    def _tell(self, messages: Sequence[EngineEvent]) -> None:
        with self._lock:
            listeners = self._listeners
            if not listeners:  # as a start has it: what it has to say waits for the screen
                self._unheard.extend(message for message in messages if isinstance(message, Notice))
        unheard = deliver(messages, listeners)
        if unheard:
            with self._lock:
                self._unheard = [*self._unheard, *unheard][-BACKLOG:]
