"""The engine's connection to a cluster, as whoever shows it wants to know of it. Embedded storage has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec.structs import replace

from jobtui.model import Link

if TYPE_CHECKING:
    from jobtui.clock import Clock  # with asyncio, which a reader does without


@runtime_checkable
class Linked(Protocol):
    """A storage that is reached over a connection. A link of None: it can do without."""

    @property
    def link(self) -> Link | None:
        """How it stands with the connection."""
        ...

    def watch(self, listener: Callable[[Link], None]) -> Callable[[], None]:
        """Have `listener` called, in the engine's loop, when that changes; the answer ends it."""
        ...

    def retry_now(self) -> None:
        """Try to connect now; in the engine's loop."""
        ...


class Connection:
    """The newest state of a connection; `changed` is called with each, in the engine's loop."""

    def __init__(self, linked: Linked, clock: Clock, changed: Callable[[Link], None]) -> None:
        self._linked = linked
        self._clock = clock
        self._changed = changed
        self._told = linked.link, clock.steady()
        linked.watch(self._hear)

    @property
    def link(self) -> Link | None:
        """The connection at this moment: `retry_in` counts from now. Any thread."""
        link, at = self._told
        return None if link is None else as_of_now(link, self._clock.steady() - at)

    def retry_now(self) -> None:
        """See `Linked.retry_now`."""
        self._linked.retry_now()

    def _hear(self, link: Link) -> None:
        self._told = link, self._clock.steady()
        self._changed(link)


def as_of_now(link: Link, seconds: float) -> Link:
    """A connection that was told so many seconds ago: the next attempt is that much nearer."""
    if link.retry_in is None:
        return link
    return replace(link, retry_in=max(0.0, link.retry_in - seconds))
