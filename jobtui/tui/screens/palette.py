"""The command palette: the registry's commands by name, and what can be chosen by name: themes, sorting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from jobtui.tui.textual_ext.palette import GuardedPalette

# a title, an explanation, and what to run
PaletteEntry = tuple[str, str, Callable[[], None]]


class PaletteSource(Protocol):
    """The screen under the palette, which knows what can be done."""

    def palette_entries(self) -> Iterator[PaletteEntry]:
        """Yield what can be done now."""
        ...


class Palette(GuardedPalette):
    """The palette of the commands that work now, the themes and the columns to sort by."""

    def __init__(self) -> None:
        super().__init__(providers=[RegistryCommands], placeholder="Find a command …")


class RegistryCommands(Provider):
    """Offers what works where the focus was when the palette was opened."""

    async def search(self, query: str) -> Hits:
        """Textual's hook."""
        matcher = self.matcher(query)
        for title, help_text, run in self._entries():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=help_text)

    async def discover(self) -> Hits:
        """Textual's hook."""
        for title, help_text, run in self._entries():
            yield DiscoveryHit(title, run, text=title, help=help_text)

    def _entries(self) -> Iterator[PaletteEntry]:
        return cast("PaletteSource", self.screen).palette_entries()
