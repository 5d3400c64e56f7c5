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

from jobtui.engine.desk import Answer, Desk, Listener, Message, Overview, Session
from jobtui.engine.profile import Profile, Run
from jobtui.engine.reader import Reader
from jobtui.engine.remote import Remote
from jobtui.engine.wire import NoAnswer
from jobtui.history import StoreError, StoreLocked
from jobtui.model import Job, Notice, Stats

if TYPE_CHECKING:
    from jobtui.history import History
    from jobtui.storage.base import Capabilities

TRIES = 40
BETWEEN_TRIES_SECONDS = 0.1


def open_desk(profile: Profile, *, run: Run = Run.ALL) -> Desk:
    """The engine where nobody has the profile yet, else the owner's remote.

    An owner that holds the lock but does not answer (an older version, a stopped process) leaves a reader
    that says so. Raises StoreError and StorageError where the profile can't be opened at all.
    """
    from jobtui.engine.engine import Engine

    why = ""
    for _ in range(TRIES):
        try:
            return Engine.open(profile, run=run)
        except StoreLocked as locked:
            why = str(locked)
        try:
            return Remote.connect(profile)
        except NoAnswer as silent:
            why = f"{why}; {silent}"
        time.sleep(BETWEEN_TRIES_SECONDS)  # an owner that has just started opens its door in a moment
    return Reader.open(profile, why)


class SharedDesk:
    """A `Desk` that outlives its profile's owner: see the module."""

    def __init__(self, profile: Profile) -> None:
        self._settings = profile
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._closed = False
        self._desk = self._take_up()

    # ---- the desk of the moment

    @property
    def owner(self) -> bool:
        """Whether the work is done in this process."""
        return not isinstance(self._desk, Reader)

    @property
    def profile(self) -> str:
        """See `Desk.profile`."""
        return self._desk.profile

    @property
    def writable(self) -> bool:
        """See `Desk.writable`."""
        return self._desk.writable

    @property
    def trouble(self) -> str:
        """See `Desk.trouble`."""
        return self._desk.trouble

    @property
    def capabilities(self) -> Capabilities | None:
        """See `Desk.capabilities`."""
        return self._desk.capabilities

    @property
    def history(self) -> History:
        """See `Desk.history`; another one after a take-over."""
        return self._desk.history

    def execute(self, text: str, session: Session) -> Future[Answer]:
        """See `Desk.execute`."""
        return self._desk.execute(text, session)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `Desk.subscribe`; lasts over a take-over."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return leave

    def job(self, job_id: int) -> Job | None:
        """See `Desk.job`."""
        return self._desk.job(job_id)

    def active(self) -> tuple[Job, ...]:
        """See `Desk.active`."""
        return self._desk.active()

    def spaces(self) -> tuple[str, ...]:
        """See `Desk.spaces`."""
        return self._desk.spaces()

    def host_names(self) -> tuple[str, ...]:
        """See `Desk.host_names`."""
        return self._desk.host_names()

    def overview(self) -> Future[Overview]:
        """See `Desk.overview`."""
        return self._desk.overview()

    def stats(self, space: str, host: str) -> Future[Stats]:
        """See `Desk.stats`."""
        return self._desk.stats(space, host)

    def stop_work(self) -> Future[None]:
        """See `Desk.stop_work`."""
        return self._desk.stop_work()

    def idle(self) -> Future[None]:
        """See `Desk.idle`."""
        return self._desk.idle()

    def close(self) -> None:
        """See `Desk.close`."""
        self._closed = True
        self._desk.close()

    # ---- taking over

    def _take_up(self) -> Desk:
        desk = open_desk(self._settings)
        desk.subscribe(self._tell)
        if isinstance(desk, Remote):
            desk.gone = lambda: threading.Thread(target=self._take_over, daemon=True).start()
        return desk

    def _take_over(self) -> None:
        if self._closed:
            return
        before = self._desk
        try:
            self._desk = self._take_up()
        except (StoreError, OSError) as error:
            self._tell(
                [Notice(f"The jobtui that ran this profile has ended, and it can't be taken over: {error}")]
            )
            return
        before.close()
        here = "this one runs it now" if self.owner else "another one runs it now"
        self._tell([Notice(f"The jobtui that ran this profile has ended; {here}", "information")])

    def _tell(self, messages: Sequence[Message]) -> None:
        for listener in self._listeners:
            listener(messages)
