"""Who hears what the engine publishes; notices that nobody hears yet wait for the first who listens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jobtui.engine.client import EngineEvent, Listener
from jobtui.model import Notice

if TYPE_CHECKING:
    import asyncio

BACKLOG = 100  # the newest notices that wait for a listener


class EventBus:
    """See the module. Any thread; a listener is called in the publisher's, and for the backlog in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._backlog: list[EngineEvent] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called with every batch from here on; the answer ends that."""
        with self._lock:
            backlog, self._backlog = self._backlog, []
            self._listeners = (*self._listeners, listener)
        if backlog:
            self._loop.call_soon_threadsafe(self._hand, backlog, (listener,))

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return leave

    def publish(self, messages: Sequence[EngineEvent]) -> None:
        """Hand a batch to every listener. One that fails keeps it from no other, and they are told."""
        if not messages:
            return
        with self._lock:
            listeners = self._listeners
            if not listeners:
                self._wait(messages)
        self._hand(messages, listeners)

    def _hand(self, messages: Sequence[EngineEvent], listeners: Sequence[Listener]) -> None:
        unheard = hand(messages, listeners)
        if unheard:
            with self._lock:
                self._wait(unheard)

    def _wait(self, messages: Sequence[EngineEvent]) -> None:
        """Keep the notices for the next listener. Only for who has the lock."""
        notices = [message for message in messages if isinstance(message, Notice)]
        self._backlog = [*self._backlog, *notices][-BACKLOG:]


def hand(messages: Sequence[EngineEvent], listeners: Sequence[Listener]) -> Sequence[EngineEvent]:
    """Call every listener. One that fails keeps it from no other, and they are told.

    The answer is what none of them could be told.
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
    return hand(failures, sound) if failures and sound else failures
