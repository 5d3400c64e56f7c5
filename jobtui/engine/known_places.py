"""Which spaces and hosts there are, as far as the engine has been told; and when it asks again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from jobtui.errors import StorageError
from jobtui.model import Link, LinkState
from jobtui.storage.base import Space, TaskRunner


class KnownPlaces:
    """See the module. For the engine's loop; `spaces` and `hosts` may be read by any thread.

    `connected` says that the storage is reached over a connection, and `beside` runs a coroutine.
    """

    def __init__(
        self,
        storage: TaskRunner,
        connected: bool,
        beside: Callable[[Coroutine[Any, Any, object]], object],
    ) -> None:
        self.spaces: tuple[Space, ...] = ()
        self.hosts: tuple[str, ...] = ()
        self._storage = storage
        self._connected = connected
        self._beside = beside
        self._address: str | None = None  # of the connection, perhaps ""; None while there is none
        self._due = self._learning = False

    async def fresh_spaces(self) -> dict[str, Space]:
        """The spaces by name, as the storage now tells them. Raises StorageError."""
        self.spaces = await self._storage.spaces()
        return {space.name: space for space in self.spaces}

    def note_link(self, link: Link) -> None:
        """Learn the places once for each connection: what else is told of one changes often."""
        before = self._address
        self._address = link.address if link.state is LinkState.CONNECTED else None
        if self._address not in (None, before):
            self.learn_soon()

    def learn_soon(self) -> None:
        """Ask for all places; where that is under way, once more after it."""
        self._due = True
        if not self._learning:
            self._learning = True
            self._beside(self._learn())

    async def _learn(self) -> None:
        try:
            while self._due:
                self._due = False
                await self._ask()
        finally:
            self._learning = False

    async def _ask(self) -> None:
        try:
            await self.fresh_spaces()
            # to ask an embedded host starts its process: not before it has to be
            if self._connected:
                self.hosts = tuple(host.name for host in await self._storage.hosts())
        except StorageError:
            if not self._connected:
                raise  # else how it stands with the connection is told as such, and this is done again
