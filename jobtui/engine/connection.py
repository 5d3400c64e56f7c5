"""The connection of the engine to a cluster. Embedded storage has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from msgspec.structs import replace

from jobtui.model import ConnectionStatus


@runtime_checkable
class HasConnection(Protocol):
    """A storage that is reached over a connection; its `link` is None if it works without one."""

    @property
    def link(self) -> ConnectionStatus | None:
        """The state of the connection."""
        ...

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Call `listener` in the engine's loop at each change; the function returned ends the subscription."""
        ...

    def retry_now(self) -> None:
        """Try to connect now; in the engine's loop."""
        ...


class ConnectionMonitor:
    """The last known state of a connection; `on_change` is called with each new one, in the engine's loop.

    `steady` is the clock's: seconds that never go back.
    """

    def __init__(
        self,
        storage: HasConnection,
        steady: Callable[[], float],
        on_change: Callable[[ConnectionStatus], None],
    ) -> None:
        self._storage = storage
        self._steady = steady
        self._on_change = on_change
        self._last = storage.link, steady()
        storage.watch(self._update)

    @property
    def status(self) -> ConnectionStatus | None:
        """The connection at this moment: `retry_in` counts from now. Any thread."""
        status, at = self._last
        return None if status is None else age_retry_delay(status, self._steady() - at)

    def reconnect(self) -> None:
        """Try to connect now."""
        self._storage.retry_now()

    def _update(self, status: ConnectionStatus) -> None:
        self._last = status, self._steady()
        self._on_change(status)


def age_retry_delay(status: ConnectionStatus, seconds: float) -> ConnectionStatus:
    """Return the status as it is some seconds later, with the delay until the next attempt reduced by them."""
    if status.retry_in is None:
        return status
    return replace(status, retry_in=max(0.0, status.retry_in - seconds))
