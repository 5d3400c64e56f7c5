"""The messages that an engine publishes, and the listeners that receive them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from jobtui.engine.client import EngineEvent, Listener
from jobtui.errors import StorageError
from jobtui.history import StoreError
from jobtui.model import Notice

BACKLOG = 100  # the newest notices that wait for a listener


class _Loop(Protocol):
    """The part of an asyncio loop that the bus needs: a client that only reads does not import asyncio."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> object: ...


class Listeners:
    """The listeners of one client; notices without a listener wait for the first one.

    Any thread may call the methods. A listener is called in the publisher's thread. For notices that waited,
    `deliver` calls it; by default, that is at once in the thread that adds it.
    """

    def __init__(self, deliver: Callable[[Callable[[], None]], object] | None = None) -> None:
        self._deliver_waiting = deliver if deliver is not None else lambda call: call()
        # without it a notice could be kept just after a new listener took those that waited, and be delivered
        # late or never; and one of two listeners that are added at the same time could be lost
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._backlog: list[EngineEvent] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every batch from now on; the function returned removes it."""
        with self._lock:
            backlog, self._backlog = self._backlog, []
            self._listeners = (*self._listeners, listener)
        if backlog:
            self._deliver_waiting(lambda: self._deliver(backlog, (listener,)))

        def remove() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return remove

    def publish(self, messages: Sequence[EngineEvent]) -> None:
        """Deliver a batch to every listener.

        If one fails, the others get it and a notice of the failure.
        """
        with self._lock:
            listeners = self._listeners
            if not listeners:
                self._keep_notices(messages)
        self._deliver(messages, listeners)

    def _deliver(self, messages: Sequence[EngineEvent], listeners: Sequence[Listener]) -> None:
        undelivered = _call(messages, listeners)
        if undelivered:
            with self._lock:
                self._keep_notices(undelivered)

    def _keep_notices(self, messages: Sequence[EngineEvent]) -> None:
        """Keep the notices for the next listener. The caller holds the lock."""
        notices = [message for message in messages if isinstance(message, Notice)]
        self._backlog = [*self._backlog, *notices][-BACKLOG:]


class EventBus:
    """The messages of one engine and their listeners.

    May be used from any thread. Notices that waited for a listener are delivered in `loop`.
    """

    def __init__(self, loop: _Loop) -> None:
        self._listeners = Listeners(loop.call_soon_threadsafe)
        # called with each batch first, in the publisher's thread; not a listener, for which notices do not wait
        self.observe: Listener = lambda messages: None

    def add(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every batch from now on; the function returned removes it."""
        return self._listeners.add(listener)

    def publish(self, messages: Sequence[EngineEvent]) -> None:
        """Deliver a batch to every listener."""
        if messages:
            self.observe(messages)
            self._listeners.publish(messages)

    def notify(self, text: str) -> None:
        """Publish a warning for the user."""
        self.publish([Notice(text)])

    def report_error(self, error: BaseException) -> None:
        """Publish a failure that no caller waits for."""
        expected = isinstance(error, StorageError | StoreError)
        self.publish([Notice(str(error) if expected else f"{type(error).__name__}: {error}", "error")])


def _call(messages: Sequence[EngineEvent], listeners: Sequence[Listener]) -> Sequence[EngineEvent]:
    """Call every listener; one that fails stops no other, and they get a notice of the failure.

    Returns:
        The notices of failures that could not be delivered to any listener.
    """
    failures: list[EngineEvent] = []
    sound: list[Listener] = []
    for listener in listeners:
        try:
            listener(messages)
        except Exception as error:
            text = f"A change could not be shown: {type(error).__name__}: {error}"
            failures.append(Notice(text, "error"))
        else:
            sound.append(listener)
    return _call(failures, sound) if failures and sound else failures
